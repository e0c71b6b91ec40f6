//! The native dashboard behind the proxy: what reaches it, and what its clients get.

use std::fs;
use std::path::Path;

use http::{HeaderMap, Request};
use http_body_util::Full;
use tokio::process::Command;

use crate::support::client::request;
use crate::support::{Answer, TestNode, TestProxy};

const RULES: &str = r#"
[rule]
mcp = { http = ["GET /api/v2/mcp/tools", "GET /api/v2/mcp/tools/{name}"], to = "native" }
"#;

const ALONE: &str = r#"
[rule]
rest = { http = ["/{*rest}"], to = "native only" }
"#;

fn dashboard() -> Command {
    Command::new(env!("CARGO_BIN_EXE_dashboard"))
}

async fn proxy(node: &TestNode, settings: &str, rules: &str) -> TestProxy {
    let native = format!("app = \"dashboard\"\nhome = \"home\"\n{settings}");
    TestProxy::serving_one_of(&[dashboard::APP], &native, &node.url(), rules).await
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

async fn send(proxy: &TestProxy, request: Request<Full<bytes::Bytes>>) -> Answer {
    proxy.client().await.send(request).await.unwrap()
}

#[tokio::test]
async fn headers_reach_the_client_in_the_order_of_the_original() {
    let node = TestNode::echo().await;
    let proxy = proxy(&node, "", RULES).await;
    let answer = proxy.get("/API/v2/mcp/Tools/?x=1").await;
    assert_eq!(
        (answer.side(), answer.text().as_str()),
        (
            "native",
            r#"{"totalCalls":0,"uniqueTools":0,"tools":[],"sessions":[]}"#
        )
    );
    let expected = [
        "content-security-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "origin-agent-cluster",
        "referrer-policy",
        "strict-transport-security",
        "x-content-type-options",
        "x-dns-prefetch-control",
        "x-download-options",
        "x-frame-options",
        "x-permitted-cross-domain-policies",
        "x-xss-protection",
        "vary",
        "access-control-allow-credentials",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "permissions-policy",
        "content-type",
        "content-length",
        "etag",
        "x-strangler-side",
        "date",
    ];
    assert_eq!(names(&answer.headers), expected);
    let tag = answer.header("etag").unwrap();
    let mut again = request("GET", "/api/v2/mcp/tools", "");
    again
        .headers_mut()
        .insert("if-none-match", tag.parse().unwrap());
    let known = send(&proxy, again).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    let is_kept = |name: &&str| !["content-type", "content-length"].contains(name);
    let expected: Vec<_> = expected.into_iter().filter(is_kept).collect();
    assert_eq!(names(&known.headers), expected);
    assert_eq!(known.header("x-ratelimit-remaining"), Some("998"));
}

#[tokio::test]
async fn node_answers_what_the_rules_leave_to_it() {
    let node = TestNode::echo().await;
    let proxy = proxy(&node, "", RULES).await;
    for (method, target, side) in [
        ("HEAD", "/api/v2/mcp/tools", "native"),
        ("GET", "/api/v2/mcp/tools/a%2Fb/", "native"),
        ("OPTIONS", "/api/v2/mcp/tools", "node"),
        ("POST", "/api/v2/mcp/tools", "node"),
        ("GET", "/api/v2/mcp", "node"),
        // Express knows what these mean, and answers them itself.
        ("GET", "/api/v2/mcp//tools", "node"),
        ("GET", "/api/v2/mcp/tools/%E0%A4%A", "node"),
    ] {
        let answer = proxy.send(method, target, "").await;
        assert_eq!(answer.side(), side, "{method} {target}");
    }
    let missing = proxy.get("/api/v2/mcp/tools/a%2Fb").await;
    assert_eq!(
        missing.text(),
        r#"{"error":"Tool not found","message":"No usage data found for tool: a/b"}"#
    );
}

#[tokio::test]
async fn without_node_everything_has_an_answer() {
    let node = TestNode::echo().await;
    let proxy = proxy(&node, "alone = true\nrate_limit = 6", ALONE).await;
    let not_found = r#"{"error":"Resource not found"}"#;
    for (method, target, status, text) in [
        ("OPTIONS", "/api/v2/daily", 204, ""),
        ("POST", "/api/v2/daily", 404, not_found),
        ("GET", "/", 404, not_found),
        ("GET", "/api/health", 404, not_found),
        ("DELETE", "/static/a.js", 404, not_found),
        ("HEAD", "/nowhere", 404, ""),
        ("OPTIONS", "/nowhere", 204, ""),
    ] {
        let answer = proxy.send(method, target, "").await;
        assert_eq!(
            (
                answer.side(),
                answer.status.as_u16(),
                answer.text().as_str()
            ),
            ("native", status, text),
            "{method} {target}"
        );
    }
    assert_eq!(
        proxy
            .get("/api/v2/mcp/tools")
            .await
            .header("x-ratelimit-remaining"),
        Some("0")
    );
    assert_eq!(proxy.get("/api/v2/mcp/tools").await.status, 429);
    assert_eq!(node.seen().len(), 0);
}

/// The limit is that of the address which the proxy sees, or is told of by a proxy that it trusts.
#[tokio::test]
async fn each_client_of_a_trusted_proxy_has_its_own_limit() {
    let node = TestNode::echo().await;
    for (trusted, remaining) in [
        ("trusted_proxies = [\"127.0.0.1\"]", ["9", "9"]),
        ("", ["9", "8"]),
    ] {
        let proxy = proxy(&node, "rate_limit = 10", RULES).await;
        let text = fs::read_to_string(proxy.routes()).unwrap();
        proxy
            .write(&text.replace("[server]\n", &format!("[server]\n{trusted}\n")))
            .await;
        for (client, remaining) in ["192.0.2.1", "192.0.2.2"].into_iter().zip(remaining) {
            let mut request = request("GET", "/api/v2/mcp/tools", "");
            request
                .headers_mut()
                .insert("x-forwarded-for", client.parse().unwrap());
            let answer = send(&proxy, request).await;
            assert_eq!(answer.header("x-ratelimit-remaining"), Some(remaining));
        }
    }
}

#[tokio::test]
async fn the_shipped_file_of_the_dashboard_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("apps/dashboard");
    fs::create_dir_all(&inner).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(root.join("routes.toml"), inner.join("routes.toml")).unwrap();
    let certs = dashboard()
        .arg("certs")
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    assert!(certs.status.success());
    let check = |file: &'static str| {
        dashboard()
            .args(["check", file])
            .current_dir(&inner)
            .env("HOME", "/home/me")
            .output()
    };
    let said = check("routes.toml").await.unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{text}");
    assert!(text.contains("routes.toml: 8 rules, no error"), "{text}");
    // As it will be in the end.
    let text = fs::read_to_string(inner.join("routes.toml")).unwrap();
    let last = text
        .replace("# alone", "alone")
        .replace("# rest  ", "rest")
        .replace("to = \"node\"", "to = \"native\"");
    fs::write(inner.join("last.toml"), last).unwrap();
    let said = check("last.toml").await.unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(text.contains("last.toml: 9 rules, no error"), "{text}");
}
