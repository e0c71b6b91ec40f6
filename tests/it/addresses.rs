//! Who a request came from: issue 9. What proxies write is believed from trusted ones only, hop by hop.

use http::HeaderValue;

use crate::support::client::request;
use crate::support::node::Seen;
use crate::support::{TestNode, TestProxy};

const RULES: &str = "[rule]\nclient = { http = [\"GET /client\"], to = \"native\" }";

/// A proxy that trusts the clients of the test and 10.0.0.0/8.
async fn trusting(node: &TestNode) -> TestProxy {
    let proxy = TestProxy::new(&node.url(), RULES).await;
    let routes = std::fs::read_to_string(proxy.routes()).unwrap();
    let trusted = "[server]\ntrusted_proxies = [\"127.0.0.0/8\", \"::ffff:10.0.0.0/104\"]";
    proxy.write(&routes.replace("[server]", trusted)).await;
    proxy
}

type Line<'l> = (&'static str, &'l [u8]);

async fn ask(proxy: &TestProxy, target: &str, lines: &[Line<'_>]) -> String {
    let mut asked = request("GET", target, "");
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value).unwrap();
        asked.headers_mut().append(*name, value);
    }
    proxy.client().await.send(asked).await.unwrap().text()
}

async fn seen_by_node(node: &TestNode, proxy: &TestProxy, lines: &[Line<'_>]) -> Seen {
    ask(proxy, "/node", lines).await;
    node.seen().pop().unwrap()
}

#[tokio::test]
async fn a_client_behind_trusted_proxies_keeps_its_address() {
    let node = TestNode::echo().await;
    let proxy = trusting(&node).await;
    for (lines, address) in [
        (&[][..], "127.0.0.1"),
        (&[("x-forwarded-for", &b"203.0.113.7"[..])], "203.0.113.7"),
        (&[("x-forwarded-for", b"203.0.113.7:4711")], "203.0.113.7"),
        (
            &[("x-forwarded-for", b"[2001:db8::7]:4711, 10.0.0.9:80")],
            "2001:db8::7",
        ),
        (
            &[("x-forwarded-for", b"caf\xe9, 203.0.113.7, 10.0.0.9")],
            "203.0.113.7",
        ),
        (
            &[
                ("x-forwarded-for", b"\xff"),
                ("x-forwarded-for", b"203.0.113.7"),
            ],
            "203.0.113.7",
        ),
        (
            &[(
                "forwarded",
                b"for=\"[2001:db8::7]:4711\";proto=http, for=10.0.0.9",
            )],
            "2001:db8::7",
        ),
        (
            &[
                ("forwarded", b"for=203.0.113.7"),
                ("x-forwarded-for", b"6.6.6.6"),
            ],
            "203.0.113.7",
        ),
        (
            &[
                ("forwarded", b"for=\""),
                ("x-forwarded-for", b"203.0.113.7"),
            ],
            "203.0.113.7",
        ),
        // Nobody reads these.
        (
            &[("x-real-ip", b"6.6.6.6"), ("cf-connecting-ip", b"6.6.6.6")],
            "127.0.0.1",
        ),
        (&[("x_forwarded_for", b"6.6.6.6")], "127.0.0.1"),
    ] {
        assert_eq!(ask(&proxy, "/client", lines).await, address, "{lines:?}");
        let seen = seen_by_node(&node, &proxy, lines).await;
        assert_eq!(seen.headers["x-real-ip"], address, "{lines:?}");
    }
    assert!(proxy.metric("strangler_unreadable_hops_total").await < 1.0);
}

#[tokio::test]
async fn an_unreadable_hop_ends_the_way_and_is_counted() {
    let node = TestNode::echo().await;
    let proxy = trusting(&node).await;
    let mut count = 0.0;
    for (line, address) in [
        (
            ("x-forwarded-for", &b"203.0.113.7, unknown"[..]),
            "127.0.0.1",
        ),
        (
            ("x-forwarded-for", b"203.0.113.7, \xff, 10.0.0.9"),
            "10.0.0.9",
        ),
        (
            ("forwarded", b"for=203.0.113.7, for=_hidden, for=10.0.0.9"),
            "10.0.0.9",
        ),
    ] {
        assert_eq!(ask(&proxy, "/client", &[line]).await, address, "{line:?}");
        count += 1.0;
        let metric = proxy.metric("strangler_unreadable_hops_total").await;
        assert!((metric - count).abs() < 0.5, "{metric} instead of {count}");
    }
    // Of a client that is not trusted nothing is read.
    let doubting = TestProxy::new(&node.url(), RULES).await;
    let lines: &[Line<'_>] = &[("x-forwarded-for", b"unknown")];
    assert_eq!(ask(&doubting, "/client", lines).await, "127.0.0.1");
    assert!(doubting.metric("strangler_unreadable_hops_total").await < 1.0);
}

const CLAIMS: [&str; 16] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded",
    "forwarded",
    "forwarded-for",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "x_real_ip",
    "Cf_Connecting-Ip",
];

#[tokio::test]
async fn claims_of_clients_do_not_reach_node() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut asked = request("GET", "/node", "");
    for name in CLAIMS {
        let name: http::HeaderName = name.parse().unwrap();
        asked
            .headers_mut()
            .insert(name, HeaderValue::from_static("6.6.6.6"));
    }
    asked
        .headers_mut()
        .insert("x-printer-ip", HeaderValue::from_static("6.6.6.7"));
    proxy.client().await.send(asked).await.unwrap();
    let seen = node.seen().pop().unwrap();
    let spoofed: Vec<_> = seen
        .headers
        .iter()
        .filter(|(_, value)| *value == "6.6.6.6")
        .collect();
    assert!(spoofed.is_empty(), "{spoofed:?}");
    assert_eq!(seen.headers["x-printer-ip"], "6.6.6.7");
    assert_eq!(seen.headers["x-real-ip"], "127.0.0.1");
    assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(
        seen.headers["forwarded"],
        "for=127.0.0.1;host=\"localhost\";proto=https"
    );
}

#[tokio::test]
async fn claims_of_trusted_proxies_pass() {
    let node = TestNode::echo().await;
    let proxy = trusting(&node).await;
    let lines: &[Line<'_>] = &[
        ("x-forwarded-for", b"203.0.113.7:80, 10.0.0.9"),
        ("x-forwarded-prefix", b"/app"),
        ("x-forwarded-proto", b"http"),
        ("cf-connecting-ip", b"203.0.113.7"),
        ("x_client_ip", b"6.6.6.6"),
    ];
    let headers = seen_by_node(&node, &proxy, lines).await.headers;
    assert_eq!(
        headers["x-forwarded-for"],
        "203.0.113.7:80, 10.0.0.9, 127.0.0.1"
    );
    assert_eq!(
        headers["forwarded"],
        "for=203.0.113.7, for=10.0.0.9, for=127.0.0.1;host=\"localhost\";proto=https"
    );
    assert_eq!(headers["x-forwarded-prefix"], "/app");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["cf-connecting-ip"], "203.0.113.7");
    assert!(!headers.contains_key("x_client_ip"));
    let headers = seen_by_node(&node, &proxy, &[("forwarded", b"for=\"[2001:db8::7]:80\"")])
        .await
        .headers;
    assert_eq!(headers["x-forwarded-for"], "2001:db8::7, 127.0.0.1");
}
