//! Diagnostics and their texts.

use super::*;
use crate::config::diagnostic::Severity;
use crate::config::{Config, EventName, Once, Rule, Share, Socket, SocketKind};
use crate::routing::fixture::{
    self, NATIVE, bridged, config, endpoints, event_rule, header, pointer, rule, socket,
};

/// `code span-start: message | label | help` of all.
fn found(config: Config, served: &[&str]) -> Vec<String> {
    let (requests, events): (Vec<&str>, Vec<&str>) =
        served.iter().partition(|text| text.contains(" /"));
    let (endpoints, events) = (endpoints(&requests), fixture::served(&events));
    let native = NativeSide {
        endpoints: &endpoints,
        events: &events,
        connects: &[],
        keeps_state_in_memory: true,
    };
    let all = match Table::compile(config, 1, Some(native)) {
        Ok((_, found)) => {
            assert!(
                found
                    .iter()
                    .all(|diagnostic| diagnostic.severity != Severity::Error)
            );
            found
        }
        Err(found) => found,
    };
    let line = |found: Diagnostic| {
        let start = found.span.map_or(0, |span| span.start);
        let help = found
            .help
            .map(|help| format!(" | {help}"))
            .unwrap_or_default();
        format!(
            "{:?} {start}: {} | {}{help}",
            found.severity, found.message, found.label
        )
    };
    // The application of these tests has no `on_connect`; a test of its own is about that.
    all.into_iter()
        .filter(|found| found.code != Code::Unguarded)
        .map(line)
        .collect()
}

fn found_in(rules: Vec<Rule>) -> Vec<String> {
    found(config(rules), &[])
}

#[test]
fn claims_that_cannot_be_ordered_are_refused_with_an_example() {
    let node = |id: &str, http: &[&str]| rule(id, http, To::Node);
    let refused = [
        (
            node("a", &["GET /a/{id}"]),
            node("b", &["GET /A/{name}/"]),
            "both claim `GET /A/1`",
        ),
        (
            node("a", &["/a"]),
            node("b", &["/a"]),
            "both claim `GET /a`",
        ),
        (
            node("a", &["GET /a"]),
            node("b", &["HEAD /a"]),
            "both claim `HEAD /a`",
        ),
        (
            node("a", &["/1/{*r}"]),
            node("b", &["/1/{*q}"]),
            "both claim `GET /1/2`",
        ),
        (
            node("a", &["/a"]).when(header("x-a"), &["1", "2"]),
            node("b", &["/a"]).when(header("x-a"), &["2", "3"]),
            "both claim `GET /a`, `header:x-a` = \"2\"",
        ),
        (
            node("a", &["/a"]).when(header("x-a"), &["1"]),
            node("b", &["/a"]).when(header("x-b"), &["2"]),
            "both claim `GET /a`, `header:x-a` = \"1\", `header:x-b` = \"2\"",
        ),
    ];
    for (one, other, example) in refused {
        let found = found_in(vec![one, other]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("Error 101: two rules claim the same request | also rule.a, as `")
        );
        assert!(found[0].contains(&format!("{example};")), "{found:?}");
    }
}

#[test]
fn claims_that_can_be_ordered_are_fine() {
    let node = |id: &str, http: &[&str]| rule(id, http, To::Node);
    for (one, other) in [
        (node("a", &["GET /a"]), node("b", &["/a"])),
        (node("a", &["GET /a"]), node("b", &["POST /a"])),
        (node("a", &["/a/{id}"]), node("b", &["/a/{*rest}"])),
        (
            node("a", &["/a"]).when(header("x-a"), &["1"]),
            node("b", &["/a"]),
        ),
        (
            node("a", &["/a"]).when(header("x-a"), &["1", "2"]),
            node("b", &["/a"]).when(header("x-a"), &["2"]),
        ),
        (
            node("a", &["/a"])
                .when(header("x-a"), &["1"])
                .when(header("x-b"), &["1"]),
            node("b", &["/a"])
                .when(header("x-a"), &["2"])
                .when(header("x-c"), &["2"]),
        ),
    ] {
        assert_eq!(found_in(vec![one, other]), [""; 0]);
    }
}

