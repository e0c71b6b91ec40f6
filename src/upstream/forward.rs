//! The way of one request to Node and of its answer back. Bodies stream both ways with backpressure; a request is
//! repeated once, on a fresh connection, only where Node cannot have acted on it or may do so twice.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::budget::{NoPlace, NodePlace};
use crate::metrics::Metrics;
use crate::upstream::Target;
use crate::upstream::answer::{Home, NodeBody};
use crate::upstream::body::{Progress, RequestBody};
use crate::upstream::connect::ConnectError;
use crate::upstream::length::settle_length;
use crate::upstream::login::{OwnConnection, is_challenge};
use crate::upstream::pool::{Lease, Pool};

/// Why Node gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// `max_waiting` requests wait already.
    #[error("too many requests wait for node")]
    TooManyWaiting,
    /// `limits.node_requests` or `limits.legs_per_address` are in use.
    #[error("too many connections to node are in use")]
    NoPlace(NoPlace),
    /// No head of an answer within `response_timeout`.
    #[error("node did not answer in time")]
    Timeout,
    /// Node closed the connection or answered what is not HTTP.
    #[error("node broke the connection")]
    Broken(#[source] hyper::Error),
    /// An answer with both a length and chunks: one of them is a lie (RFC 9112 §6.3).
    #[error("node framed its answer in two ways")]
    TwoFramings,
    /// A length that is no number, or several of them.
    #[error("node declared a length that is not one number")]
    BadLength,
    /// An answer of `101` that nobody had asked for, or to another protocol.
    #[error("node switched to a protocol that was not asked for")]
    WrongUpgrade,
}

impl ForwardError {
    /// Whether the port of Node refuses connections: no process listens there. Nothing that a client does leads to this.
    #[must_use]
    pub(crate) fn is_refused_port(&self) -> bool {
        matches!(self, Self::Connect(ConnectError::Tcp(error))
            if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether Node said nothing at all: no connection, no answer in time, or an end before the first byte of one.
    #[must_use]
    pub(crate) fn is_without_answer(&self) -> bool {
        match self {
            // The proxy did not so much as ask.
            Self::TooManyWaiting | Self::NoPlace(_) => true,
            Self::Connect(_) | Self::Timeout => true,
            Self::Broken(error) => !error.is_parse(),
            Self::TwoFramings | Self::BadLength | Self::WrongUpgrade => false,
        }
    }

    /// The `reason` label of the metric.
    #[must_use]
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Connect(ConnectError::Tcp(_)) if self.is_refused_port() => "refused",
            Self::Connect(ConnectError::Tcp(_)) => "connect",
            Self::Connect(ConnectError::Tls(_)) => "tls",
            Self::Connect(ConnectError::Timeout) => "connect-timeout",
            Self::TooManyWaiting => "too-many-waiting",
            Self::NoPlace(no_place) => no_place.reason(),
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
            Self::TwoFramings => "two-framings",
            Self::BadLength => "bad-length",
            Self::WrongUpgrade => "wrong-upgrade",
        }
    }
}

/// Sends a request to Node and waits for the head of its answer. The request carries its final headers and an
/// origin-form target; it keeps its `place` until the end of its answer. A `long_poll` may wait for as long as it likes to,
/// and does not count as waiting. `own` is the connection of a client whose login Node keeps there.
///
/// # Errors
/// When Node cannot be reached, does not answer in time, or breaks off.
pub(crate) async fn forward(
    pool: &Arc<Pool>,
    own: &OwnConnection,
    target: &Arc<Target>,
    metrics: &Arc<Metrics>,
    mut request: Request<RequestBody>,
    place: NodePlace,
    long_poll: bool,
) -> Result<Response<NodeBody>, ForwardError> {
    // One client can make as many of its own streams wait as it likes, so they do not count as waiting yet.
    let mut turn = match own.is_needed(request.headers()) {
        false => None,
        true => {
            let turn = own.turn(target.settings.response_timeout).await;
            Some(turn.ok_or(ForwardError::Timeout)?)
        }
    };
    let _waiting = match long_poll {
        true => None,
        false => Some(Waiting::enter(metrics, target.settings.max_waiting)?),
    };
    let progress = request.body().progress();
    let go_ahead = request.body_mut().hold_until_continue();
    observe_informational(&mut request, metrics, go_ahead);

    let idle = match &mut turn {
        None => pool.checkout(target).await,
        Some(turn) => usable(turn.take(), target).await,
    };
    let mut lease = match idle {
        Some(lease) => lease,
        None => Box::pin(pool.open(target)).await?,
    };
    loop {
        // Kept only where it may be needed: a repeatable request on a connection that Node may have closed.
        let spare = (lease.reused && is_repeatable(&request)).then(|| copy_of(&request));
        let answer = lease.sender.try_send_request(request);
        let mut sent = 0;
        let moves = || {
            let before =
                std::mem::replace(&mut sent, progress.as_deref().map_or(0, Progress::bytes));
            sent != before
        };
        let Some(answer) = in_time(answer, target.settings.response_timeout, moves).await else {
            return Err(ForwardError::Timeout);
        };
        let mut error = match answer {
            Ok(response) => {
                let home = match turn {
                    Some(turn) => Home::Client(turn),
                    None if is_challenge(response.headers()) => own.begin().into(),
                    None => Home::Pool(Arc::clone(pool)),
                };
                return accept(response, lease, place, home, progress);
            }
            Err(error) => error,
        };
        // A request that comes back was not written at all; else only one that may happen twice is repeated.
        request = match error.take_message().or(spare) {
            Some(request) if lease.reused => request,
            _ => return Err(ForwardError::Broken(error.into_error())),
        };
        metrics.node_retries.inc();
        lease = Box::pin(pool.open(target)).await?;
    }
}

