//! The protocols as their documents have them: Engine.IO 4 in 25 cases, Socket.IO 5 in 16 more on top of the same ones.
//! The cases know only an address, so that Node itself, which must pass all of them, and the proxy in each of its ways
//! are held to the same.

mod engine_io;
mod socket_io;
mod wire;

use std::collections::HashMap;
use std::pin::Pin;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::sockets::{BRIDGE, MIXED, NATIVE, Sockets, TUNNEL};
use wire::{Dialect, Place};

/// A server of short heartbeats for the cases that wait for one. The answer to a ping has time on a busy machine.
const RESTLESS: [(&str, &str); 3] = [
    ("PING_INTERVAL", "300"),
    ("PING_TIMEOUT", "4000"),
    ("CONNECT_TIMEOUT", "1000"),
];

/// A server that does not disturb the others.
const CALM: [(&str, &str); 0] = [];

/// How long a poll is left waiting at first before it is given up.
const SOON: std::time::Duration = std::time::Duration::from_millis(50);

/// One case, with the name of its function.
struct Case {
    name: &'static str,
    restless: bool,
    run: fn(Place) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Makes `cases()` of async functions that take a `Place`: those that need short heartbeats, and those that need none.
macro_rules! cases {
    (restless: $($restless:ident),*; calm: $($calm:ident),*;) => {
        pub(super) fn cases() -> Vec<super::Case> {
            vec![
                $(super::cases!(@ $restless true),)*
                $(super::cases!(@ $calm false),)*
            ]
        }
    };
    (@ $name:ident $restless:literal) => {
        super::Case {
            name: stringify!($name),
            restless: $restless,
            run: |place| Box::pin($name(place)),
        }
    };
}
use cases;

/// All at once: most of their time they wait for a heartbeat.
async fn hold(place: &Place, cases: Vec<Case>) {
    let mut names = HashMap::new();
    let mut running = JoinSet::new();
    for case in cases {
        // Heartbeats would keep a case alive that waits for nothing.
        let task = running.spawn(timeout(PATIENCE, (case.run)(place.clone())));
        names.insert(task.id(), case.name);
    }
    let mut broken = Vec::new();
    while let Some(ended) = running.join_next_with_id().await {
        let (id, in_time) = match ended {
            Ok((id, ended)) => (id, ended.is_ok()),
            Err(error) => (error.id(), false),
        };
        if !in_time {
            broken.push(names[&id]);
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}

/// With both dialects before the same server, some cases apart.
async fn hold_all(mut place: Place, restless: bool, but: &[&str]) {
    for dialect in [Dialect::EngineIo, Dialect::SocketIo] {
        place.dialect = dialect;
        let mut cases = engine_io::cases();
        if dialect == Dialect::SocketIo {
            cases.extend(socket_io::cases());
        }
        cases.retain(|case| case.restless == restless && !but.contains(&case.name));
        hold(&place, cases).await;
    }
}

async fn node(restless: bool) -> Sockets {
    let settings: &[_] = if restless { &RESTLESS } else { &CALM };
    Sockets::start(settings).await
}

#[tokio::test]
async fn node_itself() {
    for restless in [true, false] {
        let node = node(restless).await;
        hold_all(Place::at(node.address, None), restless, &[]).await;
    }
}

/// Through a proxy with these rules.
async fn through(rules: &str, but: &[&str]) {
    for restless in [true, false] {
        let node = node(restless).await;
        let proxy = if restless {
            let mode = "mode = \"bridge\"";
            let limits = "ping_interval = \"300ms\"\nping_timeout = \"4s\"";
            node.proxy(&rules.replace(mode, &format!("{mode}\n{limits}")))
                .await
        } else {
            node.proxy(rules).await
        };
        let place = Place::at(proxy.address, Some(&proxy.tls));
        hold_all(place, restless, but).await;
    }
}

#[tokio::test]
async fn through_a_tunnel() {
    through(TUNNEL, &[]).await;
}

#[tokio::test]
async fn through_a_bridge_to_node() {
    through(BRIDGE, &[]).await;
}

#[tokio::test]
async fn through_a_bridge_to_both_sides() {
    through(MIXED, &[]).await;
}

/// Without Node, the socket's keys say what the open packet says. How long a client has for its CONNECT is then the
/// proxy's own affair, and longer than a test waits.
#[tokio::test]
async fn through_a_bridge_to_the_native_side() {
    through(NATIVE, &["a_connection_without_connect_is_closed"]).await;
}
