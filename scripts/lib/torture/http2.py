"""Floods of HTTP/2 frames: each ends in bounded work, bounded memory and few requests to Node."""

import asyncio
import struct

from . import processes
from .frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NAMES, PING, PRIORITY, PUSH_PROMISE, RST_STREAM,
                     SETTINGS, H2Connection, frame, length, literal, request, settings, status,
                     window_update)
from .load import Canary
from .stream import Broken

ABOUT = "floods of HTTP/2 frames"
FRAMES = 10_000
STREAMS = 128
CANCEL = struct.pack(">I", 8)
INITIAL_WINDOW = 4


def streams(count):
    """The numbers of a client's streams."""
    return range(1, 2 * count, 2)


def ask(stream, end=True, path=b"/flooded"):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, request(path))


def rapid_reset(count):
    return [ask(stream) + frame(RST_STREAM, 0, stream, CANCEL) for stream in streams(count)]


def made_you_reset_window(count):
    """Streams that the server must reset itself (RFC 9113 §6.9.1): their window overflows."""
    return [ask(stream) + window_update(stream, 0x7FFFFFFF) for stream in streams(count)]


def made_you_reset_zero(count):
    return [ask(stream) + window_update(stream, 0) for stream in streams(count)]


def made_you_reset_data(count):
    """DATA on a stream that the client has half-closed."""
    return [ask(stream) + frame(DATA, END_STREAM, stream, b"x") for stream in streams(count)]


def made_you_reset_priority(count):
    """A stream that depends on itself."""
    return [ask(stream) + frame(PRIORITY, 0, stream, struct.pack(">IB", stream, 0)) for stream in streams(count)]


def continuation(count):
    fragment = literal(b"x-more", b"v" * 50)
    return [frame(HEADERS, END_STREAM, 1, request())] + [frame(CONTINUATION, 0, 1, fragment)] * count


def empty_continuation(count):
    return [frame(HEADERS, END_STREAM, 1, request())] + [frame(CONTINUATION, 0, 1)] * count


def settings_flood(count):
    return [settings((3, 100))] * count


def changing_windows(count):
    return [ask(1)] + [settings((INITIAL_WINDOW, 65535 + number % 2)) for number in range(count)]


def ping(count):
    return [frame(PING, 0, 0, b"12345678")] * count


def priority(count):
    return [frame(PRIORITY, 0, number % 1000 * 2 + 1, struct.pack(">IB", 0, 1)) for number in range(count)]


def empty_data(count):
    """On a stream whose body goes to Node, which answers at its end."""
    return [ask(1, end=False)] + [frame(DATA, 0, 1)] * count


def empty_data_native(count):
    return [ask(1, end=False, path=b"/api/drivers")] + [frame(DATA, 0, 1)] * count


def empty_headers(count):
    """HEADERS for a stream that has had its trailers."""
    return [ask(1)] + [frame(HEADERS, END_HEADERS | END_STREAM, 1)] * count


def resets_of_nothing(count):
    return [frame(RST_STREAM, 0, stream, CANCEL) for stream in streams(count)]


def window_updates(count):
    return [window_update(0, 1)] * count


def unknown_frames(count):
    return [frame(0xBE, 0xFF, 0, b"x" * 100)] * count


def pushes(count):
    return [frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + request())] * count


