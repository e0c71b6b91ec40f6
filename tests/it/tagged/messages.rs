//! Each message goes to its side, whole and in order.

use std::collections::HashSet;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use super::world::{ALL_NATIVE, MIXED, PATH, World, side_of, tagged};
use crate::support::websocket::{Client, Closed, frame, read_frame, upgrade};

#[tokio::test]
async fn messages_of_one_connection_go_to_either_side() {
    let world = World::new("", MIXED).await;
    let mut client = world.open().await;
    for number in 0..20 {
        let (tag, side) = [("n", "native"), ("o", "node")][number % 2];
        assert_eq!(side_of(&mut client, &tagged(tag, number)).await, side);
    }
    for text in [
        "",
        "?",
        "{",
        "[]",
        r#"{"type":1}"#,
        r#"{"kind":"n"}"#,
        r#"{"type":"N"}"#,
        r#"{"type":"n","type":"o"}"#,
        r#"{"a":{"type":"n"}}"#,
    ] {
        assert_eq!(side_of(&mut client, text).await, "node", "{text}");
    }
    for text in [
        r#" {"data":{"type":"o"},"type":"n"} "#,
        r#"{"type":"o","type":"n"}"#,
        r#"{"ty\u0070e":"\u006e"}"#,
        "{\"type\":\"n\",\"text\":\"\u{0}\u{1f69a}\u{898f}\u{5247}\"}",
    ] {
        // Control characters are no JSON; what is left is a text with every kind of character.
        let text = text.replace('\u{0}', "");
        assert_eq!(side_of(&mut client, &text).await, "native", "{text}");
    }
    let events = |side: &str| format!("strangler_events_total{{rule=\"n\",side=\"{side}\"}}");
    assert!(world.proxy.metric(&events("native")).await > 13.5);
    assert!(world.proxy.metric(&events("node")).await < 0.5);
}