#[test]
fn what_can_never_match_is_told() {
    let node = |id: &str, http: &[&str]| rule(id, http, To::Node);
    assert_eq!(
        found_in(vec![node("a", &["/a%ff"])]),
        [
            "Error 1: rule `a` can never match | such paths have more than one reading and go to Node"
        ]
    );
    assert_eq!(
        found_in(vec![node("a", &["/a", "/A/"])]),
        ["Warning 2: `/A` can never match | `/a` of rule.a always goes first"]
    );
    let quote = node("a", &["/o'k", "/a"]);
    assert_eq!(
        found_in(vec![quote]),
        ["Warning 1: `/o'k` can never match | Node's URL parser escapes `'` in some requests"]
    );
    let ends = node("a", &["/x", "/x/{y}/{*rest}"]);
    assert_eq!(
        found_in(vec![ends, node("b", &["GET /x/{*rest}"])]),
        ["Error 101: rule `b` can never match | `/x` of rule.a always goes first"]
    );
    let halves = |value: &str| node(value, &["/a"]).when(header("x-a"), &[value]);
    let whole = node("whole", &["/a"]).when(header("x-a"), &["1", "2"]);
    assert_eq!(
        found_in(vec![halves("1"), halves("2"), whole]),
        ["Error 201: rule `whole` can never match | `/a` of rule.1 always goes first"]
    );
    let address = node("a", &["/a"]).when(Selector::Address, &["10.0.0"]);
    assert_eq!(
        found_in(vec![address]),
        ["Error 50: rule `a` can never match | this is no address"]
    );
    let twice = node("a", &["/a"])
        .when(header("x-a"), &["1"])
        .when(header("x-a"), &["2"]);
    assert_eq!(
        found_in(vec![twice]),
        ["Error 0: rule `a` can never match | no value passes all of its `where`"]
    );
}

#[test]
fn what_a_socket_owns_can_never_match() {
    let claims = ["/socket.io/status", "/api/ws", "/a"];
    let mut config = config(vec![
        rule("a", &claims, To::Node),
        rule("b", &["/api/ws"], To::Node),
    ]);
    config.rules[1].claims[0].method = Some(Method::GET);
    config.sockets = vec![
        socket("readers", SocketKind::SocketIo, "/socket.io/"),
        socket("game", SocketKind::WebSocket, "/api/ws"),
    ];
    assert_eq!(
        found(config, &[]),
        [
            "Warning 1: `/socket.io/status` can never match | socket.readers owns this path",
            "Warning 2: `/api/ws` can never match | socket.game owns this path",
            "Error 101: rule `b` can never match | socket.game owns this path",
        ]
    );
}

#[test]
fn native_rules_are_compared_with_the_endpoints() {
    let served = [
        "GET /api/driver/{id}",
        "GET /api/drivers",
        "DELETE /api/drivers",
    ];
    let all_native = rule("a", &["GET /api/driver/{name}", "GET /API/drivers"], NATIVE);
    assert_eq!(found(config(vec![all_native]), &served), [""; 0]);
    assert_eq!(
        found(
            config(vec![rule("a", &["GET /api/drivrs"], NATIVE)]),
            &served
        ),
        [
            "Error 1: no native endpoint serves rule `a` | everything would go to Node | the nearest endpoint is `GET /api/drivers`"
        ]
    );
    let part = rule(
        "a",
        &[
            "/api/drivers",
            "POST /api/drivers",
            "GET /api/{*rest}",
            "GET /b",
        ],
        NATIVE,
    );
    assert_eq!(
        found(config(vec![part]), &served),
        [
            "Note 1: only DELETE /api/drivers, GET /api/drivers of `/api/drivers` is native, the rest goes to Node | ",
            "Note 2: `POST /api/drivers` goes to Node: native serves DELETE, GET | ",
            "Note 3: only GET /api/driver/{id}, GET /api/drivers of `GET /api/{*rest}` is native, the rest goes to Node | ",
            "Note 4: `GET /b` goes to Node: native serves nothing on this path | ",
        ]
    );
}

