"""Makes the threads of a client take turns at its SSL objects."""

import select
import ssl
import threading


class ThreadSafeSocket(ssl.SSLSocket):
    """An SSL object of CPython 3.11 may break when one thread reads while another writes, which python-engineio does: on
    a busy machine it loses connections, also straight to Node. Here a read waits for bytes first, and then has its turn."""

    @property
    def turn(self):
        return self.__dict__.setdefault("_turn", threading.RLock())

    def read(self, *arguments):
        timeout = self.gettimeout()
        while True:
            with self.turn:
                self.settimeout(0)
                try:
                    return super().read(*arguments)
                except ssl.SSLWantReadError:
                    pass
                finally:
                    self.settimeout(timeout)
            if not select.select([self], [], [], timeout)[0]:
                raise TimeoutError("timed out")

    def send(self, data, flags=0):
        with self.turn:
            return super().send(data, flags)


def at_ssl_objects():
    """For every connection from now on."""
    ssl.SSLContext.sslsocket_class = ThreadSafeSocket
