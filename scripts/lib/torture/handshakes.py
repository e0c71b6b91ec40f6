"""A process that opens TLS connections at a rate, checks the certificate, and asks for something on every tenth.

Arguments: port, file of the CA, connections a second, seconds. Prints one line of JSON at its end.
"""

import json
import socket
import ssl
import sys
import time


def main():
    port, ca, rate, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["http/1.1"])
    handshakes, failures, serials = 0, {}, set()
    begin = due = time.monotonic()
    while time.monotonic() - begin < seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + 1 / rate, time.monotonic() - 0.5)
        handshakes += 1
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as tls:
                    serials.add(tls.getpeercert()["serialNumber"])
                    if handshakes % 10 == 0:
                        tls.sendall(b"GET /elsewhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                        if not tls.recv(65536).startswith(b"HTTP/1.1 200 "):
                            raise ValueError("no answer")
        except (OSError, ValueError) as error:
            kind = f"{type(error).__name__}: {error}"[:80]
            failures[kind] = failures.get(kind, 0) + 1
    rate = handshakes / (time.monotonic() - begin)
    print(json.dumps({"handshakes": handshakes, "rate": rate, "failures": failures, "serials": sorted(serials)}))


main()
