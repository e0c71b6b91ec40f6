"""The lines of the odd home directories. Each group is a function of the moments that are still free."""

import datetime

from dashboard_tree import iso, to_json

SONNET = "claude-sonnet-4-20250514"
HAIKU = "claude-haiku-4-5-20251001"
LONG = 1 << 20
# Deeper than most parsers go.
DEEP = 3000


class Moments:
    """Timestamps that no other entry has: the order of equal ones is a matter of chance between projects."""

    def __init__(self):
        self.time = datetime.datetime(2025, 6, 28, 20, 15, 0, 7000, tzinfo=datetime.timezone.utc)

    def next(self):
        self.time += datetime.timedelta(minutes=37, seconds=11, milliseconds=3)
        return iso(self.time)


def entry(timestamp, session, usage, model=SONNET, **more):
    """An entry without what is None."""
    parts = {"type": "assistant", "timestamp": timestamp, "sessionId": session}
    message = {"role": "assistant"} | ({} if model is None else {"model": model}) | {"usage": usage}
    return {key: value for key, value in parts.items() if value is not None} | {"message": message} | more


def odd_lines(moments):
    def line(**more):
        return to_json(entry(moments.next(), "lines", {"input_tokens": 100, "output_tokens": 10}, **more))

    good = line()
    return [
        good, good,  # No de-duplication.
        "", "   ", "\t", "\r", "\x0b\x0c", "\u00a0",
        "null", "true", "false", "123", "-1.5e3", '"str"', "[]", "[1,2]", "{}", "[null]",
        "not json", "{", "}", "[", '{"a":1', '{"a":1}}', "{'a':1}", '{"a":1,}', "[1,]", "{a:1}", "01", "+1", ".5", "1.", "1e", "-",
        "NaN", "Infinity", "undefined", "nul", "True", '"open', '"tab\there"', '"\\x41"', '"\\u12g4"', '"\x00"', "// x", "/**/1",
        line() + line(), line() + ",", "\x00" + line(), line().replace('"usage"', '"usage\x01"'),
        "  \t " + line() + " \t ", line() + "\r", line().replace('":', '" \t:  '),
        line().encode().replace(b'"lines"', b'"l\xff\xfe\xc3(\xf0\x9f\x98nes"'),
        line(model="inv?lid").encode().replace(b"?", b"\xe2\x82"), line(model="inv?lid").encode().replace(b"?", b"\xed\xa0\x80"),
        b"\xff" + line().encode(), b"\xff\xff\xff",
        line(note="\u2028\u2029\x7f\u0085"), line(model="line\u2028separator"),
        line().replace('"timestamp"', '"\\u0074imestamp"').replace('"usage"', '"us\\u0061ge"'),
        line().replace('"timestamp"', '"Timestamp"'), line().replace('"usage"', '"Usage"'), line().replace('"message"', '"Message"'),
        # Of equal keys the last counts, wherever it stands and whatever it is.
        line().replace('"input_tokens":100', '"input_tokens":1,"input_tokens":"x","input_tokens":200'),
        line().replace('"type"', '"timestamp":"2020-01-01T00:00:00Z","sessionId":"first","type"'),
        line()[:-1] + ',"message":{"model":"claude-opus-4-20250514","usage":{"output_tokens":5}}}',
        line()[:-1] + ',"message":{"content":"no usage"}}', line()[:-1] + ',"message":null}', line()[:-1] + ',"message":"text"}',
        line()[:-1] + ',"timestamp":null}', line()[:-1] + ',"sessionId":"last"}', line()[:-1] + ',"sessionId":null}',
        '{"__proto__":{"timestamp":"2031-01-01T00:00:00Z","message":{"usage":{"input_tokens":1}}}}',
        line().replace('"usage":', '"__proto__":{"usage":1},"usage":'),
        '{"timestamp":"%s"}' % moments.next(), '{"message":{"usage":{"input_tokens":1}}}', '{"message":{"usage":{"input_tokens":2},"model":"untimed"}}',
        '{"type":"summary","summary":"x"}', '{"timestamp":"%s","message":{"role":"user","content":"hi"}}' % moments.next(),
        '{"timestamp":"%s","message":[{"usage":{"input_tokens":1}}]}' % moments.next(),
        # Names that count, in places where they do not.
        line(toolUseResult={"usage": {"input_tokens": 5}, "timestamp": "2019-01-01"}, input_tokens=7, output_tokens=8),
        line(note=0).replace('"note":0', '"usage":{"input_tokens":6},"model":"outside"'),
        line(text='","timestamp":"2018-01-01T00:00:00Z","message":{"usage":{"input_tokens":9}}'),
        line(text="x" * LONG), '{"text":"' + "\\n" * LONG + '",' + line()[1:], line(text=["\\", '"', "\\\"", "\\\\"] * 50),
        line(deep=0).replace('"deep":0', '"deep":' + "[" * DEEP + "]" * DEEP), "[" * DEEP, "[" * DEEP + "]" * DEEP,
        good,
    ]


