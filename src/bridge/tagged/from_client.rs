//! What the client says.

use std::sync::Arc;

use super::side::Order;
use super::{End, NAMESPACE, Tagged};
use crate::bridge::websocket::Message;
use crate::config::To;
use crate::live::Trial;
use crate::routing::{EventHead, LazyArgument, Side};

/// U+FEFF in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

impl Tagged {
    pub(super) fn hear_client(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Text(_) | Message::Binary(_) if self.accepted => self.pass_on(message),
            Message::Text(ref bytes) | Message::Binary(ref bytes) => {
                let size = bytes.len();
                self.early.push(message, size);
                self.check_backlog(self.early.bytes())
            }
            Message::Ping(_) | Message::Pong(_) => {
                self.pass_control(&message);
                Ok(())
            }
            Message::Close(close) => self.client_closes(close),
        }
    }

    /// A side has accepted the client, and gets what the client said before.
    pub(super) fn accept(&mut self) -> Result<(), End> {
        self.accepted = true;
        self.place = None;
        for message in self.early.take() {
            self.pass_on(message)?;
        }
        Ok(())
    }

    /// Takes a message to the side that the table says.
    pub(super) fn pass_on(&mut self, message: Message) -> Result<(), End> {
        let snapshot = self.snapshot();
        let Some(socket) = self.socket_of(&snapshot) else {
            // The file has this socket no more, and Node never refused it.
            let rule = Arc::clone(&snapshot.rest);
            return self.tell_node(Order {
                message,
                rule,
                node_may_answer: true,
            });
        };
        let (rule, side, node_may_answer) = {
            // `ws` gives applications the bytes of both kinds, and some read them as text that may begin with a mark.
            let text: &[u8] = match &message {
                Message::Text(bytes) | Message::Binary(bytes) => bytes,
                _ => b"",
            };
            let argument = LazyArgument::of_message(text.strip_prefix(MARK).unwrap_or(text));
            let tag = snapshot.table.loose_tag(socket, &argument);
            let is_read = tag.is_some();
            // No tag: what `*` says, else Node.
            let tag = tag.unwrap_or_default();
            let head = self.handshake.head();
            let route = snapshot.table.event(
                socket,
                &EventHead {
                    namespace: NAMESPACE,
                    name: &tag,
                    request: &head,
                    argument: &argument,
                },
            );
            if !is_read && route.side == Side::Node && snapshot.table.claims_for_native(socket) {
                // Node may well find a tag in it, of which a rule says native.
                self.count_refused("unreadable");
                return Err(End::Drop);
            }
            match route.rule {
                Some((rule, _)) if route.is_refused() => {
                    snapshot.rules[rule].metrics.unanswered("no-handler");
                    return Ok(());
                }
                Some((rule, settings)) => (
                    Arc::clone(&snapshot.rules[rule]),
                    route.side,
                    settings.to != To::NativeOnly,
                ),
                None => (Arc::clone(&snapshot.sockets[socket]), Side::Node, true),
            }
        };
        let order = Order {
            message,
            rule,
            node_may_answer,
        };
        match side {
            Side::Native => self.tell_native(order),
            Side::Node => self.tell_node(order),
        }
    }

    fn tell_native(&mut self, order: Order) -> Result<(), End> {
        if self.native.is_absent() {
            // A flip that this message is the first to see.
            self.reach_native();
        }
        if !self.native.is_open() && !self.native.is_opening() {
            return self.fall_back(order, "no-leg");
        }
        // Without Node, nobody else could answer.
        let may_refuse = order.node_may_answer && !self.node.is_absent();
        let Some(trial) = Trial::begin(&order.rule, may_refuse) else {
            return self.fall_back(order, "breaker");
        };
        order.rule.metrics.native.event();
        if let Some(before) = self.trial.replace(trial) {
            before.end(false);
        }
        self.native_was_told = true;
        self.native.tell(order);
        self.check_backlog(self.native.waiting_bytes())
    }

    /// Native does not get a message that it should have had.
    pub(super) fn fall_back(&mut self, order: Order, reason: &'static str) -> Result<(), End> {
        if order.node_may_answer {
            order.rule.fell_back(reason);
            return self.tell_node(order);
        }
        order.rule.unanswered(reason);
        Ok(())
    }

    /// Gives a message to Node, or keeps it for a Node that is on its way.
    pub(super) fn tell_node(&mut self, order: Order) -> Result<(), End> {
        order.rule.metrics.node.event();
        if self.node.is_absent() {
            let snapshot = self.snapshot();
            if !self.needs_node(&snapshot) || self.closing.has_begun() {
                order.rule.unanswered("node-gone");
                return Ok(());
            }
            self.reach_node(&snapshot);
        }
        self.node.tell(order);
        self.check_backlog(self.node.waiting_bytes())
    }

    /// Ends a client for which too much waits.
    fn check_backlog(&self, bytes: usize) -> Result<(), End> {
        if bytes <= self.queue_limit() {
            return Ok(());
        }
        self.count_refused("backlog");
        Err(End::Drop)
    }

    /// Pings and pongs of the client belong to Node while it is attached.
    fn pass_control(&mut self, message: &Message) {
        if let Some(node) = self.node.socket() {
            node.queue(message);
        } else if let Some(native) = self.native.socket() {
            native.queue(message);
        } else if let Message::Ping(bytes) = message {
            // Nobody is there for the moment, and the client only wants to know that somebody is.
            self.client.queue(&Message::Pong(bytes.clone()));
        }
    }
}
