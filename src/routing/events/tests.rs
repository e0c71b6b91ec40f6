//! What the table answers for messages.

use std::net::IpAddr;

use http::{HeaderMap, Uri};

use super::*;
use crate::config::{Condition, Once, Scalar, Share};
use crate::routing::fixture::{
    NATIVE, bridged, compile_events, event_rule, header, pointer, route_event,
};

fn readers() -> Vec<Socket> {
    vec![bridged("readers", SocketKind::SocketIo, "/socket.io/")]
}

fn table(rules: Vec<Rule>, native: &[&str]) -> Table {
    compile_events(readers(), rules, native).unwrap()
}

fn answer(rule: &str, side: Side, reason: &str) -> (Option<String>, Side, String) {
    (Some(rule.to_owned()), side, reason.to_owned())
}

fn rest() -> (Option<String>, Side, String) {
    (None, Side::Node, "Rest".to_owned())
}

#[test]
fn rules_choose_the_side_of_each_event() {
    let rules = vec![
        event_rule("pic", &["readers message"], NATIVE)
            .when(pointer("/status"), &["tmp inserted wo pic"]),
        event_rule("cards", &["readers message"], To::Node)
            .when(pointer("/status"), &["insert ic_log", "delete_ic"]),
        event_rule(
            "chat",
            &["readers /admin,chat", "readers chat"],
            To::NativeOnly,
        ),
    ];
    let table = table(rules, &["message", "chat", "/admin,chat"]);
    let native = |rule| answer(rule, Side::Native, "Rule");
    assert_eq!(
        route_event(&table, r#"message {"status":"tmp inserted wo pic"}"#, &[]),
        native("pic")
    );
    assert_eq!(
        route_event(&table, r#"message {"status":"delete_ic","ic":"7"}"#, &[]),
        answer("cards", Side::Node, "Rule")
    );
    assert_eq!(
        route_event(&table, r#"message {"status":"start_connect"}"#, &[]),
        rest()
    );
    assert_eq!(route_event(&table, "message", &[]), rest());
    assert_eq!(route_event(&table, "message {", &[]), rest());
    assert_eq!(route_event(&table, "chat 1", &[]), native("chat"));
    assert_eq!(route_event(&table, "/admin,chat 1", &[]), native("chat"));
    assert_eq!(route_event(&table, "/other,chat 1", &[]), rest());
    assert_eq!(route_event(&table, "Chat 1", &[]), rest());
}

#[test]
fn named_events_go_before_all_others_and_where_before_none() {
    let rules = vec![
        event_rule("all", &["readers *"], NATIVE),
        event_rule("all-of-me", &["readers *"], NATIVE).when(header("x-user"), &["me"]),
        event_rule("chat", &["readers chat"], NATIVE),
        event_rule("mine", &["readers chat"], NATIVE).when(pointer("/room"), &["1", "2"]),
        event_rule("one", &["readers chat"], NATIVE)
            .when(pointer("/room"), &["1"])
            .when(header("x-user"), &["me"]),
    ];
    let table = table(rules, &["chat"]);
    let me = &[("x-user", "me")][..];
    for (message, lines, id) in [
        ("other", &[][..], "all"),
        ("other", me, "all-of-me"),
        ("chat", me, "chat"),
        (r#"chat {"room":"1"}"#, &[], "mine"),
        (r#"chat {"room":"1"}"#, me, "one"),
        (r#"chat {"room":"3"}"#, me, "chat"),
    ] {
        assert_eq!(
            route_event(&table, message, lines).0.as_deref(),
            Some(id),
            "{message}"
        );
    }
}

#[test]
fn the_handshake_can_be_asked_too() {
    let rules = vec![
        event_rule("room", &["readers a"], NATIVE).when(Selector::Query("room".into()), &["7"]),
        event_rule("cookie", &["readers b"], NATIVE).when(Selector::Cookie("c".into()), &["1"]),
        event_rule("address", &["readers c"], NATIVE).when(Selector::Address, &["10.0.0.1"]),
    ];
    let table = table(rules, &["a", "b", "c"]);
    assert_eq!(route_event(&table, "a", &[]).1, Side::Native);
    assert_eq!(route_event(&table, "b", &[]).1, Side::Node);
    assert_eq!(
        route_event(&table, "b", &[("cookie", "c=1")]).1,
        Side::Native
    );
    assert_eq!(route_event(&table, "c", &[]).1, Side::Native);
}

#[test]
fn values_are_compared_as_json() {
    let mut number = event_rule("number", &["readers a"], NATIVE);
    number.conditions = vec![Condition {
        selector: pointer("/n"),
        values: vec![
            Scalar::Number(36.0),
            Scalar::Bool(true),
            Scalar::Text("x".into()),
        ],
        span: 0..0,
    }];
    let table = table(vec![number], &["a"]);
    for yes in [
        "36",
        "36.0",
        "3.6e1",
        "true",
        "\"x\"",
        "\"\\u0078\"",
        "1,\"n\":36",
    ] {
        assert_eq!(
            route_event(&table, &format!("a {{\"n\":{yes}}}"), &[]).1,
            Side::Native,
            "{yes}"
        );
    }
    for no in [
        "\"36\"",
        "1",
        "false",
        "null",
        "[36]",
        "{\"n\":36}",
        "\"X\"",
        "36,\"n\":1",
        "\"x\\ud800\"",
    ] {
        assert_eq!(
            route_event(&table, &format!("a {{\"n\":{no}}}"), &[]).1,
            Side::Node,
            "{no}"
        );
    }
}

#[test]
fn what_native_does_not_serve_goes_to_node_while_node_has_a_part() {
    let rules = vec![
        event_rule("some", &["readers chat", "readers news"], NATIVE),
        event_rule("mine", &["readers *"], NATIVE).when(header("x-user"), &["me"]),
    ];
    let table = table(rules, &["chat", "draw"]);
    let me = &[("x-user", "me")][..];
    assert_eq!(
        route_event(&table, "chat", &[]),
        answer("some", Side::Native, "Rule")
    );
    assert_eq!(
        route_event(&table, "news", &[]),
        answer("some", Side::Node, "NoHandler")
    );
    assert_eq!(
        route_event(&table, "draw", me),
        answer("mine", Side::Native, "Rule")
    );
    assert_eq!(
        route_event(&table, "other", me),
        answer("mine", Side::Node, "NoHandler")
    );
    assert_eq!(route_event(&table, "draw", &[]), rest());
    assert!(table.needs_node(0, "/") && table.uses_native(0, "/"));
    assert!(table.needs_node(0, "/admin") && !table.uses_native(0, "/admin"));
}

#[test]
fn a_namespace_that_is_all_native_leaves_nothing_for_node() {
    let all = || event_rule("all", &["readers *"], NATIVE);
    let wholly = table(
        vec![all(), event_rule("chat", &["readers chat"], To::NativeOnly)],
        &["chat"],
    );
    assert_eq!(
        route_event(&wholly, "other", &[]),
        answer("all", Side::Native, "Rule")
    );
    assert!(!wholly.needs_node(0, "/") && wholly.uses_native(0, "/"));
    assert!(wholly.needs_node(0, "/admin"));
    assert!(wholly.needs_node(1, "/") && !wholly.uses_native(1, "/"));
    for part in [To::Node, To::Native(Share(9_999))] {
        let table = table(
            vec![all(), event_rule("chat", &["readers chat"], part)],
            &["chat", "x"],
        );
        assert!(table.needs_node(0, "/"), "{part}");
    }
    let share = table(
        vec![event_rule("all", &["readers *"], To::Native(Share(500)))],
        &["chat"],
    );
    assert!(share.needs_node(0, "/") && share.uses_native(0, "/"));
    let none = table(
        vec![event_rule("all", &["readers *"], To::Native(Share(0)))],
        &["chat"],
    );
    assert!(none.needs_node(0, "/") && !none.uses_native(0, "/"));
    let node = table(vec![event_rule("all", &["readers *"], To::Node)], &["chat"]);
    assert!(node.needs_node(0, "/") && !node.uses_native(0, "/"));
}

#[test]
fn force_sends_every_event_to_node_and_still_names_the_rule() {
    let table = table(vec![event_rule("all", &["readers *"], NATIVE)], &["chat"]);
    let mut config = table.config().clone();
    config.force_node = true;
    let events = crate::routing::fixture::served(&["chat"]);
    let native = NativeSide {
        endpoints: &[],
        events: &events,
        connects: &[],
        keeps_state_in_memory: false,
    };
    let (forced, _) = Table::compile(config, 1, Some(native)).unwrap();
    assert_eq!(
        route_event(&forced, "chat", &[]),
        answer("all", Side::Node, "Forced")
    );
    assert!(forced.needs_node(0, "/") && !forced.uses_native(0, "/"));
}

#[test]
fn a_share_of_events_is_kept_by_its_sticky_value() {
    let mut rule = event_rule("chat", &["readers chat"], To::Native(Share(5_000)));
    rule.sticky = pointer("/user");
    let table = table(vec![rule], &["chat"]);
    let side = |user: &str| route_event(&table, &format!("chat {{\"user\":{user}}}"), &[]);
    let inside = (0..1_000)
        .filter(|user| side(&format!("\"u{user}\"")).1 == Side::Native)
        .count();
    assert!((400..600).contains(&inside), "{inside}");
    assert_eq!(side("\"u1\""), side("\"u1\""));
    assert_eq!(side("36"), side("36.0"));
    // A message without the value stays on Node.
    assert_eq!(side("null").2, "Share { inside: false }");
    assert_eq!(
        route_event(&table, "chat", &[]).2,
        "Share { inside: false }"
    );
}

#[test]
fn tags_choose_the_side_of_websocket_messages() {
    let game = vec![bridged("game", SocketKind::WebSocket, "/api/ws")];
    let rules = || {
        vec![
            event_rule("beat", &["game Heartbeat"], NATIVE),
            event_rule("big", &["game SaveGame"], NATIVE).when(pointer("/data/size"), &["big"]),
        ]
    };
    let table = compile_events(game.clone(), rules(), &["GET /api/ws"]).unwrap();
    assert_eq!(
        route_event(&table, r#"Heartbeat {"type":"Heartbeat"}"#, &[]),
        answer("beat", Side::Native, "Rule")
    );
    let save = r#"SaveGame {"type":"SaveGame","data":{"size":"big"}}"#;
    assert_eq!(
        route_event(&table, save, &[]),
        answer("big", Side::Native, "Rule")
    );
    assert_eq!(
        route_event(&table, r#"SaveGame {"type":"SaveGame"}"#, &[]),
        rest()
    );
    let tag = |text: &'static str| {
        let message = LazyArgument::of_message(text.as_bytes());
        table.tag(0, &message).map(Cow::into_owned)
    };
    assert_eq!(
        tag(r#"{"data":{},"type":"Save\u0047ame"}"#).as_deref(),
        Some("SaveGame")
    );
    for none in [r#"{"type":5}"#, "{}", "[]", "{\"type\":\"x\"", ""] {
        assert_eq!(tag(none), None, "{none}");
    }
    // Only the handler of the whole path counts, which native has or has not.
    let refused = compile_events(game.clone(), rules(), &["GET /api/other"]).unwrap_err();
    assert!(
        refused.contains(&"no native handler serves rule `beat`".to_owned()),
        "{refused:?}"
    );
    let all = vec![event_rule("all", &["game *"], NATIVE)];
    let table = compile_events(game, all, &["GET /api/ws"]).unwrap();
    assert!(!table.needs_node(0, "/"));
    let untagged = LazyArgument::of_message(b"not json");
    let (uri, headers) = (Uri::from_static("/api/ws"), HeaderMap::new());
    let request = RequestHead {
        method: &Method::GET,
        uri: &uri,
        headers: &headers,
        address: IpAddr::from([10, 0, 0, 1]),
    };
    let head = EventHead {
        namespace: "/",
        name: "",
        request: &request,
        argument: &untagged,
    };
    assert_eq!(table.event(0, &head).side, Side::Native);
}

#[test]
fn what_both_sides_say_is_known_by_name_and_where() {
    let once = |event: &str, at: Option<&str>| Once {
        event: EventName::parse(event, SocketKind::SocketIo).unwrap(),
        conditions: at
            .map(|at| Condition {
                selector: pointer(at),
                values: vec![Scalar::Text("from server".into())],
                span: 0..0,
            })
            .into_iter()
            .collect(),
        span: 0..0,
    };
    let mut sockets = readers();
    sockets[0].once = vec![
        once("hello", Some("")),
        once("/admin,bye", None),
        once("state", Some("/a")),
    ];
    let table = compile_events(sockets, vec![], &[]).unwrap();
    let says = |namespace: &str, name: &str, packet: &str| {
        table.once(
            0,
            namespace,
            name,
            &LazyArgument::of_event(packet.as_bytes()),
        )
    };
    assert!(says("/", "hello", r#"["hello","from server"]"#));
    assert!(!says("/", "hello", r#"["hello","{\"status\":1}"]"#));
    assert!(!says("/", "hello", r#"["hello"]"#));
    assert!(!says("/admin", "hello", r#"["hello","from server"]"#));
    assert!(says("/admin", "bye", r#"["bye"]"#));
    assert!(!says("/", "bye", r#"["bye"]"#));
    assert!(says("/", "state", r#"["state",{"a":"from server"}]"#));
}

#[test]
fn a_message_is_read_only_if_a_rule_asks() {
    let rules = vec![
        event_rule("chat", &["readers chat"], NATIVE),
        event_rule("draw", &["readers draw"], NATIVE).when(pointer("/a"), &["1"]),
    ];
    let table = table(rules, &["chat", "draw"]);
    let (uri, headers) = (Uri::from_static("/"), HeaderMap::new());
    let request = RequestHead {
        method: &Method::GET,
        uri: &uri,
        headers: &headers,
        address: IpAddr::from([10, 0, 0, 1]),
    };
    for (name, is_read) in [("chat", false), ("other", false), ("draw", true)] {
        let argument = LazyArgument::of_event(br#"["x",{"a":"1"}]"#);
        let head = EventHead {
            namespace: "/",
            name,
            request: &request,
            argument: &argument,
        };
        let _ = table.event(0, &head);
        assert_eq!(argument.is_read(), is_read, "{name}");
    }
}

/// The complete file of the design, with what the timecard application serves.
#[test]
fn the_timecard_is_routed_as_it_was_designed() {
    let text = include_str!("../../../tests/fixtures/config/good-timecard.toml");
    let source = crate::config::Source::new("routes.toml", text);
    let variable = |name: &str| Some(format!("value of {name}"));
    let (config, found) = crate::config::parse_with(&source, &variable);
    assert_eq!(found, []);
    let Config { sockets, rules, .. } = config.unwrap();
    let native = [
        "message",
        "GET /api/ic_log",
        "GET /api/finger_log",
        "GET /api/drivers",
        "GET /api/driver/{id}",
    ];
    let table = compile_events(sockets, rules, &native).unwrap();
    let side = |status: &str| {
        let message = format!("message {{\"status\":\"{status}\",\"data\":{{}}}}");
        let (rule, side, reason) = route_event(&table, &message, &[]);
        (rule.unwrap_or_default(), side, reason)
    };
    let answer = |rule: &str, side, reason: &str| (rule.to_owned(), side, reason.to_owned());
    assert_eq!(
        side("tmp inserted wo pic"),
        answer("wo-pic", Side::Native, "Rule")
    );
    // 10.0.0.1 is not among the first 10 %.
    let outside = answer("cards", Side::Node, "Share { inside: false }");
    assert_eq!(
        (side("delete_ic"), side("insert ic_log")),
        (outside.clone(), outside)
    );
    assert_eq!(side("tmp inserted"), answer("", Side::Node, "Rest"));
    assert!(table.needs_node(0, "/") && table.uses_native(0, "/"));
    let greeting = |text: &str| {
        let packet = format!("[\"hello\",{text}]");
        table.once(0, "/", "hello", &LazyArgument::of_event(packet.as_bytes()))
    };
    assert!(greeting("\"from server\"") && !greeting("\"{}\""));
}
