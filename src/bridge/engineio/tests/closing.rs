//! Ends that one side wants.

use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_closes_by_polling() {
    let mut running = Running::polling().await;
    let poll = running.get().await;
    running.post("4a\u{1e}1\u{1e}4b").await;
    assert_eq!(running.hear_text().await, "a");
    assert_eq!(running.closed().await, Closed::TransportClose);
    assert_eq!(poll.await, Ok(Answer::payload("6".into())));
    expect_unknown(&running).await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_is_told() {
    let running = Running::polling().await;
    let poll = running.get().await;
    tokio::task::yield_now().await;
    running.order(Order::Close);
    assert_eq!(poll.await, Ok(Answer::payload("1".into())));
    running.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_between_two_polls_is_told_at_the_next() {
    let mut running = Running::polling().await;
    running.order(Order::Close);
    running.post("4late").await;
    assert_eq!(running.poll().await, "6\u{1e}1");
    assert!(running.heard.recv().await.is_none(), "nothing was heard");
    running.gone().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_comes_before_the_close_packet() {
    let running = Running::polling().await;
    running.send("hi");
    running.order(Order::Close);
    assert_eq!(running.poll().await, "4hi");
    assert_eq!(running.poll().await, "6\u{1e}1");
    running.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_polls_again_is_left() {
    let since = Instant::now();
    let running = Running::polling().await;
    running.order(Order::Close);
    running.gone().await;
    assert_eq!(since.elapsed().as_secs(), 30);
    // With something to fetch it gets the time of the heartbeat, as in Node.
    let since = Instant::now();
    let running = Running::polling().await;
    running.send("hi");
    running.order(Order::Close);
    running.gone().await;
    assert_eq!(since.elapsed().as_secs(), 45);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_gets_what_waits_and_a_close_frame() {
    for (order, code) in [(Order::Close, None), (Order::GoAway, Some(1001))] {
        let (running, mut client) = Running::websocket().await;
        running.send("last");
        running.order(order);
        assert_eq!(receive_text(&mut client).await, "4last");
        expect_close(&mut client, code).await;
        drop(client);
        running.gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_does_not_close_is_left() {
    let (running, client) = Running::websocket().await;
    let since = Instant::now();
    running.order(Order::Close);
    running.gone().await;
    assert_eq!(since.elapsed().as_secs(), 30);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_discarded_session_says_nothing() {
    let (running, mut client) = Running::websocket().await;
    running.order(Order::Discard);
    assert!(client.next().await.is_none());
    let running = Running::polling().await;
    let poll = running.get().await;
    running.order(Order::Discard);
    poll.await.expect_err("no answer");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_closes_may_still_upgrade() {
    for waiting in [true, false] {
        let running = Running::polling().await;
        let mut client = running.connect().await;
        send(&mut client, "2probe").await;
        assert_eq!(receive_text(&mut client).await, "3probe");
        if waiting {
            running.send("waits");
        }
        running.order(Order::Close);
        send(&mut client, "5").await;
        if waiting {
            assert_eq!(receive_text(&mut client).await, "4waits");
        }
        expect_close(&mut client, None).await;
        drop(client);
        running.gone().await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_at_the_end_are_refused() {
    let (mut visits, mailbox) = channel(64);
    let (first, _answer) = oneshot::channel();
    let session = Session::polling("the-sid", LIMITS, mailbox, first);
    let visit = |answer| Visit::Poll { answer };
    let (answers, answered): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
    for answer in answers {
        assert!(visits.try_send(visit(answer)).is_ok());
    }
    let (near, far) = duplex(PIPE);
    assert!(visits.try_send(Visit::WebSocket(Box::new(near))).is_ok());
    let mut running = Running::new(session, visits);
    assert_eq!(running.closed().await, Closed::TransportError);
    let expected = [
        Answer::payload("1".into()),
        Answer::empty(400),
        Refused::UnknownSid.answer(),
    ];
    for (answer, expected) in answered.into_iter().zip(expected) {
        assert_eq!(answer.await, Ok(expected));
    }
    let mut client = WebSocket::new(far, Role::Client, 1000);
    expect_close(&mut client, None).await;
    drop(client);
    running.gone().await;
}
