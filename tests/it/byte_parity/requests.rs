//! Requests to Engine.IO: every query that a client, an old client or nobody would send, each method, origins, sessions
//! that are used in a wrong way, and upgrades.

use tokio_tungstenite::tungstenite::Message;

use super::dialogue::{Ask, Dialogue, Step};

/// Values of `EIO`; the first is the right one. `&` begins a second one.
const VERSIONS: [Option<&str>; 9] = [
    Some("4"),
    None,
    Some(""),
    Some("3"),
    Some("5"),
    Some("04"),
    Some("abc"),
    Some("4&EIO=3"),
    Some("3&EIO=4"),
];

const TRANSPORTS: [Option<&str>; 9] = [
    Some("polling"),
    Some("websocket"),
    None,
    Some(""),
    Some("webtransport"),
    Some("Polling"),
    Some("constructor"),
    Some("polling&transport=websocket"),
    Some("p%6Flling"),
];

const SIDS: [Option<&str>; 7] = [
    None,
    Some(""),
    Some("unknown"),
    Some("AAAAAAAAAAAAAAAAAAAA"),
    Some("__proto__"),
    Some("constructor"),
    Some("long"),
];

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];

pub(super) fn all() -> Vec<Dialogue> {
    let mut dialogues = queries();
    dialogues.extend(odd_queries());
    dialogues.extend(origins());
    dialogues.extend(sessions());
    dialogues.extend(bodies());
    dialogues.extend(upgrades());
    dialogues
}

fn target(version: Option<&str>, transport: Option<&str>, sid: Option<&str>) -> String {
    let long = "a".repeat(4096);
    let sid = sid.map(|sid| if sid == "long" { &long } else { sid });
    let parts = [("EIO", version), ("transport", transport), ("sid", sid)];
    let query: Vec<String> = parts
        .iter()
        .filter_map(|(key, value)| value.map(|value| format!("{key}={value}")))
        .collect();
    format!("/socket.io/?{}", query.join("&"))
}

fn one(ask: Ask) -> Dialogue {
    let mut name = format!("{} {} {}", ask.method, ask.target, ask.headers);
    name.truncate(200);
    Dialogue {
        name,
        steps: vec![Step::Ask(ask)],
    }
}

fn queries() -> Vec<Dialogue> {
    let mut dialogues = Vec::new();
    for version in VERSIONS {
        for transport in TRANSPORTS {
            for sid in [None, Some("unknown")] {
                let target = target(version, transport, sid);
                dialogues.push(one(Ask::new("GET", target.as_str())));
                dialogues.push(upgrade(Ask::new("GET", target)));
            }
        }
    }
    for sid in SIDS {
        for method in METHODS {
            for transport in [Some("polling"), Some("websocket")] {
                let target = target(Some("4"), transport, sid);
                dialogues.push(one(Ask::new(method, target)));
            }
        }
        let target = target(Some("4"), Some("websocket"), sid);
        dialogues.push(upgrade(Ask::new("GET", target)));
    }
    dialogues
}

fn odd_queries() -> Vec<Dialogue> {
    let mut dialogues: Vec<_> = [
        "?EIO=4&transport=polling&t=P9aBcD",
        "?transport=polling&t=x&EIO=4",
        "?EIO=4&transport=polling&b64=1",
        "?EIO=4&transport=polling&j=0",
        "?EIO=4&transport=polling&j=abc",
        "?EIO=4&transport=polling&j=",
        "?EIO=3&transport=polling&j=1&b64=1",
        "?EIO=4&transport=polling&EIO=4&sid=",
        "?EIO=4&transport=polling#fragment",
        "?EIO=4&&transport=polling&",
        "?EIO=4;transport=polling",
        "?%45IO=4&transport=polling",
        "?EIO=%34&transport=polling",
        "?EIO=4&transport=polling&x=%",
        "?EIO=4&transport=polling&x=%ff%00",
        "?EIO=4&transport=polling&x=%E9+%C3%A9",
        "??EIO=4&transport=polling",
        "?",
        "",
        "anything?EIO=4&transport=polling",
        "?EIO=4&transport=polling?x=1",
    ]
    .into_iter()
    .map(|rest| one(Ask::new("GET", format!("/socket.io/{rest}"))))
    .collect();
    for target in [
        "/socket.io?EIO=4&transport=polling",
        "/SOCKET.IO/?EIO=4&transport=polling",
        "//socket.io/?EIO=4&transport=polling",
        "/socket.iox/?EIO=4&transport=polling",
        "/socket%2Eio/?EIO=4&transport=polling",
        "/socket.io/socket.io.js",
        "/socket.io/socket.io.js?EIO=4&transport=polling",
        "/socket.io/socket.io.esm.min.js",
        "/socket.io/socket.io.msgpack.min.js.map",
        "/socket.io/socket.io.jsx",
        "/engine.io/?EIO=4",
    ] {
        dialogues.push(one(Ask::new("GET", target)));
        dialogues.push(one(Ask::new("HEAD", target)));
    }
    dialogues
}

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