def odd_times(moments):
    usage = {"input_tokens": 1000, "output_tokens": 1}
    texts = [
        "2025-07-01T08:59:59+09:00", "2025-07-01T00:00:00.000Z", "2025-06-30T23:59:59.999Z", "2025-12-31T15:30:00Z",
        "2025-12-31T14:59:59.999Z", "2025-12-31T23:59:59.999-00:01", "2026-01-01T04:59:59Z", "2026-01-01T05:00:00Z",
        "2024-02-29T12:00:00Z", "2025-02-28T23:30:00-05:00", "2025-07-02T24:00:00Z", "2025-07-03T10:00Z", "2025-07-04",
        "2025-07", "2025", "2025-07-05T10:00:01.1Z", "2025-07-05T10:00:01.1239Z", "2025-07-05T10:00:01.123456789Z",
        "2025-07-05T10:00:02+0530", "2025-07-05T10:00:03.5-11:30", "+002025-07-05T11:00:00Z",
        # Without an offset: local time.
        "2025-07-06T10:00:00", "2025-07-06T23:59:59.999", "2025-07-07 10:00:00", "June 8 2025", "8 Jul 2025 10:00:00 GMT",
        "Tue, 08 Jul 2025 10:00:01 +0200", "7/9/2025", "2025/07/09 11:00:00", "2025-7-1", "2025-07-10 10:00:01Z",
        "2025-07-10 10:00:01+02:00", "Jul 11, 2025 3:04:05 PM", "0", "1", "1999",
        # The days on which America/New_York changes its clocks: hours that are missing, and hours that come twice.
        "2025-03-09T04:59:59.999Z", "2025-03-09T05:00:00Z", "2025-03-09T06:59:59.999Z", "2025-03-09T07:00:00Z",
        "2025-03-09T02:00:00", "2025-03-09T02:30:00", "2025-03-09T03:00:00.001", "2025-03-10T03:59:59.999Z",
        "2025-11-02T03:59:59Z", "2025-11-02T05:30:00Z", "2025-11-02T05:59:59.999Z", "2025-11-02T06:00:00Z",
        "2025-11-02T06:30:00Z", "2025-11-02T06:59:59.999Z", "2025-11-02T07:00:00Z", "2025-11-02T01:30:00.001", "2025-11-02T00:59:59",
        # Older rules of the zones.
        "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "1986-04-27T07:00:00Z", "2006-04-02T07:00:00Z", "1900-01-01T00:00:00Z",
        "1949-05-01T00:00:00Z", "2037-11-01T06:30:00Z", "2038-01-19T03:14:08Z", "2050-07-01T12:00:00Z",
    ]
    numbers = [1751328000000, 1751328000001.9, 1751328000123.0, 1e12, -1, -1e12, 5, 0.5, 1.7513e12]
    falsy = [0, "", False, -0.0]
    return [
        entry("2025-01-01T00:00:00Z", "times", usage),
        *(entry(time, f"at {number % 7}", usage) for number, time in enumerate(texts + numbers)),
        entry(True, "times", usage),
        *(entry(time, "never", usage, model="without-time") for time in falsy),
        '{"timestamp":null,"message":{"model":"without-time","usage":{"output_tokens":3}}}',
        entry(None, "never", usage, model="without-time"),
        # Only a candidate for the last activity.
        {"timestamp": "2025-08-01T00:00:00+05:30"}, {"timestamp": "2051-01-01T00:00:00.5Z", "type": "user"},
        # Equal times within one file keep their order, which the last digits of a sum tell.
        *(entry("2025-07-20T10:00:00Z", "same", {"input_tokens": n}, model=HAIKU) for n in (0.1, 0.7, 1e5 + 0.3, 3, 1e-3, 7e4)),
    ]


