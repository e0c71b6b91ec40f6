"""A Node that reads requests as strictly as it can, and remembers each byte that a lenient one would forgive."""

import asyncio
import contextlib
import re

REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e\x80-\xff]+ HTTP/1\.1")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nX-Backend: node\r\n\r\n" + b'{"side":"node"}'


class Malformed(Exception):
    """What a strict server would not have accepted."""


class StrictNode:
    """Every request is answered alike. `requests` are the good ones (line, headers, body), `complaints` the others."""

    def __init__(self):
        self.requests, self.complaints, self.tasks = [], [], set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def close(self):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def take(self):
        taken, self.requests, self.complaints = (self.requests, self.complaints), [], []
        return taken

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            with contextlib.suppress(OSError):
                while await self.one(reader):
                    is_head = self.requests[-1][0].startswith(b"HEAD ")
                    writer.write(ANSWER.partition(b"{")[0] if is_head else ANSWER)
                    await writer.drain()
        except Malformed as malformed:
            self.complaints.append(str(malformed))
        except asyncio.CancelledError:
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def one(self, reader):
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Malformed(f"half a head: {error.partial[:80]}") from None
            return False
        line, headers = head(raw)
        body = await self.body(reader, headers)
        self.requests.append((line, headers, body))
        return True

    async def body(self, reader, headers):
        lengths = [value for name, value in headers if name == b"content-length"]
        codings = [value for name, value in headers if name == b"transfer-encoding"]
        if codings and (lengths or codings != [b"chunked"]):
            raise Malformed(f"lengths {lengths}, codings {codings}")
        try:
            if codings:
                return await chunks(reader)
            if len(lengths) > 1 or any(not re.fullmatch(rb"\d{1,18}", value) for value in lengths):
                raise Malformed(f"lengths {lengths}")
            return await reader.readexactly(int(lengths[0])) if lengths else b""
        except asyncio.IncompleteReadError:
            # The client left in the middle, or the proxy gave its request up: no request.
            raise Malformed("half a body, given up") from None


def head(raw):
    lines = raw[:-4].split(b"\r\n")
    if b"\n" in b"".join(lines) or b"\r" in b"".join(lines) or not REQUEST_LINE.fullmatch(lines[0]):
        raise Malformed(f"request line {lines[0][:80]}")
    headers = []
    for line in lines[1:]:
        header = HEADER.fullmatch(line)
        if not header:
            raise Malformed(f"header {line[:80]}")
        headers.append((header[1].lower(), header[2].strip()))
    if [name for name, _ in headers].count(b"host") != 1:
        raise Malformed("not one Host")
    return lines[0], headers


async def chunks(reader):
    body = b""
    while True:
        line = (await reader.readuntil(b"\r\n"))[:-2]
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line):
            raise Malformed(f"chunk {line[:80]}")
        size = int(line, 16)
        if size == 0:
            while (await reader.readuntil(b"\r\n")) != b"\r\n":
                pass
            return body
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise Malformed("a chunk that does not end")