#[test]
fn a_state_in_memory_is_not_shared_out() {
    let share = rule("a", &["GET /a"], To::Native(Share(500)));
    assert_eq!(
        found(
            config(vec![share, rule("b", &["GET /b"], NATIVE)]),
            &["GET /a", "GET /b"]
        ),
        [
            "Error 90: a share of an application that keeps its state in memory | some clients would change a state that others never see | say `native` or `node`"
        ]
    );
}

/// Of these rules for the socket `readers`.
fn found_on_readers(rules: Vec<Rule>, served: &[&str]) -> Vec<String> {
    let mut config = config(rules);
    config.sockets = vec![
        bridged("readers", SocketKind::SocketIo, "/socket.io/"),
        bridged("game", SocketKind::WebSocket, "/api/ws"),
    ];
    found(config, served)
}

#[test]
fn events_that_cannot_be_ordered_are_refused_with_an_example() {
    let node = |id: &str, events: &[&str]| event_rule(id, events, To::Node);
    let status =
        |id: &str, values: &[&str]| node(id, &["readers message"]).when(pointer("/status"), values);
    let refused = [
        (
            node("a", &["readers message"]),
            node("b", &["readers message"]),
            "`message`",
            "both claim `message` on readers;",
        ),
        (
            node("a", &["readers /admin,*"]),
            node("b", &["readers /admin,*"]),
            "`/admin,*`",
            "both claim `/admin,any-other` on readers;",
        ),
        (
            node("a", &["game *"]),
            node("b", &["game *"]),
            "`*`",
            "both claim `any-other` on game;",
        ),
        (
            status("a", &["insert ic_log", "delete_ic"]),
            status("b", &["delete_ic", "x"]),
            "`message`",
            "both claim `message` on readers, `/status` = \"delete_ic\";",
        ),
        (
            status("a", &["x"]),
            node("b", &["readers message"]).when(header("x-a"), &["1"]),
            "`message`",
            "both claim `message` on readers, `/status` = \"x\", `header:x-a` = \"1\";",
        ),
    ];
    for (one, other, also, example) in refused {
        let found = found_on_readers(vec![one, other], &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        let start = format!(
            "Error 130: two rules claim the same message | also rule.a, as {also} | {example}"
        );
        assert!(found[0].starts_with(&start), "{found:?}");
    }
}

#[test]
fn events_that_can_be_ordered_are_fine() {
    let node = |id: &str, events: &[&str]| event_rule(id, events, To::Node);
    for (one, other) in [
        (node("a", &["readers message"]), node("b", &["readers *"])),
        (
            node("a", &["readers message"]),
            node("b", &["game message"]),
        ),
        (
            node("a", &["readers message"]),
            node("b", &["readers /x,message"]),
        ),
        (
            node("a", &["readers message"]),
            node("b", &["readers Message"]),
        ),
        (
            node("a", &["readers message"]).when(pointer("/status"), &["x"]),
            node("b", &["readers message"]),
        ),
        (
            node("a", &["readers message"]).when(pointer("/status"), &["x"]),
            node("b", &["readers message"]).when(pointer("/status"), &["y"]),
        ),
        // Where a scalar stands, there is nothing inside.
        (
            node("a", &["readers message"]).when(pointer(""), &["x"]),
            node("b", &["readers message"]).when(pointer("/status"), &["x"]),
        ),
    ] {
        assert_eq!(found_on_readers(vec![one, other], &[]), [""; 0]);
    }
}

/// Where Node is not asked, the application has to refuse who may not come in (issue 9).
#[test]
fn namespaces_that_nobody_guards_are_told() {
    let rules = |to| vec![event_rule("a", &["readers *", "readers /open,*"], to)];
    let events = fixture::served(&["chat", "/open,chat"]);
    let native = NativeSide {
        endpoints: &[],
        events: &events,
        connects: &["/".to_owned()],
        keeps_state_in_memory: false,
    };
    let config = Config {
        sockets: vec![bridged("readers", SocketKind::SocketIo, "/io/")],
        ..config(rules(NATIVE))
    };
    let (_, found) = Table::compile(config, 1, Some(native)).unwrap();
    let unguarded = found.iter().filter(|found| found.code == Code::Unguarded);
    let told: Vec<_> = unguarded
        .map(|found| format!("{} | {}", found.message, found.label))
        .collect();
    assert_eq!(
        told,
        [
            "native lets every client into `/open` | all of its events are native, so Node is not asked"
        ]
    );
    assert_eq!(found_on_readers(rules(To::Node), &["chat"]), [""; 0]);
}

#[test]
fn events_that_can_never_match_are_told() {
    let node = |id: &str, events: &[&str]| event_rule(id, events, To::Node);
    let status =
        |id: &str, values: &[&str]| node(id, &["readers message"]).when(pointer("/status"), values);
    assert_eq!(
        found_on_readers(
            vec![
                status("a", &["1"]),
                status("b", &["2"]),
                status("c", &["1", "2"])
            ],
            &[]
        ),
        ["Error 230: rule `c` can never match | `message` of rule.a always goes first"]
    );
    let inside = status("a", &["1"]).when(pointer("/status/x"), &["1"]);
    assert_eq!(
        found_on_readers(vec![inside], &[]),
        ["Error 0: rule `a` can never match | no value passes all of its `where`"]
    );
    // A rule of both kinds is fine while one of its claims is.
    let mut both = rule("both", &["/a"], To::Node).when(header("x-a"), &["1", "2"]);
    both.events = status("", &[]).events;
    let halves =
        |id: &str, value: &str| node(id, &["readers message"]).when(header("x-a"), &[value]);
    assert_eq!(
        found_on_readers(vec![halves("a", "1"), halves("b", "2"), both], &[]),
        ["Warning 230: `message` can never match | `message` of rule.a always goes first"]
    );
}

#[test]
fn native_events_are_compared_with_the_handlers() {
    let served = ["message", "chat", "/admin,kick", "GET /a"];
    let native = |events: &[&str]| event_rule("a", events, NATIVE);
    assert_eq!(
        found_on_readers(
            vec![native(&["readers message", "readers /admin,kick"])],
            &served
        ),
        [""; 0]
    );
    assert_eq!(
        found_on_readers(vec![native(&["readers mesage"])], &served),
        [
            "Error 30: no native handler serves rule `a` | native has nothing for it | the nearest event that native has a handler for is `message`"
        ]
    );
    assert_eq!(
        found_on_readers(vec![native(&["readers /other,*"])], &[]),
        [
            "Error 30: no native handler serves rule `a` | native has nothing for it | the native side has no handlers for events"
        ]
    );
    assert_eq!(
        found_on_readers(vec![native(&["game Heartbeat"])], &served),
        [
            "Error 30: no native handler serves rule `a` | native has nothing for it | the native side needs an endpoint `GET /api/ws`"
        ]
    );
    assert_eq!(
        found_on_readers(
            vec![
                native(&["readers message", "readers news", "readers /other,*"])
                    .when(header("x-a"), &["1"])
            ],
            &served
        ),
        [
            "Note 31: `news` goes to Node: native has no handler for it | ",
            "Note 32: `/other,*` goes to Node: native has no handlers in this namespace | ",
        ]
    );
    assert_eq!(
        found_on_readers(
            vec![native(&["readers *"]).when(header("x-a"), &["1"])],
            &served
        ),
        ["Note 30: native has handlers for chat, message of `*`, the rest goes to Node | "]
    );
    assert_eq!(
        found_on_readers(vec![native(&["readers *", "readers news"])], &served),
        [
            "Note 30: native has handlers for chat, message of `*`, it ignores the rest | ",
            "Note 31: native ignores `news`: it has no handler for it | ",
        ]
    );
    // Of a rule of both kinds, one part is enough.
    let mut both = rule("a", &["GET /b"], NATIVE);
    both.events = native(&["readers message"]).events;
    assert_eq!(
        found_on_readers(vec![both.clone()], &served),
        ["Note 1: `GET /b` goes to Node: native serves nothing on this path | "]
    );
    assert_eq!(
        found_on_readers(vec![both], &[]),
        [
            "Error 1: no native endpoint or handler serves rule `a` | everything would go to Node | the native side has no HTTP endpoints"
        ]
    );
}

#[test]
fn a_state_in_memory_is_not_shared_out_by_events_either() {
    let found = found_on_readers(
        vec![event_rule(
            "a",
            &["readers message"],
            To::Native(Share(500)),
        )],
        &["message"],
    );
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("Error 90: a share of an application that keeps its state in memory"),
        "{found:?}"
    );
}

