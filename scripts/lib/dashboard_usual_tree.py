"""The usual home directory, of any size: what months of work with a coding assistant leave behind."""

import collections
import datetime
import random

from dashboard_tree import iso, to_json

Size = collections.namedtuple("Size", "projects sessions lines megabytes")
SIZES = {"small": Size(6, 12, 360, 0.4), "large": Size(12, 400, 36_000, 80)}

DAYS = 300
# What a line holds besides its text, so that the size is met.
BYTES_BESIDES_TEXT = 560
PROJECT_NAMES = ("alpha", "billing", "cartographer", "docs-site", "engine", "firmware", "gateway", "helpdesk", "ingest",
                 "journal", "kiosk", "ledger")
# Weights: one model is used most, some hardly ever.
MODELS = {
    "claude-sonnet-4-20250514": 40,
    "claude-sonnet-4-5-20250929": 25,
    "claude-opus-4-20250514": 14,
    "claude-haiku-4-5-20251001": 10,
    "claude-3-5-haiku-20241022": 5,
    "claude-3-5-sonnet-20241022": 3,
    "<synthetic>": 2,
    "claude-opus-4-1-20250805": 1,
}
TOOLS = ("getDiagnostics", "openFile", "executeCode", "closeAllDiffTabs")
WORDS = ("the", "proxy", "keeps", "a", "connection", "open", "until", "both", "sides", "agree", "\n", "let", "value",
         "=", "row[\"cost\"];", "\\d+", "naïve", "größer", "日本", "✓", "\t", "</div>", "//", "timestamp", "\"usage\":{")
# Text is cut out of this: putting 80 MB together from words takes a minute.
TEXT_LENGTH = 1 << 17


