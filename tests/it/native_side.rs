//! What native answers, and when Node does instead.

use std::collections::HashSet;

use crate::support::client::{connect, http2, request};
use crate::support::{TestNode, TestProxy};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const RULES: &str = r#"
[defaults]
timeout = "1m"
breaker = false

[rule]
hello = { http = ["GET /hello"], to = "native" }
items = { http = ["/item/{id}"], to = "native" }
files = { http = ["GET /files/{*rest}"], to = "native" }
declines = { http = ["/declines"], to = "native" }
fails = { http = ["/fails"], to = "native" }
panics = { http = ["/panics"], to = "native" }
hangs = { http = ["/hangs"], to = "native", timeout = "300ms" }
breaks = { http = ["GET /breaks"], to = "native" }
forwarded = { http = ["GET /forwarded"], to = "native" }
echo = { http = ["POST /echo"], to = "native", timeout = "1s" }
"#;

#[tokio::test]
async fn native_answers_its_paths_and_node_the_rest() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), RULES).await;
    for (target, side, text) in [
        ("/hello", "native", "native:hello"),
        ("/HELLO/", "native", "native:hello"),
        ("/hello?x=1", "native", "native:hello"),
        ("/item/a%2Fb", "native", "native:a/b"),
        ("/files/a/b/", "native", "native:a/b/"),
        ("/files", "node", "node:/files"),
        ("/item/", "node", "node:/item/"),
        ("/item/%zz", "node", "node:/item/%zz"),
        ("/hello/more", "node", "node:/hello/more"),
        ("//hello", "node", "node://hello"),
    ] {
        let answer = proxy.get(target).await;
        assert_eq!(
            (answer.side(), answer.text().as_str()),
            (side, text),
            "{target}"
        );
    }
    let head = proxy.send("HEAD", "/hello", "").await;
    assert_eq!(
        (head.side(), head.body.len(), head.header("content-length")),
        ("native", 0, Some("12"))
    );
    for method in ["OPTIONS", "DELETE", "POST"] {
        assert_eq!(
            proxy.send(method, "/hello", "").await.side(),
            "node",
            "{method}"
        );
        assert_eq!(
            proxy.send(method, "/item/1", "").await.side(),
            "node",
            "native has no {method}"
        );
    }
    assert_eq!(
        proxy
            .metric(r#"strangler_requests_total{rule="hello",side="native",status="2xx"}"#)
            .await,
        4.0
    );
}

#[tokio::test]
async fn safe_requests_that_native_cannot_answer_go_to_node() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), RULES).await;
    for (target, reason) in [
        ("/declines", "decline"),
        ("/fails", "status"),
        ("/panics", "panic"),
        ("/hangs", "timeout"),
    ] {
        let answer = proxy.get(target).await;
        assert_eq!(
            (answer.side(), answer.text()),
            ("fallback", format!("node:{target}"))
        );
        let rule = &target[1..];
        let line = format!(r#"strangler_fallbacks_total{{reason="{reason}",rule="{rule}"}}"#);
        assert_eq!(proxy.metric(&line).await, 1.0, "{line}");
    }
    assert_eq!(node.seen().len(), 4);
}

#[tokio::test]
async fn a_post_that_native_has_begun_is_never_repeated() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), RULES).await;
    for (target, status, reason) in [
        ("/fails", 500, "status"),
        ("/panics", 500, "panic"),
        ("/hangs", 504, "timeout"),
    ] {
        let answer = proxy.send("POST", target, "body").await;
        assert_eq!(
            (answer.status.as_u16(), answer.side()),
            (status, "native"),
            "{target}"
        );
        let line = format!(
            r#"strangler_unanswered_total{{reason="{reason}",rule="{}"}}"#,
            &target[1..]
        );
        assert_eq!(proxy.metric(&line).await, 1.0, "{line}");
    }
    assert!(node.seen().is_empty());
}

