"""The dashboard twice: its Node.js fixture, and one proxy that answers itself or asks the fixture, as a header says."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys

from . import processes
from .client import Connection
from .dashboard_requests import HOME, Facts
from .stage import HERE
from .stream import Broken

FIXTURE = HERE.parents[2] / "apps/dashboard/legacy"
GENERATOR = HERE.parents[1] / "generate-dashboard"
PRELOAD = HERE / "dashboard_preload.js"

# Where the limiter is not what is tried.
NO_LIMIT = 1_000_000_000
SIDE = "X-Side"
# Only a request with the header goes to native: both ways are through one proxy, and the same in everything else. Native's
# own failures have to be seen, where Node would stand in for it.
RULE = '[rule.{id}]\nhttp = [{http}]\nwhere = {{ "header:x-side" = "native" }}\nto = "native only"\ntimeout = "60s"\n'
FAMILIES = {
    "summary": ["/api/v2/summary"], "daily": ["/api/v2/daily", "/api/v2/daily/{date}"],
    "monthly": ["/api/v2/monthly", "/api/v2/monthly/{month}"], "models": ["/api/v2/models"],
    "projects": ["/api/v2/projects", "/api/v2/projects/{name}"], "hourly": ["/api/v2/hourly"],
    "mcp": ["/api/v2/mcp/logs", "/api/v2/mcp/tools", "/api/v2/mcp/tools/{name}"], "logs": ["/api/v2/logs/content"],
}
LISTS = {
    "daily": "/api/v2/daily?limit=1000", "monthly": "/api/v2/monthly?limit=120", "projects": "/api/v2/projects?limit=200",
    "mcp/tools": "/api/v2/mcp/tools",
}
# Those of a connection, of the clock, of the proxy itself; the last two are compared where they are counted.
UNCOMPARED = {"date", "connection", "keep-alive", "x-strangler-side", "x-ratelimit-remaining", "x-ratelimit-reset"}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def generate(folder, kind, *options):
    """A home directory of that kind; `large` is a size."""
    words = ["--size", "large"] if kind == "large" else [] if kind == "small" else ["--kind", kind]
    made = subprocess.run([sys.executable, GENERATOR, *words, *options, folder], capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(f"generate-dashboard: {made.stderr.strip()}")
    return folder


class Fixture:
    """The Node.js application over one home directory."""

    def __init__(self, stage, home, zone, cache_ms, rate_limit, environment):
        if not (FIXTURE / "node_modules").exists():
            raise RuntimeError(f"{FIXTURE} has no packages: scripts/test prepare")
        own = {"HOME": str(home), "PORT": "0", "TZ": zone, "CACHE_MS": str(cache_ms), "RATE_LIMIT": str(rate_limit)}
        command = ["node", "-r", PRELOAD, FIXTURE / "server.js"]
        self.process = stage.start(command, "fixture", environment={**own, **environment}, stdout=subprocess.PIPE)

    async def listening(self):
        line = (await asyncio.to_thread(self.process.stdout.readline)).decode()
        port = re.search(r":(\d+)$", line.strip())
        if not port:
            raise RuntimeError("the fixture did not start")
        self.port = int(port[1])
        return self


class Sides:
    """A fixture and a proxy before it. `against` is a second proxy, whose Node takes the part of native."""

    def __init__(self, fixture, proxy, home, against=None):
        self.fixture, self.proxy, self.home, self.against = fixture, proxy, str(home), against
        self.lanes = {}

    def lane(self, name, address=None):
        return self.lanes.setdefault(name, Lane(self, address))

    async def ask(self, request, lane="one"):
        return await self.lane(lane).ask(request)

    async def facts(self):
        answers = {}
        for name, target in LISTS.items():
            answer = (await self.lane("facts").ask_node("GET", target))
            if answer.status == 200:
                answers[name] = json.loads(answer.body)
        return Facts(self.home, answers)

    def close(self):
        for lane in self.lanes.values():
            lane.close()


class Lane:
    """A connection to each side. Requests of one lane reach both sides in the same order."""

    def __init__(self, sides, address=None):
        self.sides, self.address = sides, address
        self.connections = {}

    async def ask(self, request):
        """Both answers, Node's first."""
        target = request.target.replace(HOME, self.sides.home)
        return await asyncio.gather(
            self.ask_node(request.method, target, request.headers, request.body),
            self.ask_native(request.method, target, request.headers, request.body),
        )

    async def ask_node(self, *request):
        return await self.send("node", self.sides.proxy.port, *request)

    async def ask_native(self, *request):
        port = (self.sides.against or self.sides.proxy).port
        answer = await self.send("native", port, *request)
        # `native only` refuses what native does not serve; with `native`, Node would answer it.
        return await self.send("left", port, *request) if refused(answer) else answer

    async def send(self, side, port, method, target, headers=(), body=b""):
        for attempt in range(2):
            connection = self.connections.get(side)
            is_kept = connection is not None and connection.usable
            try:
                if not is_kept:
                    connection = self.connections[side] = await Connection.open(port, local_address=self.address)
                return await connection.request(method, target, [(SIDE, side), *headers], body, 60)
            except Broken as broken:
                connection = self.connections.pop(side, None)
                if connection:
                    connection.close()
                # A kept connection may have been closed while nobody looked.
                if not (is_kept and attempt == 0):
                    return Failed(str(broken))

    def close(self):
        for connection in self.connections.values():
            connection.close()