def hpack_bomb(count):
    """One large entry in the dynamic table, named many times in each head."""
    entry = b"\x40" + length(b"a") + b"a" + length(b"b" * 4000) + b"b" * 4000
    first = frame(HEADERS, END_HEADERS | END_STREAM, 1, request() + entry)
    others = [frame(HEADERS, END_HEADERS | END_STREAM, stream, request() + b"\xbe" * 4000) for stream in streams(count // 10)][1:]
    return [first, *others]


def many_streams(count):
    """Many more than the server allows at once, and none is given up."""
    return [ask(stream, path=b"/slow?ms=500") for stream in streams(count)]


# Each with the requests that it may start at Node, beside those that the client sees answered. `None`: they are honest.
FLOODS = [
    ("rapid reset", rapid_reset, STREAMS + 20), ("made you reset: window overflow", made_you_reset_window, STREAMS + 20),
    ("made you reset: zero increment", made_you_reset_zero, STREAMS + 20),
    ("made you reset: DATA after the end", made_you_reset_data, STREAMS + 20),
    ("made you reset: PRIORITY on itself", made_you_reset_priority, STREAMS + 20),
    ("CONTINUATION", continuation, 0), ("empty CONTINUATION", empty_continuation, 0),
    ("SETTINGS", settings_flood, 0), ("SETTINGS that move windows", changing_windows, 1), ("PING", ping, 0), ("PRIORITY", priority, 0),
    ("empty DATA", empty_data, 1), ("empty DATA to native", empty_data_native, 0), ("HEADERS after the end", empty_headers, 1),
    ("RST_STREAM of idle streams", resets_of_nothing, 0), ("WINDOW_UPDATE", window_updates, 0), ("unknown frames", unknown_frames, 0),
    ("PUSH_PROMISE from a client", pushes, 0), ("HPACK bomb", hpack_bomb, STREAMS + 20),
    ("more streams than allowed", many_streams, STREAMS + 20),
]


async def run(stage):
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port)
    count = 2000 if stage.quick else FRAMES
    await Canary.warm_up(proxy.port, "/api/drivers")
    files = proxy.descriptors()
    # What the allocator takes for a first flood, and for the pool, is there from then on.
    for warm_up in (rapid_reset, many_streams):
        await flood(proxy, warm_up(300), True)
    start_mb = proxy.memory_mb()
    for name, make, most in FLOODS:
        for reads in (True, False):
            await one(stage, node, proxy, name if reads else f"{name}, answers unread", make(count), reads, most)
    await zero_windows(stage, proxy)
    await downgrade(stage)
    await proxy.settles(start_mb, files, "HTTP/2: ")
    report.check("HTTP/2: the proxy lives", "yes" if proxy.is_alive() else "no", proxy.is_alive(), "yes")


async def one(stage, node, proxy, name, frames, reads, most):
    report = stage.report
    canary = Canary(proxy.port, "/api/drivers").start()
    await asyncio.sleep(0.3)
    before, memory = (await node.ask("/stats"))["requests"], proxy.memory_mb()
    processes.reset_peak(proxy.pid)
    ending, answered, sent = await flood(proxy, frames, reads)
    await asyncio.sleep(0.7)
    await canary.stop()
    started = (await node.ask("/stats"))["requests"] - before
    slowest = max((sample.milliseconds for sample in canary.samples), default=float("inf"))
    failed = [sample.failure for sample in canary.samples if sample.failure]
    grown = processes.peak_mb(proxy.pid) - memory
    limit = most if most == 0 else most + answered
    holds = not failed and slowest <= 800 and grown <= 20 and started <= limit
    report.check(name, f"{started} req, {slowest:.0f} ms, {grown:+.1f} MB", holds, f"≤ {limit} req, 800 ms, +20 MB; {sent} sent, {ending}")


async def flood(proxy, frames, reads):
    """Sends all of them, or until the other end has had enough. Gives the end, the answers seen and the frames sent."""
    connection = await H2Connection.open(proxy.port)
    ending, answered, sent = "open", 0, 0

    async def read():
        nonlocal ending, answered
        try:
            while received := await connection.read_frame():
                kind, flags, stream, payload = received
                if kind == SETTINGS and not flags & ACK:
                    await connection.write(frame(SETTINGS, ACK))
                elif kind == HEADERS:
                    answered += 1
                elif kind == GOAWAY:
                    ending = f"GOAWAY {struct.unpack('>I', payload[4:8])[0]}"
            if ending == "open":
                ending = "closed"
        except Broken as broken:
            ending = ending if ending.startswith("GOAWAY") else broken.kind

    reading = asyncio.create_task(read()) if reads else None
    try:
        # In pieces, so that what comes back is read between them.
        for start in range(0, len(frames), 50):
            async with asyncio.timeout(5):
                await connection.write(b"".join(frames[start:start + 50]))
            sent = min(start + 50, len(frames))
            await asyncio.sleep(0)
            if reading and reading.done():
                break
        if reading:
            await asyncio.wait([reading], timeout=1)
        else:
            await asyncio.sleep(1)
    except Broken as broken:
        if reading:
            await asyncio.wait([reading], timeout=1)
        ending = broken.kind if ending == "open" else ending
    except TimeoutError:
        ending = "held back"
    finally:
        if reading:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        connection.close()
    return ending, answered, sent


async def zero_windows(stage, proxy):
    """A hundred connections that ask for much and take nothing: they may, and little is read ahead for them."""
    report = stage.report
    memory = proxy.memory_mb()
    processes.reset_peak(proxy.pid)
    connections = []
    for _ in range(100):
        connection = await H2Connection.open(proxy.port, (INITIAL_WINDOW, 0))
        await connection.write(b"".join(ask(stream, path=b"/download?bytes=10000000") for stream in (1, 3, 5)))
        connections.append(connection)
    await asyncio.sleep(5)
    report.at_most("zero window × 100: memory", processes.peak_mb(proxy.pid) - memory, 60, " MB")
    for connection in connections:
        connection.close()


# What a head may not hold (RFC 9113 §8.2, §8.3), and DATA that is not what it says.
def bad_heads():
    plain = {b":method": b"GET", b":scheme": b"https", b":authority": b"localhost", b":path": b"/bad"}

    def head(changes=(), more=()):
        fields = {**plain, **dict(changes)}
        pairs = [(name, value) for name, value in fields.items() if value is not None] + list(more)
        return b"".join(literal(name, value) for name, value in pairs)

    yield "CR LF in a value", head(more=[(b"x-a", b"b\r\nx-evil: 1")]), b""
    yield "LF in a value", head(more=[(b"x-a", b"b\nx-evil: 1")]), b""
    yield "NUL in a value", head(more=[(b"x-a", b"b\0c")]), b""
    yield "CR LF in a name", head(more=[(b"x-a\r\nx-evil", b"1")]), b""
    yield "colon in a name", head(more=[(b"x-a:b", b"1")]), b""
    yield "upper case in a name", head(more=[(b"X-Upper", b"1")]), b""
    yield "transfer-encoding", head(more=[(b"transfer-encoding", b"chunked")]), b""
    yield "connection", head(more=[(b"connection", b"x-a"), (b"x-a", b"1")]), b""
    yield "keep-alive", head(more=[(b"keep-alive", b"1")]), b""
    yield "upgrade", head(more=[(b"upgrade", b"websocket")]), b""
    yield "te: gzip", head(more=[(b"te", b"gzip")]), b""
    yield "space in :path", head({b":path": b"/a HTTP/1.1\r\nx-evil: 1"}.items()), b""
    yield "one space in :path", head({b":path": b"/a b"}.items()), b""
    yield "space in :method", head({b":method": b"GET /x HTTP/1.1"}.items()), b""
    yield "empty :path", head({b":path": b""}.items()), b""
    yield "no :path", head({b":path": None}.items()), b""
    yield "no :authority and no host", head({b":authority": None}.items()), b""
    yield ":authority is not host", head(more=[(b"host", b"evil.example")]), b""
    yield "two hosts", head({b":authority": None}.items(), [(b"host", b"localhost"), (b"host", b"evil.example")]), b""
    yield ":authority with a user", head({b":authority": b"user@localhost"}.items()), b""
    yield "two :path", head(more=[(b":path", b"/second")]), b""
    yield "a pseudo-header at the end", head(more=[(b"x-a", b"1"), (b":protocol", b"websocket")]), b""
    yield "content-length above DATA", head({b":method": b"POST"}.items(), [(b"content-length", b"10")]), b"short"
    yield "content-length below DATA", head({b":method": b"POST"}.items(), [(b"content-length", b"2")]), b"too long"
    yield "two content-lengths", head({b":method": b"POST"}.items(), [(b"content-length", b"5"), (b"content-length", b"6")]), b"short"
    yield "content-length +5", head({b":method": b"POST"}.items(), [(b"content-length", b"+5")]), b"short"
    yield "CONNECT", head({b":method": b"CONNECT", b":scheme": None, b":path": None}.items()), b""


async def downgrade(stage):
    """Reset or 400; what reaches Node nevertheless is one well-formed request with its whole body."""
    node = await stage.node(RECORD="1")
    proxy = await stage.proxy(node.port)
    for name, head, body in bad_heads():
        await node.ask("/seen")
        connection = await H2Connection.open(proxy.port)
        outcome = "nothing"
        try:
            await connection.write(frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), 1, head))
            if body:
                await connection.write(frame(DATA, END_STREAM, 1, body))
            async with asyncio.timeout(3):
                while received := await connection.read_frame():
                    kind, _, stream, payload = received
                    if kind in (RST_STREAM, GOAWAY):
                        outcome = NAMES[kind]
                        break
                    if kind == HEADERS and stream == 1:
                        outcome = status(payload)
                        break
                else:
                    outcome = "closed"
        except Broken as broken:
            outcome = broken.kind
        except TimeoutError:
            outcome = "no answer"
        finally:
            connection.close()
        await asyncio.sleep(0.02)
        seen = await node.ask("/seen")
        whole = [entry for entry in seen if entry["complete"]]
        evil = [entry for entry in seen if "x-evil" in str(entry["headers"]).lower()]
        rejected = outcome in ("RST_STREAM", "GOAWAY", "400", "405", "closed", "cut") and not whole
        passed = outcome == "200" and len(seen) == 1 and whole and whole[0]["body"].encode() == body
        stage.report.check(f"HTTP/2 to HTTP/1.1: {name}", f"{outcome}, Node saw {len(whole)}",
                           (rejected or passed) and not evil, "rejected, or one whole request")
