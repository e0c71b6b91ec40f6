"""Measures answers of the dashboard, native and Node's; started by `scripts/bench dashboard`, which explains the options.

Every request takes the same way: TLS to a strangler, which answers itself where a header says so, and asks Node else. One
Node has no cache, another the cache of the original. All of it is over one generated tree.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from bench import Bench, Failure, Server, client_tls, free_port, note, print_table, say, stop

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "apps/dashboard/legacy"
GENERATOR = ROOT / "scripts/generate-dashboard"

ROUTES = """
[server]
listen = "127.0.0.1:{port}"
cert = "{cert}"
key = "{key}"
side_header = true

[node]
url = "http://127.0.0.1:{node}"

[native]
app = "dashboard"
home = "{home}"
time_zone = "UTC"
rate_limit = {limit}

[rule.all]
http = [{paths}]
where = {{ "header:x-side" = "native" }}
to = "native"
timeout = "60s"
"""
PATHS = ["summary", "daily", "daily/{date}", "monthly", "monthly/{month}", "models", "projects", "hourly", "mcp/logs",
         "mcp/tools", "mcp/tools/{name}", "logs/content"]
NO_LIMIT = 1_000_000_000
# What the page of the dashboard asks for at once.
PAGE = ["summary", "daily?limit=30", "monthly?limit=12", "mcp/logs?limit=100", "mcp/tools", "projects?limit=50", "models"]
# Those that read transcripts; what is asked of native in numbers is asked of them.
USAGE = ("summary", "daily", "monthly", "models", "projects", "hourly")
# Those that Node computes anew for every request.
NEVER_CACHED = ("summary", "daily/", "monthly/", "logs/content")
# Of each round, where an answer takes a millisecond or so.
REPEATED = 30
APPENDS = 5


class Dashboards(Bench):
    """The tree, and the servers over it."""

    def __init__(self, folder, options):
        super().__init__(folder, options.binary)
        self.home = self.folder / "home"
        words = [sys.executable, GENERATOR, "--size", options.size, self.home]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise Failure(done.stderr.strip())
        self.about = done.stdout.partition(" of transcripts")[0]
        self.made = 0

    def node(self, name, **environment):
        port = free_port()
        variables = {"HOME": self.home, "TZ": "UTC", "PORT": port, "RATE_LIMIT": NO_LIMIT, **environment}
        command = ["env", *(f"{key}={value}" for key, value in variables.items()), "node", str(FIXTURE / "server.js")]
        return Server(name, port, command, self, self.proxy_cpus)

    def proxy(self, node):
        port = free_port()
        self.made += 1
        paths = ", ".join(f'"GET /api/v2/{path}"' for path in PATHS)
        files = {"cert": self.cert, "key": self.key, "home": self.home}
        text = ROUTES.format(port=port, node=node.port, paths=paths, limit=NO_LIMIT, **files)
        routes = self.write(f"routes{self.made}.toml", text)
        return Server(f"strangler{self.made}", port, [self.binary, "serve", "--routes", str(routes)], self, self.proxy_cpus)

    def endpoints(self):
        """One question of each kind, about what there is."""
        file = max(sorted((self.home / ".claude/todos").iterdir()), key=lambda path: path.stat().st_size)
        return ["summary", "daily", "daily?startHour=9&endHour=17", "daily/2025-10-10", "monthly", "monthly/2025-10", "models",
                "projects", "hourly", "mcp/logs", "mcp/tools", "mcp/tools/openFile", f"logs/content?file={quote(str(file))}"]

    def append(self, chance):
        """A line more in one of the transcripts."""
        transcript = chance.choice(sorted((self.home / ".claude/projects").glob("*/*.jsonl")))
        usage = {"input_tokens": chance.randrange(1000), "output_tokens": 5}
        message = {"model": "claude-opus-4-20250514", "usage": usage}
        timestamp = f"2025-10-10T10:10:10.{chance.randrange(1000):03}Z"
        line = json.dumps({"timestamp": timestamp, "sessionId": "appended", "message": message})
        with open(transcript, "a", encoding="utf-8") as end:
            end.write(line + "\n")


class Client:
    """A kept TLS connection that asks one side."""

    def __init__(self, server, side):
        self.side = side
        context = client_tls()
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, name):
        self.name = name
        self.socket.sendall(f"GET /api/v2/{name} HTTP/1.1\r\nHost: localhost\r\nX-Side: {self.side}\r\n\r\n".encode())

    def receive(self):
        """The body of a 200 of the side."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.read()
        head = data[:end].decode("latin-1").lower()
        length = int(re.search(r"\r\ncontent-length: (\d+)", head)[1])
        pieces, missing = [data[end + 4:]], length - len(data) + end + 4
        while missing > 0:
            pieces.append(self.read())
            missing -= len(pieces[-1])
        if " 200 " not in head.split("\r\n")[0] or f"x-strangler-side: {self.side}" not in head:
            raise Failure(f"{self.name}: {head}\n{b''.join(pieces)[:300]}")
        return b"".join(pieces)

    def read(self):
        try:
            return self.socket.recv(1 << 16) or self.gone()
        except (ssl.SSLError, TimeoutError) as error:
            raise Failure(f"{self.name}: {error}") from None

    def gone(self):
        raise Failure(f"{self.name}: the connection ended")

    def time(self, name):
        """Milliseconds until the answer is complete, and its body."""
        began = time.perf_counter()
        self.send(name)
        body = self.receive()
        return (time.perf_counter() - began) * 1000, body


