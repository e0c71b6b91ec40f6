//! What waits: for a client that reads slowly or not at all, and for a Node that is on its way when a client leaves.

use futures_util::SinkExt;
use serde_json::json;
use tokio::time::{Duration, timeout};

use super::client::Client;
use super::world::{MAIN_NATIVE, MIXED, World, legs, refused};

/// Node may say more than `queue` at once, and a client that reads is not slow.
#[tokio::test]
async fn large_messages_of_node_do_not_make_a_client_slow() {
    let rules = MIXED.replace("\"side\"", "\"side\", \"tell-all\"");
    let world = World::new("queue = \"64KiB\"", &rules).await;
    let mut client = world.client().await;
    let mut talker = world.client().await;
    let listen = async {
        let long = "x".repeat(4_000_000);
        for _ in 0..5 {
            client.send(&format!("42[\"big\",{}]", long.len())).await;
            loop {
                let packet = client.packet().await;
                if packet != "42[\"told\",1]" {
                    assert!(packet == format!("42[\"big-back\",\"{long}\"]"));
                    break;
                }
            }
        }
    };
    let talk = async {
        loop {
            talker.send("42[\"tell-all\",1]").await;
            talker.hears("42[\"told\",1]").await;
        }
    };
    tokio::select! {
        () = listen => {}
        () = talk => {}
    }
    refused(&world.proxy, "slow-client", 0.0).await;
}

/// Reads what native floods it with; returns how much of it came, which is whole.
async fn flooded(client: &mut Client) -> usize {
    for number in 0..FLOOD {
        let Some(head) = client.next().await else {
            return number;
        };
        let placeholder = "{\"_placeholder\":true,\"num\":0}";
        assert_eq!(head, format!("451-[\"flooded\",{number},{placeholder}]"));
        if client.next().await.is_none() {
            return number;
        }
    }
    FLOOD
}

const FLOOD: usize = 2000;

/// It gets all of what native says up to some point, and then the end.
#[tokio::test]
async fn a_client_that_does_not_listen_to_native_is_closed() {
    let world = World::new("queue = \"256KiB\"", MIXED).await;
    let mut client = world.client().await;
    let mut other = world.client().await;
    let flood = format!("42[\"trouble\",\"flood\",{FLOOD}]");
    client.send(&flood).await;
    refused(&world.proxy, "slow-client", 1.0).await;
    assert_eq!(other.side(1).await, "native", "it harms nobody else");
    let whole = flooded(&mut client).await;
    assert!(whole < FLOOD, "{whole}");
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_client_that_listens_to_native_gets_everything() {
    let world = World::new("queue = \"64MiB\"", MIXED).await;
    let mut client = world.client().await;
    let flood = format!("42[\"trouble\",\"flood\",{FLOOD}]");
    client.send(&flood).await;
    assert_eq!(flooded(&mut client).await, FLOOD);
    assert_eq!(client.side(1).await, "native");
}

/// Events for Node wait while a leg is on its way that a broadcast would have to reach. This client says something that
/// waits, and leaves when the proxy has heard it. Node would have had it long before.
async fn says_its_last_words(leave: impl AsyncFnOnce(Client) -> Option<Client>) {
    let custom = r#"c = { events = { all = ["/custom,side"] }, to = "native" }"#;
    let mut world = World::new("", &format!("{MAIN_NATIVE}\n{custom}")).await;
    let mut late = Client::open(&world.proxy).await;
    late.connect("", json!({ "node": "hold" })).await;
    let mut listener = Client::open(&world.proxy).await;
    listener.connect("/custom,", json!({})).await;
    let mut client = Client::open(&world.proxy).await;
    client.connect("/custom,", json!({})).await;

    world.edit("", custom).await;
    world.report("held").await;
    client.send("42/custom,[\"tell-all\",\"last\"]").await;
    assert_eq!(client.side_in("/custom,", 1).await, "native");
    let stays = leave(client).await;
    if stays.is_none() {
        // Unless the proxy keeps the leg until it has said everything.
        let gone = legs(&world.proxy, "node", 2.0);
        let _ = timeout(Duration::from_millis(500), gone).await;
    }
    world.node.process.tell(json!({ "do": "admit" })).await;
    listener.hears("42/custom,[\"told\",\"last\"]").await;
    late.node_echoes(1).await;
}

#[tokio::test]
async fn what_waits_for_the_legs_of_others_arrives() {
    says_its_last_words(async |client| Some(client)).await;
}

#[tokio::test]
async fn the_last_words_of_a_client_that_closes_arrive() {
    says_its_last_words(async |mut client| {
        client.send("1").await;
        None
    })
    .await;
}

#[tokio::test]
async fn the_last_words_of_a_client_that_closes_its_websocket_arrive() {
    says_its_last_words(async |client| {
        let (mut sender, _receiver) = client.split();
        sender.close().await.unwrap();
        None
    })
    .await;
}

#[tokio::test]
async fn the_last_words_of_a_client_that_breaks_off_arrive() {
    says_its_last_words(async |client| {
        drop(client);
        None
    })
    .await;
}
