//! Answers as Express 4 gives them, for handlers that are otherwise plain axum: [`Json`] prints what `res.json` prints,
//! and [`send`] adds what `res.send` adds. Both are held to Express 4.22 by `tests/it`.
//!
//! An application behind helmet uses [`send_nameless`].

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};
use sha1::{Digest, Sha1};

const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

/// Integers up to this one are printed exactly by JavaScript (`Number.MAX_SAFE_INTEGER`).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A body as `res.json` writes it: the text of `JSON.stringify`, with its charset.
///
/// Unlike `axum::Json`, `36.0` becomes `36`, and integers beyond 2^53 are rounded as every JavaScript number is. Keys
/// come in the order of the fields. JavaScript would list keys that look like array indexes first; a map with such keys
/// has to be sorted by its owner.
///
/// ```
/// use axum::middleware::from_fn;
/// use axum::routing::get;
/// use strangler::express::{self, Json};
///
/// let router: axum::Router = axum::Router::new()
///     .route("/mean", get(|| async { Json(36.0) }))
///     .layer(from_fn(express::send));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match json_text(&self.0) {
            Ok(text) => {
                let json = HeaderValue::from_static("application/json; charset=utf-8");
                ([(CONTENT_TYPE, json)], text).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "an answer has no JSON form");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// The text of [`Json`] alone, for answers that are kept.
///
/// # Errors
/// Where the value has no JSON form: a map whose keys are no texts, or a `Serialize` that fails.
pub fn json_text<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::with_capacity(128);
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut text, Stringify,
    ))?;
    Ok(text)
}

/// What `res.send` adds, as a layer: `X-Powered-By`, `Content-Length`, a weak `ETag`, and 304 for a client that has the
/// answer already. Use it as `axum::middleware::from_fn(express::send)`.
///
/// A body whose size is not known beforehand is streamed, as `res.write` would, and one without a content type is
/// `res.end`: Express computes no `ETag` for either.
pub async fn send(request: Request, next: Next) -> Response {
    complete(request, next, Some(HeaderValue::from_static("Express"))).await
}

/// The same for an application that does not say what it runs on: helmet and `app.disable('x-powered-by')` see to that.
pub async fn send_nameless(request: Request, next: Next) -> Response {
    complete(request, next, None).await
}

async fn complete(request: Request, next: Next, name: Option<HeaderValue>) -> Response {
    let conditions = Conditions::of(&request);
    let head_only = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    if let Some(name) = name {
        response.headers_mut().entry(X_POWERED_BY).or_insert(name);
    }
    if response.status() == StatusCode::NO_CONTENT {
        return without_body(response);
    }
    if response.body().size_hint().exact().is_none()
        || !response.headers().contains_key(CONTENT_TYPE)
    {
        // Node does not know the size of what it does not send. Of the other answers to HEAD axum drops the body.
        if head_only {
            *response.body_mut() = Body::new(NoBody);
        }
        return response;
    }

    let (mut parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            tracing::error!(%error, "the body of an answer failed");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    parts
        .headers
        .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    parts
        .headers
        .entry(ETAG)
        .or_insert_with(|| weak_etag(&body));
    if conditions.are_met_by(parts.status, &parts.headers) {
        parts.status = StatusCode::NOT_MODIFIED;
        return without_body(Response::from_parts(parts, Body::empty()));
    }
    Response::from_parts(parts, Body::from(body))
}

/// A 204 or 304 as Node sends it.
fn without_body(mut response: Response) -> Response {
    for name in [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING] {
        response.headers_mut().remove(name);
    }
    *response.body_mut() = Body::new(NoBody);
    response
}

/// The tag that the `etag` package makes of a body: its size in hexadecimal, and 27 characters of its SHA-1.
fn weak_etag(body: &Bytes) -> HeaderValue {
    let hash = STANDARD_NO_PAD.encode(Sha1::digest(body));
    HeaderValue::try_from(format!("W/\"{:x}-{hash}\"", body.len()))
        .expect("hexadecimal and base64 are ASCII")
}

/// Without the size hint of 0 that would make axum add `Content-Length: 0`.
struct NoBody;

impl HttpBody for NoBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }
}

/// What a request says of the copy that the client has, as the `fresh` package reads it.
///
/// One difference: `If-Modified-Since` is compared with `Last-Modified` as text, so that a later date, which no client
/// has from the server, gets the whole answer.
struct Conditions {
    if_none_match: Option<Vec<u8>>,
    if_modified_since: Option<HeaderValue>,
}

