//! What comes over the wire for the same input, from Node itself and from the proxy, byte for byte: handshakes, refusals,
//! payloads and packets, most of them generated. Where the proxy means to differ, `differences.rs` says so and why.

mod dialogue;
mod differences;
mod packets;
mod requests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ClientConfig;
use tokio::task::JoinSet;

use crate::support::TestProxy;
use crate::support::sockets::{BRIDGE, Sockets, TUNNEL};
use dialogue::Dialogue;
use differences::Way;

/// The options that show in headers.
const SETTINGS: [(&str, &str); 3] = [
    ("CORS_ORIGIN", "https://card.example"),
    ("COOKIE", "reader"),
    ("MAX_PAYLOAD", "100000"),
];

/// Dialogues at the same time. Each has connections of its own.
const AT_ONCE: usize = 8;

/// Where dialogues are held.
#[derive(Clone)]
struct Place {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

/// Holds each dialogue at both, and reports the first few in which they differ.
async fn compare(node: &Sockets, proxy: &TestProxy, way: Way, dialogues: Vec<Dialogue>) {
    let count = dialogues.len();
    let direct = Place {
        address: node.address,
        tls: None,
    };
    let through = Place {
        address: proxy.address,
        tls: Some(Arc::clone(&proxy.tls)),
    };
    let left = Arc::new(Mutex::new(dialogues.into_iter()));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (left, direct, through) = (Arc::clone(&left), direct.clone(), through.clone());
        workers.spawn(async move {
            let mut differing = Vec::new();
            let next = || left.lock().unwrap().next();
            while let Some(dialogue) = next() {
                let said = tokio::join!(
                    dialogue.hold(direct.clone()),
                    dialogue.hold(through.clone())
                );
                differing.extend(difference(&dialogue, way, said));
            }
            differing
        });
    }
    let differing: Vec<String> = workers.join_all().await.into_iter().flatten().collect();
    assert!(
        differing.is_empty(),
        "{} of {count} differ\n{}",
        differing.len(),
        differing[..differing.len().min(20)].join("\n")
    );
}

fn difference(
    dialogue: &Dialogue,
    way: Way,
    (node, proxy): (Vec<String>, Vec<String>),
) -> Option<String> {
    let node = differences::forget(way, &node);
    let proxy = differences::forget(way, &proxy);
    let last = node.len().max(proxy.len());
    let differs = (0..last).find(|part| node.get(*part) != proxy.get(*part))?;
    let part = |said: &[String]| {
        said.get(differs)
            .map_or("nothing more", |part| part)
            .to_owned()
    };
    let (name, node, proxy) = (&dialogue.name, part(&node), part(&proxy));
    Some(format!(
        "== {name}, part {differs}\n-- node\n{node}\n-- proxy\n{proxy}\n"
    ))
}

async fn compare_all(rules: &str, way: Way) {
    let node = Sockets::start(&SETTINGS).await;
    let proxy = node.proxy(rules).await;
    let mut dialogues = requests::all();
    dialogues.extend(packets::all());
    assert!(dialogues.len() > 500, "{}", dialogues.len());
    compare(&node, &proxy, way, dialogues).await;
}

#[tokio::test]
async fn a_tunnel_says_what_node_says() {
    compare_all(TUNNEL, Way::Tunnel).await;
}

/// `allowRequest` refuses whoever has no pass.
#[tokio::test]
async fn refusals_of_the_application_pass_a_tunnel() {
    let node = Sockets::start(&[("REFUSE", "please")]).await;
    let proxy = node.proxy(TUNNEL).await;
    compare(&node, &proxy, Way::Tunnel, requests::passes()).await;
}

#[tokio::test]
async fn a_bridge_says_what_node_says() {
    compare_all(BRIDGE, Way::Bridge).await;
}

#[tokio::test]
async fn refusals_of_the_application_pass_a_bridge() {
    let node = Sockets::start(&[("REFUSE", "please")]).await;
    let proxy = node.proxy(BRIDGE).await;
    compare(&node, &proxy, Way::Bridge, requests::passes()).await;
}
