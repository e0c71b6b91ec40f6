//! Decides which side answers a request or gets a message, from the rules of `routes.toml`, and tells when that file
//! changed.
//!
//! `table` is the whole decision, with `events` for messages: immutable, without I/O, one per generation. It is compiled from a `Config`, and
//! `check` finds what only the precedence of rules can show (ambiguous, unreachable, unserved). Answering is not
//! done here.

use std::net::IpAddr;

use http::{HeaderMap, Method, Uri};

pub mod table;

mod endpoints;
pub mod pattern;
mod readings;
mod tree;

mod argument;
pub mod events;

mod condition;
pub mod select;
mod share;

mod check;
pub mod explain;

pub mod diff;
pub mod watch;

#[cfg(test)]
mod fixture;

pub use argument::LazyArgument;
pub(crate) use argument::is_json;
pub use events::{EventHead, EventRoute};
pub use table::{Reason, Route, Table};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The Rust handlers in this process.
    Native,
    /// The legacy application.
    Node,
}

impl Side {
    /// The word for it in keys, logs, metrics and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Node => "node",
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the table looks at in a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'r> {
    /// As it came.
    pub method: &'r Method,
    /// As it came: the path is compared raw.
    pub uri: &'r Uri,
    /// As they came.
    pub headers: &'r HeaderMap,
    /// The client's, after trusted proxies.
    pub address: IpAddr,
}

/// One method and path that the native application serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// GET serves HEAD too.
    pub method: Method,
    /// In the notation of axum 0.8, such as `/api/driver/{id}`.
    pub path: String,
}

/// One event that the native application has a handler for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `/` for the default one.
    pub namespace: String,
    /// The name that clients send.
    pub name: String,
}

/// What the table must know of the native application.
#[derive(Debug, Clone, Copy)]
pub struct NativeSide<'n> {
    /// All that it serves.
    pub endpoints: &'n [Endpoint],
    /// All events that it has handlers for. A tagged WebSocket is one of the endpoints.
    pub events: &'n [Event],
    /// The namespaces that it has an `on_connect` for, which may greet a client or refuse it.
    pub connects: &'n [String],
    /// Its answers depend on earlier requests to this very process, so that a share would split its state.
    pub keeps_state_in_memory: bool,
}
