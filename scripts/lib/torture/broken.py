"""A Node that breaks HTTP: the client gets a 502 or sees that an answer was cut, and memory stays bounded."""

import asyncio
import contextlib

from . import processes
from .client import Connection, fetch
from .load import Canary
from .rawnode import RawNode
from .stream import Broken

# The answer's head is good, its body never comes to its end.
CUT = ["/rst-length", "/fin-length", "/rst-chunked", "/fin-chunked", "/fin-in-chunk", "/rst-until-close", "/bad-chunk",
       "/long-chunk"]
# No answer that could be passed on.
REFUSED = ["/garbage", "/ssh", "/http09", "/nothing", "/nothing-reset", "/half-head", "/bad-status", "/nul-header",
           "/two-lengths", "/minus-length", "/length-and-chunked", "/short-length-and-chunked", "/unasked-101", "/huge-header",
           "/many-headers"]
# Either may be, but the next request on the same connection gets its own answer.
EITHER = ["/huge-chunk", "/chunked-twice", "/flood-1xx", "/extra", "/no-body-204"]
# The client sees that something is wrong: the body ends early, or the connection does before the head.
BROKEN = {"truncated", "cut", "502"}


async def run(stage):
    report = stage.report
    node = await RawNode().start()
    try:
        proxy = await stage.proxy(node.port, node_keys='response_timeout = "3s"', server='drain = "1s"')
        canary = Canary(proxy.port, "/api/drivers").start()
        # The allocator keeps what it took for a first turn; what counts is whether a second one takes more.
        for path in CUT + REFUSED + EITHER:
            await outcome(proxy, path)
        await trickled(proxy, 3)
        await unread_uploads(proxy)
        await answered_early(proxy)
        await asyncio.sleep(1)
        memory, files = proxy.memory_mb(), proxy.descriptors()
        processes.reset_peak(proxy.pid)
        for path in CUT:
            outcomes = [await outcome(proxy, path) for _ in range(3)]
            report.check(f"broken Node: {path[1:]}", said(outcomes), set(outcomes) <= BROKEN, "truncated, cut or 502")
        for path in REFUSED:
            outcomes = [await outcome(proxy, path) for _ in range(3)]
            report.check(f"broken Node: {path[1:]}", said(outcomes), set(outcomes) == {"502"}, "502")
        for path in EITHER:
            await either(stage, proxy, path)
        report.at_most(f"broken Node: peak memory, before {memory:.1f} MB", processes.peak_mb(proxy.pid), memory + 20, " MB")
        await stale(stage, proxy, node)
        await trickle(stage, proxy)
        await unread(stage, proxy)
        await early(stage, proxy)
        await canary.stop()
        canary.report(report)
        await proxy.settles(memory, files, "broken Node: ")
        report.check("broken Node: the proxy lives", "yes" if proxy.is_alive() else "no", proxy.is_alive(), "yes")
    finally:
        await node.close()


def said(outcomes):
    return " ".join(dict.fromkeys(outcomes))


async def outcome(proxy, path):
    try:
        answer = await fetch(proxy.port, path, seconds=10)
        return str(answer.status) if answer.status != 200 else f"200 {answer.body[:20].decode('latin-1')}"
    except Broken as broken:
        return broken.kind


async def either(stage, proxy, path):
    """The answer, and what the requests after it get."""
    outcomes, wrong = [], 0
    for _ in range(5):
        connection = await Connection.open(proxy.port)
        with contextlib.suppress(Broken):
            outcomes.append((await outcome(proxy, path)))
            answer = await connection.request("GET", path, seconds=10)
            wrong += answer.status == 200 and answer.body not in (b"ok", b"")
        connection.close()
        for _ in range(4):
            answer = await fetch(proxy.port, "/ok", seconds=10)
            wrong += (answer.status, answer.body) != (200, b"ok")
    fine = set(outcomes) <= BROKEN | {"200 ok", "204"}
    stage.report.check(f"broken Node: {path[1:]}, and answers of others after it", f"{said(outcomes)}, {wrong} wrong",
                       fine and wrong == 0, "502, cut or ok; 0 wrong")


