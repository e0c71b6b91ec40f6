//! The way of a request, all of it: check, look up, ask one side, perhaps the other, answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::OriginalUri;
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, EXPECT, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::budget::waiter::Waiter;
use crate::config::{Rule, SocketKind, SocketMode, To};
use crate::live::{RuleState, Snapshot, Trial, format_sources};
use crate::native::runtime::{Call, CallError, NativeBody, NativeRuntime};
use crate::native::{ClientInfo, Deliberate};
use crate::routing::{Reason, RequestHead, Side};
use crate::server::body::{Answer, AnswerBody, ClientBody, InFlight, KeptBody};
use crate::server::channel::Channel;
use crate::server::connection::Client;
use crate::server::respond::Refusal;
use crate::server::upgrade::{Upgrade, is_upgrade};
use crate::upstream::body::RequestBody;
use crate::upstream::forward::{ForwardError, forward, in_time};
use crate::upstream::headers::{SIDE, host, join_cookies, publish_location, strip_hop_by_hop};
use crate::upstream::hop::Origin;
use crate::upstream::length::settle_length;

/// How long a native handler may wait for a client that sends none of its body. The watchdog ends such clients.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(30);

/// Answers one request.
pub(super) async fn dispatch(
    client: Arc<Client>,
    waiter: Arc<Waiter>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let in_flight = InFlight::begin(Arc::clone(&client.state));
    let shared = &client.acceptor.shared;
    let http1 = request.version() < Version::HTTP_2;
    let mut response = answer(&client, &waiter, request)
        .await
        .unwrap_or_else(|refusal| {
            shared
                .metrics
                .rejected
                .with_label_values(&[refusal.code()])
                .inc();
            refusal.into_response()
        });
    if http1 && *shared.stop.borrow() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let date = || client.acceptor.clock.date();
    response.headers_mut().entry(DATE).or_insert_with(date);
    response.map(|answer| AnswerBody::new(answer, waiter, in_flight))
}

/// `Err` is a request that no side gets to see.
async fn answer(
    client: &Arc<Client>,
    waiter: &Arc<Waiter>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Refusal> {
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let host = check_target(&mut parts)?;
    if client.hop.is_loop(&parts.headers) {
        client.acceptor.shared.live.log.log("loop", |count| {
            warn!(
                count,
                "requests run in a circle: `[node] url` leads back to this proxy"
            );
        });
        return Err(Refusal::Loop);
    }
    let length = settle_length(&mut parts.headers).map_err(|_| Refusal::BadFraming)?;
    let snapshot = client.acceptor.shared.live.load();
    let config = snapshot.table.config();
    if length.is_some_and(|bytes| config.limits.body.is_some_and(|limit| bytes > limit)) {
        return Err(Refusal::TooLarge);
    }
    let body = (!body.is_end_stream()).then(|| {
        let state = Arc::clone(&client.state);
        ClientBody::new(body, config.limits.body, state, Arc::clone(waiter))
    });

    let Origin {
        address,
        unreadable,
    } = client
        .hop
        .origin(&parts.headers, &config.server.trusted_proxies);
    if unreadable {
        client.acceptor.shared.metrics.unreadable_hops.inc();
    }
    let head = RequestHead {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        address,
    };
    let route = snapshot.table.route(&head);
    let is_socket = matches!(route.reason, Reason::Socket(_));
    if route.is_refused()
        || snapshot.table.bridges_websockets()
            && !is_socket
            && is_upgrade(&parts)
            && snapshot.table.is_socket_in_some_reading(parts.uri.path())
    {
        return Err(Refusal::NativeOnly);
    }
    let state = match (route.rule, &route.reason) {
        (Some((index, _)), _) => &snapshot.rules[index],
        (None, Reason::Socket(id)) => snapshot.socket(id),
        (None, _) => &snapshot.rest,
    };
    let exchange = Exchange {
        client,
        snapshot: &snapshot,
        state,
        host: &host,
        long_poll: is_socket,
    };
    let (mut response, side) = match (route.side, route.rule, &client.acceptor.shared.native) {
        _ if let Some((socket, kind)) = exchange.bridged(&route.reason, &parts) => {
            let channel = Channel {
                exchange: &exchange,
                bridges: &client.acceptor.shared.bridges,
                socket,
                address,
            };
            // Boxed, as all that is rare here: every request would else carry the room for it.
            let response = match kind {
                SocketKind::SocketIo => Box::pin(channel.socket_io(parts, body)).await,
                SocketKind::WebSocket => Box::pin(channel.websocket(parts, body)).await,
            };
            (response, Answerer::Node)
        }
        // A request that wants to leave HTTP is an ordinary one here: a live channel is a `[socket]`.
        (Side::Native, Some((_, rule)), Some(native)) => {
            exchange
                .native_first(native, rule, route.native_path, address, parts, body)
                .await
        }
        _ => {
            let body = request_body(&parts, body);
            (exchange.node(parts, body).await, Answerer::Node)
        }
    };
    let metrics = if side == Answerer::Native {
        &state.metrics.native
    } else {
        &state.metrics.node
    };
    metrics.answered(response.status(), started.elapsed().as_secs_f64());
    if config.server.side_header {
        response
            .headers_mut()
            .insert(SIDE, HeaderValue::from_static(side.name()));
    }
    Ok(response)
}

/// Who answered, as `side_header` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answerer {
    Native,
    Node,
    /// Node, although the table said native.
    Fallback,
}