impl Conditions {
    fn of(request: &Request) -> Self {
        let none = Self {
            if_none_match: None,
            if_modified_since: None,
        };
        let headers = request.headers();
        // Express has come to know the QUERY method, too.
        if !matches!(request.method().as_str(), "GET" | "HEAD" | "QUERY")
            || asks_for_reload(headers)
        {
            return none;
        }
        Self {
            if_none_match: joined(headers, &IF_NONE_MATCH).filter(|value| !value.is_empty()),
            if_modified_since: headers
                .get(IF_MODIFIED_SINCE)
                .filter(|value| !value.is_empty())
                .cloned(),
        }
    }

    fn are_met_by(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            return false;
        }
        let has_tag = self
            .if_none_match
            .as_ref()
            .map(|list| list == b"*" || contains(list, headers.get(ETAG)));
        let has_date = self
            .if_modified_since
            .as_ref()
            .map(|date| headers.get(LAST_MODIFIED) == Some(date));
        match (has_tag, has_date) {
            (None, None) => false,
            (tag, date) => tag.unwrap_or(true) && date.unwrap_or(true),
        }
    }
}

/// Whether `list` names `tag`; of the prefix `W/` one more or less makes no difference. `*` is no wildcard in a list.
fn contains(list: &[u8], tag: Option<&HeaderValue>) -> bool {
    let Some(tag) = tag.map(HeaderValue::as_bytes) else {
        return false;
    };
    list.split(|&byte| byte == b',')
        .map(|item| trim(item, |byte| byte == b' '))
        .any(|item| {
            item == tag
                || item.strip_prefix(b"W/") == Some(tag)
                || tag.strip_prefix(b"W/") == Some(item)
        })
}

/// Whether `Cache-Control` holds `no-cache`, in lower case and without a value. JavaScript takes the byte 0xA0 for
/// white space, since Node reads headers as Latin-1.
fn asks_for_reload(headers: &HeaderMap) -> bool {
    joined(headers, &CACHE_CONTROL).is_some_and(|value| {
        value
            .split(|&byte| byte == b',')
            .any(|item| trim(item, |byte| matches!(byte, b' ' | b'\t' | 0xa0)) == b"no-cache")
    })
}

fn trim(bytes: &[u8], blank: impl Fn(u8) -> bool) -> &[u8] {
    let Some(start) = bytes.iter().position(|&byte| !blank(byte)) else {
        return &[];
    };
    let end = bytes
        .iter()
        .rposition(|&byte| !blank(byte))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The lines of a header as Node joins them.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    (!lines.is_empty()).then(|| lines.join(b", ".as_slice()))
}

/// `serde_json` escapes text as `JSON.stringify` does; only numbers differ, of which JavaScript has one kind.
struct Stringify;

