"""The client's end of a WebSocket (RFC 6455), as much of it as the scenarios need."""

import base64
import os
import struct

from .client import Connection
from .stream import Broken


class WebSocket:
    """Sends text, and tells how it was closed: `1001`, or how the connection broke."""

    def __init__(self, connection):
        self.connection = connection
        self.messages = 0
        self.closed = None

    @classmethod
    async def open(cls, port, target="/ws", tls=True):
        connection = await (Connection.open(port) if tls else Connection.open(port, tls=None))
        key = base64.b64encode(os.urandom(16)).decode()
        await connection.send("GET", target, [("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                              ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13")])
        head = await connection.head()
        if head.status != 101:
            raise Broken("not upgraded", str(head.status))
        return cls(connection)

    async def send(self, text, opcode=1):
        payload, mask = text.encode() if isinstance(text, str) else text, os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        length = len(payload)
        if length < 126:
            size = bytes([0x80 | length])
        elif length < 65_536:
            size = struct.pack(">BH", 0xFE, length)
        else:
            size = struct.pack(">BQ", 0xFF, length)
        await self.connection.stream.write(bytes([0x80 | opcode]) + size + mask + masked)

    async def take(self, count):
        while len(self.connection.buffer) < count:
            if not await self.connection.fill():
                raise Broken("closed without a close frame")
        data = bytes(self.connection.buffer[:count])
        del self.connection.buffer[:count]
        return data

    async def next(self):
        """The next frame: its opcode and payload."""
        first, length = await self.take(2)
        if length == 126:
            length = struct.unpack(">H", await self.take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", await self.take(8))[0]
        return first & 0x0F, await self.take(length)

    async def follow(self):
        """Reads until the end, and answers a close frame."""
        try:
            while True:
                opcode, payload = await self.next()
                if opcode == 8:
                    self.closed = str(struct.unpack(">H", payload[:2])[0]) if len(payload) >= 2 else "1005"
                    await self.send(payload[:2], opcode=8)
                    return
                self.messages += 1
        except Broken as broken:
            self.closed = self.closed or broken.kind
        finally:
            self.connection.close()