def odd_numbers(moments):
    def line(**usage):
        return entry(moments.next(), "numbers", usage, model="claude-3-5-haiku-20241022")

    written = ["1E2", "1e+2", "100e-2", "-0", "-0.0", "0e5", "1e-7", "123456789012345678e-10", "0.1", "1e-320",
               "5e-324", "1e-400", "0.30000000000000004", "2.5000000000000001", "4.35", "0.000001",
               "123456.7890123456789", "1.7976931348623157e2", "33333333333333333333e-15"]
    return [
        line(input_tokens=1, output_tokens=2, cache_read_input_tokens=3, cache_creation_input_tokens=4),
        line(input_tokens=0.1), line(input_tokens=0.2), line(output_tokens=2.5), line(cache_read_input_tokens=1.25),
        line(input_tokens=-100, output_tokens=40), line(cache_creation_input_tokens=-7), line(output_tokens=-0.5),
        line(input_tokens=None, output_tokens=9), line(input_tokens=None, cache_read_input_tokens=None), line(), line(unknown=5),
        line(input_tokens=False, output_tokens=0), line(input_tokens=""), line(input_tokens=10**9), line(output_tokens=10**8 + 1),
        *(to_json(line(input_tokens=7)).replace(":7}", f":{text}}}") for text in written),
        *(entry(moments.next(), "usage", usage) for usage in (True, 1, "text", [], [1], {"": 0})),
        *(entry(moments.next(), "no usage", usage) for usage in (None, False, 0, "")),
        # Sums that show the order in which they were made.
        *(line(input_tokens=n / 7, output_tokens=n * 1.1, cache_read_input_tokens=n * 0.3) for n in range(1, 60)),
    ]


