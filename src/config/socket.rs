//! `[socket.ID]`: what each says, and that no two claim the same path.

use std::collections::HashMap;

use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::keys::{self, belongs_to, nearest};
use crate::config::pattern::{PatternProblem, check_path};
use crate::config::reader::{Table, Text, unknown_key};
use crate::config::value::Value;
use crate::config::{Socket, SocketKind, SocketMode};

mod bridge;

use bridge::{Bridge, bridge, one_of};

const OF_SOCKET_IO: &str =
    "write the `path` option of the Socket.IO server, by default `\"/socket.io/\"`";

const EXAMPLE: &str = "{ kind = \"socket.io\", path = \"/socket.io/\" }";

/// All sockets, in the order of the file.
pub(super) fn sockets(table: Table<'_>) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for (id, value) in table.entries() {
        if is_key_of_another_table(&id, &value, "`[socket]`") {
            continue;
        }
        let named = is_id(&id, "socket", &table);
        let read = value
            .table(&example(&id, named, EXAMPLE))
            .and_then(|table| socket(&id, &value, table));
        sockets.extend(read.filter(|_| named));
    }
    overlap(&table, &sockets);
    sockets
}

fn socket(id: &Text<'_>, value: &Value<'_>, table: Table<'_>) -> Option<Socket> {
    table.check_keys(
        &keys::SOCKET,
        &format!("the socket {}", id.shown()),
        Some(&value.header_span()),
    );
    let kind = table.get("kind").and_then(|value| kind(&value));
    let path = table
        .get("path")
        .and_then(|value| Some((path(&value, kind)?, value.span())));
    let mode = match table.get("mode") {
        Some(value) => one_of(
            &value,
            "mode",
            [
                ("tunnel", SocketMode::Tunnel),
                ("bridge", SocketMode::Bridge),
            ],
        ),
        None => Some(SocketMode::Tunnel),
    };
    let Bridge {
        node_loss,
        flips,
        once,
        tag,
        ping_interval,
        ping_timeout,
        max_payload,
        queue,
        cors_origin,
        resume_timeout,
        max_waiting,
    } = bridge(id, value, table, kind, mode);
    let (path, path_span) = path?;
    Some(Socket {
        id: id.as_str().to_owned(),
        kind: kind?,
        path,
        path_span,
        mode: mode?,
        node_loss,
        flips,
        once,
        tag,
        ping_interval,
        ping_timeout,
        max_payload,
        queue,
        cors_origin,
        resume_timeout,
        max_waiting,
    })
}

fn kind(value: &Value<'_>) -> Option<SocketKind> {
    const KINDS: &str = "write `\"socket.io\"` or `\"websocket\"`";
    let text = value.text_or(KINDS)?;
    match text.as_str() {
        "socket.io" => return Some(SocketKind::SocketIo),
        "websocket" => return Some(SocketKind::WebSocket),
        _ => {}
    }
    let near = match text.as_str().to_ascii_lowercase().as_str() {
        "ws" | "wss" => Some("websocket"),
        "io" | "engine.io" => Some("socket.io"),
        other => nearest(other, ["socket.io", "websocket"]),
    };
    let help = near.map_or(KINDS.to_owned(), |near| format!("did you mean `{near}`?"));
    let message = format!("unknown kind {}", text.shown());
    value.refuse(
        Code::UnknownValue,
        message,
        "not `socket.io` or `websocket`",
        help,
    )
}

