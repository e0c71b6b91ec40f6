//! A native handler that computes for long: it keeps its thread from other handlers, and from nothing else.

use serde_json::json;

use super::client::Client;
use super::world::{ALL_NATIVE, MIXED, World, metric};
use crate::support::eventually;
use crate::support::hog::{self, HOG};

/// `trouble` has 2 s to begin, and `side` has as long as it takes.
fn rules(rules: &str) -> String {
    let rules = rules.replace("\"trouble\", ", "");
    format!(
        "{rules}\nlate = {{ events = {{ all = [\"trouble\"] }}, to = \"native\", timeout = \"2s\" }}\n{HOG}"
    )
}

/// With legs on every thread of handlers, and on that of the first at least two. All have heard from native.
async fn clients(world: &World) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..=2 * hog::threads() {
        let mut client = match number % 2 {
            0 => Client::open(&world.proxy).await,
            _ => Client::polling(&world.proxy).await,
        };
        client.connect("", json!({})).await;
        assert_eq!(client.side(number).await, "native");
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn a_handler_that_hogs_its_thread_delays_nothing_of_node() {
    let world = World::with(&[("PING_INTERVAL", "100")], "", &rules(MIXED)).await;
    let mut clients = clients(&world).await;
    clients[0].send("42[\"trouble\",\"hog\",0]").await;
    hog::begins(&world.proxy).await;
    for (number, client) in clients.iter_mut().enumerate() {
        // Both ways, and heartbeats of both legs and clients.
        let pinged = client.pinged;
        while client.pinged < pinged + 3 {
            client.node_echoes(number).await;
        }
    }
    // Who comes now as well, wherever its handlers are to run.
    for number in 0..hog::threads() {
        let mut new = world.client().await;
        new.connect("/custom,", json!({})).await;
        new.node_echoes(number).await;
    }
    hog::ends(&world.proxy).await;
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.side(number).await, "native");
    }
}

/// What its neighbours ask native goes to Node in time, and is not done once more when the thread is free.
#[tokio::test]
async fn what_a_hog_keeps_from_its_handler_node_answers() {
    let world = World::new("", &rules(MIXED)).await;
    let mut clients = clients(&world).await;
    clients[0].send("42[\"trouble\",\"hog\",0]").await;
    hog::begins(&world.proxy).await;
    let neighbour = hog::threads();
    for number in 0..5 {
        let packet = format!("42[\"trouble\",\"say\",{number}]");
        for client in [0, neighbour] {
            clients[client].send(&packet).await;
        }
    }
    for client in [0, neighbour] {
        for number in 0..5 {
            let answer = format!("42[\"side-back\",\"node\",\"say\",{number}]");
            clients[client].hears(&answer).await;
        }
    }
    // It has begun, so nobody else may have it.
    let lost = "strangler_unanswered_total{reason=\"timeout\",rule=\"late\"}";
    metric(&world.proxy, lost, 1.0).await;
    let late = "strangler_fallbacks_total{reason=\"timeout\",rule=\"late\"}";
    metric(&world.proxy, late, 10.0).await;
    hog::ends(&world.proxy).await;
    for client in &mut clients {
        assert_eq!(client.side(1).await, "native", "in its order");
        client.node_echoes(2).await;
    }
}

/// Handlers on other threads go on, also where Node has no part.
#[tokio::test]
async fn a_hog_leaves_the_handlers_of_other_threads_alone() {
    for rule in [MIXED, ALL_NATIVE] {
        let world = World::new("", &rules(rule)).await;
        let mut clients = clients(&world).await;
        clients[0].send("42[\"trouble\",\"hog\",0]").await;
        hog::begins(&world.proxy).await;
        let threads = hog::threads();
        for (number, client) in clients.iter_mut().enumerate() {
            if number % threads != 0 {
                assert_eq!(client.side(number).await, "native");
            }
        }
        // Those of its own thread wait, and miss nothing.
        for client in clients.iter_mut().step_by(threads) {
            for number in 0..3 {
                client.send(&format!("42[\"side\",{number}]")).await;
            }
        }
        hog::ends(&world.proxy).await;
        for client in clients.iter_mut().step_by(threads) {
            for number in 0..3 {
                let answer = format!("42[\"side-back\",\"native\",{number}]");
                client.hears(&answer).await;
            }
        }
    }
}

/// A client whose handler never gives the thread back can leave, and the proxy can stop.
#[tokio::test]
async fn a_hog_keeps_nobody_from_leaving() {
    let world = World::new("", &rules(MIXED)).await;
    let mut clients = clients(&world).await;
    clients[0].send("42[\"trouble\",\"hog\",0]").await;
    hog::begins(&world.proxy).await;
    clients[0].send("41").await;
    drop(clients.remove(0));
    let bridges = "strangler_bridges";
    metric(&world.proxy, bridges, 2.0 * hog::threads() as f64).await;
    world.proxy.stop.drain();
    // Every second one has a WebSocket.
    for client in clients.iter_mut().skip(1).step_by(2) {
        client.is_closed().await;
    }
    eventually("the proxy ends", || async {
        world.proxy.running.is_finished()
    })
    .await;
}
