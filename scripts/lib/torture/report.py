"""The lines of a scenario: what was measured, what was asked, and whether it holds."""

import statistics

WIDTH = 74


class Report:
    """Prints each line when it is known, and remembers whether one failed."""

    def __init__(self):
        self.failures = []
        self.scenario = ""

    def begin(self, scenario, about):
        self.scenario = scenario
        say(f"== {scenario}: {about}")

    def check(self, what, value, holds, wanted=""):
        if not holds:
            self.failures.append(f"{self.scenario}: {what}")
        self.line("PASS" if holds else "FAIL", what, value, wanted)

    def zero(self, what, count, details=""):
        """`details` is shown where the count is not zero."""
        self.check(what, f"{count} {details}" if count and details else count, count == 0, "0")

    def at_most(self, what, value, limit, unit=""):
        self.check(what, f"{number(value)}{unit}", value <= limit, f"≤ {number(limit)}{unit}")

    def note(self, what, value):
        self.line("", what, value, "")

    @staticmethod
    def line(mark, what, value, wanted):
        say(f"{mark:4}  {what:<{WIDTH}}  {str(value):>18}  {wanted}".rstrip())


def say(text):
    print(text, flush=True)


def number(value):
    if isinstance(value, int) or value == int(value):
        return str(int(value))
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def median(values):
    return statistics.median(values) if values else float("inf")


def p99(values):
    """Of the values, 99 % are not above this one."""
    if not values:
        return float("inf")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)]


def spread(values, unit=" ms"):
    if not values:
        return "none"
    return f"{number(median(values))} / {number(p99(values))} / {number(max(values))}{unit}"


def counts(values):
    """`reset 3, closed 1`, the most frequent first."""
    tally = {}
    for value in values:
        tally[value] = tally.get(value, 0) + 1
    return ", ".join(f"{value} {count}" for value, count in sorted(tally.items(), key=lambda item: -item[1]))
