//! Issue 9: what an operator reads in the log when something goes wrong: once at once, then counted.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::strangler;
use crate::support::certs::Ca;
use crate::support::client::connect;
use crate::support::program::{Program, counted, folder, wait_for};
use crate::support::{Client, TestNode};

#[tokio::test]
async fn an_unreachable_node_is_logged_at_once_and_then_counted() {
    // Nobody listens there any more.
    let node = TestNode::echo().await.url();
    let ca = Ca::new();
    let (_folder, routes) = folder(&ca, &node, "");
    let mut program = Program::start(strangler(), &routes).await;
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
async fn a_failed_tls_handshake_is_logged_with_its_reason() {
    let node = TestNode::echo().await;
    let ca = Ca::new();
    let (_folder, routes) = folder(&ca, &node.url(), "");
    let mut program = Program::start(strangler(), &routes).await;
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
