"""Large bodies with slow receivers, and thousands of event streams: checksums, memory, file descriptors."""

import asyncio
import hashlib
import json
import time

from . import processes
from .client import Connection, fetch
from .report import counts, spread
from .stream import Broken

ABOUT = "large bodies with slow receivers, and thousands of event streams"
BODY_BYTES = 100_000_000
BLOCK_BYTES = 65521
PATTERN = bytes(index % 251 for index in range(BLOCK_BYTES))
# What a slow receiver takes in a second, at either end.
RATE = 10_000_000


def blocks(total):
    """As backend.js makes them."""
    number = 0
    while total > 0:
        block = number.to_bytes(4, "big") + PATTERN[4:]
        yield block[:total]
        total -= len(block)
        number += 1


async def run(stage):
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port)
    digest = hashlib.sha256()
    for block in blocks(BODY_BYTES):
        digest.update(block)
    wanted = digest.hexdigest()
    at_once = 4 if stage.quick else 20
    for name, transfer in (("upload", upload), ("download", download)):
        # The first one warms the allocator up; leaks would show in the second.
        await transfers(stage, proxy, transfer, wanted, 2)
        before, files = proxy.memory_mb(), proxy.descriptors()
        processes.reset_peak(proxy.pid)
        began = time.monotonic()
        outcomes = await transfers(stage, proxy, transfer, wanted, at_once)
        took = time.monotonic() - began
        report.check(f"{at_once} {name}s of 100 MB at once, slow receivers", counts(outcomes), set(outcomes) == {"equal"}, "equal")
        report.note(f"{name}s: together", f"{at_once * BODY_BYTES / took / 1e6:.0f} MB/s")
        report.at_most(f"{name}s: peak memory, before {before:.1f} MB", processes.peak_mb(proxy.pid), before + 2 * at_once, " MB")
        await proxy.settles(before, files, f"{name}s: ")
    await streams(stage, proxy)


async def transfers(stage, proxy, transfer, wanted, count):
    async def one():
        try:
            return "equal" if await transfer(proxy) == wanted else "different"
        except Broken as broken:
            return broken.kind

    return await asyncio.gather(*(one() for _ in range(count)))


async def upload(proxy):
    connection = await Connection.open(proxy.port)
    try:
        head = f"POST /upload?rate={RATE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
        await connection.stream.write(head.encode())
        for block in blocks(BODY_BYTES):
            await connection.stream.write(block)
        head = await connection.head()
        answer = json.loads(b"".join([piece async for piece in connection.body(head)]))
        return answer["sha256"]
    finally:
        connection.close()


async def download(proxy):
    connection = await Connection.open(proxy.port, receive_buffer=65536)
    try:
        await connection.send("GET", f"/download?bytes={BODY_BYTES}")
        head = await connection.head()
        digest, received, began = hashlib.sha256(), 0, time.monotonic()
        async for piece in connection.body(head):
            digest.update(piece)
            received += len(piece)
            ahead = received / RATE - (time.monotonic() - began)
            if ahead > 0.01:
                await asyncio.sleep(ahead)
        return digest.hexdigest()
    finally:
        connection.close()


async def streams(stage, proxy):
    """All of them receive each event when it is sent. The second turn must not take more than the first."""
    report = stage.report
    count, events, pause = (300, 10, 300) if stage.quick else (2000, 20, 500)
    empty, files = proxy.memory_mb(), proxy.descriptors()
    for turn in ("first", "second"):
        processes.reset_peak(proxy.pid)
        gate = asyncio.Semaphore(100)
        delays = []
        outcomes = await asyncio.gather(*(stream(proxy, gate, events, pause, delays) for _ in range(count)))
        report.check(f"{count} event streams, {turn}: all {events} events received", counts(outcomes), set(outcomes) == {"all"}, "all")
        report.note(f"{count} event streams, {turn}: late by, median / p99 / max", spread(delays))
        peak = processes.peak_mb(proxy.pid)
        report.note(f"{count} event streams, {turn}: peak memory", f"{peak:.1f} MB, {(peak - empty) * 1024 / count:.0f} KB each")
        if turn == "first":
            first = await quiet(proxy)
    # The allocator gives memory back at its leisure, so a leak is what the second turn adds.
    await proxy.settles(first, files, "event streams, after the second turn: ")
    report.note("event streams: memory before the first turn", f"{empty:.1f} MB")
    answer = await fetch(proxy.port, "/elsewhere")
    report.check("event streams: the proxy answers afterwards", answer.status, answer.status == 200, "200")


async def quiet(proxy):
    """The memory some seconds later, with a little traffic, which the allocator needs to tidy up."""
    for _ in range(100):
        await fetch(proxy.port, "/elsewhere")
        await asyncio.sleep(0.03)
    return proxy.memory_mb()


async def stream(proxy, gate, events, pause, delays):
    try:
        async with gate:
            connection = await Connection.open(proxy.port)
    except Broken as broken:
        return broken.kind
    try:
        await connection.send("GET", f"/events?count={events}&ms={pause}")
        head = await connection.head()
        begun, received, own = time.monotonic(), b"", []
        async for piece in connection.body(head):
            own.append((time.monotonic() - begun) * 1000 - received.count(b"\n\n") * pause)
            received += piece
        # Beside the most punctual event of the stream: when Node began to count is not known here.
        delays += [late - min(own) for late in own]
        wanted = b"".join(b"data: %d\n\n" % number for number in range(events))
        return "all" if received == wanted else f"{received.count(b'data')} events"
    except Broken as broken:
        return broken.kind
    finally:
        connection.close()
