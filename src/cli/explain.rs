//! `strangler explain`: who answers one request or gets one message, by the same table lookup as in the proxy.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::cli::check::compile;
use crate::config::diagnostic::quote;
use crate::config::{EventName, Rule, Socket, SocketKind, SocketMode, Source};
use crate::native::App;
use crate::routing::{EventHead, LazyArgument, RequestHead, Table};

/// What is asked.
#[derive(Debug)]
pub(super) enum Question {
    /// Who answers this request.
    Request { method: Method, uri: Uri },
    /// Who gets this message.
    Message {
        socket: String,
        name: String,
        /// The first argument, or the whole message of a WebSocket.
        json: Option<String>,
        /// Of the handshake.
        query: String,
    },
}

/// Who asks.
#[derive(Debug, clap::Args)]
pub(super) struct Client {
    /// A header of the request or of the handshake; may be given several times.
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: IpAddr,
    /// The rules.
    #[arg(long, default_value = "routes.toml", value_name = "FILE")]
    routes: PathBuf,
}

impl Question {
    /// From the two words of the command line.
    ///
    /// # Errors
    /// What is wrong with them, for a message about the usage.
    pub(super) fn new(
        subject: String,
        detail: Option<String>,
        on: Option<String>,
        query: Option<String>,
    ) -> Result<Self, String> {
        if let Some(socket) = on {
            return Ok(Self::Message {
                socket,
                name: subject,
                json: detail,
                query: query.unwrap_or_default(),
            });
        }
        let method = subject
            .parse()
            .map_err(|_| format!("{} is not a method", quote(&subject)))?;
        let detail = detail.unwrap_or_default();
        let uri = detail
            .parse()
            .map_err(|error| format!("{} is not a target: {error}", quote(&detail)))?;
        Ok(Self::Request { method, uri })
    }
}

pub(super) fn explain(question: &Question, client: Client, apps: &[App]) -> anyhow::Result<()> {
    let Client {
        headers,
        from,
        routes,
    } = client;
    let compiled = compile(&routes, false, apps);
    let (table, _) = compiled.map_err(|failed| super::report(&failed, ""))?;
    let headers: HeaderMap = headers.into_iter().collect();
    let text = match question {
        Question::Request { method, uri } => {
            let explanation = table.explain(&RequestHead {
                method,
                uri,
                headers: &headers,
                address: from,
            });
            let rule = explanation.route.rule.map(|(_, rule)| rule);
            lines(
                &routes,
                rule,
                &explanation.summary(),
                explanation.fallback(),
            )
        }
        Question::Message {
            socket,
            name,
            json,
            query,
        } => {
            let at = position(&table, socket)?;
            let socket = &table.config().sockets[at];
            if socket.mode == SocketMode::Tunnel {
                return super::print(&format!(
                    "{}  node (a tunnel: whole connections go to Node)\n",
                    socket.id
                ));
            }
            let uri: Uri = format!("{}?{query}", socket.path)
                .parse()
                .with_context(|| format!("{} is not a query", quote(query)))?;
            let event = EventName::parse(name, socket.kind)
                .with_context(|| format!("{} is not the name of an event", quote(name)))?;
            let text = message(socket, json.as_deref())?;
            let argument = match socket.kind {
                SocketKind::SocketIo => LazyArgument::of_event(text.as_bytes()),
                SocketKind::WebSocket => LazyArgument::of_message(text.as_bytes()),
            };
            if let (Some(tag), Some(pointer)) = (table.tag(at, &argument), &socket.tag)
                && tag != event.name
            {
                bail!(
                    "{pointer} of the message is {}, not {}",
                    quote(&tag),
                    quote(name)
                );
            }
            let explanation = table.explain_event(
                at,
                &EventHead {
                    namespace: &event.namespace,
                    name: &event.name,
                    request: &RequestHead {
                        method: &Method::GET,
                        uri: &uri,
                        headers: &headers,
                        address: from,
                    },
                    argument: &argument,
                },
            );
            let rule = explanation.route.rule.map(|(_, rule)| rule);
            lines(
                &routes,
                rule,
                &explanation.summary(),
                explanation.fallback(),
            )
        }
    };
    super::print(&text)
}

/// The answer with where its rule stands, and below it when the other side answers.
fn lines(routes: &Path, rule: Option<&Rule>, summary: &str, fallback: Option<String>) -> String {
    let mut line = summary.to_owned();
    if let Some(rule) = rule {
        let source = crate::config::read(routes).unwrap_or_else(|_| Source::empty(routes));
        line = format!(
            "{line}   {}:{}",
            routes.display(),
            source.position(rule.id_span.start).line
        );
    }
    line.push('\n');
    if let Some(fallback) = fallback {
        let indent = rule.map_or(0, |rule| rule.id.len());
        line = format!("{line}{:indent$}  {fallback}\n", "");
    }
    line
}

fn position(table: &Table, id: &str) -> anyhow::Result<usize> {
    let sockets = &table.config().sockets;
    let found = sockets.iter().position(|socket| socket.id == id);
    let ids: Vec<&str> = sockets.iter().map(|socket| socket.id.as_str()).collect();
    found.with_context(|| match ids.is_empty() {
        true => format!("there is no socket {}, and no other", quote(id)),
        false => format!(
            "there is no socket {}; there is {}",
            quote(id),
            ids.join(", ")
        ),
    })
}

/// The text of a message as it comes: for Socket.IO the array of its packet.
fn message(socket: &Socket, json: Option<&str>) -> anyhow::Result<String> {
    if let Some(json) = json {
        let read = serde_json::from_str::<serde::de::IgnoredAny>(json);
        read.with_context(|| format!("{} is not JSON", quote(json)))?;
    }
    Ok(match (socket.kind, json) {
        (SocketKind::SocketIo, Some(json)) => format!("[\"\",{json}]"),
        (SocketKind::SocketIo, None) => "[\"\"]".to_owned(),
        (SocketKind::WebSocket, json) => json.unwrap_or_default().to_owned(),
    })
}

/// `NAME:VALUE`, as curl takes it.
fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME:VALUE")?;
    let name = HeaderName::try_from(name.trim()).map_err(|error| error.to_string())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|error| error.to_string())?;
    Ok((name, value))
}
