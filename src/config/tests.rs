//! Whole files: what a complete one means, and that no text at all makes the reader panic or lie.

mod edit;

use std::path::Path;

use proptest::prelude::*;

use super::*;

const COMPLETE: &str = include_str!("../../tests/fixtures/config/good-complete.toml");
const BRIDGE: &str = include_str!("../../tests/fixtures/config/good-bridge.toml");
const DASHBOARD: &str = include_str!("../../tests/fixtures/config/good-dashboard.toml");

fn variable(name: &str) -> Option<String> {
    match name {
        "DATABASE_URL" => Some("mysql://root:hunter2@db/timecard".to_owned()),
        "STREAMS" => Some("64".to_owned()),
        _ => None,
    }
}

fn check(text: &str) -> (Option<Config>, Vec<Diagnostic>) {
    let source = Source::new("/etc/strangler/routes.toml", text);
    let (config, diagnostics) = parse_with(&source, &variable);
    assert_eq!(
        config.is_none(),
        diagnostics.iter().any(Diagnostic::is_error),
        "{text:?}\n{diagnostics:?}"
    );
    assert!(!render::render(&source, &diagnostics, true).is_empty() || diagnostics.is_empty());
    for diagnostic in &diagnostics {
        let printed = serde_json::to_string(&diagnostic.to_json(&source)).expect("plain data");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(diagnostic.help.is_some(), "{diagnostic:?}");
    }
    (config, diagnostics)
}

fn complete() -> Config {
    check(COMPLETE).0.expect("the complete file is good")
}

#[test]
fn a_complete_file_means_what_it_says() {
    let config = complete();
    assert!(config.force_node);
    assert_eq!(
        config.admin,
        Some("[::1]:3060".parse().expect("an address"))
    );
    let network = |text: &str| text.parse::<IpNet>().expect("a network");
    assert_eq!(
        config.server,
        Server {
            listen: "[::]:3050".parse().expect("an address"),
            cert: "/etc/strangler/certs/server.pem".into(),
            key: "/etc/strangler/server-key.pem".into(),
            drain: Duration::from_secs(90),
            trusted_proxies: vec![
                network("10.0.0.0/8"),
                network("192.168.1.7/32"),
                network("fd00::/8")
            ],
            side_header: true,
        }
    );
    assert_eq!(
        config.node,
        Node {
            url: NodeUrl {
                https: true,
                host: "node.internal".into(),
                port: 3051
            },
            trust: Trust::Pin("/etc/strangler/node.pem".into()),
            server_name: "node.internal".into(),
            command: vec!["node".into(), "server.js".into(), String::new()],
            connect_timeout: Duration::from_millis(500),
            response_timeout: Duration::from_secs(3600),
            max_waiting: 2048,
            health: Health {
                path: "/healthz?deep=1".into(),
                interval: Duration::from_secs(5),
                timeout: Duration::from_millis(250),
            },
        }
    );
    assert_eq!(
        config.limits,
        Limits {
            handshake_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(120),
            head: 32 * 1024,
            body: Some(10_000_000),
            min_rate: 128,
            replay: 1024 * 1024,
            streams: 64,
            connections: Some(5_000),
            connections_per_address: Some(200),
            node_requests: Some(1_000),
            legs_per_address: Some(100),
            unconnected_sessions: Some(50),
            memory: MemoryLimit::Bytes(256 * 1024 * 1024),
        }
    );
    let native = config.native.expect("there is a [native]");
    assert_eq!(
        (native.app.as_str(), &COMPLETE[native.app_span]),
        ("timecard", "\"timecard\"")
    );
    let settings: Vec<_> = native
        .settings
        .iter()
        .map(|(name, value, _)| (name.as_str(), value.to_owned()))
        .collect();
    assert_eq!(
        settings[0],
        (
            "database",
            toml::Value::from("mysql://root:hunter2@db/timecard")
        )
    );
    assert_eq!(
        settings[1].1["names"][1].as_str(),
        Some("mysql://root:hunter2@db/timecard")
    );
    let sockets: Vec<_> = config
        .sockets
        .iter()
        .map(|socket| (socket.id.as_str(), socket.kind, socket.path.as_str()))
        .collect();
    assert_eq!(
        sockets,
        [
            ("readers", SocketKind::SocketIo, "/socket.io/"),
            ("game", SocketKind::WebSocket, "/api/ws")
        ]
    );
}

