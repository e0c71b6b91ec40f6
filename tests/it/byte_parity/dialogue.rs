//! A client that says what it was told to, and writes down what it hears as it came.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Place;
use crate::support::PATIENCE;
use crate::support::client::{Stream, reach};
use crate::support::node::{header_lines, read_head};

/// Polls that wait for a word which never comes.
const POLLS: usize = 20;

/// What a client says, one after the other.
pub(super) struct Dialogue {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// In targets, `{sid}` stands for the session that was opened last.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Ask(Ask),
    /// On connections of their own at the same time. The answers may come in any order.
    Together(Ask, Ask),
    /// Polls until this has been said, or the session is over.
    Poll(&'static str),
    /// The handshake of a WebSocket.
    Upgrade(Ask),
    Send(Message),
    /// Reads until this has been said, or the server closes.
    Read(&'static str),
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) target: String,
    /// Whole lines.
    pub(super) headers: String,
    pub(super) body: Bytes,
}

impl Ask {
    pub(super) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: String::new(),
            body: Bytes::new(),
        }
    }

    /// To a session that is open.
    pub(super) fn session(method: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::new(method, "/socket.io/?EIO=4&transport=polling&sid={sid}")
        }
    }

    pub(super) fn with(mut self, header: &str) -> Self {
        self.headers.push_str(header);
        self.headers.push_str("\r\n");
        self
    }

    fn bytes(&self, sid: &str) -> Vec<u8> {
        let target = self.target.replace("{sid}", sid);
        let length = match self.body.len() {
            0 if self.method == "GET" || self.method == "HEAD" => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let (method, headers) = (self.method, &self.headers);
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

impl Dialogue {
    /// The handshake over polling, and then these.
    pub(super) fn polling(name: impl Into<String>, steps: impl IntoIterator<Item = Step>) -> Self {
        let open = Ask::new("GET", "/socket.io/?EIO=4&transport=polling");
        Self {
            name: name.into(),
            steps: std::iter::once(Step::Ask(open)).chain(steps).collect(),
        }
    }

    pub(super) async fn hold(&self, place: Place) -> Vec<String> {
        let mut speaker = Speaker {
            place,
            sid: String::new(),
            stream: None,
            socket: None,
            others: Vec::new(),
            heard: Vec::new(),
        };
        for step in &self.steps {
            let taken = timeout(PATIENCE, speaker.take(step)).await;
            if taken.is_err() {
                speaker.hear(&format!("nothing comes of {step:?}"));
                break;
            }
        }
        // Between namespaces there is no order.
        speaker.heard.sort_by(|one, other| one.0.cmp(&other.0));
        speaker.heard.into_iter().map(|(_, said)| said).collect()
    }
}

struct Speaker {
    place: Place,
    sid: String,
    /// Kept from one request to the next.
    stream: Option<Box<dyn Stream>>,
    socket: Option<WebSocketStream<Box<dyn Stream>>>,
    /// Sockets of before, still open: how a server treats the next may depend on them.
    others: Vec<WebSocketStream<Box<dyn Stream>>>,
    /// What was said, behind the namespace in which it was.
    heard: Vec<(String, String)>,
}

impl Speaker {
    async fn take(&mut self, step: &Step) {
        match step {
            Step::Ask(ask) => {
                let answer = self.ask(ask).await;
                self.hear(&answer);
            }
            Step::Together(one, other) => {
                let place = &self.place;
                let alone = async |bytes: Vec<u8>| {
                    let mut stream = reach(place.address, place.tls.as_ref()).await;
                    let answer = exchange(&mut stream, &bytes, false).await;
                    answer.unwrap_or_else(|| "no answer".to_owned())
                };
                let (one, other) = (one.bytes(&self.sid), other.bytes(&self.sid));
                let (one, other) = tokio::join!(alone(one), alone(other));
                let (first, second) = if one <= other {
                    (one, other)
                } else {
                    (other, one)
                };
                self.hear(&first);
                self.hear(&second);
            }
            Step::Poll(until) => self.poll(until).await,
            Step::Upgrade(ask) => self.upgrade(ask).await,
            Step::Send(message) => {
                // A server that has closed does not take it, and what it said last is still to be read.
                if let Some(socket) = &mut self.socket {
                    let _ = socket.send(message.clone()).await;
                }
            }
            Step::Read(until) => self.read(until).await,
        }
    }

    async fn ask(&mut self, ask: &Ask) -> String {
        let bytes = ask.bytes(&self.sid);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => reach(self.place.address, self.place.tls.as_ref()).await,
        };
        let answer = exchange(&mut stream, &bytes, ask.method == "HEAD").await;
        let Some(answer) = answer else {
            return "no answer".to_owned();
        };
        if !answer
            .to_ascii_lowercase()
            .contains("\r\nconnection: close\r\n")
        {
            self.stream = Some(stream);
        }
        answer
    }

    /// The packets in the order in which they come, whatever polls they come in.
    async fn poll(&mut self, until: &str) {
        for _ in 0..POLLS {
            let answer = self.ask(&Ask::session("GET", "")).await;
            let body = answer
                .split_once("\r\n\r\n")
                .map(|(_, body)| body.to_owned());
            if !answer.starts_with("HTTP/1.1 200 ") {
                self.hear(&answer);
                return;
            }
            let packets = body.unwrap_or_default();
            for packet in packets.split('\x1e') {
                self.hear(packet);
            }
            if packets.contains(until) {
                return;
            }
        }
        self.hear(&format!("`{until}` does not come"));
    }

    async fn upgrade(&mut self, ask: &Ask) {
        let mut stream = reach(self.place.address, self.place.tls.as_ref()).await;
        stream.write_all(&ask.bytes(&self.sid)).await.unwrap();
        let Some(head) = read_head(&mut stream).await else {
            self.hear("no answer");
            return;
        };
        if head.starts_with("HTTP/1.1 101 ") {
            self.hear(&head);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
            self.others.extend(self.socket.replace(socket));
        } else {
            let body = read_body(&mut stream, &head).await.unwrap_or_default();
            self.hear(&format!("{head}{body}"));
        }
    }

    async fn read(&mut self, until: &str) {
        let Some(mut socket) = self.socket.take() else {
            return;
        };
        while let Some(message) = socket.next().await {
            let text = match message {
                Ok(Message::Text(text)) => text.to_string(),
                Ok(Message::Close(frame)) => {
                    let frame =
                        frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                    format!("close {frame:?}")
                }
                Ok(other) => format!("{other:?}"),
                // How TCP ends after a close frame is not worth a word.
                Err(_) => break,
            };
            self.hear(&text);
            if text.contains(until) {
                self.socket = Some(socket);
                return;
            }
        }
        self.hear("end");
    }

    /// Writes it down with ids made alike, and remembers the session if it is the open packet of one.
    fn hear(&mut self, said: &str) {
        let mut text = said.to_owned();
        // For JSONP, with quotes inside quotes.
        for mark in ["0{\"sid\":\"", "0{\\\"sid\\\":\\\""] {
            if let Some((_, open)) = said.split_once(mark)
                && said.contains("maxPayload")
            {
                open[..20].clone_into(&mut self.sid);
            }
        }
        if !self.sid.is_empty() {
            text = text.replace(&self.sid, "{sid}");
        }
        let namespace = match namespace_of(&text) {
            Some(namespace) => namespace.to_owned(),
            // An attachment belongs to the packet before it.
            None if text.starts_with('b') || text.starts_with("Binary") => self
                .heard
                .last()
                .map(|(last, _)| last.clone())
                .unwrap_or_default(),
            None => String::new(),
        };
        let said = without_event_id(&without_ids(&text));
        self.heard.push((namespace, said));
    }
}

/// The namespace of a packet of Socket.IO; nothing else has one.
fn namespace_of(said: &str) -> Option<&str> {
    let packet = said.strip_prefix('4')?;
    let rest = packet.strip_prefix(|letter: char| ('0'..='6').contains(&letter))?;
    let rest = match rest.split_once('-') {
        Some((attachments, rest)) if attachments.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => rest,
    };
    let end = rest.find(',').unwrap_or(rest.len());
    Some(if rest.starts_with('/') {
        &rest[..end]
    } else {
        "/"
    })
}

/// The ids of Socket.IO: 15 bytes in the alphabet of URLs.
fn without_ids(text: &str) -> String {
    let mut parts = text.split("\"sid\":\"");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("\"sid\":\"");
        match part.split_at_checked(20) {
            Some((id, rest)) if URL_SAFE_NO_PAD.decode(id).is_ok() => {
                out.push_str("{id}");
                out.push_str(rest);
            }
            _ => out.push_str(part),
        }
    }
    out
}