/// Issue 9: without `once`, a client hears two greetings.
#[test]
fn two_greetings_are_told_once_a_socket() {
    let found = |socket: Socket, rules: Vec<Rule>, connects: &[&str]| -> Vec<String> {
        let events = fixture::served(&["chat", "/admin,chat"]);
        let connects: Vec<String> = connects.iter().map(ToString::to_string).collect();
        let native = NativeSide {
            endpoints: &endpoints(&["GET /io"]),
            events: &events,
            connects: &connects,
            keeps_state_in_memory: false,
        };
        let config = Config {
            sockets: vec![socket],
            ..config(rules)
        };
        let (_, found) = Table::compile(config, 1, Some(native)).unwrap();
        let found = found
            .iter()
            .filter(|found| found.code == Code::TwoGreetings);
        found
            .map(|found| format!("{} | {}", found.message, found.help.as_deref().unwrap()))
            .collect()
    };
    let readers = || bridged("readers", SocketKind::SocketIo, "/io/");
    let once = |name: &str| Socket {
        once: vec![Once {
            event: EventName::parse(name, SocketKind::SocketIo).unwrap(),
            conditions: Vec::new(),
            span: 0..0,
        }],
        ..readers()
    };
    let chat = |to| vec![event_rule("chat", &["readers chat"], to)];
    let told = found(readers(), chat(NATIVE), &["/"]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("a client that connects to `/` of `readers` may be greeted twice"),
        "{told:?}"
    );
    assert!(
        told[0].contains("`once = [{ name = \"hello\" }]`"),
        "{told:?}"
    );
    let told = found(
        readers(),
        vec![event_rule(
            "a",
            &["readers /admin,chat"],
            To::Native(Share(500)),
        )],
        &["/", "/admin"],
    );
    assert!(
        told.len() == 1 && told[0].contains("name = \"/admin,hello\""),
        "{told:?}"
    );
    // Native says nothing, is not there, is there alone, or is kept back.
    let quiet = [
        found(readers(), chat(NATIVE), &["/admin"]),
        found(readers(), chat(To::Node), &["/"]),
        found(
            readers(),
            vec![event_rule("all", &["readers *"], NATIVE)],
            &["/"],
        ),
        found(once("hello"), chat(NATIVE), &["/"]),
        found(
            bridged("readers", SocketKind::WebSocket, "/io"),
            chat(NATIVE),
            &["/"],
        ),
    ];
    assert!(quiet.iter().all(Vec::is_empty), "{quiet:?}");
}
