//! Middleware of Engine.IO (`io.engine.use`) sees the handshake of a bridged client and none of its later requests, as the
//! README says in bold. Whoever is to leave at once is disconnected by the application.

use serde_json::json;

use super::client::{Client, POLLING};
use super::world::{MIXED, World};
use crate::support::sockets::TUNNEL;

const LOGIN: [(&str, &str); 1] = [("LOGIN", "1")];

async fn logs_out(world: &mut World) {
    world.node.process.tell(json!({ "do": "logout" })).await;
    world.report("logged out").await;
}

#[tokio::test]
async fn middleware_of_engine_io_judges_the_handshake_alone() {
    let mut world = World::with(&LOGIN, "", MIXED).await;
    let mut poller = Client::polling(&world.proxy).await;
    poller.connect("", json!({})).await;
    let mut other = world.client().await;
    logs_out(&mut world).await;
    for client in [&mut poller, &mut other] {
        client.node_echoes(1).await;
        assert_eq!(client.side(2).await, "native");
    }
    // Nobody new gets in.
    let refused = world.proxy.get(POLLING).await;
    assert_eq!(
        (refused.status.as_u16(), refused.text().as_str()),
        (401, "log in")
    );
    // This reaches everybody.
    let disconnect = json!({ "do": "disconnect", "namespace": "/", "close": true });
    world.node.process.tell(disconnect).await;
    for client in [&mut poller, &mut other] {
        client.hears("41").await;
    }
    other.is_closed().await;
}

/// In a tunnel Node judges each request.
#[tokio::test]
async fn a_tunnel_leaves_each_request_to_middleware() {
    let mut node = crate::support::sockets::Sockets::start(&LOGIN).await;
    let proxy = node.proxy(TUNNEL).await;
    let mut poller = Client::polling(&proxy).await;
    poller.connect("", json!({})).await;
    node.process.tell(json!({ "do": "logout" })).await;
    while node.process.event().await["event"] != "logged out" {}
    assert!(!poller.try_send("42[\"message\",1]").await);
}
