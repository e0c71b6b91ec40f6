"""Requests at a rate over kept or fresh connections. Each one is counted; late ones count from when they were due."""

import asyncio
import time

from .client import Connection, fetch
from .report import counts, p99
from .stream import Broken


class Sample:
    """One request: when it was due and done, and its status and side, or how it failed."""

    __slots__ = ("due", "sent", "done", "status", "side", "failure", "key")

    def __init__(self, due, sent, key):
        self.due, self.sent, self.key = due, sent, key
        self.done, self.status, self.side, self.failure = 0.0, 0, "", None

    @property
    def milliseconds(self):
        return (self.done - self.due) * 1000


def any_ok(answer, _key):
    """Judges an answer: `None`, or the class of its failure."""
    return None if answer.status == 200 else f"status {answer.status}"


class Load:
    """`make(number)` gives method, target, body and a key; `judge(answer, key)` gives `None` or a failure."""

    def __init__(self, port, rate, make, judge=any_ok, connections=20, fresh=False, seconds=30):
        self.port, self.rate, self.make, self.judge = port, rate, make, judge
        self.connections, self.fresh, self.seconds = connections, fresh, seconds
        self.samples = []
        self.refused_from = None
        self.stopping = False
        self.tasks = []
        self.number = 0

    def start(self):
        begin = time.monotonic()
        self.tasks = [asyncio.create_task(self.work(begin, worker)) for worker in range(self.connections)]
        return self

    async def stop(self):
        """Lets what is under way come to its end."""
        self.stopping = True
        for result in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def run(self, seconds):
        self.start()
        await asyncio.sleep(seconds)
        await self.stop()
        return self

    def expect_refusal(self):
        """From now on a refused connection ends its worker and is no failure."""
        self.refused_from = time.monotonic()

    async def work(self, begin, worker):
        pause = self.connections / self.rate
        due = begin + worker / self.rate
        connection = None
        try:
            while not self.stopping:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self.stopping:
                    return
                method, target, body, key = self.make(self.number)
                self.number += 1
                sample = Sample(due, time.monotonic(), key)
                try:
                    if self.fresh:
                        answer = await fetch(self.port, target, method, body=body, seconds=self.seconds)
                    else:
                        connection = await self.kept(connection)
                        sample.sent = time.monotonic()
                        answer = await connection.request(method, target, body=body, seconds=self.seconds, asked=due)
                    sample.status, sample.side = answer.status, answer.side
                    sample.failure = self.judge(answer, key)
                except Broken as broken:
                    if self.refused_from and broken.kind == "refused":
                        return
                    sample.failure = broken.kind
                sample.done = time.monotonic()
                self.samples.append(sample)
                due += pause
                # Far behind, as after a pause of the whole machine: those requests are not sent all at once.
                due = max(due, time.monotonic() - 1.0)
        finally:
            if connection:
                connection.close()

    async def kept(self, connection):
        if connection and connection.usable and not connection.was_closed():
            return connection
        if connection:
            connection.close()
        try:
            async with asyncio.timeout(self.seconds):
                return await Connection.open(self.port)
        except TimeoutError:
            raise Broken("timeout while connecting") from None

    # What came of it.

    @property
    def failures(self):
        return [sample for sample in self.samples if sample.failure]

    def failure_counts(self):
        return counts(sample.failure for sample in self.failures)

    def milliseconds(self):
        return [sample.milliseconds for sample in self.samples if not sample.failure]

    def report(self, report, name):
        report.zero(f"{name}: failed of {len(self.samples)} requests", len(self.failures), self.failure_counts())


class Canary:
    """Requests to a route that a scenario leaves alone, on one kept connection and on fresh ones."""

    def __init__(self, port, target="/canary", rate=20):
        make = lambda _number: ("GET", target, b"", None)  # noqa: E731
        self.kept = Load(port, rate, make, connections=1, seconds=5)
        self.fresh = Load(port, rate, make, connections=4, fresh=True, seconds=5)

    def start(self):
        self.kept.start()
        self.fresh.start()
        return self

    async def stop(self):
        await asyncio.gather(self.kept.stop(), self.fresh.stop())

    @classmethod
    async def warm_up(cls, port, target):
        """Lets the native side open its database connections, whose files would else count as left over."""
        canary = cls(port, target).start()
        # All of them: the pool opens one more whenever none is free, and keeps it.
        for _ in range(4):
            await asyncio.gather(*(fetch(port, target) for _ in range(32)))
        await asyncio.sleep(2)
        await canary.stop()

    @property
    def samples(self):
        return self.kept.samples + self.fresh.samples

    def report(self, report, limit_ms=250):
        samples = self.samples
        failed = [sample for sample in samples if sample.failure]
        share = 100 * (1 - len(failed) / max(1, len(samples)))
        shown = f"{share:.2f} %" + (f" ({counts(sample.failure for sample in failed)})" if failed else "")
        report.check(f"canary: {len(samples)} requests answered", shown, bool(samples) and share >= 99.9, "≥ 99.9 %")
        slowest = p99([sample.milliseconds for sample in samples if not sample.failure])
        report.at_most("canary: p99", slowest, limit_ms, " ms")
