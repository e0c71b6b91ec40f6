"""A thousand edits of routes.toml in a minute, while requests run on both sides."""

import asyncio
import os
import time

from .load import Load
from .report import median, p99, spread
from .client import fetch

ABOUT = "routes.toml edited while requests run on both sides"
SIDES = ("node", "native")
NODE_BODY = b'{"side":"node"}'
TARGET = "/api/drivers"


def rules(side):
    return (f'[rule.flipped]\nhttp = ["GET {TARGET}"]\nto = "{side}"\n\n'
            '[rule.kept]\nhttp = ["GET /api/finger_log"]\nto = "native"\n')


class Flipper:
    """Writes the file, and knows what it said when."""

    def __init__(self, proxy, rules=rules):
        self.proxy, self.rules = proxy, rules
        self.edits = []

    def write(self, side, by_rename, broken=False):
        text = self.proxy.text(self.rules(side))
        if broken:
            text = text.replace(f'to = "{side}"', f'to = "{side}', 1)
        if by_rename:
            temporary = self.proxy.routes.with_suffix(".new")
            temporary.write_text(text)
            os.rename(temporary, self.proxy.routes)
        else:
            self.proxy.routes.write_text(text)
        self.edits.append((time.monotonic(), None if broken else side))

    async def run(self, edits, pause, broken_every=0):
        """Flips with each edit, in pairs in place and by rename. A broken edit asks for the other side in vain."""
        begin, side = time.monotonic(), 0
        for number in range(edits):
            broken = bool(broken_every) and number % broken_every == broken_every - 1
            if not broken:
                side = 1 - side
            self.write(SIDES[1 - side if broken else side], number // 2 % 2 == 1, broken)
            await asyncio.sleep(max(0, begin + (number + 1) * pause - time.monotonic()))


async def run(stage):
    report = stage.report
    node = await stage.node()
    proxy = await stage.proxy(node.port, rules("native"))
    native_body = (await fetch(proxy.port, TARGET)).body
    minute = 6 if stage.quick else 60
    await flip(stage, proxy, native_body, "1,000 edits a minute", minute * 1000 // 60, 0.06, 0)
    await flip(stage, proxy, native_body, "every third broken", minute * 300 // 60, 0.2, 3)
    before = proxy.memory_mb()
    await flip(stage, proxy, native_body, "again", minute * 500 // 60, 0.06, 0)
    report.at_most(f"memory after further reloads, before {before:.1f} MB", proxy.memory_mb(), before * 1.1, " MB")
    await burst(stage, proxy)


async def flip(stage, proxy, native_body, name, edits, pause, broken_every):
    report = stage.report

    def judge(answer, _key):
        if answer.status != 200:
            return f"status {answer.status}"
        node = answer.body == NODE_BODY, answer.head.get("x-backend") == "node", answer.side == "node"
        native = answer.body == native_body, not answer.head.get("x-backend"), answer.side == "native"
        return None if all(node) or all(native) else f"mixed sides ({answer.side})"

    def only(side):
        return lambda answer, _key: None if (answer.status, answer.side) == (200, side) else f"{answer.status} {answer.side}"

    flipped = Load(proxy.port, 200, lambda _: ("GET", TARGET, b"", None), judge)
    native = Load(proxy.port, 50, lambda _: ("GET", "/api/finger_log", b"", None), only("native"), connections=5)
    node = Load(proxy.port, 50, lambda _: ("GET", "/elsewhere", b"", None), only("node"), connections=5)
    flipper = Flipper(proxy)
    flipper.write("node", True)
    await asyncio.sleep(0.5)
    flipper.edits.clear()
    for load in (flipped, native, node):
        load.start()
    await asyncio.sleep(0.5)
    await flipper.run(edits, pause, broken_every)
    await asyncio.sleep(2)
    for load in (flipped, native, node):
        await load.stop()

    flipped.report(report, f"{name}: flipped rule")
    both = [*native.samples, *node.samples]
    failed = native.failures + node.failures
    report.zero(f"{name}: failed of {len(both)} requests to other rules", len(failed), native.failure_counts() + node.failure_counts())
    latencies, overtaken, wrong = judge_times(flipper.edits, flipped.samples)
    report.note(f"{name}: save to first answer, median / p99 / max", spread(latencies))
    report.at_most(f"{name}: median of {len(latencies)} flips", median(latencies), 50, " ms")
    report.note(f"{name}: flips overtaken by the next edit", overtaken)
    report.zero(f"{name}: answers of the other side once a flip is in force", wrong)
    report.at_most(f"{name}: p99 of an answer", p99(flipped.milliseconds()), 250, " ms")
    last = next(side for _, side in reversed(flipper.edits) if side)
    report.check(f"{name}: the last content wins", flipped.samples[-1].side, flipped.samples[-1].side == last, last)


def judge_times(edits, samples):
    """The milliseconds from each flip to its first answer, flips without one, and answers that came too late.

    Only a request that was sent after the flip was saved tells that it is in force: an older one may have been answered
    long before, by the flip before the last, and have come late.
    """
    samples = sorted((sample for sample in samples if not sample.failure), key=lambda sample: sample.done)
    flips = [edit for edit in edits if edit[1]]
    ends = [moment for moment, _ in flips[1:]] + [float("inf")]
    latencies, overtaken, wrong, position = [], 0, 0, 0
    for (saved, side), end in zip(flips, ends):
        while position < len(samples) and samples[position].done < saved:
            position += 1
        first = None
        for sample in samples[position:]:
            if sample.done >= end:
                break
            if first is None:
                first = sample if sample.side == side and sample.sent > saved else None
            elif sample.sent > first.done and sample.side != side:
                wrong += 1
        if first is None:
            overtaken += 1
        else:
            latencies.append((first.done - saved) * 1000)
    return latencies, overtaken, wrong


async def burst(stage, proxy):
    """A hundred edits without a pause: whatever happens between, the last one is in force within 2 s."""
    flipper = Flipper(proxy)
    slowest = 0.0
    for turn in range(4):
        for number in range(100):
            flipper.write(SIDES[number % 2], by_rename=number % 3 == 0)
        last = SIDES[turn % 2]
        flipper.write(last, by_rename=turn >= 2)
        saved = time.monotonic()
        while (await fetch(proxy.port, TARGET)).side != last and time.monotonic() - saved < 10:
            await asyncio.sleep(0.005)
        slowest = max(slowest, time.monotonic() - saved)
        await asyncio.sleep(0.5)
        answer = await fetch(proxy.port, TARGET)
        stage.report.check("100 edits without a pause: the last content stays", answer.side, answer.side == last, last)
    stage.report.at_most("100 edits without a pause: the last one in force after", slowest, 2, " s")
