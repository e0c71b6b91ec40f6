//! A client that sends whatever it is told, and tells what it gets.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

use super::cases::{Handshake, Step};
use super::sides::Side;
use crate::support::PATIENCE;
use crate::support::node::read_head;

/// What became of a handshake.
pub(super) enum Opened {
    WebSocket(Box<Client>),
    Refused {
        status: String,
        /// In lower case.
        head: String,
        body: String,
    },
}

pub(super) async fn open(address: SocketAddr, handshake: &Handshake) -> Opened {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: garden\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
        handshake.target, handshake.lines
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = timeout(PATIENCE, read_head(&mut stream)).await.unwrap();
    let head = head.unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    if status == "101" {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        return Opened::WebSocket(Box::new(Client { head, socket }));
    }
    let (_, rest) = head.split_once("content-length: ").unwrap();
    let length = rest.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut body))
        .await
        .unwrap()
        .unwrap();
    let body = String::from_utf8(body).unwrap();
    Opened::Refused { status, head, body }
}

/// An open connection.
pub(super) struct Client {
    /// Of the answer to its handshake, in lower case.
    pub(super) head: String,
    socket: WebSocketStream<TcpStream>,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Its timestamp was looked at, and replaced.
    Text(String),
    Pong(Vec<u8>),
    Closed(u16, String),
    ClosedWithoutCode,
    /// Without a close frame.
    Ended,
}

impl Event {
    /// Whether it is the answer to a change.
    pub(super) fn is_change(&self) -> bool {
        matches!(self, Self::Text(text) if text.starts_with(r#"{"type":"ActionResult","data":{"success":true"#))
    }
}

impl Client {
    pub(super) async fn of(side: &Side, user: &str) -> Self {
        match open(side.address, &Handshake::of(user)).await {
            Opened::WebSocket(client) => *client,
            Opened::Refused { status, body, .. } => panic!("{status} {body}"),
        }
    }

    /// What is left when the handshake is over, for those who want to see frames.
    pub(super) fn into_stream(self) -> TcpStream {
        self.socket.into_inner()
    }

    pub(super) async fn take(&mut self, step: &Step) {
        let frame = |payload: &[u8], kind, last| {
            Message::Frame(Frame::message(payload.to_vec(), OpCode::Data(kind), last))
        };
        let messages = match step {
            Step::Text(text) => vec![Message::text(text.clone())],
            Step::Bytes(bytes) => vec![frame(bytes, Data::Text, true)],
            Step::Binary(bytes) => vec![Message::binary(bytes.clone())],
            Step::Ping(bytes) => vec![Message::Ping(bytes.clone().into())],
            Step::Close(None) => vec![Message::Close(None)],
            Step::Close(Some((code, reason))) => vec![Message::Close(Some(CloseFrame {
                code: (*code).into(),
                reason: reason.clone().into(),
            }))],
            Step::Fragments(parts) => parts
                .iter()
                .enumerate()
                .map(|(index, part)| {
                    let kind = if index == 0 {
                        Data::Text
                    } else {
                        Data::Continue
                    };
                    frame(part, kind, index + 1 == parts.len())
                })
                .collect(),
        };
        for message in messages {
            timeout(PATIENCE, self.socket.send(message))
                .await
                .unwrap()
                .unwrap();
        }
    }

    /// The next thing that the server says, pings aside.
    pub(super) async fn event(&mut self) -> Event {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await;
            return match next.expect("the server says nothing") {
                Some(Ok(Message::Text(text))) => Event::Text(without_time(&text)),
                Some(Ok(Message::Pong(bytes))) => Event::Pong(bytes.to_vec()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    Event::Closed(frame.code.into(), frame.reason.to_string())
                }
                Some(Ok(Message::Close(None))) => Event::ClosedWithoutCode,
                Some(Ok(Message::Ping(_))) => continue,
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => Event::Ended,
            };
        }
    }

    /// Waits until the server has ended the connection.
    pub(super) async fn ended(&mut self) {
        while self.event().await != Event::Ended {}
    }
}

/// A frame as clients send it, masked with zeros.
pub(super) fn raw_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    let mut frame = vec![first, 0x80 | length, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

/// Checks that the time in a `StateUpdate` is now, and printed as in the contract.
fn without_time(text: &str) -> String {
    const KEY: &str = r#","timestamp":""#;
    if !text.starts_with(r#"{"type":"StateUpdate""#) {
        return text.to_owned();
    }
    let (before, time) = text.rsplit_once(KEY).expect("a timestamp");
    let time = time.strip_suffix(r#"Z"}}}"#).expect("UTC, at the end");
    let (second, fraction) = match time.split_once('.') {
        Some((second, fraction)) => (second, Some(fraction)),
        None => (time, None),
    };
    let now = OffsetDateTime::now_utc();
    let plausible = (0..60).map(|age| rfc_3339(now - Duration::seconds(age)));
    assert!(
        plausible.into_iter().any(|plausible| plausible == second),
        "{time}"
    );
    if let Some(fraction) = fraction {
        assert!([3, 6, 9].contains(&fraction.len()), "{time}");
        assert!(
            fraction.bytes().all(|digit| digit.is_ascii_digit()),
            "{time}"
        );
        assert!(!fraction.ends_with("000"), "{time}");
    }
    format!("{before}{KEY}now\"}}}}}}")
}

fn rfc_3339(time: OffsetDateTime) -> String {
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}
