//! Turns what went wrong into an answer, once, here: a small JSON body with a stable `code`.

use std::error::Error;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::server::body::{Answer, BodyTooLarge, ClientBroke};
use crate::upstream::connect::ConnectError;
use crate::upstream::forward::ForwardError;

/// Why the proxy itself answers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// `Host` is missing, repeated, invalid, or not what the target says.
    #[error("the request needs exactly one valid Host")]
    BadHost,
    /// The rule says `native only`, and native does not answer.
    #[error("only native may answer this request, and it does not")]
    NativeOnly,
    /// A transfer coding other than `chunked`, or a length that is not one number.
    #[error("the body needs the transfer coding `chunked` or one length")]
    BadFraming,
    /// The request has been here before, several times.
    #[error("the request runs in a circle: Node's address leads back to this proxy")]
    Loop,
    /// CONNECT.
    #[error("this server is not a forward proxy")]
    Connect,
    /// The body is over `limits.body`.
    #[error("the request body is larger than the limit")]
    TooLarge,
    /// The client's body is not what it announced, or its end never came.
    #[error("the request body broke off or is malformed")]
    BadBody,
    /// Node gave no answer.
    #[error(transparent)]
    Node(ForwardError),
    /// Native took too long, and the request must not be repeated.
    #[error("the native handler did not answer in time")]
    NativeTimeout,
    /// Native panicked, and the request must not be repeated.
    #[error("the native handler panicked")]
    NativePanic,
    /// As many clients of a socket wait for Node as may.
    #[error("too many clients wait for node")]
    TooManyWaiting,
    /// Node broke off while it accepted a client.
    #[error("node broke off its handshake")]
    BrokenHandshake,
    /// The proxy stops.
    #[error("the proxy stops")]
    Stopping,
    /// Native declined, but the body is gone, or Node is.
    #[error("the native handler declined and node cannot be asked")]
    Declined,
}

impl Refusal {
    /// A failure of the connection to Node may be the fault of the body that it was to carry.
    pub(super) fn after(error: ForwardError) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            if cause.is::<BodyTooLarge>() {
                return Self::TooLarge;
            }
            if cause.is::<ClientBroke>() {
                return Self::BadBody;
            }
            source = cause.source();
        }
        Self::Node(error)
    }

    /// Status and stable code.
    fn describe(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadHost => (StatusCode::BAD_REQUEST, "bad-host"),
            Self::NativeOnly => (StatusCode::BAD_REQUEST, "native-only"),
            Self::BadFraming => (StatusCode::BAD_REQUEST, "bad-framing"),
            Self::Loop => (StatusCode::LOOP_DETECTED, "loop"),
            Self::Connect => (StatusCode::METHOD_NOT_ALLOWED, "connect-refused"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            Self::BadBody => (StatusCode::BAD_REQUEST, "bad-body"),
            Self::NativeTimeout => (StatusCode::GATEWAY_TIMEOUT, "native-timeout"),
            Self::NativePanic => (StatusCode::INTERNAL_SERVER_ERROR, "native-panic"),
            Self::TooManyWaiting => (StatusCode::SERVICE_UNAVAILABLE, "node-away"),
            Self::BrokenHandshake => (StatusCode::BAD_GATEWAY, "node-broken"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::Declined => (StatusCode::BAD_GATEWAY, "native-declined"),
            Self::Node(error) => match error {
                ForwardError::Timeout => (StatusCode::GATEWAY_TIMEOUT, "node-timeout"),
                ForwardError::Connect(ConnectError::Timeout) => {
                    (StatusCode::GATEWAY_TIMEOUT, "node-connect-timeout")
                }
                ForwardError::Connect(ConnectError::Tls(_)) => {
                    (StatusCode::BAD_GATEWAY, "node-untrusted")
                }
                ForwardError::Connect(ConnectError::Tcp(_)) => {
                    (StatusCode::BAD_GATEWAY, "node-unreachable")
                }
                ForwardError::TooManyWaiting | ForwardError::NoPlace(_) => {
                    (StatusCode::SERVICE_UNAVAILABLE, "node-busy")
                }
                ForwardError::Broken(_)
                | ForwardError::TwoFramings
                | ForwardError::BadLength
                | ForwardError::WrongUpgrade => (StatusCode::BAD_GATEWAY, "node-broken"),
            },
        }
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.describe().1
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Answer> {
        let (status, code) = self.describe();
        let body = serde_json::json!({ "code": code, "message": self.to_string() }).to_string();
        let mut response = Response::new(Answer::Own(Some(Bytes::from(body))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
