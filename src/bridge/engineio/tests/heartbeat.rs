//! Pings, pongs, and silence.

use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_websocket_is_pinged_after_each_pong() {
    let (mut running, mut client) = Running::websocket().await;
    for _ in 0..3 {
        let since = Instant::now();
        assert_eq!(receive_text(&mut client).await, "2");
        assert_eq!(since.elapsed().as_secs(), 25);
        tokio::time::sleep(Duration::from_secs(19)).await;
        send(&mut client, "3").await;
    }
    send(&mut client, "4x").await;
    assert_eq!(running.hear_text().await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_silent_websocket_is_closed() {
    let (mut running, mut client) = Running::websocket().await;
    let since = Instant::now();
    assert_eq!(receive_text(&mut client).await, "2");
    assert_eq!(running.closed().await, Closed::PingTimeout);
    assert_eq!(since.elapsed().as_secs(), 45);
    expect_close(&mut client, None).await;
    drop(client);
    running.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_pinged() {
    let mut running = Running::polling().await;
    for _ in 0..3 {
        let since = Instant::now();
        assert_eq!(running.poll().await, "2");
        assert_eq!(since.elapsed().as_secs(), 25);
        running.post("3").await;
    }
    running.assert_open().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_poll_is_told() {
    let mut running = Running::polling().await;
    let since = Instant::now();
    assert_eq!(running.poll().await, "2");
    assert_eq!(running.poll().await, "1");
    assert_eq!(running.closed().await, Closed::PingTimeout);
    assert_eq!(since.elapsed().as_secs(), 45);
    expect_unknown(&running).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_polls_is_forgotten() {
    let mut running = Running::polling().await;
    let since = Instant::now();
    assert_eq!(running.closed().await, Closed::PingTimeout);
    assert_eq!(since.elapsed().as_secs(), 45);
    running.gone().await;
}

#[tokio::test(start_paused = true)]
async fn any_packet_puts_the_timeout_off() {
    let (mut running, mut client) = Running::websocket().await;
    assert_eq!(receive_text(&mut client).await, "2");
    tokio::time::sleep(Duration::from_secs(10)).await;
    send(&mut client, "4x").await;
    assert_eq!(running.hear_text().await, "x");
    let since = Instant::now();
    // It is not pinged again before its pong, but has the whole time from here.
    assert_eq!(running.closed().await, Closed::PingTimeout);
    assert_eq!(since.elapsed().as_secs(), 45);
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_nobody_asked_for_delays_the_ping() {
    let (_running, mut client) = Running::websocket().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    send(&mut client, "3").await;
    let since = Instant::now();
    assert_eq!(receive_text(&mut client).await, "2");
    assert_eq!(since.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn clients_do_not_ping() {
    let (mut running, mut client) = Running::websocket().await;
    send(&mut client, "2").await;
    assert_eq!(running.closed().await, Closed::TransportError);
    expect_close(&mut client, None).await;
    let mut running = Running::polling().await;
    let poll = running.get().await;
    running.post("2\u{1e}4x").await;
    assert_eq!(running.closed().await, Closed::TransportError);
    assert_eq!(poll.await, Ok(Answer::payload("1".into())));
}