#[test]
fn a_complete_rule_means_what_it_says() {
    let rules = complete().rules;
    let ids: Vec<_> = rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["everything", "gone", "all", "old"]);
    let rule = &rules[0];
    let claims: Vec<_> = rule
        .claims
        .iter()
        .map(|claim| {
            (
                claim.method.as_ref().map(Method::as_str),
                claim.pattern.to_string(),
            )
        })
        .collect();
    assert_eq!(
        claims,
        [
            (Some("GET"), "/a/{id}".to_owned()),
            (Some("POST"), "/a".to_owned()),
            (Some("M-SEARCH"), "/b".to_owned()),
            (None, "/files/{*rest}".to_owned()),
            (None, "/".to_owned()),
        ]
    );
    assert_eq!(&COMPLETE[rule.claims[0].span.clone()], "\"GET /a/{id}\"");
    let text = |text: &str| Scalar::Text(text.to_owned());
    let conditions: Vec<_> = rule
        .conditions
        .iter()
        .map(|condition| (&condition.selector, condition.values.as_slice()))
        .collect();
    assert_eq!(
        conditions,
        [
            (
                &Selector::Header(http::HeaderName::from_static("x-beta")),
                &[text("1"), text("yes")][..]
            ),
            (&Selector::Cookie("beta".into()), &[text("1")]),
            (&Selector::Query("page".into()), &[text("2")]),
            (
                &Selector::Jwt("level".into()),
                &[
                    Scalar::Number(36.0),
                    Scalar::Number(1.5),
                    Scalar::Bool(true),
                    text("36")
                ]
            ),
            (&Selector::Address, &[text("10.0.0.1"), text("2001:db8::1")]),
        ]
    );
    assert_eq!(
        (rule.to, rule.safe, rule.timeout),
        (
            To::Native(Share(25)),
            Some(true),
            Duration::from_millis(250)
        )
    );
    assert_eq!(&COMPLETE[rule.to_span.clone()], "\"native 0.25%\"");
    assert_eq!(rule.sticky, Selector::Jwt("sub".into()));
    // What the rule does not say comes from `[defaults]`.
    let breaker = |failures| Breaker {
        failures: Share(failures),
        requests: 50,
        window: Duration::from_secs(30),
        probe: Duration::from_secs(2),
    };
    assert_eq!(rule.breaker, Some(breaker(1_250)));
    assert_eq!(
        (rules[1].to, &rules[1].breaker, rules[1].timeout),
        (To::NativeOnly, &None, Duration::from_secs(3))
    );
    assert_eq!(
        (rules[2].to, &rules[2].breaker),
        (To::Native(Share(10_000)), &Some(breaker(2_500)))
    );
    assert_eq!(
        (rules[3].to, rules[3].sticky.clone()),
        (To::Node, Selector::Cookie("session".into()))
    );
}

