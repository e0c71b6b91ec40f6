"""Packets and payloads that no library sends. What Node answers to the same bytes is what the proxy must answer."""

import asyncio
import contextlib
import time

from .report import number
from .socketio import SocketIo, plain, short
from .stream import Broken

PROBE = '42991["message-with-ack","still"]'
PROBE_ACK = "43991["
NODE_PROBE = '42["side","to node",991]'
NODE_ANSWER = '42["side-back","node","to node",991]'
MAX_PAYLOAD = 1_000_000
SEPARATOR = b"\x1e"


def placeholder(num):
    return f'{{"_placeholder":true,"num":{num}}}'


def deep(count, opening="[", closing="]"):
    return opening * count + closing * count


ONE = placeholder(0)

# Said over a WebSocket by a client in the main namespace, behind which comes an event that is to be acknowledged.
CASES = {
    "11 attachments": [f'4511-["message",{ONE}]', b"x"],
    "10^9 attachments": [f'451000000000-["message",{ONE}]', b"x"],
    "no attachments": ['450-["message",1]'],
    "attachments without a number": [f'45-["message",{ONE}]', b"x"],
    "a missing attachment": [f'451-["message",{ONE}]'],
    "an extra attachment": [f'451-["message",{ONE}]', b"x", b"y"],
    "an attachment alone": [b"x"],
    "an event between attachments": [f'452-["message",{ONE},{placeholder(1)}]', b"x", '42["message",1]', b"y"],
    "a packet of two attachments, whole": [f'452-["message",{ONE},{placeholder(1)}]', b"x", b"yz"],
    "a binary ack that nobody asked for": [f'461-7[{ONE}]', b"x"],
    "placeholder −1": [f'451-["message",{placeholder(-1)}]', b"x"],
    "placeholder 1.5": [f'451-["message",{placeholder(1.5)}]', b"x"],
    "placeholder 0.5": [f'451-["message",{placeholder(0.5)}]', b"x"],
    'placeholder "length"': [f'451-["message",{placeholder(chr(34) + "length" + chr(34))}]', b"x"],
    "placeholder out of range": [f'451-["message",{placeholder(1)}]', b"x"],
    "placeholder 10^30": [f'451-["message",{placeholder("1e30")}]', b"x"],
    "placeholder without a number": ['451-["message",{"_placeholder":true}]', b"x"],
    "placeholder twice": [f'451-["message",{ONE},{ONE}]', b"x"],
    "placeholder nowhere": ['451-["message",1]', b"x"],
    "placeholder in a packet without attachments": [f'42["message",{ONE}]'],
    "ack of an unknown id": ["43999[1]"],
    "ack of a negative id": ["43-1[1]"],
    "ack of 2^53 + 1": ["439007199254740993[1]"],
    "ack of 2^70": ["431180591620717411303424[1]"],
    "ack without an id": ["43[1]"],
    "event with the id 2^53": ['429007199254740992["message-with-ack",1]'],
    "event with the id 2^53 + 1": ['429007199254740993["message-with-ack",1]'],
    "event with the id 2^70": ['421180591620717411303424["message-with-ack",1]'],
    "event with a negative id": ['42-1["message-with-ack",1]'],
    "event with the id 007": ['42007["message-with-ack",1]'],
    "two events with one id": ['425["message-with-ack",1]', '425["message-with-ack",2]'],
    **{f"event {name!r}": [f'42["{name}",1]', f'427["{name}",1]'] for name in (
        "__proto__", "constructor", "connect", "connect_error", "disconnect", "disconnecting", "newListener",
        "removeListener", "toString", "hasOwnProperty", "")},
    "event without a name": ["42[]"],
    "event named null": ["42[null]"],
    "event named 5": ["42[5]"],
    "event that is an object": ['42{"a":1}'],
    "event that is cut": ['42["message",1'],
    "event of a namespace that was not joined": ['42/custom,["message",1]'],
    "event of a namespace that nobody has": ['42/nobody,["message",1]'],
    "10,000 lists in one another": [f'42["message",{deep(10_000)}]'],
    "10,000 objects in one another": [f'42["message",{deep(10_000, chr(123) + chr(34) + "a" + chr(34) + ":", "")}1{"}" * 10_000}]'],
    "100,000 lists that nobody closes": [f'42["message",{"[" * 100_000}'],
    "10,000 lists in an ack": [f"431{deep(10_000)}"],
    "CONNECT with 10,000 lists": [f'40/custom,{{"a":{deep(10_000)}}}'],
    "CONNECT again": ["40"],
    "CONNECT with a list": ["40/custom,[]"],
    "CONNECT_ERROR from a client": ['44{"message":"no"}'],
    "DISCONNECT of a namespace that was not joined": ["41/custom,"],
    "DISCONNECT with a payload": ["41{}"],
    "packet of no type": ["47"],
    "empty message": ["4"],
    "empty packet": [""],
    "Engine.IO packet of no type": ["9"],
    "ping from a client": ["2"],
    "pong that nobody asked for": ["3"],
    "open, close, upgrade and noop from a client": ["0", "1", "5", "6"],
    "text of maxPayload": ["4" + f'2["x","{"x" * (MAX_PAYLOAD - 9)}"]'],
    "text over maxPayload": ["4" + f'2["x","{"x" * (MAX_PAYLOAD - 8)}"]'],
    "attachment over maxPayload": [f'451-["message",{ONE}]', b"x" * (MAX_PAYLOAD + 1)],
}

