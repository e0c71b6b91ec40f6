//! Readers of the time card through the proxy: real clients, the real server, and a witness that needs no proxy.

mod engine_io;

use serde_json::Value;

use crate::support::readers::{
    Mode, Readers, connect, expected_texts, greetings_of, hear, messages,
};
use crate::support::timecard::Timecard;

use Mode::{Polling, Upgrade, Websocket};

#[tokio::test]
async fn thirteen_python_readers_that_upgrade() {
    hear_one_another(&[Upgrade; 13], &[]).await;
}

#[tokio::test]
async fn thirteen_python_readers_over_websockets_only() {
    hear_one_another(&[Websocket; 13], &[]).await;
}

#[tokio::test]
async fn thirteen_python_readers_over_polling_only() {
    hear_one_another(&[Polling; 13], &[]).await;
}

#[tokio::test]
async fn thirteen_js_clients_that_upgrade() {
    hear_one_another(&[], &[Upgrade; 13]).await;
}

#[tokio::test]
async fn thirteen_js_clients_over_websockets_only() {
    hear_one_another(&[], &[Websocket; 13]).await;
}

#[tokio::test]
async fn thirteen_js_clients_over_polling_only() {
    hear_one_another(&[], &[Polling; 13]).await;
}

#[tokio::test]
async fn thirteen_clients_of_every_kind() {
    let python = [
        Upgrade, Websocket, Polling, Upgrade, Websocket, Polling, Upgrade,
    ];
    hear_one_another(
        &python,
        &[Upgrade, Websocket, Polling, Upgrade, Websocket, Polling],
    )
    .await;
}

/// Every client gets every message once, in the one order in which the server said them, and as many greetings as
/// without a proxy.
async fn hear_one_another(python: &[Mode], js: &[Mode]) {
    let timecard = Timecard::start().await;
    let proxy = timecard.proxy().await;
    let mut groups = Vec::new();
    if !python.is_empty() {
        groups.push(Readers::python(python));
    }
    if !js.is_empty() {
        groups.push(Readers::js(js));
    }

    connect(&mut groups, &timecard.url()).await;
    hear(&mut groups, 0, "before").await;
    let greetings = greetings_of(&groups);
    for group in &mut groups {
        group.disconnect().await;
    }

    let mut witness = Readers::js(&[Websocket]);
    witness.connect(&timecard.url()).await;
    let url = format!("https://{}", proxy.address);
    connect(&mut groups, &url).await;
    let mut first = 0;
    let mut sent = Vec::new();
    for group in &groups {
        let senders = first..first + group.len();
        sent.push(senders.clone().map(messages).collect::<Vec<_>>());
        first = senders.end;
    }
    groups.push(witness);
    let mut count = 0;
    for turn in 0..messages(0).len() {
        for (group, messages) in groups.iter_mut().zip(&sent) {
            let messages: Vec<_> = messages.iter().map(|own| vec![own[turn].clone()]).collect();
            group.send(&messages).await;
        }
        count += first;
        // python-engineio ends a connection on which more than 16 packets come at once.
        for group in &mut groups {
            group.hear(count).await;
        }
    }
    hear(&mut groups, count, "after").await;
    let witness = groups.pop().unwrap();
    assert_eq!(greetings_of(&groups), greetings);

    let said = &witness.heard[0].texts;
    for group in &groups {
        for (client, heard) in group.heard.iter().enumerate() {
            assert_eq!(&heard.texts, said, "{} {client}", group.name);
        }
    }
    // What was said is what the contract says, in the order of each sender.
    assert_eq!(said.len(), count + 1);
    for sender in 0..first {
        let expected = expected_texts(sender);
        let texts: Vec<&Value> = said.iter().filter(|text| expected.contains(text)).collect();
        assert_eq!(texts, expected.iter().collect::<Vec<_>>());
    }
    for group in &mut groups {
        assert_eq!(group.transports().await, group.expected_transports());
        group.disconnect().await;
    }
}

/// Node is killed and comes back on the same port: every client is back without anybody's help, on a new session.
#[tokio::test]
async fn readers_come_back_after_node_was_killed() {
    let mut timecard = Timecard::start().await;
    let proxy = timecard.proxy().await;
    let modes = [Upgrade, Websocket, Polling];
    let mut groups = vec![Readers::python(&modes), Readers::js(&modes)];
    connect(&mut groups, &format!("https://{}", proxy.address)).await;
    hear(&mut groups, 0, "before").await;

    timecard.restart().await;
    for group in &mut groups {
        group.come_back().await;
    }
    hear(&mut groups, 0, "after").await;
    for group in &groups {
        for heard in &group.heard {
            assert_eq!(heard.texts.len(), 1, "{}", group.name);
        }
    }
}
