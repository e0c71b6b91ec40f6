"""What depends on earlier requests: the rate limit, and what Node's cache takes for the same question."""

import time

from .dashboard_differences import excerpt
from .dashboard_requests import Request
from .dashboard_sides import Failed, both, compare, generate

LIMIT = 12
WINDOW_SECONDS = 1
KEPT_MS = 3_600_000
NOTHING = "/api/v2/daily/never"
# OPTIONS and refused origins are not counted.
QUESTIONS = [
    ("GET", NOTHING, ()), ("GET", "/api/v2/models", ()), ("HEAD", "/api/v2/models", ()), ("OPTIONS", "/api/v2/models", ()),
    ("GET", "/api/v2/models", (("If-None-Match", "*"),)), ("POST", "/api/v2/models", ()),
    ("GET", "/api/v2/models", (("Origin", "https://elsewhere.example"),)), ("GET", "/api/v2/logs/content", ()),
    ("OPTIONS", "/api/v2/models", (("Origin", "http://localhost:30001"),)),
    ("GET", "/api/v2/models", (("Origin", "http://localhost:30001"),)),
]

# (earlier, later, the later one so that Node's cache does not confuse it)
CONFUSED = [
    ("", "startHour=0", "startHour=0&endHour=23"), ("endHour=0", "", ""), ("startHour=x", "", ""),
    ("", "endHour=x&startHour=0", "startHour=0&endHour=23"),
]


async def limits(stage):
    home = generate(stage.folder / "home-limits", "small")
    await same_counts(stage, home)
    await limit_of_its_own(stage, home)
    await window_slides(stage, home)


async def same_counts(stage, home):
    """In exact mode all clients share one rate, as they do for a Node behind a proxy."""
    wrong, over = [], 0
    async with both(stage, home, "UTC", exact=True, rate_limit=LIMIT) as sides:
        await align(sides)
        for round_number in range(3):
            for method, target, headers in QUESTIONS:
                # Two clients in turns.
                lane = sides.lane(f"client {round_number % 2}", f"127.0.0.{round_number % 2 + 1}")
                node, native = await lane.ask(Request("limits", method, target, headers, b""))
                over += node.status == 429
                if compare(node, native) or remaining(node) != remaining(native):
                    left = f"{node.status}, {remaining(node)} left / {native.status}, {remaining(native)} left"
                    wrong.append(f"{method} {target} {headers}: {left} …{excerpt(native.body, 40)}")
    what = "exact, a rate limit: different answers, and numbers of requests left"
    stage.report.zero(what, len(wrong), wrong[0] if wrong else "")
    stage.report.check("exact, a rate limit: answers with 429", over, over > 0, "> 0")


async def limit_of_its_own(stage, home):
    """By default every client has its own, since Node's would lock out everybody for one of them."""
    async with both(stage, home, "UTC", rate_limit=LIMIT) as sides:
        await align(sides)
        request = Request("limits", "GET", NOTHING, (), b"")
        first, second = sides.lane("first", "127.0.0.1"), sides.lane("second", "127.0.0.2")
        for _ in range(LIMIT):
            node, native = await first.ask(request)
        holds = (node.status, native.status) == (429, 429) and not compare(node, native)
        what = "default: the first client has used its own up, Node and native"
        stage.report.check(what, f"{node.status} {native.status}", holds, "429 429")
        node, native = await second.ask(request)
        seen, wanted = f"{node.status} {native.status}, {remaining(native)} left", f"429 400, {LIMIT - 1} left"
        stage.report.check("meant and seen: another client has a rate of its own", seen, seen == wanted, wanted)


async def window_slides(stage, home):
    async with both(stage, home, "UTC", rate_limit=LIMIT, rate_window=f"{WINDOW_SECONDS}s") as sides:
        lane = sides.lane("one")
        began = time.monotonic()
        admitted = []
        while time.monotonic() - began < 3.5 * WINDOW_SECONDS:
            answer = await lane.ask_native("GET", NOTHING)
            if answer.status == 400:
                admitted.append(answer.complete)
        # The server admits before the answer is complete: a few milliseconds of ours are no fault of it.
        early = sum(later - earlier < WINDOW_SECONDS - 0.05 for earlier, later in zip(admitted, admitted[LIMIT:]))
        stage.report.zero(f"a window of {WINDOW_SECONDS} s: requests above {LIMIT} in any of them", early)
        used = len(admitted) // LIMIT
        stage.report.check("a window slides: windows that were used up", used, used >= 3, "≥ 3")


async def align(sides):
    """Node has been asked whether it is ready, and counted that."""
    lane = sides.lane("align", "127.0.0.1")
    node, native = await lane.ask(Request("limits", "GET", NOTHING, (), b""))
    while not isinstance(native, Failed) and remaining(native) and int(remaining(native)) > int(remaining(node)):
        native = await lane.ask_native("GET", NOTHING)


def remaining(answer):
    text = answer.head.get("x-ratelimit-remaining") if answer.head else ""
    return int(text) if text.isdigit() else None


async def trap(stage):
    """Node's cache takes hour 0 for no hour, in either order; by default native does not."""
    home = generate(stage.folder / "home-trap", "small")
    for name, exact in (("exact", True), ("default", False)):
        confused = right = 0
        async with both(stage, home, "UTC", exact=exact, cache_ms=KEPT_MS) as sides:
            for limit, (earlier, later, later_in_other_words) in enumerate(CONFUSED, 7):
                first, _ = await ask(sides, f"limit={limit}&{earlier}")
                second, native = await ask(sides, f"limit={limit}&{later}")
                plain, _ = await ask(sides, f"limit={limit}&startDate=1970&{later_in_other_words}")
                confused += first.body == second.body != plain.body
                right += native.body == (second if exact else plain).body
        stage.report.check(f"{name}: questions that Node's cache confused", confused, confused == len(CONFUSED), len(CONFUSED))
        what = "exact: confused by native, too" if exact else "meant and seen: native tells hour 0 from none"
        stage.report.check(what, right, right == len(CONFUSED), len(CONFUSED))


async def ask(sides, query):
    return await sides.ask(Request("trap", "GET", f"/api/v2/daily?{query}", (), b""))
