//! What a client can make a session hold and do.

use futures_util::FutureExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_payload_of_many_packets_passes() {
    let mut running = Running::polling().await;
    let body = vec!["4a"; 100_000].join("\u{1e}");
    running.post(body).await;
    for _ in 0..100_000 {
        assert_eq!(running.hear().await, Ok(Message::Text("a".into())));
    }
    running.assert_open().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_client_does_not_take_is_counted() {
    let (_visits, mailbox) = channel(1);
    let (first, _answer) = oneshot::channel();
    let mut session = Session::polling("the-sid", LIMITS, mailbox, first);
    session.send(Message::Text("hello".into()));
    // An allocation with its count of references, and its place in the queue.
    let around = session.queued() - 5;
    assert!((64..160).contains(&around), "{around}");
    session.send(Message::Binary(vec![0; 1000].into()));
    assert_eq!(session.queued(), 1005 + 2 * around);

    let (_visits, mailbox) = channel(1);
    let (near, far) = duplex(1000);
    let mut session = Session::websocket("the-sid", LIMITS, mailbox, Box::new(near));
    let mut client: Client = WebSocket::new(far, Role::Client, 1 << 20);
    for _ in 0..200 {
        session.send(Message::Binary(vec![7; 1000].into()));
    }
    assert!(session.queued() > 200_000);
    let mut received = 0;
    while received < 201 {
        tokio::select! {
            closed = session.next() => panic!("{closed:?}"),
            _ = receive(&mut client) => received += 1,
        }
    }
    assert_eq!(session.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pings_and_never_reads_is_owed_little() {
    let (_visits, mailbox) = channel(1);
    let (near, far) = duplex(1000);
    let mut session = Session::websocket("the-sid", LIMITS, mailbox, Box::new(near));
    let mut client: Client = WebSocket::new(far, Role::Client, 1 << 20);
    for _ in 0..10_000 {
        client.queue(&Frame::Ping(vec![7; 125].into()));
    }
    client.queue(&Frame::Text("4x".into()));
    let (flushed, heard) = tokio::join!(client.flush(), session.next());
    flushed.expect("the session reads");
    assert_eq!(heard, Ok(Message::Text("x".into())));
    assert!(session.queued() < 70_000, "{}", session.queued());
}

#[tokio::test(start_paused = true)]
async fn many_websockets_of_one_client_are_not_kept() {
    let mut running = Running::polling().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(running.connect().await);
    }
    running.assert_open().await;
    let mut dropped = 0;
    for client in &mut clients[1..] {
        assert_eq!(receive(client).await, Frame::Close(None));
        dropped += usize::from(client.next().now_or_never().is_some());
    }
    assert_eq!(dropped, 15);
}
