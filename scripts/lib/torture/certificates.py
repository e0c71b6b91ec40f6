"""The certificate is exchanged while new connections come, and stays where the new one is no good."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time

from . import processes
from .client import fetch
from .load import Load
from .report import counts, p99
from .stream import Stream

ABOUT = "20 rotations under new connections; certificates that are no good"
WORKERS = 4
NAMES = ("server.pem", "server-key.pem")


async def run(stage):
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port)
    rotations, pause, rate = (5, 2, 100) if stage.quick else (20, 2.5, 500)
    for number in range(rotations):
        # Signed by the same CA, which is what the clients check.
        shutil.copytree(stage.folder / "certs", stage.folder / f"certs{number}")
        stage.certificates(f"certs{number}")
    kept = Load(proxy.port, 50, lambda _: ("GET", "/elsewhere", b"", None), connections=10).start()
    handshakes = Handshakes(stage, proxy.port, rate, rotations * pause + 2)
    await asyncio.sleep(1)
    delays = []
    for number in range(rotations):
        serial = rotate(stage, stage.folder / f"certs{number}", by_rename=number % 2 == 0)
        delays.append(await until_served(proxy, serial))
        await asyncio.sleep(max(0, pause - delays[-1]))
    await kept.stop()
    total, failures, serials, rate_seen = await handshakes.result()
    report.zero(f"handshakes: failed of {total}", sum(failures.values()), str(failures))
    # A machine with few cores may not open as many: the clients do as much cryptography as the proxy.
    report.note("handshakes: rate reached, of the one wanted", f"{rate_seen:.0f} of {rate} /s")
    report.check("handshakes: certificates seen", len(serials), len(serials) >= rotations, f"≥ {rotations}")
    kept.report(report, "kept connections")
    report.at_most(f"{rotations} rotations: the new certificate is served after, slowest", max(delays), 2, " s")
    report.note(f"{rotations} rotations: 99 % after", f"{p99(delays):.2f} s")
    await bad_ones(stage, proxy)
    processes.end(node.process)


def rotate(stage, source, by_rename):
    """Copies both files, the key first, as certbot's hooks do one after the other. Gives the fingerprint."""
    for name in reversed(NAMES):
        target = stage.folder / "certs" / name
        if by_rename:
            shutil.copy(source / name, target.with_suffix(".new"))
            os.rename(target.with_suffix(".new"), target)
        else:
            shutil.copy(source / name, target)
    return fingerprint_of(source / "server.pem")


def fingerprint_of(path):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(path.read_text())).hexdigest()


async def served(proxy):
    stream = await Stream.tls(proxy.port)
    try:
        return hashlib.sha256(stream.sock.getpeercert(True)).hexdigest()
    finally:
        stream.close()


async def until_served(proxy, fingerprint):
    began = time.monotonic()
    while await served(proxy) != fingerprint and time.monotonic() - began < 10:
        await asyncio.sleep(0.02)
    return time.monotonic() - began


class Handshakes:
    """Processes that open connections and check the certificate; one alone would be busy with its own cryptography."""

    def __init__(self, stage, port, rate, seconds):
        ca = stage.folder / "certs/ca.pem"
        command = [sys.executable, "-m", "torture.handshakes", str(port), str(ca), str(rate / WORKERS), str(seconds)]
        self.workers = []
        for _ in range(WORKERS):
            worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stage.started.append(worker)
            self.workers.append(worker)

    async def result(self):
        total, failures, serials, rate = 0, {}, set(), 0.0
        for worker in self.workers:
            text, _ = await asyncio.to_thread(worker.communicate)
            part = json.loads(text)
            total += part["handshakes"]
            rate += part["rate"]
            serials |= set(part["serials"])
            for kind, count in part["failures"].items():
                failures[kind] = failures.get(kind, 0) + count
        return total, failures, serials, rate


async def bad_ones(stage, proxy):
    """Each stays for longer than two looks at the files; then the good pair comes back."""
    report, folder = stage.report, stage.folder / "certs"
    good = {name: (folder / name).read_bytes() for name in NAMES}
    shutil.copytree(folder, stage.folder / "other")
    stage.certificates("other")
    other = stage.folder / "other"
    cert, key = good["server.pem"], good["server-key.pem"]
    cases = [
        ("key of another certificate", {"server-key.pem": (other / "server-key.pem").read_bytes()}),
        ("certificate of another key", {"server.pem": (other / "server.pem").read_bytes()}),
        ("expired", {"server.pem": expired(folder / "server.pem")}),
        ("truncated certificate", {"server.pem": cert[:len(cert) // 2]}), ("truncated key", {"server-key.pem": key[:len(key) // 2]}),
        ("empty certificate", {"server.pem": b""}), ("empty key", {"server-key.pem": b""}),
        ("no PEM", {"server.pem": b"\x00\xff" * 500}), ("a key in both", {"server.pem": key}),
        ("no certificate", {"server.pem": None}), ("neither file", {"server.pem": None, "server-key.pem": None}),
    ]
    before = await served(proxy)
    for name, files in cases:
        errors = refusals(proxy)
        for file, content in files.items():
            if content is None:
                (folder / file).unlink()
            else:
                (folder / file).write_bytes(content)
        deadline, changed, failed = time.monotonic() + 2, 0, []
        while time.monotonic() < deadline:
            try:
                changed += await served(proxy) != before
                answer = await fetch(proxy.port, "/elsewhere")
                if answer.status != 200:
                    failed.append(str(answer.status))
            except Exception as error:
                failed.append(type(error).__name__)
            await asyncio.sleep(0.05)
        said = refusals(proxy) - errors
        holds = changed == 0 and said >= 1 and not failed
        report.check(f"{name}: old one kept, an error in the log", f"{changed} other, {said} error", holds,
                     "0 other, ≥ 1 error" + (f"; {counts(failed)}" if failed else ""))
        for file, content in good.items():
            (folder / file).write_bytes(content)
        await asyncio.sleep(1.2)
    fresh = stage.folder / "fresh"
    shutil.copytree(folder, fresh)
    stage.certificates("fresh")
    serial = rotate(stage, fresh, True)
    report.at_most("a good one after all of them is served after", await until_served(proxy, serial), 2, " s")


def refusals(proxy):
    return sum(" ERROR " in line and "certificate" in line for line in proxy.log().splitlines())


def expired(path):
    """The same certificate, but of the year 2020. Its signature no longer holds, which a server does not look at."""
    der = ssl.PEM_cert_to_DER_cert(path.read_text())
    # UTCTime (X.690 §11.8): a tag, 13 bytes, two digits of the year.
    return ssl.DER_cert_to_PEM_cert(re.sub(rb"(\x17\x0d)\d\d(\d{10}Z)", rb"\g<1>20\2", der)).encode()
