//! The proxy is told to stop while Node does not answer.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::timeout;

use super::client::{Client, WEBSOCKET};
use super::world::{MIXED, RESUME, World};
use crate::support::TestProxy;
use crate::support::websocket::upgrade;

/// The tests' own, and a little for a busy machine.
const DRAIN: Duration = Duration::from_secs(7);

async fn stops(proxy: &TestProxy) {
    proxy.stop.drain();
    let ended = timeout(DRAIN, async {
        while !proxy.running.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    ended.await.expect("it does not stop");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_node_that_is_stopped() {
    for keys in ["", RESUME] {
        let world = World::new(keys, MIXED).await;
        let mut client = world.client().await;
        assert_eq!(client.side(1).await, "native");
        let mut poller = Client::polling(&world.proxy).await;
        poller.connect("", json!({})).await;
        world.node.process.signal(Signal::SIGSTOP);
        for number in 0..10 {
            client.send(&format!("42[\"message\",{number}]")).await;
        }
        // Both are read by the proxy before it stops.
        assert_eq!(client.side(2).await, "native");
        stops(&world.proxy).await;
        client.is_closed().await;
    }
}

/// One that asks for a leg, whose handshake Node does not answer.
#[tokio::test]
async fn a_drain_does_not_wait_for_a_leg_that_is_on_its_way() {
    let world = World::new(RESUME, MIXED).await;
    world.node.process.signal(Signal::SIGSTOP);
    let opening = upgrade(&world.proxy, WEBSOCKET, "");
    tokio::pin!(opening);
    let node = "strangler_node_connections";
    let begun = crate::support::eventually("node is asked", || async {
        world
            .proxy
            .admin("/metrics")
            .await
            .lines()
            .any(|line| line.starts_with(node) && !line.ends_with(" 0"))
    });
    tokio::select! {
        _ = &mut opening => panic!("a node that is stopped answers"),
        () = begun => {}
    }
    stops(&world.proxy).await;
}
