"""What differed between Node and native: what was meant to, and the rest in a form that can be asked again."""

import collections
import json
import re
import shlex

from .dashboard_requests import Request
from .dashboard_sides import declined
from .report import say

# Of each kind, in each family and mode.
EXAMPLES = 2
HIDDEN = b'{"error":"Internal server error","message":"An error occurred"}'

# Whether a difference is one that the README lists, by its name.


def has_project_details(request, node, native):
    """Node fails for every project that exists, as soon as there is a session."""
    return request.family == "project" and node.status == 500 and native.status in (200, 304) and node.body in (HIDDEN, b"")


def refuses_neighbours(request, node, native):
    """Node compares paths as texts, so that `.claude-evil` begins with `.claude`, whether it is there or not."""
    beside = re.search(r"(\.claude|claude-cli-nodejs)(?!/|%2F|&|$)", request.target)
    return request.family == "logs" and beside and native.status == 403 and node.status in (200, 304, 404, 500)


def follows_no_link_out(request, node, native):
    """Node shows whatever a link below its folders leads to."""
    return request.family == "logs" and "link" in request.target and native.status == 403 and node.status in (200, 304)


EXACT = {"no neighbours of the folders": refuses_neighbours}
INTENDED = {**EXACT, "details of projects": has_project_details, "no links out of the folders": follows_no_link_out}


class Differences:
    """Those of all runs, by kind."""

    def __init__(self, report):
        self.report = report
        self.runs = []
        self.shown = collections.Counter()

    def begin(self, kind, zone, how, intended):
        self.runs.append(Run(kind, zone, how, intended, self.shown))
        return self.runs[-1]

    def summarize(self):
        """Counts per family, and whether every difference that is meant was seen."""
        families = collections.defaultdict(collections.Counter)
        seen, wanted = collections.Counter(), set()
        for run in self.runs:
            for family, counts in run.counts.items():
                families[family] += counts
            seen += run.seen
            wanted |= set(run.intended) if run.kind == "nasty" else set()
        if self.runs:
            say(f"      {'family':<12}{'asked':>8}{'native':>8}{'declined':>10}{'Node':>8}{'meant':>8}{'different':>11}")
        for family, counts in sorted(families.items()):
            row = [counts[name] for name in ("asked", "native", "declined", "left", "meant", "different")]
            say(f"      {family:<12}{row[0]:>8}{row[1]:>8}{row[2]:>10}{row[3]:>8}{row[4]:>8}{row[5]:>11}")
        for name in sorted(wanted):
            self.report.check(f"meant and seen: {name}", seen[name], seen[name] > 0, "≥ 1")


class Run:
    """One tree, zone and mode."""

    def __init__(self, kind, zone, how, intended, shown):
        self.kind, self.zone, self.how, self.intended, self.shown_kinds = kind, zone, how, intended, shown
        self.asked = self.total = 0
        self.kinds = collections.Counter()
        self.seen = collections.Counter()
        self.counts = collections.defaultdict(collections.Counter)
        self.examples = []

    def add(self, request, node, native, differing):
        counts = self.counts[request.family]
        counts["asked"] += 1
        counts["native" if native.side == "native" else "declined" if declined(native) else "left"] += 1
        self.asked += 1
        if not differing:
            return
        for name, holds in self.intended.items():
            if holds(request, node, native):
                self.seen[name] += 1
                counts["meant"] += 1
                return
        counts["different"] += 1
        self.total += 1
        for what in differing:
            self.kinds[request.family, what] += 1
        # With the body its length and its tag differ, too.
        telling = tuple(what for what in differing if what not in ("header etag", "header content-length")) or tuple(differing)
        kind = (request.family, bool(self.how.get("exact")), telling)
        self.shown_kinds[kind] += 1
        if self.shown_kinds[kind] <= EXAMPLES:
            self.show(request, node, native, differing)

    def show(self, request, node, native, differing):
        self.examples.append(request)
        if "against" in self.how:
            return
        say(f"      {', '.join(differing)}: {shown(request)}")
        if node.body != native.body:
            pairs = enumerate(zip(node.body, native.body))
            at = next((place for place, (ours, theirs) in pairs if ours != theirs), min(len(node.body), len(native.body)))
            say(f"        node   …{excerpt(node.body, at)}")
            say(f"        native …{excerpt(native.body, at)}")
        for name in (what.removeprefix("header ") for what in differing if what.startswith("header ")):
            say(f"        {name}: {node.head.all(name)} / {native.head.all(name)}")
        say(f"        again: scripts/torture dashboard --replay {shlex.quote(self.again(request))}")

    def again(self, request):
        asked = [request.method, request.target, request.headers, request.body.decode("latin-1")]
        exact = bool(self.how.get("exact"))
        return json.dumps({"tree": self.kind, "zone": self.zone, "exact": exact, "requests": [asked]})

    def first(self):
        return shown(self.examples[0]) if self.examples else ""


def excerpt(body, at):
    return body[max(0, at - 60) : at + 60].decode(errors="replace").replace("\n", "\\n")


def shown(request: Request):
    target = request.target if len(request.target) < 300 else f"{request.target[:300]}…"
    words = [request.method, target, *(f"{name}: {value}" for name, value in request.headers)]
    return " ".join(map(shlex.quote, words)) + (f" and {len(request.body)} bytes" if request.body else "")
