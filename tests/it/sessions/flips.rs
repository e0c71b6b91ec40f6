//! Flips of open connections at the wrong moment, and connections that stay on their table.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use super::client::{AT_ONCE, Client, Receiver, Sender};
use super::world::{ALL_NATIVE, MIXED, World};
use crate::support::PATIENCE;

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

/// Native takes its time to let the client in.
#[tokio::test]
async fn an_event_waits_for_a_native_leg_that_is_on_its_way() {
    for to in ["native", "native only"] {
        let world = World::new("", "").await;
        let mut client = Client::open(&world.proxy).await;
        client.connect("", json!({ "native": "wait" })).await;
        let mut porter = world.client().await;
        let rules = MIXED.replace("\"native\"", &format!("\"{to}\""));
        let rules = format!("{rules}\n[defaults]\ntimeout = \"1m\"");
        world.edit("", &rules).await;
        client.send("42[\"side\",1]").await;
        client.node_echoes(2).await;
        porter.send("42[\"trouble\",\"admit\",0]").await;
        client.hears("42[\"side-back\",\"native\",1]").await;
    }
}

/// A client that sends `side` without a pause, and how each of its events was answered.
struct Flood {
    receiver: Receiver,
    /// Events that may be sent. So many are without an answer that the proxy never finds nothing.
    permits: Arc<Semaphore>,
    sides: HashMap<usize, &'static str>,
    _sending: AbortOnDropHandle<()>,
}

const AHEAD: usize = 500;

async fn flood(mut sender: Sender, permits: Arc<Semaphore>) {
    for number in 0.. {
        // All that may be sent is sent at once.
        if permits.available_permits() == 0 && sender.flush().await.is_err() {
            return;
        }
        permits.acquire().await.unwrap().forget();
        let event = Message::text(format!("42[\"side\",{number}]"));
        if sender.feed(event).await.is_err() {
            return;
        }
    }
}

impl Flood {
    fn begin(client: Client) -> Self {
        let (sender, receiver) = client.split();
        let permits = Arc::new(Semaphore::new(AHEAD));
        let flood = flood(sender, Arc::clone(&permits));
        Self {
            receiver,
            permits,
            sides: HashMap::new(),
            _sending: AbortOnDropHandle::new(tokio::spawn(flood)),
        }
    }

    /// The side of the next answer, or how the connection ended.
    async fn next(&mut self) -> Result<&'static str, Option<u16>> {
        let text = loop {
            match timeout(PATIENCE, self.receiver.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) if text.contains("[\"auth\",") => {}
                Some(Ok(Message::Text(text))) => break text,
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| frame.code.into()));
                }
                _ => return Err(None),
            }
        };
        for side in ["node", "native"] {
            let answer = text.strip_prefix(&format!("42[\"side-back\",\"{side}\","));
            if let Some(number) = answer.and_then(|rest| rest.strip_suffix(']')) {
                let number = number.parse().unwrap();
                assert_eq!(self.sides.insert(number, side), None, "{number} twice");
                self.permits.add_permits(1);
                return Ok(side);
            }
        }
        panic!("{text}")
    }

    async fn hears(&mut self, count: usize, side: &str) {
        let mut heard = 0;
        while heard < count {
            heard += usize::from(self.next().await.unwrap() == side);
        }
    }
}

#[tokio::test]
async fn a_client_that_never_pauses_follows_a_flip() {
    let world = World::new("", "").await;
    let mut flood = Flood::begin(world.client().await);
    flood.hears(500, "node").await;
    let only = MIXED.replace("\"native\"", "\"native only\"");
    for (rules, side) in [(only.as_str(), "native"), ("", "node"), (MIXED, "native")] {
        let edit = world.edit("", rules);
        tokio::pin!(edit);
        loop {
            tokio::select! {
                () = &mut edit => break,
                heard = flood.next() => drop(heard.unwrap()),
            }
        }
        let hears = flood.hears(500, side);
        let followed = timeout(PATIENCE, hears).await;
        let lost = "strangler_unanswered_total{reason=\"no-leg\",rule=\"n\"}";
        let lost = world.proxy.metric(lost).await;
        assert!(followed.is_ok(), "it does not follow: {rules}, {lost} lost");
    }
    // Nothing is lost: whatever both sides have in their queues by now, all before has its answer.
    let last = *flood.sides.keys().max().unwrap();
    while flood.sides.len() <= last {
        flood.next().await.unwrap();
        if (0..last).all(|number| flood.sides.contains_key(&number)) {
            break;
        }
    }
}

#[tokio::test]
async fn a_client_that_never_pauses_hears_of_a_drain() {
    for rules in ["", MIXED, ALL_NATIVE] {
        let world = World::new("", rules).await;
        let mut flood = Flood::begin(world.client().await);
        for _ in 0..500 {
            flood.next().await.unwrap();
        }
        world.proxy.stop.drain();
        let end = async {
            loop {
                if let Err(end) = flood.next().await {
                    break end;
                }
            }
        };
        let end = timeout(AT_ONCE, end).await;
        let end = end.unwrap_or_else(|_| panic!("it does not end: {rules}"));
        assert_eq!(end, Some(1001), "{rules}");
    }
}
