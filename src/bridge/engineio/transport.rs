//! The two transports, and packets on a WebSocket.

use std::task::{Context, Poll, ready};

use super::codec::Packet;
use super::farewell::Goodbye;
use super::polling::Polling;
use super::{Limits, Message, Stream};
use crate::bridge::websocket::{self, WebSocketError};

/// Bytes that are encoded ahead of the stream.
pub(super) const ENCODED_AHEAD: usize = 64 * 1024;

pub(super) type WebSocket = websocket::WebSocket<Box<dyn Stream>>;

pub(super) enum Transport {
    Polling(Polling),
    WebSocket {
        websocket: WebSocket,
        /// It takes no more. What the client has said before may still come.
        broken: bool,
    },
}

impl Transport {
    pub(super) fn websocket(websocket: WebSocket) -> Self {
        Self::WebSocket {
            websocket,
            broken: false,
        }
    }
}

pub(super) fn open_websocket(stream: Box<dyn Stream>, limits: &Limits) -> WebSocket {
    WebSocket::new(stream, websocket::Role::Server, limits.max_payload)
}

pub(super) fn queue(websocket: &mut WebSocket, packet: &Packet) {
    match packet.text() {
        Ok((kind, data)) => websocket.queue_prefixed(kind, data),
        Err(bytes) => websocket.queue(&websocket::Message::Binary(bytes.clone())),
    }
}

/// What came from a WebSocket.
pub(super) enum Heard {
    Packet(Packet),
    Malformed,
    /// It is to be left like this.
    Goodbye(Goodbye),
    End,
}

pub(super) fn poll_packet(websocket: &mut WebSocket, context: &mut Context<'_>) -> Poll<Heard> {
    loop {
        let heard = match ready!(websocket.poll_next(context)) {
            Some(Ok(websocket::Message::Text(text))) => {
                Packet::decode(&text).map_or(Heard::Malformed, Heard::Packet)
            }
            Some(Ok(websocket::Message::Binary(bytes))) => {
                Heard::Packet(Packet::Message(Message::Binary(bytes)))
            }
            Some(Ok(websocket::Message::Ping(payload))) => {
                // A peer that pings and never reads is owed no memory (RFC 6455 §5.5.3 asks for the last pong only).
                if websocket.queued() < ENCODED_AHEAD {
                    websocket.queue(&websocket::Message::Pong(payload));
                }
                let _ = websocket.poll_flush(context);
                continue;
            }
            Some(Ok(websocket::Message::Pong(_))) => continue,
            Some(Ok(websocket::Message::Close(reason))) => Heard::Goodbye(Goodbye::Theirs(reason)),
            Some(Err(WebSocketError::Violation(violation))) => {
                Heard::Goodbye(Goodbye::Violation(violation.close_code()))
            }
            Some(Err(WebSocketError::Stream(_))) | None => Heard::End,
        };
        return Poll::Ready(heard);
    }
}
