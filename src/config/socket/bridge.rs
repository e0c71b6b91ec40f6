//! The keys of a socket that only a bridge has.

use std::time::Duration;

use http::HeaderValue;

use crate::config::condition::conditions;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::{self, nearest};
use crate::config::reader::{Table, Text};
use crate::config::selector::{self, Selectors};
use crate::config::server::TIMEOUT;
use crate::config::value::Value;
use crate::config::{EventName, Flips, NodeLoss, Once, Pointer, SocketKind, SocketMode};

/// What `[socket.ID]` says beside kind, path and mode.
pub(super) struct Bridge {
    pub(super) node_loss: NodeLoss,
    pub(super) flips: Flips,
    pub(super) once: Vec<Once>,
    pub(super) tag: Option<Pointer>,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) max_payload: usize,
    pub(super) queue: usize,
    pub(super) cors_origin: Option<String>,
    pub(super) resume_timeout: Duration,
    pub(super) max_waiting: usize,
}

/// Both have no meaning outside of Engine.IO.
const OF_ENGINE_IO: [&str; 3] = ["ping_interval", "ping_timeout", "cors_origin"];

/// `mode` is `None` where it was refused: then nothing is said about keys that do not suit it.
pub(super) fn bridge(
    id: &Text<'_>,
    header: &Value<'_>,
    table: Table<'_>,
    kind: Option<SocketKind>,
    mode: Option<SocketMode>,
) -> Bridge {
    unsuitable(&table, kind, mode);
    let get = |key| table.get(key);
    let duration = |key, default| {
        get(key)
            .and_then(|value| value.duration(TIMEOUT.0..=TIMEOUT.1))
            .unwrap_or(Duration::from_secs(default))
    };
    let size = |key, least, default| {
        get(key)
            .and_then(|value| value.size(least..=1 << 30))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default)
    };
    let waiting = get("max_waiting").and_then(|value| value.integer(0..=1_000_000));
    Bridge {
        node_loss: get("node_loss")
            .and_then(|value| {
                let values = [
                    ("bounce", NodeLoss::Bounce),
                    ("resume", NodeLoss::Resume),
                    ("admit", NodeLoss::Admit),
                ];
                let node_loss = one_of(&value, "node_loss", values);
                if node_loss == Some(NodeLoss::Admit) {
                    value.report(admits(&value));
                }
                node_loss
            })
            .unwrap_or(NodeLoss::Bounce),
        flips: get("flips")
            .and_then(|value| {
                let values = [
                    ("message", Flips::Message),
                    ("connection", Flips::Connection),
                ];
                one_of(&value, "flips", values)
            })
            .unwrap_or(Flips::Message),
        once: get("once")
            .map(|value| once(&value, kind))
            .unwrap_or_default(),
        tag: tag(id, header, &table, kind, mode),
        ping_interval: duration("ping_interval", 25),
        ping_timeout: duration("ping_timeout", 20),
        max_payload: size("max_payload", 1, 1_000_000),
        queue: size("queue", 1 << 10, 4 << 20),
        cors_origin: get("cors_origin").and_then(|value| cors_origin(&value)),
        resume_timeout: duration("resume_timeout", 30),
        max_waiting: waiting
            .and_then(|waiting| usize::try_from(waiting).ok())
            .unwrap_or(1024),
    }
}

/// What `node_loss = "admit"` gives up.
fn admits(value: &Value<'_>) -> Diagnostic {
    Diagnostic::note(Code::Unguarded, "native admits new clients without Node")
        .at(value.span())
        .label("while Node's port refuses connections")
        .help("use it only where Node refuses nobody; else write `\"resume\"`")
}

/// One of a few words.
pub(super) fn one_of<T, const N: usize>(
    value: &Value<'_>,
    key: &str,
    words: [(&str, T); N],
) -> Option<T> {
    let names = words.each_ref().map(|(word, _)| *word);
    let any = |before: &str, after: &str| {
        let names = names.map(|name| format!("{before}{name}{after}"));
        let (last, others) = names.split_last().expect("a key has a value");
        format!("{} or {last}", others.join(", "))
    };
    let write = format!("write {}", any("`\"", "\"`"));
    let text = value.text_or(&write)?;
    if let Some((_, meant)) = words.into_iter().find(|(word, _)| *word == text.as_str()) {
        return Some(meant);
    }
    let help = match nearest(text.as_str(), names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => write,
    };
    value.refuse(
        Code::UnknownValue,
        format!("`{key}` cannot be {}", text.shown()),
        format!("not {}", any("`", "`")),
        help,
    )
}