/// The connection, if it is still open and leads to this Node.
async fn usable(lease: Option<Lease>, target: &Arc<Target>) -> Option<Lease> {
    let mut lease = lease.filter(|lease| Arc::ptr_eq(&lease.target, target))?;
    lease.sender.ready().await.is_ok().then_some(lease)
}

/// Waits for an answer, or `None` after `limit` without one. `moves` is asked then whether the body is still on its way,
/// which gives the answer more time.
pub(crate) async fn in_time<F: Future>(
    answer: F,
    limit: Duration,
    mut moves: impl FnMut() -> bool,
) -> Option<F::Output> {
    let mut answer = std::pin::pin!(answer);
    loop {
        match timeout(limit, &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_) if moves() => {}
            Err(_) => return None,
        }
    }
}

fn is_repeatable(request: &Request<RequestBody>) -> bool {
    matches!(request.body(), RequestBody::Empty)
        && matches!(
            *request.method(),
            Method::GET
                | Method::HEAD
                | Method::OPTIONS
                | Method::TRACE
                | Method::PUT
                | Method::DELETE
        )
}

/// Without the extensions: a repeated request may lose the case of its header names, but every request would else pay
/// for a second map of them.
fn copy_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn accept(
    mut response: Response<Incoming>,
    lease: Lease,
    place: NodePlace,
    home: Home,
    progress: Option<Arc<Progress>>,
) -> Result<Response<NodeBody>, ForwardError> {
    settle_framing(&mut response)?;
    let hint = keep_alive_hint(response.headers());
    let lease = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        lease.release();
        None
    } else {
        Some((lease, home))
    };
    Ok(response.map(|body| NodeBody {
        body,
        lease,
        place: Some(place),
        hint,
        progress,
    }))
}

/// Leaves one plain length in the head of an answer, or none.
///
/// # Errors
/// When the head does not say for sure where the answer ends.
pub(super) fn settle_framing<B>(response: &mut Response<B>) -> Result<(), ForwardError> {
    let has_no_body = matches!(response.status().as_u16(), 100..=199 | 204);
    let headers = response.headers_mut();
    if has_no_body {
        // It has no length either (RFC 9110 §8.6), whatever Node says.
        headers.remove(CONTENT_LENGTH);
        return Ok(());
    }
    let length = settle_length(headers).map_err(|_| ForwardError::BadLength)?;
    if length.is_some() && headers.contains_key(TRANSFER_ENCODING) {
        return Err(ForwardError::TwoFramings);
    }
    Ok(())
}

/// Node's idle time, from `Keep-Alive: timeout=5`.
fn keep_alive_hint(headers: &http::HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let seconds = value
        .split(',')
        .find_map(|part| part.trim().strip_prefix("timeout="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

fn observe_informational(
    request: &mut Request<RequestBody>,
    metrics: &Arc<Metrics>,
    go_ahead: Option<Arc<Notify>>,
) {
    let metrics = Arc::clone(metrics);
    hyper::ext::on_informational(request, move |response| {
        match (response.status(), &go_ahead) {
            (StatusCode::CONTINUE, Some(go_ahead)) => go_ahead.notify_one(),
            (StatusCode::CONTINUE, None) => {}
            _ => metrics.informational.inc(),
        }
    });
}

/// One request that waits for the head of an answer.
struct Waiting<'m>(&'m Metrics);

impl<'m> Waiting<'m> {
    fn enter(metrics: &'m Metrics, most: usize) -> Result<Self, ForwardError> {
        metrics.node_waiting.inc();
        let waiting = Self(metrics);
        if metrics.node_waiting.get() > i64::try_from(most).unwrap_or(i64::MAX) {
            return Err(ForwardError::TooManyWaiting);
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.node_waiting.dec();
    }
}
