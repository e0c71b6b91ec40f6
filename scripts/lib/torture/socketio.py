"""Socket.IO 5 over Engine.IO 4 by hand, so that every byte of it can be wrong: a WebSocket, or polls and posts."""

import asyncio
import base64
import json
import os
import re
import struct

from .client import ANYONE, Connection, fetch
from .stream import Broken

PATH = "/socket.io/?EIO=4"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
# What differs from run to run in what a server says.
IDS = re.compile(r'"(sid|pid)":"[^"]*"')


class Place:
    """Where a client goes: Node itself, or the proxy, and which side is to answer it there."""

    def __init__(self, name, port, tls, query=""):
        self.name, self.port, self.tls, self.query = name, port, tls, query

    async def ask(self, method, query, body=b"", headers=(), seconds=30):
        return await fetch(self.port, PATH + self.query + query, method, self.tls, seconds, headers, body)

    async def poll_session(self):
        """A session that polls; its id, once it is in the main namespace and was greeted."""
        opened = await self.ask("GET", "&transport=polling")
        sid = json.loads(opened.body[1:])["sid"]
        await self.ask("POST", f"&transport=polling&sid={sid}", b"40")
        heard = b""
        while b'42["auth"' not in heard:
            heard += (await self.ask("GET", f"&transport=polling&sid={sid}")).body
        return sid


def places(node_port, proxy_port):
    return [Place("Node", node_port, None), Place("proxy to Node", proxy_port, ANYONE, "&side=node"),
            Place("proxy to native", proxy_port, ANYONE, "&side=native")]


class SocketIo:
    """A WebSocket. `hear` gives a text, bytes, or raises `Broken` with the close code as its kind."""

    def __init__(self, connection):
        self.connection = connection

    @classmethod
    async def open(cls, place, connect=True, receive_buffer=None, query=""):
        connection = await Connection.open(place.port, place.tls, receive_buffer)
        key = base64.b64encode(os.urandom(16)).decode()
        await connection.send("GET", f"{PATH}{place.query}{query}&transport=websocket", [
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13")])
        head = await connection.head()
        if head.status != 101:
            raise Broken(f"status {head.status}")
        client = cls(connection)
        client.handshake = None
        if not query:
            client.handshake = json.loads((await client.hear())[1:])
        if connect:
            await client.say("40")
            while not (await client.hear()).startswith('42["auth"'):
                pass
        return client

    async def say(self, data, opcode=None):
        await self.connection.stream.write(frame(data, opcode))

    async def say_all(self, packets):
        """Many packets in as few writes as there can be."""
        await self.connection.stream.write(b"".join(frame(packet) for packet in packets))

    async def take(self, count):
        while len(self.connection.buffer) < count:
            if not await self.connection.fill():
                raise Broken("end")
        data = bytes(self.connection.buffer[:count])
        del self.connection.buffer[:count]
        return data

    async def hear(self):
        """The next packet but pings, which are answered."""
        while True:
            first, length = await self.take(2)
            if length >= 126:
                length = struct.unpack(*((">H", await self.take(2)) if length == 126 else (">Q", await self.take(8))))[0]
            payload = await self.take(length)
            opcode = first & 0x0F
            if opcode == CLOSE:
                raise Broken(str(struct.unpack(">H", payload[:2])[0]) if len(payload) >= 2 else "1005")
            if opcode == BINARY:
                return payload
            if opcode == TEXT and payload == b"2":
                await self.say("3")
            elif opcode == TEXT:
                return payload.decode()

    async def hear_until(self, last, seconds=10):
        """What it hears up to the packet that begins like `last`, or up to the end, whose kind comes last."""
        return await self.hear_all(last, seconds=seconds)

    async def hear_all(self, *lasts, seconds=10):
        """The same until each of them has come."""
        heard, missing = [], set(lasts)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    packet = plain(await self.hear())
                    heard.append(packet)
                    missing = {last for last in missing if not packet.startswith(last)}
                    if not missing:
                        return heard
        except Broken as broken:
            return [*heard, f"closed {broken.kind}"]
        except TimeoutError:
            return [*heard, "silence"]

    def close(self):
        self.connection.close()


def frame(data, opcode=None):
    """Masked with zeros, which leaves the payload as it is."""
    payload = data.encode() if isinstance(data, str) else data
    opcode = opcode or (TEXT if isinstance(data, str) else BINARY)
    if len(payload) < 126:
        length = bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        length = b"\xfe" + struct.pack(">H", len(payload))
    else:
        length = b"\xff" + struct.pack(">Q", len(payload))
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def plain(packet):
    """A packet without what differs from run to run."""
    if isinstance(packet, bytes):
        return f"{len(packet)} bytes {packet[:20].hex()}"
    return IDS.sub(r'"\1":"…"', packet)


def short(value, most=60):
    text = value if isinstance(value, str) else " ".join(str(one) for one in value)
    return text if len(text) <= most else f"{text[:most - 1]}…"