def page_load(server, side):
    """Milliseconds until the seven answers of a page are complete, asked for at once on connections that are open."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server, side)) for _ in PAGE]
        began = time.perf_counter()
        for client, name in zip(clients, PAGE):
            client.send(name)
        for client in clients:
            client.receive()
        return (time.perf_counter() - began) * 1000


def started(stack, server):
    stack.enter_context(server)
    server.wait_until(lambda: socket.create_connection(("127.0.0.1", server.port), timeout=5).close(), 0.01)
    return server


# What is measured.

WAYS = ["node cold", "node cached", "native cold", "native warm", "native grown"]


class Samples:
    """Milliseconds, by what was asked for and how."""

    def __init__(self):
        self.all = {}

    def add(self, what, way, *milliseconds):
        self.all.setdefault(what, {}).setdefault(way, []).extend(milliseconds)

    def median(self, what, way):
        return statistics.median(self.all[what][way])


def measure(options, dashboards):
    samples = Samples()
    chance = random.Random(1)
    memory = {}
    with contextlib.ExitStack() as stack:
        uncached = started(stack, dashboards.node("uncached", CACHE_MS=0))
        cached = started(stack, dashboards.node("cached"))
        to_cached = started(stack, dashboards.proxy(cached))
        names = dashboards.endpoints()
        for number in range(options.rounds):
            order = names[number % len(names):] + names[:number % len(names)]
            # A fresh proxy: what it knows is an index, after the first question, and no answer to any other.
            with contextlib.ExitStack() as round_stack:
                proxy = started(round_stack, dashboards.proxy(uncached))
                native = round_stack.enter_context(Client(proxy, "native"))
                node = round_stack.enter_context(Client(proxy, "node"))
                kept = round_stack.enter_context(Client(to_cached, "node"))
                samples.add("page", "native first", page_load(proxy, "native"))
                cold_round(dashboards, uncached, order, samples)
                for name in order:
                    one_endpoint(dashboards, chance, name, samples, native, node, kept)
                one_page(dashboards, uncached, samples, proxy, to_cached)
                memory["strangler"] = max(memory.get("strangler", 0), proxy.peak_rss_kb())
                memory["strangler, afterwards"] = proxy.memory_kb()["rss"]
            note(f"round {number + 1}/{options.rounds}")
        memory["node without cache"] = uncached.peak_rss_kb()
        memory["node with cache"] = cached.peak_rss_kb()
    return samples, memory


def cold_round(dashboards, node, order, samples):
    """Each endpoint for the first time, once the index is there."""
    with contextlib.ExitStack() as stack:
        proxy = started(stack, dashboards.proxy(node))
        native = stack.enter_context(Client(proxy, "native"))
        # A question to nothing in particular, for which all transcripts are read.
        milliseconds, _ = native.time("models?sortBy=model&sortOrder=asc")
        samples.add("index", "native first", milliseconds)
        for name in order:
            samples.add(name, "native cold", native.time(name)[0])


def one_endpoint(dashboards, chance, name, samples, native, node, kept):
    cold, expected = node.time(name)
    samples.add(name, "node cold", cold)
    kept.time(name)
    is_kept = not name.startswith(NEVER_CACHED)
    samples.add(name, "node cached", *(kept.time(name)[0] for _ in range(REPEATED if is_kept else 1)))
    _, body = native.time(name)
    if body != expected:
        raise Failure(f"{name}: native answers other than Node: `scripts/torture dashboard` says more")
    samples.add(name, "native warm", *(native.time(name)[0] for _ in range(REPEATED)))
    for _ in range(APPENDS):
        dashboards.append(chance)
        samples.add(name, "native grown", native.time(name)[0])


def one_page(dashboards, node, samples, proxy, to_cached):
    samples.add("page", "node cold", page_load(proxy, "node"))
    page_load(to_cached, "node")
    samples.add("page", "node cached", page_load(to_cached, "node"))
    page_load(proxy, "native")
    samples.add("page", "native warm", *(page_load(proxy, "native") for _ in range(APPENDS)))
    for _ in range(APPENDS):
        dashboards.append(random.Random(time.monotonic_ns()))
        samples.add("page", "native grown", page_load(proxy, "native"))
    with contextlib.ExitStack() as stack:
        fresh = started(stack, dashboards.proxy(node))
        with Client(fresh, "native") as client:
            client.time("models?sortBy=model&sortOrder=asc")
        samples.add("page", "native cold", page_load(fresh, "native"))


# What is printed.

def report(names, samples, memory):
    def figure(what, way):
        value = samples.median(what, way)
        return f"{value:.0f}" if value >= 100 else f"{value:.2f}"

    def times(what, slow, fast):
        return f"{samples.median(what, slow) / samples.median(what, fast):.1f}"

    rows = []
    for name in [*names, "page"]:
        shown = {"page": "**page load, 7 at once**"}.get(name, name.partition("?file=")[0])
        ratios = [times(name, "node cold", "native cold"), times(name, "node cached", "native warm")]
        rows.append([shown, *(figure(name, way) for way in WAYS), *ratios])
    head = ["ms", "Node cold", "Node cached", "native cold", "native warm", "native, a file grew", "cold ×", "cached ×"]
    print_table(head, rows)
    say("")
    say(f"Index of the tree, with the first answer: {samples.median('index', 'native first'):.0f} ms; page load that builds it:"
        f" {samples.median('page', 'native first'):.0f} ms")
    say("Memory: " + ", ".join(f"{name} {kb / 1024:.1f} MB" for name, kb in memory.items()))
    say("")
    targets(names, samples, memory)


def targets(names, samples, memory):
    usage = [name for name in names if name.startswith(USAGE)]

    def worst(way, other):
        return min((samples.median(name, other) / samples.median(name, way), name) for name in usage)

    cold, warm = worst("native cold", "node cold"), worst("native warm", "node cached")
    grown = max((samples.median(name, "native grown"), name) for name in usage)
    page = samples.median("page", "node cached") / samples.median("page", "native warm")
    megabytes = memory["strangler"] / 1024
    lines = [
        (f"native cold, Node's uncached time over it: {cold[0]:.1f} ({cold[1]})", "at least 20", cold[0] >= 20),
        (f"native warm, Node's cached time over it: {warm[0]:.2f} ({warm[1]})", "at least 1", warm[0] >= 1),
        (f"after a file grew: {grown[0]:.2f} ms ({grown[1]})", "at most 5 ms", grown[0] <= 5),
        (f"page load, warm: {page:.0f} × as fast as Node's", "at least 100", page >= 100),
        (f"memory of the proxy at its highest: {megabytes:.1f} MB", "at most 40 MB", megabytes <= 40),
    ]
    for text, most, holds in lines:
        say(f"{'PASS' if holds else 'FAIL'}  {text} ({most})")


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench dashboard")
    parser.add_argument("command", choices=["dashboard"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=["small", "large"], default="large")
    parser.add_argument("--binary", default="target/release/dashboard")
    parser.add_argument("--json")
    options = parser.parse_args()
    options.binary = str(Path(options.binary).resolve())
    if not os.access(options.binary, os.X_OK):
        parser.error(f"{options.binary} is not there")
    if not (FIXTURE / "node_modules").exists():
        parser.error(f"{FIXTURE} has no packages: scripts/test prepare")
    if options.rounds < 1:
        parser.error("rounds are at least 1")
    return options


def main():
    options = parse()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    folder = tempfile.mkdtemp(prefix="strangler-bench-")
    try:
        dashboards = Dashboards(folder, options)
        node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
        say(f"{os.cpu_count()} CPUs, Node {node}, load {os.getloadavg()[0]:.1f}; {dashboards.about}; TLS 1.3 to the client, on one"
            f" kept connection; medians of {options.rounds} interleaved rounds, in ms")
        say("")
        samples, memory = measure(options, dashboards)
        report(dashboards.endpoints(), samples, memory)
        if options.json:
            Path(options.json).write_text(json.dumps({"milliseconds": samples.all, "memory_kb": memory}, indent=2) + "\n")
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
