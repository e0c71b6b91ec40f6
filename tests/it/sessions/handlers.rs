//! Native handlers that decline, panic or take for ever, native that refuses a client, and native legs that end.

use serde_json::json;
use tokio::time::timeout;

use super::client::{AT_ONCE, Client};
use super::world::{ALL_NATIVE, MAIN_NATIVE, MIXED, World, metric};
use crate::support::TestProxy;

const IMPATIENT: &str = "[defaults]\ntimeout = \"100ms\"";

/// Native has time to begin with `trouble` on a busy machine, and no more.
fn hurried(rules: &str) -> String {
    let rules = rules.replace("\"trouble\", ", "");
    format!(
        "{rules}\nlate = {{ events = {{ all = [\"trouble\"] }}, to = \"native\", timeout = \"2s\" }}"
    )
}

/// Waits until so many events took too long.
async fn late(proxy: &TestProxy, count: f64) {
    let line = "strangler_unanswered_total{reason=\"timeout\",rule=\"late\"}";
    metric(proxy, line, count).await;
}

/// Waits until so many events were left unanswered for this reason.
async fn unanswered(proxy: &TestProxy, reason: &str, count: f64) {
    let line = format!("strangler_unanswered_total{{reason=\"{reason}\",rule=\"n\"}}");
    metric(proxy, &line, count).await;
}

async fn fallbacks(proxy: &TestProxy, reason: &str, count: f64) {
    let line = format!("strangler_fallbacks_total{{reason=\"{reason}\",rule=\"n\"}}");
    metric(proxy, &line, count).await;
}

#[tokio::test]
async fn what_a_handler_declines_node_answers() {
    let world = World::new("", MIXED).await;
    let mut client = world.client().await;
    assert_eq!(client.side(0).await, "native");
    for number in 0..5 {
        client
            .send(&format!("42[\"trouble\",\"decline\",{number}]"))
            .await;
        let answer = format!("42[\"side-back\",\"node\",\"decline\",{number}]");
        client.hears(&answer).await;
    }
    fallbacks(&world.proxy, "decline", 5.0).await;
}

/// An extractor that fails declines as well.
#[tokio::test]
async fn what_does_not_fit_a_handler_node_answers() {
    let world = World::new("", MIXED).await;
    let mut client = world.client().await;
    client.send("42[\"trouble\",{\"what\":1}]").await;
    client
        .hears("42[\"side-back\",\"node\",{\"what\":1}]")
        .await;
    fallbacks(&world.proxy, "decline", 1.0).await;
}

/// It may have had its effect, so Node does not get the event.
#[tokio::test]
async fn a_handler_that_panics_is_counted() {
    let world = World::new("", MIXED).await;
    let mut client = world.client().await;
    client.send("42[\"trouble\",\"panic\",1]").await;
    unanswered(&world.proxy, "panic", 1.0).await;
    client.node_echoes(1).await;
    assert_eq!(client.side(1).await, "native");
}

#[tokio::test]
async fn a_handler_that_takes_for_ever_is_given_up() {
    let world = World::new("", &hurried(MIXED)).await;
    let mut client = world.client().await;
    client.send("42[\"trouble\",\"hang\",1]").await;
    late(&world.proxy, 1.0).await;
    client.node_echoes(1).await;
    assert_eq!(client.side(1).await, "native");
}

/// No handler has begun, so Node can have the event.
#[tokio::test]
async fn an_event_that_native_does_not_get_in_time_is_node_s() {
    for trouble in ["hang", "panic"] {
        let rules = format!("{MIXED}\n{IMPATIENT}");
        let world = World::new("", &rules).await;
        let mut client = Client::open(&world.proxy).await;
        client.connect("", json!({ "native": trouble })).await;
        assert_eq!(client.side(1).await, "node", "{trouble}");
        assert_eq!(client.side(2).await, "node", "{trouble}");
    }
}

