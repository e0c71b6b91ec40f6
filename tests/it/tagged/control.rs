//! What belongs to the connection and not to a side: pings, and the end.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::world::{ALL_NATIVE, MIXED, PATH, World, report, side_of, tagged};
use crate::support::PATIENCE;
use crate::support::websocket::{Closed, frame, read_frame, upgrade};

fn close(code: u16, reason: &str) -> Message {
    Message::Close(Some(CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }))
}

const LONGEST: &str = "the longest reason that fits: 123 bytes ...............................................................................123";

#[tokio::test]
async fn pings_are_between_node_and_the_client() {
    let mut world = World::new("", MIXED).await;
    let mut client = world.open().await;
    assert_eq!(side_of(&mut client, &tagged("n", 0)).await, "native");
    client.send(Message::Ping("are you there?".into())).await;
    assert_eq!(
        client.message().await,
        Message::Pong("are you there?".into())
    );
    let ping = report(&mut world.server, "ping").await;
    assert_eq!(ping["data"], "are you there?");
    client
        .command(json!({ "do": "ping", "data": "and you?" }))
        .await;
    // The library answers.
    assert_eq!(client.message().await, Message::Ping("and you?".into()));
    client.echo("flush").await;
    let pong = report(&mut world.server, "pong").await;
    assert_eq!(pong["data"], "and you?");
}

#[tokio::test]
async fn native_hears_its_pongs_from_the_bridge() {
    let mut world = World::new("", MIXED).await;
    let mut client = world.open().await;
    let ping = json!({ "type": "n", "do": "ping", "data": "native asks" }).to_string();
    client.send(ping.clone()).await;
    assert_eq!(client.message().await, Message::text("pong:native asks"));
    // Without Node it asks the client.
    world.edit("", ALL_NATIVE).await;
    report(&mut world.server, "open").await;
    let stopped = world.kill().await;
    stopped.proxy.legs("node", 0.0).await;
    client.send(ping).await;
    assert_eq!(client.message().await, Message::Ping("native asks".into()));
    assert_eq!(client.message().await, Message::text("pong:native asks"));
    client.send(Message::Ping("hello".into())).await;
    assert_eq!(client.message().await, Message::Pong("hello".into()));
}

#[tokio::test]
async fn node_ends_it_with_any_code() {
    let mut world = World::new("", MIXED).await;
    for (code, reason) in [
        (1000, ""),
        (1000, "bye"),
        (1001, "going away"),
        (1008, "règle – 規則"),
        (1011, ""),
        (3000, "x"),
        (4000, ""),
        (4999, LONGEST),
    ] {
        let mut client = world.open().await;
        client
            .command(json!({ "do": "close", "code": code, "reason": reason }))
            .await;
        let expected = Closed::With(code, reason.to_owned());
        assert_eq!(client.closed().await, expected);
        // What the client answered.
        let heard: Closed = report(&mut world.server, "close").await.into();
        assert_eq!(heard, expected);
    }
    let mut client = world.open().await;
    client.command(json!({ "do": "close" })).await;
    assert_eq!(client.closed().await, Closed::WithoutCode);
    let heard: Closed = report(&mut world.server, "close").await.into();
    assert_eq!(heard, Closed::WithoutCode);
    world.legs("node", 0.0).await;
    world.legs("native", 0.0).await;
}

#[tokio::test]
async fn the_client_ends_it_with_any_code() {
    let mut world = World::new("", MIXED).await;
    for (code, reason) in [
        (1000, "Client disconnect"),
        (1001, ""),
        (3001, "x"),
        (4999, LONGEST),
    ] {
        let mut client = world.open().await;
        assert_eq!(side_of(&mut client, &tagged("n", 0)).await, "native");
        client.send(close(code, reason)).await;
        let expected = Closed::With(code, reason.to_owned());
        assert_eq!(client.closed().await, expected);
        let heard: Closed = report(&mut world.server, "close").await.into();
        assert_eq!(heard, expected);
    }
    let mut client = world.open().await;
    client.send(Message::Close(None)).await;
    assert_eq!(client.closed().await, Closed::WithoutCode);
    let heard: Closed = report(&mut world.server, "close").await.into();
    assert_eq!(heard, Closed::WithoutCode);
    world.legs("node", 0.0).await;
    world.legs("native", 0.0).await;
}

