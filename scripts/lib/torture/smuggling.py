"""Requests that two parsers could read differently: rejected, or exactly one well-formed message reaches Node.

Each is sent over TLS twice: to the real Node.js server and to a strict parser. Both must see as many requests as the
client gets answers from Node, and never the one that is hidden in another.
"""

import asyncio

from .client import Connection
from .report import counts
from .stream import Broken
from .strict import StrictNode

ABOUT = "requests that two parsers could read differently"
HOST = b"Host: localhost\r\n"
# Where a parser is fooled, it takes this for a request of its own.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED_OK = b"2\r\nok\r\n0\r\n\r\n"


def post(headers, body=b"", line=b"POST /case HTTP/1.1\r\n", host=HOST):
    return line + host + headers + b"\r\n" + body


def get(headers=b"", line=b"GET /case HTTP/1.1\r\n", host=HOST):
    return line + host + headers + b"\r\n"


# Name, bytes, and whether it must be rejected.
CASES = [
    ("CL + TE, CL ends first", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + HIDDEN), False),
    ("TE + CL, TE ends first", post(b"Transfer-Encoding: chunked\r\nContent-Length: 100\r\n", CHUNKED_OK + HIDDEN), False),
    ("CL 0 + TE", post(b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", CHUNKED_OK + HIDDEN), False),
    ("two different CL", post(b"Content-Length: 2\r\nContent-Length: 44\r\n", b"ok" + HIDDEN), False),
    ("two equal CL", post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ok"), False),
    ("CL list", post(b"Content-Length: 2, 2\r\n", b"ok"), False),
    ("CL list of different ones", post(b"Content-Length: 2, 44\r\n", b"ok" + HIDDEN), False),
    ("CL +2", post(b"Content-Length: +2\r\n", b"ok"), False),
    ("CL -2", post(b"Content-Length: -2\r\n", b"ok"), False),
    ("CL 0x2", post(b"Content-Length: 0x2\r\n", b"ok"), False),
    ("CL 2 2", post(b"Content-Length: 2 2\r\n", b"ok" + HIDDEN), False),
    ("CL empty", post(b"Content-Length:\r\n", b"ok"), False),
    ("CL 2^64 + 2", post(b"Content-Length: 18446744073709551618\r\n", b"ok" + HIDDEN), False),
    ("TE identity", post(b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n", b"ok"), False),
    ("TE gzip, chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", CHUNKED_OK), False),
    ("TE chunked, gzip", post(b"Transfer-Encoding: chunked, gzip\r\n", CHUNKED_OK + HIDDEN), False),
    ("TE chunked, chunked", post(b"Transfer-Encoding: chunked, chunked\r\n", CHUNKED_OK + HIDDEN), False),
    ("TE xchunked", post(b"Transfer-Encoding: xchunked\r\n", CHUNKED_OK + HIDDEN), False),
    ("TE Chunked", post(b"Transfer-Encoding: CHUNKED\r\n", CHUNKED_OK), False),
    ("TE with VT", post(b"Transfer-Encoding: \x0bchunked\r\n", CHUNKED_OK + HIDDEN), False),
    ("TE in quotes", post(b'Transfer-Encoding: "chunked"\r\n', CHUNKED_OK + HIDDEN), False),
    ("two TE", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKED_OK + HIDDEN), False),
    ("TE with a space before the colon", post(b"Transfer-Encoding : chunked\r\nContent-Length: 2\r\n", b"ok" + HIDDEN), False),
    ("TE with a tab before the colon", post(b"Transfer-Encoding\t: chunked\r\nContent-Length: 2\r\n", b"ok" + HIDDEN), False),
    ("TE folded", post(b"Transfer-Encoding:\r\n chunked\r\n", CHUNKED_OK + HIDDEN), False),
    ("Transfer_Encoding", post(b"Transfer_Encoding: chunked\r\nContent-Length: 2\r\n", b"ok"), False),
    ("TE named by Connection", post(b"Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n", CHUNKED_OK), False),
    ("CL named by Connection", post(b"Content-Length: 2\r\nConnection: Content-Length\r\n", b"ok"), False),
    ("HTTP/1.0 + TE", post(b"Transfer-Encoding: chunked\r\n", CHUNKED_OK + HIDDEN, b"POST /case HTTP/1.0\r\n"), False),
    ("obs-fold", get(b"X-A: b\r\n c: d\r\n"), False),
    ("a fold before the first header", b"GET /case HTTP/1.1\r\n X-A: b\r\n" + HOST + b"\r\n", False),
    ("bare LF between headers", get(b"X-A: b\nX-B: c\r\n"), False),
    ("bare LF at the end", b"GET /case HTTP/1.1\nHost: localhost\n\n" + HIDDEN, False),
    ("LF LF hides a body", post(b"X-A: b\n\nGET /hidden HTTP/1.1\r\n"), False),
    ("bare CR in a value", get(b"X-A: b\rX-B: c\r\n"), False),
    ("CR CR LF", get(b"X-A: b\r\r\n"), False),
    ("NUL in a value", get(b"X-A: b\0c\r\n"), False),
    ("NUL in a name", get(b"X-\0A: b\r\n"), False),
    ("NUL in the path", get(line=b"GET /case\0 HTTP/1.1\r\n"), False),
    ("space before the colon", get(b"X-A : b\r\n"), False),
    ("no colon", get(b"X-A\r\n"), False),
    ("empty name", get(b": b\r\n"), False),
    ("high bytes in a name", get("X-Ä: b\r\n".encode()), False),
    ("two spaces in the request line", get(line=b"GET  /case HTTP/1.1\r\n"), False),
    ("tabs in the request line", get(line=b"GET\t/case\tHTTP/1.1\r\n"), False),
    ("space in the target", get(line=b"GET /case /hidden HTTP/1.1\r\n"), False),
    ("HTTP/1.2", get(line=b"GET /case HTTP/1.2\r\n"), False),
    ("HTTP/2.0 in a line", get(line=b"GET /case HTTP/2.0\r\n"), False),
    ("lower-case version", get(line=b"GET /case http/1.1\r\n"), False),
    ("empty lines before the request", b"\r\n\r\n" + get(), False),
    ("chunk extension", post(b"Transfer-Encoding: chunked\r\n", b"2;a=b\r\nok\r\n0\r\n\r\n"), False),
    ("chunk extension of 17 KB", post(b"Transfer-Encoding: chunked\r\n", b"2;" + b"a" * 17408 + b"\r\nok\r\n0\r\n\r\n"), True),
    ("chunk extensions, 20 KB in all",
     post(b"Transfer-Encoding: chunked\r\n", (b"1;".ljust(1024, b"a") + b"\r\nx\r\n") * 20 + b"0\r\n\r\n"), True),
    ("chunk extension with a bare LF", post(b"Transfer-Encoding: chunked\r\n", b"2;a\nok\r\n0\r\n\r\n" + HIDDEN), False),
    ("chunk size 0x2", post(b"Transfer-Encoding: chunked\r\n", b"0x2\r\nok\r\n0\r\n\r\n" + HIDDEN), False),
    ("chunk size +2", post(b"Transfer-Encoding: chunked\r\n", b"+2\r\nok\r\n0\r\n\r\n" + HIDDEN), False),
    ("chunk size 2^64 + 2", post(b"Transfer-Encoding: chunked\r\n", b"10000000000000002\r\nok\r\n0\r\n\r\n" + HIDDEN), False),
    ("chunk size with spaces", post(b"Transfer-Encoding: chunked\r\n", b"2 \r\nok\r\n0\r\n\r\n"), False),
    ("chunk ends with LF", post(b"Transfer-Encoding: chunked\r\n", b"2\nok\n0\n\n" + HIDDEN), False),
    ("chunk longer than its size", post(b"Transfer-Encoding: chunked\r\n", b"2\r\nokay\r\n0\r\n\r\n" + HIDDEN), False),
    ("trailers that frame",
     post(b"Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n",
          b"2\r\nok\r\n0\r\nContent-Length: 99\r\nHost: evil\r\n\r\n"), False),
    ("endless trailers", post(b"Transfer-Encoding: chunked\r\n", b"2\r\nok\r\n0\r\n" + b"X-A: b\r\n" * 20000 + b"\r\n"), True),
    ("two Hosts", get(b"Host: evil.example\r\n"), True),
    ("two equal Hosts", get(HOST), True),
    ("no Host", get(host=b""), True),
    ("empty Host", get(host=b"Host:\r\n"), True),
    ("Host with a path", get(host=b"Host: localhost/evil\r\n"), True),
    ("Host with a user", get(host=b"Host: evil@localhost\r\n"), True),
    ("Host with a space", get(host=b"Host: local host\r\n"), True),
    ("Host list", get(host=b"Host: localhost, evil.example\r\n"), True),
    ("HTTP/0.9", b"GET /case\r\n", True),
    ("HTTP/1.0 without Host", b"GET /case HTTP/1.0\r\n\r\n", True),
    ("CONNECT", b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n", True),
    ("absolute form, other Host", get(line=b"GET http://evil.example/case HTTP/1.1\r\n"), False),
    ("absolute form, same Host", get(line=b"GET https://localhost/case HTTP/1.1\r\n"), False),
    ("GET with a body", get(b"Content-Length: 44\r\n") + HIDDEN[:44].ljust(44), False),
    ("OPTIONS with a body", post(b"Content-Length: 41\r\n", HIDDEN, b"OPTIONS /case HTTP/1.1\r\n"), False),
    ("GET with a chunked body", get(b"Transfer-Encoding: chunked\r\n") + CHUNKED_OK, False),
    ("Expect: something", post(b"Expect: magic\r\nContent-Length: 2\r\n", b"ok"), False),
    ("Upgrade: h2c", get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), False),
    ("Connection: Host", get(b"Connection: Host, X-Forwarded-For, Cookie, Authorization\r\nCookie: a=b\r\nAuthorization: c\r\n"), False),
    ("Connection: Origin", get(b"Connection: Origin, X-Api-Key\r\nOrigin: https://a\r\nX-Api-Key: b\r\n"), False),
    ("underscores", get(b"X_Forwarded_For: 6.6.6.6\r\nX_Forwarded-Proto: evil\r\nX_Real_IP: 6.6.6.6\r\n"), False),
    ("spoofed addresses",
     get(b"X-Real-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nX-Client-IP: 6.6.6.6\r\n"), False),
    ("spoofed forwarding",
     get(b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Strangler-Side: native\r\n"), False),
    ("pipelined", get() + get(line=b"GET /second HTTP/1.1\r\n"), False),
]
PIPELINED = {"pipelined": 2}
# What must not reach Node from a client that is not trusted, in a header of any name.
FORBIDDEN = (b"6.6.6.6", b"evil")
# What `Connection` must not take away.
KEPT = {"Connection: Host": {b"host", b"x-forwarded-for", b"cookie", b"authorization"},
        "Connection: Origin": {b"origin", b"x-api-key"}}
EXEMPT = {"absolute form, other Host", "trailers that frame"}


async def run(stage):
    report = stage.report
    node = await stage.node(RECORD="1")
    strict = await StrictNode().start()
    try:
        to_node, to_strict = await stage.proxy(node.port), await stage.proxy(strict.port)
        outcomes = []
        for name, request, must_reject in CASES:
            await node.ask("/seen")
            strict.take()
            real_answers = await send(to_node.port, request)
            strict_answers = await send(to_strict.port, request)
            await asyncio.sleep(0.05)
            seen, (requests, complaints) = await node.ask("/seen"), strict.take()
            problem = judge(name, must_reject, real_answers, seen, strict_answers, requests, complaints)
            outcomes.append("rejected" if not requests else "one message" if len(requests) == 1 else f"{len(requests)} messages")
            report.check(f"{name}", problem or f"{outcomes[-1]}, {said(real_answers)}", not problem, "rejected" if must_reject else "")
        report.note(f"of {len(CASES)} requests", counts(outcomes))
        limits(report, await too_large(to_node.port))
    finally:
        await strict.close()


def judge(name, must_reject, real_answers, seen, strict_answers, requests, complaints):
    """What is wrong, or nothing."""
    whole = [entry for entry in seen if entry["complete"]]
    most = PIPELINED.get(name, 1)
    from_node = sum(answer.startswith("node ") for answer in real_answers)
    from_strict = sum(answer.startswith("node ") for answer in strict_answers)
    serious = [complaint for complaint in complaints if not complaint.startswith("half a body")]
    if serious:
        return f"malformed at Node: {serious[0][:50]}"
    if any("hidden" in entry["url"] for entry in seen) or any(b"/hidden" in line.split(b" ")[1] for line, _, _ in requests):
        # An honest second message: the first ended where both parsers say. Counted like any other.
        most += 1
    if must_reject and (whole or requests):
        return f"accepted: {said(real_answers)}"
    if len(whole) != from_node or len(requests) != from_strict:
        return f"Node saw {len(whole)}, strict {len(requests)}, answers {from_node} and {from_strict}"
    if len(whole) != len(requests) or len(requests) > most:
        return f"Node saw {len(whole)}, strict {len(requests)}, at most {most}"
    leaked = [value for _, headers, _ in requests for _, value in headers if any(word in value for word in FORBIDDEN)]
    if leaked and name not in EXEMPT:
        return f"passed on: {leaked[0][:40]}"
    if name in KEPT and requests:
        stripped = KEPT[name] - {header for header, _ in requests[0][1]}
        if stripped:
            return f"stripped: {min(stripped)}"
    return None


async def send(port, request):
    """All the answers until the end, or a second without one: `node 200`, `400`, ..., and how it ended."""
    answers = []
    connection = await Connection.open(port)
    try:
        async with asyncio.timeout(1):
            await connection.stream.write(request)
            while True:
                head = await connection.head()
                async for _ in connection.body(head):
                    pass
                side = "node " if head.get("x-backend") else ""
                answers.append(f"{side}{head.status}")
    except Broken as broken:
        if broken.kind not in ("closed without an answer", "cut", "reset"):
            answers.append(broken.kind)
    except TimeoutError:
        pass
    finally:
        connection.close()
    return answers


def said(answers):
    return " + ".join(answers) or "closed"


async def too_large(port):
    """The limits of `[limits]`: each with the answers that are right."""
    cases = [
        ("headers of 1 MB", get(b"X-Large: " + b"x" * 1_000_000 + b"\r\n"), {"431"}),
        ("10,000 headers", get(b"X: y\r\n" * 10_000), {"431"}),
        ("URI of 70 KB", get(line=b"GET /" + b"u" * 70_000 + b" HTTP/1.1\r\n"), {"414", "431"}),
        ("URI of 30 KB", get(line=b"GET /" + b"u" * 30_000 + b" HTTP/1.1\r\n"), {"node 200", "414", "431"}),
    ]
    return [(name, await send(port, request), wanted) for name, request, wanted in cases]


def limits(report, results):
    for name, answers, wanted in results:
        report.check(name, said(answers), len(answers) == 1 and answers[0] in wanted, " or ".join(sorted(wanted)))
