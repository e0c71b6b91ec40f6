"""A log that nobody reads, whose reader left, or whose disk is full. Every request must be answered all the same."""

import asyncio
import fcntl
import os
import signal
import time

from . import processes
from .frames import ACK, PING, H2Connection, frame
from .load import Canary
from .stream import Broken

ABOUT = "a log that cannot be written"
# Of each frame, the log at this level says several lines.
LEVEL = {"RUST_LOG": "info,h2=trace"}
FRAMES = 200
# More than the proxy keeps for a slow reader, see BUFFER_BYTES.
WANTED_LOST = 10_000


async def run(stage):
    await attempt(stage, "the reader of the log left", *gone())
    await attempt(stage, "nobody reads the log", *stuck())
    await attempt(stage, "the disk is full", open("/dev/full", "wb"), None)


def gone():
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "wb"), None


def stuck():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    return open(writer, "wb"), open(reader, "rb")


async def attempt(stage, name, log, reader):
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port, environment=LEVEL, log=log)
    await Canary.warm_up(proxy.port, "/api/drivers")
    canary = Canary(proxy.port, "/api/drivers").start()
    began, lost = time.monotonic(), 0
    # Long enough for the canary to notice.
    while (lost < WANTED_LOST or time.monotonic() < began + 5) and time.monotonic() < began + 60 and proxy.is_alive():
        try:
            await chatter(proxy.port)
            lost = await proxy.metric("strangler_log_lines_lost_total ")
        except Broken:
            break
    await canary.stop()
    report.check(f"{name}: lost lines are counted", int(lost), lost >= WANTED_LOST, f"≥ {WANTED_LOST}")
    report.check(f"{name}: the proxy lives", proxy.is_alive(), proxy.is_alive(), "True")
    canary.report(report)
    asked = time.monotonic()
    if proxy.is_alive():
        os.kill(proxy.pid, signal.SIGTERM)
    code = await asyncio.to_thread(proxy.process.wait, 15)
    report.check(f"{name}: exit code after SIGTERM", code, code == 0, "0")
    report.at_most(f"{name}: time to the exit", time.monotonic() - asked, 5, " s")
    if reader:
        reader.close()
    processes.end(node.process)


async def chatter(port):
    """Frames of which the proxy logs a lot, and all of which it answers."""
    connection = await H2Connection.open(port)
    await connection.write(frame(PING, 0, 0, b"chatter!") * FRAMES)
    answered = 0
    while answered < FRAMES:
        answer = await connection.read_frame()
        if answer is None:
            raise Broken("closed")
        answered += answer[:2] == (PING, ACK)
    connection.close()
