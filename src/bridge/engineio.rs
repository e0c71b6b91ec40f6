//! One client's Engine.IO 4 session, from the server's side: polling, WebSocket, the upgrade between them, heartbeats,
//! and the ways in which each of them goes wrong. No network: requests arrive as [`Visit`]s from whoever accepts them.
//!
//! The rules are those of the public protocol document, and where it is silent, what `engine.io` 6.5 of Node does; the
//! bytes are Node's. HTTP's heads, CORS and session ids belong to the caller.

mod codec;
mod farewell;
mod heartbeat;
mod polling;
mod request;
mod session;
mod transport;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

pub(crate) use self::request::{Query, Refused, Request, TransportName, parameters};
pub(crate) use self::session::Session;

/// An upgraded connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What the open packet tells the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    /// Bytes of one message on a WebSocket, or of one POST.
    pub(crate) max_payload: usize,
}

/// What a message packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// Valid UTF-8, without the packet's `4`.
    Text(Bytes),
    Binary(Bytes),
}

/// A request with the id of a session, judged by nobody yet but for the id and the name of the transport.
pub(crate) enum Visit {
    /// A GET. When its receiver is dropped, the client has gone away.
    Poll { answer: oneshot::Sender<Answer> },
    /// A POST, as soon as its head is here, since Node judges by that whether two overlap. If the session drops `answer`,
    /// Node would close the connection without one.
    Post {
        upload: oneshot::Receiver<Upload>,
        answer: oneshot::Sender<Answer>,
    },
    /// Another method.
    Other { answer: oneshot::Sender<Answer> },
    /// An upgrade to a WebSocket whose 101 is already written.
    WebSocket(Box<dyn Stream>),
}

/// The body of a POST. If its sender is dropped, the client broke off, or sent `application/octet-stream`, which Node
/// treats alike.
#[derive(Debug)]
pub(crate) enum Upload {
    Whole(Bytes),
    /// Over `max_payload`. Whoever read it has answered 413 and cares for no other answer.
    TooBig,
}

/// An answer without the headers that the caller adds. With status 200, Node sends `Content-Length` and
/// `Cache-Control: no-store`; all others are chunked, and without.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// To a poll.
    fn payload(body: Bytes) -> Self {
        Self {
            status: 200,
            content_type: Some("text/plain; charset=UTF-8"),
            body,
        }
    }

    /// To a POST.
    fn ok() -> Self {
        Self {
            status: 200,
            content_type: Some("text/html"),
            body: Bytes::from_static(b"ok"),
        }
    }

    /// To a POST over `max_payload`.
    pub(crate) fn too_large() -> Self {
        Self::empty(413)
    }

    fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            body: Bytes::new(),
        }
    }
}

/// Why a session has ended, in the words that socket.io gives to an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Closed {
    #[error("ping timeout")]
    PingTimeout,
    #[error("transport close")]
    TransportClose,
    #[error("transport error")]
    TransportError,
    #[error("parse error")]
    ParseError,
    /// By us.
    #[error("forced close")]
    ForcedClose,
}

#[cfg(test)]
mod tests;
