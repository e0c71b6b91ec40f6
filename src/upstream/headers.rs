//! What changes in the headers between a client and Node (RFC 9110 §7.6): hop-by-hop fields are dropped both ways, what a
//! client says of itself in the name of a proxy is dropped, and a `Location` that names Node's own address is made public.
//! What the proxy says of its client is in `hop`.

use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, TE};

use crate::upstream::Target;

/// Says who answered, when `side_header` is on. Never believed when a client sends it.
pub(crate) const SIDE: HeaderName = HeaderName::from_static("x-strangler-side");

/// Drops the fields that concern one connection only, and those that `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // To look at each name costs less than to search for each of these.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    let mut takes_trailers = false;
    while let Some(name) = headers.keys().find(|name| is_hop_by_hop(name)).cloned() {
        let value = headers.remove(&name);
        takes_trailers |= name == TE && value.is_some_and(|te| names_trailers(&te));
    }
    // `TE: trailers` says that the client can take trailers, which pass through the proxy.
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Few names begin so, and this is asked of each name of each message.
    let may_be = matches!(
        name.as_bytes().first(),
        Some(b'c' | b'k' | b'p' | b't' | b'u')
    );
    may_be
        && matches!(
            name,
            "connection"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "te"
                | "transfer-encoding"
                | "upgrade"
        )
}

fn names_trailers(te: &HeaderValue) -> bool {
    let mut codings = te.as_bytes().split(|byte| *byte == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// What `Connection` names beside the usual options, as far as that may be dropped.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    const USUAL: [&[u8]; 3] = [b"keep-alive", b"close", b"upgrade"];
    let is_usual = |option: &&[u8]| USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(option));
    let lines = headers.get_all(CONNECTION).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|option| !is_usual(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| headers.contains_key(name) && !belongs_to_message(name.as_str()))
        .collect()
}

/// Whether a field is meant for the far end. `Connection` must not name it (RFC 9110 §7.6.1), and a client that does so
/// would hide from Node what a check there relies on. Of names that are in no registry, those stay that sound like it.
fn belongs_to_message(name: &str) -> bool {
    const FAMILIES: [&str; 10] = [
        "accept",
        "access-control-",
        "alt-",
        "content-",
        "cross-origin-",
        "if-",
        "sec-",
        "want-",
        "x-content-",
        "x-http-",
    ];
    const FIELDS: &str = "\
        a-im age allow baggage cache-control cdn-loop clear-site-data cookie date depth destination \
        device-memory digest dnt dpop dpr early-data etag expect expires forwarded from host if \
        last-event-id last-modified link location lock-token max-forwards mime-version nel overwrite \
        permissions-policy ping-from ping-to pragma prefer preference-applied priority range referer \
        referrer-policy refresh report-to reporting-endpoints retry-after save-data server server-timing \
        service-worker set-cookie soapaction sourcemap strict-transport-security te timeout \
        timing-allow-origin traceparent tracestate trailer translate upgrade-insecure-requests vary via \
        viewport-width warning www-authenticate x-correlation-id x-frame-options x-method-override \
        x-powered-by x-real-ip x-request-id x-requested-with x-robots-tag x-strangler-side x-xss-protection";
    const WORDS: [&str; 9] = [
        "auth",
        "csrf",
        "key",
        "origin",
        "session",
        "signature",
        "token",
        "user",
        "xsrf",
    ];
    FAMILIES.iter().any(|family| name.starts_with(family))
        || FIELDS.split(' ').any(|field| field == name)
        || WORDS.iter().any(|word| name.contains(word))
        || names_client(name)
}

/// Drops what names a client or a hop before this one, unless a trusted proxy says it. Spellings with `_`, which some
/// servers read as `-`, are dropped always.
pub(super) fn drop_claims(headers: &mut HeaderMap, is_trusted: bool) {
    let is_dropped = |name: &&HeaderName| {
        let name = name.as_str();
        if name.contains('_') {
            let plain = name.replace('_', "-");
            return names_client(&plain) || plain == SIDE.as_str();
        }
        !is_trusted && names_client(name)
    };
    // Nearly no request has such a name, so the common case allocates nothing.
    while let Some(name) = headers.keys().find(is_dropped).cloned() {
        headers.remove(name);
    }
}