# Posted by a client that polls.
# The proxy ends a client whose packet it cannot surely read: an event where a rule says native, an acknowledgement always.
NATIVE, BOTH = ("proxy to native",), ("proxy to Node", "proxy to native")
REFUSED = {
    "placeholder 0.5": NATIVE,
    "placeholder twice": NATIVE,
    "ack of 2^53 + 1": BOTH,
    "ack of 2^70": BOTH,
    "event with the id 2^53 + 1": NATIVE,
    "event with the id 2^70": NATIVE,
}

PAYLOADS = {
    "100,000 events": SEPARATOR.join([b'42["x"]'] * 100_000),
    "100,000 pongs": SEPARATOR.join([b"3"] * 100_000),
    "50,000 events that are never acknowledged": SEPARATOR.join(b'42%d["silent"]' % number for number in range(50_000)),
    "300,000 empty messages": SEPARATOR.join([b"4"] * 300_000),
    "1,000 separators": SEPARATOR * 1_000,
    "10^6 separators": SEPARATOR * MAX_PAYLOAD,
    "bad base64": b"b$$$",
    "base64 that is cut": b'451-["message",' + ONE.encode() + b"]" + SEPARATOR + b"bQ",
    "base64 with other letters": b'451-["message",' + ONE.encode() + b"]" + SEPARATOR + b"bQ?Q-_=",
    "half a megabyte of base64": b'451-["x",' + ONE.encode() + b"]" + SEPARATOR + b"b" + b"QUJD" * 125_000,
    "no UTF-8": b'42["message","\xff\xfe"]',
    "nothing": b"",
    "maxPayload": b'42["x","' + b"x" * (MAX_PAYLOAD - 10) + b'"]',
    "over maxPayload": b'42["x","' + b"x" * (MAX_PAYLOAD - 9) + b'"]',
    "twice maxPayload": b"x" * (2 * MAX_PAYLOAD),
}


async def compare(report, places, cases, perform):
    """Each case at each place; shows where the proxy does other than Node, or does not refuse what it has to refuse."""
    odd, slowest, slow = [], 0.0, ""
    for name, case in cases.items():
        expected = None
        for place in places:
            began = time.monotonic()
            heard = await perform(place, case)
            if expected is None:
                expected = heard
                continue
            slowest, slow = max((slowest, slow), (time.monotonic() - began, f"{name}, {place.name}"))
            wanted = ["closed 1005"] if place.name in REFUSED.get(name, ()) else expected
            if heard != wanted:
                odd.append(f"{place.name}, {name}: {short(heard)} instead of {short(wanted)}")
    return odd, slowest, slow


