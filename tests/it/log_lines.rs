//! Issue 9: what an operator reads in the log when something goes wrong: once at once, then counted.

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::certs::Ca;
use crate::support::client::connect;
use crate::support::program::{Program, folder, wait_for};
use crate::support::websocket::{Server, handshake};
use crate::support::{Client, TestNode};

/// Lines of this message, until their counts make `total`.
async fn counted(program: &mut Program, message: &str, total: u64) -> Vec<Value> {
    let (mut lines, mut sum) = (Vec::new(), 0);
    while sum < total {
        let line = wait_for(&mut program.log, message).await;
        sum += line["count"].as_u64().unwrap();
        lines.push(line);
    }
    assert_eq!(sum, total, "{lines:#?}");
    lines
}

#[tokio::test]
async fn an_unreachable_node_is_logged_at_once_and_then_counted() {
    // Nobody listens there any more.
    let node = TestNode::echo().await.url();
    let ca = Ca::new();
    let (_folder, routes) = folder(&ca, &node, "");
    let mut program = Program::start(&routes).await;
    let mut client = Client::connect(program.address, &ca.client_config(&["http/1.1"])).await;
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(client.get("/x").await.unwrap().status, 502);
    }
    let lines = counted(&mut program, "node gave no answer", 20).await;
    let first = &lines[0];
    assert_eq!(
        (
            &first["level"],
            &first["rule"],
            &first["reason"],
            &first["count"]
        ),
        (
            &"WARN".into(),
            &"(rest)".into(),
            &"node-unreachable".into(),
            &1.into()
        )
    );
    assert!(
        first["error"].as_str().unwrap().contains("refused"),
        "{first}"
    );
    // One at once, then at most one a second.
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(lines.len() <= 1 + seconds, "{lines:#?}");
}

#[tokio::test]
async fn a_native_failure_is_logged_with_rule_and_reason() {
    let node = TestNode::echo().await;
    let ca = Ca::new();
    // A database without tables.
    let rules = "[native]\napp = \"timecard\"\ndatabase = \"sqlite:timecard.db\"\n[rule]\n\
        drivers = { http = [\"GET /api/drivers\"], to = \"native\" }\n\
        logs = { http = [\"GET /api/ic_log\"], to = \"native only\" }";
    let (folder, routes) = folder(&ca, &node.url(), rules);
    std::fs::write(folder.path().join("timecard.db"), "").unwrap();
    let mut program = Program::start(&routes).await;
    let mut client = Client::connect(program.address, &ca.client_config(&["http/1.1"])).await;
    for (target, status, message, rule) in [
        (
            "/api/drivers",
            200,
            "node answers instead of native",
            "drivers",
        ),
        (
            "/api/ic_log",
            500,
            "native failed, and node cannot answer instead",
            "logs",
        ),
    ] {
        assert_eq!(client.get(target).await.unwrap().status, status, "{target}");
        let line = wait_for(&mut program.log, message).await;
        assert_eq!(
            (
                &line["level"],
                &line["rule"],
                &line["reason"],
                &line["count"]
            ),
            (&"WARN".into(), &rule.into(), &"status".into(), &1.into())
        );
    }
}

#[tokio::test]
async fn a_failed_tls_handshake_is_logged_with_its_reason() {
    let node = TestNode::echo().await;
    let ca = Ca::new();
    let (_folder, routes) = folder(&ca, &node.url(), "");
    let mut program = Program::start(&routes).await;
    for _ in 0..2 {
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    }
    let lines = counted(&mut program, "TLS handshakes of clients failed", 2).await;
    assert_eq!(
        (&lines[0]["level"], &lines[0]["reason"]),
        (&"WARN".into(), &"malformed".into())
    );
    // A client that does not know our CA.
    let stranger = Ca::new().client_config(&["http/1.1"]);
    assert!(connect(program.address, &stranger).await.is_err());
    let line = wait_for(&mut program.log, "TLS handshakes of clients failed").await;
    assert_eq!(line["reason"], "refused", "{line}");
}

/// It has happened: native checked tokens as Node did not, and Node answered for it so well that nobody noticed.
#[tokio::test]
async fn a_native_side_that_refuses_every_client_is_logged() {
    let node = Server::start().await;
    let ca = Ca::new();
    let rules = "[native]\napp = \"garden\"\ndatabase = \"sqlite:garden.db\"\njwt_secret = \"another\"\n\
        [socket.game]\nkind = \"websocket\"\npath = \"/api/ws\"\nmode = \"bridge\"\ntag = \"/type\"\n\
        [rule]\nsave = { events = { game = [\"SaveGame\"] }, to = \"native\" }";
    let (folder, routes) = folder(&ca, &node.url(), rules);
    std::fs::write(folder.path().join("garden.db"), "").unwrap();
    let mut program = Program::start(&routes).await;
    let tls = ca.client_config(&["http/1.1"]);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(program.address, &tls).await.unwrap();
        let request = handshake("/api/ws?token=a.b.c", "");
        stream.write_all(&request).await.unwrap();
        open.push(stream);
    }
    let lines = counted(&mut program, "native did not take a client", 3).await;
    let first = &lines[0];
    assert_eq!(
        (&first["level"], &first["rule"]),
        (&"WARN".into(), &"socket.game".into())
    );
    let reason = first["reason"].as_str().unwrap();
    assert!(["refused", "dropped"].contains(&reason), "{first}");
    assert!(!first.to_string().contains("a.b.c"), "{first}");
}
