"""A Node that breaks the rules: each path is answered by bytes that no server should send."""

import asyncio
import contextlib
import socket
import struct

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# What is sent, and how the connection ends: `keep`, `close`, `reset`, `hang` (nothing more, but open).
ANSWERS = {
    "/ok": (OK + b"Content-Length: 2\r\n\r\nok", "keep"),
    "/rst-length": (OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 100, "reset"),
    "/fin-length": (OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 100, "close"),
    "/rst-chunked": (CHUNKED + b"64\r\n" + b"x" * 100 + b"\r\n", "reset"),
    "/fin-chunked": (CHUNKED + b"64\r\n" + b"x" * 100 + b"\r\n", "close"),
    "/fin-in-chunk": (CHUNKED + b"64\r\n" + b"x" * 50, "close"),
    "/rst-until-close": (OK + b"Connection: close\r\n\r\n" + b"x" * 100, "reset"),
    "/bad-chunk": (CHUNKED + b"2\r\nok\r\nzz\r\nbroken\r\n0\r\n\r\n", "hang"),
    "/long-chunk": (CHUNKED + b"2\r\nokok\r\n0\r\n\r\n", "hang"),
    "/huge-chunk": (CHUNKED + b"fffffffffffffffff\r\nok", "hang"),
    "/garbage": (bytes(range(128, 256)) * 8, "hang"),
    "/ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", "hang"),
    "/http09": (b"<html>hello</html>", "close"),
    "/nothing": (b"", "close"),
    "/nothing-reset": (b"", "reset"),
    "/half-head": (b"HTTP/1.1 200 OK\r\nContent-Le", "close"),
    "/bad-status": (b"HTTP/1.1 999999 Odd\r\nContent-Length: 0\r\n\r\n", "keep"),
    "/nul-header": (OK + b"X-Nul: a\0b\r\nContent-Length: 2\r\n\r\nok", "keep"),
    "/two-lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!", "keep"),
    "/minus-length": (OK + b"Content-Length: -2\r\n\r\nok", "keep"),
    "/length-and-chunked": (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "keep"),
    "/short-length-and-chunked": (OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "keep"),
    "/chunked-twice": (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "close"),
    "/unasked-101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: Upgrade\r\n\r\nodd", "hang"),
    "/huge-header": (OK + b"X-Huge: " + b"h" * 1_000_000 + b"\r\nContent-Length: 2\r\n\r\nok", "keep"),
    "/many-headers": (OK + b"X-Many: 1\r\n" * 50_000 + b"Content-Length: 2\r\n\r\nok", "keep"),
    "/flood-1xx": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 10_000 + OK + b"Content-Length: 2\r\n\r\nok", "keep"),
    "/extra": (OK + b"Content-Length: 2\r\n\r\nok" + OK + b"Content-Length: 6\r\n\r\nstolen", "keep"),
    "/no-body-204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nstolen", "keep"),
}


class RawNode:
    """Listens until it is closed. `/trickle` sends a byte a second; `/unread` reads nothing after the head."""

    def __init__(self):
        self.connections = 0
        self.heads = []
        self.tasks = set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 16, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def close(self):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                number = 0
                while await self.answer(reader, writer, number):
                    number += 1
        except asyncio.CancelledError:
            pass
        finally:
            self.connections -= 1
            self.tasks.discard(task)
            writer.close()

    async def answer(self, reader, writer, number):
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        path = head.split(b" ", 2)[1].decode().partition("?")[0]
        if head.startswith(b"HEAD "):
            # The proxy asks so whether Node answers at all.
            writer.write(OK + b"Content-Length: 2\r\n\r\n")
            return True
        if path.startswith("/stale") and number > 0:
            # As if the request had crossed the end of the connection on its way.
            if path == "/stale-rst":
                reset(writer)
            return False
        if path == "/trickle":
            writer.write(OK + b"Content-Length: 1000\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1)
        if path == "/unread":
            writer.transport.pause_reading()
            await asyncio.sleep(3600)
        if path == "/early":
            # Answers before the body has come, and reads none of it.
            writer.transport.pause_reading()
            writer.write(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\n\r\nlarge")
            await writer.drain()
            await asyncio.sleep(3600)
        data, ending = ANSWERS.get(path, ANSWERS["/ok"])
        writer.write(data)
        await writer.drain()
        if ending == "hang":
            await asyncio.sleep(3600)
        if ending == "reset":
            # What was sent must arrive before the RST throws it away.
            await asyncio.sleep(0.1)
            reset(writer)
        return ending == "keep"


def reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