/// The id of an event that wants an ack: Node counts for all clients of a namespace, so it is never the same twice.
fn without_event_id(packet: &str) -> String {
    let is_event = packet.starts_with("42") || packet.starts_with("45");
    let Some((head, values)) = packet.split_once('[').filter(|_| is_event) else {
        return packet.to_owned();
    };
    let digits = head.trim_end_matches(|letter: char| letter.is_ascii_digit());
    // Those of the packet's type are no id, nor is the number of attachments, which a dash ends.
    let digits = if digits.is_empty() {
        &head[..2]
    } else {
        digits
    };
    let id = if digits == head { "" } else { "{id}" };
    format!("{digits}{id}[{values}")
}

/// The answer as it came, its body out of its chunks. `None` where the connection has ended.
async fn exchange(stream: &mut Box<dyn Stream>, bytes: &[u8], head_only: bool) -> Option<String> {
    // A server may answer and close before it has read all.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    let head = read_head(stream).await?;
    let body = if head_only {
        String::new()
    } else {
        read_body(stream, &head).await?
    };
    Some(format!("{head}{body}"))
}

async fn read_body(stream: &mut Box<dyn Stream>, head: &str) -> Option<String> {
    let headers = header_lines(head);
    let mut body = Vec::new();
    let no_body = ["HTTP/1.1 204", "HTTP/1.1 304"]
        .iter()
        .any(|status| head.starts_with(status));
    if no_body {
        return Some(String::new());
    }
    if headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked")
    {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(stream.read_u8().await.ok()?);
            }
            let length = std::str::from_utf8(&line).ok()?.trim();
            let length = usize::from_str_radix(length, 16).ok()?;
            let mut chunk = vec![0; length + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            body.extend(&chunk[..length]);
            if length == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        body.resize(length.parse().ok()?, 0);
        stream.read_exact(&mut body).await.ok()?;
    } else {
        let _ = stream.read_to_end(&mut body).await;
    }
    // Compressed bodies are no text.
    Some(body.iter().map(|byte| char::from(*byte)).collect())
}
