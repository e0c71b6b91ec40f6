//! What the table answers.

use std::net::IpAddr;

use super::*;
use crate::routing::fixture::{
    NATIVE, bridged, compile, compile_events, config, event_rule, header, route, route_from, rule,
    socket,
};

fn answer(table: &Table, request: &str) -> (Option<String>, Side, String) {
    let route = route(table, request, &[]);
    let reason = format!("{:?}", route.reason);
    (
        route.rule.map(|(_, rule)| rule.id.clone()),
        route.side,
        reason,
    )
}

fn answered(rule: &str, side: Side, reason: &str) -> (Option<String>, Side, String) {
    (Some(rule.to_owned()), side, reason.to_owned())
}

#[test]
fn rules_choose_the_side() {
    let rules = vec![
        rule("drivers", &["GET /api/driver/{id}", "/api/drivers"], NATIVE),
        rule("old", &["/api/{*rest}"], To::Node),
    ];
    let table = compile(config(rules), &["GET /api/driver/{id}", "GET /api/drivers"]).unwrap();
    assert_eq!(
        answer(&table, "GET /api/driver/7"),
        answered("drivers", Side::Native, "Rule")
    );
    assert_eq!(
        answer(&table, "HEAD /API/Driver/7/"),
        answered("drivers", Side::Native, "Rule")
    );
    assert_eq!(
        answer(&table, "POST /api/driver/7"),
        answered("old", Side::Node, "Rule")
    );
    assert_eq!(
        answer(&table, "POST /api/drivers"),
        answered("drivers", Side::Node, "NoEndpoint")
    );
    assert_eq!(
        answer(&table, "GET /"),
        (None, Side::Node, "Rest".to_owned())
    );
    assert_eq!(
        answer(&table, "GET /api//drivers"),
        (None, Side::Node, "Ambiguous".to_owned())
    );
    assert_eq!(
        answer(&table, "GET /api/drivers?q=\u{e9}"),
        (None, Side::Node, "Ambiguous".to_owned())
    );
    assert_eq!(
        answer(&table, "OPTIONS *"),
        (None, Side::Node, "Ambiguous".to_owned())
    );
    let native_path = route(&table, "GET /API/Driver/aB/", &[]).native_path;
    assert_eq!(native_path.as_deref(), Some("/api/driver/aB"));
}

#[test]
fn force_sends_everything_to_node_and_still_names_the_rule() {
    let mut config = config(vec![rule("a", &["/a"], NATIVE)]);
    config.force_node = true;
    let table = compile(config, &["GET /a"]).unwrap();
    assert_eq!(
        answer(&table, "GET /a"),
        answered("a", Side::Node, "Forced")
    );
    assert!(table.is_node_needed());
}

#[test]
fn sockets_own_their_paths() {
    let mut config = config(vec![rule("all", &["/{*rest}"], NATIVE)]);
    config.sockets = vec![
        socket("readers", SocketKind::SocketIo, "/socket.io/"),
        socket("game", SocketKind::WebSocket, "/api/ws"),
    ];
    let table = compile(config, &["GET /{*rest}"]).unwrap();
    for (target, owner) in [
        ("/socket.io/?EIO=4", Some("readers")),
        ("/socket.io/x//y", Some("readers")),
        ("/socket.io", None),
        ("/Socket.IO/", None),
        ("/api/ws?token=1", Some("game")),
        ("/api/ws/", None),
    ] {
        let reason = route(&table, &format!("GET {target}"), &[]).reason;
        assert_eq!(
            reason,
            owner.map_or(Reason::Rule, Reason::Socket),
            "{target}"
        );
    }
}

#[test]
fn a_share_takes_the_same_clients_everywhere() {
    let shares = [1, 500, 1000, 9999].map(Share);
    let tables = shares.map(|share| {
        let rules = vec![
            rule("a", &["/a"], To::Native(share)),
            rule("b", &["/b"], To::Native(share)),
        ];
        compile(config(rules), &["GET /a", "GET /b"]).unwrap()
    });
    let mut inside = [0_u32; 4];
    for n in 0..10_000_u32 {
        let address = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        let is_native = |table: &Table, path: &str| {
            route_from(table, &format!("GET {path}"), &[], address).side == Side::Native
        };
        let sides = tables.each_ref().map(|table| is_native(table, "/a"));
        assert!(
            sides.is_sorted(),
            "a larger share has the clients of a smaller one"
        );
        assert_eq!(sides[1], is_native(&tables[1], "/b"));
        (0..4).for_each(|index| inside[index] += u32::from(sides[index]));
    }
    assert!(
        inside[1].abs_diff(500) < 75 && inside[2].abs_diff(1000) < 100,
        "{inside:?}"
    );
}