#[tokio::test]
async fn a_client_that_native_refuses_is_node_s() {
    let world = World::new("", MIXED).await;
    let mut client = Client::open(&world.proxy).await;
    client.connect("", json!({ "native": "refuse" })).await;
    for number in 0..3 {
        assert_eq!(client.side(number).await, "node");
    }
    client.connect("/custom,", json!({})).await;
    assert_eq!(client.side_in("/custom,", 3).await, "native");
    // Issue 9: an operator sees it.
    let took = &world.proxy.table().await["sockets"][0]["native_clients"];
    assert_eq!(
        (&took["accepted"], &took["refused"]),
        (&1.into(), &1.into())
    );
    let refused = r#"strangler_native_clients_total{result="refused",socket="all"}"#;
    assert_eq!(world.proxy.metric(refused).await, 1.0);
}

#[tokio::test]
async fn a_client_that_native_alone_refuses_hears_it() {
    let world = World::new("", ALL_NATIVE).await;
    let mut client = Client::open(&world.proxy).await;
    client.send("40{\"native\":\"refuse\"}").await;
    client.hears("44{\"message\":\"not here\"}").await;
    client.connect("", json!({})).await;
    assert_eq!(client.side(1).await, "native");
}

#[tokio::test]
async fn a_client_that_native_disconnects_leaves_node_too() {
    let rules = MIXED.replace("\"side\"", "\"side\", \"kick\"");
    let mut world = World::new("", &rules).await;
    let mut client = world.client().await;
    world.node.process.expect("connected").await;
    client.send("42[\"kick\"]").await;
    client.hears("41").await;
    let left = world.node.process.expect("disconnected").await;
    assert_eq!(left["reason"], "client namespace disconnect");
    // The connection stays for whoever connects again.
    client.connect("", json!({})).await;
    assert_eq!(client.side(1).await, "native");
    client.node_echoes(1).await;
}

/// Node takes over where it can.
#[tokio::test]
async fn a_client_whose_native_leg_ends_goes_on() {
    let world = World::new("", MIXED).await;
    let mut clients = [world.client().await, world.client().await];
    for client in &mut clients {
        assert_eq!(client.side(0).await, "native");
    }
    clients[0].send("42[\"trouble\",\"close\",0]").await;
    for client in &mut clients {
        comes_to_node(client).await;
        timeout(AT_ONCE, client.node_echoes(1)).await.unwrap();
        for number in 0..3 {
            assert_eq!(client.side(number).await, "node");
        }
    }
}

/// Asks until Node answers, and takes all that was answered before. A native leg may take a few events along when it ends.
/// Nobody waits for that end itself: the client gets another leg at once, so that it may pass unseen.
async fn comes_to_node(client: &mut Client) {
    let mut is_node_s = false;
    for number in 0.. {
        client.send(&format!("42[\"side\",{number}]")).await;
        // Node answers in order: what it had before this one is heard before.
        client.send(&format!("42[\"message\",{number}]")).await;
        let echo = format!("42[\"message-back\",{number}]");
        let was_node_s = is_node_s;
        loop {
            let packet = client.packet().await;
            is_node_s |= packet.starts_with("42[\"side-back\",\"node\",");
            if packet == echo {
                break;
            }
        }
        if was_node_s {
            return;
        }
    }
}

/// There is nobody to take over, and the client shall not wait for answers that nobody gives.
#[tokio::test]
async fn a_client_whose_only_leg_ends_is_disconnected() {
    let world = World::new("", ALL_NATIVE).await;
    let stopped = world.kill().await;
    let mut clients = [
        Client::connected(&stopped.proxy).await,
        Client::connected(&stopped.proxy).await,
    ];
    clients[0].send("42[\"trouble\",\"close\",0]").await;
    for client in &mut clients {
        is_disconnected(client).await;
    }
}

/// From its only namespace, or altogether.
async fn is_disconnected(client: &mut Client) {
    let end = client.next().await;
    assert!(matches!(end.as_deref(), None | Some("41")), "{end:?}");
}

/// An acknowledgement of a namespace that native never heard of, with an id of native's: socketioxide ends the leg.
const STRAY_ACK: &str = "43/custom,1073741831[1]";

