"""More than one client can take, or a server: floods, namespaces, a Node that is killed, a client that does not read."""

import asyncio
import contextlib
import subprocess
import time

from . import processes
from .bridged import bridged, sockets_node, with_node_loss
from .event_flips import line
from .packets import PROBE, PROBE_ACK
from .report import counts, number
from .socketio import SocketIo, frame, places, short
from .stream import Broken

# Of one client, beyond which it is ended (`queue` of a socket, 4 MiB by default, and what native may have to do for it).
QUEUE_MB = 4
HELD_MB = 4
MOST_NAMESPACES = 1_000
# Their size, the event that native emits them for, their count, and whether a client that does not read may have them all.
BURSTS = [("small", "burst", 2_000, True), ("of 10 kB", "big", 2_000, False), ("small", "burst", 200_000, False)]
# What others may wait meanwhile.
LIMIT_MS = 1000


async def load(stage, proxy, *command):
    return stage.start([stage.example("event_load"), "--port", proxy.port, *command], "event_load", stdout=subprocess.PIPE)


async def result(process):
    told = await line(process)
    if "error" in told:
        raise RuntimeError(told["error"])
    return told


async def flood(stage, proxy):
    report, clients, rate, seconds = stage.report, 10, 10_000, 2 if stage.quick else 10
    told = await result(await load(stage, proxy, "flood", clients, rate, seconds))
    name = f"{clients} sockets × {rate} events/s"
    report.zero(f"{name}: broken, lost, doubled or out of order", len(told["broken"]), short("; ".join(told["broken"]), 200))
    report.check(f"{name}: back", told["back"], told["back"] == told["sent"], told["sent"])
    report.note(f"{name}: answered a second, of both sides", number(told["back"] / told["seconds"]))
    for side in ("node", "native"):
        report.note(f"{name}: round trip to {side}, median / p99",
                    f"{(told[side]['p50_us'] or 0) / 1000:.0f} / {(told[side]['p99_us'] or 0) / 1000:.0f} ms")


async def namespaces(stage, places):
    """As many as a client may have are served; of 10,000 the client is ended at the bound, which Node does not have."""
    report = stage.report
    for place in places[1:]:
        client = await SocketIo.open(place)
        began = time.monotonic()
        some = MOST_NAMESPACES - 1
        await client.say_all([f"40/dynamic-{n}," for n in range(some)])
        joined = 0
        async with asyncio.timeout(60):
            while joined < some:
                joined += (await client.hear()).startswith("40/dynamic-")
        await client.say(f'42/dynamic-{some - 1},7["message-with-ack",1]')
        heard = await client.hear_until(f"43/dynamic-{some - 1},7[1]")
        client.close()
        report.check(f"{place.name}: {MOST_NAMESPACES} namespaces of one client are served", short(heard[-1]),
                     heard[-1] == f"43/dynamic-{some - 1},7[1]", f"{time.monotonic() - began:.1f} s")
        client = await SocketIo.open(place)
        began = time.monotonic()
        asked = asyncio.create_task(client.say_all([f"40/dynamic-{n}," for n in range(10_000)]))
        heard = await client.hear_until("never", 60)
        await asyncio.gather(asked, return_exceptions=True)
        client.close()
        report.check(f"{place.name}: 10,000 namespaces, after {len(heard) - 1} packets", heard[-1],
                     heard[-1] == "closed 1005", "closed 1005")
        report.at_most(f"{place.name}: 10,000 namespaces, ended after", time.monotonic() - began, 10, " s")


async def burst(stage, place):
    """Events to a client that does not read; as many as it may have later, and more than may wait for it."""
    report = stage.report
    for name, event, count, fits in BURSTS:
        client = await SocketIo.open(place, receive_buffer=4096)
        wanted = [f'42["burst",{count}]'] if event == "burst" else ['42["big",10000]'] * count
        asked = asyncio.create_task(client.say_all(wanted))
        # Long enough for the handler to have said everything, or the proxy to have enough of it.
        await asyncio.sleep(2)
        got, ending = 0, "open"
        try:
            async with asyncio.timeout(20):
                while got < count:
                    packet = await client.hear()
                    expected = f'42["numbered",{got}]' if event == "burst" else f'42["big-back","{"x" * 10000}"]'
                    if packet != expected:
                        raise Broken("out of order", packet[:60])
                    got += 1
                await client.say(PROBE)
                await client.hear_until(PROBE_ACK)
        except Broken as broken:
            ending = broken.kind
        except TimeoutError:
            ending = "silence"
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        client.close()
        shown = f"{got} and {ending}"
        if fits:
            holds, wanted = shown == f"{count} and open", f"{count} and open"
        else:
            whole, closed = (got == count and ending == "open"), ending in ("cut", "reset", "end")
            holds, wanted = whole or closed, "all, or closed"
        report.check(f"native emits {count} events, {name}, to a paused client", shown, holds, wanted)


