//! A client that Node did not accept is served by nobody (issue 9): whatever Node did instead of accepting it, and
//! however the client spells its handshake.

use serde_json::json;

use super::client::{Client, POLLING, WEBSOCKET};
use super::world::{ADMIT, MIXED, RESUME, Stopped, World, legs, metric};
use crate::support::websocket::upgrade;
use crate::support::{TestProxy, eventually};

/// The status of an upgrade, or of a request.
async fn statuses(proxy: &TestProxy, more: &str) -> [u16; 2] {
    let (_, head) = upgrade(proxy, &format!("{WEBSOCKET}{more}"), "").await;
    let upgraded = head.split(' ').nth(1).unwrap().parse().unwrap();
    let polled = proxy.get(&format!("{POLLING}{more}")).await.status;
    [upgraded, polled.into()]
}

#[tokio::test]
async fn a_node_that_turns_clients_away_without_a_word_is_not_away() {
    for loss in [RESUME, ADMIT] {
        let world = World::with(&[("DOOR", "1")], loss, MIXED).await;
        for door in ["destroy", "garbage", "no-http"] {
            let refused = statuses(&world.proxy, &format!("&door={door}")).await;
            assert_eq!(refused, [502, 502], "{door} with {loss}");
        }
        let busy = statuses(&world.proxy, "&door=busy").await;
        assert_eq!(busy, [503, 503], "Node's own answer");
        // The others are served as ever.
        let mut client = world.client().await;
        client.node_echoes(1).await;
        assert_eq!(client.side(1).await, "native");
    }
}

/// The leg's handshake is made of what was decided on: no spelling of a parameter reaches Node a second time.
#[tokio::test]
async fn odd_spellings_of_a_handshake_reach_node_as_they_were_read() {
    let world = World::new(RESUME, MIXED).await;
    for query in [
        "%45IO=4&transport=websocket",
        "EIO=4&tr%61nsport=websocket",
        "EI%4F=%34&transport=%77ebsocket",
        "EIO=4&transport=websocket&b6%34=1",
        "EIO=4&transport=websocket&s%69d=",
    ] {
        let mut client = Client::open_at(&world.proxy, &format!("/socket.io/?{query}")).await;
        client.connect("", json!({})).await;
        client.node_echoes(1).await;
        assert_eq!(client.side(1).await, "native", "{query}");
    }
}

/// While Node is down a new client waits, and nobody answers it.
#[tokio::test]
async fn no_side_answers_a_client_that_node_has_not_seen() {
    let world = World::new(RESUME, MIXED).await;
    let stopped = world.kill().await;
    let mut over_websocket = Client::open(&stopped.proxy).await;
    let mut over_polling = Client::polling(&stopped.proxy).await;
    for client in [&mut over_websocket, &mut over_polling] {
        client.send("40{}").await;
        client.send("42[\"side\",1]").await;
    }
    // Both sides are tried again and again, to no avail.
    metric(&stopped.proxy, "strangler_bridges", 2.0).await;
    legs(&stopped.proxy, "native", 0.0).await;
    let _world = stopped.start().await;
    for client in [&mut over_websocket, &mut over_polling] {
        client.accepted("").await;
        let answer = client.packet().await;
        assert!(answer.starts_with("42[\"side-back\","), "{answer}");
    }
}

/// Node comes back and does not want a client that waited for it.
#[tokio::test]
async fn a_client_that_waited_in_vain_is_closed() {
    for loss in [RESUME, ADMIT] {
        for door in ["destroy", "garbage", "busy"] {
            let world = World::with(&[("DOOR", "1")], loss, MIXED).await;
            let stopped = world.kill().await;
            let target = format!("{WEBSOCKET}&door={door}");
            let mut client = Client::open_at(&stopped.proxy, &target).await;
            client.send("40{}").await;
            if loss == ADMIT {
                client.accepted("").await;
            }
            let world = stopped.start_with(&[("DOOR", "1")]).await;
            client.is_closed().await;
            legs(&world.proxy, "native", 0.0).await;
        }
    }
}

/// The token of a namespace is judged by Node, also for clients that were let in before.
#[tokio::test]
async fn a_guarded_namespace_stays_closed_while_node_is_away() {
    const GUARDED: &str = r#"n = { events = { all = ["side", "/guarded,side"] }, to = "native" }"#;
    let world = World::new(RESUME, GUARDED).await;
    let mut known = world.client().await;
    let mut other = world.client().await;
    known.send("40/guarded,{\"token\":\"wrong\"}").await;
    let refusal = known.packet().await;
    assert!(refusal.starts_with("44/guarded,"), "{refusal}");
    let stopped = world.kill().await;
    legs(&stopped.proxy, "node", 0.0).await;
    for client in [&mut known, &mut other] {
        client.send("40/guarded,{\"token\":\"wrong\"}").await;
        client.send("42/guarded,[\"side\",1]").await;
        // What Node has accepted before goes on.
        assert_eq!(client.side(1).await, "native");
    }
    let _world = stopped.start().await;
    for client in [&mut known, &mut other] {
        let refusal = client.packet().await;
        assert!(refusal.starts_with("44/guarded,"), "{refusal}");
    }
}

/// An application without any login by Node may say so.
#[tokio::test]
async fn native_admits_alone_where_the_file_says_so() {
    let world = World::new(ADMIT, MIXED).await;
    let stopped = world.kill().await;
    let mut over_websocket = Client::connected(&stopped.proxy).await;
    let mut over_polling = Client::polling(&stopped.proxy).await;
    over_polling.connect("", json!({})).await;
    for client in [&mut over_websocket, &mut over_polling] {
        assert_eq!(client.side(1).await, "native");
        client.send("42[\"message\",2]").await;
    }
    let _world = stopped.start().await;
    for client in [&mut over_websocket, &mut over_polling] {
        client.hears("42[\"message-back\",2]").await;
    }
}

/// Container networks accept connections for a Node that is down, and close them.
#[tokio::test]
async fn a_port_that_closes_at_once_keeps_clients_that_node_has_accepted() {
    let world = World::new(RESUME, MIXED).await;
    let mut client = world.client().await;
    let stopped = world.kill().await;
    let stand_in = Closing::start(&stopped).await;
    eventually("the proxy has tried it", || async {
        stand_in.accepted() > 1
    })
    .await;
    assert_eq!(client.side(1).await, "native");
    client.send("42[\"message\",2]").await;
    let refused = statuses(&stopped.proxy, "").await;
    assert_eq!(refused, [502, 502], "Node has not seen these");
    stand_in.stop().await;
    let _world = stopped.start().await;
    client.hears("42[\"message-back\",2]").await;
}

/// In Node's place: accepts and closes.
struct Closing {
    task: tokio::task::JoinHandle<()>,
    accepted: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Closing {
    async fn start(stopped: &Stopped) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", stopped.port()))
            .await
            .unwrap();
        let accepted = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let count = std::sync::Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        Self { task, accepted }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(std::sync::atomic::Ordering::Relaxed)
    }

    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
