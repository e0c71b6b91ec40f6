"""Measures proxies side by side; started by scripts/bench, which explains the options.

Every server runs on a free port of 127.0.0.1, with its files in one temporary folder. CPU time is utime + stime of
the whole process tree, as /proc/PID/stat counts it, between the start and the end of one run of h2load.
"""

import argparse
import contextlib
import ctypes
import json
import os
import platform
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

TICK = os.sysconf("SC_CLK_TCK")
BODY_BYTES = 1024
BODY = '{"rows":"' + "x" * (BODY_BYTES - 11) + '"}'
PROTOCOLS = {"h1": "HTTP/1.1", "h2": "HTTP/2"}
WORKERS = 2
# The first choice of h2load, and so of every server that follows the client.
CIPHER = "TLS_AES_128_GCM_SHA256"
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """One line for the user."""


# The proxies. Each has a configuration, a command and a version; all that is compared is here.

NGINX_COMMON = """
{user}
daemon off;
pid {folder}/{name}.pid;
error_log stderr warn;
worker_processes {workers};
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    {http}
}}
"""

# `/seen` tells what a proxy sends upstream, so that all of them can be held to the same headers.
BACKEND = """
    server {{
        listen 127.0.0.1:{port} reuseport;
        default_type application/json;
        location / {{ return 200 '{body}'; }}
        location /seen {{
            return 200 '$server_protocol|$http_connection|$http_x_forwarded_for|$http_x_forwarded_proto|$http_x_forwarded_host';
        }}
    }}
"""

NGINX = """
    upstream node {{
        server 127.0.0.1:{backend};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} ssl http2 reuseport;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {cipher};
        ssl_session_cache shared:tls:10m;
        location / {{
            proxy_pass http://node;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}
"""

HAPROXY = """
global
    nbthread {workers}
    maxconn 4096
    tune.ssl.cachesize 20000
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites {cipher}

defaults
    mode http
    no log
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
    option http-keep-alive
    http-reuse always

frontend public
    bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend node

backend node
    server node 127.0.0.1:{backend} pool-max-conn 128 pool-purge-delay 1h
"""

STRANGLER = """
[server]
listen = "127.0.0.1:{port}"
cert = "{cert}"
key = "{key}"

[node]
url = "http://127.0.0.1:{backend}"
"""


class Bench:
    """The temporary folder, the certificate and what every configuration refers to."""

    def __init__(self, folder, binary):
        self.folder = Path(folder)
        self.binary = binary
        self.cert, self.key, self.pem = (self.folder / name for name in ("cert.pem", "key.pem", "both.pem"))
        self.backend_port = free_port()
        cpus = sorted(os.sched_getaffinity(0))
        # Two CPUs for the proxy, and for the client and the backend the others where there are enough.
        self.proxy_cpus = cpus[:WORKERS]
        self.other_cpus = cpus[WORKERS:] if len(cpus) >= 2 * WORKERS else cpus
        make_certificate(self)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def backend(self):
        config = nginx_config(self, "backend", BACKEND.format(port=self.backend_port, body=BODY))
        return Server("backend", self.backend_port, ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(config)], self, self.other_cpus)

    def proxy(self, name):
        port = free_port()
        return Server(name, port, COMMANDS[name](self, port), self, self.proxy_cpus)


def nginx_config(bench, name, http):
    user = "user root;" if os.geteuid() == 0 else ""
    return bench.write(
        f"{name}.conf", NGINX_COMMON.format(user=user, folder=bench.folder, name=name, workers=WORKERS, http=http)
    )


def nginx(bench, port):
    http = NGINX.format(port=port, backend=bench.backend_port, cert=bench.cert, key=bench.key, cipher=CIPHER)
    config = nginx_config(bench, "nginx", http)
    return ["nginx", "-e", "stderr", "-p", str(bench.folder), "-c", str(config)]


def haproxy(bench, port):
    text = HAPROXY.format(workers=WORKERS, port=port, pem=bench.pem, backend=bench.backend_port, cipher=CIPHER)
    return ["haproxy", "-db", "-f", str(bench.write("haproxy.cfg", text))]


def strangler(bench, port):
    text = STRANGLER.format(port=port, cert=bench.cert, key=bench.key, backend=bench.backend_port)
    return [bench.binary, "serve", "--routes", str(bench.write("routes.toml", text))]