/// Fields in which proxies and content networks say who the client is: those that the package `request-ip` believes, and
/// their relatives.
fn names_client(name: &str) -> bool {
    const FIELDS: [&str; 20] = [
        "cf-connecting-ip",
        "cf-connecting-ipv6",
        "cf-pseudo-ipv4",
        "client-ip",
        "cloudfront-viewer-address",
        "fastly-client-ip",
        "fly-client-ip",
        "forwarded",
        "forwarded-for",
        "forwarded-for-ip",
        "http-client-ip",
        "http-forwarded",
        "http-forwarded-for",
        "true-client-ip",
        "x-appengine-user-ip",
        "x-azure-clientip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-real-ip",
    ];
    // Few names begin so, and this is asked of each name of each request.
    matches!(
        name.as_bytes().first(),
        Some(b'c' | b'f' | b'h' | b't' | b'x')
    ) && (name.starts_with("x-forwarded") || FIELDS.contains(&name))
}

/// Rewrites an absolute `Location` that names Node's own address to the address that the client used.
pub(crate) fn publish_location(headers: &mut HeaderMap, target: &Target, host: &HeaderValue) {
    let Some(location) = headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
    else {
        return;
    };
    let Some(rest) = target
        .origins
        .iter()
        .find_map(|origin| strip_prefix_ignoring_case(location, origin))
    else {
        return;
    };
    if !rest.is_empty() && !rest.starts_with(['/', '?', '#']) {
        return;
    }
    let public = [b"https://", host.as_bytes(), rest.as_bytes()].concat();
    if let Ok(public) = HeaderValue::from_bytes(&public) {
        headers.insert(LOCATION, public);
    }
}

fn strip_prefix_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Joins the `cookie` lines that HTTP/2 may split (RFC 9113 §8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let cookies = headers.get_all(http::header::COOKIE);
    if cookies.iter().nth(1).is_none() {
        return;
    }
    let line = cookies
        .iter()
        .map(HeaderValue::as_bytes)
        .collect::<Vec<_>>()
        .join(&b"; "[..]);
    headers.insert(
        http::header::COOKIE,
        HeaderValue::from_bytes(&line).expect("joined from valid values"),
    );
}

/// The one valid `Host` of a request.
#[must_use]
pub(crate) fn host(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?;
    (hosts.next().is_none() && is_host(host)).then_some(host)
}

/// `uri-host [":" port]` (RFC 9110 §7.2), without user information.
fn is_host(value: &HeaderValue) -> bool {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte);
    !value.is_empty() && value.as_bytes().iter().all(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn left(lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = headers(lines);
        strip_hop_by_hop(&mut map);
        let mut left: Vec<String> = map.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn connection_cannot_strip_what_belongs_to_the_message() {
        let mut map = headers(&[
            (
                "connection",
                "X-Forwarded-For, Host, Cookie, Authorization, x-private",
            ),
            ("host", "a"),
            ("cookie", "a=1"),
            ("authorization", "Bearer x"),
            ("x-private", "1"),
            ("te", "gzip, trailers"),
        ]);
        strip_hop_by_hop(&mut map);
        let left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(left.len(), 4, "{left:?}");
        assert_eq!(map[TE], "trailers");
        assert!(
            map.contains_key("host")
                && map.contains_key("cookie")
                && map.contains_key("authorization")
        );
    }

    /// Issue 9: `Connection: Origin` removed `Origin`, on which a check of Node's may rely.
    #[test]
    fn connection_cannot_strip_what_node_relies_on() {
        for name in [
            "origin",
            "referer",
            "user-agent",
            "accept-language",
            "content-encoding",
            "if-match",
            "range",
            "expect",
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-real-ip",
            "cf-connecting-ip",
            "sec-fetch-site",
            "sec-websocket-key",
            "access-control-request-method",
            "x-requested-with",
            "x-csrf-token",
            "x-xsrf-token",
            "x-api-key",
            "x-auth-user",
            "idempotency-key",
            "set-cookie",
            "www-authenticate",
            "strict-transport-security",
            "content-security-policy",
        ] {
            for connection in [
                name.to_uppercase(),
                format!("close, \t{name} ,x-b"),
                format!("\u{e9},{name}"),
            ] {
                let mut map = headers(&[("x-b", "1"), ("keep-alive", "timeout=5")]);
                map.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
                let connection = HeaderValue::from_bytes(connection.as_bytes()).expect("value");
                map.append(CONNECTION, connection);
                map.append(CONNECTION, HeaderValue::from_static("X-B"));
                strip_hop_by_hop(&mut map);
                let left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
                assert_eq!(left, [name]);
            }
        }
    }

    #[test]
    fn hop_by_hop_fields_are_dropped() {
        let none: [&str; 0] = [];
        let dropped = [
            ("connection", "close, x-a"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-a", "1"),
        ];
        assert_eq!(left(&dropped), none);
        assert_eq!(left(&[("te", "trailers;q=0.5")]), none);
        assert_eq!(
            left(&[("te", "deflate, Trailers"), ("a", "b")]),
            ["a", "te"]
        );
    }
}
