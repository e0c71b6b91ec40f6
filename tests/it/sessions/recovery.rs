//! Connection-state recovery of Node, with events of both sides: a client takes the last text of any event that it need not
//! acknowledge for the offset from which it goes on.

use serde_json::{Value, json};

use super::client::Client;
use super::world::{MIXED, RESUME, World};

const RECOVERY: [(&str, &str); 1] = [("RECOVERY", "30000")];

/// `side` and `ask` are native's, `message` and `whoami` are Node's.
fn rules() -> String {
    MIXED.replace("\"side\"", "\"side\", \"ask\"")
}

/// The arguments of an event, which may ask for an acknowledgement.
fn event(packet: &str, name: &str) -> Vec<Value> {
    let list = packet.strip_prefix("42").unwrap();
    let list = list.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let mut values: Vec<Value> = serde_json::from_str(list).unwrap();
    assert_eq!(values.remove(0), name, "{packet}");
    values
}

/// Node's offset, from the answer to a message.
async fn offset(client: &mut Client, number: usize) -> String {
    client.send(&format!("42[\"message\",{number}]")).await;
    let values = event(&client.packet().await, "message-back");
    assert_eq!(values[0], number);
    values[1].as_str().expect("an offset").to_owned()
}

#[tokio::test]
async fn native_events_end_in_the_offset_of_node() {
    let world = World::with(&RECOVERY, "", &rules()).await;
    let mut client = world.client().await;
    for number in 0..3 {
        let offset = offset(&mut client, number).await;
        client.send(&format!("42[\"side\",{number}]")).await;
        let expected = format!("42[\"side-back\",\"native\",{number},\"{offset}\"]");
        client.hears(&expected).await;
    }
}

/// Clients look for none there, and their handlers take what stands before the callback for the question.
#[tokio::test]
async fn native_events_that_ask_carry_no_offset() {
    let world = World::with(&RECOVERY, "", &rules()).await;
    let mut client = world.client().await;
    let offset = offset(&mut client, 0).await;
    client.send("42[\"ask\",\"how?\"]").await;
    let question = client.packet().await;
    assert_eq!(event(&question, "question"), ["how?"], "{question}");
    let id = question.strip_prefix("42").unwrap();
    let id = id.strip_suffix("[\"question\",\"how?\"]").unwrap();
    assert!(id.parse::<u64>().unwrap() >= 1 << 30, "{id}");
    client.send(&format!("43{id}[\"so\"]")).await;
    let expected = format!("42[\"replied\",\"so\",\"{offset}\"]");
    client.hears(&expected).await;
}

#[tokio::test]
async fn questions_of_node_have_no_offset() {
    let world = World::with(&RECOVERY, "", MIXED).await;
    let mut client = world.client().await;
    let offset = offset(&mut client, 0).await;
    client.send("42[\"ask\",\"no offset\"]").await;
    let question = client.packet().await;
    assert_eq!(event(&question, "question"), ["no offset"], "{question}");
    client.send("42[\"side\",1]").await;
    let expected = format!("42[\"side-back\",\"native\",1,\"{offset}\"]");
    client.hears(&expected).await;
}

/// The network between proxy and Node breaks: Node gives everything back, and the client notices nothing.
#[tokio::test]
async fn a_leg_that_is_lost_gets_its_state_back() {
    let mut world = World::with(&RECOVERY, RESUME, MIXED).await;
    let mut client = Client::open(&world.proxy).await;
    let id = client.connect("", json!({})).await;
    client.send("421[\"join\",\"room\"]").await;
    client.hears("431[]").await;
    for round in 0..3 {
        offset(&mut client, round).await;
        client.send("42[\"drop\"]").await;
        world.report("disconnected").await;
        let told = json!({ "do": "emit", "namespace": "/", "room": "room", "event": "told", "arguments": [round] });
        world.node.process.tell(told).await;
        let values = event(&client.packet().await, "told");
        assert_eq!(values[0], round);
        client.send("422[\"whoami\"]").await;
        let expected =
            json!([{ "id": id, "namespace": "/", "recovered": true, "rooms": ["room"] }]);
        client.hears(&format!("432{expected}")).await;
        client.send(&format!("42[\"side\",{round}]")).await;
        let values = event(&client.packet().await, "side-back");
        assert_eq!(values[0], "native");
    }
    assert_eq!(client.greeted, 1);
}

/// The client's own network breaks while the last thing that it heard was native's.
#[tokio::test]
async fn a_client_that_heard_native_last_misses_nothing() {
    let mut world = World::with(&RECOVERY, "", MIXED).await;
    let mut client = Client::open(&world.proxy).await;
    client.send("40").await;
    let packet = client.packet().await;
    let joined: Value = serde_json::from_str(packet.strip_prefix("40").unwrap()).unwrap();
    let expected = offset(&mut client, 0).await;
    client.send("42[\"side\",1]").await;
    let values = event(&client.packet().await, "side-back");
    let last = values.last().unwrap().as_str().unwrap();
    assert_eq!(last, expected);
    drop(client);
    world.report("disconnected").await;
    let missed =
        json!({ "do": "emit", "namespace": "/", "event": "told", "arguments": ["missed"] });
    world.node.process.tell(missed).await;

    let mut client = Client::open(&world.proxy).await;
    let auth = json!({ "pid": joined["pid"], "offset": last });
    client.send(&format!("40{auth}")).await;
    // Node says what was missed before it answers.
    let told = client.packet().await;
    assert_eq!(event(&told, "told")[0], "missed", "{told}");
    let packet = client.packet().await;
    let again: Value = serde_json::from_str(packet.strip_prefix("40").unwrap()).unwrap();
    assert_eq!(again, joined);
    offset(&mut client, 2).await;
    client.send("42[\"side\",3]").await;
    assert_eq!(event(&client.packet().await, "side-back")[0], "native");
}
