//! Sides that go away, and ends that do not listen.

use futures_util::StreamExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::world::{ALL_NATIVE, MIXED, PATH, World, report, side_of, tagged};
use crate::support::websocket::{Client, Closed, upgrade};
use crate::support::{TestProxy, eventually};

const RESUME: &str = "node_loss = \"resume\"";

#[tokio::test]
async fn a_lost_node_bounces_its_clients() {
    let world = World::new("", MIXED).await;
    let mut client = world.open().await;
    assert_eq!(side_of(&mut client, &tagged("n", 0)).await, "native");
    let stopped = world.kill().await;
    assert_eq!(client.closed().await, Closed::Abruptly);
    stopped.proxy.legs("native", 0.0).await;
    let (_, head) = upgrade(&stopped.proxy, PATH, "").await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    let world = stopped.start().await;
    let mut client = world.open().await;
    assert_eq!(side_of(&mut client, &tagged("o", 0)).await, "node");
}

#[tokio::test]
async fn a_node_that_breaks_off_alone_bounces_that_client_alone() {
    let world = World::new("", MIXED).await;
    let (mut one, mut other) = (world.open().await, world.open().await);
    one.command(json!({ "do": "terminate" })).await;
    assert_eq!(one.closed().await, Closed::Abruptly);
    other.echo("still here").await;
}

#[tokio::test]
async fn clients_can_wait_for_a_lost_node() {
    let world = World::new(RESUME, MIXED).await;
    let mut client = world.open().await;
    client.echo(tagged("o", 0)).await;
    let stopped = world.kill().await;
    stopped.proxy.legs("node", 0.0).await;
    for number in 1..=20 {
        client.send(tagged("o", number)).await;
        // Native goes on.
        assert_eq!(side_of(&mut client, &tagged("n", number)).await, "native");
    }
    client.send(Message::Ping("hello".into())).await;
    assert_eq!(client.message().await, Message::Pong("hello".into()));
    let world = stopped.start().await;
    for number in 1..=20 {
        let expected = tagged("o", number);
        assert_eq!(client.message().await, Message::text(expected));
    }
    assert_eq!(side_of(&mut client, &tagged("o", 21)).await, "node");
    let losses = "strangler_node_losses_total{socket=\"game\"}";
    assert!((world.proxy.metric(losses).await - 1.0).abs() < 0.5);
}

/// As Node says it when it is told to stop.
#[tokio::test]
async fn clients_can_wait_for_a_node_that_stops_in_order() {
    let mut world = World::new(RESUME, MIXED).await;
    let mut client = world.open().await;
    client
        .command(json!({ "do": "close", "code": 1001, "reason": "restart" }))
        .await;
    let heard: Closed = report(&mut world.server, "close").await.into();
    assert_eq!(heard, Closed::With(1001, "restart".to_owned()));
    client.echo("back").await;
    // What is said to the client, it gets.
    client
        .command(json!({ "do": "close", "code": 4001, "reason": "kicked" }))
        .await;
    assert_eq!(
        client.closed().await,
        Closed::With(4001, "kicked".to_owned())
    );
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let keys = format!("{RESUME}\nresume_timeout = \"300ms\"");
    let world = World::new(&keys, MIXED).await;
    let mut client = world.open().await;
    client.echo("x").await;
    let stopped = world.kill().await;
    assert_eq!(client.closed().await, Closed::Abruptly);
    refused(&stopped.proxy, "node-away", 1.0).await;
}