async def websocket(place, packets):
    try:
        client = await SocketIo.open(place)
    except Broken as broken:
        return [f"no connection: {broken}"]
    with contextlib.suppress(Broken):
        await client.say_all([*packets, PROBE, NODE_PROBE])
    # Node lets events pass while it still thinks about a CONNECT.
    joined = ['40/custom,{'] if any(packet[:11] == "40/custom,{" for packet in packets) else []
    heard = await client.hear_all(PROBE_ACK, NODE_ANSWER, *joined)
    client.close()
    if heard[-1].startswith("closed"):
        # One side of the proxy may still answer while the other has closed.
        heard = [packet for packet in heard if not packet.startswith((PROBE_ACK, NODE_ANSWER))]
    return sorted(heard)


async def polling(place, body):
    sid = await place.poll_session()
    own = f"&transport=polling&sid={sid}"
    try:
        posted = await place.ask("POST", own, body)
        heard = [f"POST {posted.status} {posted.body[:60]}"]
        asked = await place.ask("POST", own, PROBE.encode())
        heard.append(f"POST {asked.status} {asked.body[:60]}")
        while not any(PROBE_ACK in one for one in heard):
            polled = await place.ask("GET", own, seconds=10)
            heard += [plain(packet) for packet in polled.body.decode().split("\x1e")]
            if polled.status != 200:
                heard.append(f"GET {polled.status}")
                break
    except Broken as broken:
        heard.append(broken.kind)
    return sorted(heard)


async def run(report, places):
    for name, cases, perform, limit in (("packets over a WebSocket", CASES, websocket, 3), ("polling payloads", PAYLOADS, polling, 5)):
        odd, slowest, slow = await compare(report, places, cases, perform)
        report.zero(f"{len(cases)} {name}, to either side: other than from Node", len(odd), "; ".join(odd))
        report.at_most(f"{name}: slowest verdict ({slow})", slowest, limit, " s")
    await answered_twice(report, places)


async def answered_twice(report, places):
    """The client acknowledges what a side asks it, and again, and under other ids."""
    heard = {}
    for place in places:
        client = await SocketIo.open(place)
        await client.say('42["ask","?"]')
        question = await client.hear()
        identity = question[2:question.index("[")]
        await client.say_all([f'43{other}["wrong"]' for other in (int(identity) + 1, 2**53, 2**30 - 1)])
        await client.say_all([f'43{identity}["first"]', f'43{identity}["second"]'])
        replied = await client.hear_until('42["replied"')
        await client.say_all([PROBE, NODE_PROBE])
        heard[place.name] = [*replied, *sorted(await client.hear_all(PROBE_ACK, NODE_ANSWER))]
        client.close()
    expected = heard[places[0].name]
    odd = [f"{name}: {short(one)} instead of {short(expected)}" for name, one in heard.items() if one != expected]
    report.zero("an ack given twice, and acks of other ids: other than from Node", len(odd), "; ".join(odd))
    once = [one for one in expected if "replied" in one]
    report.check("an ack given twice reaches Node", number(len(once)), len(once) == 1, "1")


async def attachments_that_never_come(report, places, seconds):
    """Partial packets expire, so that their attachments are not kept for ever. Node itself keeps them."""

    async def one(place):
        client = await SocketIo.open(place)
        began = time.monotonic()
        await client.say_all([f'4510-["message",{ONE}]', b"x" * 900_000, b"x" * 900_000])
        heard = await client.hear_until("4", seconds + 5)
        client.close()
        return heard, time.monotonic() - began

    ends = await asyncio.gather(*(one(place) for place in places for _ in range(10)))
    late = [heard for heard, _ in ends if heard != ["closed 1005"]]
    report.zero("20 packets whose attachments never come: not closed", len(late), short(late))
    lived = [lived for _, lived in ends]
    report.check("they expire after", f"{min(lived):.1f}–{max(lived):.1f} s", seconds - 1 <= min(lived) and max(lived) <= seconds + 3,
                 f"{seconds} s")
