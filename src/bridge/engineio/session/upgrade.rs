//! A second WebSocket that asks to be the session's transport, up to the moment when it is.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::super::Stream;
use super::super::codec::Packet;
use super::super::farewell::Goodbye;
use super::super::transport::{Heard, Transport, WebSocket, open_websocket, poll_packet, queue};
use super::Session;

/// How long a client may take to upgrade.
const TIMEOUT: Duration = Duration::from_secs(10);

/// While a client upgrades, its poll is ended this often, since it waits for that.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// Says in a ping and its pong that they are no heartbeat.
const PROBE: &[u8] = b"probe";

/// A WebSocket that has not said yet that it takes over.
pub(super) struct Probe {
    pub(super) websocket: WebSocket,
    pub(super) ends_at: Instant,
    /// When to end a poll, once the client has probed.
    pub(super) poll_at: Option<Instant>,
}

impl Session {
    pub(super) fn probe(&mut self, stream: Box<dyn Stream>, now: Instant) {
        let websocket = open_websocket(stream, &self.limits);
        if self.upgraded || self.probe.is_some() {
            self.farewells.leave(websocket, Goodbye::Ours(None), now);
            return;
        }
        self.probe = Some(Box::new(Probe {
            websocket,
            ends_at: now + TIMEOUT,
            poll_at: None,
        }));
    }

    pub(super) fn poll_probe(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        let Some(probe) = &mut self.probe else {
            return Poll::Pending;
        };
        // Reading tells if it broke.
        let _ = probe.websocket.poll_flush(context);
        match ready!(poll_packet(&mut probe.websocket, context)) {
            Heard::Packet(Packet::Ping(data)) if data == PROBE => {
                queue(&mut probe.websocket, &Packet::Pong(data));
                probe.poll_at = Some(now + POLL);
            }
            Heard::Packet(Packet::Upgrade) => self.upgrade(now),
            Heard::Packet(_) | Heard::Malformed => self.reject_probe(Goodbye::Ours(None), now),
            Heard::Goodbye(goodbye) => self.reject_probe(goodbye, now),
            Heard::End => self.probe = None,
        }
        Poll::Ready(())
    }

    pub(super) fn reject_probe(&mut self, goodbye: Goodbye, now: Instant) {
        if let Some(probe) = self.probe.take() {
            self.farewells.leave(probe.websocket, goodbye, now);
        }
    }

    /// The probe takes over, with all that waits to be written.
    fn upgrade(&mut self, now: Instant) {
        if let Some(probe) = self.probe.take() {
            self.leave_transport(Some(Goodbye::Ours(None)), now);
            self.transport = Transport::websocket(probe.websocket);
            self.upgraded = true;
            self.close_at = None;
            self.heartbeat.upgraded(now);
        }
    }
}
