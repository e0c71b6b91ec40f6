"""HTTP/2 frames (RFC 9113 §6), made by hand so that they can be wrong. HPACK without a table: literals only."""

import struct

from .stream import Stream, client_tls

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
NAMES = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"]
END_STREAM, END_HEADERS, ACK = 1, 4, 1
H2 = client_tls(alpn=("h2",))


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header that enters no table, its name and value without Huffman coding (RFC 7541 §6.2.2)."""
    return b"\0" + length(name) + name + length(value) + value


def length(text):
    if len(text) < 127:
        return bytes([len(text)])
    rest, out = len(text) - 127, bytearray([127])
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    return bytes([*out, rest])


def request(path=b"/elsewhere", method=b"GET", more=()):
    fields = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path), *more]
    return b"".join(literal(name, value) for name, value in fields)


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


STATIC_STATUS = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}
# The digits in the Huffman code of RFC 7541, appendix B.
HUFFMAN_DIGITS = {"00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4", "011011": "5", "011100": "6",
                  "011101": "7", "011110": "8", "011111": "9"}


def status(block):
    """`:status`, which comes first in the head of an answer: from the static table, or its value as a literal."""
    while block[0] & 0xE0 == 0x20:
        block = block[1:]
    if block[0] & 0x80:
        return STATIC_STATUS.get(block[0] & 0x7F, "?")
    size, huffman = block[1] & 0x7F, block[1] & 0x80
    value = block[2:2 + size]
    if not huffman:
        return value.decode("latin-1")
    digits, code = "", ""
    for bit in "".join(f"{byte:08b}" for byte in value):
        code += bit
        if code in HUFFMAN_DIGITS:
            digits, code = digits + HUFFMAN_DIGITS[code], ""
    return digits


class H2Connection:
    """A connection that was greeted. `read_frame` gives what comes, `drained` counts and drops it."""

    def __init__(self, stream):
        self.stream = stream
        self.buffer = b""

    @classmethod
    async def open(cls, port, *pairs):
        connection = cls(await Stream.tls(port, H2))
        await connection.write(PREFACE + settings(*pairs))
        return connection

    async def write(self, data):
        await self.stream.write(data)

    async def read_frame(self):
        """Kind, flags, stream, payload; `None` at the end."""
        while True:
            if len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + size:
                    head, payload = self.buffer[:9], self.buffer[9:9 + size]
                    self.buffer = self.buffer[9 + size:]
                    return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload
            data = await self.stream.read()
            if not data:
                return None
            self.buffer += data

    def close(self):
        self.stream.close()
