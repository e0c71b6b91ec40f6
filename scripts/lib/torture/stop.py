"""SIGTERM while requests, uploads, long polls and WebSockets are under way."""

import asyncio
import os
import signal
import time

from . import processes
from .client import Connection
from .load import Load
from .report import counts, median
from .stream import Broken
from .websocket import WebSocket

ABOUT = "SIGTERM under load, with uploads, long polls and WebSockets"
DRAIN = 10


async def run(stage):
    for websockets in (50, 200):
        await once(stage, websockets)
    await with_a_reader_that_hangs(stage)


async def once(stage, websockets):
    report, name = stage.report, f"{websockets} WebSockets"
    node = await stage.node()
    proxy = await stage.proxy(node.port, server=f'drain = "{DRAIN}s"')
    upload = b"u" * 500_000
    loads = [
        Load(proxy.port, 180, lambda _: ("GET", "/elsewhere", b"", None), connections=40),
        Load(proxy.port, 60, lambda _: ("GET", "/api/drivers", b"", None), connections=10),
        Load(proxy.port, 20, lambda _: ("POST", "/upload?rate=2000000", upload, None), connections=10),
        Load(proxy.port, 10, lambda _: ("GET", "/slow?ms=2000", b"", None), connections=20),
        Load(proxy.port, 30, lambda _: ("GET", "/fresh", b"", None), connections=10, fresh=True),
    ]
    sockets = await asyncio.gather(*(WebSocket.open(proxy.port) for _ in range(websockets)))
    following = [asyncio.create_task(websocket.follow()) for websocket in sockets]
    talking = asyncio.create_task(talk(sockets))
    for load in loads:
        load.start()
    await asyncio.sleep(4)
    for load in loads:
        load.expect_refusal()
    asked = time.monotonic()
    os.kill(proxy.pid, signal.SIGTERM)
    code = await asyncio.to_thread(proxy.process.wait, DRAIN + 10)
    took = time.monotonic() - asked
    await asyncio.wait(following, timeout=5)
    talking.cancel()
    for load in loads:
        await load.stop()

    samples = [sample for load in loads for sample in load.samples]
    report.note(f"{name}: requests / done after SIGTERM", f"{len(samples)} / {sum(s.done > asked for s in samples)}")
    failed = [sample for sample in samples if sample.failure]
    early = [sample for sample in failed if "handshake" in sample.failure and sample.sent > asked]
    lost = [sample for sample in failed if sample not in early]
    report.zero(f"{name}: failed requests", len(lost), counts(sample.failure for sample in lost))
    report.zero(f"{name}: connections taken by the kernel and then reset", len(early), counts(s.failure for s in early))
    codes = [websocket.closed or "open" for websocket in sockets]
    report.check(f"{name}: closed with", counts(codes), set(codes) == {"1001"}, "1001")
    report.note(f"{name}: messages that each got, median", median([websocket.messages for websocket in sockets]))
    stats = await node.ask("/stats")
    report.check(f"{name}: close codes that Node got", stats["closeCodes"], stats["closeCodes"] == {"1001": websockets}, "1001")
    report.check(f"{name}: exit code", code, code == 0, "0")
    report.at_most(f"{name}: time to the exit", took, DRAIN, " s")
    processes.end(node.process)


async def talk(sockets):
    """About 300 messages a second over all of them."""
    while True:
        for websocket in sockets:
            if not websocket.closed:
                try:
                    await websocket.send("hello")
                except (Broken, OSError):
                    pass
            await asyncio.sleep(1 / 300)


async def with_a_reader_that_hangs(stage):
    """A client that does not take its answer, an event stream and an idle connection do not hold up the end."""
    report, drain = stage.report, 3
    node = await stage.node()
    proxy = await stage.proxy(node.port, server=f'drain = "{drain}s"')
    stuck = await Connection.open(proxy.port, receive_buffer=4096)
    await stuck.send("GET", "/download?bytes=50000000")
    stream = await Connection.open(proxy.port)
    await stream.send("GET", "/events?count=1000&ms=100")
    idle = await Connection.open(proxy.port)
    await idle.request("GET", "/elsewhere")
    await asyncio.sleep(0.5)
    asked = time.monotonic()
    os.kill(proxy.pid, signal.SIGTERM)
    ended = await idle.stream.until_closed(drain + 2)
    report.check("hanging clients: an idle connection ends with", ended, ended == "closed", "closed")
    report.at_most("hanging clients: an idle connection ends after", time.monotonic() - asked, 2, " s")
    code = await asyncio.to_thread(proxy.process.wait, drain + 10)
    took = time.monotonic() - asked
    report.check("hanging clients: exit code", code, code == 0, "0")
    report.check(f"hanging clients: cut after drain = {drain} s", f"{took:.2f} s", drain - 0.1 <= took <= drain + 1,
                 f"{drain}–{drain + 1} s")
    for connection in (stuck, stream, idle):
        connection.close()
    processes.end(node.process)
