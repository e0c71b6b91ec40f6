"""Node is killed, stopped, closes kept connections at the worst moment; `broken` holds those that break HTTP."""

import asyncio
import time

from . import broken, processes
from .client import Connection
from .load import Load
from .report import counts, p99, spread
from .stream import Broken

ABOUT = "Node is killed, stopped, closes kept connections, or breaks HTTP"


async def run(stage):
    await killed(stage)
    await stopped(stage)
    await edge(stage, "announced", {})
    await edge(stage, "not announced", {"HIDE_KEEP_ALIVE": "1"})
    await broken.run(stage)


def side_is(side):
    return lambda answer, _key: None if (answer.status, answer.side) == (200, side) else f"status {answer.status}"


def loads(proxy):
    """200 requests/s to Node, a quarter of them POSTs with an id, and 50 to native."""
    gets = Load(proxy.port, 150, lambda _: ("GET", "/elsewhere", b"", None), side_is("node"))
    posts = Load(proxy.port, 50, lambda number: ("POST", f"/journal?id=p{number}", b"x" * 100, f"p{number}"), side_is("node"))
    native = Load(proxy.port, 50, lambda _: ("GET", "/api/drivers", b"", None), side_is("native"), connections=5)
    return gets, posts, native


async def killed(stage):
    report, down = stage.report, 2 if stage.quick else 5
    node = await stage.node()
    proxy = await stage.proxy(node.port)
    gets, posts, native = loads(proxy)
    for load in (gets, posts, native):
        load.start()
    await asyncio.sleep(2)
    gone = time.monotonic()
    node.kill()
    await asyncio.sleep(down)
    back = await node.restart()
    await asyncio.sleep(3)
    for load in (gets, posts, native):
        await load.stop()

    both = gets.samples + posts.samples
    away = [sample for sample in both if gone < sample.done and sample.sent < back - 0.5]
    answered = [sample for sample in away if sample.failure]
    other = [sample.failure for sample in both if sample.failure not in (None, "status 502")]
    late = [sample for sample in both if sample.failure and sample.sent > back + 1]
    early = [sample for sample in both if sample.failure and sample.done < gone]
    report.note("killed: requests to Node / while it was away", f"{len(both)} / {len(away)}")
    report.zero("killed: failures that are not a 502", len(other), counts(other))
    report.note("killed: time to a 502, median / p99 / max", spread([sample.milliseconds for sample in answered]))
    report.at_most("killed: slowest 502", max(sample.milliseconds for sample in answered), 100, " ms")
    report.zero("killed: failures before the kill", len(early))
    report.zero("killed: failures more than 1 s after Node listens again", len(late), counts(s.failure for s in late))
    first = min((sample.done for sample in both if not sample.failure and sample.done > back), default=float("inf"))
    report.at_most("killed: first answer after Node listens again", (first - back) * 1000, 1000, " ms")
    native.report(report, "killed: native")
    journalled(report, node, posts, "killed")
    node.kill()


def journalled(report, node, posts, name):
    """No POST reached Node twice, and each that was answered reached it."""
    journal = node.journal()
    report.zero(f"{name}: POSTs that Node saw twice, of {len(journal)}", len(journal) - len(set(journal)))
    lost = {sample.key for sample in posts.samples if not sample.failure} - set(journal)
    report.zero(f"{name}: POSTs answered that Node has not seen", len(lost))
    node.journal_path.unlink(missing_ok=True)