async fn refused(proxy: &TestProxy, reason: &str, count: f64) {
    let line = format!("strangler_refused_packets_total{{reason=\"{reason}\",socket=\"game\"}}");
    eventually(&format!("{count} refused for {reason}"), || async {
        (proxy.metric(&line).await - count).abs() < 0.5
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_node_is_bounded() {
    let keys = format!("{RESUME}\nqueue = \"64KiB\"");
    let world = World::new(&keys, MIXED).await;
    let mut client = world.open().await;
    client.echo("x").await;
    let stopped = world.kill().await;
    stopped.proxy.legs("node", 0.0).await;
    for _ in 0..8 {
        // The end may come before the last of them.
        let _ = futures_util::SinkExt::send(&mut client.0, Message::binary(vec![0; 10_000])).await;
    }
    assert_eq!(client.closed().await, Closed::Abruptly);
    refused(&stopped.proxy, "backlog", 1.0).await;
}

#[tokio::test]
async fn native_can_admit_new_clients_alone() {
    let keys = "node_loss = \"admit\"\nmax_waiting = 2".to_owned();
    let world = World::new(&keys, MIXED).await;
    let stopped = world.kill().await;
    // Native accepts them meanwhile.
    let mut first = Client::open(&stopped.proxy, PATH).await;
    let mut second = Client::open(&stopped.proxy, PATH).await;
    assert_eq!(side_of(&mut first, &tagged("n", 0)).await, "native");
    first.send(tagged("o", 1)).await;
    second.send(tagged("o", 2)).await;
    let (_, head) = upgrade(&stopped.proxy, PATH, "").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let (_, head) = upgrade(&stopped.proxy, &format!("{PATH}?native=refuses"), "").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    drop(second);
    // A place is free, and somebody whom native refuses does not keep it.
    eventually("the second has left", || async {
        let (_, head) = upgrade(&stopped.proxy, &format!("{PATH}?native=refuses"), "").await;
        head.starts_with("HTTP/1.1 401 ")
    })
    .await;
    let mut third = Client::open(&stopped.proxy, PATH).await;
    third.send(tagged("o", 3)).await;
    let world = stopped.start().await;
    assert_eq!(first.message().await, Message::text(tagged("o", 1)));
    assert_eq!(third.message().await, Message::text(tagged("o", 3)));
    // They do not count any more.
    let stopped = world.kill().await;
    stopped.proxy.legs("node", 0.0).await;
    let _fourth = Client::open(&stopped.proxy, PATH).await;
    let _fifth = Client::open(&stopped.proxy, PATH).await;
}

/// Until Node has accepted them, native does not get to know them.
#[tokio::test]
async fn no_side_serves_a_client_that_node_has_not_seen() {
    let keys = format!("{RESUME}\nmax_waiting = 2");
    let world = World::new(&keys, MIXED).await;
    let stopped = world.kill().await;
    let mut client = Client::open(&stopped.proxy, PATH).await;
    for number in 0..3 {
        client.send(tagged("n", number)).await;
    }
    client.send(Message::Ping("anybody?".into())).await;
    // The proxy itself says that it is there.
    assert_eq!(client.message().await, Message::Pong("anybody?".into()));
    stopped.proxy.legs("native", 0.0).await;
    let _second = Client::open(&stopped.proxy, PATH).await;
    let (_, head) = upgrade(&stopped.proxy, PATH, "").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let _world = stopped.start().await;
    for number in 0..3 {
        let expected = format!("native:{}", tagged("n", number));
        assert_eq!(client.message().await, Message::text(expected));
    }
    assert_eq!(side_of(&mut client, &tagged("o", 3)).await, "node");
}

/// Whatever Node does instead of accepting a client, native does not serve it (issue 9).
#[tokio::test]
async fn a_client_that_node_turns_away_is_nobodys() {
    for keys in [RESUME, "node_loss = \"admit\""] {
        let world = World::new(keys, MIXED).await;
        for (node, status) in [("destroys", 502), ("garbage", 502), ("busy", 503)] {
            let (_, head) = upgrade(&world.proxy, &format!("{PATH}?node={node}"), "").await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        }
        let stopped = world.kill().await;
        let mut clients = Vec::new();
        for node in ["destroys", "garbage", "busy"] {
            let mut client = Client::open(&stopped.proxy, &format!("{PATH}?node={node}")).await;
            client.send(tagged("o", 0)).await;
            clients.push(client);
        }
        let world = stopped.start().await;
        for client in &mut clients {
            assert_eq!(client.closed().await, Closed::Abruptly);
        }
        world.proxy.legs("native", 0.0).await;
    }
}

#[tokio::test]
async fn new_clients_can_wait_without_any_side() {
    let world = World::new(RESUME, "").await;
    let stopped = world.kill().await;
    let mut client = Client::open(&stopped.proxy, PATH).await;
    client.send(Message::Ping("anybody?".into())).await;
    assert_eq!(client.message().await, Message::Pong("anybody?".into()));
    client.send("early").await;
    // Nobody there could choose one.
    let offer = "Sec-WebSocket-Protocol: readers.v2\r\n";
    let (_, head) = upgrade(&stopped.proxy, PATH, offer).await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    let mut leaver = Client::open(&stopped.proxy, PATH).await;
    let close = CloseFrame {
        code: 4000.into(),
        reason: "tired".into(),
    };
    leaver.send(Message::Close(Some(close))).await;
    assert_eq!(
        leaver.closed().await,
        Closed::With(4000, "tired".to_owned())
    );
    let _world = stopped.start().await;
    assert_eq!(client.message().await, Message::text("early"));
}

#[tokio::test]
async fn a_node_that_nothing_needs_may_go_and_come_back() {
    let world = World::new("", MIXED).await;
    let mut client = world.open().await;
    assert_eq!(side_of(&mut client, &tagged("o", 0)).await, "node");
    world.edit("", ALL_NATIVE).await;
    assert_eq!(side_of(&mut client, &tagged("o", 1)).await, "native");
    let url = world.server.url();
    let stopped = world.kill().await;
    stopped.proxy.legs("node", 0.0).await;
    for number in 0..5 {
        assert_eq!(side_of(&mut client, &tagged("o", number)).await, "native");
    }
    let mut new = Client::open(&stopped.proxy, PATH).await;
    assert_eq!(side_of(&mut new, "{}").await, "native");
    let world = stopped.start().await;
    assert_eq!(world.server.url(), url);
    world.edit("", "").await;
    for client in [&mut client, &mut new] {
        assert_eq!(side_of(client, &tagged("n", 9)).await, "node");
    }
}

/// A Node that is told to stop says 1001 to everybody, which is no business of clients that do not need it.
#[tokio::test]
async fn a_node_that_nothing_needs_cannot_close() {
    let mut world = World::new("", MIXED).await;
    let mut client = world.open().await;
    client.echo("x").await;
    world.edit("", ALL_NATIVE).await;
    assert_eq!(side_of(&mut client, &tagged("o", 0)).await, "native");
    world.server.process.tell("close 1001").await;
    let heard: Closed = report(&mut world.server, "close").await.into();
    assert_eq!(heard, Closed::With(1001, String::new()));
    assert_eq!(side_of(&mut client, &tagged("o", 1)).await, "native");
}

/// Messages that wait for a Node which a flip makes superfluous are native's.
#[tokio::test]
async fn a_flip_helps_those_who_wait() {
    let world = World::new(RESUME, MIXED).await;
    let mut client = world.open().await;
    client.echo("x").await;
    let url = world.server.url();
    let stopped = world.kill().await;
    stopped.proxy.legs("node", 0.0).await;
    for number in 0..3 {
        client.send(tagged("o", number)).await;
    }
    client.send(Message::Ping("in".into())).await;
    assert_eq!(client.message().await, Message::Pong("in".into()));
    let world = World {
        server: crate::support::websocket::Server::start().await,
        proxy: stopped.proxy,
    };
    assert_ne!(world.server.url(), url);
    world.edit(RESUME, ALL_NATIVE).await;
    for number in 0..3 {
        let expected = format!("native:{}", tagged("o", number));
        assert_eq!(client.message().await, Message::text(expected));
    }
}

#[tokio::test]
async fn a_handler_that_panics_is_attached_again() {
    let world = World::new("", MIXED).await;
    let mut client = world.open().await;
    assert_eq!(side_of(&mut client, &tagged("n", 0)).await, "native");
    client
        .send(json!({ "type": "n", "do": "panic" }).to_string())
        .await;
    let unanswered = "strangler_unanswered_total{reason=\"panic\",rule=\"n\"}";
    eventually("the panic is counted", || async {
        world.proxy.metric(unanswered).await > 0.5
    })
    .await;
    // Node takes over until it is.
    let mut sides = Vec::new();
    for number in 0.. {
        sides.push(side_of(&mut client, &tagged("n", number)).await);
        if sides.last() == Some(&"native") {
            break;
        }
    }
    client.echo(tagged("o", 0)).await;
}

#[tokio::test]
async fn a_handler_that_keeps_panicking_trips_its_rule() {
    let rules = format!(
        "{}\n[defaults]\nbreaker = {{ failures = \"50%\", requests = 5, window = \"1m\", probe = \"1m\" }}",
        MIXED
    );
    let world = World::new("", &rules).await;
    let mut client = world.open().await;
    let open = "strangler_breaker_state{rule=\"n\"}";
    eventually("the breaker is open", || async {
        let mut client = world.open().await;
        legs_at_least(&world, 1.0).await;
        client
            .send(json!({ "type": "n", "do": "panic" }).to_string())
            .await;
        // The breaker may have opened since the last look. Then Node has this one too, and echoes it first.
        let other = tagged("o", 0);
        client.send(other.as_str()).await;
        while client.message().await.into_text().unwrap().as_str() != other {}
        world.proxy.metric(open).await > 0.5
    })
    .await;
    for number in 0..5 {
        assert_eq!(side_of(&mut client, &tagged("n", number)).await, "node");
    }
}

async fn legs_at_least(world: &World, count: f64) {
    eventually("a native leg", || async {
        world.proxy.metric("strangler_legs{side=\"native\"}").await >= count
    })
    .await;
}

/// Native alone: there is nobody to take over.
#[tokio::test]
async fn a_handler_that_panics_alone_drops_its_client() {
    let world = World::new("", ALL_NATIVE).await;
    let mut client = world.open().await;
    client
        .send(json!({ "type": "n", "do": "panic" }).to_string())
        .await;
    assert_eq!(client.closed().await, Closed::Abruptly);
}

/// Its queue is bounded, and it gets all of what native says, or the end.
#[tokio::test]
async fn a_client_that_does_not_listen_to_native_is_closed() {
    let world = World::new("queue = \"256KiB\"", MIXED).await;
    let mut client = world.open().await;
    let flood = json!({ "type": "n", "do": "flood", "count": 400, "size": 65_536 });
    client.send(flood.to_string()).await;
    refused(&world.proxy, "slow-client", 1.0).await;
    let mut whole = 0;
    while let Some(Ok(message)) = client.0.next().await {
        assert_eq!(message, Message::binary(vec![7; 65_536]));
        whole += 1;
    }
    assert!(whole < 400, "{whole}");
    world.legs("node", 0.0).await;
}

/// Node waits instead, and what it says arrives.
#[tokio::test]
async fn node_waits_for_a_client_that_does_not_listen() {
    let mut world = World::new("queue = \"256KiB\"", MIXED).await;
    let mut client = world.open().await;
    client
        .command(json!({ "do": "flood", "count": 400, "size": 65_536 }))
        .await;
    assert!(report(&mut world.server, "flooded").await["refusals"].as_u64() > Some(100));
    world.server.process.tell("buffered").await;
    let buffered = report(&mut world.server, "buffered").await;
    assert!(buffered["bytes"].as_u64() > Some(4 << 20), "{buffered}");
    for number in 0..400_u32 {
        let number = u8::try_from(number % 256).unwrap();
        let expected = Message::binary(vec![number; 65_536]);
        assert!(client.message().await == expected, "message {number}");
    }
    client.echo("done").await;
}

/// A Node that does not read makes its client wait, and nobody else.
#[tokio::test]
async fn a_client_waits_for_a_node_that_does_not_listen() {
    let mut world = World::new("max_payload = \"2MiB\"", MIXED).await;
    let mut client = world.open().await;
    client.command(json!({ "do": "pause" })).await;
    report(&mut world.server, "paused").await;
    let send = async {
        for _ in 0..40 {
            client.send(vec![1; 1 << 20]).await;
        }
    };
    let line = "strangler_queued_bytes{for=\"node\"}";
    let full = eventually("messages wait for node", || async {
        world.proxy.metric(line).await > 65_536.0
    });
    // 40 MB do not fit into the buffers on the way.
    tokio::select! {
        () = send => panic!("everything was taken"),
        () = full => {}
    }
    let queued = world.proxy.metric(line).await;
    assert!(queued < 4_194_304.0, "{queued}");
    let mut other = world.open().await;
    other.echo("me too").await;
    world.server.process.tell("resume").await;
    let echoed = client.message().await;
    assert!(echoed == Message::binary(vec![1; 1 << 20]));
    drop(client);
    eventually("nothing waits any more", || async {
        world.proxy.metric(line).await.abs() < 0.5
    })
    .await;
}