fn origins() -> Vec<Dialogue> {
    let mut dialogues = Vec::new();
    for origin in [
        "https://card.example",
        "https://CARD.example",
        "http://elsewhere.example",
        "null",
        "",
        "\u{1}",
        "a\u{7f}b",
        "x y",
    ] {
        let header = format!("Origin: {origin}");
        for method in ["GET", "POST", "OPTIONS"] {
            dialogues.push(one(Ask::new(method, HANDSHAKE).with(&header)));
        }
        let preflight = Ask::new("OPTIONS", HANDSHAKE)
            .with(&header)
            .with("Access-Control-Request-Method: POST")
            .with("Access-Control-Request-Headers: content-type, x-reader");
        dialogues.push(one(preflight));
        let socket = Ask::new("GET", "/socket.io/?EIO=4&transport=websocket");
        dialogues.push(upgrade(socket.with(&header)));
    }
    for header in [
        "Cookie: reader=abc; other=1",
        "User-Agent: Mozilla/4.0 (compatible;MSIE 8.0; Trident/4.0)",
        "Accept-Encoding: identity",
        "Accept: text/event-stream",
        "If-None-Match: *",
        "Authorization: Bearer x.y.z",
        "X-Http-Method-Override: PUT",
    ] {
        dialogues.push(one(Ask::new("GET", HANDSHAKE).with(header)));
    }
    dialogues
}

/// A word to see whether the session is alive: it connects, and polls until it is greeted. The namespace is one that the
/// payloads before it do not name, since Node closes at a second CONNECT to the same.
fn is_alive() -> [Step; 2] {
    [
        Step::Ask(Ask::session("POST", "40/dynamic-9,")),
        Step::Poll("/dynamic-9,[\"auth\""),
    ]
}

/// Sessions that are used in other ways than they were opened.
fn sessions() -> Vec<Dialogue> {
    let mut dialogues = Vec::new();
    for query in [
        "EIO=3&transport=polling",
        "transport=polling",
        "EIO=4&transport=websocket",
        "EIO=4&transport=webtransport",
        "EIO=4",
        "EIO=5&transport=polling",
    ] {
        for method in ["GET", "POST"] {
            let ask = Ask::new(method, format!("/socket.io/?{query}&sid={{sid}}"));
            let steps = std::iter::once(Step::Ask(ask)).chain(is_alive());
            dialogues.push(Dialogue::polling(format!("{method} {query}"), steps));
        }
    }
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let steps = std::iter::once(Step::Ask(Ask::session(method, ""))).chain(is_alive());
        dialogues.push(Dialogue::polling(format!("{method} in a session"), steps));
    }
    for headers in [
        "Origin: https://card.example",
        "Cookie: reader=other",
        "User-Agent: x;MSIE",
        "Content-Type: application/json",
        "Content-Type: text/plain;charset=UTF-8",
        "Content-Type: application/octet-stream",
        "Content-Type: application/octet-stream; x=1",
        "Content-Type: application/x-www-form-urlencoded",
    ] {
        let greet = Ask::session("POST", "40").with(headers);
        let steps = [Step::Ask(greet), Step::Poll("[\"auth\"")];
        dialogues.push(Dialogue::polling(headers, steps));
    }
    let poll = || Ask::session("GET", "");
    dialogues.push(Dialogue::polling(
        "two polls at once",
        [Step::Together(poll(), poll()), Step::Ask(poll())],
    ));
    dialogues.push(Dialogue::polling(
        "a poll and the end",
        [Step::Ask(Ask::session("POST", "1")), Step::Ask(poll())],
    ));
    dialogues.push(Dialogue::polling(
        "a poll, and one with the close packet behind others",
        [
            Step::Ask(Ask::session("POST", "40\x1e1\x1e42[\"message\"]")),
            Step::Ask(poll()),
        ],
    ));
    dialogues
}

