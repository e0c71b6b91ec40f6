"""Counts the instructions of a proxied request; started by `scripts/bench instructions`, which explains the options.

Valgrind's callgrind runs strangler on one CPU, and so with one accepting thread. It counts the instructions of all threads
but `main`, which no request passes, and which looks at files twice a second, however long a load takes. Each load is one
connection of h2load with one request at a time. A figure is the difference of two loads: start, TLS handshake and end drop
out.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import Bench, Failure, H2load, Server, check_answer, environment, free_port, get, note, print_table, say, stop, strangler

# h2load sends `Host` and `User-Agent` by itself, over HTTP/2 as `:authority` and `user-agent`.
FEW = ["Accept: application/json"]
BROWSER = [
    "Sec-CH-UA: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"",
    "Sec-CH-UA-Mobile: ?0",
    "Sec-CH-UA-Platform: \"Linux\"",
    "Accept: application/json, text/plain, */*",
    "Accept-Language: en-US,en;q=0.9,de;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://localhost/reports/daily?month=2026-12",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Dest: empty",
    "Cache-Control: no-cache",
    "Cookie: session=s%3A2f9d0c7b5e8a4c1f9b3d.6a1e8f4b2c7d9e0a5b3c; theme=dark; _ga=GA1.1.1234567890.1700000000",
]
LOADS = [
    ("HTTP/1.1, 3 headers", "h1", FEW),
    ("HTTP/1.1, 14 headers", "h1", BROWSER),
    ("HTTP/2, 3 headers", "h2", FEW),
    ("HTTP/2, 14 headers", "h2", BROWSER),
]
# Requests of the smaller load: enough that connections, caches of the allocator and lazy tables are there.
SMALL = 200


class Load(H2load):
    """One connection, one request at a time, and for HTTP/2 the windows of a browser (16 MiB), so that no window update comes
    between: what a read or a write holds does not depend on timing."""

    def __init__(self, bench, headers):
        super().__init__(bench, connections=1, streams=1)
        self.headers = headers

    def options(self):
        return ["-w24", "-W24", *(f"-H{header}" for header in self.headers)]


def instructions(bench, binary, load, requests):
    """What callgrind counts in one whole life of the proxy that answers this many requests."""
    counts = bench.folder / "callgrind.out"
    for old in bench.folder.glob(f"{counts.name}*"):
        old.unlink()
    _, protocol, headers = load
    port = free_port()
    bench.binary = binary
    command = ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={counts}", *strangler(bench, port)]
    with Server("strangler", port, command, bench, bench.proxy_cpus) as server:
        server.wait_until(lambda: get(server.port, "/"), 0.1)
        check_answer(server)
        Load(bench, headers).run(server, protocol, requests)
    if server.process.returncode != 0:
        raise Failure(f"{binary} ended with {server.process.returncode} under callgrind; its log ends:\n{server.log_tail()}")
    # One file a thread, `main` first.
    threads = sorted(bench.folder.glob(f"{counts.name}-*"))[1:]
    totals = [re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.M) for file in threads]
    if not totals or None in totals:
        raise Failure("callgrind wrote no totals")
    return sum(int(total[1]) for total in totals)


def measure(options, bench):
    say(environment(options, bench))
    say(f"Instructions per request, of a strangler on one CPU without its thread `main`, TLS 1.3, one connection, answers of 1 KB: "
        f"the difference of {SMALL} and {SMALL + options.requests} requests, of each the lowest of {options.rounds} round(s).")
    say("")
    binaries = {"new": options.binary, **({"old": options.against} if options.against else {})}
    sizes = (SMALL, SMALL + options.requests)
    counts = {(load[0], name, size): [] for load in LOADS for name in binaries for size in sizes}
    with bench.backend() as backend:
        backend.wait_until(lambda: get(backend.port, "/", tls=False), 0.01)
        for round_number in range(options.rounds):
            for load in LOADS:
                for name, binary in binaries.items():
                    for size in sizes:
                        counts[load[0], name, size].append(instructions(bench, binary, load, size))
                    small, large = (counts[load[0], name, size][-1] for size in sizes)
                    note(f"round {round_number + 1}/{options.rounds}  {load[0]:20}  {name}  "
                         f"{(large - small) / options.requests:8.0f}")
    rows = [row(load[0], binaries, counts, options.requests) for load in LOADS]
    head = ["request", "instructions", *(["against", "ratio"] if options.against else [])]
    print_table(head, [[row["request"], f"{row['new']:.0f}", *([f"{row['old']:.0f}", f"{row['ratio']:.4f}"] if options.against else [])]
                       for row in rows])
    return {"binaries": binaries, "requests": rows, "samples": [{"request": load, "binary": name, "requests": size, "instructions": found}
                                                                for (load, name, size), found in counts.items()]}


def row(request, binaries, counts, requests):
    """What disturbs a load (another wake-up, a window update that comes by itself) adds to it: the lowest count is the best."""
    def per_request(name):
        small, large = (min(counts[request, name, size]) for size in (SMALL, SMALL + requests))
        return (large - small) / requests

    found = {name: per_request(name) for name in binaries}
    return {"request": request, **found, **({"ratio": found["new"] / found["old"]} if "old" in found else {})}


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench instructions")
    parser.add_argument("command", choices=["instructions"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--binary", default="target/release/strangler")
    parser.add_argument("--against")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.rounds < 1 or options.requests < 100:
        parser.error("--rounds is at least 1, --requests at least 100")
    for name in ("binary", "against"):
        if path := getattr(options, name):
            setattr(options, name, str(Path(path).resolve()))
            if not os.access(path, os.X_OK):
                parser.error(f"{path} is not there")
    options.only = ["strangler"]
    return options


def main():
    options = parse()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    folder = tempfile.mkdtemp(prefix="strangler-bench-")
    try:
        bench = Bench(folder, options.binary)
        bench.proxy_cpus = bench.proxy_cpus[:1]
        results = measure(options, bench)
        if options.json:
            Path(options.json).write_text(json.dumps({"environment": environment(options, bench), **results}, indent=2) + "\n")
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
