//! Engine.IO 4: the handshake, messages, heartbeats, the two ways to close, and the upgrade.

use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::wire::{Dialect, Place, Polling, Socket};

super::cases! {
    restless:
        polling_opens_a_session,
        a_websocket_opens_a_session,
        polling_has_a_heartbeat,
        polling_ends_without_a_heartbeat,
        a_websocket_has_a_heartbeat,
        a_websocket_ends_without_a_heartbeat,
        a_websocket_can_be_closed;
    calm:
        polling_names_the_protocol_s_version,
        polling_names_a_transport,
        polling_begins_with_get,
        a_websocket_names_the_protocol_s_version,
        a_websocket_names_a_transport,
        polling_carries_a_text,
        polling_carries_several_texts,
        polling_carries_texts_and_bytes,
        polling_ends_with_a_packet_of_no_type,
        polling_ends_with_two_polls_at_once,
        polling_ends_with_a_poll_that_nobody_waits_for,
        a_websocket_carries_a_text,
        a_websocket_carries_bytes,
        a_websocket_ends_with_a_packet_of_no_type,
        polling_can_be_closed,
        polling_becomes_a_websocket,
        polling_is_over_after_the_upgrade,
        a_session_is_upgraded_once;
}

/// What the open packet must say.
fn check_open(packet: &str, upgrades: &Value) {
    let open = packet.strip_prefix('0').unwrap();
    let mut open: serde_json::Map<String, Value> = serde_json::from_str(open).unwrap();
    assert!(open.remove("sid").unwrap().is_string());
    let limits = json!({ "upgrades": upgrades, "pingInterval": 300, "pingTimeout": 4000, "maxPayload": 1_000_000 });
    assert_eq!(Value::from(open), limits);
}

async fn polling_opens_a_session(place: Place) {
    let answer = place.ask("GET", "EIO=4&transport=polling", "").await;
    assert_eq!(answer.status, 200);
    check_open(&answer.text(), &json!(["websocket"]));
}

async fn polling_names_the_protocol_s_version(place: Place) {
    for query in ["transport=polling", "EIO=abc&transport=polling"] {
        assert_eq!(place.ask("GET", query, "").await.status, 400, "{query}");
    }
}

async fn polling_names_a_transport(place: Place) {
    for query in ["EIO=4", "EIO=4&transport=abc"] {
        assert_eq!(place.ask("GET", query, "").await.status, 400, "{query}");
    }
}

async fn polling_begins_with_get(place: Place) {
    for method in ["POST", "PUT"] {
        let answer = place.ask(method, "EIO=4&transport=polling", "").await;
        assert_eq!(answer.status, 400, "{method}");
    }
}

async fn a_websocket_opens_a_session(place: Place) {
    let mut socket = place.websocket("EIO=4&transport=websocket").await.unwrap();
    check_open(&socket.text().await, &json!([]));
}

/// The upgrade is refused, before or right after the 101.
async fn is_refused(place: &Place, query: &str) {
    match place.websocket(query).await {
        Ok(mut socket) => socket.is_closed().await,
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 400, "{query}"),
        Err(error) => panic!("{query}: {error}"),
    }
}

async fn a_websocket_names_the_protocol_s_version(place: Place) {
    is_refused(&place, "transport=websocket").await;
    is_refused(&place, "EIO=abc&transport=websocket").await;
}

async fn a_websocket_names_a_transport(place: Place) {
    is_refused(&place, "EIO=4").await;
    is_refused(&place, "EIO=4&transport=abc").await;
}

async fn polling_carries_a_text(place: Place) {
    let session = Polling::connected(&place).await;
    session.post(&place.dialect.said("hello")).await;
    let expected = [place.dialect.echoed("hello")];
    assert_eq!(session.packets(1).await, expected);
}

async fn polling_carries_several_texts(place: Place) {
    let session = Polling::connected(&place).await;
    let texts = ["one", "two", "three"];
    let payload = texts.map(|text| place.dialect.said(text)).join("\x1e");
    session.post(&payload).await;
    let expected = texts.map(|text| place.dialect.echoed(text));
    assert_eq!(session.packets(3).await, expected);
}

/// Bytes are base64 behind a `b`.
async fn polling_carries_texts_and_bytes(place: Place) {
    let session = Polling::connected(&place).await;
    let (said, expected) = match place.dialect {
        Dialect::EngineIo => ("4hello", "4hello"),
        Dialect::SocketIo => (
            "451-[\"message\",{\"_placeholder\":true,\"num\":0}]",
            "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]",
        ),
    };
    session.post(&format!("{said}\x1ebAQIDBA==")).await;
    assert_eq!(session.packets(2).await, [expected, "bAQIDBA=="]);
}

