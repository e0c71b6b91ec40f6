"""Requests with ids of sessions that are not theirs, not there any more, or at the wrong moment: answered as by Node."""

import asyncio
import json
import time

from .client import Connection
from .packets import PROBE, PROBE_ACK
from .report import counts
from .socketio import PATH, SocketIo, plain, short
from .stream import Broken

WEBSOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "x" * 22 + "=="), ("Sec-WebSocket-Version", "13")]


async def answer(place, method, query, body=b"", headers=(), seconds=10):
    """Status, kind and body, as far as they do not change from run to run."""
    try:
        got = await place.ask(method, query, body, headers, seconds)
        return f"{got.status} {got.head.get('content-type')} {plain(got.body[:100].decode('latin-1'))}"
    except Broken as broken:
        return broken.kind


async def bad_ids(place):
    answers = []
    for sid in ("unknown", "x" * 20, "x" * 4096, "%00", "__proto__", "a b", "%ff", "unknown&sid=again", "../../etc"):
        for transport in ("polling", "websocket"):
            sid = sid.replace(" ", "%20")
            answers.append(await answer(place, "GET", f"&transport={transport}&sid={sid}"))
            answers.append(await answer(place, "POST", f"&transport={transport}&sid={sid}", b"40"))
        answers.append(await answer(place, "GET", f"&transport=websocket&sid={sid}", headers=WEBSOCKET))
    return answers


async def expired(place):
    sid = await place.poll_session()
    own = f"&transport=polling&sid={sid}"
    closed = await answer(place, "POST", own, b"1")
    return [closed, await answer(place, "GET", own), await answer(place, "POST", own, b"40"),
            await answer(place, "GET", f"&transport=websocket&sid={sid}", headers=WEBSOCKET)]


async def other_transport(place):
    """A session that polls is asked as if it were a WebSocket, and the other way round."""
    sid = await place.poll_session()
    answers = [await answer(place, method, f"&transport=websocket&sid={sid}") for method in ("GET", "POST")]
    answers += [await answer(place, "GET", f"&transport={name}&sid={sid}") for name in ("flashsocket", "")]
    answers += [await answer(place, method, f"&transport=polling&sid={sid}") for method in ("PUT", "DELETE")]
    client = await SocketIo.open(place)
    own = f"&transport=polling&sid={client.handshake['sid']}"
    answers += [await answer(place, "GET", own), await answer(place, "POST", own, PROBE.encode())]
    answers += await client.hear_until(PROBE_ACK, 0.5)
    client.close()
    return answers


async def two_polls(place):
    sid = await place.poll_session()
    own = f"&transport=polling&sid={sid}"
    first = asyncio.create_task(answer(place, "GET", own))
    await asyncio.sleep(0.3)
    second = await answer(place, "GET", own)
    return [await first, second, await answer(place, "GET", own)]


async def two_posts(place):
    """The second comes while the first is on its way."""
    sid = await place.poll_session()
    own = f"&transport=polling&sid={sid}"
    slow = await Connection.open(place.port, place.tls)
    head = f"POST {PATH}{place.query}{own} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n42"
    await slow.stream.write(head.encode())
    await asyncio.sleep(0.3)
    second = await answer(place, "POST", own, b"3")
    slow.close()
    return [second, await answer(place, "GET", own)]


async def cancelled_poll(place):
    sid = await place.poll_session()
    own = f"&transport=polling&sid={sid}"
    polling = await Connection.open(place.port, place.tls)
    await polling.send("GET", f"{PATH}{place.query}{own}")
    await asyncio.sleep(0.3)
    polling.close()
    await asyncio.sleep(0.3)
    return [await answer(place, "GET", own), await answer(place, "POST", own, b"3")]


async def poll_after_upgrade(place):
    sid = await place.poll_session()
    client = await SocketIo.open(place, connect=False, query=f"&sid={sid}")
    await client.say("2probe")
    answers = [await client.hear()]
    await client.say("5")
    await client.say(PROBE)
    answers += await client.hear_until(PROBE_ACK, 5)
    own = f"&transport=polling&sid={sid}"
    answers += [await answer(place, "GET", own), await answer(place, "POST", own, b"3")]
    again = await SocketIo.open(place, connect=False, query=f"&sid={sid}")
    answers += await again.hear_until("3", 2)
    again.close()
    await client.say(PROBE)
    answers += await client.hear_until(PROBE_ACK, 5)
    client.close()
    return answers


async def wrong_probes(place):
    """Upgrades that do not go on as they should; the polling session stays."""
    answers = []
    for said in (["2other"], ["5"], ["42[]"], ["9"], [b"x"], ["2probe", "2probe"], ["2probe", "6"]):
        sid = await place.poll_session()
        client = await SocketIo.open(place, connect=False, query=f"&sid={sid}")
        await client.say_all(said)
        answers += await client.hear_until("4", 1)
        client.close()
        if said != ["5"]:
            own = f"&transport=polling&sid={sid}"
            answers.append(await answer(place, "POST", own, PROBE.encode()))
            answers.append(await answer(place, "GET", own))
    return answers


KINDS = [bad_ids, expired, other_transport, two_polls, two_posts, cancelled_poll, poll_after_upgrade, wrong_probes]


async def run(report, places):
    compared, odd = 0, []
    for kind in KINDS:
        expected, *others = await asyncio.gather(*(kind(place) for place in places))
        compared += len(expected)
        for place, heard in zip(places[1:], others):
            odd += [f"{place.name}, {kind.__name__} {number}: {short(own)} instead of {short(nodes)}"
                    for number, (own, nodes) in enumerate(zip(heard, expected, strict=True)) if own != nodes]
    report.zero(f"{compared} answers about sessions, to either side: other than from Node", len(odd), "; ".join(odd))
    await foreign(report, places)


async def foreign(report, places):
    """A session of Node itself is no session of the proxy's, and passes to Node."""
    node, proxy, _ = places
    sid = await node.poll_session()
    own = f"&transport=polling&sid={sid}"
    posted = await answer(proxy, "POST", own, PROBE.encode())
    polled = await answer(proxy, "GET", own)
    report.check("a session that Node has without the proxy", short(f"{posted[:3]}, {polled[:3]}"),
                 (posted[:3], polled[:3]) == ("200", "200") and PROBE_ACK in polled, "200, 200")


async def polls_given_up(report, place, count):
    """So many sessions whose poll is given up end at once, and not at the next heartbeat."""

    async def one():
        sid = await place.poll_session()
        polling = await Connection.open(place.port, place.tls)
        await polling.send("GET", f"{PATH}{place.query}&transport=polling&sid={sid}")
        await asyncio.sleep(0.2)
        polling.close()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            code = await answer(place, "POST", f"&transport=polling&sid={sid}", b"3")
            if code.startswith("400"):
                return json.loads(code.partition(" ")[2].partition(" ")[2])["code"]
            await asyncio.sleep(0.05)
        return "open"

    codes = await asyncio.gather(*(one() for _ in range(count)))
    report.check(f"{count} polls given up: how the next POST is refused", counts(codes), set(codes) == {1}, f"1 {count}")
