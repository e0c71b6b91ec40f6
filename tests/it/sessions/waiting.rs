//! New clients while Node is down: `max_waiting` of them wait. With `admit`, native answers them meanwhile.

use serde_json::json;

use super::client::{Client, POLLING, WEBSOCKET};
use super::world::{ADMIT, ALL_NATIVE, MIXED, RESUME, Stopped, World, legs};
use crate::support::eventually;
use crate::support::websocket::upgrade;

/// What a third client hears.
async fn status(stopped: &Stopped) -> String {
    let (_, head) = upgrade(&stopped.proxy, WEBSOCKET, "").await;
    head.split(' ').nth(1).unwrap().to_owned()
}

fn keys(node_loss: &str) -> String {
    format!("{node_loss}\nmax_waiting = 2")
}

#[tokio::test]
async fn new_clients_can_wait_for_node() {
    let world = World::new(&keys(ADMIT), MIXED).await;
    let stopped = world.kill().await;
    let mut first = Client::connected(&stopped.proxy).await;
    let mut second = Client::polling(&stopped.proxy).await;
    second.connect("", json!({})).await;
    // Native goes on without Node.
    assert_eq!(first.side(1).await, "native");
    assert_eq!(second.side(1).await, "native");
    first.send("42[\"message\",1]").await;
    second.send("42[\"message\",2]").await;
    assert_eq!(status(&stopped).await, "503");
    let answer = stopped.proxy.get(POLLING).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("node-away"), "{}", answer.text());

    drop(first);
    eventually("a place is free", || async {
        status(&stopped).await == "101"
    })
    .await;
    eventually("whoever took it has left", || async {
        status(&stopped).await == "101"
    })
    .await;
    let world = stopped.start().await;
    second.hears("42[\"message-back\",2]").await;
    second.node_echoes(3).await;

    // Those who have found Node do not count any more.
    let stopped = world.kill().await;
    legs(&stopped.proxy, "node", 0.0).await;
    let _one = Client::connected(&stopped.proxy).await;
    let _two = Client::connected(&stopped.proxy).await;
    assert_eq!(status(&stopped).await, "503");
}

/// Native answers the CONNECT that waited for Node, and gets what was said behind it.
#[tokio::test]
async fn a_flip_that_makes_all_native_gives_the_places_back() {
    let keys = keys(RESUME);
    let world = World::new(&keys, MIXED).await;
    let stopped = world.kill().await;
    let mut clients = Vec::new();
    for number in 0..2 {
        let mut client = Client::open(&stopped.proxy).await;
        client.send("40{}").await;
        client.send(&format!("42[\"message\",{number}]")).await;
        clients.push(client);
    }
    assert_eq!(status(&stopped).await, "503");
    stopped.edit(&keys, ALL_NATIVE).await;
    for (number, client) in clients.iter_mut().enumerate() {
        client.accepted("").await;
        let answer = format!("42[\"message-back\",{number}]");
        client.hears(&answer).await;
    }
    stopped.edit(&keys, MIXED).await;
    let _one = Client::open(&stopped.proxy).await;
    let _two = Client::open(&stopped.proxy).await;
    assert_eq!(status(&stopped).await, "503");
}

/// Where native takes no part, CONNECT waits for its answer.
#[tokio::test]
async fn a_new_client_can_wait_without_any_side() {
    let world = World::new(&keys(RESUME), "").await;
    let stopped = world.kill().await;
    let mut client = Client::open(&stopped.proxy).await;
    client.send("40").await;
    assert_eq!(status(&stopped).await, "101");
    let _world = stopped.start().await;
    client.accepted("").await;
    client.node_echoes(1).await;
    assert_eq!(client.greeted, 1);
}