impl Answerer {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Node => "node",
            Self::Fallback => "fallback",
        }
    }
}

/// One request with what it needs on its way.
pub(super) struct Exchange<'x> {
    pub(super) client: &'x Arc<Client>,
    pub(super) snapshot: &'x Arc<Snapshot>,
    state: &'x Arc<RuleState>,
    host: &'x HeaderValue,
    /// Of a socket, whose polls hang by design.
    long_poll: bool,
}

impl Exchange<'_> {
    /// The socket that owns the path, if its messages are looked at. Its mode decides new connections only: a session
    /// that is bridged stays so.
    fn bridged(&self, reason: &Reason<'_>, parts: &Parts) -> Option<(usize, SocketKind)> {
        let Reason::Socket(id) = reason else {
            return None;
        };
        let sockets = &self.snapshot.table.config().sockets;
        let socket = sockets.iter().position(|socket| socket.id == *id)?;
        let known = &sockets[socket];
        let bridges = &self.client.acceptor.shared.bridges;
        let is_session = || known.kind == SocketKind::SocketIo && bridges.has_session(&parts.uri);
        (known.mode == SocketMode::Bridge || is_session()).then_some((socket, known.kind))
    }

    /// Native answers; Node does where native cannot and the request may be repeated.
    async fn native_first(
        &self,
        native: &NativeRuntime,
        rule: &Rule,
        path: Option<String>,
        address: IpAddr,
        parts: Parts,
        body: Option<ClientBody>,
    ) -> (Response<Answer>, Answerer) {
        let node_may_answer = rule.to != To::NativeOnly;
        let safe = rule
            .safe
            .unwrap_or(matches!(parts.method, Method::GET | Method::HEAD));
        let Some(trial) = Trial::begin(self.state, node_may_answer) else {
            self.state.fell_back("breaker");
            let body = request_body(&parts, body);
            return (Box::pin(self.node(parts, body)).await, Answerer::Fallback);
        };

        let kept = body.map(|body| KeptBody::new(body, self.snapshot.table.config().limits.replay));
        let call = native.call(
            self.native_request(&parts, path, address, kept.clone()),
            safe,
        );
        let (failure, answer) = match self.in_time(call, rule.timeout, kept.as_ref()).await {
            Some(Ok(response))
                if response.status().is_server_error()
                    && response.extensions().get::<Deliberate>().is_none() =>
            {
                ("status", native_response(response))
            }
            Some(Ok(response)) => {
                trial.end(false);
                return (native_response(response), Answerer::Native);
            }
            Some(Err(CallError::Panicked)) => ("panic", Refusal::NativePanic.into_response()),
            Some(Err(CallError::Declined)) => ("decline", Refusal::Declined.into_response()),
            None => ("timeout", Refusal::NativeTimeout.into_response()),
        };
        let declined = failure == "decline";
        // A decline says nothing of the health of native.
        if declined {
            drop(trial);
        } else {
            trial.end(true);
        }
        let rewound = match &kept {
            None => Some(None),
            Some(kept) => kept.rewind().map(Some),
        };
        match rewound {
            Some(body) if node_may_answer && (safe || declined) => {
                self.state.fell_back(failure);
                let body = RequestBody::of(body, false);
                (Box::pin(self.node(parts, body)).await, Answerer::Fallback)
            }
            _ => {
                self.state.unanswered(failure);
                (answer, Answerer::Native)
            }
        }
    }

    /// The request as axum gets it: the headers as Node would see them, the endpoint's spelling of the path, the
    /// client's beside it.
    fn native_request(
        &self,
        parts: &Parts,
        path: Option<String>,
        address: IpAddr,
        body: Option<KeptBody>,
    ) -> Request<axum::body::Body> {
        let body = body.map_or_else(axum::body::Body::empty, axum::body::Body::new);
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.version_mut() = parts.version;
        let headers = request.headers_mut();
        *headers = parts.headers.clone();
        strip_hop_by_hop(headers);
        let trusted = &self.snapshot.table.config().server.trusted_proxies;
        self.client.hop.describe(headers, self.host, trusted);
        *request.uri_mut() = match path {
            None => parts.uri.clone(),
            Some(path) => respell(&parts.uri, &path),
        };
        request
            .extensions_mut()
            .insert(OriginalUri(parts.uri.clone()));
        request.extensions_mut().insert(ClientInfo::at(address));
        request
    }

    /// Waits for native. The time that the client takes for its body is not native's: a slow upload must not open the
    /// breaker. A client that sends nothing for long is no reason to wait.
    async fn in_time(
        &self,
        call: Call,
        limit: Duration,
        body: Option<&KeptBody>,
    ) -> Option<Result<Response<NativeBody>, CallError>> {
        let (mut read, mut since) = (0, Instant::now());
        let moves = || {
            let Some(body) = body else { return false };
            let before = std::mem::replace(&mut read, body.bytes_read());
            if read != before {
                since = Instant::now();
                return true;
            }
            body.waits_for_client() && since.elapsed() < UPLOAD_PATIENCE
        };
        in_time(call.answer(), limit, moves).await
    }

    /// Node answers, or the proxy says why it did not.
    async fn node(&self, parts: Parts, body: RequestBody) -> Response<Answer> {
        let answer = self.ask_node(parts, body).await;
        answer.unwrap_or_else(|error| self.no_answer(error))
    }

    /// Asks Node with the body of the client.
    pub(super) async fn ask(
        &self,
        parts: Parts,
        body: Option<ClientBody>,
    ) -> Result<Response<Answer>, ForwardError> {
        let body = request_body(&parts, body);
        self.ask_node(parts, body).await
    }

    /// What the proxy says in Node's place.
    pub(super) fn no_answer(&self, error: ForwardError) -> Response<Answer> {
        let metrics = &self.client.acceptor.shared.metrics;
        let refusal = Refusal::after(error);
        if let Refusal::Node(error) = &refusal {
            let reason = error.reason();
            metrics.node_errors.with_label_values(&[reason]).inc();
            self.client.acceptor.shared.live.node.suspect();
            return self.instead_of_node(refusal);
        }
        debug!(rule = %self.state.id, error = format_sources(&refusal), "a client broke its request off");
        let rejected = &metrics.rejected;
        rejected.with_label_values(&[refusal.code()]).inc();
        refusal.into_response()
    }

    /// The same where Node is to blame; the log says so.
    pub(super) fn instead_of_node(&self, refusal: Refusal) -> Response<Answer> {
        self.state
            .no_answer(refusal.code(), format_sources(&refusal));
        refusal.into_response()
    }

    /// What the proxy says where native alone was asked.
    pub(super) fn instead_of_native(
        &self,
        reason: &'static str,
        refusal: Refusal,
    ) -> Response<Answer> {
        self.state.unanswered(reason);
        refusal.into_response()
    }

    /// Makes the headers of the client those that Node gets.
    pub(super) fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, self.host.clone());
        let trusted = &self.snapshot.table.config().server.trusted_proxies;
        self.client.hop.describe(headers, self.host, trusted);
    }

    async fn ask_node(
        &self,
        mut parts: Parts,
        body: RequestBody,
    ) -> Result<Response<Answer>, ForwardError> {
        let shared = &self.client.acceptor.shared;
        let upgrade = Upgrade::of(&mut parts);
        let headers = &mut parts.headers;
        strip_hop_by_hop(headers);
        if parts.version == Version::HTTP_2 {
            join_cookies(headers);
        }
        self.describe(headers);
        if let Some(upgrade) = &upgrade {
            upgrade.ask(headers);
        }
        // hyper sends no body with a GET unless a header says that there is one.
        if !body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH) {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        parts.version = Version::HTTP_11;
        let node = &self.snapshot.node;
        let place = shared.budget.ask_node(self.client.address.as_ref());
        let place = place.map_err(ForwardError::NoPlace)?;
        let request = Request::from_parts(parts, body);
        let mut response = forward(
            &self.client.acceptor.pool,
            &self.client.own_connection,
            node,
            &shared.metrics,
            request,
            place,
            self.long_poll,
        )
        .await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgrade = upgrade.ok_or(ForwardError::WrongUpgrade)?;
            upgrade.join(&mut response, self.client, &self.state.id)?;
        } else {
            strip_hop_by_hop(response.headers_mut());
        }
        response.headers_mut().remove(SIDE);
        publish_location(response.headers_mut(), node, self.host);
        Ok(response.map(Answer::Node))
    }
}

