//! Extractors beside those of socketioxide: the text of the arguments, and what the proxy knows of the client.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use socketioxide::adapter::Adapter;
use socketioxide::handler::{FromConnectParts, FromDisconnectParts, FromMessageParts, Value};
use socketioxide::socket::{DisconnectReason, Socket};

use super::ticket::Tickets;
use crate::native::ClientInfo;

/// The arguments of an event as they came, for handlers to which parsed values are not enough: `serde_json` knows no
/// lone surrogates, keeps the last of two equal keys without its place, and ends at 128 levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// The JSON array, the name of the event first. The bridge has read it only as far as a rule asked.
    pub arguments: Bytes,
    /// Binary attachments, to which placeholders in the array refer by number.
    pub attachments: Vec<Bytes>,
}

impl<A: Adapter> FromMessageParts<A> for RawEvent {
    type Error = Infallible;

    fn from_message_parts(
        socket: &Arc<Socket<A>>,
        value: &mut Value,
        _: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let tickets: Option<&Arc<Tickets>> = socket.req_parts().extensions.get();
        let packet = tickets.and_then(|tickets| tickets.current());
        Ok(packet.unwrap_or_else(|| Self::of(value)))
    }
}

impl RawEvent {
    /// What socketioxide kept of the packet. `Data` takes attachments away, so this extractor has to stand before it.
    fn of(value: &Value) -> Self {
        match value {
            Value::Str(text, attachments) => Self {
                arguments: text.clone().into(),
                attachments: attachments.iter().flatten().cloned().collect(),
            },
            // Only a parser other than the common one makes these.
            Value::Bytes(bytes) => Self {
                arguments: bytes.clone(),
                attachments: Vec::new(),
            },
        }
    }
}

/// The application runs without the proxy, which alone knows of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is known of the client: the application runs without the proxy")]
pub struct NoClientInfo;

impl ClientInfo {
    /// What the proxy knows of the client behind `socket`; nothing where the application runs alone.
    #[must_use]
    pub fn of<A: Adapter>(socket: &Socket<A>) -> Option<Self> {
        let extensions = &socket.req_parts().extensions;
        let mut client = extensions.get::<Self>()?.clone();
        let tickets = extensions.get::<Arc<Tickets>>();
        if let Some(attached) = tickets.and_then(|tickets| tickets.attached(socket.ns())) {
            client.node_id = attached.node_id;
            client.replayed = attached.replayed;
        }
        Some(client)
    }
}

impl<A: Adapter> FromConnectParts<A> for ClientInfo {
    type Error = NoClientInfo;

    fn from_connect_parts(
        socket: &Arc<Socket<A>>,
        _: &Option<Value>,
    ) -> Result<Self, NoClientInfo> {
        Self::of(socket).ok_or(NoClientInfo)
    }
}

impl<A: Adapter> FromMessageParts<A> for ClientInfo {
    type Error = NoClientInfo;

    fn from_message_parts(
        socket: &Arc<Socket<A>>,
        _: &mut Value,
        _: &Option<i64>,
    ) -> Result<Self, NoClientInfo> {
        Self::of(socket).ok_or(NoClientInfo)
    }
}

impl<A: Adapter> FromDisconnectParts<A> for ClientInfo {
    type Error = NoClientInfo;

    fn from_disconnect_parts(
        socket: &Arc<Socket<A>>,
        _: DisconnectReason,
    ) -> Result<Self, NoClientInfo> {
        Self::of(socket).ok_or(NoClientInfo)
    }
}