async def stale(stage, proxy, node):
    """Node takes a second request on a kept connection and closes it: a GET is repeated, a POST is not."""
    for method, wanted, seen_wanted in (("GET", {"200"}, 2), ("POST", {"502"}, 1)):
        for path in ("/stale-fin", "/stale-rst"):
            outcomes, most = [], 0
            for turn in range(25):
                connection = await Connection.open(proxy.port)
                await connection.request("GET", "/ok")
                target = f"{path}?{method}-{turn}"
                try:
                    outcomes.append(str((await connection.request(method, target, body=b"x" * 10 if method == "POST" else b"")).status))
                except Broken as broken:
                    outcomes.append(broken.kind)
                connection.close()
                most = max(most, sum(f" {target} ".encode() in head for head in node.heads))
            stage.report.check(f"{path[1:]}: {method} on a kept connection that Node closes", said(outcomes),
                               set(outcomes) == wanted and most <= seen_wanted, f"{said(wanted)}, sent ≤ {seen_wanted} times")


async def trickle(stage, proxy):
    """Each byte is passed on when it comes, and nobody is cut off."""
    memory = proxy.memory_mb()
    processes.reset_peak(proxy.pid)
    seconds = 6 if stage.quick else 20
    received, ended = await trickled(proxy, seconds)
    stage.report.zero("1 byte/s × 100: answers that ended", ended)
    stage.report.check(f"1 byte/s × 100: fewest bytes after {seconds} s", min(received), min(received) >= seconds - 2, f"≥ {seconds - 2}")
    peak = processes.peak_mb(proxy.pid)
    stage.report.at_most(f"1 byte/s × 100: peak memory, before {memory:.1f} MB", peak, memory + 20, " MB")


async def trickled(proxy, seconds):
    """A hundred answers of one byte a second. Gives the bytes of each, and how many have ended."""
    connections = [await Connection.open(proxy.port) for _ in range(100)]
    received = [0] * len(connections)

    async def read(number, connection):
        await connection.send("GET", "/trickle")
        head = await connection.head()
        async for piece in connection.body(head):
            received[number] += len(piece)

    tasks = [asyncio.create_task(read(number, connection)) for number, connection in enumerate(connections)]
    await asyncio.sleep(seconds)
    ended = sum(task.done() for task in tasks)
    await cancel(*tasks)
    for connection in connections:
        connection.close()
    return received, ended


async def unread(stage, proxy):
    """The client is held back, and gets a 504 in the end."""
    memory = proxy.memory_mb()
    processes.reset_peak(proxy.pid)
    outcomes, sent = await unread_uploads(proxy)
    stage.report.check("Node reads nothing: ten uploads of 100 MB", said(outcomes), set(outcomes) == {"504"}, "504")
    stage.report.note("Node reads nothing: taken from a client, most", f"{max(sent) / 1e6:.1f} MB")
    stage.report.at_most(f"Node reads nothing: peak memory, before {memory:.1f} MB", processes.peak_mb(proxy.pid), memory + 40, " MB")


async def unread_uploads(proxy):
    """Ten uploads to a Node that reads nothing. Gives their outcomes, and the bytes that were taken from each."""
    results = await asyncio.gather(*(upload(proxy, "/unread") for _ in range(10)))
    return [result for result, _ in results], [sent for _, sent in results]


async def early(stage, proxy):
    """Node answers in the middle of an upload: the client gets that answer."""
    outcomes = await answered_early(proxy)
    stage.report.check("early answer during an upload of 100 MB", said(outcomes), set(outcomes) == {"413 large"}, "413 large")


async def answered_early(proxy):
    return [(await upload(proxy, "/early"))[0] for _ in range(5)]


async def upload(proxy, path):
    """100 MB, as far as they are taken. Gives the outcome and the bytes sent."""
    connection = await Connection.open(proxy.port)
    sent = 0

    async def send():
        nonlocal sent
        for _ in range(1526):
            await connection.stream.write(b"x" * 65536)
            sent += 65536

    try:
        await connection.stream.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n".encode())
        sending = asyncio.create_task(send())
        try:
            async with asyncio.timeout(20):
                head = await connection.head()
                body = b"".join([piece async for piece in connection.body(head)])
            return (f"{head.status} {body.decode()}" if head.status == 413 else str(head.status)), sent
        finally:
            await cancel(sending)
    except (Broken, TimeoutError) as error:
        return getattr(error, "kind", "timeout"), sent
    finally:
        connection.close()


async def cancel(*tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