#[test]
fn who_lacks_the_sticky_value_stays_on_node() {
    let mut sticky = rule("a", &["/a"], To::Native(Share(9_999)));
    sticky.sticky = header("x-user");
    let table = compile(config(vec![sticky]), &["GET /a"]).unwrap();
    assert_eq!(
        route(&table, "GET /a", &[]).reason,
        Reason::Share { inside: false }
    );
    assert_eq!(
        route(&table, "GET /a", &[("x-user", "7")]).reason,
        Reason::Share { inside: true }
    );
}

#[test]
fn where_decides_and_else_the_next_claim_is_tried() {
    let rules = vec![
        rule("all", &["/a/{*rest}"], To::Node),
        rule("test", &["GET /a/{id}"], NATIVE).when(header("x-env"), &["test", "dev"]),
        rule("mine", &["GET /a/{id}"], NATIVE)
            .when(header("x-env"), &["test"])
            .when(header("x-user"), &["me"]),
    ];
    let table = compile(config(rules), &["GET /a/{id}"]).unwrap();
    for (lines, id) in [
        (vec![], "all"),
        (vec![("x-env", "live")], "all"),
        (vec![("x-env", "dev"), ("x-user", "me")], "test"),
        (vec![("x-env", "test"), ("x-user", "me")], "mine"),
    ] {
        let route = route(&table, "GET /a/1", &lines);
        assert_eq!(route.rule.map(|(_, rule)| rule.id.as_str()), Some(id));
    }
}

#[test]
fn endpoints_are_found_as_axum_finds_them() {
    let served = ["GET /a/{id}", "POST /a/new", "GET /b/{*rest}", "GET /C/"];
    let table = compile(config(vec![rule("all", &["/{*rest}"], NATIVE)]), &served).unwrap();
    for (request, side) in [
        ("GET /a/1", Side::Native),
        ("POST /a/NEW", Side::Native),
        // axum finds the path `/a/new` and answers 405.
        ("GET /a/new", Side::Node),
        ("GET /b/1", Side::Native),
        ("GET /b/", Side::Node),
        ("HEAD /c", Side::Native),
    ] {
        assert_eq!(route(&table, request, &[]).side, side, "{request}");
    }
}

#[test]
fn node_is_needed_unless_all_is_native_only() {
    let needs = |rules: Vec<Rule>| {
        compile(config(rules), &["GET /{*rest}"])
            .unwrap()
            .is_node_needed()
    };
    assert!(!needs(vec![rule("all", &["/{*rest}"], To::NativeOnly)]));
    assert!(needs(vec![rule("all", &["/{*rest}"], NATIVE)]));
    assert!(needs(vec![rule("all", &["GET /{*rest}"], To::NativeOnly)]));
    assert!(needs(vec![
        rule("all", &["/{*rest}"], To::NativeOnly),
        rule("a", &["/a"], To::Node)
    ]));
    assert!(needs(vec![]));
}

#[test]
fn sockets_need_node_unless_all_that_is_claimed_on_them_is_native() {
    let all = || rule("all", &["/{*rest}"], To::NativeOnly);
    let readers = || vec![bridged("readers", SocketKind::SocketIo, "/socket.io/")];
    let needs = |sockets, rules: Vec<Rule>| {
        compile_events(
            sockets,
            rules,
            &["GET /{*rest}", "message", "/admin,message"],
        )
        .unwrap()
        .is_node_needed()
    };
    let events = |events: &[&str]| event_rule("events", events, To::NativeOnly);
    assert!(needs(readers(), vec![all()]));
    assert!(needs(readers(), vec![all(), events(&["readers message"])]));
    assert!(!needs(readers(), vec![all(), events(&["readers *"])]));
    assert!(!needs(
        readers(),
        vec![all(), events(&["readers *", "readers /admin,*"])]
    ));
    assert!(needs(
        readers(),
        vec![all(), events(&["readers *", "readers /admin,message"])]
    ));
    let tunnel = socket("old", SocketKind::SocketIo, "/old/");
    assert!(needs(
        [readers(), vec![tunnel]].concat(),
        vec![all(), events(&["readers *"])]
    ));
}
