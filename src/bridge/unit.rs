//! A packet with its binary attachments: what is routed and passed on as one. Messages of several senders that meet at a
//! client would else come between a packet and its attachments.

use bytes::Bytes;

use crate::bridge::engineio::Message;
use crate::bridge::packet::{Malformed, Packet};
use crate::native::events::attachments::are_plain;

/// A packet that is complete.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) packet: Packet,
    pub(crate) attachments: Vec<Bytes>,
}

impl Unit {
    /// Bytes of all its messages.
    pub(crate) fn size(&self) -> usize {
        self.packet.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether its attachments stand where every library puts them.
    pub(crate) fn is_plain(&self) -> bool {
        self.attachments.is_empty() || are_plain(self.packet.payload(), self.attachments.len())
    }

    /// The messages that it came in, with another text for its head.
    pub(crate) fn messages_with(self, text: Bytes) -> impl Iterator<Item = Message> {
        let attachments = self.attachments.into_iter().map(Message::Binary);
        std::iter::once(Message::Text(text)).chain(attachments)
    }

    /// The messages that it came in.
    pub(crate) fn messages(self) -> impl Iterator<Item = Message> {
        let text = self.packet.text.clone();
        self.messages_with(text)
    }
}

/// Puts the messages of one sender together.
#[derive(Debug, Default)]
pub(crate) struct Assembly(Option<Box<Unit>>);

impl Assembly {
    /// Takes the next message; returns the packet that it completes.
    ///
    /// # Errors
    /// Where the decoder of socket.io-parser throws: a text between a packet and its attachments, or a binary message
    /// that no packet announced.
    pub(crate) fn push(&mut self, message: Message) -> Result<Option<Unit>, Malformed> {
        match (message, self.0.take()) {
            (Message::Text(text), None) => {
                let unit = Unit {
                    packet: Packet::parse(text)?,
                    attachments: Vec::new(),
                };
                if unit.packet.attachments == 0 {
                    return Ok(Some(unit));
                }
                self.0 = Some(Box::new(unit));
                Ok(None)
            }
            (Message::Binary(bytes), Some(mut unit)) => {
                unit.attachments.push(bytes);
                if unit.attachments.len() == unit.packet.attachments {
                    return Ok(Some(*unit));
                }
                self.0 = Some(unit);
                Ok(None)
            }
            (Message::Text(_), Some(_)) | (Message::Binary(_), None) => Err(Malformed),
        }
    }

    /// Bytes of the packet that is not complete.
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |unit| unit.size())
    }

    /// Whether attachments are missing.
    pub(crate) fn is_partial(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Message {
        Message::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn attachments_stay_with_their_packet() {
        let mut assembly = Assembly::default();
        assert!(
            assembly
                .push(text("52-[\"a\",{},{}]"))
                .expect("head")
                .is_none()
        );
        assert!(assembly.is_partial());
        let bytes = |byte| Message::Binary(Bytes::from_static(byte));
        assert!(assembly.push(bytes(b"1")).expect("first").is_none());
        let unit = assembly
            .push(bytes(b"2"))
            .expect("second")
            .expect("complete");
        assert_eq!(unit.attachments, ["1", "2"]);
        assert_eq!(unit.messages().count(), 3);
        assert!(!assembly.is_partial());
    }

    #[test]
    fn what_comes_between_or_alone_is_malformed() {
        let mut assembly = Assembly::default();
        assert!(assembly.push(Message::Binary(Bytes::new())).is_err());
        assert!(
            assembly
                .push(text("51-[\"a\",{}]"))
                .expect("head")
                .is_none()
        );
        assert!(assembly.push(text("2[\"b\"]")).is_err());
    }
}
