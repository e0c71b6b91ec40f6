//! Requests of bridged sockets: the handshake opens a session, what carries its id goes to it, and what the bridge does
//! not speak goes to Node unread.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, SET_COOKIE, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::debug;

use crate::bridge::engineio::{
    self, Query, Refused, Request, Stream, TransportName, Upload, Visit,
};
use crate::bridge::rewind::Rewind;
use crate::bridge::{
    self, Arrival, Bridges, Denied, Entry, Handshake, NoLeg, NoNative, NodeSession, OpenPacket,
    Template, Transport,
};
use crate::budget::waiter::Hold;
use crate::config::{Socket, SocketKind};
use crate::server::body::{Answer, ClientBody};
use crate::server::dispatch::Exchange;
use crate::server::respond::Refusal;
use crate::server::upgrade::is_upgrade;
use crate::server::watchdog::WatchedStream;
use crate::upstream::forward::ForwardError;
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
        let is_boundary = self.has_boundary();
        // A preflight knows no sessions.
        if parts.method == Method::OPTIONS {
            return self.unread("options", None, parts, body).await;
        }
        if let Some(sid) = &query.sid {
            let entry = self.bridges.find(sid);
            return match entry.filter(|entry| *entry.socket == *self.settings().id) {
                Some(entry) => self.visit(&entry, &query, parts, body).await,
                None if is_boundary => self.refuse("sid", Refused::UnknownSid, &parts),
                None => {
                    self.unread("sid", Some(Refused::UnknownSid), parts, body)
                        .await
                }
            };
        }
        // The client library lies below the path. Without a transport it cannot be a session, which Engine.IO opens there too.
        if parts.uri.path() != self.settings().path && query.transport.is_none() {
            return self.unread("file", None, parts, body).await;
        }
        if query.jsonp {
            let is_for_native = self.exchange.snapshot.table.claims_for_native(self.socket);
            if is_boundary || (is_for_native && query.version_4) {
                return self.refuse("jsonp", Refused::BadRequest, &parts);
            }
            return self.unread("jsonp", None, parts, body).await;
        }
        let transport = match query.request(&parts.method, is_upgrade(&parts), |_| false) {
            Ok(Request::Handshake { transport }) => transport,
            Ok(Request::Session { .. }) => TransportName::Polling,
            Err(refused @ Refused::UnsupportedVersion) if is_boundary => {
                return self.refuse("version", refused, &parts);
            }
            Err(Refused::UnsupportedVersion) => {
                let refused = Some(Refused::UnsupportedVersion);
                return self.unread("version", refused, parts, body).await;
            }
            Err(refused) => return self.refused(Some(refused), parts, body).await,
        };
        match (transport, is_upgrade(&parts)) {
            (TransportName::Polling, false) => self.open_polling(parts, body).await,
            (TransportName::WebSocket, true) if websocket_key(&parts).is_some() => {
                self.open_websocket(parts).await
            }
            _ => self.refused(None, parts, body).await,
        }
    }

    /// Node says itself why it refuses a request. If it does not refuse what the proxy takes for broken, nobody serves it,
    /// or the client could choose in this way that Node gets all of its messages.
    async fn refused(
        &self,
        refused: Option<Refused>,
        parts: Parts,
        body: Option<ClientBody>,
    ) -> Response<Answer> {
        let table = &self.exchange.snapshot.table;
        if !table.claims_for_native(self.socket) {
            return self.unread("refused", refused, parts, body).await;
        }
        let upgrade = is_upgrade(&parts);
        let own = || {
            let refused = refused.unwrap_or(Refused::BadRequest);
            response(refused.answer_to(upgrade), &Template::default())
        };
        if table.has_boundary(self.socket) {
            self.count_unbridged("refused");
            return own();
        }
        let is_socket_io = self.settings().kind == SocketKind::SocketIo;
        let answer = self.unread("refused", refused, parts, body).await;
        let is_served = is_socket_io && answer.status().is_success();
        match is_served || answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            true => own(),
            false => answer,
        }
    }

    /// Refuses in Node's words what must not reach Node.
    fn refuse(&self, reason: &str, refused: Refused, parts: &Parts) -> Response<Answer> {
        self.count_unbridged(reason);
        response(refused.answer_to(is_upgrade(parts)), &Template::default())
    }

    fn count_unbridged(&self, reason: &str) {
        let unbridged = &self.exchange.client.acceptor.shared.metrics.unbridged;
        unbridged
            .with_label_values(&[&self.settings().id, reason])
            .inc();
    }

    /// Leaves a request to Node, which knows the answer; if it is away, `refused` is what it would say.
    async fn unread(
        &self,
        reason: &str,
        refused: Option<Refused>,
        parts: Parts,
        body: Option<ClientBody>,
    ) -> Response<Answer> {
        self.count_unbridged(reason);
        let needs_node = self.exchange.snapshot.table.needs_node(self.socket, "/");
        let upgrade = is_upgrade(&parts);
        match (self.exchange.ask(parts, body).await, refused) {
            (Ok(response), _) => response,
            (Err(_), Some(refused)) if !needs_node => {
                response(refused.answer_to(upgrade), &Template::default())
            }
            (Err(error), _) => self.exchange.no_answer(error),
        }
    }

    fn has_boundary(&self) -> bool {
        self.exchange.snapshot.table.has_boundary(self.socket)
    }

    fn handshake(&self, parts: &Parts) -> Handshake {
        let mut headers = parts.headers.clone();
        strip_hop_by_hop(&mut headers);
        self.exchange.describe(&mut headers);
        let mut handshake = Handshake::new(&parts.uri, &headers, self.address);
        handshake.origin.clone_from(&self.exchange.client.address);
        handshake
    }

    /// Node answers the handshake itself where it is needed; its session then goes on over a leg.
    async fn open_polling(&self, parts: Parts, body: Option<ClientBody>) -> Response<Answer> {
        let handshake = self.handshake(&parts);
        let mut node = None;
        if self.exchange.snapshot.table.needs_node(self.socket, "/") {
            match self.exchange.ask(parts, body).await {
                Ok(response) => match Accepted::read(response).await {
                    Ok(accepted) => node = Some(accepted),
                    // The session would stay Node's own, with all of its messages.
                    Err(NotAccepted::Answer(response))
                        if response.status() == StatusCode::OK && self.has_boundary() =>
                    {
                        return self.exchange.instead_of_node(Refusal::BrokenHandshake);
                    }
                    Err(NotAccepted::Answer(response)) => return *response,
                    Err(NotAccepted::Broken) => {
                        return self.exchange.instead_of_node(Refusal::BrokenHandshake);
                    }
                },
                // The client may wait, see `Bridges::open`.
                Err(error)
                    if error.is_refused_port() && self.settings().node_loss.keeps_clients() => {}
                Err(error) => return self.exchange.no_answer(error),
            }
        }
        let (session, said) = node.map(|node| (node.session, node.response)).unzip();
        let (first, answer) = oneshot::channel();
        let arrival = Arrival {
            socket: self.socket,
            snapshot: Arc::clone(self.exchange.snapshot),
            handshake,
            transport: Transport::Polling(first, session.map(Box::new)),
        };
        let entry = match self.bridges.open(arrival).await {
            Ok(entry) => entry,
            Err(error) => return self.no_leg(error),
        };
        match (answer.await, said) {
            // The words of Node itself.
            (Ok(_), Some(said)) => said,
            (Ok(answer), None) => response(answer, &entry.template),
            (Err(_), _) => response(Refused::UnknownSid.answer(), &entry.template),
        }
    }

    async fn open_websocket(&self, mut parts: Parts) -> Response<Answer> {
        let arrival = Arrival {
            socket: self.socket,
            snapshot: Arc::clone(self.exchange.snapshot),
            handshake: self.handshake(&parts),
            transport: Transport::WebSocket,
        };
        match self.bridges.open(arrival).await {
            Ok(entry) => {
                let template = Arc::clone(&entry.template);
                let home = entry.runtime.clone();
                self.switch(&mut parts, &template, home, |stream| async move {
                    let _ = entry.visit(Visit::WebSocket(stream)).await;
                })
            }
            Err(error) => self.no_leg(error),
        }
    }

    /// A request to the path of a WebSocket.
    pub(super) async fn websocket(
        &self,
        mut parts: Parts,
        body: Option<ClientBody>,
    ) -> Response<Answer> {
        if !is_upgrade(&parts) {
            return self.unread("refused", None, parts, body).await;
        }
        if websocket_key(&parts).is_none() {
            return self.refused(None, parts, body).await;
        }
        let handshake = self.handshake(&parts);
        let snapshot = Arc::clone(self.exchange.snapshot);
        let accepted = self
            .bridges
            .open_tagged(snapshot, self.socket, handshake)
            .await;
        match accepted {
            Ok(accepted) => {
                let bridge::Accepted {
                    template,
                    stream,
                    runtime,
                } = accepted;
                self.switch(&mut parts, &template, runtime, |client| async move {
                    // The bridge has waited long enough, if it is gone.
                    drop(stream.send(client));
                })
            }
            Err(Denied::ByNode(error)) => self.no_leg(error),
            Err(Denied::ByNative(NoNative::Refused(refused))) => passed_on(*refused),
            Err(Denied::ByNative(NoNative::Broke)) => {
                let refusal = Refusal::NativePanic;
                self.exchange.instead_of_native("panic", refusal)
            }
            Err(Denied::ByNative(NoNative::Timeout)) => {
                let refusal = Refusal::NativeTimeout;
                self.exchange.instead_of_native("timeout", refusal)
            }
        }
    }

    fn no_leg(&self, error: NoLeg) -> Response<Answer> {
        match error {
            NoLeg::Refused(refused) => passed_on(*refused),
            NoLeg::Away(error) => self.exchange.no_answer(error),
            NoLeg::NoPlace(no_place) => self.exchange.no_answer(ForwardError::NoPlace(no_place)),
            NoLeg::Crowded => self.exchange.instead_of_node(Refusal::TooManyWaiting),
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
        let refuse = |refused: Refused| response(refused.answer(), &entry.template);
        if is_upgrade(&parts) {
            if query.transport != Some(TransportName::WebSocket) || websocket_key(&parts).is_none()
            {
                return response(Refused::BadRequest.upgrade_answer(), &Template::default());
            }
            if entry.has_ended() {
                return response(Refused::UnknownSid.upgrade_answer(), &Template::default());
            }
            let (session, home) = (entry.clone(), entry.runtime.clone());
            return self.switch(&mut parts, &entry.switched, home, |stream| async move {
                let _ = session.visit(Visit::WebSocket(stream)).await;
            });
        }
        match query.transport {
            None => return refuse(Refused::UnknownTransport),
            Some(TransportName::WebSocket) => return refuse(Refused::BadRequest),
            // engine.io 6.6; 6.5 does not look.
            Some(TransportName::Polling) if !query.version_4 => return refuse(Refused::BadRequest),
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
        if entry.visit(visit).await.is_err() {
            return refuse(Refused::UnknownSid);
        }
        // Counted until the session has its packets.
        let mut held = body.as_ref().map(ClientBody::hold);
        if let Some(upload) = upload {
            match read(&parts, body, held.as_mut(), entry.max_payload).await {
                Some(read @ Upload::Whole(_)) => drop(upload.send(read)),
                Some(Upload::TooBig) => {
                    let _ = upload.send(Upload::TooBig);
                    let too_large = engineio::Answer::too_large();
                    return response(too_large, &entry.template);
                }
                None => drop(upload),
            }
        }
        match answered.await {
            Ok(answer) => response(answer, &entry.template),
            Err(_) => refuse(Refused::UnknownSid),
        }
    }

    /// Switches to a WebSocket and hands the stream on to the runtime that is its home from then on. An idle session then
    /// holds nothing of HTTP.
    fn switch<F: Future<Output = ()> + Send + 'static>(
        &self,
        parts: &mut Parts,
        template: &Template,
        home: Handle,
        take: impl FnOnce(Box<dyn Stream>) -> F + Send + 'static,
    ) -> Response<Answer> {
        let key = websocket_key(parts).and_then(|key| HeaderValue::try_from(accept_for(key)).ok());
        let (Some(accept), Some(upgrade)) = (key, parts.extensions.remove::<OnUpgrade>()) else {
            return response(Refused::BadRequest.upgrade_answer(), template);
        };
        let client = self.exchange.client;
        client.state.became_tunnel();
        let runtime = client.acceptor.tasks.token();
        client.acceptor.tasks.spawn(async move {
            match upgrade.await {
                Ok(upgraded) => take(stream_of(upgraded, &home, runtime)).await,
                Err(error) => debug!(%error, "a websocket did not open"),
            }
        });
        let mut response = Response::new(Answer::Own(None));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = template.headers.clone();
        *response.extensions_mut() = template.extensions.clone();
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

/// A refusal of a side.
fn passed_on(refused: Response<Bytes>) -> Response<Answer> {
    let mut response = refused.map(|body| Answer::Own(Some(body)));
    strip_hop_by_hop(response.headers_mut());
    response
}

/// The stream below HTTP, and what came behind the head.
fn stream_of(upgraded: Upgraded, home: &Handle, runtime: TaskTrackerToken) -> Box<dyn Stream> {
    match upgraded.downcast::<TokioIo<WatchedStream<Box<TlsStream<TcpStream>>>>>() {
        Ok(parts) => {
            let mut stream = parts.io.into_inner();
            if let Err(error) = bring_home(stream.get_mut().get_mut().0, home) {
                debug!(%error, "a websocket stays on the thread that accepted it");
            }
            Box::new(Lent {
                stream: Rewind::new(parts.read_buf, stream),
                _runtime: runtime,
            })
        }
        Err(upgraded) => Box::new(Lent {
            stream: TokioIo::new(upgraded),
            _runtime: runtime,
        }),
    }
}

/// Lets another runtime hear of the stream's readiness, which the thread that accepted it would else have to pass on each
/// time. Its descriptor is a copy: a runtime gives none back.
fn bring_home(stream: &mut TcpStream, home: &Handle) -> io::Result<()> {
    let copy = stream.as_fd().try_clone_to_owned()?;
    let _in_its_place = home.enter();
    *stream = TcpStream::from_std(copy.into())?;
    Ok(())
}

/// A stream that may still need the runtime that accepted it, if it could not be brought home: the operating system tells
/// that one when the stream is ready, and without it our last words would not be written. So it waits in a drain.
struct Lent<S> {
    stream: S,
    _runtime: TaskTrackerToken,
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
async fn read(
    parts: &Parts,
    body: Option<ClientBody>,
    mut held: Option<&mut Hold>,
    limit: usize,
) -> Option<Upload> {
    let kind = parts.headers.get(CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "application/octet-stream") {
        return None;
    }
    let Some(body) = body else {
        return Some(Upload::Whole(Bytes::new()));
    };
    let counted = body.map_frame(|frame| {
        if let (Some(held), Some(data)) = (held.as_mut(), frame.data_ref()) {
            held.add(data.len());
        }
        frame
    });
    match Limited::new(counted, limit).collect().await {
        Ok(whole) => Some(Upload::Whole(whole.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Some(Upload::TooBig),
        Err(_) => None,
    }
}

/// An answer of a session, with what Node says in every one of its own.
fn response(answer: engineio::Answer, template: &Template) -> Response<Answer> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
    let good = status == StatusCode::OK;
    let body = if good {
        Answer::Own(Some(answer.body))
    } else {
        Answer::Chunked(Some(answer.body))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = template.headers.clone();
    *response.extensions_mut() = template.extensions.clone();
    let headers = response.headers_mut();
    if let Some(kind) = answer.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if good {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A session that Node has opened for a request, and its answer to it.
struct Accepted {
    session: NodeSession,
    response: Response<Answer>,
}

/// Why there is no session.
enum NotAccepted {
    /// Node said something else.
    Answer(Box<Response<Answer>>),
    /// It broke off.
    Broken,
}

impl Accepted {
    /// Reads Node's answer.
    ///
    /// # Errors
    /// The answer itself, where it opens no session, or one that cannot become a WebSocket, which then stays Node's own.
    async fn read(response: Response<Answer>) -> Result<Self, NotAccepted> {
        let (parts, body) = response.into_parts();
        let answer = |answer| NotAccepted::Answer(Box::new(answer));
        let Answer::Node(body) = body else {
            return Err(answer(Response::from_parts(parts, body)));
        };
        let Ok(body) = body.collect().await else {
            return Err(NotAccepted::Broken);
        };
        let body = body.to_bytes();
        let packet = OpenPacket::parse(&body).filter(OpenPacket::offers_websocket);
        let good = parts.status == StatusCode::OK;
        let mut template = Template {
            headers: parts.headers.clone(),
            extensions: parts.extensions.clone(),
        };
        for name in [
            CACHE_CONTROL,
            CONTENT_LENGTH,
            CONTENT_TYPE,
            DATE,
            SET_COOKIE,
        ] {
            template.headers.remove(name);
        }
        let response = Response::from_parts(parts, Answer::Own(Some(body)));
        match packet.filter(|_| good) {
            Some(packet) => Ok(Self {
                session: NodeSession {
                    limits: packet.limits(),
                    sid: packet.sid,
                    template,
                    switched: Template::default(),
                },
                response,
            }),
            None => Err(answer(response)),
        }
    }
}
