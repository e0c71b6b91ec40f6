//! Socket.IO 5 over a WebSocket: connecting to namespaces, leaving them, messages, acknowledgements, and what is refused.

use super::wire::Place;

super::cases! {
    restless:
        a_connection_without_connect_is_closed;
    calm:
        the_main_namespace_takes_a_client,
        the_main_namespace_gets_what_comes_with_connect,
        another_namespace_takes_a_client,
        another_namespace_gets_what_comes_with_connect,
        an_unknown_namespace_is_refused,
        a_connection_begins_with_connect,
        the_main_namespace_can_be_left,
        one_of_two_namespaces_can_be_left,
        a_text_event,
        an_event_with_attachments,
        a_text_event_with_an_ack,
        an_event_with_attachments_and_an_ack,
        a_packet_of_no_type_closes,
        a_payload_that_is_no_array_closes,
        an_ack_id_that_is_no_number_closes;
}

async fn the_main_namespace_takes_a_client(place: Place) {
    let mut socket = place.opened().await;
    let first = socket.connect("").await;
    let mut other = place.opened().await;
    assert_ne!(other.connect("").await, first);
}

async fn the_main_namespace_gets_what_comes_with_connect(place: Place) {
    let mut socket = place.opened().await;
    socket.send("40{\"token\":\"123\"}").await;
    socket.accepted("").await;
    assert_eq!(socket.text().await, "42[\"auth\",{\"token\":\"123\"}]");
}

async fn another_namespace_takes_a_client(place: Place) {
    let mut socket = place.opened().await;
    socket.connect("/custom,").await;
}

async fn another_namespace_gets_what_comes_with_connect(place: Place) {
    let mut socket = place.opened().await;
    socket.send("40/custom,{\"token\":\"abc\"}").await;
    socket.accepted("/custom,").await;
    assert_eq!(
        socket.text().await,
        "42/custom,[\"auth\",{\"token\":\"abc\"}]"
    );
}

async fn an_unknown_namespace_is_refused(place: Place) {
    let mut socket = place.opened().await;
    socket.send("40/random").await;
    let refusal = "44/random,{\"message\":\"Invalid namespace\"}";
    assert_eq!(socket.text().await, refusal);
}

async fn a_connection_begins_with_connect(place: Place) {
    for packet in ["4abc", "42[\"message\",1]"] {
        let mut socket = place.opened().await;
        socket.send(packet).await;
        socket.is_closed().await;
    }
}

/// Although it answers pings.
async fn a_connection_without_connect_is_closed(place: Place) {
    let mut socket = place.opened().await;
    socket.is_closed().await;
}

/// Nobody answers, and the connection stays for whoever connects again. Node wants to be left alone for a moment: it
/// closes when a CONNECT comes together with the DISCONNECT before it.
async fn the_main_namespace_can_be_left(place: Place) {
    let mut socket = place.opened().await;
    socket.connect("").await;
    socket.connect("/custom,").await;
    socket.send("41").await;
    socket.send("42/custom,[\"message\"]").await;
    assert_eq!(socket.text().await, "42/custom,[\"message-back\"]");
    socket.connect("").await;
}

async fn one_of_two_namespaces_can_be_left(place: Place) {
    let mut socket = place.connected().await;
    socket.connect("/custom,").await;
    socket.send("41/custom,").await;
    socket.send("42[\"message\",\"still here\"]").await;
    assert_eq!(socket.text().await, "42[\"message-back\",\"still here\"]");
}

async fn a_text_event(place: Place) {
    let mut socket = place.connected().await;
    socket.send("42[\"message\",1,\"2\",{\"3\":[true]}]").await;
    let back = "42[\"message-back\",1,\"2\",{\"3\":[true]}]";
    assert_eq!(socket.text().await, back);
}

const TWO: &str = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]";

async fn an_event_with_attachments(place: Place) {
    let mut socket = place.connected().await;
    socket.send(&format!("452-[\"message\",{TWO}")).await;
    socket.send_binary(&[1, 2, 3]).await;
    socket.send_binary(&[4, 5, 6]).await;
    assert_eq!(socket.text().await, format!("452-[\"message-back\",{TWO}"));
    assert_eq!(socket.binary().await[..], [1, 2, 3]);
    assert_eq!(socket.binary().await[..], [4, 5, 6]);
}

async fn a_text_event_with_an_ack(place: Place) {
    let mut socket = place.connected().await;
    let asked = "42456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]";
    socket.send(asked).await;
    assert_eq!(socket.text().await, "43456[1,\"2\",{\"3\":[false]}]");
}

async fn an_event_with_attachments_and_an_ack(place: Place) {
    let mut socket = place.connected().await;
    socket
        .send(&format!("452-789[\"message-with-ack\",{TWO}"))
        .await;
    socket.send_binary(&[1, 2, 3]).await;
    socket.send_binary(&[4, 5, 6]).await;
    assert_eq!(socket.text().await, format!("462-789[{TWO}"));
    assert_eq!(socket.binary().await[..], [1, 2, 3]);
    assert_eq!(socket.binary().await[..], [4, 5, 6]);
}

async fn is_closed_by(place: &Place, packet: &str) {
    let mut socket = place.connected().await;
    socket.send(packet).await;
    socket.is_closed().await;
}

async fn a_packet_of_no_type_closes(place: Place) {
    is_closed_by(&place, "4abc").await;
}

async fn a_payload_that_is_no_array_closes(place: Place) {
    is_closed_by(&place, "42{}").await;
}

async fn an_ack_id_that_is_no_number_closes(place: Place) {
    is_closed_by(&place, "42abc[\"message-with-ack\",1,\"2\"]").await;
}
