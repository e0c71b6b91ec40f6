//! Upgraded connections: a real WebSocket server of Node behind the proxy, and what both ends see of one another.

mod handshakes;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::support::client::connect;
use crate::support::node::read_head;
use crate::support::{PATIENCE, TestNode, TestProxy, eventually};

use crate::support::websocket::{
    Client, Closed, both, frame, handshake, read_frame, switching, upgrade,
};

const MIB: usize = 1024 * 1024;

/// Close codes and reasons that an application may use.
fn endings() -> Vec<Closed> {
    [
        (1000, ""),
        (1000, "bye"),
        (1001, "going away"),
        (1008, "r\u{e8}gle \u{2013} \u{898f}\u{5247}"),
        (3000, ""),
        (4999, "the longest reason that fits: 123 bytes ..............................................................................."),
    ]
    .map(|(code, reason)| Closed::With(code, reason.to_owned()))
    .into_iter()
    .chain([Closed::WithoutCode])
    .collect()
}

#[tokio::test]
async fn messages_pass_both_ways() {
    let (_server, proxy) = both().await;
    let mut client = Client::open(&proxy, "/").await;
    for text in [
        "",
        "a",
        "{\"status\":\"delete_ic\"}",
        "\u{0}\u{1f980}\u{feff}",
    ] {
        client.echo(text).await;
    }
    let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for length in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
        client.echo(every_byte[..length].to_vec()).await;
    }
    client
        .echo(every_byte.repeat(240)[..16 * MIB].to_vec())
        .await;
}

#[tokio::test]
async fn many_messages_keep_their_order() {
    let (_server, proxy) = both().await;
    let mut client = Client::open(&proxy, "/").await;
    for number in 0..500 {
        client.send(number.to_string()).await;
    }
    for number in 0..500 {
        assert_eq!(client.message().await, number.to_string().into());
    }
}

#[tokio::test]
async fn fragments_are_not_joined() {
    let (_server, proxy) = both().await;
    let (mut stream, _) = upgrade(&proxy, "/", "").await;
    let command = json!({ "do": "fragments", "parts": ["one ", "", "three"] });
    let command = frame(0x81, format!("!{command}").as_bytes());
    stream.write_all(&command).await.unwrap();
    for expected in [(0x01, &b"one "[..]), (0x00, b""), (0x80, b"three")] {
        let (first, payload) = read_frame(&mut stream).await;
        assert_eq!((first, &payload[..]), expected);
    }
    // Node joins what it gets; a ping may stand between the fragments.
    for (first, part) in [
        (0x01, "fo"),
        (0x00, ""),
        (0x89, "still there?"),
        (0x80, "ur"),
    ] {
        stream
            .write_all(&frame(first, part.as_bytes()))
            .await
            .unwrap();
    }
    assert_eq!(
        read_frame(&mut stream).await,
        (0x8a, b"still there?".to_vec())
    );
    assert_eq!(read_frame(&mut stream).await, (0x81, b"four".to_vec()));
}

