//! What passes before a tunnel opens, and when none does.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::support::client::{connect, exchange};
use crate::support::node::{header_lines, read_head};
use crate::support::websocket::{ACCEPT, KEY, Server, both, frame, handshake, read_frame, upgrade};
use crate::support::{PATIENCE, TestNode, TestProxy};

/// What a browser and a reader may send with an upgrade.
const LINES: &str = "Origin: https://card.example\r\nCookie: a=1; b=\"2\"\r\nAuthorization: Bearer x.y.z\r\n\
    Sec-WebSocket-Protocol: readers.v1, readers.v2\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nX-ReaderId: 7\r\nUser-Agent: reader/1\r\n";

#[tokio::test]
async fn node_and_client_see_one_another_s_handshake() {
    let (mut server, proxy) = both().await;
    let mut direct = TcpStream::connect(server.address).await.unwrap();
    direct
        .write_all(&handshake("/deflate", LINES))
        .await
        .unwrap();
    let expected_head = read_head(&mut direct).await.unwrap();
    let expected = server.process.expect("open").await;
    let (_stream, head) = upgrade(&proxy, "/deflate", LINES).await;
    let seen = server.process.expect("open").await;

    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut answered = header_lines(&head);
    assert_eq!(answered.remove("x-strangler-side").as_deref(), Some("node"));
    assert!(answered.remove("date").is_some());
    assert_eq!(answered, header_lines(&expected_head));
    assert_eq!(answered["sec-websocket-protocol"], "readers.v2");
    assert_eq!(answered["sec-websocket-extensions"], "permessage-deflate");

    for key in ["url", "protocol", "extensions"] {
        assert_eq!(seen[key], expected[key]);
    }
    let added = [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
    ];
    let (theirs, ours): (Vec<_>, Vec<_>) = headers(&seen)
        .into_iter()
        .partition(|(name, _)| added.contains(&name.to_ascii_lowercase().as_str()));
    assert_eq!(theirs.len(), added.len(), "{theirs:?}");
    let mut sent = headers(&expected);
    // Only the upgrade concerns this connection to Node.
    for (name, value) in &mut sent {
        if name == "Connection" {
            "Upgrade".clone_into(value);
        }
    }
    assert_eq!(ours, sent);
}

/// Names as they were written, and values, sorted.
fn headers(report: &Value) -> Vec<(String, String)> {
    let raw: Vec<&str> = report["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    let mut headers: Vec<_> = raw
        .chunks(2)
        .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
        .collect();
    headers.sort();
    headers
}

#[tokio::test]
async fn compressed_messages_pass_as_they_are() {
    // "hello" in a block that is stored, and RSV1 (RFC 7692 §7.2.3.3).
    let hello = frame(0xc1, b"\x00\x05\x00\xfa\xffhello\x00");
    let lines = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let (server, proxy) = both().await;
    let mut direct = TcpStream::connect(server.address).await.unwrap();
    direct
        .write_all(&handshake("/deflate", lines))
        .await
        .unwrap();
    read_head(&mut direct).await.unwrap();
    direct.write_all(&hello).await.unwrap();
    let expected = read_frame(&mut direct).await;
    assert_eq!(expected.0, 0xc1, "compressed");

    let (mut stream, _) = upgrade(&proxy, "/deflate", lines).await;
    stream.write_all(&hello).await.unwrap();
    assert_eq!(read_frame(&mut stream).await, expected);
}

#[tokio::test]
async fn targets_of_upgrades_reach_node_byte_for_byte() {
    let (mut server, proxy) = both().await;
    let mut open = Vec::new();
    for target in [
        "/",
        "/?",
        "/socket.io?EIO=4&transport=websocket&t=1717.25",
        "/a//b/./c?x=%zz&a[]=1&b=|{}^&&?q=%25%2B+x",
        "/%2e%2e/%2F;v=1?=&=",
    ] {
        let (stream, head) = upgrade(&proxy, target, "").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{target}: {head}");
        open.push(stream);
        let seen = server.process.expect("open").await;
        assert_eq!(seen["url"], target);
    }
}

#[tokio::test]
async fn a_refusal_passes_as_it_is() {
    let (_server, proxy) = both().await;
    let (mut stream, head) = upgrade(&proxy, "/refused", "").await;
    assert!(head.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{head}");
    let headers = header_lines(&head);
    assert_eq!(headers["www-authenticate"], "Basic realm=\"readers\"");
    assert_eq!(headers["content-type"], "application/json");
    assert!(
        head.contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"),
        "{head}"
    );
    assert!(!headers.contains_key("upgrade"), "{head}");
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"error":"who are you?"}"#
    );
    // The client's connection was never Node's, and goes on.
    let next = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = ask_last(&mut stream, next).await;
    assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
    assert_eq!(proxy.metric("strangler_tunnels").await, 0.0);
}