def odd_models(moments):
    names = [
        "claude-3-opus-20240229", "claude-opus-4-20250514", SONNET, "claude-sonnet-4-5-20250929", "claude-3-5-sonnet-20241022",
        "claude-3-5-sonnet-20240620", "claude-3-sonnet-20240229", HAIKU, "claude-3-haiku-20240307", "claude-3-5-haiku-20241022",
        "gpt-4", "gpt-4-turbo", "gpt-3.5-turbo",
        # Not in the table: the first that fits.
        "GPT-4", "gpt-4 ", "gpt-4-turbo-preview", "<synthetic>", "<opus>", " <haiku>", "x-Synthetic-opus", "OPUS-haiku", "haiku-opus-4-5",
        "Claude-Haiku-4-5", "haiku", "HAIKU-20251001", "haiku-sonnet-4-5", "sonnet-4-5", "SoNNeT", "s", "llama", "claude-opus-4-1",
        "CLAUDE-SONNET-4-20250514", "hai\u212au", "OPU\u017f", "İstanbul-opus", "ΣΑΣ", "σας", "SONNET\u0130", "模型", "😀", "\uffff",
        "z\u0301", "é", "É", "\u0000", "\"quoted\\", "</script>", "/", "\t", " ", "0", "10", "9", "model-B", "model-a", "model-A", "model-b",
    ]
    lines = []
    for number, name in enumerate(names):
        # Equal totals for neighbours: their order shows what a comparison does with ties.
        usage = {"input_tokens": 40_000 + 1000 * (number // 3), "output_tokens": 1001, "cache_read_input_tokens": 50_000}
        lines.append(entry(moments.next(), f"model {number % 4}", usage, model=name))
        if number % 5 == 0:
            lines.append(entry(moments.next(), "again", {"cache_creation_input_tokens": 333}, model=name))
    usage = {"input_tokens": 999_999}
    lone = [to_json(entry(moments.next(), "lone", usage, model="?")).replace("?", text) for text in ("\\ud800", "\\uDC00x", "\\ud83d\\ude00")]
    return [*lines, *lone, entry(moments.next(), "none", usage, model=None), entry(moments.next(), "none", usage, model=""),
            to_json(entry(moments.next(), "none", usage, model="?")).replace('"?"', "null")]


def odd_sessions(moments):
    usage = {"input_tokens": 17}
    ids = ["1", 1, 1.0, "1", 1.5, -1, True, "true", "__proto__", "constructor", "a" * 5000, "A", "a", " a", "é", "e\u0301", "😀", "\u0000"]
    lines = [entry(moments.next(), session, usage) for session in ids]
    lines += [to_json(entry(moments.next(), "?", usage)).replace("?", text) for text in ("\\ud800", "\\ud801", "\\ud800", "\\u0061")]
    # Together the missing ones are one session of an hour, and none of a day.
    return lines + [entry(moments.next(), None, usage) for _ in range(50)]


def ties(moments):
    """Costs of exactly half a digit: in JavaScript they round up."""

    def haiku(tokens, count=1):
        return [entry(moments.next(), "ties", {"input_tokens": tokens}, model=HAIKU) for _ in range(count)]

    far = [
        entry(f"2024-0{month}-10T10:00:00Z", "ties", {"input_tokens": tokens}, model=HAIKU)
        for month, tokens in ((1, 125_000), (3, 375_000), (5, 625_000), (7, 875_000), (9, 500_000))
    ]
    lines = {
        "-ties-0.03125": haiku(125_000), "-ties-0.125": haiku(500_000), "-ties-1.125": haiku(4_500_000), "-ties-0.09375": haiku(187_500, 2),
        "-ties-0.00125": haiku(5_000), "-ties-negative": haiku(-125_000, 3), "-ties-by-month": far, "-ties-in-sum": haiku(20_000, 5) + haiku(4_000),
    }
    # Further lines, for as many different counts.
    return {name: entries + ["{}"] * (100 * number) for number, (name, entries) in enumerate(lines.items())}


FILE_NAMES = ["a b.jsonl", ".hidden.jsonl", ".jsonl", "x.y.jsonl", "ü.jsonl", "u\u0308.jsonl", "100%.jsonl", "q\"uote.jsonl",
              "upper.JSONL", "x.jsonl.bak", "xjsonl", "x.json", "jsonl"]

PROJECT_NAMES = ["with space", "-umlaut-ü", "-umlaut-u\u0308", "-Upper", "-lower", "%2F", "a+b", "<b>", "q\"uote'", "back\\slash", "😀",
                 "\u4e00", ".hidden", "none.jsonl", "#hash?query&x=1", "constructor"]


def extremes(moments):
    usage = {"input_tokens": 5, "output_tokens": 7}
    names = ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf", "__defineGetter__"]
    written = ["9007199254740993", "179769313486231570e-5", "6755399441055744.5", "1e15", "1e21", "1e300", "1e308", "-1e22", "1e400", "-1e400"]
    lines = [entry(moments.next(), "names", usage, model=name) for name in names]
    for number, text in enumerate(written):
        line = to_json(entry(f"2025-01-{number + 11}T10:00:00Z", "large", {"output_tokens": 7}, model=f"large-{number}"))
        lines.append(line.replace(":7}", f":{text}}}"))
    return lines


TIMES_THAT_ARE_NONE = ["not a time", "2025-13-01", "2025-02-30T10:00:00Z ?", "2025-07-01T25:00:00Z", "2025-07-01T10:00:60Z", "Invalid Date",
                       "2025-07-10T10:00:00 Z", "2025-07-12T10:00:00.000Z (note)",
                       1e300, 8.64e15 + 1, {}, {"a": 1}, ["x"]]


def unspecified(moments):
    usage = {"input_tokens": 5, "output_tokens": 7}
    tokens = ["5", "x", True, [], [3], {}, {"a": 1}, "1e3", " 7 ", "Infinity"]
    return [
        *(entry(moments.next(), "tokens", {"input_tokens": value}, model="odd tokens") for value in tokens),
        *(entry(moments.next(), "model", usage, model=value) for value in (5, True, {}, {"a": 1})),
        *(entry(time, "year", usage) for time in ("+010000-01-01T00:00:00Z", "-000001-07-01T00:00:00Z", "0999-07-01T00:00:00Z")),
        *(entry([time], "array", usage) for time in ("2025-07-01T00:00:00Z",)),
        *(to_json(entry(moments.next(), "?", usage)).replace('"?"', text) for text in ("null", "0", '""', "false", "{}", "[]", "[]")),
        b"\xef\xbb\xbf" + to_json(entry(moments.next(), "byte order mark", usage)).encode(),
        "\u00a0" + to_json(entry(moments.next(), "no-break space", usage)),
        to_json(entry(moments.next(), "carriage return", usage)) + "\r" + to_json(entry(moments.next(), "carriage return", usage)),
    ]