/// A client cannot choose the side by its spelling (issue 9): applications read the bytes of both kinds of messages, and
/// find a handler by whatever JavaScript makes of the tag.
#[tokio::test]
async fn an_odd_spelling_of_a_native_tag_never_reaches_node() {
    for to in ["native", "native only"] {
        let rules = format!(r#"n = {{ events = {{ game = ["n", "7", "true"] }}, to = "{to}" }}"#);
        let world = World::new("", &rules).await;
        let mut client = world.open().await;
        for odd in [
            "\u{feff}{\"type\":\"n\"}",
            r#"{"type":7}"#,
            r#"{"type":7.0e0}"#,
            r#"{"type":true}"#,
        ] {
            assert_eq!(side_of(&mut client, odd).await, "native", "{odd}");
        }
        for odd in [
            &br#"{"type":"n"}"#[..],
            b"{\"type\":\"n\",\"x\":\"\xff\"}",
            b"\xef\xbb\xbf{\"type\":\"n\"}",
        ] {
            client.send(odd.to_vec()).await;
            let expected = [b"native:", odd].concat();
            assert_eq!(client.message().await, Message::binary(expected));
        }
        assert_eq!(side_of(&mut client, r#"{"type":8}"#).await, "node");
        for odd in [r#"{"type":["n"]}"#, r#"{"type":[["n"]]}"#] {
            let mut client = world.open().await;
            client.send(odd).await;
            assert_eq!(client.closed().await, Closed::Abruptly, "{odd}");
        }
    }
}

/// Nor by the spelling of the path or of the handshake: Node's handler may be less strict than `ws`.
#[tokio::test]
async fn an_odd_spelling_of_a_native_socket_never_reaches_node() {
    let world = World::new("", MIXED).await;
    for target in [
        "/API/ws",
        "/api/ws/",
        "/api//ws",
        "/api/./ws",
        "/x/../api/ws",
        "/api/%77s",
        "/api\\ws",
    ] {
        let (_, head) = upgrade(&world.proxy, target, "").await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{target}: {head}");
    }
    let (_, head) = upgrade(&world.proxy, "/other", "").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    world.edit("", "").await;
    let (_, head) = upgrade(&world.proxy, "/API/ws", "").await;
    assert!(
        head.starts_with("HTTP/1.1 101 "),
        "nothing is native: {head}"
    );
}

#[tokio::test]
async fn binary_messages_are_nodes_unless_a_rule_says_all() {
    let world = World::new("", MIXED).await;
    let mut client = world.open().await;
    let bytes: Vec<u8> = (0..=255).collect();
    client.echo(bytes.clone()).await;
    client.echo(br#"{"type":"o"}"#.to_vec()).await;
    world.edit("", ALL_NATIVE).await;
    client.send(bytes.clone()).await;
    let expected = [b"native:", &bytes[..]].concat();
    assert_eq!(client.message().await, Message::binary(expected));
}

#[tokio::test]
async fn flips_reach_the_next_message_of_open_connections() {
    let world = World::new("", "").await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(world.open().await);
    }
    world.legs("node", 5.0).await;
    for number in 0..6 {
        let (rules, side) = [("", "node"), (MIXED, "native")][number % 2];
        world.edit("", rules).await;
        for client in &mut clients {
            assert_eq!(side_of(client, &tagged("n", number)).await, side);
            assert_eq!(side_of(client, &tagged("o", number)).await, "node");
        }
    }
}

#[tokio::test]
async fn flips_can_be_left_to_new_connections() {
    let keys = "flips = \"connection\"";
    let world = World::new(keys, "").await;
    let mut old = world.open().await;
    world.edit(keys, MIXED).await;
    let mut new = world.open().await;
    for number in 0..3 {
        assert_eq!(side_of(&mut old, &tagged("n", number)).await, "node");
        assert_eq!(side_of(&mut new, &tagged("n", number)).await, "native");
    }
    world.edit(keys, "").await;
    assert_eq!(side_of(&mut old, &tagged("n", 3)).await, "node");
    assert_eq!(side_of(&mut new, &tagged("n", 3)).await, "native");
}

#[tokio::test]
async fn a_share_of_the_clients_stays_on_its_side() {
    let share = |percent: &str| {
        format!(
            r#"n = {{ events = {{ game = ["n"] }}, to = "native {percent}", sticky = "query:user" }}"#
        )
    };
    let world = World::new("", &share("50%")).await;
    let mut natives = HashSet::new();
    for user in 0..24 {
        let target = format!("{PATH}?user={user}");
        for connection in 0..2 {
            let mut client = Client::open(&world.proxy, &target).await;
            for number in 0..3 {
                let side = side_of(&mut client, &tagged("n", number)).await;
                let is_native = side == "native";
                if connection + number == 0 && is_native {
                    natives.insert(user);
                }
                assert_eq!(is_native, natives.contains(&user), "user {user}");
            }
        }
    }
    // 50 % of 24: fewer than 3 or more than 21 have a chance of one in 20,000, and the users are always the same.
    assert!((3..=21).contains(&natives.len()), "{natives:?}");
    let mut client = Client::open(&world.proxy, &format!("{PATH}?user=1")).await;
    for (percent, side) in [("0%", "node"), ("100%", "native"), ("0%", "node")] {
        world.edit("", &share(percent)).await;
        assert_eq!(side_of(&mut client, &tagged("n", 0)).await, side);
    }
    // Who is inside a smaller share is inside a larger one.
    world.edit("", &share("75%")).await;
    for user in natives {
        let mut client = Client::open(&world.proxy, &format!("{PATH}?user={user}")).await;
        assert_eq!(side_of(&mut client, &tagged("n", 0)).await, "native");
    }
}

#[tokio::test]
async fn conditions_look_into_the_message() {
    let rules = r#"
        small = { events = { game = ["n"] }, where = { "/size" = [1, 2] }, to = "native" }
        rest = { events = { game = ["*"] }, where = { "/to" = "native" }, to = "native" }
    "#;
    let world = World::new("", rules).await;
    let mut client = world.open().await;
    for (text, side) in [
        (r#"{"type":"n","size":1}"#, "native"),
        (r#"{"type":"n","size":2.0}"#, "native"),
        (r#"{"type":"n","size":3}"#, "node"),
        (r#"{"type":"n"}"#, "node"),
        (r#"{"type":"n","size":3,"to":"native"}"#, "native"),
        (r#"{"type":"x","to":"native"}"#, "native"),
        (r#"{"to":"native"}"#, "native"),
        (r#"{"to":"node"}"#, "node"),
    ] {
        assert_eq!(side_of(&mut client, text).await, side, "{text}");
    }
}

#[tokio::test]
async fn order_is_kept_on_each_side() {
    let world = World::new("", MIXED).await;
    let mut client = world.open().await;
    // Messages that come before native's leg is open, too.
    for number in 0..500 {
        let tag = if number % 3 == 0 { "n" } else { "o" };
        client.send(tagged(tag, number)).await;
    }
    let (mut native, mut node) = (
        (0..500).filter(|n| n % 3 == 0),
        (0..500).filter(|n| n % 3 != 0),
    );
    for _ in 0..500 {
        let answer = client.message().await;
        let answer = answer.to_text().unwrap().to_owned();
        let expected = match answer.strip_prefix("native:") {
            Some(_) => format!("native:{}", tagged("n", native.next().unwrap())),
            None => tagged("o", node.next().unwrap()),
        };
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn messages_of_every_size_pass() {
    let world = World::new("max_payload = \"4MiB\"", MIXED).await;
    let mut client = world.open().await;
    for size in [0, 1, 125, 126, 65_535, 65_536, 70_000, 1 << 21] {
        client.echo(vec![1; size]).await;
        client.echo("é".repeat(size / 2)).await;
        let text = json!({ "type": "n", "text": "x".repeat(size) }).to_string();
        assert_eq!(side_of(&mut client, &text).await, "native");
    }
}

/// Over the bridge fragments are joined, on their way to either side.
#[tokio::test]
async fn fragments_are_joined() {
    let world = World::new("", MIXED).await;
    let (mut stream, _) = upgrade(&world.proxy, PATH, "").await;
    for (tag, answer) in [("n", "native:"), ("o", "")] {
        let text = format!(r#"{{"type":"{tag}","text":"èé"}}"#);
        let (first, rest) = text.as_bytes().split_at(20);
        // In the middle of a character.
        let (second, third) = rest.split_at(3);
        for (head, part) in [(0x01, first), (0x00, second), (0x00, b""), (0x80, third)] {
            stream.write_all(&frame(head, part)).await.unwrap();
        }
        let expected = format!("{answer}{text}").into_bytes();
        assert_eq!(read_frame(&mut stream).await, (0x81, expected));
    }
    let command = json!({ "do": "fragments", "parts": ["one ", "", "three"] });
    let command = frame(0x81, format!("!{command}").as_bytes());
    stream.write_all(&command).await.unwrap();
    let whole = (0x81, b"one three".to_vec());
    assert_eq!(read_frame(&mut stream).await, whole);
}

/// What both sides would say, Node alone says while it is there.
#[tokio::test]
async fn a_greeting_comes_once() {
    let keys = r#"once = [{ name = "hello", where = { "/to" = "all" } }]"#;
    let world = World::new(keys, MIXED).await;
    let mut client = world.open().await;
    let say = |text: &str| json!({ "type": "n", "do": "say", "data": text }).to_string();
    client.send(say(r#"{"type":"hello","to":"all"}"#)).await;
    client.send(say(r#"{"type":"hello","to":"you"}"#)).await;
    let heard = client.message().await;
    assert_eq!(heard.to_text().unwrap(), r#"{"type":"hello","to":"you"}"#);
    // Node's own.
    client.echo(r#"{"type":"hello","to":"all"}"#).await;
    world.edit(keys, ALL_NATIVE).await;
    let stopped = world.kill().await;
    stopped.proxy.legs("node", 0.0).await;
    client.send(say(r#"{"type":"hello","to":"all"}"#)).await;
    let heard = client.message().await;
    assert_eq!(heard.to_text().unwrap(), r#"{"type":"hello","to":"all"}"#);
}
