"""The tree changes under the running application, and the next answer knows of it; and others answer while it is read."""

import asyncio
import contextlib
import json
import os
import shutil
import time

from .dashboard_requests import Request
from .dashboard_sides import both, compare, generate
from .report import p99, spread

QUESTIONS = [
    "/api/v2/summary", "/api/v2/daily?limit=1000", "/api/v2/daily?limit=1000&startHour=5&endHour=17",
    "/api/v2/monthly?limit=120", "/api/v2/models", "/api/v2/projects?limit=200",
    "/api/v2/projects?limit=200&sortBy=messageCount", "/api/v2/hourly", "/api/v2/mcp/logs?limit=500", "/api/v2/mcp/tools",
    "/api/v2/daily/2025-10-10", "/api/v2/monthly/2025-10", "/api/v2/logs/content?file={home}/.claude/todos/new.json",
]
TASKS = "Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev"
BUILDS = 6
APPENDED = 200


async def run(stage):
    """After each edit native is asked first, and Node, which has no cache here, right after it."""
    home = generate(stage.folder / "home-edits", "small")
    wrong, asked = [], 0
    changes = [("nothing", lambda: None), *edits(home)]
    async with both(stage, home, "America/New_York", remember=False) as sides:
        for name, change in changes:
            change()
            for target in QUESTIONS:
                request = Request("edits", "GET", target.replace("{home}", str(home)), (), b"")
                lane = sides.lane("edits")
                native = await lane.ask_native(request.method, request.target)
                node = await lane.ask_node(request.method, request.target)
                asked += 1
                if found := compare(node, native):
                    wrong.append(f"after {name}: {target}: {', '.join(found)}")
        what = f"edits: different of {asked} answers after {len(changes) - 1} edits"
        stage.report.zero(what, len(wrong), "; ".join(wrong[:4]))
        await while_it_grows(stage, home, sides)


def line(second, tokens=100, project="new"):
    usage = {"input_tokens": tokens, "output_tokens": 7, "cache_read_input_tokens": 3}
    message = {"model": "claude-opus-4-20250514", "usage": usage}
    time = f"2025-10-10T10:{second // 60:02}:{second % 60:02}.123Z"
    return json.dumps({"timestamp": time, "sessionId": project, "message": message}) + "\n"


