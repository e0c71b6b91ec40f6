"""The servers of one scenario: a proxy, Node or what stands for it, their folder and certificates."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

from . import processes
from .client import fetch
from .report import spread
from .stream import Broken

HERE = Path(__file__).parent

ROUTES = """\
[server]
listen = "127.0.0.1:{port}"
cert = "certs/server.pem"
key = "certs/server-key.pem"
side_header = true
{server}

[admin]
listen = "127.0.0.1:{admin}"

[node]
url = "http://127.0.0.1:{node}"
{node_keys}

[limits]
{limits}

[native]
{native}

{rules}
"""

TIMECARD = 'app = "timecard"\ndatabase = "sqlite:timecard.db"'

NATIVE_DRIVERS = '[rule.drivers]\nhttp = ["GET /api/drivers"]\nto = "native"\n'

# As apps/timecard/legacy/schema.js makes them, as far as the native answers read them.
TABLES = """
CREATE TABLE drivers (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE ic_log (id INTEGER PRIMARY KEY, type TEXT, detail TEXT, date TEXT, iid TEXT, machine_ip TEXT);
CREATE TABLE finger_log (date TEXT, machine_ip TEXT, id INTEGER, message TEXT);
"""


class Stage:
    """A folder with certificates and a database, and what was started in it. Leaving it ends and removes all of it."""

    def __init__(self, options, folder, report):
        self.options, self.folder, self.report = options, Path(folder), report
        self.quick = options.quick
        self.started = []
        self.proxies = []
        self.lateness = []

    async def __aenter__(self):
        self.folder.mkdir()
        self.certificates("certs")
        with sqlite3.connect(self.folder / "timecard.db") as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(TABLES)
            database.executemany("INSERT INTO drivers VALUES (?, ?)", [(1000 + n, f"driver {n}") for n in range(20)])
        database.close()
        self.heartbeat = asyncio.create_task(self.beat())
        return self

    async def beat(self):
        """How late this process itself is: what the machine and our own work add to each time that is measured."""
        while True:
            due = time.monotonic() + 0.02
            await asyncio.sleep(0.02)
            self.lateness.append((time.monotonic() - due) * 1000)

    async def __aexit__(self, kind, *_):
        self.heartbeat.cancel()
        self.report.note("this process itself was late by, median / p99 / max", spread(self.lateness))
        lines = [line for proxy in self.proxies for line in proxy.log().splitlines()]
        panics = [line for line in lines if "panic: " in line or "panicked" in line]
        if self.proxies:
            self.report.zero("panics in the proxy's log", len(panics), panics[0] if panics else "")
        for proxy in self.proxies:
            if kind:
                print(f"the proxy's log ends:\n{proxy.log_tail()}", flush=True)
            elif self.options.keep_logs:
                shutil.copy(proxy.log_path, f"{self.options.keep_logs}/{self.folder.name}-{proxy.log_path.name}")
        for process in self.started:
            processes.end(process)
        processes.end_children()
        shutil.rmtree(self.folder, ignore_errors=True)

    def certificates(self, name):
        """`strangler certs`; a CA that is there signs again."""
        made = subprocess.run([self.options.binary, "certs", "--dir", self.folder / name], capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(f"strangler certs: {made.stderr.strip()}")

    def start(self, command, name, log=None, **more):
        """`log` is where it writes instead of a file of the folder, and is closed here."""
        with log or open(self.folder / f"{name}.log", "ab") as log:
            process = processes.start(command, log, self.folder, **more)
        self.started.append(process)
        return process

    async def node(self, port=0, script=HERE / "backend.js", **environment):
        node = Node(self, port, script, environment)
        await node.listening()
        return node

    def example(self, name):
        """A program of examples/, built beside the proxy."""
        return self.beside(f"examples/{name}")

    def beside(self, name):
        """Another program of the same build, such as the proxy with an application in it."""
        path = Path(self.options.binary).parent / name
        if not os.access(path, os.X_OK):
            raise RuntimeError(f"{path} is not there: cargo build --profile quick --workspace --bins --examples")
        return path

    async def proxy(self, node_port, rules=NATIVE_DRIVERS, files=None, binary=None, environment=None, log=None, **keys):
        """The proxy with the native time card, unless another binary is named."""
        process = {"files": files, "environment": environment, "log": log}
        proxy = Proxy(self, node_port, rules, binary or self.beside("timecard"), process, keys)
        self.proxies.append(proxy)
        await proxy.ready()
        return proxy


class Node:
    """A real Node.js server that prints its port first: backend.js, unless another script is named."""

    def __init__(self, stage, port, script, environment):
        self.stage, self.environment, self.port, self.script = stage, environment, port, script
        self.journal_path = stage.folder / "journal"
        self.spawn()

    def spawn(self):
        environment = {"PORT": str(self.port), "JOURNAL": str(self.journal_path), **self.environment}
        self.process = self.stage.start(["node", self.script], "node", environment=environment, stdout=subprocess.PIPE)

    async def listening(self):
        line = await asyncio.to_thread(self.process.stdout.readline)
        if not line:
            raise RuntimeError(f"{self.script.name} did not start: {(self.stage.folder / 'node.log').read_text()[-500:]}")
        self.port = json.loads(line)["port"]
        # What else it says nobody reads, and a Node whose pipe is full waits.
        threading.Thread(target=drain, args=(self.process.stdout,), daemon=True).start()
        return time.monotonic()

    async def restart(self):
        """On the same port; says when it listened."""
        self.spawn()
        return await self.listening()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    async def ask(self, target):
        return json.loads((await fetch(self.port, target, tls=None)).body)

    def journal(self):
        return self.journal_path.read_text().split() if self.journal_path.exists() else []


def drain(pipe):
    with contextlib.suppress(ValueError, OSError):
        while pipe.read(65536):
            pass


class Proxy:
    """A running strangler."""

    def __init__(self, stage, node_port, rules, binary, process, keys):
        self.stage, self.node_port, self.keys = stage, node_port, keys
        self.port, self.admin = processes.free_port(), processes.free_port()
        number = len(stage.proxies)
        self.routes = stage.folder / f"routes{number or ''}.toml"
        self.log_path = stage.folder / f"proxy{number or ''}.log"
        self.routes.write_text(self.text(rules))
        self.log_path.touch()
        self.process = stage.start([binary, "serve", "--routes", self.routes], self.log_path.stem, **process)
        self.pid = self.process.pid

    def text(self, rules):
        keys = {"server": "", "node_keys": "", "limits": "", "native": TIMECARD, **self.keys}
        return ROUTES.format(port=self.port, admin=self.admin, node=self.node_port, rules=rules, **keys)

    async def ready(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                if (await fetch(self.admin, "/readyz", tls=None)).status == 200:
                    return
            except Broken:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the proxy does not start; its log ends:\n{self.log_tail()}")
            await asyncio.sleep(0.01)

    async def metric(self, line):
        """The value of one line of the metrics, 0 where it has not been counted yet."""
        for own in (await fetch(self.admin, "/metrics", tls=None)).body.decode().splitlines():
            if own.startswith(line):
                return float(own[len(line):])
        return 0.0

    async def generation(self):
        return json.loads((await fetch(self.admin, "/api/table", tls=None)).body)["generation"]

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_tail(self):
        return "\n".join(self.log().splitlines()[-15:])

    def memory_mb(self):
        return processes.memory_mb(self.pid)

    def descriptors(self):
        return processes.descriptors(self.pid)

    async def settles(self, memory_mb, descriptors, name=""):
        """Reports whether both are back at what they were, +10 % and +5 %, within 30 s."""
        report = self.stage.report
        deadline = time.monotonic() + 30
        # The allocator gives pages back when something is allocated, so requests go on meanwhile.
        most_mb, most_files = memory_mb * 1.1, descriptors * 1.05
        while time.monotonic() < deadline and (self.memory_mb() > most_mb or self.descriptors() > most_files):
            with contextlib.suppress(Broken):
                await fetch(self.port, "/elsewhere", seconds=5)
            await asyncio.sleep(0.25)
        report.at_most(f"{name}memory afterwards, before {memory_mb:.1f} MB", self.memory_mb(), most_mb, " MB")
        report.at_most(f"{name}file descriptors afterwards, before {descriptors}", self.descriptors(), int(most_files))

    def is_alive(self):
        return processes.is_running(self.pid)
