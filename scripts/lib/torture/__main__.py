"""Runs the scenarios that are named, one after the other, and exits with 1 if a line of one failed."""

import argparse
import asyncio
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import processes
from .report import Report, say
from .stage import Stage

SCENARIOS = ["flips", "node", "bodies", "stop", "restarts", "clients", "limits", "log", "http2", "certificates", "smuggling", "logins", "sides",
             "event-flips", "crowd", "sockets", "garden", "dashboard"]
OPTIONAL = ["soak"]


def parse():
    parser = argparse.ArgumentParser(prog="scripts/torture")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--binary", default="target/quick/strangler")
    parser.add_argument("--keep-logs", metavar="FOLDER")
    parser.add_argument("--minutes", type=float, default=10)
    dashboard = parser.add_argument_group("dashboard")
    dashboard.add_argument("--parts")
    dashboard.add_argument("--trees")
    dashboard.add_argument("--requests", type=int)
    dashboard.add_argument("--seed", default="1")
    dashboard.add_argument("--replay")
    dashboard.add_argument("--sample", action="store_true")
    options = parser.parse_args()
    options.requests = options.requests or (300 if options.quick else 1000)
    for name in options.scenarios:
        if name not in SCENARIOS + OPTIONAL:
            parser.error(f"no scenario `{name}`; there are {', '.join(SCENARIOS + OPTIONAL)}")
    options.binary = str(Path(options.binary).resolve())
    if not os.access(options.binary, os.X_OK):
        parser.error(f"{options.binary} is not there")
    if options.keep_logs:
        Path(options.keep_logs).mkdir(parents=True, exist_ok=True)
        options.keep_logs = str(Path(options.keep_logs).resolve())
    return options


async def perform(name, options, folder, report):
    scenario = importlib.import_module("." + name.replace("-", "_"), __package__)
    report.begin(name, scenario.ABOUT)
    began = time.monotonic()
    async with Stage(options, Path(folder) / name, report) as stage:
        await scenario.run(stage)
    say(f"      {time.monotonic() - began:.0f} s\n")


def stop(*_):
    sys.exit(130)


def main():
    options = parse()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    processes.adopt_orphans()
    processes.raise_file_limit()
    report = Report()
    folder = tempfile.mkdtemp(prefix="strangler-torture-")
    try:
        for name in options.scenarios or SCENARIOS:
            try:
                asyncio.run(perform(name, options, folder, report))
            except Exception as error:  # A scenario that breaks off has failed; the others are still worth their time.
                report.check("the scenario came to its end", f"{type(error).__name__}: {error}", False)
                if os.environ.get("TORTURE_TRACE"):
                    raise
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        processes.end_children()
        shutil.rmtree(folder, ignore_errors=True)
    if report.failures:
        sys.exit("torture: failed: " + "; ".join(report.failures))
    say("torture: every line passed")


main()