#[tokio::test]
async fn a_declined_post_reaches_node_with_its_whole_body() {
    let node = TestNode::answering(|seen| seen.body.len().to_string()).await;
    let proxy = TestProxy::new(&node.url(), RULES).await;
    let answer = proxy.send("POST", "/declines", vec![b'x'; 60_000]).await;
    assert_eq!(
        (answer.side(), answer.text().as_str()),
        ("fallback", "60000")
    );
    let too_large_to_keep = proxy.send("POST", "/declines", vec![b'x'; 70_000]).await;
    assert_eq!(too_large_to_keep.status, 502);
    assert!(
        too_large_to_keep
            .text()
            .contains(r#""code":"native-declined""#),
        "{}",
        too_large_to_keep.text()
    );
    assert_eq!(node.seen().len(), 1);
}

#[tokio::test]
async fn native_gets_bodies_of_any_size() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), &RULES.replace("300ms", "5s")).await;
    let body: Vec<u8> = (0..1_000_000_u32).map(|byte| byte as u8).collect();
    let answer = proxy.send("POST", "/echo", body.clone()).await;
    assert_eq!(answer.side(), "native");
    assert!(answer.body == body);
}

#[tokio::test]
async fn a_slow_upload_is_not_native_s_lateness() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), RULES).await;
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    let head =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsl";
    stream.write_all(head).await.unwrap();
    // Longer than native has; nothing but time can show that it is not counted.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    stream.write_all(b"ow").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow"),
        "{answer}"
    );
}

#[tokio::test]
async fn native_sees_the_headers_that_node_would() {
    let node = TestNode::answering(|seen| format!("{:?}", seen.headers["x-forwarded-for"])).await;
    let proxy = TestProxy::new(&node.url(), RULES).await;
    for target in ["/forwarded", "/declines"] {
        let mut asked = request("GET", target, "");
        asked
            .headers_mut()
            .insert("x-forwarded-for", "6.6.6.6".parse().unwrap());
        let answer = proxy.client().await.send(asked).await.unwrap();
        assert_eq!(answer.text(), "\"127.0.0.1\"", "{target}");
    }
}

#[tokio::test]
async fn a_panic_in_the_body_breaks_that_answer_alone() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), RULES).await;
    // A cut answer must look cut: no end of the chunks, a stream that is reset.
    assert!(proxy.client().await.get("/breaks").await.is_err());
    let mut sender = http2(proxy.address, &proxy.ca.client_config(&["h2"])).await;
    let ask = |target: &str| {
        http::Request::get(format!("https://localhost{target}"))
            .body(Full::default())
            .unwrap()
    };
    let broken = async {
        let answer = sender.send_request(ask("/breaks")).await?;
        answer.into_body().collect().await
    };
    assert!(broken.await.is_err(), "the stream is reset");
    let next = sender.send_request(ask("/hello")).await.unwrap();
    assert_eq!(
        next.into_body().collect().await.unwrap().to_bytes(),
        "native:hello"
    );
}

