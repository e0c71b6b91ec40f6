"""Home directories in which everything is odd that the dashboard has a rule for, and a few that break it."""

from dashboard_odd_lines import (
    FILE_NAMES, PROJECT_NAMES, TIMES_THAT_ARE_NONE, Moments, entry, extremes, odd_lines, odd_models, odd_numbers, odd_sessions,
    odd_times, ties, unspecified,
)
from dashboard_tree import to_json

MEBIBYTE = 1 << 20


def write_nasty(tree):
    moments = Moments()
    tree.transcript("-odd-lines", "lines.jsonl", odd_lines(moments))
    tree.transcript("-odd-lines", "crlf.jsonl", [entry(moments.next(), "crlf", {"input_tokens": n}) for n in (1, 2)], end="\r\n")
    tree.transcript("-odd-lines", "no-end.jsonl", [entry(moments.next(), "end", {"input_tokens": n}) for n in (1, 2)], end="\n ")
    tree.write(tree.projects / "-odd-lines/last-line-is-open.jsonl", to_json(entry(moments.next(), "open", {"input_tokens": 3})))
    tree.write(tree.projects / "-odd-lines/empty.jsonl", "")
    tree.write(tree.projects / "-odd-lines/blank.jsonl", "\n\r\n \t\n\n")
    tree.transcript("-odd-times", "times.jsonl", odd_times(moments))
    tree.transcript("-odd-numbers", "numbers.jsonl", odd_numbers(moments))
    tree.transcript("-odd-models", "models.jsonl", odd_models(moments))
    tree.transcript("-odd-sessions", "sessions.jsonl", odd_sessions(moments))
    for project, lines in ties(moments).items():
        tree.transcript(project, "ties.jsonl", lines)
    for number, name in enumerate(FILE_NAMES):
        tree.transcript("-odd-files", name, [entry(moments.next(), "files", {"input_tokens": 1 << number})])
    for number, name in enumerate(PROJECT_NAMES):
        lines = [entry(moments.next(), "names", {"output_tokens": 1000 + 37 * number}) for _ in range(number + 30)]
        tree.transcript(name, "session.jsonl", lines)
    write_strays(tree, moments)
    write_nasty_mcp_logs(tree)
    write_readable_files(tree)
    write_todos_and_tasks(tree)


def write_strays(tree, moments):
    ignored = to_json(entry(moments.next(), "ignored", {"input_tokens": 10**9})) + "\n"
    tree.write(tree.projects / "stray.jsonl", ignored)
    tree.write(tree.projects / "-odd-files/deep/x.jsonl", ignored)
    # A project without any transcript is listed too. There is only one: equal activities have no order.
    tree.write(tree.projects / "-without-transcripts/notes.txt", "nothing\n")
    tree.write(tree.home / "outside.jsonl", to_json(entry(moments.next(), "linked", {"input_tokens": 11})) + "\n")
    tree.link(tree.projects / "-odd-files/link.jsonl", "../../../outside.jsonl")


def write_nasty_mcp_logs(tree):
    def call(time, name, **params):
        return {"method": "tools/call", "params": {"name": name, **params}, "timestamp": time}

    def debug(time, text):
        return {"debug": text, "timestamp": time}

    # The order of the files is neither that of time nor that of calls; names that are integers come first in an object.
    tree.mcp_log("-array", "2025-07-01T00-00-00-000Z.txt", to_json([
        call("2025-07-01T00:00:03.000Z", "zeta", cwd="/srv/array"), call("2025-07-01T00:00:04.000Z", "10"),
        call("2025-07-01T00:00:05.000Z", "2"), call("2025-07-01T00:00:06.000Z", "zeta"),
        {"method": "tools/list"}, {"method": "tools/call"}, {"method": "tools/call", "params": {}}, {"debug": "Calling"},
        {"debug": 5}, {"error": "Calling MCP tool: none", "timestamp": "2025-07-01T00:00:07.000Z"},
    ]))
    lines = [to_json(debug("2025-06-30T10:00:00.000Z", "Calling MCP tool:   two words  ")), "junk", "", "{\"half\":",
             to_json(debug("2025-06-30T10:00:01.000Z", "calling MCP tool: zeta")), to_json(debug("2025-06-30T10:00:02.000Z", "Calling MCP tool: zeta")),
             to_json(call("2025-06-30T10:00:03.000Z", "a/b", cwd="/srv/lines")), to_json(call("2025-06-30T10:00:04.000Z", "größe ✓"))]
    tree.mcp_log("-lines", "lines.txt", "\n".join(lines))
    tree.mcp_log("-lines", "crlf.txt", "\r\n".join(to_json(call(f"2025-08-01T00:00:0{n}.000Z", "crlf")) for n in range(3)))
    tree.mcp_log("-lines", "pretty.txt", '{\n  "method": "tools/call"\n}\n')
    tree.mcp_log("-lines", "single.txt", to_json(call("2025-05-01T00:00:00.000Z", "single", cwd="/srv/single")))
    tree.mcp_log("-lines", "empty.txt", "")
    tree.mcp_log("-lines", "latin.txt", to_json(call("2025-05-02T00:00:00.000Z", "gr?n")).encode().replace(b"?", b"\xfc"))
    tree.mcp_log("-deep/inner", "deep.txt", to_json([call("2025-05-03T00:00:00.000Z", "deep")]))
    tree.mcp_log("", "root.txt", to_json([call("2025-05-04T00:00:00.000Z", "2")]))
    # More sessions of one tool than an answer shows.
    for day in range(1, 29):
        tree.mcp_log("-many", f"2025-09-{day:02d}.txt", to_json([call(f"2025-09-{day:02d}T12:00:00.000Z", "often")] * (day % 3 + 1)))
    tree.mcp_log("-many", "ignored.TXT", to_json([call("2025-05-05T00:00:00.000Z", "ignored")]))
    tree.mcp_log("-many", "ignored.txt.gz", "")
    tree.write(tree.mcp_logs / "-many/mcp-logs-other/ignored.txt", to_json([call("2025-05-06T00:00:00.000Z", "ignored")]))


