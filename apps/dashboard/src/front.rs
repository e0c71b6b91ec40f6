//! What stands before the endpoints, in the original's order: helmet, cors, the rate limiter, one more header, the body
//! parser; and behind them the 404 and the error handler. Names and values of the headers are the original's.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::answer::{Answer, Thrown};
use super::body::{self, Refused};
use super::iso::{iso_text, now};
use super::route::Endpoint;
use super::settings::{Environment, RateBy};
use super::{Dashboard, endpoints};
use strangler::{ClientInfo, Decline, Deliberate};

const HELMET: [(&str, &str); 12] = [
    (
        "content-security-policy",
        "default-src 'self';style-src 'self' 'unsafe-inline';script-src 'self';img-src 'self' data: blob:;\
         connect-src 'self' ws: wss:;font-src 'self';object-src 'none';media-src 'self';frame-src 'none';\
         base-uri 'self';form-action 'self';frame-ancestors 'self';script-src-attr 'none';upgrade-insecure-requests",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("origin-agent-cluster", "?1"),
    ("referrer-policy", "same-origin"),
    (
        "strict-transport-security",
        "max-age=31536000; includeSubDomains; preload",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-dns-prefetch-control", "off"),
    ("x-download-options", "noopen"),
    ("x-frame-options", "DENY"),
    ("x-permitted-cross-domain-policies", "none"),
    ("x-xss-protection", "0"),
];

const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Answers every request of the application.
pub(super) async fn serve(
    State(dashboard): State<Dashboard>,
    client: Option<Extension<ClientInfo>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut headers = HeaderMap::with_capacity(24);
    for (name, value) in HELMET {
        put(&mut headers, HeaderName::from_static(name), value);
    }

    let origin = Origin::of(&parts.headers, &dashboard.settings.origins);
    match origin {
        Origin::Refused => {
            let thrown = Thrown::new("CORS policy violation");
            return dashboard.error(headers, thrown);
        }
        Origin::Allowed(origin) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        Origin::Unsaid => {}
    }
    put(&mut headers, VARY, "Origin");
    put(&mut headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    if parts.method == Method::OPTIONS {
        return preflight(headers);
    }

    let client = match dashboard.settings.rate_by {
        RateBy::Address => client.map(|Extension(client)| client.address),
        RateBy::All => None,
    };
    let Some(remaining) = dashboard.limiter.admit(client) else {
        return dashboard.too_many(headers);
    };
    headers.insert(RATE_LIMIT, dashboard.limiter.limit().into());
    headers.insert(RATE_REMAINING, remaining.into());
    let reset = now() + dashboard.limiter.window().as_millis() as f64;
    if let Some(Ok(reset)) = iso_text(reset).map(HeaderValue::try_from) {
        headers.insert(RATE_RESET, reset);
    }
    put(
        &mut headers,
        PERMISSIONS_POLICY,
        "geolocation=(), microphone=(), camera=()",
    );

    match body::check(&parts.headers, body).await {
        Ok(()) => {}
        Err(Refused::Thrown(thrown)) => return dashboard.error(headers, thrown),
        Err(Refused::NoJson) if dashboard.settings.environment != Environment::Development => {
            let thrown = Thrown {
                status: StatusCode::BAD_REQUEST,
                message: "the body is no JSON".to_owned(),
            };
            return dashboard.error(headers, thrown);
        }
        Err(Refused::NoJson | Refused::Unknown) => return Decline.into_response(),
    }

    let is_get = matches!(parts.method, Method::GET | Method::HEAD);
    let answer = match Endpoint::of(parts.uri.path()) {
        Ok(Some(endpoint)) if is_get => {
            endpoints::answer(&dashboard, endpoint, parts.uri.query()).await
        }
        Ok(_) => no_such_resource(),
        Err(thrown) => thrown.into(),
    };
    dashboard.respond(headers, answer)
}

impl Dashboard {
    fn respond(&self, headers: HeaderMap, answer: Answer) -> Response {
        match answer {
            Answer::Json(status, body) => respond(headers, status, body),
            Answer::Thrown(thrown) => self.error(headers, thrown),
            Answer::Failed(answer) => {
                let mut response = self.respond(headers, *answer);
                response.extensions_mut().remove::<Deliberate>();
                response
            }
        }
    }

    /// What the error handler answers.
    fn error(&self, headers: HeaderMap, Thrown { status, message }: Thrown) -> Response {
        tracing::debug!(%status, error = message, "the dashboard could not answer");
        let message = match self.settings.environment {
            Environment::Development => message.as_str(),
            Environment::Production | Environment::Unset => "An error occurred",
        };
        match Answer::error(status, "Internal server error", message) {
            Answer::Json(status, body) => respond(headers, status, body),
            Answer::Thrown(_) | Answer::Failed(_) => {
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    fn too_many(&self, headers: HeaderMap) -> Response {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            error: &'static str,
            message: &'static str,
            retry_after: u64,
        }
        let window = self.limiter.window();
        let answer = Answer::with_status(
            StatusCode::TOO_MANY_REQUESTS,
            &Body {
                error: "Too Many Requests",
                message: "Rate limit exceeded. Please try again later.",
                retry_after: window.as_secs() + u64::from(window.subsec_nanos() > 0),
            },
        );
        self.respond(headers, answer)
    }
}

/// What the `Origin` of a request says. Several are one that nobody has, as Node joins them.
enum Origin<'r> {
    Unsaid,
    Allowed(&'r HeaderValue),
    Refused,
}

impl<'r> Origin<'r> {
    fn of(headers: &'r HeaderMap, allowed: &[String]) -> Self {
        let mut lines = headers.get_all(ORIGIN).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::Unsaid,
            (Some(origin), None) if origin.is_empty() => Self::Unsaid,
            (Some(origin), None) if allowed.iter().any(|known| origin == known) => {
                Self::Allowed(origin)
            }
            _ => Self::Refused,
        }
    }
}

/// The original adds `Content-Length: 0`, which hyper does not write with a 204, since RFC 9110 forbids it.
fn preflight(mut headers: HeaderMap) -> Response {
    put(
        &mut headers,
        ACCESS_CONTROL_ALLOW_METHODS,
        "GET,POST,PUT,DELETE,OPTIONS",
    );
    put(
        &mut headers,
        ACCESS_CONTROL_ALLOW_HEADERS,
        "Content-Type,Authorization,X-Requested-With",
    );
    put(&mut headers, ACCESS_CONTROL_MAX_AGE, "86400");
    let mut response = StatusCode::NO_CONTENT.into_response();
    *response.headers_mut() = headers;
    response
}

fn no_such_resource() -> Answer {
    Answer::Json(
        StatusCode::NOT_FOUND,
        Bytes::from_static(br#"{"error":"Resource not found"}"#),
    )
}

fn respond(mut headers: HeaderMap, status: StatusCode, body: Bytes) -> Response {
    put(
        &mut headers,
        CONTENT_TYPE,
        "application/json; charset=utf-8",
    );
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(Deliberate);
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