/// Checks the target and the host of a request, and puts the target into origin form. Returns the one `Host`.
fn check_target(parts: &mut Parts) -> Result<HeaderValue, Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().to_owned());
    if let Some(authority) = &authority {
        // A target that is a host alone is for CONNECT (RFC 9112 §3.2.3).
        if parts.uri.scheme().is_none() {
            return Err(Refusal::BadHost);
        }
        // HTTP/2 names the host in `:authority`, HTTP/1.1 may in the target (RFC 9112 §3.2.2); two names are one too many.
        let named = HeaderValue::from_str(authority).map_err(|_| Refusal::BadHost)?;
        match parts.headers.get(HOST) {
            Some(host) if !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {
                return Err(Refusal::BadHost);
            }
            Some(_) => {}
            None if parts.version == Version::HTTP_2 => {
                parts.headers.insert(HOST, named);
            }
            None => return Err(Refusal::BadHost),
        }
        let path = parts
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        parts.uri = Uri::from(path);
    }
    if parts.version < Version::HTTP_2 && !has_plain_framing(&parts.headers) {
        return Err(Refusal::BadFraming);
    }
    host(&parts.headers).cloned().ok_or(Refusal::BadHost)
}

/// hyper reads what ends in `chunked`; another coding before it would reach Node unsaid (RFC 9112 §6.1). HTTP/2 has no
/// codings: h2 resets a stream that names one.
fn has_plain_framing(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_plain) && codings.next().is_none()
}

/// The body as Node gets it: a client that waits for `100 Continue` sends it when Node says so.
fn request_body(parts: &Parts, body: Option<ClientBody>) -> RequestBody {
    let expects_continue = parts
        .headers
        .get(EXPECT)
        .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    RequestBody::of(body, expects_continue)
}

fn respell(uri: &Uri, path: &str) -> Uri {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(target).map_or_else(|_| uri.clone(), Uri::from)
}

fn native_response(response: Response<NativeBody>) -> Response<Answer> {
    let mut response = response.map(Answer::Native);
    strip_hop_by_hop(response.headers_mut());
    if settle_length(response.headers_mut()).is_err() {
        // hyper says how long the body is.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}
