//! A WebSocket alone.

use super::*;

#[tokio::test(start_paused = true)]
async fn messages_pass_both_ways() {
    let (mut running, mut client) = Running::websocket().await;
    send(&mut client, "4hello").await;
    assert_eq!(running.hear_text().await, "hello");
    let bytes = Bytes::from_static(&[1, 2, 3]);
    send_frame(&mut client, &Frame::Binary(bytes.clone())).await;
    let binary = Message::Binary(bytes.clone());
    assert_eq!(running.hear().await, Ok(binary.clone()));
    send(&mut client, "bAQID").await;
    assert_eq!(running.hear().await, Ok(binary.clone()));
    running.send("world");
    running.order(Order::Send(binary));
    running.send("");
    assert_eq!(receive_text(&mut client).await, "4world");
    assert_eq!(receive(&mut client).await, Frame::Binary(bytes));
    assert_eq!(receive_text(&mut client).await, "4");
}

#[tokio::test(start_paused = true)]
async fn packets_that_mean_nothing_are_ignored() {
    let (mut running, mut client) = Running::websocket().await;
    // Unlike in a payload, Node does not care for a close packet here.
    for packet in ["1", "0", "6", "5", "3"] {
        send(&mut client, packet).await;
    }
    send(&mut client, "4x").await;
    assert_eq!(running.hear_text().await, "x");
}

#[tokio::test(start_paused = true)]
async fn pings_of_the_websocket_are_answered() {
    let (_running, mut client) = Running::websocket().await;
    send_frame(&mut client, &Frame::Ping("anybody?".into())).await;
    assert_eq!(receive(&mut client).await, Frame::Pong("anybody?".into()));
}

#[tokio::test(start_paused = true)]
async fn bad_packets_end_the_session() {
    for packet in ["", "abc", "7", "ä"] {
        let (mut running, mut client) = Running::websocket().await;
        send(&mut client, packet).await;
        assert_eq!(running.closed().await, Closed::ParseError, "{packet:?}");
        expect_close(&mut client, None).await;
        running.gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_ends_it_with_1009() {
    let (mut running, mut client) = Running::websocket().await;
    let most = Bytes::from(vec![b'x'; LIMITS.max_payload]);
    send_frame(&mut client, &Frame::Binary(most.clone())).await;
    assert_eq!(running.hear().await, Ok(Message::Binary(most)));
    client.queue_prefixed("4", &vec![b'x'; LIMITS.max_payload * 3]);
    // More than the pipe holds: the session must read on, or its close frame would be lost.
    client.flush().await.expect("the session reads");
    assert_eq!(running.closed().await, Closed::TransportError);
    expect_close(&mut client, Some(1009)).await;
    drop(client);
    running.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_gets_its_close_frame_back() {
    for reason in [None, Some((4001, Bytes::from("enough")))] {
        let (mut running, mut client) = Running::websocket().await;
        send_frame(&mut client, &Frame::Close(reason.clone())).await;
        assert_eq!(receive(&mut client).await, Frame::Close(reason));
        assert!(client.next().await.is_none());
        assert_eq!(running.closed().await, Closed::TransportClose);
        drop(client);
        running.gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_messages_of_a_client_that_is_gone_are_heard() {
    let (mut running, mut client) = Running::websocket().await;
    send(&mut client, "4one").await;
    send(&mut client, "4two").await;
    drop(client);
    running.send("nobody reads this");
    assert_eq!(running.hear_text().await, "one");
    assert_eq!(running.hear_text().await, "two");
    assert_eq!(running.closed().await, Closed::TransportClose);
    running.gone().await;
}

#[tokio::test(start_paused = true)]
async fn requests_of_polling_do_not_fit() {
    let (running, _client) = Running::websocket().await;
    let (answer, answered) = oneshot::channel();
    running.visit(Visit::Other { answer }).await;
    assert_eq!(answered.await, Ok(Refused::BadRequest.answer()));
    let answered = running.get().await;
    assert_eq!(answered.await, Ok(Refused::BadRequest.answer()));
    let (_upload, answered) = running.upload().await;
    assert_eq!(answered.await, Ok(Refused::BadRequest.answer()));
}

#[tokio::test(start_paused = true)]
async fn another_websocket_may_take_over() {
    let (mut running, mut client) = Running::websocket().await;
    let mut second = running.connect().await;
    send(&mut second, "2probe").await;
    assert_eq!(receive_text(&mut second).await, "3probe");
    send(&mut second, "5").await;
    expect_close(&mut client, None).await;
    running.send("down");
    assert_eq!(receive_text(&mut second).await, "4down");
    send(&mut second, "4up").await;
    assert_eq!(running.hear_text().await, "up");
}

#[tokio::test(start_paused = true)]
async fn a_held_session_is_not_read_and_stays() {
    let (mut running, mut client) = Running::websocket().await;
    running.order(Order::Hold(true));
    running.send("down");
    assert_eq!(receive_text(&mut client).await, "4down");
    send(&mut client, "4up").await;
    assert_eq!(receive_text(&mut client).await, "2");
    send(&mut client, "3").await;
    tokio::time::sleep(LIMITS.ping_timeout * 5).await;
    assert!(running.heard.is_empty());
    running.order(Order::Hold(false));
    assert_eq!(running.hear_text().await, "up");
    // The pong, too, counts from now.
    let released = tokio::time::Instant::now();
    assert_eq!(receive_text(&mut client).await, "2");
    assert_eq!(released.elapsed().as_secs(), 25);
}