def write_usual(tree, size, until, seed):
    chance = random.Random(seed)
    text = " ".join(chance.choices(WORDS, k=TEXT_LENGTH // 4))
    clock = Clock(chance, until)
    projects = [project_name(index) for index in range(size.projects)]
    sessions = sorted(clock.start() for _ in range(size.sessions))
    bytes_of_text = max(0, size.megabytes * 1e6 / size.lines - BYTES_BESIDES_TEXT)
    # Characters may have several bytes, and quotes are escaped.
    text_length = int(bytes_of_text * len(text) / len(to_json(text).encode()))
    owners = [owner(chance, projects, index) for index in range(len(sessions))]
    counts = line_counts(chance, size.lines, owners)
    for index, (start, project, count) in enumerate(zip(sessions, owners, counts)):
        session = Session(chance, clock, text, text_length, project, start)
        tree.transcript(project, f"{session.id}.jsonl", session.lines(count), session.time)
        if index % 3 == 0:
            write_todos(tree, chance, session)
        if index % 2 == 0:
            write_mcp_log(tree, chance, session)
        if index % 5 == 0:
            # Only what lies directly in a project counts.
            tree.write(tree.projects / project / session.id / "subagents/agent.jsonl", to_json(session.assistant()) + "\n")
    tree.write(tree.projects / ".DS_Store", b"\0\0\0\1Bud1")
    for _ in range(3):
        tree.write(tree.tasks / "tasks-{:013d}".format(chance.randrange(10**13)) / "task.json", "{}")


def project_name(index):
    name = PROJECT_NAMES[index % len(PROJECT_NAMES)]
    return f"-home-user-work-{name}" + (f"-{index // len(PROJECT_NAMES)}" if index >= len(PROJECT_NAMES) else "")


def owner(chance, projects, index):
    """Every project has a session; the first projects have more than the last."""
    return projects[index] if index < len(projects) else projects[min(chance.randrange(len(projects)) for _ in "ab")]


def line_counts(chance, lines, owners):
    """How long each session is: some are four times as long as others, and no two projects have equally many lines."""
    weights = [chance.randrange(50, 200) for _ in owners]
    counts = [lines * weight // sum(weights) for weight in weights]
    counts[-1] += lines - sum(counts)
    while True:
        totals = collections.Counter()
        for project, count in zip(owners, counts):
            totals[project] += count
        tied = [project for project, total in totals.items() if list(totals.values()).count(total) > 1]
        if not tied:
            return counts
        counts[owners.index(tied[0])] += 1


class Clock:
    """Hands out each millisecond once: the order of equal times is a matter of chance between projects."""

    def __init__(self, chance, until):
        self.chance = chance
        end = datetime.datetime.fromisoformat(until).replace(tzinfo=datetime.timezone.utc)
        self.first = end - datetime.timedelta(days=DAYS)
        self.used = set()

    def start(self):
        # Any hour, so that days, months and hours of every time zone are cut somewhere.
        return self.first + datetime.timedelta(milliseconds=self.chance.randrange(DAYS * 24 * 3_600_000))

    def claim(self, time):
        while time in self.used:
            time += datetime.timedelta(milliseconds=1)
        self.used.add(time)
        return time


class Session:
    """Questions, answers and the results of tools, as one file holds them."""

    def __init__(self, chance, clock, text, text_length, project, start):
        self.chance, self.clock, self.text, self.text_length = chance, clock, text, text_length
        self.project, self.start, self.time = project, start, start
        self.id = self.uuid()
        self.cwd = project.replace("-home-user-work-", "/home/user/work/")
        self.model = chance.choices(list(MODELS), MODELS.values())[0]
        self.cached = 0

    def uuid(self):
        digits = f"{self.chance.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def lines(self, count):
        lines = [{"type": "summary", "summary": self.words(40), "leafUuid": self.uuid()}]
        while len(lines) < count:
            lines.append(self.assistant() if len(lines) % 2 == 0 else self.user(len(lines)))
        return lines[:count]

    def words(self, length):
        begin = self.chance.randrange(len(self.text) - length)
        return self.text[begin : begin + length]

    def bulk(self):
        # Most lines are short, a few are twenty times as long.
        return self.words(min(self.text_length * self.chance.choice((1, 1, 2, 2, 3, 4, 7, 20)) // 5, len(self.text) // 2))

    def step(self):
        self.time = self.clock.claim(self.time + datetime.timedelta(milliseconds=self.chance.randrange(400, 90_000)))
        return iso(self.time)

    def envelope(self, kind):
        return {"parentUuid": self.uuid(), "isSidechain": False, "userType": "external", "cwd": self.cwd,
                "sessionId": self.id, "version": "1.0.51", "gitBranch": "main", "type": kind}

    def user(self, position):
        line = self.envelope("user")
        if position % 4 == 1:
            line["message"] = {"role": "user", "content": self.bulk()}
        else:
            content = {"type": "tool_result", "tool_use_id": f"toolu_{self.uuid()}", "content": self.bulk()}
            line["message"] = {"role": "user", "content": [content]}
            # Names that count elsewhere, in places where they do not.
            line["toolUseResult"] = {"usage": {"input_tokens": 7}, "timestamp": "2020-01-01T00:00:00Z", "sessionId": "x"}
        return {**line, "uuid": self.uuid(), "timestamp": self.step()}

    def assistant(self):
        if self.chance.randrange(25) == 0:
            self.model = self.chance.choices(list(MODELS), MODELS.values())[0]
        created = self.chance.choice((0, 0, self.chance.randrange(200, 12_000)))
        usage = {
            "input_tokens": self.chance.choice((3, 4, 6, self.chance.randrange(10, 9_000))),
            "cache_creation_input_tokens": created,
            "cache_read_input_tokens": self.cached,
            "cache_creation": {"ephemeral_5m_input_tokens": created, "ephemeral_1h_input_tokens": 0},
            "output_tokens": self.chance.randrange(1, 2_500),
            "service_tier": "standard",
        }
        self.cached = min(self.cached + created, 180_000)
        message = {"id": f"msg_{self.uuid()}", "type": "message", "role": "assistant", "model": self.model,
                   "content": [{"type": "text", "text": self.bulk()}], "stop_reason": None, "usage": usage}
        return {**self.envelope("assistant"), "message": message, "requestId": f"req_{self.uuid()}", "uuid": self.uuid(),
                "timestamp": self.step()}


def write_todos(tree, chance, session):
    todos = [{"content": session.words(60), "status": chance.choice(("pending", "completed")), "priority": "high",
              "id": str(number)} for number in range(chance.randrange(5))]
    tree.write(tree.todos / f"{session.id}-agent-{session.id}.json", to_json(todos), session.time)


def write_mcp_log(tree, chance, session):
    entries = []
    for number in range(chance.randrange(1, 9)):
        entry = {"timestamp": session.step(), "sessionId": session.id, "cwd": session.cwd}
        tool = chance.choice(TOOLS)
        if number % 3 == 0:
            entry = {"debug": "Successfully connected to ws-ide server in 12ms", **entry}
        elif number % 3 == 1:
            entry = {"debug": f"Calling MCP tool: {tool}", **entry}
        else:
            entry = {"method": "tools/call", "params": {"name": tool, "cwd": session.cwd}, **entry}
        entries.append(entry)
    name = iso(session.start).replace(":", "-").replace(".", "-") + ".txt"
    content = to_json(entries) if chance.randrange(4) else "".join(to_json(entry) + "\n" for entry in entries)
    tree.mcp_log(session.project, name, content, session.clock.claim(session.time))
