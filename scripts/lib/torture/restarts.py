"""SIGUSR2 again and again: a successor takes the sockets over, and nobody notices."""

import asyncio
import os
import signal
import time

from . import processes
from .load import Load
from .report import p99, spread

ABOUT = "10 restarts by SIGUSR2 in 30 s under new and kept connections"


async def run(stage):
    report = stage.report
    restarts, pause = (4, 3) if stage.quick else (10, 3)
    node = await stage.node()
    proxy = await stage.proxy(node.port, server='drain = "20s"')
    posts = lambda number: ("POST", f"/journal?id=r{number}", b"x" * 100, f"r{number}")  # noqa: E731
    loads = [
        Load(proxy.port, 100, lambda _: ("GET", "/elsewhere", b"", None), connections=20),
        Load(proxy.port, 50, posts, connections=10),
        Load(proxy.port, 50, lambda _: ("GET", "/api/drivers", b"", None), connections=10),
        Load(proxy.port, 100, lambda _: ("GET", "/fresh", b"", None), connections=20, fresh=True),
        Load(proxy.port, 2, lambda _: ("GET", "/slow?ms=1500", b"", None), connections=6),
    ]
    for load in loads:
        load.start()
    await asyncio.sleep(2)
    pids, takeovers, endings = [proxy.pid], [], []
    for _ in range(restarts):
        begun = time.monotonic()
        successor = await replace(pids[-1])
        takeovers.append((time.monotonic() - begun) * 1000)
        pids.append(successor)
        await asyncio.sleep(max(0, begun + pause - time.monotonic()))
    for load in loads:
        await load.stop()
    began = time.monotonic()
    while any(processes.is_running(pid) for pid in pids[:-1]) and time.monotonic() - began < 20:
        await asyncio.sleep(0.05)
    endings.append(time.monotonic() - began)

    report.note("restarts: exec of the successor after the signal, median / p99 / max", spread(takeovers))
    for load, name in zip(loads, ("kept GETs to Node", "kept POSTs to Node", "kept GETs to native", "fresh connections", "long polls")):
        load.report(report, name)
    short = [milliseconds for load in loads[:4] for milliseconds in load.milliseconds()]
    report.at_most(f"p99 of {len(short)} requests without the long polls", p99(short), 250, " ms")
    journal = node.journal()
    report.zero(f"POSTs that Node saw twice, of {len(journal)}", len(journal) - len(set(journal)))
    left = [pid for pid in pids[:-1] if processes.is_running(pid)]
    report.zero(f"predecessors that still run, {endings[0]:.1f} s after the load", len(left))
    report.check("the last successor serves", "yes" if processes.is_running(pids[-1]) else "no", processes.is_running(pids[-1]), "yes")
    report.note("memory of the last successor", f"{processes.memory_mb(pids[-1]):.1f} MB")
    os.kill(pids[-1], signal.SIGTERM)
    processes.wait_for("the end of the last successor", lambda: not processes.is_running(pids[-1]), 25)


async def replace(pid):
    """Signals one process and finds the one that it starts; serving begins when the predecessor is told to end."""
    before = set(processes.children(pid))
    os.kill(pid, signal.SIGUSR2)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        started = set(processes.children(pid)) - before
        for child in started:
            if await serves(child):
                return child
        await asyncio.sleep(0.005)
    raise TimeoutError("no successor came")


async def serves(pid):
    """Its threads are there: it has bound, loaded and begun to accept."""
    names = set()
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as name:
                names.add(name.read().strip())
    except OSError:
        return False
    return any(name.startswith("acceptor") for name in names)
