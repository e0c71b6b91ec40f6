//! A client cannot choose the side by its spelling (issue 9). `native only` is a boundary: what the proxy cannot surely
//! read never reaches Node.

use serde_json::json;

use super::client::{Client, POLLING, WEBSOCKET};
use super::world::{World, refused};
use crate::support::TestProxy;
use crate::support::client::request;
use crate::support::websocket::upgrade;

const NATIVE: &str = r#"n = { events = { all = ["side"] }, to = "native" }"#;
const ONLY: &str = r#"n = { events = { all = ["side"] }, to = "native only" }"#;
const WITHOUT_HANDLER: &str =
    r#"n = { events = { all = ["side", "volatile", "5"] }, to = "native only" }"#;

/// Node would read each of these as the event `side`.
const ODD: [&str; 6] = [
    "42 1[\"side\",1]",
    "421 [\"side\",1]",
    "42\u{a0}1[\"side\",1]",
    "42\u{2028}[\"side\",1]",
    "429007199254740993[\"side\",1]",
    "42123456789012345678901234567890[\"side\",1]",
];

#[tokio::test]
async fn an_odd_spelling_of_a_native_event_never_reaches_node() {
    for rules in [NATIVE, ONLY] {
        let world = World::new("", rules).await;
        for (count, odd) in ODD.into_iter().enumerate() {
            let mut client = world.client().await;
            assert_eq!(client.side(0).await, "native");
            assert!(client.try_send(odd).await);
            client.is_closed().await;
            let count = f64::from(u32::try_from(count).unwrap()) + 1.0;
            refused(&world.proxy, "unreadable", count).await;
        }
        let node = world
            .proxy
            .metric(r#"strangler_events_total{rule="n",side="node"}"#);
        assert!(node.await < 0.5, "{rules}");
    }
}

/// What is odd and claimed by nobody is Node's as ever.
#[tokio::test]
async fn an_odd_spelling_of_an_event_of_node_stays_nodes() {
    let world = World::new("", NATIVE).await;
    let mut client = world.client().await;
    client.send("42 1[\"message-with-ack\",1]").await;
    client.hears("431[1]").await;
    client.send("42[6,1]").await;
    client.send("42[\"\\ud800\",1]").await;
    client.node_echoes(2).await;
    world.edit("", "").await;
    client.send("42 3[\"message-with-ack\",3]").await;
    client.hears("433[3]").await;
}

/// Nobody gets what native has no handler for.
#[tokio::test]
async fn native_only_without_a_handler_is_nobodys() {
    let world = World::new("", WITHOUT_HANDLER).await;
    let mut client = world.client().await;
    // A number is a name as well.
    for event in ["42[\"volatile\",1]", "42[5]", "42[5.0e0]"] {
        client.send(event).await;
    }
    // Node would have said `volatile-end` before.
    assert_eq!(client.side(2).await, "native");
    client.node_echoes(3).await;
    let ignored = r#"strangler_unanswered_total{reason="no-handler",rule="n"}"#;
    assert!((world.proxy.metric(ignored).await - 3.0).abs() < 0.5);
    let node = world
        .proxy
        .metric(r#"strangler_events_total{rule="n",side="node"}"#);
    assert!(node.await < 0.5);
}

/// The status of an upgrade and that of a request.
async fn statuses(proxy: &TestProxy, query: &str) -> [u16; 2] {
    let (_, head) = upgrade(proxy, &format!("{WEBSOCKET}{query}"), "").await;
    let upgraded = head.split(' ').nth(1).unwrap().parse().unwrap();
    let polled = proxy.get(&format!("{POLLING}{query}")).await.status;
    [upgraded, polled.into()]
}

/// No spelling of a handshake opens a session of Node's own, whose events nobody would read.
#[tokio::test]
async fn no_handshake_opens_a_session_past_the_rules() {
    for rules in [NATIVE, ONLY] {
        let world = World::new("", rules).await;
        let proxy = &world.proxy;
        assert_eq!(statuses(proxy, "&j=1").await, [400, 400], "{rules}");
        assert_eq!(statuses(proxy, "&%6A=1").await, [400, 400], "{rules}");
        // ws reads any number that is 13.
        for version in ["13.0", "0xd", " 13"] {
            let line = format!("Sec-WebSocket-Version: {version}\r\n");
            let head = upgrade_with(proxy, WEBSOCKET, &line).await;
            let served = head.starts_with("HTTP/1.1 101 ");
            assert!(!served || version == " 13", "{version}: {head}");
        }
        // Engine.IO serves everything below its path.
        for below in ["x", "socket.io", "a/b"] {
            let target = WEBSOCKET.replace("/?", &format!("/{below}?"));
            let mut client = Client::open_at(proxy, &target).await;
            client.connect("", json!({})).await;
            assert_eq!(client.side(1).await, "native", "{target}");
        }
        let library = proxy.get("/socket.io/socket.io.js").await;
        assert_eq!(library.status, 200);
    }
}

/// As `upgrade`, with another version.
async fn upgrade_with(proxy: &TestProxy, target: &str, version: &str) -> String {
    use crate::support::PATIENCE;
    use crate::support::client::connect;
    use crate::support::node::read_head;
    use tokio::io::AsyncWriteExt;

    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    let head = String::from_utf8(crate::support::websocket::handshake(target, "")).unwrap();
    let head = head.replace("Sec-WebSocket-Version: 13\r\n", version);
    stream.write_all(head.as_bytes()).await.unwrap();
    let head = tokio::time::timeout(PATIENCE, read_head(&mut stream)).await;
    head.unwrap().unwrap()
}

/// Sessions that Node has by itself: another version of the protocol, or from before the socket was bridged.
#[tokio::test]
async fn a_boundary_leaves_no_sessions_to_node() {
    let world = World::with(&[("ALLOW_EIO3", "1")], "", NATIVE).await;
    let old = "/socket.io/?EIO=3&transport=polling";
    let opened = world.proxy.get(old).await;
    assert_eq!(opened.status, 200, "with `native`, Node serves old clients");
    let text = opened.text();
    let sid = text.split("\"sid\":\"").nth(1).unwrap();
    let session = format!("{old}&sid={}", sid.split('"').next().unwrap());
    let post = |body: &str| request("POST", &session, body.to_owned());
    let mut http = world.proxy.client().await;
    assert_eq!(http.send(post("1:3")).await.unwrap().text(), "ok");

    world.edit("", ONLY).await;
    assert_eq!(world.proxy.get(old).await.status, 400);
    let answer = http.send(post("1:3")).await.unwrap();
    assert!(
        answer.text().contains("Session ID unknown"),
        "{}",
        answer.text()
    );
}
