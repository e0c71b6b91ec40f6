"""Measures what an event costs on each of its ways; started by `scripts/bench events`, which explains the options.

Everybody talks TLS to the client, which one process of examples/event_load is. `tunnel` and the bridges are strangler
(examples/sockets, the same binary with the native twin of the Node application); behind it Node gets plain bytes.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Bench, Failure, Server, free_port, note, print_table, say, stop

ROOT = Path(__file__).resolve().parents[2]
SOCKETS = ROOT / "tests/legacy/sockets"
FAN_OUT = 200

ROUTES = """
[server]
listen = "127.0.0.1:{port}"
cert = "{cert}"
key = "{key}"

[admin]
listen = "127.0.0.1:{admin}"

[node]
url = "http://127.0.0.1:{node}"

[native]
app = "sockets"

[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "{mode}"
{keys}

{rule}
"""
ONCE = 'once = [{ name = "auth" }]'
SOME = '[rule.some]\nevents = { all = ["message-with-ack", "tell-all"] }\nto = "native"\n'
ALL = '[rule.all]\nevents = { all = ["*"] }\nto = "native"\n'


class Ways(Bench):
    """What is measured: each way makes a server, which may need Node beside it."""

    def __init__(self, folder, options):
        super().__init__(folder, str(options.examples / "sockets"))
        self.load = str(options.examples / "event_load")
        self.made = 0

    def node(self, tls):
        port = free_port()
        certificate = [f"TLS_CERT={self.cert}", f"TLS_KEY={self.key}"] if tls else []
        # One of thousands that are being connected may wait for long.
        command = ["env", f"PORT={port}", "CONNECT_TIMEOUT=600000", *certificate, "node", str(SOCKETS / "server.js")]
        return self.server("node", port, command)

    def alone(self, what):
        port = free_port()
        return self.server(what, port, [self.binary, what, str(port), str(self.cert), str(self.key)])

    def strangler(self, node, mode, rule=""):
        port = free_port()
        keys = ONCE if mode == "bridge" else ""
        self.made += 1
        text = ROUTES.format(port=port, admin=free_port(), cert=self.cert, key=self.key, node=node.port, mode=mode, keys=keys, rule=rule)
        routes = self.write(f"routes{self.made}.toml", text)
        return self.server("strangler", port, [self.binary, "serve", "--routes", str(routes)])

    def server(self, name, port, command):
        self.made += 1
        return Server(f"{name}{self.made}", port, command, self, self.proxy_cpus)

    @contextlib.contextmanager
    def running(self, way):
        """The server of a way, with Node where it has one; both end with the block."""
        with contextlib.ExitStack() as stack:
            def node(tls):
                return listening(stack.enter_context(self.node(tls)))

            match way:
                case "node":
                    server = self.node(tls=True)
                case "socketioxide":
                    server = self.alone("alone")
                case "tls":
                    server = self.alone("tls")
                case "tunnel":
                    server = self.strangler(node(tls=False), "tunnel")
                case "bridge, Node":
                    server = self.strangler(node(tls=False), "bridge")
                case "bridge, both":
                    server = self.strangler(node(tls=False), "bridge", SOME)
                case "bridge, native":
                    server = self.strangler(node(tls=False), "bridge", ALL)
            yield listening(stack.enter_context(server))


def listening(server):
    """Once it takes connections."""
    server.wait_until(lambda: socket.create_connection(("127.0.0.1", server.port), timeout=5).close(), 0.01)
    return server


# The client.

def ask(ways, port, *words):
    """One run of the client; gives its report."""
    command = [ways.load, "--port", str(port), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    report = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"error": done.stderr.strip()}
    if "error" in report:
        raise Failure(f"{' '.join(map(str, words))}: {report['error']}")
    return report


@contextlib.contextmanager
def clients(ways, port, what, count):
    """So many clients while the block runs."""
    command = [ways.load, "--port", str(port), what, str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        report = json.loads(process.stdout.readline() or '{"error": "no report"}')
        if report.get("connected") != count:
            raise Failure(f"{what} {count}: {report}")
        yield
        if process.poll() is not None:
            raise Failure(f"{what} {count}: {process.stdout.read()}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# What is measured.

TIMED = ["node", "tunnel", "socketioxide", "bridge, Node", "bridge, both"]
WEIGHED = ["tls", "node", "tunnel", "socketioxide", "bridge, Node", "bridge, both", "bridge, native"]


def times(ways, options):
    """All servers run, and take turns."""
    samples = {way: [] for way in TIMED}
    with contextlib.ExitStack() as stack:
        servers = {way: stack.enter_context(ways.running(way)) for way in TIMED}
        for server in servers.values():
            ask(ways, server.port, "round-trips", max(options.messages // 10, 10))
        for round_number in range(options.rounds):
            start = round_number % len(TIMED)
            for way in TIMED[start:] + TIMED[:start]:
                server = servers[way]
                before = server.cpu_seconds()
                trips = ask(ways, server.port, "round-trips", options.messages)
                cpu = (server.cpu_seconds() - before) * 1e6 / options.messages
                fan_out = ask(ways, server.port, "fan-out", FAN_OUT, max(options.messages // 25, 5))
                sample = {"p50": trips["p50_us"], "p99": trips["p99_us"], "cpu": cpu,
                          "fan_p50": fan_out["p50_us"] / 1000, "fan_p99": fan_out["p99_us"] / 1000}
                samples[way].append(sample)
                note(f"round {round_number + 1}/{options.rounds}  {way:14}  {sample['p50']:7.1f} / {sample['p99']:7.1f} µs"
                     f"  to {FAN_OUT}: {sample['fan_p50']:6.2f} / {sample['fan_p99']:6.2f} ms")
    return {way: {key: statistics.median(sample[key] for sample in own) for key in own[0]} for way, own in samples.items()}


def weight(ways, way, count):
    """KB of one idle client, in the memory that only the server has."""
    with ways.running(way) as server:
        what = "silent" if way == "tls" else "idle"
        # What is allocated once, for whomever.
        with clients(ways, server.port, what, min(count, 300)):
            pass
        settled(server)
        before = settled(server)
        with clients(ways, server.port, what, count):
            after = settled(server)
    kb = (after - before) / count
    note(f"{way:14}  {kb:6.1f} KB per idle client")
    return kb


def settled(server):
    """Its memory, once it is the same for half a second."""
    last = 0
    for _ in range(60):
        now = server.memory_kb()["uss"]
        if abs(now - last) <= max(now // 500, 16):
            return now
        last = now
        time.sleep(0.5)
    return last


# What is printed.

def report(timed, weighed):
    tls = weighed.get("tls", 0)

    def cell(way, key, digits):
        return f"{timed[way][key]:.{digits}f}" if way in timed else "–"

    rows = []
    for way in WEIGHED:
        kb = f"{weighed[way]:.1f}" if way in weighed else "–"
        aside = f"{weighed[way] - tls:.1f}" if way in weighed and way != "tls" else "–"
        rows.append([way, cell(way, "p50", 1), cell(way, "p99", 1), cell(way, "cpu", 1), cell(way, "fan_p50", 2), cell(way, "fan_p99", 2), kb, aside])
    print_table(["way", "p50 µs", "p99 µs", "CPU µs", f"to {FAN_OUT}: p50 ms", "p99 ms", "KB/idle client", "TLS aside"], rows)
    say("")
    targets(timed, weighed, tls)


def targets(timed, weighed, tls):
    lines = []
    if timed:
        ratio = timed["bridge, Node"]["p50"] / timed["tunnel"]["p50"]
        lines.append((f"bridge to Node / tunnel, p50: {ratio:.2f}", "1.25", ratio <= 1.25))
        more = timed["bridge, both"]["p50"] - timed["socketioxide"]["p50"]
        lines.append((f"bridge to native − socketioxide, p50: {more:.1f} µs", "30 µs", more <= 30))
    if weighed:
        for way, most in (("bridge, Node", 12), ("bridge, both", 32)):
            kb = weighed[way] - tls
            lines.append((f"{way}: {kb:.1f} KB per idle client, TLS aside", f"{most} KB", kb <= most))
    for text, most, holds in lines:
        say(f"{'PASS' if holds else 'FAIL'}  {text} (at most {most})")


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench events")
    parser.add_argument("command", choices=["events"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=3000)
    parser.add_argument("--only", choices=["times", "memory"])
    parser.add_argument("--examples", type=Path, default=Path("target/release/examples"))
    parser.add_argument("--json")
    options = parser.parse_args()
    options.examples = options.examples.resolve()
    for name in ("sockets", "event_load"):
        if not os.access(options.examples / name, os.X_OK):
            parser.error(f"{options.examples / name} is not there: cargo build --release --examples")
    if not (SOCKETS / "node_modules").exists():
        parser.error(f"{SOCKETS} has no packages: scripts/test prepare")
    if min(options.rounds, options.messages, options.clients) < 1:
        parser.error("counts are at least 1")
    return options


def main():
    options = parse()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    folder = tempfile.mkdtemp(prefix="strangler-bench-")
    try:
        ways = Ways(folder, options)
        node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
        say(f"{os.cpu_count()} CPUs, Node {node}, load {os.getloadavg()[0]:.1f}; TLS 1.3 to the client; one client for round trips,"
            f" {options.messages} echoes with an acknowledgement, medians of {options.rounds} interleaved rounds; CPU of the server alone;"
            f" memory of {options.clients} idle clients over WebSockets")
        say("")
        timed = {} if options.only == "memory" else times(ways, options)
        weighed = {} if options.only == "times" else {way: weight(ways, way, options.clients) for way in WEIGHED}
        report(timed, weighed)
        if options.json:
            Path(options.json).write_text(json.dumps({"times": timed, "memory_kb": weighed}, indent=2) + "\n")
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