/// The answer of a side to the last message comes before its close frame.
#[tokio::test]
async fn what_was_said_before_the_end_is_answered() {
    let mut world = World::new("", MIXED).await;
    let (mut stream, _) = upgrade(&world.proxy, PATH, "").await;
    let mut frames = Vec::new();
    for number in 0..50 {
        frames.extend(frame(0x81, tagged("o", number).as_bytes()));
    }
    frames.extend(frame(0x88, &[0x0f, 0xa0]));
    stream.write_all(&frames).await.unwrap();
    for number in 0..50 {
        let expected = tagged("o", number).into_bytes();
        assert_eq!(read_frame(&mut stream).await, (0x81, expected));
    }
    assert_eq!(read_frame(&mut stream).await, (0x88, vec![0x0f, 0xa0]));
    ends(&mut stream).await;
    let heard: Closed = report(&mut world.server, "close").await.into();
    assert_eq!(heard, Closed::With(4000, String::new()));
}

async fn ends(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, b"", "more after the end");
}

/// A client that says something and is gone has said it.
#[tokio::test]
async fn the_last_words_of_a_client_that_breaks_off_arrive() {
    let mut world = World::new("", MIXED).await;
    let (mut stream, _) = upgrade(&world.proxy, PATH, "").await;
    report(&mut world.server, "open").await;
    stream.write_all(&frame(0x89, b"last")).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    assert_eq!(report(&mut world.server, "ping").await["data"], "last");
    let heard: Closed = report(&mut world.server, "close").await.into();
    assert_eq!(heard, Closed::Abruptly);
}

#[tokio::test]
async fn native_ends_it_too() {
    for rules in [MIXED, ALL_NATIVE] {
        let mut world = World::new("", rules).await;
        let mut client = world.open().await;
        let command = json!({ "type": "n", "do": "close", "code": 4001, "data": "kicked" });
        client.send(command.to_string()).await;
        let expected = Closed::With(4001, "kicked".to_owned());
        assert_eq!(client.closed().await, expected);
        if rules == MIXED {
            let heard: Closed = report(&mut world.server, "close").await.into();
            assert_eq!(heard, expected);
        }
        world.legs("native", 0.0).await;
    }
}

#[tokio::test]
async fn native_answers_a_close_frame_where_node_is_not_needed() {
    let world = World::new("", ALL_NATIVE).await;
    let mut client = world.open().await;
    assert_eq!(side_of(&mut client, "anything").await, "native");
    client.send(close(4002, "done")).await;
    assert_eq!(client.closed().await, Closed::With(4002, "done".to_owned()));
    world.legs("native", 0.0).await;
}

#[tokio::test]
async fn broken_frames_are_refused_behind_the_answers() {
    let mut world = World::new("max_payload = \"1KiB\"", MIXED).await;
    for (name, broken, code) in [
        ("too big", frame(0x81, &[b'x'; 1025]), 1009),
        ("no UTF-8", frame(0x81, b"\xff"), 1007),
        ("reserved bit", frame(0xc1, b""), 1002),
        ("opcode", frame(0x83, b""), 1002),
        ("no mask", vec![0x81, 0], 1002),
        ("close code", frame(0x88, &[0x03, 0xed]), 1002),
        ("continuation", frame(0x80, b""), 1002),
    ] {
        let (mut stream, _) = upgrade(&world.proxy, PATH, "").await;
        let mut frames = frame(0x81, tagged("o", 1).as_bytes());
        frames.extend(frame(0x81, tagged("n", 2).as_bytes()));
        frames.extend(&broken);
        stream.write_all(&frames).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(String::from_utf8(read_frame(&mut stream).await.1).unwrap());
        }
        answers.sort();
        let expected = [format!("native:{}", tagged("n", 2)), tagged("o", 1)];
        assert_eq!(answers, expected, "{name}");
        let code: u16 = code;
        let last = (0x88, code.to_be_bytes().to_vec());
        assert_eq!(read_frame(&mut stream).await, last, "{name}");
        ends(&mut stream).await;
        let heard: Closed = report(&mut world.server, "close").await.into();
        assert_eq!(heard, Closed::Abruptly, "{name}");
    }
    let refused = r#"strangler_refused_packets_total{reason="malformed",socket="game"}"#;
    let count = world.proxy.metric(refused).await;
    assert!((count - 7.0).abs() < 0.5, "{count}");
}

#[tokio::test]
async fn a_drain_says_1001_to_both_ends() {
    let mut world = World::new("", MIXED).await;
    let mut client = world.open().await;
    assert_eq!(side_of(&mut client, &tagged("n", 0)).await, "native");
    world.proxy.stop.drain();
    let expected = Closed::With(1001, String::new());
    assert_eq!(client.closed().await, expected);
    let heard: Closed = report(&mut world.server, "close").await.into();
    assert_eq!(heard, expected);
    timeout(PATIENCE, &mut world.proxy.running)
        .await
        .unwrap()
        .unwrap();
}
