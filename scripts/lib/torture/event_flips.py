"""A rule of events flipped a thousand times in a minute, while clients wait for the echoes of what they send."""

import asyncio
import json
import subprocess

from .flips import Flipper
from .stage import HERE

ABOUT = "a rule of events flipped while clients wait for their echoes"
SOCKETS = HERE.parents[2] / "tests/legacy/sockets"
CLIENTS, RATE = 100, 50


def rules(side):
    return ('[socket.all]\nkind = "socket.io"\npath = "/socket.io/"\nmode = "bridge"\nonce = [{ name = "auth" }]\n\n'
            f'[rule.flipped]\nevents = {{ all = ["side", "message-with-ack"] }}\nto = "{side}"\n')


async def run(stage):
    report = stage.report
    check_packages()
    node = await stage.node(script=SOCKETS / "server.js")
    proxy = await stage.proxy(node.port, rules("node"), binary=stage.example("sockets"), native='app = "sockets"')
    seconds = 6 if stage.quick else 60
    flips = 1000 * seconds // 60
    # Some time at both ends without flips, so that every one of them meets traffic.
    command = [stage.example("event_load"), "--port", proxy.port, "flips", CLIENTS, RATE, seconds + 2]
    load = stage.start(command, "event_load", stdout=subprocess.PIPE)
    connected = await line(load)
    report.check("clients connected", connected.get("connected"), connected.get("connected") == CLIENTS, CLIENTS)
    flipper = Flipper(proxy, rules)
    before = await proxy.generation()
    await asyncio.sleep(1)
    await flipper.run(flips, seconds / flips)
    result = await line(load)
    if "error" in result:
        raise RuntimeError(result["error"])
    judge(report, result)
    # Edits that come together are one generation, and what was flipped back in between was never in force.
    report.note(f"generations of {flips} flips", await proxy.generation() - before)
    report.note("changes of the side, as clients saw them", result["changes"])
    report.note("back from " + ", ".join(sorted(result["by_side"])), " / ".join(
        str(count) for _, count in sorted(result["by_side"].items())))
    report.note("round trip, median / p99", f"{result['p50_us'] / 1000:.1f} / {result['p99_us'] / 1000:.1f} ms")


def judge(report, result):
    sent = result["sent"]
    report.zero("clients that broke off", len(result["broken"]), "; ".join(result["broken"][:3]))
    report.zero(f"lost of {sent} messages", result["lost"])
    report.zero("answered twice", result["doubled"])
    report.zero("out of order on one side", result["disordered"])
    report.zero(f"acknowledged twice or to nobody, beside {result['acknowledged']}", result["odd_acks"])
    sides = sorted(result["by_side"])
    report.check("sides that answered", ", ".join(sides), sides == ["native", "node"], "both")


def check_packages():
    if not (SOCKETS / "node_modules").exists():
        raise RuntimeError(f"{SOCKETS} has no packages: scripts/test prepare")


async def line(process):
    """The next report of the load."""
    text = await asyncio.to_thread(process.stdout.readline)
    if not text:
        raise RuntimeError("the load has ended without a report")
    return json.loads(text)
