//! `events` of a rule, and the names of events as the wire has them: `message`, `/admin,message`.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::keys::nearest;
use crate::config::reader::{Table, Text};
use crate::config::socket::can_be_id;
use crate::config::value::Value;
use crate::config::{EventClaim, Socket, SocketKind, SocketMode};

/// What Socket.IO and Node's `EventEmitter` keep for themselves; a packet with such a name closes the connection
/// (`isDataValid` of `socket.io-parser` 4.2).
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// One event of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventName {
    /// `/` without one, and for a WebSocket.
    pub namespace: String,
    /// Not empty: a name of Socket.IO, or the tag of a WebSocket message.
    pub name: String,
}

/// Why a text names no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventNameError {
    /// Nothing, or nothing behind the namespace.
    #[error("the name of an event cannot be empty")]
    Empty,
    /// It begins with `/` and has no comma.
    #[error("a namespace ends in a comma")]
    NoComma,
    /// `*` in the namespace.
    #[error("a namespace has no `*`")]
    Star,
    /// Socket.IO refuses it.
    #[error("Socket.IO keeps this name for itself")]
    Reserved,
}

impl EventName {
    /// Reads a name as it stands on the wire. A WebSocket has no namespaces, and its tags may be any text.
    ///
    /// # Errors
    /// Where the text names no event.
    pub fn parse(text: &str, kind: SocketKind) -> Result<Self, EventNameError> {
        let (namespace, name) = match kind {
            SocketKind::SocketIo if text.starts_with('/') => {
                text.split_once(',').ok_or(EventNameError::NoComma)?
            }
            SocketKind::SocketIo | SocketKind::WebSocket => ("/", text),
        };
        if name.is_empty() {
            return Err(EventNameError::Empty);
        }
        if namespace.contains('*') {
            return Err(EventNameError::Star);
        }
        if kind == SocketKind::SocketIo && RESERVED.contains(&name) {
            return Err(EventNameError::Reserved);
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// As [`EventName::parse`] of a string of the file.
    pub(super) fn read(text: &Text<'_>, kind: SocketKind) -> Result<Self, Diagnostic> {
        Self::parse(text.as_str(), kind).map_err(|error| {
            let code = match error {
                EventNameError::Empty => Code::Empty,
                EventNameError::NoComma | EventNameError::Star => Code::BadName,
                EventNameError::Reserved => Code::Unreachable,
            };
            let help = match error {
                EventNameError::Empty => "write the name that clients send, or `*` for all".to_owned(),
                EventNameError::NoComma => format!(
                    "write `{0},NAME` for an event of the namespace `{0}`, or `/,{0}` for an event of this name",
                    text.as_str()
                ),
                EventNameError::Star => {
                    "write each namespace out; `*` can stand for the name: `/admin,*`".to_owned()
                }
                EventNameError::Reserved => "remove it: connections are seen by both sides".to_owned(),
            };
            Diagnostic::error(code, format!("{} is not the name of an event: {error}", text.shown()))
                .at(text.span())
                .label("not an event")
                .help(help)
        })
    }
}

/// As on the wire.
impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.namespace, &self.name)
    }
}

/// As in the file.
impl fmt::Display for EventClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.namespace, self.name.as_deref().unwrap_or("*"))
    }
}

fn write(f: &mut fmt::Formatter<'_>, namespace: &str, name: &str) -> fmt::Result {
    if namespace == "/" && !name.starts_with('/') {
        f.write_str(name)
    } else {
        write!(f, "{namespace},{name}")
    }
}

/// The sockets of the file, for the rules.
pub(super) struct Sockets<'a> {
    table: Option<Table<'a>>,
    /// Those without mistakes, by id.
    read: HashMap<&'a str, &'a Socket>,
}

impl<'a> Sockets<'a> {
    pub(super) fn new(table: Option<Table<'a>>, read: &'a [Socket]) -> Self {
        let read = read.iter().map(|socket| (socket.id.as_str(), socket));
        Self {
            table,
            read: read.collect(),
        }
    }
}

