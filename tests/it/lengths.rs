//! `Content-Length` towards Node and towards clients: one plain number, or a refusal (issue 9). The HTTP/2 frames are made
//! by hand, since no client library sends such heads.

use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{connect, exchange, http2};
use crate::support::node::{header_lines, read_head, replying};
use crate::support::{TestNode, TestProxy};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field that enters no table (RFC 7541 §6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// Posts `ok` over HTTP/2 with these lengths.
async fn post(proxy: &TestProxy, lengths: &[&str]) -> Option<u8> {
    let fields: Vec<_> = lengths
        .iter()
        .map(|text| ("content-length", *text))
        .collect();
    post_with(proxy, &fields).await
}

/// Posts `ok` over HTTP/2 with these fields, and says how the answer begins: the first byte of its head (RFC 7541,
/// appendix A: 0x88 is 200, 0x8c is 400), or `None` for a stream that is reset.
async fn post_with(proxy: &TestProxy, fields: &[(&str, &str)]) -> Option<u8> {
    let tls = proxy.ca.client_config(&["h2"]);
    let mut stream = connect(proxy.address, &tls).await.unwrap();
    let mut head = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
    ] {
        head.extend(literal(name, value));
    }
    for (name, value) in fields {
        head.extend(literal(name, value));
    }
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, b""),
        frame(1, 4, 1, &head),
        frame(0, 1, 1, b"ok"),
    ];
    stream.write_all(&bytes.concat()).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        match head[3] {
            1 => return payload.into_iter().find(|byte| byte & 0xe0 != 0x20),
            3 => return None,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_length_over_http2_reaches_node_once() {
    let node = TestNode::answering(|seen| format!("{:?}", seen.body)).await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for lengths in [&["2"][..], &["2", "2"], &["002"], &["2", "02", "2"]] {
        assert_eq!(post(&proxy, lengths).await, Some(0x88), "{lengths:?}");
        let seen = node.seen().pop().unwrap();
        let lines: Vec<_> = seen.headers.get_all("content-length").iter().collect();
        assert_eq!(lines, ["2"], "{lengths:?}");
        assert_eq!(seen.body, b"ok", "{lengths:?}");
    }
    let before = node.seen().len();
    for lengths in [
        &["2", "3"][..],
        &["2, 2"],
        &["+2"],
        &[""],
        &["2", ""],
        &["x"],
        &["3"],
        &["1"],
    ] {
        assert_ne!(post(&proxy, lengths).await, Some(0x88), "{lengths:?}");
    }
    // Node may have begun to read those whose body was not what they said; it has not got one whole.
    assert_eq!(node.seen().len(), before);
}

#[tokio::test]
async fn no_coding_over_http2_reaches_node() {
    let node = TestNode::answering(|_| "ok".to_owned()).await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for coding in ["chunked", "gzip, chunked", "identity"] {
        let fields = [("transfer-encoding", coding)];
        assert_ne!(post_with(&proxy, &fields).await, Some(0x88), "{coding}");
    }
    assert!(node.seen().is_empty(), "{:?}", node.seen());
}

#[tokio::test]
async fn a_length_over_http1_reaches_node_once() {
    let node = TestNode::answering(|seen| format!("{:?}", seen.body)).await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for (lines, good) in [
        ("Content-Length: 2\r\nContent-Length: 2\r\n", true),
        ("Content-Length: 002\r\n", true),
        ("Content-Length: 2\r\nContent-Length: 02\r\n", true),
        ("Content-Length: 2\r\nContent-Length: 3\r\n", false),
        ("Content-Length: +2\r\n", false),
        ("Content-Length:\r\n", false),
    ] {
        let before = node.seen().len();
        let asked = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\nok");
        let answer = exchange(proxy.address, &proxy.tls, asked.as_bytes()).await;
        assert_eq!(answer.starts_with(b"HTTP/1.1 200"), good, "{lines}");
        let seen = node.seen().split_off(before);
        assert_eq!(seen.len(), usize::from(good), "{lines}");
        for seen in seen {
            let lengths: Vec<_> = seen.headers.get_all("content-length").iter().collect();
            assert_eq!(lengths, ["2"], "{lines}");
        }
    }
}

/// What a client gets as the lengths of this answer, over HTTP/2 and over HTTP/1.1.
async fn lengths(method: &str, answer: &str) -> [(u16, Vec<String>); 2] {
    let node = replying(answer).await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut sender = http2(proxy.address, &proxy.ca.client_config(&["h2"])).await;
    let asked = Request::builder().method(method).uri("https://localhost/");
    let got = sender
        .send_request(asked.body(Full::default()).unwrap())
        .await
        .unwrap();
    let values = got.headers().get_all("content-length").iter();
    let over_http2 = (
        got.status().as_u16(),
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect(),
    );
    if over_http2.0 == 200 && method == "GET" {
        assert_eq!(
            got.into_body().collect().await.unwrap().to_bytes(),
            "ok",
            "{answer}"
        );
    }
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    let asked = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let over_http1 = (
        head[9..12].parse().unwrap(),
        lines.map(|(_, value)| value.to_owned()).collect(),
    );
    assert!(
        !header_lines(&head).contains_key("transfer-encoding"),
        "{answer}"
    );
    [over_http2, over_http1]
}

#[tokio::test]
async fn the_length_of_an_answer_is_one_plain_number() {
    let settled = |status, length: &str| (status, vec![length.to_owned()]);
    for (method, answer, wanted) in [
        (
            "GET",
            "200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
            settled(200, "2"),
        ),
        (
            "GET",
            "200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            settled(200, "2"),
        ),
        (
            "GET",
            "200 OK\r\nContent-Length: 02\r\n\r\nok",
            settled(200, "2"),
        ),
        (
            "HEAD",
            "200 OK\r\nContent-Length: 7, 7\r\n\r\n",
            settled(200, "7"),
        ),
        (
            "HEAD",
            "200 OK\r\nContent-Length: 7\r\n\r\n",
            settled(200, "7"),
        ),
        (
            "GET",
            "204 No Content\r\nContent-Length: 2, 2\r\n\r\n",
            (204, vec![]),
        ),
        (
            "GET",
            "204 No Content\r\nContent-Length: 2\r\n\r\n",
            (204, vec![]),
        ),
    ] {
        let answers = lengths(method, &format!("HTTP/1.1 {answer}")).await;
        assert_eq!(answers, [wanted.clone(), wanted], "{method} {answer}");
    }
    for (method, answer) in [
        ("GET", "200 OK\r\nContent-Length: 2, 3\r\n\r\nok"),
        (
            "GET",
            "200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        ),
        ("GET", "200 OK\r\nContent-Length: +2\r\n\r\nok"),
        ("GET", "200 OK\r\nContent-Length: 2,\r\n\r\nok"),
        (
            "GET",
            "200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("HEAD", "200 OK\r\nContent-Length: 2, 3\r\n\r\n"),
        ("HEAD", "200 OK\r\nContent-Length: two\r\n\r\n"),
        ("GET", "304 Not Modified\r\nContent-Length: -2\r\n\r\n"),
    ] {
        let answers = lengths(method, &format!("HTTP/1.1 {answer}")).await;
        for (status, lengths) in answers {
            assert_eq!((status, lengths.len()), (502, 1), "{method} {answer}");
        }
    }
}