def write_readable_files(tree):
    claude = tree.home / ".claude"
    tree.write(claude / "pretty.json", '{"b":1,"a":[],"10":{},"2":[1,{"x":null}],"text":"\\u00e9\\ud800 \\u2028","n":1e21,"b":-0}\n')
    tree.write(claude / "broken.json", '{"b":')
    tree.write(claude / "scalar.json", " 1.0 ")
    tree.write(claude / "pretty.JSON", '{"b": 1}')
    tree.write(claude / "bytes.txt", bytes(range(256)))
    tree.write(claude / "empty.txt", "")
    tree.write(claude / "name with space, ü & +.txt", "found\n")
    tree.write(claude / "limit.txt", "x" * (10 * MEBIBYTE))
    tree.write(claude / "over.txt", "x" * (10 * MEBIBYTE + 1))
    tree.write(tree.home / "outside.txt", "outside\n")
    tree.link(claude / "link.txt", "../outside.txt")
    tree.link(claude / "dangling.txt", "nowhere")
    # A faulty comparison of paths as texts lets this one pass.
    tree.write(tree.home / ".claude-evil/secret.txt", "secret\n")


def write_todos_and_tasks(tree):
    tree.write(tree.todos / "good.json", '[{"content":"x","status":"pending"}]')
    tree.write(tree.todos / "broken.json", "[")
    tree.write(tree.todos / "empty.json", "")
    tree.write(tree.todos / "ignored.JSON", "[]")
    tree.write(tree.todos / "ignored.txt", "[]")
    tree.write(tree.tasks / "1700000000000/ui_messages.json", "[]")
    tree.write(tree.tasks / "1700000000001/deep/deeper.json", "[]")
    tree.write(tree.tasks / "settings.json", "{}")


def write_extreme(tree):
    moments = Moments()
    tree.transcript("-extreme", "extreme.jsonl", extremes(moments))
    tree.transcript("-usual", "usual.jsonl", [entry(moments.next(), "s", {"input_tokens": 5, "output_tokens": 7})])


def write_poisoned(tree):
    moments = Moments()
    # The rest of such a line does not count, and it may be anywhere but at the beginning.
    for project, extra in (("-poisoned", TIMES_THAT_ARE_NONE), ("-poisoned-too", TIMES_THAT_ARE_NONE[:1]), ("-healthy", [])):
        good = [entry(moments.next(), "s", {"input_tokens": 1000 * (len(extra) + n + 1)}) for n in range(3)]
        bad = [entry(time, "bad", {"input_tokens": 1000}) for time in extra]
        tree.transcript(project, "session.jsonl", [good[0], *bad, *good[1:]])


def write_poisoned_first(tree):
    moments = Moments()
    bad = entry(TIMES_THAT_ARE_NONE[0], "bad", {"input_tokens": 1000})
    tree.transcript("-poisoned", "session.jsonl", [bad, *(entry(moments.next(), "s", {"input_tokens": 10}) for _ in range(3))])


def write_healthy(tree):
    moments = Moments()
    tree.transcript("-healthy", "session.jsonl", [entry(moments.next(), "s", {"input_tokens": 10})])
    tree.mcp_log("-healthy", "log.txt", to_json([{"debug": "Calling MCP tool: x", "timestamp": "2025-05-01T00:00:00.000Z"}]))


def write_broken_directory(tree):
    write_healthy(tree)
    (tree.projects / "-broken/x.jsonl").mkdir(parents=True)


def write_broken_link(tree):
    write_healthy(tree)
    tree.link(tree.projects / "-broken/x.jsonl", "nowhere.jsonl")


def write_unspecified(tree):
    moments = Moments()
    tree.transcript("-unspecified", "unspecified.jsonl", unspecified(moments))
    tree.write(tree.home / "elsewhere/linked.jsonl", to_json(entry(moments.next(), "linked", {"input_tokens": 77})) + "\n")
    tree.link(tree.projects / "-linked", "../../elsewhere")
    call = {"method": "tools/call", "params": {"name": "constructor"}}
    tree.mcp_log("-odd", "constructor.txt", to_json([call, {**call, "params": {"name": 5}}, None, 7, "text", []]))
    tree.mcp_log("-odd", "other.txt", to_json([{"debug": "Calling MCP tool:", "timestamp": "no time"}, {"debug": "Calling MCP tool: x"}]))
    tree.mcp_log(".hidden", "hidden.txt", to_json([{"debug": "Calling MCP tool: hidden"}]))
    tree.link(tree.mcp_logs / "-odd/mcp-logs-ide/dangling.txt", "nowhere.txt")


ODD_TREES = {
    "nasty": write_nasty,
    "extreme": write_extreme,
    "poisoned": write_poisoned,
    "poisoned-first": write_poisoned_first,
    "broken-directory": write_broken_directory,
    "broken-link": write_broken_link,
    "empty": lambda tree: None,
    "unspecified": write_unspecified,
}
