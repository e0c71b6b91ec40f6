//! Node that is gone, hangs, lies or breaks off: the proxy says so, at once and in bounds, and native goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::certs::Ca;
use crate::support::client::{connect, request};
use crate::support::node::{read_head, replying};
use crate::support::{Answer, PATIENCE, TestNode, TestProxy, eventually};

const HELLO: &str = r#"
[rule]
hello = { http = ["GET /hello"], to = "native" }
"#;

fn code(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    body["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_node_that_is_gone_gives_502_at_once_and_comes_back_by_itself() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let patient = format!("response_timeout = \"1h\"\nconnect_timeout = \"1h\"\n{HELLO}");
    let proxy = TestProxy::new(&url, &patient).await;
    let answer = timeout(PATIENCE, proxy.get("/x")).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), code(&answer).as_str()),
        (502, "node-unreachable")
    );
    assert_eq!(proxy.get("/hello").await.text(), "native:hello");
    assert_eq!(
        proxy
            .metric(r#"strangler_node_errors_total{reason="refused"}"#)
            .await,
        1.0
    );
    assert!(proxy.admin("/readyz").await.contains(r#""ready":false"#));
}

#[tokio::test]
async fn requests_that_too_many_wait_before_get_503() {
    let node = silent_node().await;
    let rules =
        format!("response_timeout = \"1h\"\nconnect_timeout = \"300ms\"\nmax_waiting = 3\n{HELLO}");
    let proxy = Arc::new(TestProxy::new(&node.url(), &rules).await);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let proxy = Arc::clone(&proxy);
            tokio::spawn(async move { proxy.get("/x").await })
        })
        .collect();
    eventually("three requests wait", || async {
        proxy.metric("strangler_node_waiting").await == 3.0
    })
    .await;
    let busy = proxy.get("/x").await;
    assert_eq!(
        (busy.status.as_u16(), code(&busy).as_str()),
        (503, "node-busy")
    );
    assert_eq!(proxy.get("/hello").await.text(), "native:hello");
    assert!(
        proxy
            .admin("/readyz")
            .await
            .contains("node did not answer in time")
    );
    // Those who leave wait no more.
    for request in waiting {
        request.abort();
    }
    eventually("nobody waits", || async {
        proxy.metric("strangler_node_waiting").await == 0.0
    })
    .await;
}

#[tokio::test]
async fn a_node_that_hangs_gives_504() {
    let node = silent_node().await;
    let proxy = TestProxy::new(&node.url(), "response_timeout = \"300ms\"").await;
    let answer = proxy.get("/x").await;
    assert_eq!(
        (answer.status.as_u16(), code(&answer).as_str()),
        (504, "node-timeout")
    );
    assert_eq!(proxy.metric("strangler_node_waiting").await, 0.0);
}

/// Takes every connection and says nothing.
async fn silent_node() -> TestNode {
    TestNode::raw(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await
}

#[tokio::test]
async fn what_is_not_http_gives_502() {
    for garbage in [
        "garbage\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n",
            "x".repeat(1024 * 1024)
        ),
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_owned(),
        String::new(),
    ] {
        let node = replying(garbage.clone()).await;
        let proxy = TestProxy::new(&node.url(), "").await;
        let answer = proxy.get("/").await;
        let shown: String = garbage.chars().take(60).collect();
        assert_eq!(
            (answer.status.as_u16(), code(&answer).as_str()),
            (502, "node-broken"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn an_unasked_upgrade_gives_502() {
    let node =
        replying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
            .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    assert_eq!(proxy.get("/").await.status, 502);
}

#[tokio::test]
async fn a_cut_answer_is_seen_as_cut() {
    for (cut, sound) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", None),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n0\r\n\r\n",
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole",
            Some("whole"),
        ),
    ] {
        let node = replying(cut).await;
        let proxy = TestProxy::new(&node.url(), "").await;
        let answer = proxy.client().await.get("/").await;
        assert_eq!(
            answer.ok().map(|answer| answer.text()).as_deref(),
            sound,
            "{cut}"
        );
    }
}

/// Answers one request on each connection and closes it a moment later, as Node does with idle ones, without having
/// said `Connection: close`.
async fn closing_node() -> (TestNode, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let node = TestNode::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            if let Some(head) = read_head(&mut stream).await {
                counter.fetch_add(1, Ordering::Relaxed);
                let length = crate::support::node::header_lines(&head)
                    .get("content-length")
                    .map_or(0, |length| length.parse().unwrap());
                let mut body = vec![0; length];
                let _ = stream.read_exact(&mut body).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
            }
        }
    })
    .await;
    (node, requests)
}

#[tokio::test]
async fn requests_that_met_a_closing_connection_are_answered_all_the_same() {
    let (node, requests) = closing_node().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut client = proxy.client().await;
    for number in 0..500 {
        let answer = client.get("/").await.unwrap();
        assert_eq!(answer.text(), "ok", "request {number}");
    }
    assert!(requests.load(Ordering::Relaxed) >= 500);
}

#[tokio::test]
async fn a_post_is_answered_once_or_fails() {
    let (node, requests) = closing_node().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut client = proxy.client().await;
    let mut answered = 0;
    for _ in 0..300 {
        let answer = client.send(request("POST", "/", "body")).await.unwrap();
        assert!(
            answer.status == 200 || answer.status == 502,
            "{}",
            answer.status
        );
        answered += usize::from(answer.status == 200);
    }
    assert_eq!(
        requests.load(Ordering::Relaxed),
        answered,
        "no POST reached node twice"
    );
}

#[tokio::test]
async fn an_early_answer_is_delivered_and_its_connection_not_used_again() {
    let node = replying("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for round in 0..2 {
        let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nfirst bytes";
        stream.write_all(head).await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
        drop(stream);
        assert_eq!(node.connections.load(Ordering::Relaxed), round + 1);
    }
}

#[tokio::test]
async fn only_the_right_certificate_passes() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let (leaf, expired) = (ca.leaf(), ca.expired_leaf());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let files = [
        path("ca.pem", ca.pem()),
        path("stranger.pem", stranger.pem()),
        path("leaf.pem", &leaf.cert),
        path("other.pem", &ca.leaf().cert),
        path("expired.pem", &expired.cert),
    ];
    let [ca_file, stranger_file, leaf_file, other_file, expired_file] = files;
    let app = || Router::new().route("/", get(async || "trusted"));
    for (served, trust, passes) in [
        (&leaf, format!("ca = \"{ca_file}\""), true),
        (&leaf, format!("ca = \"{stranger_file}\""), false),
        (
            &leaf,
            format!("ca = \"{ca_file}\"\nserver_name = \"elsewhere.example\""),
            false,
        ),
        (&leaf, format!("pin = \"{leaf_file}\""), true),
        (&leaf, format!("pin = \"{other_file}\""), false),
        (&expired, format!("pin = \"{expired_file}\""), false),
        (&expired, format!("ca = \"{ca_file}\""), false),
        (&expired, "insecure = true".to_owned(), true),
    ] {
        let node = TestNode::tls(app(), served).await;
        let url = format!("https://localhost:{}", node.address.port());
        let proxy = TestProxy::new(&url, &trust).await;
        let answer = proxy.get("/").await;
        if passes {
            assert_eq!(answer.text(), "trusted", "{trust}");
        } else {
            assert_eq!(
                (answer.status.as_u16(), code(&answer).as_str()),
                (502, "node-untrusted"),
                "{trust}"
            );
        }
    }
}
