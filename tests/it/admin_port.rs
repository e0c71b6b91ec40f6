//! The admin port: what it says, and to whom.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{PATIENCE, TestNode, TestProxy};

#[tokio::test]
async fn it_says_how_the_proxy_is() {
    let node = TestNode::echo().await;
    let rules = "[rule]\nhello = { http = [\"GET /hello\"], to = \"native\" }";
    let proxy = TestProxy::new(&node.url(), rules).await;
    proxy.get("/hello").await;
    proxy.get("/x").await;
    assert_eq!(proxy.admin("/healthz").await, "ok\n");
    assert!(proxy.admin("/readyz").await.contains(r#""ready":true"#));
    let table = proxy.table().await;
    let rule = &table["rules"][0];
    assert_eq!(
        (&rule["id"], &rule["to"], &rule["now"]),
        (&"hello".into(), &"native".into(), &"native".into())
    );
    assert_eq!(
        (&rule["native"], &table["rest"]["node"]),
        (&1.into(), &1.into())
    );
    let metrics = proxy.admin("/metrics").await;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(
            name.starts_with("strangler_") && value.parse::<f64>().is_ok(),
            "{line}"
        );
    }
    assert!(
        metrics.contains(r#"strangler_request_seconds_count{rule="hello",side="native"} 1"#),
        "{metrics}"
    );
}

/// Issue 9.
#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_sent_away() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "[limits]\nheader_timeout = \"100ms\"").await;
    let own = proxy.admin;
    let whole = format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\n\r\n");
    for bytes in ["", "GET /healthz HTTP/1.1\r\nHost: x\r\n", whole.as_str()] {
        let mut stream = tokio::net::TcpStream::connect(own).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
        ended.await.expect("it is closed").unwrap();
        assert_eq!(answer.contains("200 OK"), bytes == whole, "{answer}");
    }
}

#[tokio::test]
async fn strangers_are_refused() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let own = proxy.admin;
    for (head, status) in [
        (format!("GET /api/table HTTP/1.1\r\nHost: {own}\r\n"), "200"),
        (
            "GET /api/table HTTP/1.1\r\nHost: evil.example\r\n".to_owned(),
            "403",
        ),
        (
            format!("GET http://evil.example/api/table HTTP/1.1\r\nHost: {own}\r\n"),
            "403",
        ),
        ("GET /api/table HTTP/1.1\r\n".to_owned(), "403"),
        (
            format!("GET /api/table HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n"),
            "403",
        ),
        (
            format!("GET /api/table HTTP/1.1\r\nHost: {own}\r\nOrigin: http://evil.example\r\n"),
            "403",
        ),
        (
            format!("POST /api/table HTTP/1.1\r\nHost: {own}\r\nContent-Length: 0\r\n"),
            "403",
        ),
        (
            format!(
                "POST /api/table HTTP/1.1\r\nHost: {own}\r\nOrigin: http://{own}\r\nContent-Length: 0\r\n"
            ),
            "405",
        ),
        (format!("GET /nothing HTTP/1.1\r\nHost: {own}\r\n"), "404"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(own).await.unwrap();
        stream
            .write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}{answer}"
        );
        assert!(
            !answer.to_lowercase().contains("access-control"),
            "{answer}"
        );
    }
}