impl Formatter for Stringify {
    fn write_i64<W: ?Sized + Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        if value.unsigned_abs() <= MAX_SAFE_INTEGER {
            return CompactFormatter.write_i64(writer, value);
        }
        self.write_f64(writer, value as f64)
    }

    fn write_u64<W: ?Sized + Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value <= MAX_SAFE_INTEGER {
            return CompactFormatter.write_u64(writer, value);
        }
        self.write_f64(writer, value as f64)
    }

    fn write_f32<W: ?Sized + Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        self.write_f64(writer, f64::from(value))
    }

    /// Values that are not finite never come here: they are `null`. Rust's own shortest digits are not always those of
    /// JavaScript, which takes the even one of two that are equally close (233115890514796.12).
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let integer = value as i64;
        if integer.unsigned_abs() <= MAX_SAFE_INTEGER && integer as f64 == value {
            return CompactFormatter.write_i64(writer, integer);
        }
        writer.write_all(ryu_js::Buffer::new().format(value).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Router, middleware::from_fn};
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;

    fn text(value: impl Serialize) -> String {
        String::from_utf8(json_text(&value).expect("plain values")).expect("JSON is UTF-8")
    }

    async fn answer(
        response: impl IntoResponse + Clone + Send + Sync + 'static,
        request: http::request::Builder,
    ) -> Response {
        let router = Router::new()
            .route("/", get(|| async move { response }))
            .layer(from_fn(send));
        router
            .oneshot(request.uri("/").body(Body::empty()).expect("a request"))
            .await
            .expect("routers do not fail")
    }

    async fn status(request: http::request::Builder) -> StatusCode {
        answer(Json([1]), request).await.status()
    }

    fn request() -> http::request::Builder {
        Request::builder()
    }

    const TAG: &str = r#"W/"3-9imuRLez3P7URNNj5ibt9BHsaag""#;

    #[test]
    fn numbers_print_as_in_javascript() {
        let cases = [
            (36.0, "36"),
            (-0.0, "0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123456.789, "123456.789"),
            (233_115_890_514_796.0 + 0.125, "233115890514796.12"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.25e300, "-1.25e+300"),
            (5e-324, "5e-324"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ];
        for (number, expected) in cases {
            assert_eq!(text(number), expected);
        }
        assert_eq!(text(9_007_199_254_740_991_i64), "9007199254740991");
        assert_eq!(text(-9_007_199_254_740_993_i64), "-9007199254740992");
        assert_eq!(text(u64::MAX), "18446744073709552000");
        assert_eq!(
            text(json!({ "b": 1.0, "a": [2, 2.50] })),
            r#"{"b":1,"a":[2,2.5]}"#
        );
    }

    #[test]
    fn text_is_escaped_as_in_javascript() {
        let value = "\u{0}\u{8}\t\n\u{c}\r\u{1f}\"\\/\u{7f}\u{2028}𠮷";
        assert_eq!(
            text(value),
            "\"\\u0000\\b\\t\\n\\f\\r\\u001f\\\"\\\\/\u{7f}\u{2028}𠮷\""
        );
    }

    #[test]
    fn empty_bodies_have_the_tag_of_the_etag_package() {
        assert_eq!(
            weak_etag(&Bytes::new()),
            r#"W/"0-2jmj7l5rSw0yVb/vlWAYkK/YBwk""#
        );
    }

    #[tokio::test]
    async fn json_has_the_headers_of_express() {
        let response = answer(Json([1]), request()).await;
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], "application/json; charset=utf-8");
        assert_eq!(headers[CONTENT_LENGTH], "3");
        assert_eq!(headers[ETAG], TAG);
        assert_eq!(headers[X_POWERED_BY], "Express");
    }

    #[tokio::test]
    async fn an_application_need_not_say_what_it_runs_on() {
        let router = Router::new()
            .route("/", get(|| async { Json([1]) }))
            .layer(from_fn(send_nameless));
        let response = router.oneshot(Request::new(Body::empty())).await;
        let response = response.expect("routers do not fail");
        assert!(!response.headers().contains_key(X_POWERED_BY));
        assert_eq!(response.headers()[ETAG], TAG);
    }

    #[tokio::test]
    async fn a_known_tag_gives_304_without_body_and_its_headers() {
        let response = answer(Json([1]), request().header(IF_NONE_MATCH, TAG)).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], TAG);
        for name in [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING] {
            assert!(!response.headers().contains_key(name));
        }
    }

    #[tokio::test]
    async fn tags_are_compared_as_fresh_compares_them() {
        let met = [
            "*",
            TAG,
            &TAG[2..],
            &format!("\"a\" , {TAG}"),
            &format!("W/{TAG}"),
        ];
        for list in met {
            assert_eq!(
                status(request().header(IF_NONE_MATCH, list)).await,
                304,
                "{list}"
            );
        }
        let unmet = [
            "",
            "\"a\"",
            "*, \"a\"",
            "\"a\",*",
            &TAG.to_lowercase(),
            &format!("W/W/{TAG}"),
            &format!("\"a\",\t{TAG}"),
        ];
        for list in unmet {
            assert_eq!(
                status(request().header(IF_NONE_MATCH, list)).await,
                200,
                "{list}"
            );
        }
    }

    #[tokio::test]
    async fn a_reload_gets_the_whole_answer() {
        for (value, expected) in [
            ("no-cache", 200),
            ("max-age=0 ,\tno-cache ,x", 200),
            ("NO-CACHE", 304),
            ("no-cache=\"x\"", 304),
        ] {
            let request = request()
                .header(IF_NONE_MATCH, "*")
                .header(CACHE_CONTROL, value);
            assert_eq!(status(request).await, expected, "{value}");
        }
    }

    #[tokio::test]
    async fn an_error_is_never_304() {
        let response = answer(
            (StatusCode::NOT_FOUND, Json([1])),
            request().header(IF_NONE_MATCH, "*"),
        )
        .await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn dates_count_where_the_answer_has_one() {
        let date = "Sun, 22 Nov 2026 05:00:00 GMT";
        let dated = ([(LAST_MODIFIED, date)], Json([1]));
        assert_eq!(
            answer(dated, request().header(IF_MODIFIED_SINCE, date))
                .await
                .status(),
            304
        );
        assert_eq!(status(request().header(IF_MODIFIED_SINCE, date)).await, 200);
        assert_eq!(
            status(
                request()
                    .header(IF_MODIFIED_SINCE, date)
                    .header(IF_NONE_MATCH, TAG)
            )
            .await,
            200
        );
    }

    #[tokio::test]
    async fn streams_pass_without_a_tag() {
        let router = Router::new()
            .route(
                "/",
                get(|| async { ([(CONTENT_TYPE, "text/plain")], Body::new(NoBody)) }),
            )
            .layer(from_fn(send));
        let response = router
            .oneshot(Request::new(Body::empty()))
            .await
            .expect("routers do not fail");
        assert!(!response.headers().contains_key(ETAG));
        assert_eq!(response.headers()[X_POWERED_BY], "Express");
    }
}
