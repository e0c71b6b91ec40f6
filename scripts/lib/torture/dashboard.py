"""Native answers of the dashboard are those of Node, byte for byte, on odd trees, in three time zones, and after edits."""

import asyncio
import json

from . import dashboard_edits, dashboard_limits
from .dashboard_differences import EXACT, INTENDED, Differences
from .dashboard_requests import WEIGHTS, Request, Requests
from .dashboard_sides import FAMILIES, both, compare, generate
from .report import say

ABOUT = "answers of the native dashboard beside those of Node"
# `unspecified` is left out unless it is named.
TREES = ["small", "nasty", "extreme", "poisoned", "poisoned-first", "broken-directory", "broken-link", "empty", "large"]
ZONES = ["UTC", "Asia/Tokyo", "America/New_York"]
# Longer than a run takes: an answer that Node's cache lets go of in the middle could not be foretold.
KEPT_MS = 3_600_000
SAMPLE = 150


async def run(stage):
    parts = {
        "self": comparison_sees, "exact": exact, "default": default, "edits": dashboard_edits.run,
        "limits": dashboard_limits.limits, "trap": dashboard_limits.trap, "build": dashboard_edits.build,
    }
    if stage.options.replay:
        await replay(stage, json.loads(stage.options.replay))
        return
    stage.trees = {}
    stage.differences = Differences(stage.report)
    if stage.options.sample:
        await sample(stage)
        return
    for name in stage.options.parts.split(",") if stage.options.parts else parts:
        await parts[name](stage)
    stage.differences.summarize()


def tree(stage, kind):
    """The home directory of a kind, which nobody changes."""
    if kind not in stage.trees:
        stage.trees[kind] = generate(stage.folder / f"home-{kind}", kind)
    return stage.trees[kind]


async def sample(stage):
    """A few seconds of it, for the tests."""
    runs = (("nasty", "America/New_York", exact_mode()), ("nasty", "UTC", {}), ("small", "Asia/Tokyo", exact_mode()))
    for kind, zone, mode in runs:
        intended = EXACT if mode else INTENDED
        found = await perform(stage, kind, zone, SAMPLE, intended, stage.differences, **mode)
        stage.report.zero(f"{kind}, {zone}: different of {found.asked}", found.total)


def exact_mode():
    """With Node's cache: what it confuses native has to confuse, too."""
    return {"exact": True, "cache_ms": KEPT_MS}


# Comparisons.

async def comparison_sees(stage):
    """What compares is tried first: it finds nothing between two fixtures, and each fault of a spoilt one."""
    count = 200 if stage.quick else 1000
    for zone in ZONES[:1] if stage.quick else ZONES:
        # One of them reads the transcripts anew for each request, as the original does.
        found = await perform(stage, "nasty", zone, count // 8, EXACT, Differences(stage.report), against={})
        stage.report.zero(f"two fixtures, nasty, {zone}: different", found.total, found.first())
    spoilt = {"against": {"SPOIL": "1", "REMEMBER": "1"}}
    found = await perform(stage, "nasty", "UTC", count, EXACT, Differences(stage.report), **spoilt)
    kinds = {(family, kind.split(" / ")[0]) for family, kind in found.kinds}
    wanted = {("models", "status 200"), ("monthly", "header permissions-policy"), ("hourly", "body")}
    stage.report.check("a spoilt fixture: faults that were seen", len(kinds & wanted), wanted <= kinds, len(wanted))


async def exact(stage):
    for kind, zone in plan(stage):
        count = stage.options.requests
        found = await perform(stage, kind, zone, count, EXACT, stage.differences, **exact_mode())
        stage.report.zero(f"exact, {kind}, {zone}: different of {found.asked}", found.total)


async def default(stage):
    for kind, zone in plan(stage):
        found = await perform(stage, kind, zone, stage.options.requests, INTENDED, stage.differences)
        stage.report.zero(f"default, {kind}, {zone}: different of {found.asked}, if not meant", found.total)


def plan(stage):
    """Every tree in every zone; fewer of them where there is little time."""
    kinds = stage.options.trees.split(",") if stage.options.trees else TREES
    if stage.quick and not stage.options.trees:
        return [(kind, ZONES[number % 3]) for number, kind in enumerate(kinds)]
    return [(kind, zone) for kind in kinds for zone in ZONES]


async def perform(stage, kind, zone, count, intended, differences, **how):
    """Asks both sides so many generated requests, each family on connections of its own."""
    found = differences.begin(kind, zone, how, intended)
    async with both(stage, tree(stage, kind), zone, **how) as sides:
        facts = await sides.facts()
        share = sum(WEIGHTS.values())
        await asyncio.gather(*(
            converse(sides, Requests(family, f"{stage.options.seed} {kind} {zone}", facts), -(-count * weight // share), found)
            for family, weight in WEIGHTS.items()
        ))
        if kind == "nasty":
            await ask_what_is_meant(sides, found)
    return found


async def ask_what_is_meant(sides, found):
    """Each difference that is meant shows in an answer of the nasty tree; chance may ask for none of them."""
    paths = ["logs/content?file={home}/.claude-evil/secret.txt", "logs/content?file={home}/.claude/link.txt", "projects/-Upper"]
    for path in paths:
        family = "logs" if path.startswith("logs") else "project"
        request = Request(family, "GET", f"/api/v2/{path}", (), b"")
        node, native = await sides.ask(request)
        found.add(request, node, native, compare(node, native))


async def converse(sides, requests, count, found):
    for _ in range(count):
        request = requests.next()
        node, native = await sides.ask(request, requests.family)
        if node.head and node.head.get("etag"):
            requests.saw(node.head.get("etag"))
        found.add(request, node, native, compare(node, native))


async def replay(stage, wanted):
    """Asks again what was printed, and prints both answers."""
    home = generate(stage.folder / "home", wanted["tree"])
    async with both(stage, home, wanted["zone"], **(exact_mode() if wanted["exact"] else {})) as sides:
        for method, target, headers, body in wanted["requests"]:
            request = Request("replay", method, target, tuple(map(tuple, headers)), body.encode("latin-1"))
            node, native = await sides.ask(request)
            for name, answer in (("node", node), ("native", native)):
                say(f"{name}: {answer.status} side {answer.side}")
                for header in answer.head.headers if answer.head else []:
                    say(f"    {': '.join(header)}")
                say(f"    {answer.body[:3000].decode(errors='replace')}")
            stage.report.zero("different", len(compare(node, native)), compare(node, native))
