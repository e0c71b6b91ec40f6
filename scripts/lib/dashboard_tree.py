"""A home directory that is being written: where things go, and when they were changed last."""

import datetime
import json
import os

FIRST_MODIFICATION = datetime.datetime(2025, 1, 15, 8, 0, tzinfo=datetime.timezone.utc)


class Tree:
    """Counts what it writes as transcripts. Each file gets a modification time of its own, one second after the one
    before unless it is named, so that nothing that is sorted by it has ties."""

    def __init__(self, home):
        self.home = home
        self.projects = home / ".claude/projects"
        self.todos = home / ".claude/todos"
        self.mcp_logs = home / "Library/Caches/claude-cli-nodejs"
        self.tasks = home / "Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev"
        self.files = self.lines = self.bytes = 0
        self._clock = FIRST_MODIFICATION
        home.mkdir(parents=True, exist_ok=True)

    def write(self, path, content, modified=None):
        """Bytes, or text as UTF-8."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.touch(path, modified)

    def touch(self, path, modified=None):
        if modified is None:
            self._clock += datetime.timedelta(seconds=1)
            modified = self._clock
        nanoseconds = milliseconds(modified) * 1_000_000
        os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)

    def transcript(self, project, name, lines, modified=None, end="\n"):
        """Lines are bytes, texts, or values to write as JSON."""
        content = b"".join(to_bytes(line) + end.encode() for line in lines)
        self.write(self.projects / project / name, content, modified)
        self.files += 1
        self.lines += len(lines)
        self.bytes += len(content)

    def mcp_log(self, project, name, content, modified=None):
        self.write(self.mcp_logs / project / "mcp-logs-ide" / name, content, modified)

    def link(self, path, target):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        self.touch(path)

    def finish(self):
        """Directories changed last when they were filled: they get a fixed time instead."""
        for folder, _, _ in os.walk(self.home, topdown=False):
            self.touch(folder, FIRST_MODIFICATION)


def to_bytes(line):
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else to_json(line)).encode()


def to_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def milliseconds(time):
    return (time - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)


def iso(time):
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