#[tokio::test]
async fn other_protocols_are_tunnelled_too() {
    let (mut server, proxy) = both().await;
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    // What comes right behind a head belongs to the tunnel, on both sides.
    let asked =
        b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nwor";
    stream.write_all(asked).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let headers = header_lines(&head);
    assert_eq!(headers["upgrade"], "shout");
    assert_eq!(headers["connection"].to_ascii_lowercase(), "upgrade");
    assert_eq!(headers["x-volume"], "11");
    stream.write_all(b"ld").await.unwrap();
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HELLO WORLD");
    drop(stream);
    server.process.expect("shouted").await;
}

/// RFC 9110 §7.8: the client names protocols in the order it likes them, the server takes one.
#[tokio::test]
async fn node_may_take_one_of_several_protocols() {
    let node = TestNode::raw(|mut stream| async move {
        if read_head(&mut stream).await.is_some() {
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\nHI";
            stream.write_all(answer).await.unwrap();
            let _ = stream.read_u8().await;
        }
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for protocols in [
        "Upgrade: whisper/2, Shout",
        "Upgrade: whisper/2\r\nUpgrade: shout",
    ] {
        let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
        let asked =
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n{protocols}\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{protocols}: {head}");
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HI");
    }
}

#[tokio::test]
async fn what_is_no_upgrade_is_an_ordinary_request() {
    let (mut server, proxy) = both().await;
    let fields = format!("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n");
    for head in [
        "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\nUpgrade: websocket\r\n",
        "GET / HTTP/1.1\r\nConnection: Upgrade, close\r\n",
    ] {
        let asked = format!("{head}Host: localhost\r\n{fields}\r\n");
        let answer = exchange(proxy.address, &proxy.tls, asked.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.contains(" 200 OK\r\n") && answer.ends_with("plain"),
            "{head}: {answer}"
        );
        let seen = headers(&server.process.expect("request").await);
        let names = ["upgrade", "connection"];
        assert!(
            !seen.iter().any(
                |(name, value)| names.contains(&name.to_ascii_lowercase().as_str())
                    && value.to_ascii_lowercase().contains("upgrade")
            ),
            "{seen:?}"
        );
    }
    assert_eq!(proxy.metric("strangler_tunnels").await, 0.0);
}

/// Node must never get at bytes that a client takes for its next request (RUSTSEC-2026-0033).
#[tokio::test]
async fn a_101_that_was_not_asked_for_opens_no_tunnel() {
    let websocket = String::from_utf8(handshake("/first", "")).unwrap();
    let shout = "GET /first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n";
    let ordinary = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";
    let granted = format!("Upgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n");
    for (asked, fields) in [
        (ordinary, granted.as_str()),
        (ordinary, ""),
        (shout, granted.as_str()),
        (shout, ""),
        (&websocket, ""),
        (&websocket, "Upgrade: websocket\r\n"),
        (&websocket, "Upgrade: shout\r\n"),
        (
            &websocket,
            "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n",
        ),
    ] {
        let (ended, mut ends) = mpsc::channel(1);
        let answer = Arc::new(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{fields}\r\nsecret"
        ));
        let node = TestNode::raw(move |mut stream| {
            let (ended, answer) = (ended.clone(), Arc::clone(&answer));
            async move {
                let Some(head) = read_head(&mut stream).await else {
                    return;
                };
                if head.starts_with("GET /first ") {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                    ended.send(rest).await.unwrap();
                } else {
                    let answer =
                        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecond";
                    stream.write_all(answer).await.unwrap();
                }
            }
        })
        .await;
        let proxy = TestProxy::new(&node.url(), "").await;
        let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
        stream.write_all(asked.as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 502 "), "{asked}{fields}{head}");
        let mut body = vec![0; header_lines(&head)["content-length"].parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));

        // The connection to Node is gone; the client's is still HTTP.
        let rest = timeout(PATIENCE, ends.recv()).await.unwrap().unwrap();
        assert!(rest.is_empty(), "{asked}{fields}");
        let next = b"GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = ask_last(&mut stream, next).await;
        assert!(answer.ends_with("second"), "{asked}{fields}{answer}");
        assert_eq!(proxy.metric("strangler_tunnels").await, 0.0);
    }
}

/// Sends the last request of a connection and reads to its end.
async fn ask_last(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A connection that ends without TLS's goodbye has still said what it said.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn an_upgrade_without_node_is_a_502() {
    let url = Server::start().await.url();
    let proxy = TestProxy::new(&url, "").await;
    let (_stream, head) = upgrade(&proxy, "/", "").await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}
