"""HTTP/1.1 as a strict client speaks it: an answer is complete and well-formed, or it is `Broken`."""

import asyncio
import re
import time

from .stream import ANYONE, Broken, Stream

STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d) [\t\x20-\x7e\x80-\xff]*")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
LONGEST_HEAD = 128 * 1024


class Head:
    """Status and headers of an answer."""

    def __init__(self, lines):
        status = STATUS.fullmatch(lines[0])
        if not status:
            raise Broken("malformed", lines[0][:60])
        self.status = int(status[1])
        self.headers = []
        for line in lines[1:]:
            header = HEADER.fullmatch(line)
            if not header:
                raise Broken("malformed", line[:60])
            self.headers.append((header[1].decode().lower(), header[2].decode("latin-1")))

    def all(self, name):
        return [value for own, value in self.headers if own == name]

    def get(self, name, otherwise=""):
        return next(iter(self.all(name)), otherwise)

    @property
    def closes(self):
        return "close" in [token.strip().lower() for token in ",".join(self.all("connection")).split(",")]


class Answer:
    """A whole answer, with the times at which it was asked for and complete."""

    def __init__(self, head, body, asked, complete):
        self.status, self.head, self.body = head.status, head, body
        self.asked, self.complete = asked, complete

    @property
    def side(self):
        return self.head.get("x-strangler-side")

    @property
    def milliseconds(self):
        return (self.complete - self.asked) * 1000


class Connection:
    """A kept connection."""

    def __init__(self, stream):
        self.stream = stream
        self.buffer = bytearray()
        self.usable = True

    @classmethod
    async def open(cls, port, tls=ANYONE, receive_buffer=None, local_address=None):
        if tls:
            return cls(await Stream.tls(port, tls, receive_buffer, local_address))
        return cls(await Stream.tcp(port, receive_buffer, local_address))

    def close(self):
        self.usable = False
        self.stream.close()

    def was_closed(self):
        """Whether the other end has ended it meanwhile. Bytes that nobody asked for are an error."""
        if self.buffer:
            raise Broken("unasked", bytes(self.buffer[:60]))
        early = self.stream.read_now()
        if early:
            raise Broken("unasked", early[:60])
        return early == b""

    async def send(self, method, target, headers=(), body=b"", host="localhost"):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        await self.stream.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)

    async def request(self, method, target, headers=(), body=b"", seconds=30, asked=None):
        """`asked` is when the request was due, where that is earlier than now."""
        asked = asked or time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await self.send(method, target, headers, body)
                head = await self.head()
                content = b"".join([piece async for piece in self.body(head, method)])
                return Answer(head, content, asked, time.monotonic())
        except TimeoutError:
            self.usable = False
            raise Broken("timeout") from None
        except BaseException:
            self.usable = False
            raise

    async def fill(self):
        data = await self.stream.read()
        self.buffer += data
        return bool(data)

    async def head(self):
        """The next head that is not 1xx."""
        while True:
            while (end := self.buffer.find(b"\r\n\r\n")) < 0:
                if len(self.buffer) > LONGEST_HEAD:
                    raise Broken("malformed", "an endless head")
                if not await self.fill():
                    raise Broken("truncated head" if self.buffer else "closed without an answer")
            head = Head(bytes(self.buffer[:end]).split(b"\r\n"))
            del self.buffer[:end + 4]
            if head.status >= 200 or head.status == 101:
                return head

    async def body(self, head, method="GET"):
        """The pieces of the body. A body that ends early is `truncated`."""
        if method == "HEAD" or head.status in (101, 204, 304):
            self.usable = head.status != 101 and not head.closes
            return
        lengths, codings = head.all("content-length"), head.all("transfer-encoding")
        if codings:
            if lengths or codings != ["chunked"]:
                raise Broken("malformed", f"{lengths} {codings}")
            async for piece in self.chunks():
                yield piece
        elif lengths:
            if len(lengths) > 1 or not lengths[0].isdigit():
                raise Broken("malformed", str(lengths))
            left = int(lengths[0])
            while left:
                if not self.buffer and not await self.fill_body():
                    raise Broken("truncated")
                piece = bytes(self.buffer[:left])
                del self.buffer[:len(piece)]
                left -= len(piece)
                yield piece
        else:
            while self.buffer or await self.fill_body():
                piece = bytes(self.buffer)
                self.buffer.clear()
                yield piece
            self.usable = False
        if head.closes:
            self.usable = False

    async def fill_body(self):
        try:
            return await self.fill()
        except Broken as broken:
            raise Broken("truncated", broken.kind) from None

    async def chunks(self):
        while True:
            line = await self.line()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", line):
                raise Broken("malformed", line[:60])
            left = int(line, 16)
            if left == 0:
                while await self.line():
                    pass
                return
            while left:
                if not self.buffer and not await self.fill_body():
                    raise Broken("truncated")
                piece = bytes(self.buffer[:left])
                del self.buffer[:len(piece)]
                left -= len(piece)
                yield piece
            if await self.line():
                raise Broken("malformed", "a chunk longer than it says")

    async def line(self):
        while (end := self.buffer.find(b"\r\n")) < 0:
            if not await self.fill_body():
                raise Broken("truncated")
        line = bytes(self.buffer[:end])
        del self.buffer[:end + 2]
        return line


async def fetch(port, target, method="GET", tls=ANYONE, seconds=30, headers=(), body=b""):
    """One request on a connection of its own."""
    asked = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            connection = await Connection.open(port, tls)
    except TimeoutError:
        raise Broken("timeout") from None
    try:
        return await connection.request(method, target, [*headers, ("Connection", "close")], body, seconds, asked)
    finally:
        connection.close()
