//! The client's end of an Engine.IO 4 connection over a WebSocket: what the bridge holds to Node, and to native in the
//! same process. Answers heartbeats; everything else is the bridge's.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use prometheus::IntGauge;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::bridge::engineio::{Limits, Message};
use crate::bridge::websocket::{self, Role, WebSocket};
use crate::budget::NodePlace;
use crate::metrics::Counted;

/// Largest message that a leg accepts. A server bounds what clients send, never what it sends.
const MOST: usize = 256 * 1024 * 1024;

/// What a server says when it has accepted a client.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OpenPacket {
    pub(crate) sid: String,
    #[serde(default)]
    upgrades: Vec<String>,
    ping_interval: u64,
    ping_timeout: u64,
    max_payload: Option<usize>,
}

impl OpenPacket {
    /// Reads it; `None` for any other packet.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        serde_json::from_slice(packet.strip_prefix(b"0")?).ok()
    }

    /// Whether the session may go on over a WebSocket.
    pub(crate) fn offers_websocket(&self) -> bool {
        self.upgrades.iter().any(|upgrade| upgrade == "websocket")
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            ping_interval: Duration::from_millis(self.ping_interval),
            ping_timeout: Duration::from_millis(self.ping_timeout),
            // Servers before 4.1 do not say it; theirs was the same.
            max_payload: self.max_payload.unwrap_or(1_000_000),
        }
    }
}

/// Why a leg ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LegEnd {
    /// The far end closed it in order.
    Closed,
    /// It broke off.
    Lost,
}

/// One leg.
pub(crate) struct Leg<S> {
    socket: WebSocket<S>,
    _open: Counted,
    place: Option<NodePlace>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Leg<S> {
    /// Waits for the far end's open packet.
    ///
    /// # Errors
    /// Where none comes, or one that says something else.
    pub(crate) async fn open(stream: S, legs: IntGauge) -> Result<(Self, OpenPacket), LegEnd> {
        let mut leg = Self::new(stream, legs);
        let packet = leg.text().await?;
        let packet = OpenPacket::parse(&packet).ok_or(LegEnd::Lost)?;
        Ok((leg, packet))
    }

    /// Goes on with a session that began with polling.
    ///
    /// # Errors
    /// Where the far end does not go along.
    pub(crate) async fn upgrade(stream: S, legs: IntGauge) -> Result<Self, LegEnd> {
        let mut leg = Self::new(stream, legs);
        leg.say(b"2probe");
        leg.socket.flush().await.map_err(|_| LegEnd::Lost)?;
        if leg.text().await? != "3probe" {
            return Err(LegEnd::Lost);
        }
        leg.say(b"5");
        leg.socket.flush().await.map_err(|_| LegEnd::Lost)?;
        Ok(leg)
    }

    /// Does not wait for the open packet, which `poll_next` passes over.
    pub(crate) fn new(stream: S, legs: IntGauge) -> Self {
        Self {
            socket: WebSocket::new(stream, Role::Client, MOST),
            _open: Counted::new(legs),
            place: None,
        }
    }

    /// Keeps its place in the budget for as long as it is open.
    pub(crate) fn keep(&mut self, place: NodePlace) {
        self.place = Some(place);
    }

    async fn text(&mut self) -> Result<Bytes, LegEnd> {
        match self.socket.next().await {
            Some(Ok(websocket::Message::Text(text))) => Ok(text),
            _ => Err(LegEnd::Lost),
        }
    }

    fn say(&mut self, packet: &'static [u8]) {
        let packet = websocket::Message::Text(Bytes::from_static(packet));
        self.socket.queue(&packet);
    }

    /// The next message, or why there will be none. Writes what is queued; cancel safe.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, LegEnd>> {
        self.poll_flush(context);
        loop {
            let Some(Ok(message)) = ready!(self.socket.poll_next(context)) else {
                return Poll::Ready(Err(LegEnd::Lost));
            };
            match message {
                websocket::Message::Text(text) => match text.first() {
                    Some(b'4') => return Poll::Ready(Ok(Message::Text(text.slice(1..)))),
                    Some(b'2') => {
                        let mut pong = text.to_vec();
                        pong[0] = b'3';
                        self.socket.queue(&websocket::Message::Text(pong.into()));
                        self.poll_flush(context);
                    }
                    Some(b'1') => return Poll::Ready(Err(LegEnd::Closed)),
                    _ => {}
                },
                websocket::Message::Binary(bytes) => {
                    return Poll::Ready(Ok(Message::Binary(bytes)));
                }
                websocket::Message::Ping(bytes) => {
                    self.socket.queue(&websocket::Message::Pong(bytes));
                    self.poll_flush(context);
                }
                websocket::Message::Pong(_) => {}
                websocket::Message::Close(_) => return Poll::Ready(Err(LegEnd::Closed)),
            }
        }
    }

    /// Writes what can be written without waiting; the rest goes with the next call. An error shows when reading.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) {
        let _ = self.socket.poll_flush(context);
    }

    /// Queues a message; `next` writes it.
    pub(crate) fn send(&mut self, message: &Message) {
        match message {
            Message::Text(text) => {
                self.socket.queue_prefixed("4", text);
            }
            Message::Binary(bytes) => {
                self.socket
                    .queue(&websocket::Message::Binary(bytes.clone()));
            }
        }
    }

    /// Bytes that the far end has not taken.
    pub(crate) fn queued(&self) -> usize {
        self.socket.queued()
    }

    /// Bytes of a message that is not complete.
    pub(crate) fn partial(&self) -> usize {
        self.socket.partial()
    }

    /// Bytes of the largest message that the far end has begun.
    pub(crate) fn largest(&self) -> usize {
        self.socket.largest()
    }

    /// Ends it in order, as a client does that leaves.
    pub(crate) async fn close(mut self) {
        self.say(b"1");
        self.socket.queue(&websocket::Message::Close(None));
        self.socket.shutdown().await;
    }
}