COMMANDS = {"strangler": strangler, "nginx": nginx, "haproxy": haproxy}


class Server:
    """A running server; leaving the `with` block ends it by its process id."""

    def __init__(self, name, port, command, bench, cpus):
        self.name, self.port, self.command, self.cpus = name, port, command, cpus
        self.log_path = bench.folder / f"{name}.log"
        self.folder = bench.folder

    def __enter__(self):
        log = open(self.log_path, "wb")
        with log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True, preexec_fn=self.before_exec,
            )
        return self

    def __exit__(self, *_):
        tree = self.tree()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in tree:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    def before_exec(self):
        os.sched_setaffinity(0, self.cpus)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    def tree(self):
        return process_tree(self.process.pid)

    def cpu_seconds(self):
        return sum(cpu_ticks(pid) for pid in self.tree()) / TICK

    def peak_rss_kb(self):
        return sum(status_kb(pid, "VmHWM") for pid in self.tree())

    def memory_kb(self):
        totals = {"rss": 0, "pss": 0, "uss": 0}
        for pid in self.tree():
            fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", read(f"/proc/{pid}/smaps_rollup"), re.M))
            totals["rss"] += int(fields["Rss"])
            totals["pss"] += int(fields["Pss"])
            totals["uss"] += int(fields["Private_Clean"]) + int(fields["Private_Dirty"])
        return totals

    def wait_until(self, answers, pause):
        """Asks until it answers; gives up after 20 s or when the process has ended."""
        deadline = time.perf_counter() + 20
        while True:
            with contextlib.suppress(OSError):
                return answers()
            if self.process.poll() is not None or time.perf_counter() > deadline:
                raise Failure(f"{self.name} does not answer; its log ends:\n{self.log_tail()}")
            time.sleep(pause)

    def log_tail(self):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-15:])


LIBC = ctypes.CDLL(None)


# What /proc says.

def read(path):
    return Path(path).read_text()


def stat_fields(pid):
    # The command stands in brackets and may hold spaces; the state is the first field after it.
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def process_tree(root):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry)] = int(stat_fields(entry)[1])
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def cpu_ticks(pid):
    """User and system time of all threads, and of children that have ended."""
    return sum(int(value) for value in stat_fields(pid)[11:15])


def status_kb(pid, field):
    return int(re.search(rf"^{field}:\s+(\d+)", read(f"/proc/{pid}/status"), re.M)[1])


# The client.

def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_certificate(bench):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
               "-keyout", str(bench.key), "-out", str(bench.cert)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        raise Failure(f"openssl: {made.stderr.strip()}")
    bench.pem.write_text(bench.cert.read_text() + bench.key.read_text())


def client_tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


CLIENT_TLS = client_tls()


def get(port, path, tls=True):
    """One request on a connection of its own; gives the status and the body. No HTTP library: it would cost time."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        if tls:
            stream = stack.enter_context(CLIENT_TLS.wrap_socket(stream, server_hostname="localhost"))
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := stream.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    return int(status[0]) if status else 0, body.decode(errors="replace")


def check_answer(server):
    """The answer is the backend's 1 KB, and the backend sees what it should."""
    if get(server.port, "/") != (200, BODY):
        raise Failure(f"{server.name} does not answer 200 with the {BODY_BYTES} bytes of the backend")
    status, seen = get(server.port, "/seen")
    pattern = r"HTTP/1\.1\|(keep-alive)?\|127\.0\.0\.1\|https\|localhost"
    if status != 200 or not re.fullmatch(pattern, seen):
        raise Failure(f"{server.name} sends upstream: {status} {seen}")


