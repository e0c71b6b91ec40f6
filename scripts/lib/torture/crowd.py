"""Thousands of Socket.IO clients over TLS that stay, with a leg to each side and nothing to say but pongs."""

import asyncio
import subprocess
import time

from . import processes
from .bridged import BOTH_SIDES, bridged, sockets_node
from .event_flips import line
from .report import counts

ABOUT = "thousands of Socket.IO clients with both legs, and their pings"
# What an idle TLS connection may cost (`clients`), and what a bridged client with both legs may cost (`scripts/bench events`).
TLS_KB, BRIDGED_KB = 20, 32

async def run(stage):
    report = stage.report
    clients, seconds, interval, timeout = (500, 15, 4, 8) if stage.quick else (5000, 120, 25, 20)
    node = await sockets_node(stage, PING_INTERVAL=str(interval * 1000), PING_TIMEOUT=str(timeout * 1000))
    proxy = await bridged(stage, node.port, BOTH_SIDES)
    before, files = proxy.memory_mb(), proxy.descriptors()
    load = stage.start([stage.example("event_load"), "--port", proxy.port, "crowd", clients, seconds], "event_load",
                       stdout=subprocess.PIPE)
    joined = await line(load)
    if "error" in joined:
        raise RuntimeError(joined["error"])
    report.check("clients connected", joined["connected"], joined["connected"] == clients, f"{clients} {show(joined['failed'])}")
    report.note("they connected in", f"{joined['seconds']:.1f} s")
    # Also the one that answers no ping.
    for side in ("node", "native"):
        legs = int(await proxy.metric(f'strangler_legs{{side="{side}"}} '))
        report.check(f"legs to {side}", legs, legs == clients + 1, clients + 1)
    full, cpu, began = proxy.memory_mb(), processes.cpu_seconds(proxy.pid), time.monotonic()
    result = await line(load)
    # As long as the clients are there: `event_load` leaves after this line.
    share = (processes.cpu_seconds(proxy.pid) - cpu) / (time.monotonic() - began) * 100
    if "error" in result:
        raise RuntimeError(result["error"])
    gone = sum(result["gone"].values())
    report.zero(f"gone within {seconds} s, or without an answer of both sides then", gone, show(result["gone"]))
    report.check("answered by both sides at the end", result["answered"], result["answered"] == clients, clients)
    # From pong to ping, so that a slow round trip makes the interval longer.
    fewest = (seconds - 1) // interval
    report.check("fewest pings that a client answered", result["fewest_pings"], (result["fewest_pings"] or 0) >= fewest, f"≥ {fewest}")
    report.note("pings that all of them answered", result["pings"])
    deaf = result["deaf_seconds"]
    report.check("one that answers no ping is ended after", f"{deaf:.1f} s" if deaf else "never",
                 deaf is not None and deaf <= interval + timeout + 3, f"≤ {interval + timeout + 3} s")
    for side in ("node", "native"):
        report.note(f"{clients} at once asked {side}, median / p99",
                    f"{result[side]['p50_us'] / 1000:.0f} / {result[side]['p99_us'] / 1000:.0f} ms")
    report.note("memory of the proxy before / with all / at its peak",
                f"{before:.0f} / {full:.0f} / {processes.peak_mb(proxy.pid):.0f} MB")
    each, name = (full - before) * 1024 / clients, "memory of the proxy per client, both legs and TLS"
    if stage.quick:
        # Few of them share what the first ones cost.
        report.note(name, f"{each:.1f} KB")
    else:
        report.at_most(name, each, TLS_KB + BRIDGED_KB, " KB")
    report.note("CPU of the proxy meanwhile, of one core", f"{share:.0f} %")
    report.note("memory of Node with all", f"{processes.memory_mb(node.process.pid):.0f} MB")
    await asyncio.to_thread(load.wait)
    await proxy.settles(full, files)


def show(failures):
    return counts(failure for failure, count in failures.items() for _ in range(count))
