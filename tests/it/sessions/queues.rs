//! What waits: for a client that reads slowly or not at all, and for a Node that is on its way when a client leaves.

use futures_util::SinkExt;
use nix::sys::signal::Signal;
use serde_json::json;

use super::client::Client;
use super::world::{MAIN_NATIVE, MIXED, World, refused};

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

/// It gets all of what native says up to some point, and then the end.
#[tokio::test]
async fn a_client_that_does_not_listen_to_native_is_closed() {
    let world = World::new("queue = \"256KiB\"", MIXED).await;
    let mut client = world.client().await;
    let mut other = world.client().await;
    client.send("42[\"trouble\",\"flood\",2000]").await;
    refused(&world.proxy, "slow-client", 1.0).await;
    assert_eq!(other.side(1).await, "native", "it harms nobody else");
    let mut whole = 0;
    while let Some(packet) = client.next().await {
        assert!(packet.starts_with(&format!("42[\"flooded\",[{whole},\"")));
        whole += 1;
    }
    assert!(whole < 2000, "{whole}");
}

#[tokio::test]
async fn a_client_that_listens_to_native_gets_everything() {
    let world = World::new("queue = \"64MiB\"", MIXED).await;
    let mut client = world.client().await;
    client.send("42[\"trouble\",\"flood\",2000]").await;
    for number in 0..2000 {
        let packet = client.packet().await;
        assert!(packet.starts_with(&format!("42[\"flooded\",[{number},\"")));
    }
    assert_eq!(client.side(1).await, "native");
}

/// Events for Node wait while a leg is on its way that a broadcast would have to reach. This client says something that
/// waits, and leaves.
async fn says_its_last_words(leave: impl AsyncFnOnce(Client)) {
    let custom = r#"c = { events = { all = ["/custom,side"] }, to = "native" }"#;
    let world = World::new("", &format!("{MAIN_NATIVE}\n{custom}")).await;
    let mut listener = Client::open(&world.proxy).await;
    listener.connect("/custom,", json!({})).await;
    let mut client = Client::open(&world.proxy).await;
    client.connect("/custom,", json!({})).await;
    let _needs_no_node_yet = world.client().await;
    listener.send("42/custom,[\"message\",0]").await;
    listener.hears("42/custom,[\"message-back\",0]").await;

    world.node.process.signal(Signal::SIGSTOP);
    world.edit("", custom).await;
    client.send("42/custom,[\"tell-all\",\"last\"]").await;
    // Native's answer says that the proxy has read all before it.
    assert_eq!(client.side_in("/custom,", 1).await, "native");
    leave(client).await;
    world.node.process.signal(Signal::SIGCONT);
    listener.hears("42/custom,[\"told\",\"last\"]").await;
}

#[tokio::test]
async fn the_last_words_of_a_client_that_leaves_its_namespace_arrive() {
    says_its_last_words(async |mut client: Client| client.send("41/custom,").await).await;
}

#[tokio::test]
async fn the_last_words_of_a_client_that_closes_arrive() {
    says_its_last_words(async |mut client: Client| client.send("1").await).await;
}

#[tokio::test]
async fn the_last_words_of_a_client_that_closes_its_websocket_arrive() {
    says_its_last_words(async |client: Client| {
        let (mut sender, _receiver) = client.split();
        sender.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_last_words_of_a_client_that_breaks_off_arrive() {
    says_its_last_words(async |client: Client| drop(client)).await;
}