#[tokio::test]
async fn native_only_never_asks_node() {
    let node = TestNode::echo().await;
    let rules = RULES.replace(r#"to = "native""#, r#"to = "native only""#);
    let proxy = TestProxy::new(&node.url(), &rules).await;
    for (target, status) in [
        ("/hello", 200),
        ("/fails", 500),
        ("/panics", 500),
        ("/hangs", 504),
        ("/declines", 502),
    ] {
        let answer = proxy.get(target).await;
        assert_eq!(
            (answer.status.as_u16(), answer.side()),
            (status, "native"),
            "{target}"
        );
    }
    assert!(node.seen().is_empty());
}

/// No spelling of a request that only native may answer reaches Node (issue 9).
#[tokio::test]
async fn native_only_is_a_boundary() {
    let node = TestNode::echo().await;
    let rules = RULES.replace(r#"to = "native""#, r#"to = "native only""#);
    let proxy = TestProxy::new(&node.url(), &rules).await;
    for target in [
        "//hello",
        "/hello//",
        "/./hello",
        "/x/../hello",
        "/x/%2e%2e/hello",
        "/%68ello%00",
        "/item//7",
        "/item/%zz",
        "/item/7|8",
        "/files",
        "/hello?x=\u{e9}",
    ] {
        let answer = proxy.get(target).await;
        assert_eq!(answer.status, 400, "{target}");
    }
    // All methods are claimed, and native has one of them.
    let answer = proxy.send("DELETE", "/item/7", "").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("native-only"), "{}", answer.text());
    assert!(node.seen().is_empty());
    // What no such rule claims is Node's.
    for (method, target) in [
        ("POST", "/hello"),
        ("GET", "//other"),
        ("GET", "/item//7/8"),
    ] {
        assert_eq!(
            proxy.send(method, target, "").await.side(),
            "node",
            "{target}"
        );
    }
}

/// An upgrade to a path without a socket goes where its rule says.
#[tokio::test]
async fn an_upgrade_does_not_choose_the_side() {
    let node = TestNode::echo().await;
    for to in ["native", "native only"] {
        let rules = RULES.replace(r#"to = "native""#, &format!("to = \"{to}\""));
        let proxy = TestProxy::new(&node.url(), &rules).await;
        for upgrade in ["websocket", "h2c", "anything"] {
            let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
            let request = format!(
                "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let head = crate::support::node::read_head(&mut stream).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert!(head.contains("x-strangler-side: native"), "{head}");
        }
    }
    assert!(node.seen().is_empty());
}

#[tokio::test]
async fn the_breaker_leaves_a_failing_rule_to_node() {
    let node = TestNode::echo().await;
    let rules = |probe| {
        format!(
            r#"
[rule.fails]
http = ["GET /fails"]
to = "native"
breaker = {{ failures = "50%", requests = 5, window = "1h", probe = "{probe}" }}
"#
        )
    };
    let proxy = TestProxy::new(&node.url(), &rules("1h")).await;
    let count = async |reason| {
        let line = format!(r#"strangler_fallbacks_total{{reason="{reason}",rule="fails"}}"#);
        proxy.metric(&line).await
    };
    for _ in 0..8 {
        assert_eq!(proxy.get("/fails").await.side(), "fallback");
    }
    let tried = count("status").await;
    assert_eq!((tried, count("breaker").await), (5.0, 3.0));
    // Other settings begin with a breaker that is closed.
    proxy.edit(&node.url(), &rules("50ms")).await;
    crate::support::eventually("a probe is let through", || async {
        assert_eq!(proxy.get("/fails").await.side(), "fallback");
        count("status").await > tried + 5.0
    })
    .await;
}

#[tokio::test]
async fn a_deliberate_failure_is_an_answer() {
    let node = TestNode::echo().await;
    let rules = r#"
[rule.closed]
http = ["GET /closed"]
to = "native"
breaker = { failures = "50%", requests = 5, window = "10s", probe = "1h" }
"#;
    let proxy = TestProxy::new(&node.url(), rules).await;
    for _ in 0..20 {
        let answer = proxy.get("/closed").await;
        assert_eq!(
            (answer.status.as_u16(), answer.side(), answer.text()),
            (503, "native", "native:closed".to_owned())
        );
    }
    let line = r#"strangler_requests_total{rule="closed",side="native",status="5xx"}"#;
    assert_eq!(proxy.metric(line).await, 20.0);
    assert!(node.seen().is_empty());
}

#[tokio::test]
async fn a_share_is_always_the_same_clients() {
    let node = TestNode::echo().await;
    let rules = |share: &str| {
        format!(
            r#"
[rule.hello]
http = ["GET /hello"]
sticky = "cookie:id"
to = "native {share}"
"#
        )
    };
    let proxy = TestProxy::new(&node.url(), &rules("20%")).await;
    let natives = async || {
        let mut client = proxy.client().await;
        let mut natives = HashSet::new();
        for id in 0..500 {
            let mut asked = request("GET", "/hello", "");
            asked
                .headers_mut()
                .insert("cookie", format!("id={id}").parse().unwrap());
            if client.send(asked).await.unwrap().side() == "native" {
                natives.insert(id);
            }
        }
        natives
    };
    let first = natives().await;
    assert!(
        (60..140).contains(&first.len()),
        "{} of 500 at 20 %",
        first.len()
    );
    assert_eq!(first, natives().await);
    proxy.edit(&node.url(), &rules("50%")).await;
    let more = natives().await;
    assert!(
        more.is_superset(&first) && (190..310).contains(&more.len()),
        "{} of 500 at 50 %",
        more.len()
    );
    assert_eq!(
        proxy.get("/hello").await.side(),
        "node",
        "a client without the cookie"
    );
}

#[tokio::test]
async fn force_sends_everything_to_node() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), RULES).await;
    let mut client = proxy.client().await;
    assert_eq!(client.get("/hello").await.unwrap().side(), "native");
    let file = std::fs::read_to_string(proxy.routes()).unwrap();
    std::fs::write(proxy.routes(), format!("force = \"node\"\n{file}")).unwrap();
    crate::support::eventually("new connections see it", || async {
        proxy.get("/hello").await.side() == "node"
    })
    .await;
    assert_eq!(
        client.get("/hello").await.unwrap().side(),
        "node",
        "and so does the open one"
    );
}
