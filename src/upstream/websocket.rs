//! Opens a WebSocket to Node on behalf of a client (RFC 6455 §4.1), on a connection of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ring::rand::{SecureRandom, SystemRandom};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::debug;

use crate::upstream::Target;
use crate::upstream::connect::{NodeStream, connect};
use crate::upstream::forward::{ForwardError, settle_framing};

/// Bytes of the body of a refusal that are passed on.
const REFUSAL: usize = 1024 * 1024;

/// The answer to the handshake.
#[derive(Debug)]
pub(crate) enum Opened<S> {
    /// The stream, what came on it right behind the head, and the 101 without the headers of the handshake.
    Open(S, Bytes, Response<()>),
    /// Any other answer.
    Refused(Response<Bytes>),
}

/// Asks Node for a WebSocket. `request` has the target and the headers of the client; those of the handshake are set
/// here.
///
/// # Errors
/// When Node cannot be reached, hangs, or grants something else.
pub(crate) async fn open_websocket(
    target: &Target,
    request: Request<()>,
) -> Result<Opened<NodeStream>, ForwardError> {
    let stream = connect(target).await.map_err(ForwardError::Connect)?;
    let limit = target.settings.response_timeout;
    timeout(limit, shake_hands(stream, request))
        .await
        .unwrap_or(Err(ForwardError::Timeout))
}

/// The same over a stream that is there already.
///
/// # Errors
/// When the far end breaks off or grants something else.
pub(crate) async fn shake_hands<S>(
    stream: S,
    mut request: Request<()>,
) -> Result<Opened<S>, ForwardError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let key = handshake_key();
    let headers = request.headers_mut();
    headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, key.clone());
    let broken = ForwardError::Broken;
    let (mut sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Ends with the answer: an upgrade takes the stream out of it.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "a connection to node ended");
        }
    });
    let request = request.map(|()| Empty::<Bytes>::new());
    let mut response = sender.send_request(request).await.map_err(broken)?;
    settle_framing(&mut response)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, REFUSAL).collect().await;
        // A refusal that is cut or too large says nothing that could be passed on.
        let body = body.map_err(|_| ForwardError::WrongUpgrade)?.to_bytes();
        return Ok(Opened::Refused(Response::from_parts(parts, body)));
    }
    let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none_or(|accept| accept.as_bytes() != accept_for(&key).as_bytes()) {
        return Err(ForwardError::WrongUpgrade);
    }
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(broken)?;
    let parts = upgraded
        .downcast::<TokioIo<S>>()
        .map_err(|_| ForwardError::WrongUpgrade)?;
    let mut response = response.map(drop);
    for name in [
        CONNECTION,
        UPGRADE,
        SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_EXTENSIONS,
    ] {
        response.headers_mut().remove(name);
    }
    Ok(Opened::Open(
        parts.io.into_inner(),
        parts.read_buf,
        response,
    ))
}

fn handshake_key() -> HeaderValue {
    let mut bytes = [0; 16];
    // A key need not be secret, only fresh for caches (RFC 6455 §10.3); without random bytes it is a constant.
    let _ = SystemRandom::new().fill(&mut bytes);
    HeaderValue::try_from(STANDARD.encode(bytes)).expect("base64 is ASCII")
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2).
pub(crate) fn accept_for(key: &HeaderValue) -> String {
    let digest = Sha1::new()
        .chain_update(key.as_bytes())
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    STANDARD.encode(digest)
}