/// Whether the client gets answers again. Native may have taken a few events along.
async fn is_served(client: &mut Client) -> bool {
    for number in 0..10 {
        if !client.try_send(&format!("42[\"side\",{number}]")).await {
            return false;
        }
        match timeout(AT_ONCE / 4, client.next()).await {
            Ok(Some(packet)) if packet == "41" => return false,
            Ok(Some(packet)) => {
                assert!(packet.starts_with("42[\"side-back\","), "{packet}");
                return true;
            }
            Ok(None) => return false,
            Err(_) => {}
        }
    }
    panic!("the client is there, and nobody answers")
}

#[tokio::test]
async fn a_client_that_breaks_its_native_leg_goes_on() {
    let rules = r#"n = { events = { all = ["side"] }, to = "native" }"#;
    let world = World::new("", rules).await;
    let mut client = world.client().await;
    client.connect("/custom,", json!({})).await;
    assert_eq!(client.side(0).await, "native");
    client.send(STRAY_ACK).await;
    assert!(is_served(&mut client).await);
    for number in 10..20 {
        let side = timeout(AT_ONCE, client.side(number)).await;
        side.unwrap_or_else(|_| panic!("nobody answers event {number}"));
    }
    client.node_echoes(1).await;
}

/// Node serves the other namespace, and knows nothing of this one.
#[tokio::test]
async fn a_namespace_whose_only_leg_ends_is_no_zombie() {
    let world = World::new("", MAIN_NATIVE).await;
    let mut client = Client::open(&world.proxy).await;
    client.connect("", json!({})).await;
    client.connect("/custom,", json!({})).await;
    client.send("42[\"trouble\",\"close\",0]").await;
    is_disconnected(&mut client).await;
}

/// Native would take the client again.
#[tokio::test]
async fn a_namespace_whose_leg_breaks_is_no_zombie() {
    let world = World::new("", MAIN_NATIVE).await;
    let mut client = Client::open(&world.proxy).await;
    client.connect("", json!({})).await;
    client.connect("/custom,", json!({})).await;
    client.send(STRAY_ACK).await;
    if is_served(&mut client).await {
        for number in 10..20 {
            let side = timeout(AT_ONCE, client.side(number)).await;
            side.unwrap_or_else(|_| panic!("nobody answers event {number}"));
        }
    }
}

/// Node has a leg for the other namespace, and is not in this one: what it cannot get must not pile up.
#[tokio::test]
async fn what_nobody_can_take_does_not_pile_up() {
    let world = World::new("queue = \"16KiB\"", MAIN_NATIVE).await;
    let mut client = Client::open(&world.proxy).await;
    client.connect("", json!({})).await;
    client.connect("/custom,", json!({})).await;
    let long = "x".repeat(2 << 10);
    for number in 0..20 {
        // Its extractor does not take it.
        client.send(&format!("42[\"trouble\",\"{long}\"]")).await;
        client.send(&format!("42[\"side\",{number}]")).await;
        let answer = format!("[\"side-back\",\"native\",{number}]");
        while !client.packet().await.contains(&answer) {}
    }
    metric(&world.proxy, "strangler_queued_bytes{for=\"node\"}", 0.0).await;
    client.send("42/custom,[\"message\",1]").await;
    client.hears("42/custom,[\"message-back\",1]").await;
}

#[tokio::test]
async fn what_takes_too_long_does_not_pile_up() {
    let world = World::new("queue = \"16KiB\"", &hurried(MAIN_NATIVE)).await;
    let mut client = Client::open(&world.proxy).await;
    client.connect("", json!({})).await;
    client.connect("/custom,", json!({})).await;
    let long = "x".repeat(4 << 10);
    // Fewer than open a breaker.
    for _ in 0..10 {
        let event = format!("42[\"trouble\",\"hang\",\"{long}\"]");
        client.send(&event).await;
    }
    late(&world.proxy, 10.0).await;
    metric(&world.proxy, "strangler_queued_bytes{for=\"node\"}", 0.0).await;
    assert_eq!(client.side(1).await, "native");
}