fn path(value: &Value<'_>, kind: Option<SocketKind>) -> Option<String> {
    let text = value.text_or(match kind {
        Some(SocketKind::WebSocket) => "write the path of its server, such as `\"/ws\"`",
        _ => OF_SOCKET_IO,
    })?;
    if let Err(error) = check_path(text.as_str()) {
        let help = match error.problem {
            _ if text.is_secret() => Some("set the variable to a path".to_owned()),
            PatternProblem::Query | PatternProblem::Fragment => {
                Some("write the path alone".to_owned())
            }
            PatternProblem::Character if text.as_str().contains(['{', '}']) => Some(
                "the path of a socket has no parameters; write it as its server has it".to_owned(),
            ),
            PatternProblem::NoSlash if kind == Some(SocketKind::SocketIo) => {
                let path = format!("/{}/", text.as_str().trim().trim_end_matches('/'));
                match check_path(&path) {
                    Ok(()) => Some(format!("begin it with a slash: `{path}`")),
                    Err(_) => Some(OF_SOCKET_IO.to_owned()),
                }
            }
            _ => error.help(text.as_str()),
        };
        let problem = Diagnostic::error(Code::BadPath, error.to_string()).label(error.label());
        value.report(problem.at(text.part(error.place)).maybe_help(help));
        return None;
    }
    if kind == Some(SocketKind::SocketIo) && !text.as_str().ends_with('/') {
        let message = "the path of a `socket.io` socket must end in `/`";
        let help = format!("write `\"{}/\"`, as clients send it", text.as_str());
        return value.refuse(Code::BadPath, message, "no `/` at its end", help);
    }
    if kind == Some(SocketKind::SocketIo) && text.as_str() == "/" {
        return value.refuse(
            Code::BadPath,
            "this socket would own every path",
            "every path",
            OF_SOCKET_IO,
        );
    }
    Some(text.as_str().to_owned())
}

/// A Socket.IO socket owns everything below its path, a WebSocket exactly its path.
fn overlap(table: &Table<'_>, sockets: &[Socket]) {
    let mut owners: HashMap<&str, &Socket> = HashMap::new();
    for socket in sockets {
        owners.entry(&socket.path).or_insert(socket);
    }
    for socket in sockets {
        let parents = socket
            .path
            .match_indices('/')
            .map(|(at, _)| &socket.path[..=at]);
        let below = parents
            .filter_map(|parent| owners.get(parent))
            .find(|owner| owner.kind == SocketKind::SocketIo && owner.id != socket.id);
        let same = owners
            .get(socket.path.as_str())
            .filter(|owner| owner.id != socket.id);
        if let Some(owner) = below.or(same) {
            let message = format!(
                "the sockets {} and {} claim the same path",
                quote(&owner.id),
                quote(&socket.id)
            );
            let problem = Diagnostic::error(Code::Overlap, message).at(socket.path_span.clone());
            table.report(
                problem
                    .label(format!("`{}` owns {}", owner.id, quote(&owner.path)))
                    .help("remove one of them, or give it the path that its server really has"),
            );
        }
    }
}

/// Reports a key such as `force = "node"`, which was appended to the file and so landed in a table of tables.
pub(super) fn is_key_of_another_table(key: &Text<'_>, value: &Value<'_>, name: &str) -> bool {
    let place = belongs_to(key.as_str()).filter(|_| !value.is_table());
    let Some(help) = place else { return false };
    key.report(unknown_key(&key.shown(), name, key.span(), help));
    true
}

/// A table of this id as it could be written.
pub(super) fn example(id: &Text<'_>, named: bool, table: &str) -> String {
    let id = if named { id.as_str() } else { "ID" };
    format!("{id} = {table}")
}

/// Whether metrics and commands can name this.
pub(super) fn can_be_id(id: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !id.is_empty() && id.bytes().all(is_part)
}

/// Reports an id that metrics and commands could not name.
pub(super) fn is_id(id: &Text<'_>, of: &str, table: &Table<'_>) -> bool {
    if can_be_id(id.as_str()) {
        return true;
    }
    let better: String = id
        .as_str()
        .to_lowercase()
        .chars()
        .take(60)
        .map(|character| {
            if character.is_ascii_lowercase() || character.is_ascii_digit() {
                character
            } else {
                '-'
            }
        })
        .collect();
    let better = better.trim_matches('-');
    let help = if better.is_empty() || table.get(better).is_some() {
        format!("write a name that no other {of} has")
    } else {
        format!("write `{better}`")
    };
    let message = format!("{} cannot be the id of a {of}", id.shown());
    let problem = Diagnostic::error(Code::BadId, message).at(id.span());
    id.report(problem.label("ids are `[a-z0-9-]+`").help(help));
    false
}