/// Reports keys that do nothing beside this kind and mode.
fn unsuitable(table: &Table<'_>, kind: Option<SocketKind>, mode: Option<SocketMode>) {
    for key in keys::SOCKET.optional.iter().filter(|key| **key != "mode") {
        let Some(value) = table.get(key) else {
            continue;
        };
        let (message, label, help) = match (mode, kind) {
            (_, Some(SocketKind::SocketIo)) if *key == "tag" => (
                "a Socket.IO event has a name, and no tag".to_owned(),
                "for `kind = \"websocket\"` only",
                "remove it: rules name the event",
            ),
            (_, Some(SocketKind::WebSocket)) if OF_ENGINE_IO.contains(key) => (
                format!("`{key}` does nothing for a WebSocket"),
                "for `kind = \"socket.io\"` only",
                "remove it",
            ),
            (Some(SocketMode::Tunnel), _) => (
                format!("`{key}` does nothing in a tunnel"),
                "needs `mode = \"bridge\"`",
                "write `mode = \"bridge\"`, or remove it",
            ),
            _ => continue,
        };
        let problem = Diagnostic::error(Code::Conflict, message).at(value.key_span());
        table.report(problem.label(label).help(help));
    }
}

/// `tag`, which a bridged WebSocket needs.
fn tag(
    id: &Text<'_>,
    header: &Value<'_>,
    table: &Table<'_>,
    kind: Option<SocketKind>,
    mode: Option<SocketMode>,
) -> Option<Pointer> {
    let needed = (kind, mode) == (Some(SocketKind::WebSocket), Some(SocketMode::Bridge));
    let Some(value) = table.get("tag") else {
        if needed {
            let message = format!("`tag` is missing in the socket {}", id.shown());
            let problem = Diagnostic::error(Code::MissingKey, message).at(header.header_span());
            table.report(
                problem
                    .label("needs `tag`")
                    .help("add `tag = \"/type\"`: where the messages say what they are"),
            );
        }
        return None;
    };
    let help = "write where the messages say what they are, such as `\"/type\"`";
    let text = value.text_or(help)?;
    if text.as_str().is_empty() {
        let message = "`tag` is empty";
        return value.refuse(Code::Empty, message, "the whole message", help);
    }
    match selector::pointer(&text) {
        Ok(pointer) => Some(pointer),
        Err(problem) => {
            value.report(problem);
            None
        }
    }
}

/// `once`
fn once(value: &Value<'_>, kind: Option<SocketKind>) -> Vec<Once> {
    const EACH: &str =
        "name what both sides say, in an entry for each, such as `hello` or `/admin,hello`";
    const EXAMPLE: &str = "once = [{ name = \"hello\" }]";
    let mut all: Vec<Once> = Vec::new();
    for value in value.list(EXAMPLE).unwrap_or_default() {
        let Some(table) = value.table("{ name = \"hello\" }") else {
            continue;
        };
        table.check_keys(&keys::ONCE, "an entry of `once`", Some(&value.span()));
        let conditions = table
            .get("where")
            .map(|value| conditions(&value, Selectors::Once))
            .unwrap_or_default();
        let Some((name, kind)) = table.get("name").zip(kind) else {
            continue;
        };
        let Some(text) = name.text() else { continue };
        match EventName::read(&text, kind) {
            Ok(event) if event.name == "*" => {
                let message = "`once` needs a name";
                let _: Option<()> = name.refuse(Code::BadName, message, "everything", EACH);
            }
            // The help for rules would be `*`.
            Err(problem) if matches!(problem.code, Code::Empty | Code::BadName) => {
                value.report(problem.help(EACH));
            }
            Ok(event) => all.push(Once {
                event,
                conditions,
                span: text.span(),
            }),
            Err(problem) => value.report(problem),
        }
    }
    all
}

/// `*`, or an origin as a browser sends it.
fn cors_origin(value: &Value<'_>) -> Option<String> {
    const HELP: &str =
        "write scheme and host in lower case, without a path: `\"https://example.com\"`";
    let text = value.filled_or(HELP)?;
    let origin = text.as_str();
    let rest = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let is_origin = |rest: &str| {
        !rest.is_empty()
            && rest.is_ascii()
            && !rest.contains(|c: char| "/?#@".contains(c) || c.is_whitespace() || c.is_control())
            && !rest.contains(|c: char| c.is_ascii_uppercase())
    };
    if (origin == "*" || rest.is_some_and(is_origin)) && HeaderValue::from_str(origin).is_ok() {
        return Some(origin.to_owned());
    }
    value.refuse(
        Code::BadUrl,
        format!("{} is not an origin", text.shown()),
        "expected `*` or an origin",
        HELP,
    )
}
