"""Clients that make the proxy wait, and too many of them. Meanwhile a canary on another route must not notice."""

import asyncio
import ssl
import time

from . import processes
from .client import Connection, fetch
from .load import Canary, Load
from .report import counts
from .stream import ANYONE, Broken, Stream, client_tls

ABOUT = "silent, stalled, slow and too many clients"
NO_ALPN = client_tls(alpn=())
H2 = client_tls(alpn=("h2",))
# A close comes a little after its deadline: timers, and hundreds of them at once.
SLACK = 1.0


async def run(stage):
    many, some = (100, 60) if stage.quick else (500, 300)
    await slow_ones(stage, many, some)
    await too_many(stage)
    await idle(stage, 1000 if stage.quick else 10_000, 10 if stage.quick else 60)


async def slow_ones(stage, many, some):
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port)
    kinds = [
        ("silent TCP", silent_tcp, many, 10), ("stalled handshake", stalled_handshake, many, 10),
        ("silent after TLS", silent_tls, many, 10), ("silent after TLS, no ALPN", silent_no_alpn, many, 10),
        ("silent after TLS, h2", silent_h2, many, 10), ("slow headers", slow_headers, some, 10),
        ("slow headers after an answer", slow_second_headers, some, 10),
        ("slow body", slow_body, some, 30), ("slow body to native", slow_native_body, some, 30),
    ]
    # Once with few of each: what the allocator takes for that, it keeps.
    await asyncio.gather(*(attempt(kind, proxy.port, 1, asyncio.Semaphore(20)) for _, kind, _, _ in kinds[:6] for _ in range(20)))
    await Canary.warm_up(proxy.port, "/api/drivers")
    memory, files = proxy.memory_mb(), proxy.descriptors()
    canary = Canary(proxy.port, "/api/drivers").start()
    for name, kind, count, limit in kinds:
        processes.reset_peak(proxy.pid)
        gate = asyncio.Semaphore(20)
        results = await asyncio.gather(*(attempt(kind, proxy.port, limit + 8, gate) for _ in range(count)))
        lives = [lived for ending, lived in results if ending != "open"]
        still = sum(ending == "open" for ending, _ in results)
        shown = f"{min(lives):.1f}–{max(lives):.1f} s" if lives else "never"
        if still:
            shown += f", {still} open"
        report.check(f"{count} × {name}: closed", shown, not still and max(lives) <= limit + SLACK, f"≤ {limit} s")
        report.note(f"{count} × {name}: how, and peak memory", f"{counts(e for e, _ in results)}, {processes.peak_mb(proxy.pid):.0f} MB")
    await slow_readers(report, proxy, some)
    await canary.stop()
    canary.report(report)
    await proxy.settles(memory + 20, files, "slow clients: ")
    processes.end(node.process)


async def slow_readers(report, proxy, count):
    """They do no harm, so they stay: `limits` has those that do."""
    processes.reset_peak(proxy.pid)
    memory, gate = proxy.memory_mb(), asyncio.Semaphore(20)
    results = await asyncio.gather(*(attempt(slow_read, proxy.port, 35, gate) for _ in range(count)))
    ended = [ending for ending, _ in results if ending != "open"]
    report.zero(f"{count} × slow read: ended within 35 s, without pressure", len(ended), counts(ended))
    report.at_most(f"{count} × slow read: memory", processes.peak_mb(proxy.pid) - memory, count * 0.2, " MB")


async def attempt(kind, port, patience, gate):
    """How the connection ended, and how long it lived from the moment at which the client began to be slow."""
    stream = None
    try:
        async with gate:
            stream, slow = await kind(port)
        began = time.monotonic()
        # Nobody reads until then; a slow writer notices the end when a write fails.
        task = asyncio.create_task(slow(stream)) if slow else None
        try:
            async with asyncio.timeout(patience):
                if task:
                    ending = await task
                else:
                    ending = await stream.until_closed(patience)
        except TimeoutError:
            ending = "open"
        return ending, time.monotonic() - began
    except Broken as broken:
        return broken.kind, 0.0
    finally:
        if stream:
            stream.close()


async def silent_tcp(port):
    return await Stream.tcp(port), None


