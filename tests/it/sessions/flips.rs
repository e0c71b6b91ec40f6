//! Flips of open connections at the wrong moment, and connections that stay on their table.

use serde_json::json;
use tokio::time::timeout;

use super::client::{AT_ONCE, Client};
use super::world::{ALL_NATIVE, MIXED, World};

const PINNED: &str = "flips = \"connection\"";

#[tokio::test]
async fn a_connection_can_stay_on_its_table() {
    let world = World::new(PINNED, MIXED).await;
    let mut old = world.client().await;
    assert_eq!(old.side(0).await, "native");
    world.edit(PINNED, "").await;
    let mut new = world.client().await;
    for number in 1..4 {
        assert_eq!(at_once(&mut old, number).await, "native");
        assert_eq!(at_once(&mut new, number).await, "node");
    }
    timeout(AT_ONCE, old.node_echoes(4)).await.unwrap();
    timeout(AT_ONCE, new.node_echoes(4)).await.unwrap();
}

async fn at_once(client: &mut Client, number: usize) -> &'static str {
    let side = timeout(AT_ONCE, client.side(number)).await;
    side.expect("something holds it up")
}

/// Nobody waits for a table that a pinned client will never see.
#[tokio::test]
async fn a_pinned_client_that_leaves_holds_nobody_up() {
    let world = World::new(PINNED, MIXED).await;
    let mut old = world.client().await;
    assert_eq!(old.side(0).await, "native");
    world.edit(PINNED, "").await;
    let mut new = world.client().await;
    old.send("41").await;
    drop(old);
    timeout(AT_ONCE, new.node_echoes(1))
        .await
        .expect("something holds it up");
    world.edit(PINNED, MIXED).await;
    let mut newest = world.client().await;
    timeout(AT_ONCE, new.node_echoes(2)).await.unwrap();
    drop(new);
    timeout(AT_ONCE, newest.node_echoes(3)).await.unwrap();
    assert_eq!(at_once(&mut newest, 4).await, "native");
}

/// The native leg is not there yet when the first event comes.
#[tokio::test]
async fn a_flip_right_before_an_event_loses_nothing() {
    for to in ["native", "native only"] {
        for _ in 0..5 {
            let world = World::new("", "").await;
            let mut clients = [world.client().await, world.client().await];
            for client in &mut clients {
                client.connect("/custom,", json!({})).await;
            }
            let rules = MIXED.replace("\"native\"", &format!("\"{to}\""));
            world.edit("", &rules).await;
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(at_once(client, number).await, "native", "{to}");
                let side = timeout(AT_ONCE, client.side_in("/custom,", number)).await;
                assert_eq!(side.expect("it is lost"), "native", "{to}");
            }
        }
    }
}

/// Events of a client that is on its way into a namespace.
#[tokio::test]
async fn a_flip_of_everything_answers_the_first_event() {
    let world = World::new("", "").await;
    let mut client = world.client().await;
    client.node_echoes(0).await;
    let only = ALL_NATIVE.replace("\"native\"", "\"native only\"");
    world.edit("", &only).await;
    client.node_echoes(1).await;
    assert_eq!(at_once(&mut client, 2).await, "native");
    world.edit("", "").await;
    assert_eq!(at_once(&mut client, 3).await, "node");
}