def edits(home):
    """(what, how) in their order; each begins with what the one before left."""
    projects, todos = home / ".claude/projects", home / ".claude/todos"
    logs = home / "Library/Caches/claude-cli-nodejs/-new/mcp-logs-ide"
    folders = sorted(path for path in projects.iterdir() if path.is_dir()) if projects.exists() else []
    files = sorted(projects.glob("*/*.jsonl")) or [projects / "none"]
    file, other = files[0], files[-1]
    new = projects / "-new/new.jsonl"

    def append(path, text):
        with open(path, "a", encoding="utf-8") as end:
            end.write(text)

    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def replace(path, text):
        write(path.with_suffix(".part"), text)
        os.replace(path.with_suffix(".part"), path)

    def keeping_time(path, change):
        before = path.stat()
        change()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    call = json.dumps({"method": "tools/call", "params": {"name": "newTool"}, "timestamp": "2025-10-10T10:00:00Z"})
    return [
        ("appended lines", lambda: append(file, line(1) + line(2))),
        ("half a line", lambda: append(file, line(3)[:60])),
        ("its other half", lambda: append(file, line(3)[60:])),
        ("a line without its end", lambda: append(file, line(4).rstrip())),
        ("the end of the line", lambda: append(file, "\n")),
        ("half a character", lambda: file.open("ab").write('{"sessionId":"ü'.encode()[:-1])),
        ("the other half", lambda: file.open("ab").write("ü".encode()[1:] + b'"}\n')),
        ("lines appended under an old time", lambda: keeping_time(file, lambda: append(file, line(5)))),
        ("another modification time", lambda: os.utime(file, (1_750_000_000, 1_750_000_000))),
        ("other text of equal length", lambda: write(other, other.read_text(encoding="utf-8").replace('tokens":1', 'tokens":2'))),
        ("a file renamed over it", lambda: replace(other, line(10) + line(11))),
        ("a renamed file of equal length", lambda: replace(other, line(12) + line(13))),
        ("a new project", lambda: write(new, line(20, project="fresh"))),
        ("a second file in it", lambda: write(new.with_name("second.jsonl"), line(21) * 3)),
        ("a truncated file", lambda: os.truncate(file, file.stat().st_size // 2)),
        ("an empty file", lambda: os.truncate(other, 0)),
        ("an emptied file that grows again", lambda: write(other, line(30))),
        ("a deleted file", file.unlink),
        ("a file that is no transcript", lambda: write(new.with_name("x.txt"), line(40))),
        ("which becomes one", lambda: os.rename(new.with_name("x.txt"), new.with_name("x.jsonl"))),
        ("and stops to be", lambda: os.rename(new.with_name("x.jsonl"), new.with_name("x.jsonl.bak"))),
        ("a renamed project", lambda: os.rename(folders[1], projects / "-renamed")),
        ("a directory named as a transcript", lambda: (projects / "-renamed/x.jsonl").mkdir()),
        ("without it", lambda: (projects / "-renamed/x.jsonl").rmdir()),
        ("a dangling link", lambda: (projects / "-renamed/link.jsonl").symlink_to(home / "linked")),
        ("what it leads to", lambda: write(home / "linked", line(50))),
        ("which grows", lambda: append(home / "linked", line(51))),
        ("a project that is a link", lambda: (projects / "-linked").symlink_to(projects / "-new")),
        ("without both links", lambda: ((projects / "-renamed/link.jsonl").unlink(), (projects / "-linked").unlink())),
        ("an empty project", lambda: (projects / "-empty").mkdir()),
        ("a project that is a file", lambda: ((projects / "-empty").rmdir(), write(projects / "-empty", line(60)))),
        ("an MCP log", lambda: write(logs / "new.txt", call)),
        ("which grows", lambda: append(logs / "new.txt", "\n" + call)),
        ("with another time", lambda: os.utime(logs / "new.txt", (1_760_000_000, 1_760_000_000))),
        ("without it", (logs / "new.txt").unlink),
        ("a todo", lambda: write(todos / "new.json", "[]")),
        ("which changes", lambda: write(todos / "new.json", '[{"content":"x"}]')),
        ("without it", (todos / "new.json").unlink),
        ("a task", lambda: (home / TASKS / "new").mkdir(parents=True)),
        ("a deleted project", lambda: shutil.rmtree(projects / "-new")),
        ("all projects moved away", lambda: os.rename(projects, home / "away")),
        ("and back", lambda: os.rename(home / "away", projects)),
        ("everything deleted", lambda: shutil.rmtree(home / ".claude")),
        ("and begun anew", lambda: write(new, line(70))),
    ]


async def while_it_grows(stage, home, sides):
    """Lines are appended one by one while native answers: none is counted twice, and none forgotten."""
    file, totals = home / ".claude/projects/-new/new.jsonl", []

    async def ask(lane):
        while len(written) < APPENDED:
            totals.append(await messages(sides.lane(lane).ask_native))

    written = []
    readers = [asyncio.create_task(ask(f"reader {n}")) for n in range(4)]
    with open(file, "ab", buffering=0) as end:
        for number in range(APPENDED):
            text = line(number).encode()
            # In two pieces, so that half a line is there while it is read.
            for piece in (text[:number % len(text)], text[number % len(text):]):
                end.write(piece)
                await asyncio.sleep(0.001)
            written.append(number)
    await asyncio.gather(*readers)
    node, native = await messages(sides.lane("edits").ask_node), await messages(sides.lane("edits").ask_native)
    wanted = APPENDED + 1
    what = "a file that grows: messages at the end, Node and native"
    stage.report.check(what, f"{node} {native}", node == native == wanted, f"{wanted} twice")
    wrong = sum(total is None or total > wanted for total in totals)
    stage.report.zero(f"a file that grows: wrong of {len(totals)} answers meanwhile", wrong)


async def messages(ask):
    answer = await ask("GET", "/api/v2/models")
    return json.loads(answer.body)["stats"]["totalMessages"] if answer.status == 200 else None


async def build(stage):
    """A fresh proxy builds the index of the large tree at its first request, while others ask for something else."""
    home = stage.trees.get("large") or generate(stage.folder / "home-large", "large")
    stage.trees["large"] = home
    times, quiet = {"node": [], "native": []}, {"node": [], "native": []}
    file = next(path for path in sorted((home / ".claude/todos").iterdir()))
    asked = {"node": "/elsewhere", "native": f"/api/v2/logs/content?file={file}"}
    for _ in range(2 if stage.quick else BUILDS):
        async with both(stage, home, "UTC") as sides:
            for side in asked:
                # Opens the connection, and asks for nothing that makes native look at the tree.
                await canary(sides, side, asked["node"], [], 1)
            begun = asyncio.create_task(sides.lane("build").ask_native("GET", "/api/v2/models"))
            canaries = [asyncio.create_task(canary(sides, side, asked[side], times[side])) for side in asked]
            answer = await begun
            for task in canaries:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            first = f"{answer.status} after {answer.milliseconds:.0f} ms"
            stage.report.check("the index of the large tree: first answer", first, answer.status == 200)
            stage.report.note("memory of the proxy then", f"{sides.proxy.memory_mb():.1f} MB")
            for side in asked:
                await canary(sides, side, asked[side], quiet[side], 100)
    for side, own in times.items():
        stage.report.note(f"{side}, otherwise: median / p99 / max of {len(quiet[side])}", spread(quiet[side]))
        stage.report.note(f"{side}, while an index is built: median / p99 / max of {len(own)}", spread(own))
        # The slowest of them all is noted above: a client and a machine with few cores have a part in it.
        stage.report.at_most(f"{side}, while an index is built: 99 % within", p99(own), 10, " ms")


async def canary(sides, side, target, times, count=1_000_000):
    lane = sides.lane(f"canary {side}")
    ask = lane.ask_native if side == "native" else lane.ask_node
    for _ in range(count):
        began = time.monotonic()
        answer = await ask("GET", target)
        if answer.status not in (200, 404):
            raise RuntimeError(f"{side}: {answer.status}")
        times.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(0.002)
