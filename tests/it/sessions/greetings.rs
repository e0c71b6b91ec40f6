//! What Node says to clients whose legs are attached again, which they shall not hear, and what sounds the same and is
//! meant for them. And whose answer to CONNECT a client gets.

use serde_json::json;

use super::client::Client;
use super::world::{ADMIT, MIXED, RESUME, World, legs};

/// Node says it by itself, to everybody.
const NEWS: &str = "42[\"welcome\",\"news\"]";

/// `welcome` is what Node tells everybody when somebody connects.
fn keys() -> String {
    format!("{RESUME}\nonce = [{{ name = \"welcome\" }}]")
}

const WELCOME: [(&str, &str); 1] = [("WELCOME", "1")];

async fn news(world: &mut World) {
    let news = json!({ "do": "emit", "namespace": "/", "event": "welcome", "arguments": ["news"] });
    world.node.process.tell(news).await;
}

/// Waits until Node has so many clients, replayed ones included.
async fn connected(world: &mut World, count: usize) {
    for _ in 0..count {
        world.report("connected").await;
    }
}

async fn restart(world: World, settings: &[(&str, &str)]) -> World {
    let stopped = world.kill().await;
    legs(&stopped.proxy, "node", 0.0).await;
    stopped.start_with(&[&WELCOME, settings].concat()).await
}

#[tokio::test]
async fn clients_hear_of_new_ones_and_not_of_themselves() {
    let world = World::with(&WELCOME, &keys(), MIXED).await;
    let mut clients = Vec::new();
    for before in 0..4 {
        let mut client = world.client().await;
        client.hears("42[\"welcome\"]").await;
        clients.push(client);
        for client in &mut clients[..before] {
            client.hears("42[\"welcome\"]").await;
        }
    }
    let mut world = restart(world, &[]).await;
    connected(&mut world, 4).await;
    for (number, client) in clients.iter_mut().enumerate() {
        client.node_echoes(number).await;
    }
    // Somebody who is new, and news.
    let mut new = world.client().await;
    news(&mut world).await;
    for client in clients.iter_mut().chain([&mut new]) {
        client.hears("42[\"welcome\"]").await;
        client.hears(NEWS).await;
    }
    for (number, client) in clients.iter_mut().chain([&mut new]).enumerate() {
        client.node_echoes(number).await;
    }
}

/// Whom Node refuses it does not greet.
#[tokio::test]
async fn news_arrive_after_a_replay_that_node_refused() {
    let world = World::with(&WELCOME, &keys(), MIXED).await;
    let mut guest = world.client().await;
    guest.hears("42[\"welcome\"]").await;
    guest
        .connect("/guarded,", json!({ "token": "sesame" }))
        .await;
    guest.hears("42/guarded,[\"welcome\"]").await;
    let mut other = world.client().await;
    other.hears("42[\"welcome\"]").await;
    guest.hears("42[\"welcome\"]").await;
    let mut world = restart(world, &[("TOKEN", "changed")]).await;
    connected(&mut world, 2).await;
    let refusal = guest.packet().await;
    assert!(refusal.contains("/guarded,"), "{refusal}");
    guest.node_echoes(1).await;
    other.node_echoes(1).await;
    news(&mut world).await;
    guest.hears(NEWS).await;
    other.hears(NEWS).await;
}

/// `once` names the greeting of the main namespace alone.
#[tokio::test]
async fn news_arrive_after_replays_without_a_greeting() {
    let world = World::with(&WELCOME, &keys(), MIXED).await;
    let mut client = Client::open(&world.proxy).await;
    let mut other = Client::open(&world.proxy).await;
    for (before, client) in [&mut client, &mut other].into_iter().enumerate() {
        client.connect("", json!({})).await;
        client.hears("42[\"welcome\"]").await;
        if before == 0 {
            client.connect("/dynamic-1,", json!({})).await;
            client.hears("42/dynamic-1,[\"welcome\"]").await;
        }
    }
    client.hears("42[\"welcome\"]").await;
    let mut world = restart(world, &[]).await;
    connected(&mut world, 3).await;
    // Of that one nobody said that it shall be kept from anybody.
    client.hears("42/dynamic-1,[\"welcome\"]").await;
    client.node_echoes(1).await;
    other.node_echoes(1).await;
    news(&mut world).await;
    client.hears(NEWS).await;
    other.hears(NEWS).await;
}

/// Both sides were asked, native answers first, and the client has its id.
#[tokio::test]
async fn connect_is_answered_once_if_native_is_first() {
    let (mut world, mut client, mut porter) = asked_twice().await;
    porter.send("42[\"trouble\",\"admit\",0]").await;
    client.accepted("").await;
    world.node.process.tell(json!({ "do": "admit" })).await;
    client.node_echoes(1).await;
    assert_eq!(client.side(2).await, "native");
}

#[tokio::test]
async fn connect_is_answered_once_if_node_is_first() {
    let (mut world, mut client, mut porter) = asked_twice().await;
    world.node.process.tell(json!({ "do": "admit" })).await;
    client.accepted("").await;
    porter.send("42[\"trouble\",\"admit\",0]").await;
    assert_eq!(client.side(1).await, "native");
    client.node_echoes(2).await;
}

/// A client whose CONNECT both sides have and neither has answered, and one that can open native's door.
async fn asked_twice() -> (World, Client, Client) {
    let world = World::new(ADMIT, MIXED).await;
    let mut porter = world.client().await;
    assert_eq!(porter.side(0).await, "native");
    let stopped = world.kill().await;
    legs(&stopped.proxy, "node", 0.0).await;
    let mut client = Client::open(&stopped.proxy).await;
    client
        .send("40{\"native\":\"wait\",\"node\":\"hold\"}")
        .await;
    legs(&stopped.proxy, "native", 2.0).await;
    let mut world = stopped.start().await;
    world.report("held").await;
    porter.node_echoes(0).await;
    (world, client, porter)
}
