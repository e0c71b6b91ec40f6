"""Logins that Node keeps on the connection (NTLM, Negotiate): no client may ever be taken for another."""

import asyncio
import contextlib

from .client import Connection
from .frames import DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, H2Connection, frame, request
from .report import counts
from .stream import Broken

ABOUT = "logins that Node keeps on the connection: NTLM, Negotiate"


class LoginNode:
    """Whoever logs in on a connection is that user for all that follows on it: `NTLM hello`, then `NTLM USER`, or at once
    `Negotiate USER`. The body of an answer is the user, or `nobody` with a 401."""

    def __init__(self):
        self.tasks = set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def close(self):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        user, begun, answers = "nobody", False, 0
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                    scheme, _, token = lines.get("authorization", "").partition(" ")
                    if (scheme, token) == ("ntlm", "hello"):
                        user, begun = "nobody", True
                    elif scheme == "negotiate" or (scheme == "ntlm" and begun):
                        user = token
                    answers += 1
                    if user != "nobody" and answers % 40 == 0:
                        return  # Closes a connection with a login now and then, without an answer.
                    challenge = "WWW-Authenticate: NTLM" + (" token" if begun else "") + "\r\n"
                    status = f"401 Unauthorized\r\n{challenge}" if user == "nobody" else "200 OK\r\n"
                    body = "" if head.startswith("HEAD ") else user
                    writer.write(f"HTTP/1.1 {status}Content-Length: {len(user)}\r\n\r\n{body}".encode())
                    await asyncio.sleep(0)
        finally:
            self.tasks.discard(task)
            writer.close()


async def run(stage):
    node = await LoginNode().start()
    try:
        proxy = await stage.proxy(node.port)
        users, rounds = (10, 40) if stage.quick else (40, 200)
        await clients(proxy.port, users, 10)
        memory, descriptors = proxy.memory_mb(), proxy.descriptors()
        found = await clients(proxy.port, users, rounds)
        report = stage.report
        report.note("answers with and without a login", f"{found.own} / {found.nobody}")
        report.zero("answers for another user", len(found.others), counts(found.others)[:80])
        report.zero("answers that are neither", len(found.odd), counts(found.odd))
        report.check("logins hold over requests", found.own, found.own > found.logins * 2, f"> {found.logins * 2}")
        deadline = asyncio.get_running_loop().time() + 10
        while len(node.tasks) > 1 and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        report.at_most("connections to Node once all clients are gone", len(node.tasks), 1)
        await proxy.settles(memory, descriptors)
    finally:
        await node.close()


async def clients(port, users, rounds):
    found = Found()
    await asyncio.gather(
        *(http1(port, f"user{number}", rounds, found) for number in range(users)),
        *(http1(port, "nobody", rounds, found) for _ in range(users)),
        *(http2(port, f"stream{number}", rounds // 10, found) for number in range(users // 2)),
        *(http2(port, "nobody", rounds // 10, found) for _ in range(users // 2)),
    )
    return found


class Found:
    """What the clients were told."""

    def __init__(self):
        self.own, self.nobody, self.logins = 0, 0, 0
        self.others, self.odd = [], []

    def note(self, user, told):
        """Whether the client is still logged in."""
        if told == user != "nobody":
            self.own += 1
        elif told == "nobody":
            self.nobody += 1
        elif told.startswith(("user", "stream")):
            self.others.append(f"{user} as {told}")
        else:
            self.odd.append(told)
        return told == user


async def http1(port, user, rounds, found):
    """A client that logs in again whenever it is nobody."""
    connection = await Connection.open(port)
    try:
        for _ in range(rounds):
            told = await ask(connection)
            if found.note(user, told) or user == "nobody":
                continue
            found.logins += 1
            found.note(user, await ask(connection, "NTLM hello"))
            found.note(user, await ask(connection, f"NTLM {user}"))
    finally:
        connection.close()


async def ask(connection, authorization=None):
    headers = [("Authorization", authorization)] if authorization else []
    try:
        answer = await connection.request("GET", "/", headers)
    except Broken as broken:
        return broken.kind
    # Node has closed the connection without an answer.
    return "nobody" if answer.status == 502 else answer.body.decode()


async def http2(port, user, rounds, found):
    """Twenty streams at once, over and over; the first of them logs in at once, as with a Kerberos ticket."""
    connection = await H2Connection.open(port)
    stream = 1
    try:
        async with asyncio.timeout(60):
            for number in range(rounds):
                if user != "nobody":
                    found.logins += 1
                    told = await streams(connection, [stream], f"Negotiate {user}")
                    found.note(user, told[0])
                    stream += 2
                wanted = list(range(stream, stream + 40, 2))
                for told in await streams(connection, wanted):
                    found.note(user, told)
                stream += 40
    except TimeoutError:
        found.odd.append("no answer")
    finally:
        connection.close()


async def streams(connection, numbers, authorization=None):
    """The bodies of the answers to these streams, in no order. A 502 tells as much as `nobody`."""
    more = [(b"authorization", authorization.encode())] if authorization else []
    await connection.write(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, number, request(b"/", more=more)) for number in numbers))
    bodies = dict.fromkeys(numbers, b"")
    left = set(numbers)
    while left:
        received = await connection.read_frame()
        if received is None:
            return ["closed"] * len(numbers)
        kind, flags, number, payload = received
        if kind == DATA:
            bodies[number] += payload
        if kind == RST_STREAM:
            bodies[number] = b"reset"
        if number in left and (kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM)):
            left.discard(number)
    return ["nobody" if b"node-broken" in body else body.decode() for body in bodies.values()]
