"""The garden under 200 players at once, while one kind of its messages is flipped from side to side."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

from . import processes
from .flips import Flipper
from .report import counts, p99, spread
from .stage import HERE
from .stream import Broken, Stream
from .websocket import WebSocket

ABOUT = "200 players at once, and SaveGame flipped under them"
GARDEN = HERE.parents[2] / "apps/garden/legacy"
SECRET = "a secret of both sides"
PLAYERS, PAUSE = 200, 0.5

# Connections that are being opened at once: all of them come from this one process.
DOOR = 8

SAVE = '{"type":"SaveGame","data":{"state":{"resources":{},"celestial_bodies":[],"research":{},"statistics":{}}}}'
MESSAGES = ['{"type":"Heartbeat"}', SAVE, '{"type":"GetState"}']


def rules(side):
    return ('[socket.game]\nkind = "websocket"\npath = "/api/ws"\nmode = "bridge"\ntag = "/type"\nmax_payload = "64KiB"\n\n'
            '[rule.beat]\nevents = { game = ["Heartbeat"] }\nto = "native"\n\n'
            f'[rule.save]\nevents = {{ game = ["SaveGame"] }}\nto = "{side}"\n')


def token(user):
    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head, claims = {"alg": "HS256", "typ": "JWT"}, {"sub": user, "exp": int(time.time()) + 3600}
    signed = ".".join(text(json.dumps(part).encode()) for part in (head, claims))
    return f"{signed}.{text(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"


async def run(stage):
    report = stage.report
    if not (GARDEN / "node_modules").exists():
        raise RuntimeError(f"{GARDEN} has no packages: scripts/test prepare")
    database = f"sqlite:{stage.folder / 'garden.db'}"
    port = processes.free_port()
    stage.start(["node", GARDEN / "server.js"], "node",
                environment={"PORT": str(port), "DATABASE_URL": database, "JWT_SECRET": SECRET})
    await listens(port)
    native = f'app = "garden"\ndatabase = "{database}"\njwt_secret = "{SECRET}"'
    proxy = await stage.proxy(port, rules("node"), binary=stage.beside("garden"), native=native)

    door, players, times, failed = asyncio.Semaphore(DOOR), [], [], []

    async def enter(number):
        async with door:
            began = time.monotonic()
            try:
                players.append(await WebSocket.open(proxy.port, f"/api/ws?token={token(f'player-{number}')}"))
                times.append((time.monotonic() - began) * 1000)
            except Broken as broken:
                failed.append(broken.kind)

    await asyncio.gather(*(enter(number) for number in range(PLAYERS)))
    report.check("players connected", len(players), len(players) == PLAYERS, PLAYERS)
    report.note("connecting, median / p99 / max", spread(times))
    report.at_most("connecting, p99", p99(times), 100, " ms")

    seconds = 6 if stage.quick else 60
    flipper, replies, wrong = Flipper(proxy, rules), [], []
    until = time.monotonic() + seconds + 1
    before = await proxy.generation()
    playing = [asyncio.create_task(play(player, number, until, replies, wrong)) for number, player in enumerate(players)]
    flips = 1000 * seconds // 60
    await flipper.run(flips, seconds / flips)
    await asyncio.gather(*playing)
    report.zero(f"of {len(replies)} messages: not answered, or with another answer", len(wrong), counts(wrong))
    report.note(f"generations of {flips} flips of SaveGame", await proxy.generation() - before)
    report.note("replies, median / p99 / max", spread(replies))
    report.at_most("replies, p99", p99(replies), 50, " ms")
    await compare_ends(report, port, proxy.port)
    for player in players:
        player.connection.close()


async def listens(port):
    for _ in range(400):
        try:
            (await Stream.tcp(port)).close()
            return
        except Broken:
            await asyncio.sleep(0.025)
    raise RuntimeError("the garden does not listen")


async def play(player, number, until, replies, wrong):
    """One message after the other, each due at its time."""
    due = time.monotonic() + PAUSE * number / PLAYERS
    turn = number
    while due < until:
        await asyncio.sleep(max(0, due - time.monotonic()))
        turn, began, message = turn + 1, time.monotonic(), MESSAGES[turn % len(MESSAGES)]
        try:
            async with asyncio.timeout(10):
                await player.send(message)
                kind, reply = await answer(player)
        except (Broken, TimeoutError) as broken:
            wrong.append(getattr(broken, "kind", "timeout"))
            return
        replies.append((time.monotonic() - began) * 1000)
        said = json.loads(reply) if kind == 1 else {}
        expected = {"Heartbeat": "Heartbeat", "SaveGame": "ActionResult", "GetState": "StateUpdate"}[json.loads(message)["type"]]
        if said.get("type") != expected:
            wrong.append(f"{expected}: {reply[:60]!r}")
        due += PAUSE


async def answer(player):
    """The next message; Node's pings are answered on the way."""
    while True:
        kind, payload = await player.next()
        if kind != 9:
            return kind, payload
        await player.send(payload, opcode=10)


# How a player leaves or is sent away: what it sends, frame by frame.
ENDS = {
    "1000": [(8, (1000).to_bytes(2, "big"))],
    "a code of its own": [(8, (4321).to_bytes(2, "big") + b"bye")],
    "no code": [(8, b"")],
    "a code that is none": [(8, (1005).to_bytes(2, "big"))],
    "half a code": [(8, b"\x03")],
    "a text that is no UTF-8": [(1, b"\xff\xfe")],
    "too large": [(1, b"x" * 65_537)],
    "an unknown kind of frame": [(3, b"x")],
    "a ping that is too long": [(9, b"x" * 126)],
    "what native answers, and then 1000": [(1, b'{"type":"Heartbeat"}'), (8, (1000).to_bytes(2, "big"))],
}


async def compare_ends(report, node, proxy):
    different = []
    for name, frames in ENDS.items():
        direct, through = await end(node, frames, tls=False), await end(proxy, frames, tls=True)
        if direct != through:
            different.append(f"{name}: {through}, at Node {direct}")
    report.zero(f"of {len(ENDS)} ends: other than at Node", len(different), "; ".join(different))


async def end(port, frames, tls):
    """What a player hears until its connection ends."""
    player = await WebSocket.open(port, f"/api/ws?token={token('leaver')}", tls)
    heard = []
    try:
        for opcode, payload in frames:
            await player.send(payload, opcode)
        async with asyncio.timeout(10):
            while True:
                kind, payload = await player.next()
                heard.append((kind, bytes(payload)))
    except Broken:
        return heard
    finally:
        player.connection.close()
