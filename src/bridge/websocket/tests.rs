//! The stream around the codec, and both roles against an independent implementation.

use futures_util::{FutureExt, SinkExt, StreamExt};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tungstenite::protocol::frame::coding::CloseCode;

use super::*;

/// Both ends ours, over a pipe of so many bytes.
fn pair(pipe: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (client, server) = duplex(pipe);
    (
        WebSocket::new(client, Role::Client, 1 << 20),
        WebSocket::new(server, Role::Server, 1 << 20),
    )
}

async fn text(websocket: &mut WebSocket<DuplexStream>) -> Bytes {
    match websocket.next().await {
        Some(Ok(Message::Text(text))) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn several_messages_of_one_read_come_one_by_one() {
    let (mut client, mut server) = pair(1024);
    for word in ["one", "", "three"] {
        client.queue(&Message::Text(word.into()));
    }
    client.queue_prefixed("fo", b"ur");
    client.flush().await.expect("flush");
    assert_eq!(text(&mut server).await, "one");
    assert_eq!(text(&mut server).await, "");
    assert_eq!(text(&mut server).await, "three");
    assert_eq!(text(&mut server).await, "four");
    assert!(server.next().now_or_never().is_none());
}

#[tokio::test]
async fn what_a_slow_peer_has_taken_of_a_large_message_is_given_back() {
    let (mut client, mut server) = pair(1000);
    let payload = Bytes::from(vec![7; 1 << 20]);
    client.queue(&Message::Binary(payload.clone()));
    let received = loop {
        assert!(client.flush().now_or_never().is_none() || client.queued() == 0);
        let (kept, queued) = (client.unwritten.capacity(), client.queued());
        assert!(kept <= (2 * queued).max(LARGE), "{kept} for {queued}");
        if let Some(received) = server.next().now_or_never() {
            break received;
        }
        // A task that never pauses gets nothing more from its pipes.
        tokio::task::yield_now().await;
    };
    let received = received.expect("no end").expect("no error");
    assert_eq!(received, Message::Binary(payload));
}

#[tokio::test]
async fn a_full_stream_takes_the_rest_later() {
    let (mut client, mut server) = pair(100);
    let payload = Bytes::from(vec![7; 1000]);
    client.queue(&Message::Binary(payload.clone()));
    let all = client.queued();
    assert!(client.flush().now_or_never().is_none());
    assert_eq!(client.queued(), all - 100);
    assert!(
        server.next().now_or_never().is_none(),
        "only a part is here"
    );
    let (flushed, received) = tokio::join!(client.flush(), server.next());
    flushed.expect("flush");
    let received = received.expect("no end").expect("no error");
    assert_eq!(received, Message::Binary(payload));
    assert_eq!(client.queued(), 0);
}

#[tokio::test]
async fn what_a_stream_holds_back_is_flushed() {
    let (client, server) = duplex(100);
    let client = tokio::io::BufWriter::with_capacity(64, client);
    let mut client = WebSocket::new(client, Role::Client, 100);
    let mut server = WebSocket::new(server, Role::Server, 100);
    client.queue(&Message::Text("short".into()));
    client.flush().await.expect("flush");
    assert_eq!(text(&mut server).await, "short");
}

#[tokio::test]
async fn an_idle_one_holds_no_buffers() {
    let (mut client, mut server) = pair(1024);
    for _ in 0..2 {
        client.queue(&Message::Text("a text".into()));
        client.queue(&Message::Ping("a ping".into()));
        client.flush().await.expect("flush");
        text(&mut server).await;
        server.next().await.expect("no end").expect("a ping");
    }
    assert!(server.next().now_or_never().is_none());
    assert_eq!(client.unwritten.capacity(), 0);
    assert!(server.unread.is_empty());
    assert!(size_of::<WebSocket<DuplexStream>>() < 384);
}

#[tokio::test]
async fn the_end_of_the_stream_is_the_end_wherever_it_comes() {
    let (mut far, near) = duplex(100);
    let mut server = WebSocket::new(near, Role::Server, 100);
    far.write_all(&[0x81, 0x85, 0, 0, 0, 0, b'h'])
        .await
        .expect("half a frame");
    drop(far);
    assert!(server.next().await.is_none());
    assert!(server.next().await.is_none());
}

#[tokio::test]
async fn an_error_ends_it_and_says_the_close_code() {
    let (mut far, near) = duplex(100);
    let mut server = WebSocket::new(near, Role::Server, 4);
    far.write_all(&[0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'])
        .await
        .expect("a frame");
    let error = server.next().await.expect("no end").expect_err("too big");
    assert_eq!(error.close_code(), Some(1009));
    assert!(server.next().await.is_none());
    server.queue(&Message::Close(Some((1009, Bytes::new()))));
    server.shutdown().await;
    let mut heard = vec![0; 4];
    far.read_exact(&mut heard).await.expect("a close frame");
    assert_eq!(heard, [0x88, 0x02, 0x03, 0xf1]);
    assert_eq!(far.read(&mut heard).await.expect("the end"), 0);
}

#[tokio::test]
async fn a_stream_that_takes_no_more_is_an_error_once() {
    let (mut client, server) = pair(100);
    drop(server);
    client.queue(&Message::Text("nobody hears".into()));
    client.flush().await.expect_err("nobody is there");
    assert_eq!(client.queued(), 0);
}

#[test]
fn masks_differ() {
    let mut masks = Masks::default();
    let first = masks.next();
    assert!((0..8).any(|_| masks.next() != first));
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = |length| vec(any::<u8>(), 0..length).prop_map(Bytes::from);
    prop_oneof![
        "[aäß→🚚]{0,80}".prop_map(|text| Message::Text(text.into())),
        bytes(300).prop_map(Message::Binary),
        (60_000..70_000_usize).prop_map(|length| Message::Binary(vec![9; length].into())),
        bytes(125).prop_map(Message::Ping),
    ]
}

fn theirs(message: &Message) -> tungstenite::Message {
    match message.clone() {
        Message::Text(text) => {
            tungstenite::Message::Text(text.try_into().expect("texts are UTF-8"))
        }
        Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
        Message::Ping(payload) => tungstenite::Message::Ping(payload),
        Message::Pong(payload) => tungstenite::Message::Pong(payload),
        Message::Close(reason) => tungstenite::Message::Close(reason.map(|(code, reason)| {
            tungstenite::protocol::CloseFrame {
                code: CloseCode::from(code),
                reason: reason.try_into().expect("reasons are UTF-8"),
            }
        })),
    }
}

/// Sends one way what the other reads, then closes, with each of us as sender.
async fn exchange(messages: &[Message], role: Role, pipe: usize) {
    let (near, far) = duplex(pipe);
    let mut ours = WebSocket::new(near, role, 1 << 20);
    let their_role = match role {
        Role::Client => tungstenite::protocol::Role::Server,
        Role::Server => tungstenite::protocol::Role::Client,
    };
    let mut their = WebSocketStream::from_raw_socket(far, their_role, None).await;
    let send = async {
        for message in messages {
            their.send(theirs(message)).await.expect("they send");
        }
    };
    let receive = async {
        for message in messages {
            let received = ours.next().await.expect("no end").expect("no error");
            assert_eq!(&received, message);
        }
    };
    tokio::join!(send, receive);
    let send = async {
        for message in messages {
            ours.queue(message);
            ours.flush().await.expect("flush");
        }
        ours.queue(&Message::Close(Some((4001, "enough".into()))));
        ours.flush().await.expect("flush");
        // They answer the pings by themselves, and the closing handshake.
        loop {
            match ours.next().await.expect("no end").expect("no error") {
                Message::Pong(_) => {}
                other => break other,
            }
        }
    };
    let receive = async {
        for message in messages {
            let received = their.next().await.expect("no end").expect("no error");
            assert_eq!(received, theirs(message));
        }
        let farewell = their.next().await.expect("no end").expect("no error");
        assert_eq!(
            farewell,
            theirs(&Message::Close(Some((4001, "enough".into()))))
        );
        let _ = their.flush().await;
    };
    let (answer, ()) = tokio::join!(send, receive);
    assert_eq!(answer, Message::Close(Some((4001, "enough".into()))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_independent_implementation_agrees(
        messages in vec(message(), 0..6),
        client in any::<bool>(),
        pipe in prop_oneof![Just(64_usize), Just(4096), Just(1 << 17)],
    ) {
        let role = if client { Role::Client } else { Role::Server };
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(exchange(&messages, role, pipe));
    }
}