/// `events`
pub(super) fn events(value: &Value<'_>, sockets: &Sockets<'_>) -> Vec<EventClaim> {
    const EXAMPLE: &str = "events = { SOCKET = [\"name\"] }";
    let Some(table) = value.table(EXAMPLE) else {
        return Vec::new();
    };
    if table.is_empty() {
        let help = format!("remove it, or write `{EXAMPLE}`");
        let refused = value.refuse(Code::Empty, "`events` is empty", "claims nothing", help);
        return refused.unwrap_or_default();
    }
    let mut claims = Vec::new();
    for (id, value) in table.entries() {
        let Some(socket) = sockets.read.get(id.as_str()) else {
            unknown_socket(&id, sockets);
            continue;
        };
        if socket.mode == SocketMode::Tunnel {
            let problem = Diagnostic::error(
                Code::Conflict,
                format!("the messages of the socket {} are not read", id.shown()),
            );
            value.report(
                problem
                    .at(id.span())
                    .label("a tunnel: whole connections go to Node")
                    .help(format!(
                        "write `mode = \"bridge\"` in `[socket.{}]`",
                        socket.id
                    )),
            );
        }
        let mut seen = HashSet::new();
        for value in value
            .list(&format!("{} = [\"name\"]", socket.id))
            .unwrap_or_default()
        {
            let Some(text) = value.text() else { continue };
            match EventName::read(&text, socket.kind) {
                Ok(event) if seen.insert(event.clone()) => claims.push(EventClaim {
                    socket: socket.id.clone(),
                    namespace: event.namespace,
                    name: Some(event.name).filter(|name| name != "*"),
                    span: text.span(),
                }),
                Ok(_) => {
                    let problem = Diagnostic::warning(
                        Code::Duplicate,
                        format!("{} stands twice in this rule", text.shown()),
                    );
                    value.report(
                        problem
                            .at(text.span())
                            .label("claimed before")
                            .help("remove one of the two"),
                    );
                }
                Err(problem) => value.report(problem),
            }
        }
    }
    claims
}

/// One that is in the file has been reported itself.
fn unknown_socket(id: &Text<'_>, sockets: &Sockets<'_>) {
    let in_file = |table: &Table<'_>| table.get(id.as_str()).is_some();
    if sockets.table.as_ref().is_some_and(in_file) {
        return;
    }
    let mut known: Vec<&str> = sockets.read.keys().copied().collect();
    known.sort_unstable();
    let help = match nearest(id.as_str(), known) {
        Some(near) => format!("did you mean {}?", quote(near)),
        None if can_be_id(id.as_str()) => {
            let id = id.as_str();
            let usual = "/socket.io/";
            let taken = sockets.read.values().any(|socket| socket.path == usual);
            let path = if taken {
                format!("/{id}/")
            } else {
                usual.to_owned()
            };
            format!(
                "add, for example:\n[socket.{id}]\nkind = \"socket.io\"\npath = \"{path}\"\nmode = \"bridge\""
            )
        }
        None => "name a `[socket.ID]` of the file".to_owned(),
    };
    let problem = Diagnostic::error(
        Code::UnknownSocket,
        format!("there is no socket {}", id.shown()),
    );
    id.report(
        problem
            .at(id.span())
            .label("not a `[socket.ID]`")
            .help(help),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        let read = |text: &str, kind| {
            EventName::parse(text, kind).map(|event| (event.namespace, event.name))
        };
        let named = |namespace: &str, name: &str| Ok((namespace.to_owned(), name.to_owned()));
        let (io, ws) = (SocketKind::SocketIo, SocketKind::WebSocket);
        assert_eq!(read("message", io), named("/", "message"));
        assert_eq!(read("a,b", io), named("/", "a,b"));
        assert_eq!(read("/admin,a,b", io), named("/admin", "a,b"));
        assert_eq!(read("/,/x", io), named("/", "/x"));
        assert_eq!(read("/admin,*", io), named("/admin", "*"));
        assert_eq!(read("/admin", io), Err(EventNameError::NoComma));
        assert_eq!(read("/admin,", io), Err(EventNameError::Empty));
        assert_eq!(read("/*,a", io), Err(EventNameError::Star));
        assert_eq!(read("", io), Err(EventNameError::Empty));
        assert_eq!(read("disconnect", io), Err(EventNameError::Reserved));
        assert_eq!(read("disconnect", ws), named("/", "disconnect"));
        assert_eq!(read("/x", ws), named("/", "/x"));
        assert_eq!(read("", ws), Err(EventNameError::Empty));
    }

    #[test]
    fn names_are_written_as_they_were_read() {
        for text in ["message", "/admin,a,b", "/,/x"] {
            let event = EventName::parse(text, SocketKind::SocketIo).expect("a name");
            assert_eq!(event.to_string(), text);
        }
    }
}
