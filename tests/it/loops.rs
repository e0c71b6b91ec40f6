//! A proxy whose Node is the proxy itself, by a name that the check of the file does not know: issue 9.

use crate::support::client::{connect, request};
use crate::support::node::read_head;
use crate::support::{TestNode, TestProxy};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_circle_ends_with_508() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let own = format!("https://127.0.0.1:{}", proxy.address.port());
    proxy.edit(&own, "insecure = true").await;
    let answer = proxy.get("/").await;
    assert_eq!(answer.status, 508, "{}", answer.text());
    assert!(
        answer.text().contains("\"code\":\"loop\""),
        "{}",
        answer.text()
    );
    let loops = "strangler_rejected_requests_total{code=\"loop\"}";
    assert!((proxy.metric(loops).await - 1.0).abs() < 0.5);
    assert!(
        proxy
            .metric("strangler_node_connections{state=\"open\"}")
            .await
            < 4.0
    );

    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 508"), "{head}");
}

/// Node may ask its own public address; and nobody can make a client's request look like a circle.
#[tokio::test]
async fn only_the_third_own_entry_makes_a_circle() {
    let node = TestNode::answering(|seen| seen.headers["via"].to_str().unwrap().to_owned()).await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let via = |lines: &[&str]| {
        let mut asked = request("GET", "/", "");
        for line in lines {
            asked.headers_mut().append("via", line.parse().unwrap());
        }
        let proxy = &proxy;
        async move { proxy.client().await.send(asked).await.unwrap() }
    };
    let own = via(&[]).await.text();
    assert!(own.starts_with("1.1 strangler-"), "{own}");
    let forged = "1.1 strangler, 1.1 strangler-0000000000000000, 1.1 strangler, 1.1 strangler";
    assert_eq!(via(&[forged]).await.text(), format!("{forged}, {own}"));
    assert_eq!(via(&[&own, "1.0 fred", &own]).await.status, 200);
    assert_eq!(via(&[&own, "1.0 fred", &own, &own]).await.status, 508);
    assert_eq!(
        via(&[&format!("{own}, {own} (a), {own}")]).await.status,
        508
    );
    // Each process has a name of its own.
    let other = TestProxy::new(&node.url(), "").await;
    assert_ne!(other.get("/").await.text(), own);
}
