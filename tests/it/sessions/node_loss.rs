//! Node is killed, and starts again.

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use super::client::{AT_ONCE, Client, WEBSOCKET};
use super::world::{ALL_NATIVE, MIXED, RESUME, World, legs, metric, refused};
use crate::support::TestProxy;
use crate::support::websocket::upgrade;

#[tokio::test]
async fn a_lost_node_bounces_a_hundred_clients() {
    let world = World::new("", MIXED).await;
    let mut clients = crowd(&world.proxy).await;
    for client in &mut clients {
        client.send("427[\"message-with-ack\",7]").await;
    }
    let stopped = world.kill().await;
    for client in &mut clients {
        // The answer may have come before, once.
        let heard = client.next().await;
        assert!(heard.as_deref().is_none_or(|packet| packet == "437[7]"));
        if heard.is_some() {
            client.is_closed().await;
        }
    }
    drop(clients);
    legs(&stopped.proxy, "native", 0.0).await;
    let (_, head) = upgrade(&stopped.proxy, WEBSOCKET, "").await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    let world = stopped.start().await;
    for (number, client) in crowd(&world.proxy).await.iter_mut().enumerate() {
        client.node_echoes(number).await;
        assert_eq!(client.side(number).await, "native");
    }
}

/// Half of them poll.
async fn crowd(proxy: &TestProxy) -> Vec<Client> {
    let open = async |number: usize| {
        let mut client = match number % 2 {
            0 => Client::open(proxy).await,
            _ => Client::polling(proxy).await,
        };
        client.connect("", json!({})).await;
        client
    };
    join_all((0..100).map(open)).await
}

#[tokio::test]
async fn a_client_over_a_websocket_can_wait_for_a_lost_node() {
    let world = World::new(RESUME, MIXED).await;
    let client = Client::open(&world.proxy).await;
    waits(world, client).await;
}

#[tokio::test]
async fn a_client_over_polling_can_wait_for_a_lost_node() {
    let world = World::new(RESUME, MIXED).await;
    let client = Client::polling(&world.proxy).await;
    waits(world, client).await;
}

/// What it says meanwhile arrives once and in order, and all that it hears are the answers.
async fn waits(world: World, mut client: Client) {
    let id = client.connect("", json!({})).await;
    client.node_echoes(0).await;
    assert_eq!(client.side(0).await, "native");
    let stopped = world.kill().await;
    legs(&stopped.proxy, "node", 0.0).await;
    for number in 1..=20 {
        client.send(&format!("42[\"message\",{number}]")).await;
        client
            .send(&format!("42{number}[\"message-with-ack\",{number}]"))
            .await;
        assert_eq!(client.side(number).await, "native");
    }
    let world = stopped.start().await;
    for number in 1..=20 {
        client
            .hears(&format!("42[\"message-back\",{number}]"))
            .await;
        client.hears(&format!("43{number}[{number}]")).await;
    }
    client.send("4221[\"message-with-ack\",\"again\"]").await;
    client.hears("4321[\"again\"]").await;
    client.node_echoes(22).await;
    assert_eq!(client.greeted, 1, "Node's second greeting is kept from it");
    // Node has another id for it, and everything else is as it was.
    client.send("4222[\"whoami\"]").await;
    let whoami = client.packet().await;
    assert!(whoami.starts_with("4322[{\"id\":") && !whoami.contains(&id));
    let losses = "strangler_node_losses_total{socket=\"all\"}";
    metric(&world.proxy, losses, 1.0).await;
}

#[tokio::test]
async fn a_broadcast_after_the_loss_reaches_everybody_once() {
    let world = World::new(RESUME, MIXED).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(world.client().await);
    }
    let stopped = world.kill().await;
    legs(&stopped.proxy, "node", 0.0).await;
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&format!("42[\"tell-all\",{number}]")).await;
    }
    let _world = stopped.start().await;
    for client in &mut clients {
        let mut told = Vec::new();
        for _ in 0..10 {
            told.push(client.packet().await);
        }
        told.sort();
        let expected: Vec<_> = (0..10)
            .map(|number| format!("42[\"told\",{number}]"))
            .collect();
        assert_eq!(told, expected);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.node_echoes(number).await;
    }
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let keys = format!("{RESUME}\nresume_timeout = \"300ms\"");
    let world = World::new(&keys, MIXED).await;
    let mut client = world.client().await;
    let mut poller = Client::polling(&world.proxy).await;
    poller.connect("", json!({})).await;
    let stopped = world.kill().await;
    client.is_closed().await;
    poller.is_closed().await;
    refused(&stopped.proxy, "node-away", 2.0).await;
}

/// A flip that makes all of it native helps those who wait, and what they said is native's.
#[tokio::test]
async fn a_flip_helps_those_who_wait() {
    let world = World::new(RESUME, MIXED).await;
    let mut client = world.client().await;
    let stopped = world.kill().await;
    legs(&stopped.proxy, "node", 0.0).await;
    for number in 0..3 {
        client.send(&format!("42[\"message\",{number}]")).await;
    }
    assert_eq!(client.side(0).await, "native");
    stopped.edit(RESUME, ALL_NATIVE).await;
    for number in 0..3 {
        client
            .hears(&format!("42[\"message-back\",{number}]"))
            .await;
    }
    // Whoever still waited would be ended now.
    let keys = format!("{RESUME}\nresume_timeout = \"1ms\"");
    stopped.edit(&keys, ALL_NATIVE).await;
    for number in 1..4 {
        assert_eq!(client.side(number).await, "native");
    }
}

/// Node comes back and lets a client into one of its two namespaces only. Nobody else waits for that.
#[tokio::test]
async fn a_namespace_that_node_refuses_by_now_is_left_alone() {
    let world = World::new(RESUME, MIXED).await;
    let mut guest = world.client().await;
    guest
        .connect("/guarded,", json!({ "token": "sesame" }))
        .await;
    let mut other = world.client().await;
    let stopped = world.kill().await;
    legs(&stopped.proxy, "node", 0.0).await;
    guest.send("42/guarded,[\"message\",1]").await;
    guest.send("42[\"message\",2]").await;
    other.send("42[\"message\",3]").await;
    let mut world = stopped.start_with(&[("TOKEN", "changed")]).await;
    world.node.process.expect("connected").await;
    let back = timeout(AT_ONCE, other.packet())
        .await
        .expect("nothing holds it up");
    assert_eq!(back, "42[\"message-back\",3]");
    let heard = timeout(AT_ONCE, async {
        [guest.packet().await, guest.packet().await]
    });
    let mut heard = heard.await.expect("nothing holds it up");
    heard.sort();
    assert!(
        ["41/guarded,", "44/guarded,{"]
            .iter()
            .any(|refusal| heard[0].starts_with(refusal)),
        "{heard:?}"
    );
    assert_eq!(heard[1], "42[\"message-back\",2]");
    for (number, client) in [&mut guest, &mut other].into_iter().enumerate() {
        timeout(AT_ONCE, client.node_echoes(number)).await.unwrap();
        assert_eq!(client.side(number).await, "native");
    }
}
