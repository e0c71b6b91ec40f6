//! Before there is a connection: who accepts a client or refuses it, and what both sides are told of it.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::world::{ALL_NATIVE, MIXED, PATH, World, report, side_of, tagged};
use crate::support::client::connect;
use crate::support::websocket::{Client, Server, frame, handshake, read_frame, upgrade};
use crate::support::{PATIENCE, TestProxy};

#[tokio::test]
async fn both_sides_get_the_query_and_the_authorization_as_they_are() {
    let mut world = World::new("", MIXED).await;
    let query = "a=%20b&token=x%2Ey+%e8&&=&token=z%00";
    let target = format!("{PATH}?{query}");
    let lines = "Authorization: Bearer abc.def\r\nX-Own: 1\r\nCookie: a=b; c=d\r\nOrigin: https://play.example\r\n";
    let (mut stream, head) = upgrade(&world.proxy, &target, lines).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let open = report(&mut world.server, "open").await;
    assert_eq!(open["url"], target);
    let headers = serde_json::to_string(&open["headers"]).unwrap();
    for header in [
        r#""Authorization","Bearer abc.def""#,
        r#""X-Own","1""#,
        r#""Cookie","a=b; c=d""#,
        r#""Origin","https://play.example""#,
    ] {
        let header = header.to_lowercase();
        assert!(headers.to_lowercase().contains(&header), "{headers}");
    }
    let ask = json!({ "type": "n", "do": "handshake" }).to_string();
    stream
        .write_all(&frame(0x81, ask.as_bytes()))
        .await
        .unwrap();
    let (_, answer) = read_frame(&mut stream).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let expected = json!({ "query": query, "authorization": "Bearer abc.def" });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_sub_protocol_is_chosen_by_who_accepts() {
    let offer = "Sec-WebSocket-Protocol: readers.v1, readers.v2\r\n";
    for rules in [MIXED, ALL_NATIVE] {
        let world = World::new("", rules).await;
        let (mut stream, head) = upgrade(&world.proxy, PATH, offer).await;
        let head = head.to_lowercase();
        assert!(
            head.contains("sec-websocket-protocol: readers.v2\r\n"),
            "{head}"
        );
        assert!(!head.contains("extensions"), "{head}");
        stream
            .write_all(&frame(0x81, tagged("n", 1).as_bytes()))
            .await
            .unwrap();
        let expected = format!("native:{}", tagged("n", 1)).into_bytes();
        assert_eq!(read_frame(&mut stream).await, (0x81, expected));
        let (_, head) = upgrade(&world.proxy, PATH, "").await;
        assert!(!head.to_lowercase().contains("protocol:"), "{head}");
        let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let (_, head) = upgrade(&world.proxy, PATH, extension).await;
        assert!(!head.to_lowercase().contains("extensions"), "{head}");
    }
}

/// The whole answer to an upgrade, up to the end of the connection.
async fn refusal(proxy: &TestProxy, target: &str) -> String {
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    let request = handshake(target, "");
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    let mut read = async || {
        while !String::from_utf8_lossy(&answer).ends_with('}') {
            let mut chunk = [0; 1024];
            let count = stream.read(&mut chunk).await.unwrap();
            assert!(count > 0, "the end after {answer:?}");
            answer.extend_from_slice(&chunk[..count]);
        }
    };
    timeout(PATIENCE, read()).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn node_refuses_before_the_upgrade() {
    let server = Server::start().await;
    let rules = "[socket.game]\nkind = \"websocket\"\npath = \"/refused\"\nmode = \"bridge\"\ntag = \"/type\"";
    let proxy = TestProxy::new(&server.url(), rules).await;
    let answer = refusal(&proxy, "/refused").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{head}");
    assert_eq!(body, r#"{"error":"who are you?"}"#);
    let head = head.to_lowercase();
    for line in [
        "content-type: application/json",
        "www-authenticate: basic realm=\"readers\"",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "content-length: 24",
    ] {
        assert!(head.contains(&format!("\r\n{line}")), "{head}");
    }
    assert!(!head.contains("upgrade"), "{head}");
}

#[tokio::test]
async fn native_refuses_where_node_is_not_needed() {
    let world = World::new("", ALL_NATIVE).await;
    let target = format!("{PATH}?native=refuses");
    let answer = refusal(&world.proxy, &target).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert!(head.contains("x-native: 1"), "{head}");
    assert_eq!(body, r#"{"error":"native does not know you"}"#);
    let answer = refusal(&world.proxy, &format!("{PATH}?native=panics")).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("native-panic"), "{answer}");
}

/// Node has accepted it, so its messages are Node's.
#[tokio::test]
async fn a_client_that_native_refuses_stays_with_node() {
    let world = World::new("", MIXED).await;
    for query in ["native=refuses", "native=panics", "native=leaves"] {
        let mut client = Client::open(&world.proxy, &format!("{PATH}?{query}")).await;
        if query == "native=leaves" {
            assert_eq!(client.message().await, Message::text("sorry"));
            world.legs("native", 0.0).await;
        }
        client.echo(tagged("o", 1)).await;
        assert_eq!(side_of(&mut client, &tagged("n", 0)).await, "node");
        // It is not asked at once whether it has another opinion.
        assert_eq!(side_of(&mut client, &tagged("n", 1)).await, "node");
        drop(client);
        world.legs("node", 0.0).await;
    }
    // Issue 9: an operator sees it.
    let took = &world.proxy.table().await["sockets"][0]["native_clients"];
    assert_eq!(
        (&took["refused"], &took["dropped"], &took["accepted"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert!(took["broken"].as_u64() >= Some(1), "{took}");
}

#[tokio::test]
async fn what_is_no_websocket_is_nodes() {
    let world = World::new("", MIXED).await;
    let answer = world.proxy.get(PATH).await;
    assert_eq!(answer.text(), "plain");
    let mut stream = connect(world.proxy.address, &world.proxy.tls)
        .await
        .unwrap();
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}
