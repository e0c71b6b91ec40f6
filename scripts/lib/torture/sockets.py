"""Floods, broken packets and limits of bridged sockets, with a witness that both sides answer all the time."""

import asyncio
import contextlib
import subprocess
import time

from . import bursts, packets, processes, sessions
from .bridged import BOTH_SIDES, bridged, sockets_node
from .client import ANYONE
from .event_flips import line
from .report import number, p99
from .socketio import Place, SocketIo, places

ABOUT = "floods, broken packets and limits of bridged Socket.IO"
# Node has its own default; here the proxy is the one who knows.
CONNECT_TIMEOUT = 45
ASSEMBLY_TIMEOUT = 60

NATIVE_ONLY = """\
[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "bridge"

[rule.all]
events = { all = ["*"] }
to = "native"
"""


async def run(stage):
    report = stage.report
    connect_timeout = 5 if stage.quick else CONNECT_TIMEOUT
    node = await sockets_node(stage, CONNECT_TIMEOUT=str(connect_timeout * 1000))
    proxy = await bridged(stage, node.port, BOTH_SIDES)
    # It is ready only once there is a Node, which is then gone for good.
    short_lived = await sockets_node(stage)
    alone = await bridged(stage, short_lived.port, NATIVE_ONLY)
    processes.end(short_lived.process)
    own = places(node.port, proxy.port)
    slow = asyncio.gather(
        silent(report, [*own[:2]], connect_timeout),
        silent_alone(report, alone),
        packets.attachments_that_never_come(report, own[1:], ASSEMBLY_TIMEOUT),
    )
    await packets.websocket(own[2], [])
    before, files = proxy.memory_mb(), proxy.descriptors()
    witness = await Witness(stage, proxy).start()
    async with phase(stage, proxy, witness, "broken packets", 48):
        await packets.run(report, own)
    async with phase(stage, proxy, witness, "sessions", 16):
        await sessions.run(report, own)
        await sessions.polls_given_up(report, own[1], 20)
    async with phase(stage, proxy, witness, "namespaces", 32):
        await bursts.namespaces(stage, own)
    async with phase(stage, proxy, witness, "flood", 10 * (bursts.QUEUE_MB + bursts.HELD_MB)):
        await bursts.flood(stage, proxy)
    # What a handler emits without a pause waits in socketioxide, packet by packet, before the bridge can see it.
    async with phase(stage, proxy, witness, "paused clients", 64):
        await bursts.burst(stage, own[2])
    await slow
    await witness.stop()
    await proxy.settles(before + 20, files)
    for proxy in stage.proxies:
        report.check("the proxy is alive", proxy.is_alive(), proxy.is_alive())
    processes.end(node.process)
    await bursts.waiting(stage)
    for name in ("resume", "bounce"):
        await bursts.losses(stage, name)


async def silent(report, own, seconds):
    """No CONNECT at all."""
    ends = []
    for place in own:
        client = await SocketIo.open(place, connect=False)
        began = time.monotonic()
        heard = await client.hear_until("never", seconds + 5)
        client.close()
        ends.append((heard, time.monotonic() - began))
    (direct, first), (through, second) = ends
    report.check("no CONNECT: through the proxy as at Node", f"{through[-1]} after {second:.1f} s",
                 direct == through and abs(second - first) < 2, f"{direct[-1]} after {first:.1f} s")


async def silent_alone(report, proxy):
    """The same without Node, where it is the proxy's own affair; others of that proxy do not notice."""
    place = Place("alone", proxy.port, ANYONE)
    clients = [await SocketIo.open(place, connect=False) for _ in range(20)]
    other = await SocketIo.open(place)
    began, cpu = time.monotonic(), processes.cpu_seconds(proxy.pid)
    heard = await asyncio.gather(*(client.hear_until("never", CONNECT_TIMEOUT + 5) for client in clients))
    lived = time.monotonic() - began
    share = (processes.cpu_seconds(proxy.pid) - cpu) / lived * 100
    closed = sum(one == ["closed 1005"] for one in heard)
    report.check("no CONNECT and no Node: of 20 closed", f"{closed} after {lived:.1f} s",
                 closed == 20 and CONNECT_TIMEOUT - 1 <= lived <= CONNECT_TIMEOUT + 3, f"20 after {CONNECT_TIMEOUT} s")
    report.at_most("no CONNECT and no Node: CPU of the proxy, of one core", share, 10, " %")
    await other.say(packets.PROBE)
    answered = (await other.hear_until(packets.PROBE_ACK))[-1]
    report.check("no CONNECT and no Node: one in a namespace", answered, answered.startswith(packets.PROBE_ACK), "is answered")
    for client in [*clients, other]:
        client.close()


@contextlib.asynccontextmanager
async def phase(stage, proxy, witness, name, most_mb):
    """Memory of the proxy before, at its peak and after, and how the witness fared."""
    report, before = stage.report, proxy.memory_mb()
    processes.reset_peak(proxy.pid)
    witness.take()
    began = time.monotonic()
    yield
    peak, after = processes.peak_mb(proxy.pid), proxy.memory_mb()
    report.at_most(f"{name}: memory at its peak, {before:.0f} MB before and {after:.0f} MB after", peak, before + most_mb, " MB")
    await asyncio.sleep(max(0, 1.5 - (time.monotonic() - began)))
    witness.report(report, name)


class Witness:
    """A client that both sides answer 20 times a second, in a process of its own."""

    def __init__(self, stage, proxy):
        self.stage, self.proxy = stage, proxy
        self.times = {"node": [], "native": []}
        self.failure = None

    async def start(self):
        command = [self.stage.example("event_load"), "--port", self.proxy.port, "witness"]
        self.process = self.stage.start(command, "witness", stdout=subprocess.PIPE)
        self.task = asyncio.create_task(self.follow())
        return self

    async def follow(self):
        with contextlib.suppress(RuntimeError):
            while True:
                told = await line(self.process)
                if "error" in told:
                    self.failure = told["error"]
                    return
                for side, times in self.times.items():
                    times += told[side]["times"]
                    if told[side]["waits"]:
                        times.append(told[side]["waits"])

    def take(self):
        taken, self.times = self.times, {"node": [], "native": []}
        return taken

    def report(self, report, name):
        report.check(f"{name}: the witness", self.failure or "undisturbed", self.failure is None, "undisturbed")
        for side, times in self.take().items():
            report.check(f"{name}: {len(times)} round trips of the witness to {side}, p99 / max",
                         f"{number(p99(times))} / {number(max(times, default=float('inf')))} ms",
                         bool(times) and max(times) <= LIMITS_MS[side], f"≤ {LIMITS_MS[side]} ms")

    async def stop(self):
        processes.end(self.process)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


# Node is one thread, which a flood keeps busy also without the proxy.
LIMITS_MS = {"node": 5000, "native": 1000}
