//! The proxy is told to stop while Node does not answer.

use std::future::pending;
use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::client::{Client, WEBSOCKET};
use super::world::{MIXED, RESUME, World, proxy};
use crate::support::client::connect;
use crate::support::node::read_head;
use crate::support::websocket::handshake;
use crate::support::{PATIENCE, TestNode, TestProxy, eventually};

async fn stops(proxy: &TestProxy) {
    proxy.stop.drain();
    eventually("the proxy ends", || async { proxy.running.is_finished() }).await;
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

/// A client at the door, and Node has its handshake.
#[tokio::test]
async fn a_drain_does_not_wait_for_a_leg_that_is_on_its_way() {
    for keys in ["", RESUME] {
        let asked = Arc::new(Notify::new());
        let notify = Arc::clone(&asked);
        let node = TestNode::raw(move |mut stream| {
            let notify = Arc::clone(&notify);
            async move {
                read_head(&mut stream).await;
                notify.notify_one();
                pending::<()>().await;
            }
        })
        .await;
        let proxy = proxy(&node.url(), keys, MIXED).await;
        let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
        stream.write_all(&handshake(WEBSOCKET, "")).await.unwrap();
        stream.flush().await.unwrap();
        timeout(PATIENCE, asked.notified()).await.unwrap();
        stops(&proxy).await;
    }
}