async def stopped(stage):
    """SIGSTOP with 200 requests in flight; at most 150 may wait."""
    report = stage.report
    limit, pause = (3, 8) if stage.quick else (10, 30)
    node = await stage.node()
    keys = f'response_timeout = "{limit}s"\nmax_waiting = 150'
    proxy = await stage.proxy(node.port, node_keys=keys)
    clients = await asyncio.gather(*(Connection.open(proxy.port) for _ in range(200)))
    await asyncio.gather(*(client.request("GET", "/elsewhere") for client in clients[:100]))
    # After the handshakes: two hundred of them keep this process busy, which would count as time of the proxy.
    native = Load(proxy.port, 50, lambda _: ("GET", "/api/drivers", b"", None), side_is("native"), connections=5).start()
    await asyncio.sleep(1)
    node.pause()
    stopped_at = time.monotonic()
    try:
        answers = await asyncio.gather(*(client.request("GET", "/elsewhere", seconds=limit + 10) for client in clients))
        busy = [answer for answer in answers if answer.status == 503]
        late = [answer for answer in answers if answer.status == 504]
        report.check("stopped: 200 requests at once", counts(answer.status for answer in answers),
                     (len(busy), len(late)) == (50, 150), "504 × 150, 503 × 50")
        report.at_most("stopped: slowest 503", max((answer.milliseconds for answer in busy), default=0), 100, " ms")
        times = [answer.milliseconds for answer in late] or [0]
        report.check(f"stopped: 504 after {limit} s, fastest and slowest", f"{min(times):.0f}–{max(times):.0f} ms",
                     limit * 1000 <= min(times) and max(times) <= limit * 1000 + 500, f"{limit * 1000}–{limit * 1000 + 500} ms")
        await asyncio.sleep(max(0, stopped_at + pause - time.monotonic()))
        native.report(report, "stopped: native")
        report.at_most("stopped: native p99", p99(native.milliseconds()), 250, " ms")
    finally:
        node.resume()
    back = time.monotonic()
    for client in clients:
        client.close()
    probe = Load(proxy.port, 50, lambda _: ("GET", "/elsewhere", b"", None), side_is("node"))
    await probe.run(2)
    await native.stop()
    good = [sample.done for sample in probe.samples if not sample.failure]
    report.at_most("stopped: first answer after SIGCONT", (min(good, default=float("inf")) - back) * 1000, 1000, " ms")
    bad = [sample for sample in probe.failures if sample.sent > back + 1]
    report.zero("stopped: failures more than 1 s after SIGCONT", len(bad), counts(sample.failure for sample in bad))
    node.kill()


async def edge(stage, name, environment):
    """Node closes a connection that was idle for 300 ms; each request comes within some ms of that moment."""
    report, idle, batch = stage.report, 0.3, 20
    rounds = 15 if stage.quick else 50
    node = await stage.node(KEEP_ALIVE_MS="300", **environment)
    proxy = await stage.proxy(node.port)
    clients = await asyncio.gather(*(Connection.open(proxy.port) for _ in range(batch)))
    failures = {"GET": [], "POST": []}
    answered = set()

    async def one(number, client):
        method = "POST" if number % 2 else "GET"
        key = f"{name}-{number}".replace(" ", "-")
        target = f"/journal?id={key}" if method == "POST" else "/elsewhere"
        try:
            answer = await client.request(method, target, body=b"x" * 1000 if method == "POST" else b"")
            if answer.status == 200:
                answered.add(key)
            else:
                failures[method].append(f"status {answer.status}")
        except Broken as failure:
            failures[method].append(failure.kind)

    for turn in range(rounds):
        await asyncio.gather(*(one(turn * batch + index, client) for index, client in enumerate(clients)))
        await asyncio.sleep(idle - 0.008 + turn % 10 * 0.002)
    for client in clients:
        client.close()
    retries = await proxy.metric("strangler_node_retries_total ")
    report.zero(f"edge, {name}: failed of {rounds * batch // 2} GETs", len(failures["GET"]), counts(failures["GET"]))
    report.note(f"edge, {name}: failed of {rounds * batch // 2} POSTs", f"{len(failures['POST'])} {counts(failures['POST'])}")
    journal = [entry for entry in node.journal() if entry.startswith(name.replace(" ", "-"))]
    report.zero(f"edge, {name}: POSTs that Node saw twice", len(journal) - len(set(journal)))
    lost = {key for key in answered if int(key.rpartition("-")[2]) % 2} - set(journal)
    report.zero(f"edge, {name}: POSTs answered that Node has not seen", len(lost))
    report.note(f"edge, {name}: requests repeated by the proxy", int(retries))
    processes.end(node.process)
