"""Who Node does not accept is served by nobody, and no client chooses the side by its spelling."""

import asyncio
import json
import random

from .bridged import bridged, sockets_node
from .client import ANYONE, Connection
from .report import counts
from .socketio import Place, SocketIo
from .stream import Broken

ABOUT = "clients that Node turns away, and odd spellings of what is native"

RULES = """\
[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "bridge"
node_loss = "resume"
once = [{ name = "auth" }]

[rule.native]
events = { all = ["side"] }
to = "native only"
"""
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# What JavaScript takes for a blank between the type of a packet and its payload.
BLANKS = [""] * 12 + [" ", "\t", "\n", "\r", "\x0b", "\x0c", "\u00a0", "\u1680", "\u2003", "\u2028", "\u3000", "\ufeff"]
NAMES = ['"side"', '"\\u0073ide"', '"s\\u0069de"', '"side" ', ' "side"', '["side"]', '"Side"']
IDS = ["", "1", "01", " 1", "1 ", "9007199254740993", "123456789012345678901234567890", "-1", "1e1"]
HANDSHAKES = ["%45IO=4&transport=websocket", "EIO=4&tr%61nsport=websocket", "EIO=4&transport=websocket&EIO=4",
              "EIO=4&transport=websocket&sid=", "EIO=4&transport=websocket&j=1", "EIO=3&transport=websocket",
              "EIO=4&transport=polling", "EIO=4&transport=%77ebsocket&b64=1"]


async def run(stage):
    rounds = 5 if stage.quick else 50
    node = await sockets_node(stage, DOOR="1")
    proxy = await bridged(stage, node.port, RULES)
    place = Place("proxy", proxy.port, ANYONE)
    await turned_away(stage, proxy.port, rounds)
    await spellings(stage, place, 300 if stage.quick else 5000)
    await waiting(stage, node, proxy, place, rounds)


async def turned_away(stage, port, rounds):
    """Every way in which Node gets rid of a client, over both transports and in every spelling."""
    heard = []
    for door in ["destroy", "garbage", "no-http", "busy"]:
        targets = [f"/socket.io/?{query}&door={door}" for query in HANDSHAKES] * rounds
        heard += await asyncio.gather(*(knock(port, target) for target in targets))
    stage.report.note("clients that Node turned away", counts(heard))
    stage.report.zero("of those, let in", sum(status in ("101", "200") for status in heard))


async def knock(port, target):
    """The status of a handshake, or how its connection broke."""
    headers = [] if "polling" in target else [("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                              ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")]
    connection = await Connection.open(port)
    try:
        await connection.send("GET", target, headers)
        return str((await connection.head()).status)
    except Broken as broken:
        return broken.kind
    finally:
        connection.close()


async def spellings(stage, place, count):
    """Spellings of an event that is native only: native answers, or the client is ended. Node never does."""
    dice = random.Random(9)
    told = []

    async def say(text):
        client = await SocketIo.open(place)
        try:
            await client.say(text)
            await client.say('42["message","after"]')
            while True:
                heard = await client.hear()
                if isinstance(heard, str) and "side-back" in heard:
                    told.append("node" if '"node"' in heard else "native")
                if isinstance(heard, str) and "message-back" in heard:
                    return
        except Broken:
            told.append("ended")
        finally:
            client.connection.close()

    texts = [f"42{dice.choice(BLANKS)}{dice.choice(IDS)}{dice.choice(BLANKS)}[{dice.choice(NAMES)},{number}]" for number in range(count)]
    for begin in range(0, count, 50):
        await asyncio.gather(*(say(text) for text in texts[begin:begin + 50]))
    stage.report.note("answers to odd spellings", counts(told))
    stage.report.zero("answered by Node", told.count("node"))
    stage.report.check("answered by native", told.count("native"), told.count("native") > 0, "> 0")


async def waiting(stage, node, proxy, place, rounds):
    """While Node is down its new clients wait, and neither side says a word to them."""
    node.kill()
    clients = await asyncio.gather(*(SocketIo.open(place, connect=False) for _ in range(10 * rounds)))
    for client in clients:
        await client.say_all(["40", '42["side",1]'])

    async def hears(client):
        async with asyncio.timeout(2):
            return await client.hear()

    heard = await asyncio.gather(*(hears(client) for client in clients), return_exceptions=True)
    told = [text for text in heard if isinstance(text, str)]
    stage.report.zero("waiting clients that were answered", len(told), json.dumps(told[:3]))
    stage.report.zero("legs to native meanwhile", int(await proxy.metric('strangler_legs{side="native"}')))
    for client in clients:
        client.connection.close()
