//! One namespace of a client, and how far each side has joined it.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Deserialize;

use crate::bridge::held::Order;
use crate::bridge::replays::Greetings;
use crate::bridge::unit::Unit;

/// What a waiting packet takes beside itself and its bytes: its text was allocated for it alone, and is counted by
/// references.
const AROUND: usize = 64;

/// How far a side has joined a namespace.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It was not asked.
    #[default]
    Absent,
    /// CONNECT is on its way, and the client waits for the answer.
    Asked,
    /// CONNECT is on its way, and the client has had its answer: this one is swallowed.
    Replayed,
    Joined,
    Refused,
}

/// A namespace that the client has asked for.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    /// What the client sent with CONNECT, to be sent again where a leg comes later.
    pub(crate) auth: String,
    pub(crate) node: Part,
    pub(crate) native: Part,
    /// The client has its answer to CONNECT.
    pub(crate) answered: bool,
    /// What `socket.id` is in Node, and in the client if Node answered first.
    pub(crate) node_id: Option<String>,
    /// Events that wait for the answer to a CONNECT that the client does not see.
    pub(crate) for_node: Backlog<Unit>,
    pub(crate) for_native: Backlog<Order>,
    /// Greetings of replays that reached this client's leg, and were swallowed.
    pub(crate) greetings: Greetings,
    /// The others swallow what Node says of this replay.
    pub(crate) is_counted: bool,
    /// Of connection-state recovery, where Node has it on.
    pub(crate) recovery: Option<Box<Recovery>>,
}

/// Packets that wait for a side, in order, and the memory that they take: a client can send very many very small ones.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    packets: VecDeque<(usize, T)>,
    bytes: usize,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self {
            packets: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> Backlog<T> {
    pub(crate) fn push(&mut self, packet: T, size: usize) {
        let size = size + size_of::<T>() + AROUND;
        self.bytes += size;
        self.packets.push_back((size, packet));
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.packets.front().map(|(_, packet)| packet)
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let (size, packet) = self.packets.pop_front()?;
        self.bytes -= size;
        Some(packet)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them. Nothing is kept, room neither.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        let all = std::mem::take(self);
        all.packets.into_iter().map(|(_, packet)| packet)
    }
}

/// What a client must show to get its session back.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) pid: String,
    /// The last one that Node sent.
    pub(crate) offset: Option<String>,
}

/// Node's answer to CONNECT.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Joined {
    #[serde(default)]
    pub(crate) sid: String,
    pub(crate) pid: Option<String>,
}

impl Namespace {
    pub(crate) fn new(name: &str, auth: &str) -> Self {
        Self {
            name: name.to_owned(),
            auth: auth.to_owned(),
            node: Part::Absent,
            native: Part::Absent,
            answered: false,
            node_id: None,
            for_node: Backlog::default(),
            for_native: Backlog::default(),
            greetings: Greetings::default(),
            is_counted: false,
            recovery: None,
        }
    }

    /// Bytes of what waits for either side.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.for_node.bytes + self.for_native.bytes
    }

    /// Bytes that are kept for as long as the client is in.
    pub(crate) fn kept_bytes(&self) -> usize {
        let node_id = self.node_id.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.name.len() + self.auth.len() + node_id
    }

    /// The payload of a CONNECT that asks Node for the same session as before, as socket.io-client does it. What the
    /// client sent stays as it is, so that Node reads the same again; of two equal keys the last counts in JavaScript.
    pub(crate) fn auth_again(&self) -> String {
        let Some(recovery) = &self.recovery else {
            return self.auth.clone();
        };
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let mut added = format!("\"pid\":{}", text(&recovery.pid));
        if let Some(offset) = &recovery.offset {
            added.push_str(&format!(",\"offset\":{}", text(offset)));
        }
        let open = self.auth.trim_ascii_end().strip_suffix('}');
        match open.map(str::trim_ascii_end) {
            Some(open) if open.trim_ascii_start() != "{" => format!("{open},{added}}}"),
            _ => format!("{{{added}}}"),
        }
    }
}

/// The last argument of an event, if it is a text: where Node keeps the offset of recovery, and where the JavaScript
/// client looks for it in every event, native ones included.
pub(crate) fn last_text(arguments: &str) -> Option<String> {
    let list: Vec<serde_json::Value> = serde_json::from_str(&format!("[{arguments}")).ok()?;
    match list.into_iter().next_back()? {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    }
}

/// The packet of an event with one more argument.
pub(crate) fn with_last_argument(text: &Bytes, argument: &str) -> Bytes {
    let argument = serde_json::Value::from(argument).to_string();
    let list = text.trim_ascii_end();
    let list = list.strip_suffix(b"]").unwrap_or(list);
    let mut longer = Vec::with_capacity(text.len() + argument.len() + 1);
    longer.extend_from_slice(list);
    // The name stands before it.
    longer.push(b',');
    longer.extend_from_slice(argument.as_bytes());
    longer.push(b']');
    longer.into()
}
