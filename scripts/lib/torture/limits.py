"""What one address, or many clients, may take from the others: descriptors and memory. A client of another address, or a
canary, must not notice for longer than a moment."""

import asyncio
import contextlib
import time

from . import processes
from .bridged import sockets_node
from .client import Connection
from .frames import H2Connection, PING, frame
from .http2 import INITIAL_WINDOW, ask, streams
from .load import Canary
from .socketio import Place, SocketIo
from .stream import ANYONE, Broken, Stream

ABOUT = "what one address or many clients may take from the others: descriptors and memory"
FILES = 1024
ELSEWHERE = "127.0.0.2"

SOCKET = """\
[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "bridge"
"""
NATIVE_ONLY = SOCKET + """
[rule.all]
events = { all = ["*"] }
to = "native"
"""


async def run(stage):
    await zero_windows(stage)
    await slow_readers(stage)
    await connections(stage)
    await unconnected(stage)
    await memory(stage)
    await stage_ends(stage)


async def stage_ends(stage):
    for proxy in stage.proxies:
        stage.report.check("the proxy is alive", proxy.is_alive(), proxy.is_alive())


async def zero_windows(stage):
    """12 connections with 100 streams each, whose window is zero, and pings all the time."""
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port, files=FILES)
    limit = await proxy.metric('strangler_limit{name="node_requests"}')
    await Canary.warm_up(proxy.port, "/elsewhere")
    files = proxy.descriptors()
    floods = [await H2Connection.open(proxy.port, (INITIAL_WINDOW, 0)) for _ in range(12)]
    for flood in floods:
        await flood.write(b"".join(ask(stream, path=b"/download?bytes=10000000") for stream in streams(100)))

    async def ping(flood):
        with contextlib.suppress(Broken):
            while True:
                await flood.write(frame(PING, 0, 0, b"12345678"))
                await asyncio.sleep(0.1)

    pings = [asyncio.create_task(ping(flood)) for flood in floods]
    # Node itself needs a moment for the downloads that it has begun.
    await asyncio.sleep(8)
    canary = Canary(proxy.port, "/elsewhere").start()
    await asyncio.sleep(5 if stage.quick else 20)
    await canary.stop()
    canary.report(report)
    held = await proxy.metric("strangler_node_requests ")
    report.at_most("12 × 100 zero windows with pings: connections to Node held", held, limit / 2 + 5)
    ended = await proxy.metric('strangler_ended_total{reason="no-progress"}')
    report.note("12 × 100 zero windows with pings: streams ended", int(ended))
    for task in pings:
        task.cancel()
    for flood in floods:
        flood.close()
    await proxy.settles(proxy.memory_mb(), files, "zero windows: ")
    processes.end(node.process)


async def slow_readers(stage):
    """Readers that pause, twice as many as Node's places: half of them may go on doing so."""
    report = stage.report
    node = await stage.node()
    places = 40
    proxy = await stage.proxy(node.port, limits=f"node_requests = {places}\nlegs_per_address = {places}")
    readers = []
    for number in range(2 * places):
        connection = await Connection.open(proxy.port, receive_buffer=2048)
        await connection.send("GET", "/download?bytes=20000000")
        readers.append(connection)
        if number == places // 2 - 1:
            await asyncio.sleep(4)
            ended = await proxy.metric('strangler_ended_total{reason="no-progress"}')
            report.zero("slow readers in half of the places: ended", int(ended))
    began = time.monotonic()
    while await proxy.metric("strangler_node_requests ") > places / 2 and time.monotonic() < began + 20:
        await asyncio.sleep(0.1)
    report.at_most("slow readers in all places: half are free again after", time.monotonic() - began, 5, " s")
    for reader in readers:
        reader.close()
    processes.end(node.process)


async def connections(stage):
    """One address opens more connections than there are descriptors; another one is served."""
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port, files=FILES)
    crowd = []
    for _ in range(1500):
        with contextlib.suppress(Broken, TimeoutError):
            async with asyncio.timeout(1):
                crowd.append(await Stream.tcp(proxy.port, local_address=ELSEWHERE))
    canary = Canary(proxy.port, "/elsewhere").start()
    await asyncio.sleep(3 if stage.quick else 8)
    await canary.stop()
    canary.report(report)
    held = await proxy.metric("strangler_open_connections ")
    limit = await proxy.metric('strangler_limit{name="connections_per_address"}')
    report.at_most("1500 connections of one address: open", held, limit + 10)
    for stream in crowd:
        stream.close()
    processes.end(node.process)


async def unconnected(stage):
    """40 Engine.IO handshakes a second, and no CONNECT."""
    report = stage.report
    node = await sockets_node(stage)
    proxy = await stage.proxy(node.port, SOCKET, files=FILES, binary=stage.example("sockets"), native='app = "sockets"')
    place = Place("proxy", proxy.port, ANYONE)
    seconds = 5 if stage.quick else 15
    for _ in range(40 * seconds):
        began = time.monotonic()
        with contextlib.suppress(Broken):
            await place.ask("GET", "&transport=polling")
        await asyncio.sleep(max(0, 0.025 - (time.monotonic() - began)))
    limit = await proxy.metric('strangler_limit{name="unconnected_sessions"}')
    waiting = await proxy.metric("strangler_unconnected_sessions ")
    report.at_most("handshakes without CONNECT: sessions that wait for it", waiting, limit)
    report.at_most("handshakes without CONNECT: descriptors", proxy.descriptors(), 2 * limit + 100)
    began = time.monotonic()
    client = await SocketIo.open(place)
    report.at_most("handshakes without CONNECT: another client is in after", (time.monotonic() - began) * 1000, 1000, " ms")
    client.close()
    processes.end(node.process)


async def memory(stage):
    """Clients that do not read, each with one small event whose handler emits 4 MB."""
    report = stage.report
    short_lived = await sockets_node(stage)
    budget, count = 32, 60 if stage.quick else 200
    proxy = await stage.proxy(short_lived.port, NATIVE_ONLY, limits=f'memory = "{budget}MiB"',
                              binary=stage.example("sockets"), native='app = "sockets"')
    processes.end(short_lived.process)
    place = Place("proxy", proxy.port, ANYONE)
    witness = await SocketIo.open(place)
    before = proxy.memory_mb()
    processes.reset_peak(proxy.pid)
    clients = []
    for _ in range(count):
        client = await SocketIo.open(place, receive_buffer=4096)
        await client.say('42["big",4000000]')
        clients.append(client)
    await asyncio.sleep(2)
    waiting = await proxy.metric("strangler_waiting_bytes ")
    ended = await proxy.metric('strangler_ended_total{reason="memory"}')
    report.at_most(f"{count} × 4 MB for nobody: bytes that wait", waiting / 2**20, budget, " MiB")
    report.check(f"{count} × 4 MB for nobody: clients ended", int(ended), ended > 0, "> 0")
    # An event of 4 MB is in the handler, in socketioxide and in the bridge at once.
    report.at_most(f"{count} × 4 MB for nobody: peak memory", processes.peak_mb(proxy.pid) - before, 3 * budget, " MB")
    await witness.say('42["message",1]')
    heard = await witness.hear_until('42["message-back"')
    report.check(f"{count} × 4 MB for nobody: another client", heard[-1][:40], heard[-1].startswith('42["message-back"'), "is answered")
    for client in clients:
        client.close()
    witness.close()
