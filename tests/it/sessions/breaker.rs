//! Native fails too often, and its rule goes to Node by itself.

use serde_json::json;
use tokio::time::timeout;

use super::client::{AT_ONCE, Client};
use super::world::{ALL_NATIVE, MAIN_NATIVE, MIXED, World, metric};
use crate::support::{TestProxy, eventually};

const STATE: &str = "strangler_breaker_state{rule=\"n\"}";

/// Rules that have a breaker which opens after four events, and probes after that time.
fn rules(rules: &str, probe: &str) -> String {
    format!(
        "{rules}\n[defaults]\ntimeout = \"1m\"\nbreaker = {{ failures = \"50%\", requests = 4, window = \"1m\", probe = \"{probe}\" }}"
    )
}

async fn panics(client: &mut Client, count: usize) {
    for _ in 0..count {
        client.send("42[\"trouble\",\"panic\",0]").await;
    }
}

/// Until it is open, so many.
async fn opens(proxy: &TestProxy, client: &mut Client, count: usize) {
    panics(client, count).await;
    let unanswered = "strangler_unanswered_total{reason=\"panic\",rule=\"n\"}";
    metric(proxy, unanswered, 4.0).await;
    // The last one may be counted before the breaker has heard of it.
    eventually("it is open", || async { proxy.metric(STATE).await > 0.5 }).await;
}

#[tokio::test]
async fn a_rule_that_fails_goes_to_node_by_itself() {
    let world = World::new("", &rules(MIXED, "1m")).await;
    let (mut one, mut other) = (world.client().await, world.client().await);
    panics(&mut one, 3).await;
    let unanswered = "strangler_unanswered_total{reason=\"panic\",rule=\"n\"}";
    metric(&world.proxy, unanswered, 3.0).await;
    assert_eq!(other.side(0).await, "native", "three are not enough");
    opens(&world.proxy, &mut one, 1).await;
    for number in 1..6 {
        assert_eq!(one.side(number).await, "node");
        assert_eq!(other.side(number).await, "node");
    }
    let fallbacks = "strangler_fallbacks_total{reason=\"breaker\",rule=\"n\"}";
    metric(&world.proxy, fallbacks, 10.0).await;
}

#[tokio::test]
async fn a_probe_closes_it_again() {
    let world = World::new("", &rules(MIXED, "100ms")).await;
    let mut client = world.client().await;
    opens(&world.proxy, &mut client, 4).await;
    let mut sides = Vec::new();
    while sides.last() != Some(&"native") {
        sides.push(side_in_disorder(&mut client, sides.len()).await);
    }
    metric(&world.proxy, STATE, 0.0).await;
    for number in 0..5 {
        assert_eq!(side_in_disorder(&mut client, 1000 + number).await, "native");
    }
}

/// Failures that Node got may be answered between.
async fn side_in_disorder(client: &mut Client, number: usize) -> &'static str {
    client.send(&format!("42[\"side\",{number}]")).await;
    loop {
        let packet = client.packet().await;
        for side in ["node", "native"] {
            if packet == format!("42[\"side-back\",\"{side}\",{number}]") {
                return side;
            }
        }
        assert!(packet.contains("\"panic\"") || packet.contains("\"hang\""));
    }
}

/// Its probe never ends; the next one shall be made all the same.
#[tokio::test]
async fn a_client_that_leaves_takes_its_probe_along() {
    let world = World::new("", &rules(MIXED, "100ms")).await;
    let mut leaver = world.client().await;
    let mut client = world.client().await;
    opens(&world.proxy, &mut leaver, 4).await;
    for number in 0.. {
        leaver
            .send(&format!("42[\"trouble\",\"hang\",{number}]"))
            .await;
        leaver.send(&format!("42[\"message\",{number}]")).await;
        let echo = format!("42[\"message-back\",{number}]");
        let answer = format!("42[\"side-back\",\"node\",\"hang\",{number}]");
        let mut heard = Vec::new();
        while heard.last() != Some(&echo) {
            heard.push(leaver.packet().await);
        }
        // Node answers in order, so that native has it if Node has not.
        if !heard.contains(&answer) {
            break;
        }
    }
    metric(&world.proxy, STATE, 2.0).await;
    assert_eq!(side_in_disorder(&mut client, 0).await, "node");
    drop(leaver);
    let back = async { while side_in_disorder(&mut client, 1).await != "native" {} };
    timeout(crate::support::PATIENCE, back)
        .await
        .expect("the rule stays on Node");
}

/// Nobody else can answer.
#[tokio::test]
async fn a_breaker_does_not_refuse_what_only_native_can_answer() {
    let world = World::new("", &rules(ALL_NATIVE, "1m")).await;
    let stopped = world.kill().await;
    let mut client = Client::connected(&stopped.proxy).await;
    panics(&mut client, 8).await;
    let unanswered = "strangler_unanswered_total{reason=\"panic\",rule=\"n\"}";
    metric(&stopped.proxy, unanswered, 8.0).await;
    for number in 0..5 {
        let side = timeout(AT_ONCE, client.side(number)).await;
        assert_eq!(side.expect("nobody answers"), "native");
    }
}

/// Node has a leg for another namespace only.
#[tokio::test]
async fn what_a_breaker_refuses_does_not_pile_up() {
    let world = World::new("queue = \"16KiB\"", &rules(MAIN_NATIVE, "1m")).await;
    let mut client = Client::open(&world.proxy).await;
    client.connect("", json!({})).await;
    client.connect("/custom,", json!({})).await;
    panics(&mut client, 4).await;
    let failed = "strangler_unanswered_total{reason=\"panic\",rule=\"n\"}";
    metric(&world.proxy, failed, 4.0).await;
    let long = "x".repeat(2 << 10);
    for number in 0..20 {
        client
            .send(&format!("42[\"side\",{number},\"{long}\"]"))
            .await;
        let answer = timeout(AT_ONCE, client.packet()).await;
        let answer = answer.expect("nobody answers");
        assert!(answer.starts_with("42[\"side-back\","), "{answer}");
    }
    metric(&world.proxy, "strangler_queued_bytes{for=\"node\"}", 0.0).await;
    client.send("42/custom,[\"message\",1]").await;
    client.hears("42/custom,[\"message-back\",1]").await;
}