/// Frames that are torn, wrong or unknown are the business of both ends alone.
#[tokio::test]
async fn bytes_pass_as_they_are() {
    let node = TestNode::raw(|mut stream| async move {
        if read_head(&mut stream).await.is_some() {
            let mut answer = switching();
            answer.extend(b"first");
            stream.write_all(&answer).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let (mut stream, _) = upgrade(&proxy, "/", "").await;
    let mut first = [0; 5];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"first");
    let sent: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for size in [1, 7, 4096, 65_536, sent.len()] {
        let piece = &sent[..size];
        let mut received = vec![0; size];
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let both = async {
            // A TLS stream may keep what its socket did not take.
            let write = async {
                writer.write_all(piece).await?;
                writer.flush().await
            };
            tokio::try_join!(write, reader.read_exact(&mut received)).unwrap();
        };
        timeout(PATIENCE, both).await.unwrap();
        assert!(received == piece, "{size}");
    }
}

#[tokio::test]
async fn pings_and_pongs_pass_both_ways() {
    let (mut server, proxy) = both().await;
    let mut client = Client::open(&proxy, "/").await;
    server.process.expect("open").await;
    client.send(Message::Ping("to node".into())).await;
    assert_eq!(server.process.expect("ping").await["data"], "to node");
    assert_eq!(client.message().await, Message::Pong("to node".into()));

    client
        .command(json!({ "do": "ping", "data": "to the client" }))
        .await;
    assert_eq!(
        client.message().await,
        Message::Ping("to the client".into())
    );
    // The pong leaves with the next that the client does.
    client.echo("x").await;
    assert_eq!(server.process.expect("pong").await["data"], "to the client");

    client.send(Message::Pong("unasked".into())).await;
    assert_eq!(server.process.expect("pong").await["data"], "unasked");
}

#[tokio::test]
async fn node_sees_how_a_client_closes() {
    let (mut server, proxy) = both().await;
    for ending in endings() {
        let mut client = Client::open(&proxy, "/").await;
        server.process.expect("open").await;
        let close = match &ending {
            Closed::With(code, reason) => Some(CloseFrame {
                code: (*code).into(),
                reason: reason.as_str().into(),
            }),
            _ => None,
        };
        client.send(Message::Close(close)).await;
        // Node repeats both.
        assert_eq!(client.closed().await, ending);
        drop(client);
        assert_eq!(Closed::from(server.process.event().await), ending);
    }
    for reset in [false, true] {
        let client = Client::open(&proxy, "/").await;
        server.process.expect("open").await;
        if reset {
            client.0.get_ref().get_ref().0.set_zero_linger().unwrap();
        }
        drop(client);
        let ending = server.process.event().await;
        assert_eq!(Closed::from(ending), Closed::Abruptly, "reset: {reset}");
    }
    eventually("no tunnel is left", || async {
        proxy.metric("strangler_tunnels").await == 0.0
    })
    .await;
}

#[tokio::test]
async fn a_client_sees_how_node_closes() {
    let (mut server, proxy) = both().await;
    for ending in endings() {
        let mut client = Client::open(&proxy, "/").await;
        server.process.expect("open").await;
        let command = match &ending {
            Closed::With(code, reason) => json!({ "do": "close", "code": code, "reason": reason }),
            _ => json!({ "do": "close" }),
        };
        client.command(command).await;
        assert_eq!(client.closed().await, ending);
        drop(client);
        // The client has repeated the code.
        match (Closed::from(server.process.event().await), &ending) {
            (Closed::With(code, _), Closed::With(expected, _)) => assert_eq!(code, *expected),
            (answer, ending) => assert_eq!(answer, *ending),
        }
    }
    let mut client = Client::open(&proxy, "/").await;
    server.process.expect("open").await;
    client.command(json!({ "do": "terminate" })).await;
    assert_eq!(client.closed().await, Closed::Abruptly);
    drop(client);
    let ending = server.process.event().await;
    assert_eq!(Closed::from(ending), Closed::Abruptly);
    eventually("no tunnel is left", || async {
        proxy.metric("strangler_tunnels").await == 0.0
    })
    .await;
}

/// The last words of a Node that dies have arrived, although what the client goes on sending cannot be delivered.
#[tokio::test]
async fn a_close_frame_before_a_reset_reaches_a_client_that_is_sending() {
    let node = TestNode::raw(|mut stream| async move {
        if read_head(&mut stream).await.is_some() {
            let mut answer = switching();
            answer.extend([0x88, 0x02, 0x03, 0xf0]);
            stream.write_all(&answer).await.unwrap();
            stream.set_zero_linger().unwrap();
        }
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    // A client that needs no proxy gets them.
    let mut direct = TcpStream::connect(node.address).await.unwrap();
    last_words("direct", &mut direct).await;
    for _ in 0..10 {
        let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
        last_words("proxied", &mut stream).await;
    }
}

async fn last_words(who: &str, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut sent = handshake("/", "");
    sent.extend(frame(0x82, &[7; 1000]));
    stream.write_all(&sent).await.unwrap();
    let head = read_head(stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut close = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut close))
        .await
        .unwrap();
    assert_eq!(close, [0x88, 0x02, 0x03, 0xf0], "{who}");
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_node_wait() {
    const COUNT: usize = 512;
    const SIZE: usize = 128 * 1024;
    let (mut server, proxy) = both().await;
    let (mut stream, _) = upgrade(&proxy, "/", "").await;
    server.process.expect("open").await;
    let command = json!({ "do": "flood", "count": COUNT, "size": SIZE });
    let command = frame(0x81, format!("!{command}").as_bytes());
    stream.write_all(&command).await.unwrap();
    let refusals = &server.process.expect("flooded").await["refusals"];
    assert!(refusals.as_u64().unwrap() > 0, "{refusals}");

    let process = &mut server.process;
    let waiting = settled(async || {
        process.tell("buffered").await;
        let bytes = process.expect("buffered").await["bytes"].as_u64().unwrap();
        usize::try_from(bytes).unwrap()
    })
    .await;
    // What is not in Node is in the buffers of two TCP connections, and in the proxy.
    let elsewhere = COUNT * SIZE - waiting;
    assert!(elsewhere < 24 * MIB, "{elsewhere} bytes have left node");

    for number in 0..COUNT {
        let (first, payload) = read_frame(&mut stream).await;
        assert_eq!((first, payload.len()), (0x82, SIZE));
        assert!(
            payload
                .iter()
                .all(|byte| usize::from(*byte) == number % 256)
        );
    }
    server.process.tell("buffered").await;
    assert_eq!(server.process.expect("buffered").await["bytes"], 0);
}

#[tokio::test]
async fn a_node_that_does_not_read_makes_the_client_wait() {
    const COUNT: usize = 1024;
    const SIZE: usize = 60_000;
    let (mut server, proxy) = both().await;
    let (mut stream, _) = upgrade(&proxy, "/", "").await;
    server.process.expect("open").await;
    let pause = frame(0x81, b"!{\"do\":\"pause\"}");
    stream.write_all(&pause).await.unwrap();
    server.process.expect("paused").await;

    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        for number in 0..COUNT {
            let message = [u8::try_from(number % 256).unwrap(); SIZE];
            writer.write_all(&frame(0x82, &message)).await.unwrap();
            counter.fetch_add(SIZE, Ordering::Relaxed);
        }
        writer.flush().await.unwrap();
    });
    let elsewhere = settled(async || sent.load(Ordering::Relaxed)).await;
    assert!(
        elsewhere < 24 * MIB,
        "{elsewhere} bytes have left the client"
    );

    server.process.tell("resume").await;
    for number in 0..COUNT {
        let (first, payload) = read_frame(&mut reader).await;
        assert_eq!((first, payload.len()), (0x82, SIZE));
        assert!(
            payload
                .iter()
                .all(|byte| usize::from(*byte) == number % 256)
        );
    }
    writing.await.unwrap();
}

/// A value that has stopped changing. Nothing announces that nothing more will come, so this takes a time.
async fn settled(mut value: impl AsyncFnMut() -> usize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let (mut last, mut since) = (value().await, Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        assert!(Instant::now() < deadline, "{last} still changes");
        sleep(Duration::from_millis(20)).await;
        let now = value().await;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

#[tokio::test]
async fn two_hundred_idle_tunnels_come_and_go() {
    let (mut server, proxy) = both().await;
    let proxy = Arc::new(proxy);
    let mut opening = JoinSet::new();
    for _ in 0..200 {
        let proxy = Arc::clone(&proxy);
        opening.spawn(async move { Client::open(&proxy, "/").await });
    }
    let mut clients = opening.join_all().await;
    for _ in 0..200 {
        server.process.expect("open").await;
    }
    eventually("every tunnel is counted", || async {
        proxy.metric("strangler_tunnels").await == 200.0
    })
    .await;
    for (number, client) in clients.iter_mut().enumerate() {
        client.echo(number.to_string()).await;
    }
    // Half of them say goodbye.
    for client in clients.iter_mut().step_by(2) {
        client.send(Message::Close(None)).await;
    }
    for client in clients.iter_mut().step_by(2) {
        assert_eq!(client.closed().await, Closed::WithoutCode);
    }
    drop(clients);
    for _ in 0..200 {
        server.process.expect("close").await;
    }
    eventually("no tunnel is left", || async {
        proxy.metric("strangler_tunnels").await == 0.0
    })
    .await;
}

#[tokio::test]
async fn a_drain_closes_both_ends_with_1001() {
    let (mut server, mut proxy) = both().await;
    let mut client = Client::open(&proxy, "/").await;
    server.process.expect("open").await;
    client.echo("x").await;
    proxy.stop.drain();
    let going_away = Closed::With(1001, String::new());
    assert_eq!(client.closed().await, going_away);
    drop(client);
    assert_eq!(Closed::from(server.process.event().await), going_away);
    let running = &mut proxy.running;
    // Long before the limit of a drain.
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

/// RFC 6455 §7.1.1: the server closes TCP first, and clients wait for that.
#[tokio::test]
async fn a_drain_does_not_wait_for_clients_that_wait_for_it() {
    let (mut server, mut proxy) = both().await;
    let (mut stream, _) = upgrade(&proxy, "/", "").await;
    server.process.expect("open").await;
    proxy.stop.drain();
    assert_eq!(read_frame(&mut stream).await, (0x88, vec![0x03, 0xe9]));
    stream.write_all(&frame(0x88, &[0x03, 0xe9])).await.unwrap();
    let end = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let running = &mut proxy.running;
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_flip_does_not_touch_open_tunnels() {
    let (mut server, proxy) = both().await;
    let other = TestNode::echo().await;
    proxy
        .edit(
            &server.url(),
            "[rule]\nhello = { http = [\"GET /hello\"], to = \"node\" }",
        )
        .await;
    let mut client = Client::open(&proxy, "/hello").await;
    assert_eq!(server.process.expect("open").await["url"], "/hello");
    assert_eq!(proxy.get("/hello").await.text(), "plain");
    server.process.expect("request").await;

    proxy
        .edit(
            &other.url(),
            "[rule]\nhello = { http = [\"GET /hello\"], to = \"native\" }",
        )
        .await;
    assert_eq!(proxy.get("/hello").await.text(), "native:hello");
    assert_eq!(proxy.get("/x").await.text(), "node:/x");
    client.echo("still here").await;
    assert_eq!(proxy.metric("strangler_tunnels").await, 1.0);
    client.command(json!({ "do": "close", "code": 4000 })).await;
    assert_eq!(client.closed().await, Closed::With(4000, String::new()));
}