/// Payloads before any CONNECT. Whatever they do, the session then answers, or is gone.
fn bodies() -> Vec<Dialogue> {
    let long = "x".repeat(99_999);
    let too_long = "x".repeat(100_001);
    let many = vec!["3"; 1000].join("\x1e");
    let bodies: Vec<Vec<u8>> = [
        "",
        "0",
        "0{}",
        "2",
        "2probe",
        "3",
        "3probe",
        "5",
        "6",
        "7",
        "9",
        "a",
        "b",
        "bAQ==",
        "bAQ",
        "b!!!!",
        "4",
        "4a",
        "\x1e",
        "\x1e\x1e\x1e",
        "40\x1e",
        "\x1e40",
        "3\x1e40",
        "40\x1ea",
        "a\x1e40",
        "3\x1e\x1e40",
        " 40",
        "40 ",
        "\u{feff}40",
        "\u{1f980}",
        "4\u{0}",
        "40{}",
        "40{\"a\":\"\u{e9}\"}",
        "d=40",
        "2:40",
        "\n40",
        "40\n",
        &many,
        &format!("4{long}"),
        &format!("3{too_long}"),
        &too_long,
    ]
    .iter()
    .map(|body| body.as_bytes().to_vec())
    .chain([
        vec![0xff, 0xfe],
        vec![b'4', 0xc3],
        b"4\xed\xa0\x80".to_vec(),
    ])
    .collect();
    bodies
        .into_iter()
        .map(|body| {
            let mut name = format!("body {:?}", String::from_utf8_lossy(&body));
            name.truncate(100);
            let steps = std::iter::once(Step::Ask(Ask::session("POST", body))).chain(is_alive());
            Dialogue::polling(name, steps)
        })
        .collect()
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// A handshake, and the first word of whoever answers.
fn upgrade(ask: Ask) -> Dialogue {
    let mut dialogue = one(ask.clone());
    dialogue.name = format!("upgrade {}", dialogue.name);
    dialogue.steps = vec![Step::Upgrade(ask.with(UPGRADE)), Step::Read("maxPayload")];
    dialogue
}

fn upgrades() -> Vec<Dialogue> {
    let socket =
        || Ask::new("GET", "/socket.io/?EIO=4&transport=websocket&sid={sid}").with(UPGRADE);
    let probe = || Step::Send(Message::text("2probe"));
    let mut dialogues: Vec<_> = ["5", "2", "2other", "3", "6", "1", "40", "abc", ""]
        .into_iter()
        .map(|packet| {
            let send = Step::Send(Message::text(packet));
            let steps = [Step::Upgrade(socket()), send, Step::Read("nothing")];
            let mut dialogue = Dialogue::polling(format!("{packet:?} instead of a probe"), steps);
            if packet == "5" {
                // Good without a probe, too.
                dialogue.steps.pop();
                dialogue.steps.push(Step::Send(Message::text("40")));
                dialogue.steps.push(Step::Read("[\"auth\""));
            }
            dialogue.steps.push(Step::Ask(Ask::session("POST", "3")));
            dialogue
        })
        .collect();
    let upgraded = || {
        [
            Step::Upgrade(socket()),
            probe(),
            Step::Read("3probe"),
            Step::Send(Message::text("5")),
            Step::Send(Message::text("40")),
            Step::Read("[\"auth\""),
        ]
    };
    for ask in [
        Ask::session("GET", ""),
        Ask::session("POST", "3"),
        Ask::session("PUT", ""),
    ] {
        let name = format!("{} after the upgrade", ask.method);
        let steps = upgraded().into_iter().chain([Step::Ask(ask)]);
        dialogues.push(Dialogue::polling(name, steps));
    }
    let again = upgraded()
        .into_iter()
        .chain([Step::Upgrade(socket()), Step::Read("nothing")]);
    dialogues.push(Dialogue::polling("a second upgrade", again));
    let both = [
        Step::Upgrade(socket()),
        probe(),
        Step::Read("3probe"),
        Step::Upgrade(socket()),
        Step::Read("nothing"),
    ];
    dialogues.push(Dialogue::polling("two upgrades at once", both));
    for line in [
        "Sec-WebSocket-Version: 12",
        "Sec-WebSocket-Key: short",
        "Sec-WebSocket-Protocol: a, b",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    ] {
        let name = line.split(':').next().unwrap_or_default();
        let lines = UPGRADE.split("\r\n").filter(|own| !own.starts_with(name));
        let target = "/socket.io/?EIO=4&transport=websocket";
        let ask = lines.fold(Ask::new("GET", target).with(line), |ask, line| {
            ask.with(line)
        });
        dialogues.push(Dialogue {
            name: line.to_owned(),
            steps: vec![Step::Upgrade(ask), Step::Read("maxPayload")],
        });
    }
    dialogues
}

/// For a server that asks for `?pass=please` at the handshake.
pub(super) fn passes() -> Vec<Dialogue> {
    let mut dialogues = Vec::new();
    for pass in ["", "&pass=", "&pass=no", "&pass=please"] {
        for transport in ["polling", "websocket"] {
            let target = format!("/socket.io/?EIO=4&transport={transport}{pass}");
            dialogues.push(one(Ask::new("GET", target.as_str())));
            dialogues.push(upgrade(Ask::new("GET", target)));
        }
    }
    dialogues
}
