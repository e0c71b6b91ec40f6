//! Issue 9: what `/readyz` says of Node, and that Node is lost and back: asked for the head of an answer, and told once.

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::strangler;
use crate::support::certs::Ca;
use crate::support::node::{read_head, replying};
use crate::support::program::{Program, folder, wait_for};
use crate::support::{Client, TestNode, TestProxy, eventually};

async fn readyz(proxy: &TestProxy) -> Value {
    serde_json::from_str(&proxy.admin("/readyz").await).unwrap()
}

/// `health` of a Node that never waits long.
const QUICK: &str =
    "health = { path = \"/alive?deep=1\", interval = \"1ms\", timeout = \"300ms\" }";

#[tokio::test]
async fn a_node_that_accepts_and_gives_no_answer_is_not_ready() {
    let closing = TestNode::raw(|stream| async move { drop(stream) }).await;
    let reading = TestNode::raw(|mut stream| async move {
        let _ = read_head(&mut stream).await;
    })
    .await;
    let silent = TestNode::raw(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let half = TestNode::raw(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Half: 1\r\n").await;
        std::future::pending().await
    })
    .await;
    let alert = replying(&b"\x15\x03\x01\x00\x02\x02\x46"[..]).await;
    let ca = Ca::new();
    let tls = TestNode::tls(axum::Router::new(), &ca.leaf()).await;
    for (name, node, wrong) in [
        (
            "closing",
            &closing,
            "closed the connection without an answer",
        ),
        ("reading", &reading, "does node speak TLS"),
        ("silent", &silent, "no head of an answer within 300ms"),
        ("half", &half, "no head of an answer within 300ms"),
        ("alert", &alert, "is not http"),
        ("tls", &tls, "does node speak TLS"),
    ] {
        let proxy = TestProxy::new(&node.url(), QUICK).await;
        let answer = readyz(&proxy).await;
        let said = answer["node"].as_str().unwrap();
        assert!(
            answer["ready"] == false && said.contains(wrong),
            "{name}: {answer}"
        );
        let lost = &proxy.table().await["node"]["lost"];
        assert!(
            lost["reason"].as_str().unwrap().contains(wrong),
            "{name}: {lost}"
        );
        assert_eq!(proxy.metric("strangler_node_up").await, 0.0, "{name}");
    }
}

#[tokio::test]
async fn the_question_is_as_the_file_says_and_any_status_will_do() {
    let node = TestNode::answering(|_| http::StatusCode::SERVICE_UNAVAILABLE).await;
    let proxy = TestProxy::new(&node.url(), QUICK).await;
    assert_eq!(readyz(&proxy).await["node"], "up");
    let seen = &node.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("HEAD", "/alive?deep=1")
    );
    // A changed path is asked for at once.
    let changed = QUICK.replace("/alive?deep=1", "/other");
    proxy.edit(&node.url(), &changed).await;
    assert_eq!(readyz(&proxy).await["node"], "up");
    assert_eq!(node.seen().last().unwrap().target, "/other");
    // Within an interval, all share one question.
    let rare = QUICK.replace("1ms", "1h");
    proxy.edit(&node.url(), &rare).await;
    let before = node.seen().len();
    for _ in 0..5 {
        readyz(&proxy).await;
    }
    assert_eq!(node.seen().len(), before + 1);
}

#[tokio::test]
async fn an_answer_behind_which_node_closes_is_an_answer() {
    let node = replying(&b"HTTP/1.0 404 Not Found\r\n\r\n"[..]).await;
    let proxy = TestProxy::new(&node.url(), QUICK).await;
    for _ in 0..20 {
        assert_eq!(readyz(&proxy).await["node"], "up");
    }
}

#[tokio::test]
async fn a_lost_node_is_logged_once_and_so_is_its_return() {
    let address = TestNode::echo().await.address;
    let ca = Ca::new();
    let quick = "health = { interval = \"20ms\" }";
    let (_folder, routes) = folder(&ca, &format!("http://{address}"), quick);
    let mut program = Program::start(strangler(), &routes).await;
    let tls = ca.client_config(&["http/1.1"]);
    let mut client = Client::connect(program.address, &tls).await;
    for _ in 0..5 {
        assert_eq!(client.get("/x").await.unwrap().status, 502);
    }
    let lost = wait_for(&mut program.log, "node is lost").await;
    assert_eq!(lost["level"], "WARN");
    assert!(
        lost["reason"].as_str().unwrap().contains("refused"),
        "{lost}"
    );
    // Nobody asks the proxy for anything meanwhile.
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let node = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if read_head(&mut stream).await.is_some() {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        }
    });
    let mut line = wait_for(&mut program.log, "node ").await;
    while line["message"] == "node gave no answer" {
        line = wait_for(&mut program.log, "node ").await;
    }
    assert_eq!(
        line["message"], "node is back",
        "not lost a second time: {line}"
    );
    assert!(line["away_ms"].is_u64(), "{line}");
    node.abort();
}

#[tokio::test]
async fn a_failure_while_node_answers_is_no_loss() {
    // One path breaks off; Node is well.
    let node = TestNode::raw(|mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            if head.contains(" /broken ") {
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let proxy = TestProxy::new(&node.url(), QUICK).await;
    let before = node.connections.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(proxy.send("POST", "/broken", "").await.status, 502);
    // The suspicion is looked into.
    eventually("node is asked", || async {
        node.connections.load(std::sync::atomic::Ordering::Relaxed) > before + 1
    })
    .await;
    assert_eq!(readyz(&proxy).await["node"], "up");
    assert_eq!(proxy.table().await["node"]["lost"], Value::Null);
}