class Failed:
    """What stands for an answer that did not come."""

    status, body, side = 0, b"", ""

    def __init__(self, what):
        self.what = what
        self.head = None


def compare(node, native):
    """What differs: `status`, `header NAME`, `body`; or how one of them failed."""
    if isinstance(node, Failed) or isinstance(native, Failed):
        failures = [getattr(answer, "what", "an answer") for answer in (node, native)]
        return [] if failures[0] == failures[1] else [f"{failures[0]} / {failures[1]}"]
    if declined(native):
        return []
    found = [] if node.status == native.status else [f"status {node.status} / {native.status}"]
    ours, theirs = headers(native), headers(node)
    found += [f"header {name}" for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    if not any(found) or node.status == native.status:
        found += [] if node.body == native.body else ["body"]
    return found


def refused(answer):
    """Whether the proxy itself refuses a request; nobody has answered it then."""
    return answer.status == 400 and not answer.side


def declined(answer):
    """Whether native left it to Node, which this proxy is told not to ask. HEAD has no body to tell it by, but native's own
    answers have the headers of helmet."""
    is_proxy_s = "x-frame-options" not in headers(answer)
    return answer.status == 502 and (b"native-declined" in answer.body or (is_proxy_s and not answer.body))


def headers(answer):
    found = {}
    for name, value in answer.head.headers:
        if name not in UNCOMPARED:
            found.setdefault(name, []).append(value)
        elif name == "x-ratelimit-remaining":
            found[name] = value.isdigit()
        elif name == "x-ratelimit-reset":
            found[name] = bool(INSTANT.fullmatch(value))
    return found


def native_keys(home, zone, exact, **more):
    keys = {"home": str(home), "time_zone": zone, "rate_limit": NO_LIMIT, **({"compat": "exact"} if exact else {}), **more}
    return "\n".join(['app = "dashboard"', *(f"{name} = {json.dumps(value)}" for name, value in keys.items())])


def rules():
    return "\n".join(RULE.format(id=id, http=", ".join(map(json.dumps, paths))) for id, paths in FAMILIES.items())


@contextlib.asynccontextmanager
async def both(stage, home, zone, exact=False, cache_ms=0, rate_limit=NO_LIMIT, remember=True, against=None, **keys):
    """Both sides, which end with the block. `against` are variables of a fixture that takes the part of native."""
    environment = {"REMEMBER": "1"} if remember else {}
    async with contextlib.AsyncExitStack() as stack:
        async def fixture(environment):
            started = await Fixture(stage, home, zone, cache_ms, rate_limit, environment).listening()
            stack.callback(processes.end, started.process)
            return started

        async def proxy(node, *arguments, **more):
            started = await stage.proxy(node.port, *arguments, **more)
            stack.callback(processes.end, started.process)
            return started

        node = await fixture(environment)
        if against is None:
            native = native_keys(home, zone, exact, **{"rate_limit": rate_limit, **keys})
            sides = Sides(node, await proxy(node, rules(), binary=stage.beside("dashboard"), native=native), home)
        else:
            sides = Sides(node, await proxy(node, ""), home, await proxy(await fixture(against), ""))
        stack.callback(sides.close)
        yield sides
