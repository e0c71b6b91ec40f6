//! What comes from the client: packets of either transport, and requests.

use std::task::{Context, Poll, ready};

use futures_util::StreamExt;
use tokio::time::Instant;

use super::super::codec::{Packet, Payload};
use super::super::farewell::Goodbye;
use super::super::transport::{Heard, Transport, poll_packet};
use super::super::{Answer, Closed, Message, Refused, Visit};
use super::{Posted, Session, State};

impl Session {
    /// What a packet of the transport in use means.
    pub(super) fn receive(&mut self, packet: Packet, now: Instant) -> Option<Message> {
        if self.state != State::Open {
            return None;
        }
        self.heartbeat.heard(now);
        match packet {
            Packet::Message(message) => return Some(message),
            Packet::Pong(_) => self.heartbeat.pong(now),
            // Only servers ping.
            Packet::Ping(_) => self.end(Closed::TransportError, now),
            // Node has no use for these here; a close packet counts in a payload only.
            Packet::Open(_) | Packet::Close | Packet::Upgrade | Packet::Noop => {}
        }
        None
    }

    pub(super) fn malformed(&mut self, now: Instant) {
        if self.state == State::Open {
            self.end(Closed::ParseError, now);
        }
    }

    pub(super) fn next_posted(&mut self, now: Instant) -> Option<Message> {
        while !self.held
            && let Some(posted) = &mut self.posted
        {
            match posted.payload.next() {
                Some(Ok(Packet::Close)) => {
                    if let Transport::Polling(polling) = &mut self.transport {
                        // Not a close packet: the client knows.
                        let _ = polling.write(&[Packet::Noop].into());
                    }
                    self.end(Closed::TransportClose, now);
                }
                Some(Ok(packet)) => {
                    if let Some(message) = self.receive(packet, now) {
                        return Some(message);
                    }
                }
                Some(Err(_)) => self.malformed(now),
                None => self.answer_posted(),
            }
        }
        None
    }

    /// A POST is answered alike, whatever its packets did.
    pub(super) fn answer_posted(&mut self) {
        if let Some(posted) = self.posted.take() {
            // A client that does not wait for this has still sent its packets.
            let _ = posted.answer.send(Answer::ok());
        }
    }

    pub(super) fn poll_requests(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        let Transport::Polling(polling) = &mut self.transport else {
            return Poll::Pending;
        };
        if self.posted.is_none()
            && let Poll::Ready(upload) = polling.poll_upload(context)
        {
            match upload {
                Ok(body) => {
                    self.posted = Some(Posted {
                        payload: Payload::new(body.bytes),
                        answer: body.answer,
                    });
                }
                Err(_) => self.end(Closed::TransportError, now),
            }
            return Poll::Ready(());
        }
        polling
            .poll_gone(context)
            .map(|_| self.end(Closed::TransportError, now))
    }

    pub(super) fn poll_websocket(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
    ) -> Poll<Option<Message>> {
        let Transport::WebSocket { websocket, .. } = &mut self.transport else {
            return Poll::Pending;
        };
        if self.held {
            return Poll::Pending;
        }
        match ready!(poll_packet(websocket, context)) {
            Heard::Packet(packet) => return Poll::Ready(self.receive(packet, now)),
            Heard::Malformed => self.malformed(now),
            Heard::Goodbye(goodbye) => {
                let reason = match goodbye {
                    Goodbye::Violation(_) => Closed::TransportError,
                    Goodbye::Ours(_) | Goodbye::Theirs(_) => Closed::TransportClose,
                };
                self.leave_transport(Some(goodbye), now);
                self.end(reason, now);
            }
            Heard::End => {
                self.leave_transport(None, now);
                self.end(Closed::TransportClose, now);
            }
        }
        Poll::Ready(None)
    }
}

impl Session {
    pub(super) fn poll_mailbox(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        match ready!(self.mailbox.poll_next_unpin(context)) {
            Some(visit) => {
                self.visit(visit, now);
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }

    fn visit(&mut self, visit: Visit, now: Instant) {
        // Whoever does not wait for an answer does not get one.
        match (visit, &mut self.transport) {
            (Visit::WebSocket(stream), _) => self.probe(stream, now),
            (
                Visit::Poll { answer } | Visit::Post { answer, .. } | Visit::Other { answer },
                Transport::WebSocket { .. },
            ) => {
                let _ = answer.send(Refused::BadRequest.answer());
            }
            (Visit::Poll { answer }, Transport::Polling(polling)) => {
                if polling.is_writable() {
                    self.end(Closed::TransportError, now);
                    let _ = answer.send(Answer::empty(400));
                } else {
                    polling.wait(answer);
                }
            }
            (Visit::Post { upload, answer }, Transport::Polling(polling)) => {
                if polling.is_posting() {
                    self.end(Closed::TransportError, now);
                    let _ = answer.send(Answer::empty(400));
                } else {
                    polling.receive(upload, answer);
                }
            }
            (Visit::Other { answer }, Transport::Polling(_)) => {
                let _ = answer.send(Answer::empty(500));
            }
        }
    }
}