class H2load:
    """Runs h2load and reads its report."""

    def __init__(self, bench, connections, streams):
        self.connections, self.streams, self.cpus = connections, streams, bench.other_cpus

    def run(self, server, protocol, requests):
        """Gives requests/s; anything but `requests` answers of 200 and 1 KB is a failure."""
        version = ["--h1"] if protocol == "h1" else ["--npn-list=h2", f"-m{self.streams}"]
        command = ["h2load", *version, *self.options(), f"-n{requests}", f"-c{self.connections}", f"https://127.0.0.1:{server.port}/"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, preexec_fn=self.before_exec)
        except subprocess.TimeoutExpired:
            raise Failure(f"{server.name}, {PROTOCOLS[protocol]}: h2load did not end within 300 s") from None
        report = done.stdout
        expected = {
            "succeeded": (r"(\d+) succeeded", requests),
            "failed": (r"(\d+) failed", 0),
            "errored": (r"(\d+) errored", 0),
            "timeout": (r"(\d+) timeout", 0),
            "2xx": (r"(\d+) 2xx", requests),
            "bytes of bodies": (r"\((\d+)\) data", requests * BODY_BYTES),
        }
        for what, (pattern, wanted) in expected.items():
            found = re.search(pattern, report)
            if not found or int(found[1]) != wanted:
                raise Failure(f"{server.name}, {PROTOCOLS[protocol]}: {what} is not {wanted}:\n{report}{done.stderr}")
        spoken = re.search(r"^Application protocol: (\S+)", report, re.M)
        if not spoken or spoken[1] != {"h1": "http/1.1", "h2": "h2"}[protocol]:
            raise Failure(f"{server.name}: {PROTOCOLS[protocol]} was not spoken:\n{report}")
        if f"TLS Protocol: TLSv1.3\nCipher: {CIPHER}\n" not in report:
            raise Failure(f"{server.name} did not choose TLS 1.3 with {CIPHER}:\n{report}")
        return float(re.search(r"([\d.]+) req/s", report)[1])

    def options(self):
        """Further options of h2load."""
        return []

    def before_exec(self):
        os.sched_setaffinity(0, self.cpus)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


# The two commands.

