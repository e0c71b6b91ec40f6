//! `[node]`: where Node is and how it is recognised.

use std::net::IpAddr;
use std::time::Duration;

use http::uri::PathAndQuery;

use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::reader::Table;
use crate::config::server::{TIMEOUT, file};
use crate::config::source::Source;
use crate::config::url::{self, is_host};
use crate::config::value::Value;
use crate::config::{Health, Node, NodeUrl, Span, Trust, keys};

/// `[node]`, and its address even if something else is wrong.
pub(super) struct ReadNode {
    pub(super) checked: Option<Node>,
    pub(super) url: Option<(NodeUrl, Span)>,
}

/// `[node]`
pub(super) fn node(source: &Source, value: &Value<'_>, table: Table<'_>) -> ReadNode {
    table.check_keys(&keys::NODE, "`[node]`", Some(&value.header_span()));
    let url = table
        .get("url")
        .and_then(|value| Some((node_url(&value)?, value.span())));
    let trust = url.as_ref().map(|(url, _)| trust(source, table, url.https));
    let server_name = table.get("server_name").map(|value| server_name(&value));
    let command = table.get("command").map(command);
    let timeout = |key, default| {
        let value = table
            .get(key)
            .and_then(|value| value.duration(TIMEOUT.0..=TIMEOUT.1));
        value.unwrap_or(Duration::from_secs(default))
    };
    let connect_timeout = timeout("connect_timeout", 2);
    let response_timeout = timeout("response_timeout", 60);
    let max_waiting = table
        .get("max_waiting")
        .and_then(|value| value.integer(1..=1_000_000));
    let health = table.get("health").and_then(|value| health(&value));
    let checked = || {
        let (url, _) = url.clone()?;
        Some(Node {
            trust: trust??,
            server_name: server_name.unwrap_or(Some(url.host.clone()))?,
            url,
            command: command.unwrap_or_default(),
            connect_timeout,
            response_timeout,
            max_waiting: usize::try_from(max_waiting.unwrap_or(1024)).ok()?,
            health: health.clone().unwrap_or_default(),
        })
    };
    ReadNode {
        checked: checked(),
        url: url.clone(),
    }
}

fn node_url(value: &Value<'_>) -> Option<NodeUrl> {
    let text = value.text_or(url::USAGE)?;
    let error = match url::parse(text.as_str()) {
        Ok(url) => return Some(url),
        Err(error) => error,
    };
    let place = match text.as_str().find(error.part) {
        Some(at) if !error.part.is_empty() => text.part(at..at + error.part.len()),
        _ => text.span(),
    };
    let message = match text.is_secret() {
        true => format!("{} is not a url of Node: {}", text.shown(), error.problem),
        false => error.problem.to_string(),
    };
    let problem = Diagnostic::error(Code::BadUrl, message)
        .at(place)
        .label("not usable here");
    value.report(problem.help(error.help(text.is_secret())));
    None
}

/// `ca`, `pin`, `insecure`: exactly one of them for `https`, none for `http`.
fn trust(source: &Source, table: Table<'_>, https: bool) -> Option<Trust> {
    let error = |value: &Value<'_>, message: String| {
        Diagnostic::error(Code::Trust, message).at(value.key_span())
    };
    if !https {
        let mut plain = Some(Trust::Plain);
        for key in ["ca", "pin", "insecure", "server_name"] {
            if let Some(value) = table.get(key) {
                let problem = error(&value, format!("`{key}` is for an `https` url"))
                    .label("the url is `http`");
                value.report(problem.help("remove it, or let `url` begin with `https`"));
                plain = None;
            }
        }
        return plain;
    }
    let ca = table
        .get("ca")
        .map(|value| (value, file(source, &value).map(Trust::Ca)));
    let pin = table
        .get("pin")
        .map(|value| (value, file(source, &value).map(Trust::Pin)));
    let insecure = table.get("insecure").map(|value| (value, value.boolean()));
    let anything = match insecure {
        Some((value, Some(true))) => Some((value, Some(Trust::Insecure))),
        // Not a boolean, which was reported.
        Some((_, None)) => return None,
        _ => None,
    };
    let mut given: Vec<_> = [ca, pin, anything].into_iter().flatten().collect();
    given.sort_by_key(|(value, _)| value.span().start);
    if let Some((second, _)) = given.get(1) {
        let problem = error(
            second,
            "only one of `ca`, `pin` and `insecure = true` can hold".to_owned(),
        );
        second.report(problem.label("the second one").help("keep one of them"));
        return None;
    }
    if let Some((_, trust)) = given.pop() {
        return trust;
    }
    let (value, label) = match insecure {
        Some((value, _)) => (value, "recognises no one"),
        None => (table.get("url")?, "how is its certificate checked?"),
    };
    let message = "an `https` Node needs one of `ca`, `pin` and `insecure = true`";
    let help = "add `ca = \"FILE\"` for a certificate of that authority, `pin = \"FILE\"` for exactly that\n\
                certificate, or `insecure = true` to check nothing";
    value.refuse(Code::Trust, message, label, help)
}

/// What is missing has its default.
fn health(value: &Value<'_>) -> Option<Health> {
    let example = "health = { path = \"/\", interval = \"1s\", timeout = \"1s\" }";
    let table = value.table(example)?;
    table.check_keys(&keys::HEALTH, "`health`", Some(&value.header_span()));
    let default = Health::default();
    let duration = |key, default| {
        let value = table.get(key);
        let duration = value.and_then(|value| value.duration(TIMEOUT.0..=TIMEOUT.1));
        duration.unwrap_or(default)
    };
    Some(Health {
        interval: duration("interval", default.interval),
        timeout: duration("timeout", default.timeout),
        path: match table.get("path") {
            Some(value) => health_path(&value)?,
            None => default.path,
        },
    })
}

/// A path as a request line carries it, which may have a query.
fn health_path(value: &Value<'_>) -> Option<String> {
    let text = value.filled()?;
    let path = PathAndQuery::try_from(text.as_str());
    if path.is_ok_and(|path| text.as_str().starts_with('/') && path.as_str() == text.as_str()) {
        return Some(text.as_str().to_owned());
    }
    let message = format!("{} is not a path", text.shown());
    let help = "write a path that begins with `/`, such as `\"/healthz\"`";
    value.refuse(Code::BadPath, message, "not a path", help)
}

fn server_name(value: &Value<'_>) -> Option<String> {
    let help = "write the name in Node's certificate, without scheme and port";
    let text = value.filled_or(help)?;
    if is_host(text.as_str()) || text.as_str().parse::<IpAddr>().is_ok() {
        return Some(text.as_str().to_owned());
    }
    let message = format!("{} is not a host name", text.shown());
    value.refuse(Code::BadName, message, "not a host name", help)
}

fn command(value: Value<'_>) -> Vec<String> {
    if value.is_string() {
        let Some(text) = value.text() else {
            return Vec::new();
        };
        let words = if text.is_secret() {
            "node server.js"
        } else {
            text.as_str()
        };
        let words: Vec<String> = words
            .split_whitespace()
            .map(|word| format!("\"{word}\""))
            .collect();
        let example = quote(&format!("command = [{}]", words.join(", ")));
        return value
            .wrong_type("a list", format!("write {example}; no shell is involved"))
            .unwrap_or_default();
    }
    let words = value
        .list("command = [\"node\", \"server.js\"]")
        .unwrap_or_default();
    let words = words.iter().enumerate();
    let words = words.filter_map(|(number, word)| {
        if number == 0 {
            word.filled()
        } else {
            word.text()
        }
    });
    words.map(|word| word.as_str().to_owned()).collect()
}