async fn polling_ends_with_a_packet_of_no_type(place: Place) {
    let session = Polling::connected(&place).await;
    // The answer may be that of a request well taken, or a refusal.
    place.ask("POST", &session.query("polling"), "abc").await;
    session.is_gone().await;
}

async fn polling_ends_with_two_polls_at_once(place: Place) {
    let session = Polling::connected(&place).await;
    let (one, other) = tokio::join!(session.poll(), session.poll());
    let (closed, refused) = if one.status == 200 {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!((closed.status.as_u16(), closed.text().as_str()), (200, "1"));
    assert_eq!(refused.status, 400);
    session.is_gone().await;
}

/// Only a poll that the server has seen counts, and how long that takes is not known.
async fn polling_ends_with_a_poll_that_nobody_waits_for(place: Place) {
    let session = Polling::connected(&place).await;
    let mut patience = super::SOON;
    while let Err(_given_up) = timeout(patience, session.poll()).await {
        patience *= 2;
    }
    session.is_gone().await;
}

async fn a_websocket_carries_a_text(place: Place) {
    let mut socket = place.connected().await;
    echo(&place, &mut socket).await;
}

async fn echo(place: &Place, socket: &mut Socket) {
    socket.send(&place.dialect.said("hello")).await;
    assert_eq!(socket.text().await, place.dialect.echoed("hello"));
}

async fn a_websocket_carries_bytes(place: Place) {
    let mut socket = place.connected().await;
    if place.dialect == Dialect::SocketIo {
        let packet = "451-[\"message\",{\"_placeholder\":true,\"num\":0}]";
        socket.send(packet).await;
    }
    socket.send_binary(&[1, 2, 3, 4]).await;
    if place.dialect == Dialect::SocketIo {
        let packet = "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]";
        assert_eq!(socket.text().await, packet);
    }
    assert_eq!(socket.binary().await[..], [1, 2, 3, 4]);
}

async fn a_websocket_ends_with_a_packet_of_no_type(place: Place) {
    let mut socket = place.connected().await;
    socket.send("abc").await;
    socket.is_closed().await;
}

async fn polling_has_a_heartbeat(place: Place) {
    let session = Polling::connected(&place).await;
    for _ in 0..3 {
        let answer = session.poll().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "2"));
        session.post("3").await;
    }
}

async fn polling_ends_without_a_heartbeat(place: Place) {
    let session = Polling::connected(&place).await;
    assert_eq!(session.poll().await.text(), "2");
    // A poll that waits is answered when the time is up.
    let last = session.poll().await;
    assert_eq!((last.status.as_u16(), last.text().as_str()), (200, "1"));
    session.is_gone().await;
}

async fn a_websocket_has_a_heartbeat(place: Place) {
    let mut socket = place.connected().await;
    for _ in 0..3 {
        assert_eq!(socket.packet().await, Some(Message::text("2")));
        socket.send("3").await;
    }
}

async fn a_websocket_ends_without_a_heartbeat(place: Place) {
    let mut socket = place.connected().await;
    assert_eq!(socket.packet().await, Some(Message::text("2")));
    assert_eq!(socket.packet().await, None);
}

async fn polling_can_be_closed(place: Place) {
    let session = Polling::connected(&place).await;
    let (poll, ()) = tokio::join!(session.poll(), session.post("1"));
    // The poll may come after the end.
    if poll.status == 200 {
        assert_eq!(poll.text(), "6");
    } else {
        assert_eq!(poll.status, 400);
    }
    session.is_gone().await;
}

/// At once, or, as Node does it, when the client that has left answers no ping.
async fn a_websocket_can_be_closed(place: Place) {
    let mut socket = place.connected().await;
    socket.send("1").await;
    while let Some(packet) = socket.packet().await {
        assert_eq!(packet, Message::text("2"));
    }
}

/// A WebSocket for the session, tried and found good.
async fn probed(session: &Polling) -> Socket {
    let query = session.query("websocket");
    let mut socket = session.place.websocket(&query).await.unwrap();
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket
}

async fn polling_becomes_a_websocket(place: Place) {
    let session = Polling::connected(&place).await;
    let mut socket = probed(&session).await;
    // The poll is let go, so that nothing is under way on both.
    let answer = session.poll().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "6"));
    socket.send("5").await;
    echo(&place, &mut socket).await;
}

async fn polling_is_over_after_the_upgrade(place: Place) {
    let session = Polling::connected(&place).await;
    let mut socket = probed(&session).await;
    socket.send("5").await;
    echo(&place, &mut socket).await;
    session.is_gone().await;
    echo(&place, &mut socket).await;
}

async fn a_session_is_upgraded_once(place: Place) {
    let session = Polling::connected(&place).await;
    let mut socket = probed(&session).await;
    socket.send("5").await;
    echo(&place, &mut socket).await;
    is_refused(&place, &session.query("websocket")).await;
    echo(&place, &mut socket).await;
}
