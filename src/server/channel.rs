//! Requests of bridged sockets: the handshake opens a session, what carries its id goes to it, and what the bridge does
//! not speak goes to Node unread.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, SET_COOKIE, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::bridge::engineio::{
    self, Query, Refused, Request, Stream, TransportName, Upload, Visit,
};
use crate::bridge::rewind::Rewind;
use crate::bridge::{Arrival, Bridges, Entry, Handshake, NoLeg, Transport};
use crate::config::Socket;
use crate::server::body::{Answer, ClientBody};
use crate::server::dispatch::Exchange;
use crate::server::respond::Refusal;
use crate::server::upgrade::is_upgrade;
use crate::server::watchdog::WatchedStream;
use crate::upstream::headers::strip_hop_by_hop;
use crate::upstream::websocket::accept_for;

/// A request of a socket with `mode = "bridge"`; `socket` is its index in the table.
pub(super) struct Channel<'x> {
    pub(super) exchange: &'x Exchange<'x>,
    pub(super) bridges: &'x Arc<Bridges>,
    pub(super) socket: usize,
    pub(super) address: IpAddr,
}

impl Channel<'_> {
    fn settings(&self) -> &Socket {
        &self.exchange.snapshot.table.config().sockets[self.socket]
    }

    /// A request to the path of a Socket.IO server.
    pub(super) async fn socket_io(
        &self,
        parts: Parts,
        body: Option<ClientBody>,
    ) -> Response<Answer> {
        let target = parts.uri.clone();
        let query = Query::parse(target.query().unwrap_or_default());
        if let Some(sid) = &query.sid {
            let entry = self.bridges.find(sid);
            return match entry.filter(|entry| *entry.socket == *self.settings().id) {
                Some(entry) => self.visit(&entry, &query, parts, body).await,
                None => {
                    self.unread("sid", Some(Refused::UnknownSid), parts, body)
                        .await
                }
            };
        }
        // The client library lies below the path.
        let reason = if parts.uri.path() != self.settings().path {
            Some("file")
        } else if parts.method == Method::OPTIONS {
            Some("options")
        } else if query.jsonp {
            Some("jsonp")
        } else {
            None
        };
        if let Some(reason) = reason {
            return self.unread(reason, None, parts, body).await;
        }
        let transport = match query.request(&parts.method, is_upgrade(&parts), |_| false) {
            Ok(Request::Handshake { transport }) => transport,
            Ok(Request::Session { .. }) => TransportName::Polling,
            Err(Refused::UnsupportedVersion) => {
                let refused = Some(Refused::UnsupportedVersion);
                return self.unread("version", refused, parts, body).await;
            }
            Err(refused) => return self.unread("refused", Some(refused), parts, body).await,
        };
        match (transport, is_upgrade(&parts)) {
            (TransportName::Polling, false) => self.open_polling(parts, body).await,
            (TransportName::WebSocket, true) if websocket_key(&parts).is_some() => {
                self.open_websocket(parts).await
            }
            _ => self.unread("refused", None, parts, body).await,
        }
    }

    /// Leaves a request to Node, which knows the answer; if it is away, `refused` is what it would say.
    async fn unread(
        &self,
        reason: &str,
        refused: Option<Refused>,
        parts: Parts,
        body: Option<ClientBody>,
    ) -> Response<Answer> {
        let unbridged = &self.exchange.client.acceptor.shared.metrics.unbridged;
        unbridged
            .with_label_values(&[&self.settings().id, reason])
            .inc();
        let needs_node = self.exchange.snapshot.table.needs_node(self.socket, "/");
        let upgrade = is_upgrade(&parts);
        match (self.exchange.ask(parts, body).await, refused) {
            (Ok(response), _) => response,
            (Err(_), Some(refused)) if !needs_node => {
                let answer = if upgrade {
                    refused.upgrade_answer()
                } else {
                    refused.answer()
                };
                response(answer, &HeaderMap::new(), false)
            }
            (Err(error), _) => self.exchange.no_answer(error),
        }
    }

    fn handshake(&self, parts: &Parts) -> Handshake {
        let mut headers = parts.headers.clone();
        strip_hop_by_hop(&mut headers);
        self.exchange.describe(&mut headers);
        Handshake {
            uri: parts.uri.clone(),
            headers,
            address: self.address,
        }
    }

    fn arrival(&self, parts: &Parts, transport: Transport) -> Arrival {
        Arrival {
            socket: self.socket,
            snapshot: Arc::clone(self.exchange.snapshot),
            handshake: self.handshake(parts),
            transport,
        }
    }

    async fn open_polling(&self, parts: Parts, body: Option<ClientBody>) -> Response<Answer> {
        let (first, answer) = oneshot::channel();
        let arrival = self.arrival(&parts, Transport::Polling(first));
        let entry = match self.bridges.open(arrival).await {
            Ok(entry) => entry,
            // It was a WebSocket that Node refused. What it says to this request it says itself, and if it accepts it
            // after all, the session is Node's own.
            Err(NoLeg::Refused(_)) => return self.unread("refused", None, parts, body).await,
            Err(error) => return self.no_leg(error),
        };
        match answer.await {
            Ok(answer) => response(answer, &entry.headers, true),
            Err(_) => response(Refused::UnknownSid.answer(), &entry.headers, false),
        }
    }

    async fn open_websocket(&self, mut parts: Parts) -> Response<Answer> {
        let arrival = self.arrival(&parts, Transport::WebSocket);
        match self.bridges.open(arrival).await {
            Ok(entry) => self.switch(&mut parts, &entry.headers, |stream| async move {
                let _ = entry.mailbox.send(Visit::WebSocket(stream)).await;
            }),
            Err(error) => self.no_leg(error),
        }
    }

    /// A request to the path of a WebSocket.
    pub(super) async fn websocket(
        &self,
        mut parts: Parts,
        body: Option<ClientBody>,
    ) -> Response<Answer> {
        if !is_upgrade(&parts) || websocket_key(&parts).is_none() {
            return self.unread("refused", None, parts, body).await;
        }
        let handshake = self.handshake(&parts);
        let snapshot = Arc::clone(self.exchange.snapshot);
        let accepted = self
            .bridges
            .open_tagged(snapshot, self.socket, handshake)
            .await;
        match accepted {
            Ok(accepted) => self.switch(&mut parts, &accepted.headers, |stream| async move {
                // The bridge has waited long enough, if it is gone.
                drop(accepted.stream.send(stream));
            }),
            Err(error) => self.no_leg(error),
        }
    }

    fn no_leg(&self, error: NoLeg) -> Response<Answer> {
        match error {
            NoLeg::Refused(refused) => {
                let mut response = refused.map(|body| Answer::Own(Some(body)));
                strip_hop_by_hop(response.headers_mut());
                response
            }
            NoLeg::Away(error) => self.exchange.no_answer(error),
            NoLeg::Crowded => Refusal::TooManyWaiting.into_response(),
            NoLeg::Stopping => Refusal::Stopping.into_response(),
        }
    }

    /// A request with the id of a session that lives here.
    async fn visit(
        &self,
        entry: &Entry,
        query: &Query<'_>,
        mut parts: Parts,
        body: Option<ClientBody>,
    ) -> Response<Answer> {
        let refuse = |refused: Refused| response(refused.answer(), &entry.headers, false);
        if is_upgrade(&parts) {
            if query.transport != Some(TransportName::WebSocket) || websocket_key(&parts).is_none()
            {
                return response(
                    Refused::BadRequest.upgrade_answer(),
                    &HeaderMap::new(),
                    false,
                );
            }
            let mailbox = entry.mailbox.clone();
            return self.switch(&mut parts, &entry.headers, |stream| async move {
                let _ = mailbox.send(Visit::WebSocket(stream)).await;
            });
        }
        match query.transport {
            None => return refuse(Refused::UnknownTransport),
            Some(TransportName::WebSocket) => return refuse(Refused::BadRequest),
            Some(TransportName::Polling) => {}
        }
        let (answer, answered) = oneshot::channel();
        let (visit, upload) = match parts.method {
            Method::GET => (Visit::Poll { answer }, None),
            Method::POST => {
                let (sender, upload) = oneshot::channel();
                (Visit::Post { upload, answer }, Some(sender))
            }
            _ => (Visit::Other { answer }, None),
        };
        if entry.mailbox.send(visit).await.is_err() {
            return refuse(Refused::UnknownSid);
        }
        if let Some(upload) = upload {
            match read(&parts, body, entry.max_payload).await {
                Some(read @ Upload::Whole(_)) => drop(upload.send(read)),
                Some(Upload::TooBig) => {
                    let _ = upload.send(Upload::TooBig);
                    let mut response = Response::new(Answer::Chunked(None));
                    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                    return response;
                }
                None => drop(upload),
            }
        }
        match answered.await {
            Ok(answer) => response(answer, &entry.headers, false),
            Err(_) => refuse(Refused::UnknownSid),
        }
    }

    /// Switches to a WebSocket and hands the stream on. An idle session then holds nothing of HTTP.
    fn switch<F: Future<Output = ()> + Send + 'static>(
        &self,
        parts: &mut Parts,
        headers: &HeaderMap,
        take: impl FnOnce(Box<dyn Stream>) -> F + Send + 'static,
    ) -> Response<Answer> {
        let key = websocket_key(parts).and_then(|key| HeaderValue::try_from(accept_for(key)).ok());
        let (Some(accept), Some(upgrade)) = (key, parts.extensions.remove::<OnUpgrade>()) else {
            return response(Refused::BadRequest.upgrade_answer(), headers, false);
        };
        let client = self.exchange.client;
        client.state.became_tunnel();
        client.acceptor.tasks.spawn(async move {
            match upgrade.await {
                Ok(upgraded) => take(stream_of(upgraded)).await,
                Err(error) => debug!(%error, "a websocket did not open"),
            }
        });
        let mut response = Response::new(Answer::Own(None));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers.clone();
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

/// The stream below HTTP, and what came behind the head.
fn stream_of(upgraded: Upgraded) -> Box<dyn Stream> {
    match upgraded.downcast::<TokioIo<WatchedStream<Box<TlsStream<TcpStream>>>>>() {
        Ok(parts) => Box::new(Rewind::new(parts.read_buf, parts.io.into_inner())),
        Err(upgraded) => Box::new(TokioIo::new(upgraded)),
    }
}

/// The key of a handshake that `ws` accepts (RFC 6455 §4.2.1).
fn websocket_key(parts: &Parts) -> Option<&HeaderValue> {
    let named = parts.headers.get(UPGRADE)?;
    let key = parts.headers.get(SEC_WEBSOCKET_KEY)?;
    let version = parts.headers.get(SEC_WEBSOCKET_VERSION)?;
    let is_key = key.len() == 24 && key.as_bytes().ends_with(b"==");
    let is_websocket = named.as_bytes().eq_ignore_ascii_case(b"websocket");
    let is_version = matches!(version.as_bytes(), b"13" | b"8");
    (is_websocket && is_key && is_version && parts.method == Method::GET).then_some(key)
}

/// The body of a POST; `None` where it broke off, or is of the type that Node treats alike.
async fn read(parts: &Parts, body: Option<ClientBody>, limit: usize) -> Option<Upload> {
    let kind = parts.headers.get(CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "application/octet-stream") {
        return None;
    }
    let Some(body) = body else {
        return Some(Upload::Whole(Bytes::new()));
    };
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Some(Upload::Whole(whole.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Some(Upload::TooBig),
        Err(_) => None,
    }
}

/// An answer of a session, with what Node says in every one of its own, and with the handshake in that one.
fn response(answer: engineio::Answer, headers: &HeaderMap, first: bool) -> Response<Answer> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
    let good = status == StatusCode::OK;
    let body = if good {
        Answer::Own(Some(answer.body))
    } else {
        Answer::Chunked(Some(answer.body))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers.clone();
    let headers = response.headers_mut();
    if !first {
        headers.remove(SET_COOKIE);
    }
    if let Some(kind) = answer.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if good {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