async def stalled_handshake(port):
    stream = await Stream.tcp(port)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ANYONE.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = outgoing.read()
    await stream.write(hello[:len(hello) // 2])
    return stream, None


async def silent_tls(port):
    return await Stream.tls(port), None


async def silent_no_alpn(port):
    return await Stream.tls(port, NO_ALPN), None


async def silent_h2(port):
    stream = await Stream.tls(port, H2)
    await stream.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    return stream, None


async def slow_headers(port):
    stream = await Stream.tls(port)
    await stream.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    return stream, lambda own: drip(own, b"X-Slow: 1\r\n")


async def slow_second_headers(port):
    connection = await Connection.open(port)
    await connection.request("GET", "/elsewhere")
    await connection.stream.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    return connection.stream, lambda own: drip(own, b"X-Slow: 1\r\n")


async def slow_body(port):
    stream = await Stream.tls(port)
    await stream.write(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
    return stream, lambda own: drip(own, b"x")


async def slow_native_body(port):
    """A GET that a native rule answers, with a body that native does not wait for: the rest must not be waited for either."""
    stream = await Stream.tls(port)
    await stream.write(b"GET /api/drivers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
    return stream, lambda own: drip(own, b"x")


async def slow_read(port):
    connection = await Connection.open(port, receive_buffer=2048)
    await connection.send("GET", "/download?bytes=20000000")
    return connection.stream, sip


async def drip(stream, piece):
    """A piece each second, until the other end closes."""
    try:
        while True:
            await stream.write(piece)
            ending = await stream.until_closed(1)
            if ending != "open":
                return ending
    except Broken as broken:
        return broken.kind


async def sip(stream):
    """Reads 10 bytes a second. The end is behind megabytes that wait in the kernel, so the kernel is asked for it."""
    own = stream.sock.getsockname()[1]
    while True:
        # First, because the list of what is held may be half a second old.
        await asyncio.sleep(1)
        try:
            stream.sock.recv(10)
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        except (ssl.SSLError, OSError) as error:
            return "reset" if isinstance(error, ConnectionResetError) else type(error).__name__
        if not processes.is_held(stream.sock.getpeername()[1], own):
            return "let go"


async def too_many(stage):
    """256 file descriptors and 1,000 connections."""
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port, files=256)
    kept = [Load(proxy.port, 20, lambda _: ("GET", "/elsewhere", b"", None), connections=5),
            Load(proxy.port, 20, lambda _: ("GET", "/api/drivers", b"", None), connections=5)]
    for load in kept:
        load.start()
    await asyncio.sleep(1)
    crowd = []
    for _ in range(1000):
        try:
            async with asyncio.timeout(1):
                crowd.append(await Stream.tcp(proxy.port))
        except (Broken, TimeoutError):
            pass
    cpu, began = processes.cpu_seconds(proxy.pid), time.monotonic()
    await asyncio.sleep(4)
    share = (processes.cpu_seconds(proxy.pid) - cpu) / (time.monotonic() - began) * 100
    report.note("EMFILE: connections / descriptors of the proxy", f"{len(crowd)} / {proxy.descriptors()}")
    report.at_most("EMFILE: CPU of the proxy, of one core", share, 20, " %")
    for stream in crowd:
        stream.close()
    gone = time.monotonic()
    while True:
        try:
            if (await fetch(proxy.port, "/elsewhere", seconds=5)).status == 200:
                break
        except Broken:
            await asyncio.sleep(0.01)
    report.at_most("EMFILE: first new connection served after they have gone", (time.monotonic() - gone) * 1000, 1000, " ms")
    await asyncio.sleep(1)
    for load, name in zip(kept, ("Node", "native")):
        await load.stop()
        load.report(report, f"EMFILE: established ones, {name}")
    probe = await Load(proxy.port, 50, lambda _: ("GET", "/elsewhere", b"", None), connections=5, fresh=True).run(2)
    probe.report(report, "EMFILE: new connections afterwards")
    lines = sum("no connection can be accepted" in line for line in proxy.log().splitlines())
    report.at_most("EMFILE: lines in the log, one a second", lines, 20)
    processes.end(node.process)


async def idle(stage, count, seconds):
    """Connections that did one request and stay."""
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port, limits='idle_timeout = "10m"')
    for _ in range(50):
        await fetch(proxy.port, "/elsewhere")
    await Canary.warm_up(proxy.port, "/api/drivers")
    before, files = proxy.memory_mb(), proxy.descriptors()
    gate, failed, connections = asyncio.Semaphore(50), [], []

    async def one():
        try:
            async with gate:
                connection = await Connection.open(proxy.port)
                connections.append(connection)
                answer = await connection.request("GET", "/elsewhere")
                if answer.status != 200:
                    failed.append(f"status {answer.status}")
        except Broken as broken:
            failed.append(broken.kind)

    began = time.monotonic()
    await asyncio.gather(*(one() for _ in range(count)))
    report.zero(f"{count} idle connections: failed to open", len(failed), counts(failed))
    report.note(f"{count} idle connections: opened in", f"{time.monotonic() - began:.0f} s")
    canary = Canary(proxy.port, "/api/drivers").start()
    await asyncio.sleep(seconds)
    await canary.stop()
    each = (proxy.memory_mb() - before) * 1024 / count
    # A gigabyte of connections at both ends of one machine; nginx and HAProxy take 15 to 20 KB.
    report.at_most(f"{count} idle connections: memory of each", each, 20, " KB")
    canary.report(report)
    dropped = sum(connection.was_closed() for connection in connections)
    report.zero(f"{count} idle connections: dropped in {seconds} s", dropped)

    async def again(connection):
        async with gate:
            try:
                return None if (await connection.request("GET", "/elsewhere")).status == 200 else "status"
            except Broken as broken:
                return broken.kind

    results = [result for result in await asyncio.gather(*(again(connection) for connection in connections)) if result]
    report.zero(f"{count} idle connections: failed at a second request", len(results), counts(results))
    for connection in connections:
        connection.close()
    await proxy.settles(before + each * count / 1024, files, "idle connections: ")
    processes.end(node.process)
