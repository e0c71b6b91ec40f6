//! What Node and native say.

use super::{End, HIGH, NAMESPACE, Tagged};
use crate::bridge::websocket::Message;
use crate::routing::LazyArgument;

impl Tagged {
    pub(super) fn hear_node(&mut self, message: Message) -> Result<(), End> {
        if let Message::Close(close) = message {
            return self.node_closes(close);
        }
        self.node.heard();
        match message {
            Message::Pong(bytes) if self.closing.is_mark(&bytes) => return self.mark_passed(),
            // Nothing may follow a close frame (RFC 6455 §5.5.1).
            _ if self.closing.client_is_told() => {}
            message => {
                self.client.queue(&message);
                self.last_of_node = self.client.queued();
            }
        }
        Ok(())
    }

    pub(super) fn hear_native(&mut self, message: Message) -> Result<(), End> {
        if let Message::Close(close) = message {
            return self.native_closes(close);
        }
        self.native.heard();
        let node_is_open = self.node.is_open();
        match message {
            Message::Pong(bytes) if self.closing.is_mark(&bytes) => return self.mark_passed(),
            Message::Ping(bytes) if node_is_open => {
                if let Some(native) = self.native.socket() {
                    native.queue(&Message::Pong(bytes));
                }
            }
            // The client has asked Node.
            Message::Pong(_) if node_is_open => {}
            _ if self.closing.client_is_told() => {}
            message => {
                if let Message::Text(_) | Message::Binary(_) = message
                    && let Some(trial) = self.trial.take()
                {
                    trial.end(false);
                }
                if !node_is_open || !self.is_once(&message) {
                    self.client.queue(&message);
                    return self.check_client();
                }
            }
        }
        Ok(())
    }

    /// Native is never paused, so a client that does not take what native says is closed rather than skipped. What Node
    /// says is bounded otherwise.
    fn check_client(&mut self) -> Result<(), End> {
        let queued = self.client.queued();
        if queued < HIGH {
            self.last_of_node = 0;
        }
        if queued <= self.queue_limit() + self.last_of_node {
            return Ok(());
        }
        self.count_refused("slow-client");
        Err(End::Drop)
    }

    /// Whether both sides say it; then Node's copy alone passes while its leg lives.
    fn is_once(&self, message: &Message) -> bool {
        let Message::Text(text) = message else {
            return false;
        };
        let snapshot = self.snapshot();
        let Some(socket) = self.socket_of(&snapshot) else {
            return false;
        };
        let argument = LazyArgument::of_message(text);
        let tag = snapshot.table.tag(socket, &argument).unwrap_or_default();
        snapshot.table.once(socket, NAMESPACE, &tag, &argument)
    }
}
