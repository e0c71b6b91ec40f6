"""A TCP or TLS connection on asyncio that tells exactly how it ended: closed in order, cut, or reset.

asyncio's own TLS transports are not used: they hold 256 KB for each connection, and read ahead of who reads slowly.
"""

import asyncio
import errno
import socket
import ssl
import struct


class Broken(Exception):
    """A connection or an answer that failed; `kind` is the class that is counted."""

    def __init__(self, kind, detail=""):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


def client_tls(ca=None, alpn=("http/1.1",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


ANYONE = client_tls()


class Stream:
    """One connection. At a time one task may read and another may write."""

    def __init__(self, sock):
        self.sock = sock
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def tcp(cls, port, receive_buffer=None, local_address=None):
        sock = socket.socket()
        sock.setblocking(False)
        if local_address:
            sock.bind((local_address, 0))
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        stream = cls(sock)
        try:
            await stream.loop.sock_connect(sock, ("127.0.0.1", port))
        except ConnectionRefusedError:
            sock.close()
            raise Broken("refused") from None
        except ConnectionError:
            sock.close()
            raise Broken("reset while connecting") from None
        except BaseException:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    @classmethod
    async def tls(cls, port, context=ANYONE, receive_buffer=None, local_address=None):
        stream = await cls.tcp(port, receive_buffer, local_address)
        plain = stream.sock
        try:
            stream.sock = context.wrap_socket(
                plain, server_hostname="localhost", do_handshake_on_connect=False, suppress_ragged_eofs=False)
            await stream.attempt(stream.sock.do_handshake)
        except Broken as broken:
            stream.close()
            raise Broken(f"{broken.kind} in the handshake", broken) from None
        except BaseException:
            stream.close()
            raise
        return stream

    async def attempt(self, operation, *arguments, writing=False):
        while True:
            try:
                return operation(*arguments)
            except ssl.SSLWantReadError:
                await self.ready(False)
            except ssl.SSLWantWriteError:
                await self.ready(True)
            except BlockingIOError:
                await self.ready(writing)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                raise Broken("cut", error) from None
            except ssl.SSLError as error:
                raise Broken("tls", error) from None
            except OSError as error:
                if error.errno in (errno.ECONNRESET, errno.EPIPE):
                    raise Broken("reset") from None
                raise Broken("cut", error) from None

    async def ready(self, writing):
        future = self.loop.create_future()
        number = self.sock.fileno()
        if number < 0:
            raise Broken("cut", "closed here")
        add, remove = ((self.loop.add_writer, self.loop.remove_writer) if writing
                       else (self.loop.add_reader, self.loop.remove_reader))

        def come():
            if not future.done():
                future.set_result(None)

        add(number, come)
        try:
            await future
        finally:
            remove(number)

    async def read(self, most=65536):
        """Nothing after a close in order; anything else that ends a connection is `Broken`."""
        try:
            return await self.attempt(self.sock.recv, most)
        except Broken as broken:
            # OpenSSL reports a missing close_notify; over plain TCP an end is an end.
            raise broken

    def read_now(self, most=65536):
        """What is there already, `None` where nothing is."""
        try:
            return self.sock.recv(most)
        except (ssl.SSLWantReadError, BlockingIOError):
            return None
        except (ssl.SSLEOFError, ConnectionError):
            return b""

    async def write(self, data):
        view = memoryview(data)
        while view:
            sent = await self.attempt(self.sock.send, view[:131072], writing=True)
            view = view[sent:]

    async def until_closed(self, seconds):
        """How it ended: `closed`, `cut`, `reset`, or `open` where it did not end in time. What comes is dropped."""
        try:
            async with asyncio.timeout(seconds):
                while await self.read():
                    pass
                return "closed"
        except Broken as broken:
            return broken.kind
        except TimeoutError:
            return "open"

    def close(self):
        if self.sock.fileno() >= 0:
            self.loop.remove_reader(self.sock.fileno())
            self.loop.remove_writer(self.sock.fileno())
        self.sock.close()

    def reset(self):
        """Ends with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