#[test]
fn a_bridged_socket_means_what_it_says() {
    let sockets = check(BRIDGE).0.expect("the file is good").sockets;
    let pointer = |text: &str| Pointer::parse(text).expect("a pointer");
    let once = |at: usize| {
        let Once {
            event, conditions, ..
        } = &sockets[0].once[at];
        let conditions: Vec<_> = conditions
            .iter()
            .map(|condition| (condition.selector.clone(), condition.values.clone()))
            .collect();
        (event.to_string(), conditions)
    };
    let text = |text: &str| Scalar::Text(text.to_owned());
    let (whole, first) = (
        Selector::Pointer(pointer("")),
        Selector::Pointer(pointer("/a~1b/0")),
    );
    assert_eq!(
        once(0),
        (
            "hello".to_owned(),
            vec![(whole, vec![text("from server"), text("again")])]
        )
    );
    assert_eq!(
        once(1),
        (
            "/admin,state".to_owned(),
            vec![(first, vec![Scalar::Number(36.0)])]
        )
    );
    assert_eq!(once(2), ("bye".to_owned(), vec![]));
    assert_eq!(
        sockets[0],
        Socket {
            id: "readers".into(),
            kind: SocketKind::SocketIo,
            path: "/socket.io/".into(),
            path_span: sockets[0].path_span.clone(),
            mode: SocketMode::Bridge,
            node_loss: NodeLoss::Resume,
            flips: Flips::Connection,
            once: sockets[0].once.clone(),
            tag: None,
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_millis(500),
            max_payload: 2_000_000,
            queue: 65_536,
            cors_origin: Some("https://example.com:8443".into()),
            resume_timeout: Duration::from_secs(60),
            max_waiting: 0,
        }
    );
    assert_eq!(
        (
            sockets[1].mode,
            sockets[1].tag.clone(),
            sockets[1].max_payload
        ),
        (SocketMode::Bridge, Some(pointer("/type")), 65_536)
    );
    // What the file does not say.
    assert_eq!(
        sockets[2],
        Socket {
            id: "old".into(),
            path: "/old/".into(),
            path_span: sockets[2].path_span.clone(),
            mode: SocketMode::Tunnel,
            node_loss: NodeLoss::Bounce,
            flips: Flips::Message,
            once: Vec::new(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1_000_000,
            queue: 4 * 1024 * 1024,
            cors_origin: None,
            resume_timeout: Duration::from_secs(30),
            max_waiting: 1024,
            ..sockets[0].clone()
        }
    );
}

#[test]
fn a_rule_for_events_means_what_it_says() {
    let rules = check(BRIDGE).0.expect("the file is good").rules;
    let events: Vec<_> = rules[0]
        .events
        .iter()
        .map(|claim| {
            (
                claim.socket.as_str(),
                claim.namespace.as_str(),
                claim.name.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        events,
        [
            ("readers", "/", Some("message")),
            ("readers", "/admin", None),
            ("readers", "/", Some("/slash")),
            ("game", "/", Some("Heartbeat")),
            ("game", "/", None),
        ]
    );
    assert_eq!(&BRIDGE[rules[0].events[1].span.clone()], "\"/admin,*\"");
    assert_eq!((rules[0].claims.len(), rules[1].claims.len()), (1, 0));
    let pointer = |text: &str| Selector::Pointer(Pointer::parse(text).expect("a pointer"));
    let conditions: Vec<_> = rules[1]
        .conditions
        .iter()
        .map(|condition| (condition.selector.clone(), condition.values.len()))
        .collect();
    assert_eq!(
        conditions,
        [
            (pointer("/status"), 3),
            (pointer(""), 1),
            (Selector::Cookie("beta".into()), 1)
        ]
    );
    assert_eq!(rules[1].sticky, pointer("/data/ip"));
    assert_eq!(rules[0].sticky, Selector::Address);
}

#[test]
fn an_empty_file_is_told_what_a_minimal_one_has() {
    let (_, diagnostics) = check("");
    let codes: Vec<_> = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect();
    assert_eq!(codes, [Code::MissingKey, Code::MissingKey]);
    let minimal: Vec<&str> = diagnostics
        .iter()
        .filter_map(|diagnostic| diagnostic.help.as_deref()?.split_once('\n'))
        .map(|(_, example)| example)
        .collect();
    let (config, diagnostics) = check(&minimal.join("\n"));
    assert!(config.is_some(), "{diagnostics:?}");
    assert_eq!(diagnostics, []);
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file() {
    let cert = |path: &str| {
        parse_with(&Source::new(path, DASHBOARD), &variable)
            .0
            .map(|config| config.server.cert)
    };
    assert_eq!(
        cert("routes.toml").as_deref(),
        Some(Path::new("certs/server.pem"))
    );
    assert_eq!(
        cert("/a/routes.toml").as_deref(),
        Some(Path::new("/a/certs/server.pem"))
    );
}

/// Issue 9: a proxy that is its own Node turns one request into thousands.
#[test]
fn node_is_not_at_a_name_of_this_machine() {
    let refused = |listen: &str, host: &str| {
        let text = format!(
            "[server]\nlisten = \"{listen}:3050\"\ncert = \"a\"\nkey = \"b\"\n\
             [node]\nurl = \"http://{host}:3050\"\n"
        );
        let (_, diagnostics) = check(&text);
        diagnostics
            .iter()
            .any(|problem| problem.code == Code::OwnAddress)
    };
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = own.trim_end();
    for host in [
        "LocalHost.",
        "api.localhost",
        "[::ffff:127.0.0.1]",
        "127.1.2.3",
    ] {
        assert!(refused("0.0.0.0", host) && refused("[::]", host), "{host}");
    }
    if url::is_host(own) {
        assert!(refused("0.0.0.0", own) && refused("[::]", &format!("{}.", own.to_uppercase())));
    }
    // Another program may listen there.
    assert!(!refused("10.0.0.5", "localhost") && !refused("10.0.0.5", own));
    assert!(!refused("0.0.0.0", "localhost.example"));
}

#[test]
fn problems_without_end_are_cut() {
    let (_, diagnostics) = check(
        &(0..2000)
            .map(|number| format!("key-{number} = 1\n"))
            .collect::<String>(),
    );
    assert_eq!(diagnostics.len(), 501);
    assert!(
        diagnostics
            .iter()
            .any(|diagnostic| diagnostic.code == Code::TooMany)
    );
}

#[test]
fn warnings_without_end_do_not_refuse_a_file() {
    let claims = "\"/a\", ".repeat(2000);
    let (config, diagnostics) = check(&format!(
        "{DASHBOARD}many = {{ http = [{claims}], to = \"node\" }}\n"
    ));
    assert_eq!(diagnostics.len(), 501);
    assert_eq!(
        config.expect("there are only warnings").rules[4]
            .claims
            .len(),
        1
    );
}

/// Nothing takes time in proportion to the square of the size.
#[test]
fn a_large_file_is_read_in_time() {
    let start = |rest: &str| format!("{DASHBOARD}{rest}\n");
    let list =
        |item: &dyn Fn(usize) -> String| (0..20_000).map(item).collect::<Vec<_>>().join(", ");
    let large = [
        start(
            &list(&|number| format!("r{number} = {{ http = [\"/r{number}\"], to = \"node\" }}"))
                .replace("}, ", "}\n"),
        ),
        start(&format!(
            "x = {{ http = [\"/x\"], to = \"node\", where = {{ \"jwt:x\" = [{}] }} }}",
            list(&|n| n.to_string())
        )),
        start(&format!(
            "x = {{ http = [{}], to = \"node\" }}",
            list(&|number| format!("\"/{number}\""))
        )),
        start(&format!(
            "x = {{ http = [\"{}\"], to = \"node\" }}",
            list(&|n| format!("/{{p{n}}}")).replace(", ", "")
        )),
        start(
            &list(&|n| format!("[socket.s{n}]\nkind = \"websocket\"\npath = \"/{n}\""))
                .replace(", ", "\n"),
        ),
    ];
    for text in large {
        let (config, diagnostics) = parse_with(&Source::new("routes.toml", text), &variable);
        assert!(config.is_some(), "{diagnostics:?}");
    }
}

/// A half-written file may lack whole rules or optional keys of the last one, but never changes what a rule says.
#[test]
fn a_file_that_is_cut_anywhere_never_changes_a_value() {
    for text in [
        COMPLETE,
        DASHBOARD,
        BRIDGE,
        &format!(
            "{DASHBOARD}[rule.last]\nhttp = ['''/a''']\nto = '''native'''\nbreaker.requests = 1234\n"
        ),
    ] {
        let whole = check(text).0.expect("the file is good");
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let Some(cut) = check(&text[..end]).0 else {
                continue;
            };
            assert_eq!(
                (cut.server.listen, &cut.server.key),
                (whole.server.listen, &whole.server.key)
            );
            assert_eq!(
                (&cut.node.url, &cut.node.trust),
                (&whole.node.url, &whole.node.trust)
            );
            for rule in &cut.rules {
                let same = whole
                    .rules
                    .iter()
                    .find(|same| same.id == rule.id)
                    .expect("no new rule");
                assert_eq!(
                    (&rule.claims, &rule.events, rule.to),
                    (&same.claims, &same.events, same.to),
                    "cut at {end}"
                );
                assert!(
                    rule.safe.is_none() || rule.safe == same.safe,
                    "cut at {end}"
                );
                assert!(
                    same.conditions.starts_with(&rule.conditions),
                    "cut at {end}"
                );
                let default = [Duration::from_secs(2), Duration::from_secs(3)];
                assert!(
                    rule.timeout == same.timeout || default.contains(&rule.timeout),
                    "cut at {end}"
                );
                let requests = |rule: &Rule| rule.breaker.as_ref().map(|breaker| breaker.requests);
                assert!(
                    requests(rule) == requests(same)
                        || [Some(20), Some(50)].contains(&requests(rule)),
                    "cut at {end}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_edit_makes_the_reader_panic(edits in prop::collection::vec(edit::any_edit(), 1..6), start in prop::sample::select(vec![COMPLETE, BRIDGE, DASHBOARD])) {
        check(&edits.iter().fold(start.to_owned(), |text, edit| edit.apply(&text)));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(\\PC|[\\[\\]{}=\"',.#\n\r\t])*") {
        check(&text);
    }
}
