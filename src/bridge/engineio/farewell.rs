//! Each WebSocket that is being left: its last frames are written, the close frame of the peer is awaited, and the stream is
//! read to its end, as `ws` of Node does and for as long.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Stream;
use crate::bridge::websocket::{Message, WebSocket};

/// What `ws` gives a peer to close its end.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client can make us leave one WebSocket after the other; beyond these, the eldest is dropped.
const MAX_LEAVING: usize = 4;

/// Who closes a WebSocket, and with what.
pub(super) enum Goodbye {
    /// We, as a rule without a code.
    Ours(Option<u16>),
    /// We, and what the peer says has no meaning any more.
    Violation(u16),
    /// The peer, which gets its close frame back.
    Theirs(Option<(u16, Bytes)>),
}

#[derive(Default)]
pub(super) struct Farewells {
    leaving: Vec<Farewell>,
}

struct Farewell {
    websocket: WebSocket<Box<dyn Stream>>,
    /// The peer's close frame may still come.
    listening: bool,
    shut: bool,
    ends_at: Instant,
}

impl Farewells {
    pub(super) fn leave(
        &mut self,
        mut websocket: WebSocket<Box<dyn Stream>>,
        goodbye: Goodbye,
        now: Instant,
    ) {
        let listening = matches!(goodbye, Goodbye::Ours(_));
        websocket.queue(&Message::Close(match goodbye {
            Goodbye::Ours(code) => code.map(|code| (code, Bytes::new())),
            Goodbye::Violation(code) => Some((code, Bytes::new())),
            Goodbye::Theirs(reason) => reason,
        }));
        self.leaving.push(Farewell {
            websocket,
            listening,
            shut: false,
            ends_at: now + TIMEOUT,
        });
    }

    /// When the first of them has had its time.
    pub(super) fn at(&self) -> Option<Instant> {
        self.leaving.iter().map(|farewell| farewell.ends_at).min()
    }

    /// Drops those that have had their time.
    pub(super) fn expire(&mut self, now: Instant) {
        self.leaving.retain(|farewell| farewell.ends_at > now);
    }

    /// Ready when all have gone.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.leaving
            .retain_mut(|farewell| farewell.poll(context).is_pending());
        let surplus = self.leaving.len().saturating_sub(MAX_LEAVING);
        self.leaving.drain(..surplus);
        if self.leaving.is_empty() {
            self.leaving = Vec::new();
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Farewell {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.listening {
            if let Poll::Ready(Err(_)) = self.websocket.poll_flush(context) {
                return Poll::Ready(());
            }
            match ready!(self.websocket.poll_next(context)) {
                None => return Poll::Ready(()),
                Some(Ok(Message::Close(_)) | Err(_)) => self.listening = false,
                Some(Ok(_)) => {}
            }
        }
        if !self.shut {
            self.shut = self.websocket.poll_shutdown(context).is_ready();
        }
        // Also before, since a peer may want to be read before it reads.
        self.websocket.poll_drain(context)
    }
}
