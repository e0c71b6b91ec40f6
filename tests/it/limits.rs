//! What one address, or many clients, may take from the others: descriptors and memory (issue 9).

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::certs::Ca;
use crate::support::client::{connect, http2, request};
use crate::support::node::read_head;
use crate::support::program::{Program, folder, wait_for};
use crate::support::{Client, PATIENCE, TestNode, TestProxy, eventually};

/// The program with at most this many descriptors.
fn with_descriptors(most: usize) -> Command {
    let mut command = Command::new("sh");
    command
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null())
        .env_remove("RUST_LOG")
        .args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_strangler"));
    command
}

#[tokio::test]
async fn accepting_recovers_as_soon_as_descriptors_are_free() {
    let node = TestNode::echo().await;
    let ca = Ca::new();
    let slow = "[limits]\nhandshake_timeout = \"10m\"\nconnections = 100_000\nconnections_per_address = 100_000";
    let (_folder, routes) = folder(&ca, &node.url(), slow);
    let mut program = Program::start(with_descriptors(1024), &routes).await;
    let mut crowd = Vec::new();
    for _ in 0..1500 {
        crowd.push(TcpStream::connect(program.address).await.unwrap());
    }
    wait_for(&mut program.log, "no connection can be accepted").await;
    // The others stay: none of them may stand before a newcomer in the kernel's queue.
    drop(crowd.drain(..100));
    let tls = ca.client_config(&["http/1.1"]);
    let served = eventually("a newcomer is served", || async {
        let Ok(stream) = connect(program.address, &tls).await else {
            return false;
        };
        let answer = Client::over(stream).await.get("/").await;
        answer.is_ok_and(|answer| answer.text() == "node:/")
    });
    timeout(PATIENCE, served).await.expect("nobody waits");
}

/// A Node with an answer that never ends, one that never begins, and a short one.
async fn endless_node() -> TestNode {
    let endless = || async {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        Body::from_stream(tokio_stream::iter(std::iter::repeat_with(move || {
            Ok::<_, std::convert::Infallible>(piece.clone())
        })))
    };
    let router = Router::new()
        .route("/endless", get(endless))
        .route("/never", get(std::future::pending::<()>))
        .route("/short", get(async || "node:short"));
    TestNode::router(router).await
}

async fn until(proxy: &TestProxy, line: &str, holds: impl Fn(f64) -> bool) {
    eventually(line, || async { holds(proxy.metric(line).await) }).await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(
        &node.url(),
        "[limits]\nconnections = 3\nconnections_per_address = 100",
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(proxy.client().await);
    }
    assert!(connect(proxy.address, &proxy.tls).await.is_err());
    let refused = "strangler_connections_refused_total{reason=\"connections\"}";
    assert!(proxy.metric(refused).await >= 1.0);
    // Those that are there are served, and leave their places to others.
    for client in &mut clients {
        assert_eq!(client.get("/").await.unwrap().text(), "node:/");
    }
    clients.pop();
    eventually("there is a place again", || async {
        connect(proxy.address, &proxy.tls).await.is_ok()
    })
    .await;
    proxy
        .edit(
            &node.url(),
            "[limits]\nconnections = 10\nconnections_per_address = 100",
        )
        .await;
    until(&proxy, "strangler_limit{name=\"connections\"}", |most| {
        most > 9.0
    })
    .await;
    let mut more = [proxy.client().await, proxy.client().await];
    for client in &mut more {
        assert_eq!(client.get("/").await.unwrap().text(), "node:/");
    }
}

#[tokio::test]
async fn an_address_is_bounded_under_pressure_unless_it_is_a_trusted_proxy() {
    let node = TestNode::echo().await;
    let limits = "[limits]\nconnections = 8\nconnections_per_address = 2";
    let proxy = TestProxy::new(&node.url(), limits).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(proxy.client().await);
    }
    assert!(connect(proxy.address, &proxy.tls).await.is_err());
    let refused = "strangler_connections_refused_total{reason=\"address\"}";
    assert!(proxy.metric(refused).await >= 1.0);
    let trusting = std::fs::read_to_string(proxy.routes()).unwrap().replace(
        "side_header = true",
        "side_header = true\ntrusted_proxies = [\"127.0.0.0/8\"]",
    );
    proxy.write(&trusting).await;
    clients.push(proxy.client().await);
    assert_eq!(clients[4].get("/").await.unwrap().text(), "node:/");
}

#[tokio::test]
async fn requests_hold_their_place_at_node_until_the_end_of_their_answers() {
    let node = endless_node().await;
    let limits = "[limits]\nnode_requests = 2\nlegs_per_address = 10";
    let proxy = TestProxy::new(&node.url(), limits).await;
    let mut streams = Vec::new();
    for target in ["/never", "/endless"] {
        let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if target == "/endless" {
            read_head(&mut stream).await.unwrap();
        }
        streams.push(stream);
    }
    until(&proxy, "strangler_node_requests ", |open| open > 1.5).await;
    let refused = proxy.get("/short").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.text().contains("node-busy"), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Native needs no place.
    let full = "strangler_node_errors_total{reason=\"full\"}";
    assert!(proxy.metric(full).await >= 1.0);
    drop(streams);
    eventually("there is a place again", || async {
        proxy.get("/short").await.text() == "node:short"
    })
    .await;
    until(&proxy, "strangler_node_requests ", |open| open < 0.5).await;
}

#[tokio::test]
async fn streams_that_nobody_reads_are_ended_alone_and_under_pressure_only() {
    let node = endless_node().await;
    let limits = "[limits]\nnode_requests = 20";
    let proxy = TestProxy::new(&node.url(), limits).await;
    let tls = proxy.ca.client_config(&["h2"]);
    let mut client = http2(proxy.address, &tls).await;
    let mut paused = Vec::new();
    let ended = "strangler_ended_total{reason=\"no-progress\"}";
    for number in 0..14 {
        if number == 10 {
            // Up to half of the budget, nobody has to read.
            assert!(proxy.metric(ended).await < 0.5);
        }
        let get = request("GET", "https://localhost/endless", "");
        client.ready().await.unwrap();
        paused.push(client.send_request(get).await.unwrap());
    }
    until(&proxy, ended, |ended| ended > 3.5).await;
    until(&proxy, "strangler_node_requests ", |open| open < 10.5).await;
    // The connection and the youngest streams live.
    client.ready().await.unwrap();
    let head = request("HEAD", "https://localhost/short", "");
    let answer = client.send_request(head).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(paused);
}

#[tokio::test]
async fn readers_that_pause_give_way_where_memory_is_short() {
    let node = endless_node().await;
    let proxy = TestProxy::new(&node.url(), "[limits]\nmemory = \"1MiB\"").await;
    let mut paused = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
        stream
            .write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        stream.flush().await.unwrap();
        paused.push(stream);
    }
    // At once while too much waits, and then until half of it is free.
    eventually("most of them are ended", || async {
        let ended = async |reason: &str| {
            let line = format!("strangler_ended_total{{reason=\"{reason}\"}}");
            proxy.metric(&line).await
        };
        ended("memory").await + ended("no-progress").await > 20.0
    })
    .await;
    let limit = proxy.metric("strangler_limit{name=\"memory\"}").await;
    until(&proxy, "strangler_waiting_bytes ", |bytes| {
        bytes <= limit / 2.0
    })
    .await;
    assert_eq!(proxy.get("/short").await.text(), "node:short");
}
