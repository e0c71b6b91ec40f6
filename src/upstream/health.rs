//! Whether Node answers: it is asked for the head of an answer. A connection alone proves little, since the kernel
//! accepts for a process that hangs, and container networks accept for one that is not there.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::upstream::Target;
use crate::upstream::connect::{ConnectError, NodeStream, connect};

/// Why Node does not count as up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It accepted, and closed.
    #[error("node closed the connection without an answer{0}")]
    Closed(Hint),
    /// It answered with something else than HTTP/1.
    #[error("node's answer is not http{0}")]
    NotHttp(Hint, #[source] hyper::Error),
    /// It accepted, and said nothing, or not enough.
    #[error(
        "node did not answer in time: it accepted the connection and gave no head of an answer within {0:?}"
    )]
    Timeout(Duration),
}

/// What an operator may have got wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint {
    https: bool,
}

impl std::fmt::Display for Hint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.https {
            return Ok(());
        }
        formatter.write_str("; `node.url` says `http`: does node speak TLS there?")
    }
}

/// Asks for the head of `health.path` on a connection of its own, within `health.timeout`; any status will do.
///
/// # Errors
/// When no answer comes.
pub(crate) async fn answers(target: &Target) -> Result<(), HealthError> {
    let limit = target.settings.health.timeout;
    let deadline = Instant::now() + limit;
    let connected = timeout_at(deadline, connect(target)).await;
    let stream = connected.unwrap_or(Err(ConnectError::Timeout))?;
    let answered = timeout_at(deadline, ask(target, stream)).await;
    let hint = Hint {
        https: target.settings.url.https,
    };
    match answered.map_err(|_| HealthError::Timeout(limit))? {
        Ok(()) => Ok(()),
        Err(error) if error.is_parse() => Err(HealthError::NotHttp(hint, error)),
        Err(_) => Err(HealthError::Closed(hint)),
    }
}

async fn ask(target: &Target, stream: NodeStream) -> hyper::Result<()> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::HEAD;
    let path = Uri::try_from(target.settings.health.path.as_str());
    *request.uri_mut() = path.unwrap_or_default();
    let host = HeaderValue::try_from(target.settings.server_name.as_str());
    let host = host.unwrap_or_else(|_| HeaderValue::from_static("localhost"));
    request.headers_mut().insert(HOST, host);
    let mut answer = std::pin::pin!(sender.send_request(request));
    tokio::select! {
        biased;
        answer = &mut answer => answer.map(drop),
        // It may have ended with the answer.
        ended = connection => {
            ended?;
            answer.await.map(drop)
        }
    }
}
