"""A mix of everything that goes well, for some minutes: nothing fails, and the memory does not grow."""

import asyncio
import time

from . import processes
from .client import Connection
from .flips import Flipper, rules
from .load import Load
from .report import counts, p99
from .stream import Broken
from .websocket import WebSocket

ABOUT = "a mix of requests, and the slope of the memory"
TARGETS = ["/elsewhere", "/api/drivers", "/api/finger_log", "/download?bytes=200000", "/slow?ms=200"]


async def run(stage):
    report = stage.report
    seconds = 60 if stage.quick else stage.options.minutes * 60
    node = await stage.node()
    flipper = Flipper(None)
    proxy = flipper.proxy = await stage.proxy(node.port, rules("native"))
    upload = b"u" * 100_000
    loads = [
        Load(proxy.port, 100, lambda number: ("GET", TARGETS[number % len(TARGETS)], b"", None), connections=40),
        Load(proxy.port, 20, lambda number: ("POST", f"/journal?id=s{number}", b"x" * 1000, f"s{number}"), connections=10),
        Load(proxy.port, 10, lambda _: ("POST", "/upload", upload, None), connections=5),
        Load(proxy.port, 20, lambda number: ("GET", TARGETS[number % 3], b"", None), connections=10, fresh=True),
    ]
    for load in loads:
        load.start()
    ending = asyncio.Event()
    others = [asyncio.create_task(sockets(proxy, ending)), asyncio.create_task(leavers(proxy, ending)),
              asyncio.create_task(flips(flipper, ending))]
    # What is taken in the first third is warmth.
    await asyncio.sleep(seconds / 3)
    points, begin = [], time.monotonic()
    while time.monotonic() - begin < seconds * 2 / 3:
        await asyncio.sleep(1)
        points.append(((time.monotonic() - begin) / 3600, proxy.memory_mb()))
    ending.set()
    for load in loads:
        await load.stop()
    closed = (await asyncio.gather(*others))[0]

    samples = [sample for load in loads for sample in load.samples]
    failed = [sample for sample in samples if sample.failure]
    report.zero(f"failed of {len(samples)} requests", len(failed), counts(sample.failure for sample in failed))
    report.at_most("p99 of an answer", p99([s.milliseconds for s in samples if not s.failure]), 500, " ms")
    report.zero("WebSockets that broke", len(closed), counts(closed))
    report.note("table generation at the end", await proxy.generation())
    journal = node.journal()
    report.zero(f"POSTs that Node saw twice, of {len(journal)}", len(journal) - len(set(journal)))
    report.note("memory at the beginning and end", f"{points[0][1]:.1f}, {points[-1][1]:.1f} MB")
    # Short runs show the noise of the allocator, some MB, as a slope; HARDENING asks for 1 MB/h in two hours.
    growth = slope(points)
    noise = 4 / (points[-1][0] - points[0][0])
    report.check("slope of the memory", f"{growth:+.1f} MB/h", growth <= max(1, noise), f"≤ {max(1, noise):.0f} MB/h in a run this short")
    report.note("file descriptors", proxy.descriptors())
    processes.end(node.process)


def slope(points):
    """By least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


async def sockets(proxy, ending):
    """Ten WebSockets that come and go. Gives how those ended that nobody had closed."""
    broken = []
    while not ending.is_set():
        opened = [await WebSocket.open(proxy.port) for _ in range(10)]
        following = [asyncio.create_task(websocket.follow()) for websocket in opened]
        for _ in range(20):
            for websocket in opened:
                if not websocket.closed:
                    await websocket.send("hello")
            await asyncio.sleep(0.25)
        broken += [websocket.closed for websocket in opened if websocket.closed]
        for websocket in opened:
            if not websocket.closed:
                await websocket.send((1000).to_bytes(2, "big"), opcode=8)
        await asyncio.wait(following, timeout=5)
    return broken


async def leavers(proxy, ending):
    """Clients that leave in the middle of an answer or of their body."""
    number = 0
    while not ending.is_set():
        number += 1
        try:
            connection = await Connection.open(proxy.port)
            if number % 2:
                await connection.send("GET", "/download?bytes=5000000")
                await connection.head()
            else:
                await connection.stream.write(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
            connection.stream.reset() if number % 3 else connection.close()
        except Broken:
            pass
        await asyncio.sleep(0.1)


async def flips(flipper, ending):
    number = 0
    while not ending.is_set():
        number += 1
        flipper.write(("node", "native")[number % 2], by_rename=number % 4 > 1, broken=number % 7 == 0)
        await asyncio.sleep(1)
    flipper.write("native", by_rename=True)
