"""Requests to the dashboard, as odd as clients can make them: the same seed and tree give the same ones.

Those of one family are to be asked in their order, since the cache of the original lets an earlier answer decide a
later one; families do not know of each other.
"""

import collections
import os
import random
from urllib.parse import quote

Request = collections.namedtuple("Request", "family method target headers body")

HOME = "{home}"
# Read by `parseInt`, which takes what it can and leaves the rest.
NUMBERS = [
    "1", "2", "3", "5", "10", "0", "-1", "-0", "+2", "%203", "%2B4", "2abc", "1.9", "1e9", "0x2", "0X1f", "0x", "0b11", ".5",
    "5.", "007", "", "abc", "--1", "%2B-1", "-abc", "1_000", "1,5", "%D9%A3", "%094", "%EF%BB%BF5", "%C2%A06", "%E2%80%A87",
    "%0A8", "%009", "NaN", "Infinity", "null", "true", "[]", "1e-7", "4294967297", "99999999999999999999", "1" + "0" * 400,
    "%", "%zz", "%E0%A4%A", "%FF2",
]
LIMITS = ["12", "20", "50", "120", "121", "200", "201", "500", "501", "1000", "1001"]
HOURS = [
    "0", "00", "1", "7", "8", "9", "12", "17", "22", "23", "24", "-1", "23.9", "-0.5", "0x17", "x", "", "%20", "1e1", "+5",
    "0,5",
]
DATES = [
    "2025-07-01", "2025-07-01T12:00:00Z", "2025-07-01T00:00:00", "2025-07-01T00:00:00.000", "2025-07-01T09:00:00%2B09:00",
    "2025-07", "2025", "June%201%202025", "June+1+2025", "1%20Jul%202025", "7/1/2025", "2025/07/01", "2025-7-1", "2025-7-01",
    "0", "1", "5", "12", "13", "32", "49", "50", "99", "100", "1999", "10000", "-1", "-000001-01-01", "%2B002025-07-01",
    "%2B275760-09-13", "%2B275760-09-14", "2025-13-01", "2025-02-29", "2025-02-30", "2025-02-31", "2025-02-32",
    "2025-07-01T24:00:00Z", "2025-07-01T24:00:01Z", "2025-07-01T25:00:00Z", "2025-07-01Z", "2025-07-01%2010:00",
    "2025-07-01%2010:00%20PM", "2025-07-01%2013:00%20PM", "Tue,%2001%20Jul%202025%2000:00:00%20GMT", "Jul%201,%202025%20EST",
    "Jul%201%202025%20(note)", "2025-07-01%20UTC%2B5", "noon", "now", "today", "Invalid%20Date", "all", "null", "undefined",
    "NaN", "", "%20", "%20%202025-07-01%20", "2025-07-01x", "x2025-07-01", "2025-07-01T", "2025-W27-1", "20250701",
    "1751328000000", "1e3", "2025-03-09", "2025-03-09T02:30:00", "2025-11-02", "2025-11-02T01:30:00", "2025-11-02%2001:30",
    "%E2%88%922025-07-01", "2025%E2%80%9007-01",
]
MONTHS = [
    "2025-07", "2025-06", "2025-12", "2026-01", "2024-01", "2025-7", "2025-00", "2025-13", "02025-07", "2025-07%0A",
    "2025-07-01", "x", "%20", "2025%2D07", "2025-07%20", "%D9%A2025-07", "2025%2F07", "{}",
]
YEARS = [
    "2025", "2024", "2026", "2020", "2030", "2019", "2031", "2025.5", "02025", "0x7E9", "2.025e3", "%202025", "2025%20",
    "2025abc", "0", "", "-2025", "20", "202", "Infinity", "NaN", "true", "null", "all", "0b11111101001", "0o3751",
    "2025,2026", "%2B2025", "2029.9999", "2030.0000000000001", "%0A2025",
]
COSTS = [
    "0", "0.01", "0.1", "1", "10", "1e2", "-1", ".5", "5.", "0.03125", "0.0313", "abc", "", "1abc", "Infinity", "-Infinity",
    "NaN", "%201", "1e400", "0x10", "1e", "1e-", "1e-3x", "1.2.3", "+0.5", "%2B0.5", "1_0", "1e-400", "infinity",
]
SEARCHES = [
    "", "a", "A", "-", "work", "WORK", "ties", "odd", "%C3%BC", "%C3%9C", "u%CC%88", "%F0%9F%98%80", "%F0%9F", "%ED%A0%80",
    "+", "%2B", "%20", "%25", "%2F", ".", "*", "%5C", "%3C", "%22", "%27", "none", "I", "%C4%B0", "%C5%BF", "%E2%84%AA", "_",
    "__proto__", "%00", "constructor", "x" * 3000,
]
SORT_FIELDS = {
    "models": ["totalTokens", "cost", "messages", "sessions", "model"],
    "projects": ["lastActivity", "totalCost", "totalTokens", "name", "messageCount"],
}
ODD_FIELDS = [
    "", "x", "COST", "cost%20", "__proto__", "constructor", "toString", "0", "totalTokens,cost", "path", "inputTokens",
]
ORDERS = ["asc", "desc", "", "ASC", "x", "asc%20", "1"]
JUNK = [
    "a=b", "_=1763800000000", "a", "=", "&", "=x", "a[b]=c", "a[b][c][d][e][f][g][h]=i", "page", "%", "%zz=1", "%E0%A4%A=1",
    "__proto__=x", "__proto__[page]=5", "constructor[prototype][limit]=3", "hasOwnProperty=1", "a.b=c", "a;b", "page%00=2",
    "p%61ge=2", "?limit=1", "%C3%BC=1", "a%5B%5D=1", "[]=1", "[page]=2", "utf8=%E2%9C%93", "a=1%23x",
    "&".join(f"k{n}=1" for n in range(1005)), "a[]=" + "&a[]=".join("1234567890" * 3),
]
ORIGINS = [
    "http://localhost:30000", "http://localhost:30001", "http://localhost:30002", "https://localhost:30001",
    "http://localhost:30001/", "HTTP://LOCALHOST:30001", "null", "", "https://elsewhere.example",
    "http://localhost:30000, http://localhost:30001",
]
BODIES = [
    b"", b"{}", b"[]", b"{", b'"x"', b"null", b"1", b"{} x", b" \n {}", b"[" * 3000 + b"]" * 3000, b'{"a":"\xff"}',
    b"\xef\xbb\xbf{}", b'{"__proto__":1}', b"x" * 200, b'{"a":"' + b"x" * 102_000 + b'"}',
    b'{"a":"' + b"x" * 102_400 + b'"}', b"x" * 103_000,
]
CONTENT_TYPES = [
    "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=UTF-16",
    "application/json; charset=latin1", "application/vnd.api+json", "text/plain", "text/json",
    "application/x-www-form-urlencoded", "application/json-patch+json", "json", "", 'application/json; charset="utf-8"',
    "application/json;", "application/json; charset", "*/*", "multipart/form-data; boundary=x",
]
OTHER_HEADERS = [
    ("X-Forwarded-For", "192.0.2.7"), ("Accept", "text/html"), ("Accept-Encoding", "gzip, br"), ("Cookie", "a=b"),
    ("X-HTTP-Method-Override", "DELETE"), ("Access-Control-Request-Method", "PUT"), ("Range", "bytes=0-9"),
    ("Authorization", "Bearer x"),
]
ELSEWHERE = [
    "/", "/api/health", "/api", "/api/v2", "/api/v2/", "/api/v2/mcp", "/api/v2/mcp/", "/api/v2/logs", "/api/v2/logs/",
    "/api/v2/nothing", "/api/v2/summary/x", "/api/v2/models/x", "/api/v2/hourly/x", "/api/v2/daily/2025-07-01/x",
    "/api/v2/mcp/logs/x", "/api/v2/mcp/tools/x/y", "/api/v2/logs/content/x", "/api/v1/summary", "//api/v2/summary",
    "/favicon.ico", "/api/v2/summary.json", "/api/v2/summaryx", "/api/v2/daily-2025", "/api/v2/dail", "/api%2Fv2/summary",
    "/api/v2%2Fsummary",
]
METHODS = ["POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "OPTIONS", "OPTIONS", "HEAD", "TRACE", "PROPFIND"]
WEIGHTS = {
    "summary": 4, "daily": 20, "day": 9, "monthly": 9, "month": 4, "models": 11, "projects": 15, "project": 5, "hourly": 9,
    "mcp/logs": 5, "mcp/tools": 3, "tool": 5, "logs": 9, "elsewhere": 3,
}


class Facts:
    """What there is in a tree, so that requests find it."""

    def __init__(self, home, answers):
        """`answers` are those of the list endpoints, as far as they had any."""

        def values(endpoint, rows, key):
            return [str(row[key]) for row in answers.get(endpoint, {}).get(rows, [])]

        self.days = values("daily", "data", "date") or ["2025-07-01"]
        self.months = values("monthly", "data", "month") or ["2025-07"]
        self.projects = values("projects", "data", "name") or ["-none"]
        self.tools = values("mcp/tools", "tools", "name") or ["none"]
        self.files = []
        for folder, names, files in os.walk(home):
            self.files += [os.path.relpath(os.path.join(folder, name), home) for name in sorted(files) + names[:1]]
        # An answer with 10 MiB takes as long as hundreds of others.
        paths = {name: os.path.join(home, name) for name in self.files}
        self.large = [name for name, path in paths.items() if os.path.exists(path) and os.path.getsize(path) > 1 << 20]
        self.files = sorted(set(self.files) - set(self.large)) or ["none"]
        self.files = self.files[:: max(1, len(self.files) // 200)]


class Requests:
    """Makes one request of a family after the other."""

    def __init__(self, family, seed, facts):
        self.family, self.facts = family, facts
        self.chance = random.Random(f"{family} {seed}")
        self.known_tags = ['W/"2-abc"']

    def saw(self, tag):
        """An ETag of an answer, for conditions."""
        self.known_tags = [*self.known_tags[-30:], tag]

    def pick(self, values):
        return self.chance.choice(values)

    def happens(self, percent):
        return self.chance.random() * 100 < percent

    def next(self):
        path, pairs = getattr(self, "make_" + self.family.replace("/", "_"))()
        if self.happens(6):
            pairs.insert(self.chance.randrange(len(pairs) + 1), self.pick(JUNK))
        if self.happens(5):
            path = self.odd_path(path)
        method, headers, body = "GET", [], b""
        if self.happens(9):
            method = self.pick(METHODS)
        elif self.happens(5):
            method = "HEAD"
        if self.happens(12):
            headers += self.condition()
        if self.happens(6):
            headers.append(("Origin", self.pick(ORIGINS)))
        if method in ("POST", "PUT", "PATCH", "DELETE") or self.happens(1.5):
            body = self.pick(BODIES)
            headers.append(("Content-Type", self.pick(CONTENT_TYPES)))
        if self.happens(3):
            headers.append(self.pick(OTHER_HEADERS))
        query = "&".join(pairs)
        target = f"{path}?{query}" if query or self.happens(1) else path
        return Request(self.family, method, target, tuple(headers), body)

    def condition(self):
        tag = self.pick(self.known_tags[-4:] if self.happens(60) else self.known_tags)
        value = self.pick([
            tag, tag, tag, tag[2:], "*", f'"x", {tag}', f'{tag},"x"', f"  {tag}  ", '"x"', 'W/"x"', "", f"W/{tag}",
            tag.lower(), tag.replace('"', ""),
        ])
        headers = [("If-None-Match", value)]
        if self.happens(15):
            directives = ["no-cache", "max-age=0", "no-store, no-cache", "NO-CACHE", "x-no-cache", 'no-cache="x"']
            headers.append(("Cache-Control", self.pick(directives)))
        if self.happens(10):
            headers.append(("If-Modified-Since", self.pick(["Sun, 22 Nov 2026 00:00:00 GMT", "x"])))
        return headers

    def odd_path(self, path):
        segments = path.split("/")
        index = self.chance.randrange(1, len(segments))
        whole = segments[index]
        at = self.chance.randrange(len(whole)) if whole else 0
        # One character in its escaped form.
        is_plain = whole and whole[at] != "%" and ord(whole[at]) < 128
        segments[index] = f"{whole[:at]}%{ord(whole[at]):02X}{whole[at + 1:]}" if is_plain else whole
        return self.pick([
            path.upper(), path.title(), path + "/", path + "//", path + "///", path.replace("/v2/", "/v2//"), "/" + path,
            path + "/.", path + "/..", path + "/x/..", path.replace("/v2", "/./v2"), path + "%2F", path + "%20",
            path + ";x=1", path + "%00", path + ".", path + "%3Fpage=2", "/".join(segments), path.replace("%C3", "%c3"),
            path + "%E0%A4%A", path + "%c0%af", path + "%ff", path + "é", path.replace("/api", "/API%2fx/.."),
        ])

    # Parameters.

    def number(self, name, further=()):
        value = self.pick([*NUMBERS, *further, *further]) if self.happens(55) else str(self.chance.randrange(1, 8))
        match self.chance.randrange(25):
            case 0:
                return f"{name}={value}&{name}={self.pick(NUMBERS)}"
            case 1:
                return f"{name}[]={value}"
            case 2:
                return f"{name}[{self.pick(['a', '0', '25', 'toString', '__proto__', ''])}]={value}"
            case 3:
                return name
        return f"{name}={value}"

    def value(self, name, values):
        value = self.pick(values)
        if self.happens(5):
            return self.pick([
                f"{name}[]={value}", f"{name}={value}&{name}={self.pick(values)}", f"{name}[a]={value}",
                f"{name}[toString]={value}", name, f"{name}={value}=x", f"{name}[]={value}&{name}[]={value}",
                f"{name[:1]}%{ord(name[1]):02x}{name[2:]}={value}",
            ])
        return f"{name}={value}"

    def some(self, percent, make, *arguments):
        return [make(*arguments)] if self.happens(percent) else []

    def paging(self, percent=45):
        return self.some(percent, self.number, "page") + self.some(percent, self.number, "limit", LIMITS)

    def date(self, name):
        return self.value(name, [self.pick(DATES), self.pick(self.facts.days), self.pick(self.facts.days)])

    def shuffled(self, pairs):
        self.chance.shuffle(pairs)
        return pairs

    # Families.

    def make_summary(self):
        return "/api/v2/summary", []

    def make_daily(self):
        pairs = self.paging(25) + self.some(30, self.date, "startDate") + self.some(30, self.date, "endDate")
        pairs += self.some(25, self.value, "startHour", HOURS) + self.some(25, self.value, "endHour", HOURS)
        return "/api/v2/daily", self.shuffled(pairs)

    def make_day(self):
        others = DATES + [quote(name, safe="") for name in self.facts.projects[:2]]
        day = self.pick(self.facts.days if self.happens(50) else others)
        return f"/api/v2/daily/{day}", []

    def make_monthly(self):
        return "/api/v2/monthly", self.shuffled(self.paging(30) + self.some(55, self.value, "year", YEARS))

    def make_month(self):
        return f"/api/v2/monthly/{self.pick(self.facts.months) if self.happens(50) else self.pick(MONTHS)}", []

    def sorting(self, family):
        fields = SORT_FIELDS[family]
        order = self.some(60, self.value, "sortOrder", ["asc", "desc"] * 4 + ORDERS)
        return self.some(60, self.value, "sortBy", fields * 4 + ODD_FIELDS) + order

    def make_models(self):
        return "/api/v2/models", self.shuffled(self.sorting("models"))

    def make_projects(self):
        pairs = self.paging(25) + self.sorting("projects") + self.some(20, self.value, "minCost", COSTS)
        name = self.pick(self.facts.projects)
        part = name[self.chance.randrange(len(name)):][:self.chance.randrange(1, 6)]
        searches = SEARCHES + [quote(part, safe=""), quote(part.upper(), safe=""), quote(name.swapcase(), safe="")] * 8
        return "/api/v2/projects", self.shuffled(pairs + self.some(35, self.value, "search", searches))

    def make_project(self):
        name = quote(self.pick(self.facts.projects), safe="")
        others = [name.upper(), name.lower(), name + "%20", "none", "%2F", "a%2Fb", "__proto__", "%E0%A4%A"]
        return f"/api/v2/projects/{self.pick([name, name, name, *others])}", []

    def make_hourly(self):
        pairs = self.some(40, self.date, "date") + self.some(30, self.date, "startDate") + self.some(30, self.date, "endDate")
        return "/api/v2/hourly", self.shuffled(pairs)

    def make_mcp_logs(self):
        return "/api/v2/mcp/logs", self.shuffled(self.paging(50) + self.some(10, self.value, "sessionId", ["x", "early"]))

    def make_mcp_tools(self):
        return "/api/v2/mcp/tools", self.some(10, self.value, "page", ["2"])

    def make_tool(self):
        tool = quote(self.pick(self.facts.tools), safe="")
        others = [tool.upper(), tool + "%20", "nope", "__proto__", "constructor", "a%2Fb", "%E0%A4%A"]
        return f"/api/v2/mcp/tools/{self.pick([tool, tool, tool, *others])}", []

    def make_logs(self):
        """`{home}` in a target stands for the home directory."""
        names = self.facts.files
        if self.facts.large and self.happens(3):
            names = self.facts.large
        name = quote(self.pick(names), safe=self.pick(["", "/"]))
        file = f"{HOME}/{name}"
        if self.happens(45):
            file = self.pick([
                f"{HOME}/.claude", f"{HOME}/.claude/", f"{HOME}/.claude/none", f"{HOME}/.claude/../{name}",
                f"{HOME}/.claude/x/../../{name}", f"{HOME}//{name}", f"{HOME}/./{name}", f"{file}/", f"{file}/x",
                f"{file}%00", f"{file}%20", f"x/../..{file}", f"{HOME}/outside.txt", f"{HOME}/.claude/../outside.txt",
                f"{HOME}/.claude-evil/secret.txt", f"{HOME}/.claude/%2e%2e/outside.txt",
                f"{HOME}/Library/Caches/claude-cli-nodejs", f"{HOME}/Library/Caches/claude-cli-nodejs-x",
                f"{HOME}/.CLAUDE/settings.json", "/etc/hostname", "/", ".", "..", "", "%20", ".claude/pretty.json",
                "~/.claude/pretty.json", "file://" + file, f"{HOME}/.claude/projects", f"{HOME}/.claude/" + "x" * 300,
                f"{HOME}/.claude/" + "x/" * 2100, f"{HOME}/.claude/%FF", f"{HOME}/.claude/%ED%A0%80",
                f"{HOME}/.claude/pretty.json%3Fx", f"{HOME}/.claude%5Cpretty.json", "%00",
            ])
        pairs = [f"file={file}"]
        if self.happens(8):
            odd = [
                "", "file", "file=", f"file[]={file}", f"file={file}&file={file}", f"file[a]={file}",
                f"file[toString]={file}", f"File={file}",
            ]
            pairs = [self.pick(odd)]
        return "/api/v2/logs/content", pairs

    def make_elsewhere(self):
        return self.pick(ELSEWHERE), []
