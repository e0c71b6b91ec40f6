//! From polling to a WebSocket.

use tokio::time::Instant;

use super::*;

/// Probes, and ends the upgrade.
async fn upgrade(running: &Running) -> Client {
    let mut client = running.connect().await;
    send(&mut client, "2probe").await;
    assert_eq!(receive_text(&mut client).await, "3probe");
    send(&mut client, "5").await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_is_ended_and_what_comes_then_waits_for_the_websocket() {
    let mut running = Running::polling().await;
    let poll = running.get().await;
    let mut client = running.connect().await;
    send(&mut client, "2probe").await;
    let since = Instant::now();
    assert_eq!(receive_text(&mut client).await, "3probe");
    assert_eq!(poll.await, Ok(Answer::payload("6".into())));
    assert_eq!(since.elapsed().as_millis(), 100);
    running.send("queued");
    send(&mut client, "5").await;
    assert_eq!(receive_text(&mut client).await, "4queued");
    send(&mut client, "4up").await;
    assert_eq!(running.hear_text().await, "up");
}

#[tokio::test(start_paused = true)]
async fn polling_goes_on_until_the_client_says_so() {
    let mut running = Running::polling().await;
    let mut client = running.connect().await;
    let poll = running.get().await;
    running.send("by poll");
    assert_eq!(poll.await, Ok(Answer::payload("4by poll".into())));
    running.assert_open().await;
    send(&mut client, "2probe").await;
    assert_eq!(receive_text(&mut client).await, "3probe");
    // Each poll is ended soon, also a second one.
    assert_eq!(running.poll().await, "6");
    assert_eq!(running.poll().await, "6");
    running.send("still by poll");
    assert_eq!(running.poll().await, "4still by poll");
    running.assert_open().await;
}

#[tokio::test(start_paused = true)]
async fn afterwards_polling_is_over() {
    let mut running = Running::polling().await;
    let mut client = upgrade(&running).await;
    send(&mut client, "4x").await;
    assert_eq!(running.hear_text().await, "x");
    let poll = running.get().await;
    assert_eq!(poll.await, Ok(Refused::BadRequest.answer()));
    let (_upload, answer) = running.upload().await;
    assert_eq!(answer.await, Ok(Refused::BadRequest.answer()));
    let mut second = running.connect().await;
    expect_close(&mut second, None).await;
    running.send("y");
    assert_eq!(receive_text(&mut client).await, "4y");
}

#[tokio::test(start_paused = true)]
async fn a_poll_and_a_post_under_way_end_with_polling() {
    let mut running = Running::polling().await;
    let poll = running.get().await;
    let (_upload, post) = running.upload().await;
    let mut client = running.connect().await;
    // Node does not insist on the probe.
    send(&mut client, "5").await;
    assert_eq!(poll.await, Ok(Answer::payload("1".into())));
    assert!(post.await.is_err(), "Node destroys its connection");
    send(&mut client, "4x").await;
    assert_eq!(running.hear_text().await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_says_something_else_is_closed() {
    let frames = [
        Frame::Text("4x".into()),
        Frame::Text("2".into()),
        Frame::Text("3probe".into()),
        Frame::Text("1".into()),
        Frame::Text("".into()),
        Frame::Text("x".into()),
        Frame::Binary("2probe".into()),
    ];
    let mut running = Running::polling().await;
    for frame in frames {
        let mut client = running.connect().await;
        send_frame(&mut client, &frame).await;
        expect_close(&mut client, None).await;
        running.assert_open().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_may_break_and_the_next_may_succeed() {
    let mut running = Running::polling().await;
    drop(running.connect().await);
    running.assert_open().await;
    let mut client = running.connect().await;
    client.queue(&Frame::Binary(vec![0; LIMITS.max_payload + 1].into()));
    client.flush().await.expect("the session reads");
    expect_close(&mut client, Some(1009)).await;
    running.assert_open().await;
    let mut client = running.connect().await;
    send_frame(&mut client, &Frame::Close(Some((1000, Bytes::new())))).await;
    expect_close(&mut client, Some(1000)).await;
    running.assert_open().await;
    let mut client = upgrade(&running).await;
    send(&mut client, "4x").await;
    assert_eq!(running.hear_text().await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_second_probe_is_closed_and_the_first_goes_on() {
    let mut running = Running::polling().await;
    let mut first = running.connect().await;
    let mut second = running.connect().await;
    expect_close(&mut second, None).await;
    send(&mut first, "2probe").await;
    assert_eq!(receive_text(&mut first).await, "3probe");
    send(&mut first, "5").await;
    send(&mut first, "4x").await;
    assert_eq!(running.hear_text().await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_end_its_upgrade_goes_on_polling() {
    let mut running = Running::polling().await;
    let mut client = running.connect().await;
    send(&mut client, "2probe").await;
    let since = Instant::now();
    assert_eq!(receive_text(&mut client).await, "3probe");
    expect_close(&mut client, None).await;
    assert_eq!(since.elapsed().as_secs(), 10);
    running.assert_open().await;
    // Nothing ends polls any more.
    assert_eq!(running.poll().await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_takes_its_probe_with_it() {
    let mut running = Running::polling().await;
    let mut client = running.connect().await;
    send(&mut client, "2probe").await;
    assert_eq!(receive_text(&mut client).await, "3probe");
    running.post("1").await;
    assert_eq!(running.closed().await, Closed::TransportClose);
    expect_close(&mut client, None).await;
    drop(client);
    running.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_ping_by_poll_may_be_answered_by_websocket() {
    let mut running = Running::polling().await;
    assert_eq!(running.poll().await, "2");
    let mut client = upgrade(&running).await;
    send(&mut client, "3").await;
    send(&mut client, "4x").await;
    assert_eq!(running.hear_text().await, "x");
    let since = Instant::now();
    assert_eq!(receive_text(&mut client).await, "2");
    assert_eq!(since.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_upgrades_between_ping_and_pong_must_still_show_that_it_lives() {
    let mut running = Running::polling().await;
    assert_eq!(running.poll().await, "2");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut client = upgrade(&running).await;
    let since = Instant::now();
    assert_eq!(running.closed().await, Closed::PingTimeout);
    assert_eq!(since.elapsed().as_secs(), 20);
    expect_close(&mut client, None).await;
}