async def waiting(stage):
    """Small events for a Node that is away, of some clients; what others say to native must not wait for that."""
    report, floods, count = stage.report, 4, 50_000 if stage.quick else 200_000
    node = await sockets_node(stage)
    proxy = await bridged(stage, node.port, with_node_loss("resume"))
    _, to_node, to_native = places(node.port, proxy.port)
    nuisances = [await SocketIo.open(to_node) for _ in range(floods)]
    others = [await SocketIo.open(to_native) for _ in range(4)]
    processes.end(node.process)
    before = proxy.memory_mb()
    processes.reset_peak(proxy.pid)
    began, stopped, times = time.monotonic(), asyncio.Event(), []

    async def other(client):
        number = 0
        while not stopped.is_set():
            asked = time.monotonic()
            await client.say(f'42["message",{number}]')
            heard = await client.hear_until(f'42["message-back",{number}]', 60)
            times.append((time.monotonic() - asked) * 1000 if len(heard) == 1 else float("inf"))
            number += 1
            await asyncio.sleep(0.02)

    async def nuisance(client):
        with contextlib.suppress(Broken):
            # Several times what may wait for one client.
            for _ in range(100):
                await client.connection.stream.write(frame('42["x"]') * (count // 100))
        # Who is ended hears no close frame: it is to come back, as when the network breaks.
        return (await client.hear_until("never", 20))[-1]

    asking = [asyncio.create_task(other(client)) for client in others]
    async with asyncio.timeout(120):
        ends = await asyncio.gather(*(nuisance(client) for client in nuisances))
    stopped.set()
    await asyncio.gather(*asking)
    name = f"{floods} × {count} small events for a Node that is away"
    report.note(f"{name}: how it ended", f"{counts(ends)}, {time.monotonic() - began:.0f} s")
    report.at_most(f"{name}: slowest answer of native to others", max(times), LIMIT_MS, " ms")
    report.at_most(f"{name}: memory at its peak, {before:.0f} MB before", processes.peak_mb(proxy.pid),
                   before + floods * 2 * QUEUE_MB + 8, " MB")
    for client in [*nuisances, *others]:
        client.close()


async def losses(stage, name):
    """Node is killed while clients wait for acknowledgements, and comes back after two seconds."""
    report, clients, rate, seconds = stage.report, 100, 10, 10
    node = await sockets_node(stage)
    proxy = await bridged(stage, node.port, with_node_loss(name))
    asking = await load(stage, proxy, "losses", clients, rate, seconds)
    await result(asking)
    await asyncio.sleep(3)
    gone = time.time()
    node.kill()
    await asyncio.sleep(2)
    await node.restart()
    back = time.time()
    told = await result(asking)
    disconnected = told["disconnected"]
    expected = 0 if name == "resume" else clients
    report.check(f"Node killed, {name}: of {clients} clients disconnected", disconnected, disconnected == expected, expected)
    if name == "bounce":
        report.at_most("Node killed, bounce: the last client is back after", told["away"] or 0, back - gone + 3, " s")
    report.zero(f"Node killed, {name}: acks twice, or of another connection", told["odd_acks"])
    for side, (asked, acked, missing) in zip(("node", "native"), zip(told["asked"], told["acknowledged"], told["unanswered"])):
        report.note(f"Node killed, {name}: {side} asked / acknowledged / not", f"{asked} / {acked} / {len(missing)}")
        # What Node had when it died is lost with it; nothing else is.
        other = [round(at - gone, 2) for at in missing if not gone - 2 <= at <= gone + 1]
        report.zero(f"Node killed, {name}: {side} not acknowledged, but for what was under way", len(other), short(counts(other), 120))
    if name == "resume":
        report.zero("Node killed, resume: native not acknowledged", len(told["unanswered"][1]))
    processes.end(node.process)