def compare(options, bench):
    say(environment(options, bench))
    load = H2load(bench, options.connections, options.streams)
    samples = []
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(bench.backend())
        backend.wait_until(lambda: get(backend.port, "/", tls=False), 0.01)
        servers = [stack.enter_context(bench.proxy(name)) for name in options.only]
        for server in servers:
            server.wait_until(lambda: get(server.port, "/"), 0.01)
            check_answer(server)
            for protocol in PROTOCOLS:
                load.run(server, protocol, max(options.requests // 6, options.connections))
        turns = [(server, protocol) for server in servers for protocol in PROTOCOLS]
        for round_number in range(options.rounds):
            start = round_number % len(turns)
            for server, protocol in turns[start:] + turns[:start]:
                sample = measure(load, server, protocol, options.requests)
                samples.append({"round": round_number + 1, **sample})
                note(f"round {round_number + 1}/{options.rounds}  {server.name:9}  {PROTOCOLS[protocol]:8}"
                     f"  {sample['cpu_us']:6.1f} µs  {sample['requests_per_second']:7.0f}/s")
        memory = {server.name: server.peak_rss_kb() for server in servers}
    rows = [summary(name, samples, memory[name]) for name in options.only]
    say(setting(options))
    say("")
    print_comparison(rows)
    return {"cipher": CIPHER, "proxies": rows, "samples": samples}


def measure(load, server, protocol, requests):
    before = server.cpu_seconds()
    rate = load.run(server, protocol, requests)
    cpu = server.cpu_seconds() - before
    return {
        "proxy": server.name,
        "protocol": PROTOCOLS[protocol],
        "cpu_us": round(cpu * 1e6 / requests, 2),
        "requests_per_second": rate,
    }


def summary(name, samples, peak_rss_kb):
    row = {"proxy": name, "peak_rss_kb": peak_rss_kb}
    for key, protocol in PROTOCOLS.items():
        own = [sample for sample in samples if (sample["proxy"], sample["protocol"]) == (name, protocol)]
        cpu = [sample["cpu_us"] for sample in own]
        row[key] = {
            "cpu_us": round(statistics.median(cpu), 2),
            "cpu_us_lowest": min(cpu),
            "cpu_us_highest": max(cpu),
            "requests_per_second": round(statistics.median(sample["requests_per_second"] for sample in own)),
        }
    return row


def print_comparison(rows):
    reference = next((row for row in rows if row["proxy"] == "nginx"), None)

    def ratio(row, key):
        return f"{row[key]['cpu_us'] / reference[key]['cpu_us']:.2f}" if reference else "–"

    print_table(
        ["proxy", "HTTP/1.1 CPU µs/request", "× nginx", "HTTP/2 CPU µs/request", "× nginx",
         "HTTP/1.1 requests/s", "HTTP/2 requests/s", "peak RSS MB"],
        [[row["proxy"], spread(row["h1"]), ratio(row, "h1"), spread(row["h2"]), ratio(row, "h2"),
          f"{row['h1']['requests_per_second']}", f"{row['h2']['requests_per_second']}", f"{row['peak_rss_kb'] / 1024:.1f}"]
         for row in rows],
    )


def spread(figures):
    return f"{figures['cpu_us']:.1f} ({figures['cpu_us_lowest']:.1f}–{figures['cpu_us_highest']:.1f})"


def starts(options, bench):
    say(environment(options, bench))
    say(f"Median of {options.rounds} starts, from exec to the first answered request over TLS; memory 0.5 s after it.")
    say("")
    rows, samples = [], []
    with bench.backend() as backend:
        backend.wait_until(lambda: get(backend.port, "/", tls=False), 0.01)
        for name in options.only:
            own = [one_start(bench, name) for _ in range(options.rounds)]
            samples += own
            figures = ("start_ms", "rss_kb", "pss_kb", "uss_kb")
            rows.append({"proxy": name, **{key: statistics.median(sample[key] for sample in own) for key in figures}})
    print_table(
        ["proxy", "start ms", "RSS MB", "PSS MB", "USS MB"],
        [[row["proxy"], f"{row['start_ms']:.1f}"] + [f"{row[key] / 1024:.1f}" for key in ("rss_kb", "pss_kb", "uss_kb")]
         for row in rows],
    )
    return {"proxies": rows, "samples": samples}


def one_start(bench, name):
    server = bench.proxy(name)
    began = time.perf_counter()
    with server:
        status, _ = server.wait_until(lambda: get(server.port, "/"), 0.0002)
        start_ms = (time.perf_counter() - began) * 1000
        if status != 200:
            raise Failure(f"the first answer of {name} is {status}")
        time.sleep(0.5)
        memory = server.memory_kb()
    return {"proxy": name, "start_ms": round(start_ms, 2), **{f"{key}_kb": value for key, value in memory.items()}}


# What is printed.

def environment(options, bench):
    cpu = re.search(r"^model name\s*:\s*(.+)", read("/proc/cpuinfo"), re.M)
    versions = [version(name, bench) for name in options.only]
    if options.command == "compare":
        versions.append(version("h2load", bench))
    return (f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, "
            f"{', '.join(versions)}, load {os.getloadavg()[0]:.1f}")


def version(name, bench):
    command = {"strangler": [bench.binary, "--version"], "nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"],
               "h2load": ["h2load", "--version"]}[name]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+[\w.+-]*", done.stdout + done.stderr)
    return f"{name} {found[0] if found else '?'}"


def setting(options):
    return (f"TLS 1.3, {CIPHER}, ECDSA P-256; {options.connections} connections, {options.streams} stream(s) each over HTTP/2; "
            f"{options.requests} requests of {BODY_BYTES} bytes per measurement, {WORKERS} workers; "
            f"median (lowest–highest) of {options.rounds} rounds; RSS is summed over processes")


def print_table(head, rows):
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells):
        return "| " + " | ".join(cell.rjust(width) if i else cell.ljust(width)
                                 for i, (cell, width) in enumerate(zip(cells, widths))) + " |"

    say(line(head))
    say("|" + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths)) + "|")
    for row in rows:
        say(line(row))


def say(text):
    print(text, flush=True)


def note(text):
    print(text, file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("command", nargs="?", choices=["compare", "start"], default="compare")
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--binary", default="target/release/strangler")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.only is None:
        options.only = ["strangler"] if options.command == "start" else list(COMMANDS)
    if options.rounds is None:
        options.rounds = 10 if options.command == "start" else 3
    for name in options.only:
        if name not in COMMANDS:
            parser.error(f"--only knows {', '.join(COMMANDS)}, not {name}")
    if min(options.rounds, options.connections, options.streams) < 1 or options.requests < options.connections:
        parser.error("counts are at least 1, and requests at least connections")
    options.binary = str(Path(options.binary).resolve())
    if "strangler" in options.only and not os.access(options.binary, os.X_OK):
        parser.error(f"{options.binary} is not there")
    return options


def stop(*_):
    sys.exit(130)


def main():
    options = parse()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    folder = tempfile.mkdtemp(prefix="strangler-bench-")
    try:
        bench = Bench(folder, options.binary)
        results = (starts if options.command == "start" else compare)(options, bench)
        if options.json:
            results = {"environment": environment(options, bench), **results}
            Path(options.json).write_text(json.dumps(results, indent=2) + "\n")
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
