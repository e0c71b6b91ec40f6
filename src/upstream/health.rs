//! Whether Node answers: a connection alone proves little, since the kernel accepts for a process that hangs.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::upstream::Target;
use crate::upstream::connect::{ConnectError, connect};

/// Why Node does not count as up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It accepted, and broke off or did not speak HTTP.
    #[error("node broke the connection")]
    Broken(#[from] hyper::Error),
    /// It accepted and said nothing.
    #[error("node did not answer in time")]
    Timeout,
}

/// Asks for `HEAD /` on a connection of its own; any answer will do. Takes `connect_timeout` twice at most.
///
/// # Errors
/// When none comes.
pub(crate) async fn answers(target: &Target) -> Result<(), HealthError> {
    let stream = connect(target).await?;
    let ask = async {
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::HEAD;
        let host = HeaderValue::try_from(target.settings.server_name.as_str());
        let host = host.unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        request.headers_mut().insert(HOST, host);
        tokio::select! {
            answer = sender.send_request(request) => answer.map(drop),
            ended = connection => ended,
        }
    };
    let answer = timeout(target.settings.connect_timeout, ask).await;
    answer
        .map_err(|_| HealthError::Timeout)?
        .map_err(HealthError::Broken)
}
