//! What changes in the headers between a client and Node (RFC 9110 §7.6, RFC 7239): hop-by-hop fields are dropped both
//! ways, the forwarding fields are rebuilt, and a `Location` that names Node's own address is made public.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use http::header::{
    CONNECTION, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use ipnet::IpNet;

use crate::upstream::Target;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Says who answered, when `side_header` is on. Never believed when a client sends it.
pub(crate) const SIDE: HeaderName = HeaderName::from_static("x-strangler-side");

/// Drops the fields that concern one connection only, and those that `Connection` names. Names that the proxy sets
/// itself, or that belong to the message, are not dropped on a client's demand.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|token| HeaderName::try_from(token.trim()).ok())
            .filter(|name| !belongs_to_message(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
    ] {
        headers.remove(name);
    }
    // `TE: trailers` says that the client can take trailers, which pass through the proxy.
    if let Some(te) = headers.remove(TE)
        && te.to_str().is_ok_and(|te| {
            te.split(',')
                .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        })
    {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn belongs_to_message(name: &HeaderName) -> bool {
    const KEPT: [&str; 7] = [
        "host",
        "cookie",
        "authorization",
        "content-length",
        "content-type",
        "forwarded",
        "te",
    ];
    KEPT.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-")
}

/// One client connection, as the forwarding fields describe it.
#[derive(Debug)]
pub(crate) struct Hop {
    peer: IpAddr,
    for_value: HeaderValue,
    port: HeaderValue,
    /// The last `Host` and the `Forwarded` made of it: clients rarely change it on one connection.
    forwarded: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl Hop {
    /// `peer` connected to the proxy's `local` address.
    #[must_use]
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        let peer = peer.ip().to_canonical();
        let text =
            |text: String| HeaderValue::try_from(text).expect("addresses and ports are ASCII");
        Self {
            peer,
            for_value: text(peer.to_string()),
            port: text(local.port().to_string()),
            forwarded: Mutex::new(None),
        }
    }

    /// The client's address: the peer's, or behind trusted proxies the last one in `X-Forwarded-For` that is none of
    /// them.
    #[must_use]
    pub(crate) fn client(&self, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
        if !self.is_trusted(trusted) {
            return self.peer;
        }
        let mut address = self.peer;
        let lines: Vec<&str> = headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .collect();
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Ok(entry) = entry.trim().parse::<IpAddr>() else {
                break;
            };
            address = entry.to_canonical();
            if !trusted.iter().any(|net| net.contains(&address)) {
                break;
            }
        }
        address
    }

    fn is_trusted(&self, trusted: &[IpNet]) -> bool {
        trusted.iter().any(|net| net.contains(&self.peer))
    }

    /// Sets `X-Forwarded-*`, `Forwarded` and `Via`. What the client sent of them is dropped unless it is trusted;
    /// spellings with `_`, which some servers read as `-`, are dropped always.
    pub(crate) fn describe(&self, headers: &mut HeaderMap, host: &HeaderValue, trusted: &[IpNet]) {
        drop_underscored(headers);
        headers.remove(SIDE);
        let forwarded = self.forwarded(host);
        if self.is_trusted(trusted) {
            append(headers, X_FORWARDED_FOR, &self.for_value);
            append(headers, FORWARDED, &forwarded);
            headers
                .entry(X_FORWARDED_HOST)
                .or_insert_with(|| host.clone());
            headers
                .entry(X_FORWARDED_PORT)
                .or_insert_with(|| self.port.clone());
            headers
                .entry(X_FORWARDED_PROTO)
                .or_insert_with(|| HeaderValue::from_static("https"));
        } else {
            headers.insert(X_FORWARDED_FOR, self.for_value.clone());
            headers.insert(FORWARDED, forwarded);
            headers.insert(X_FORWARDED_HOST, host.clone());
            headers.insert(X_FORWARDED_PORT, self.port.clone());
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
        }
        append(headers, VIA, &HeaderValue::from_static("1.1 strangler"));
    }

    /// The `Forwarded` element of this connection (RFC 7239 §4), for a `Host` that is valid.
    fn forwarded(&self, host: &HeaderValue) -> HeaderValue {
        let mut cached = self
            .forwarded
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((known, value)) = &*cached
            && known == host
        {
            return value.clone();
        }
        let client = match self.peer {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let name = host.to_str().unwrap_or_default();
        let value = HeaderValue::try_from(format!("for={client};host=\"{name}\";proto=https"))
            .expect("a valid host has no character that a header cannot carry");
        // A clone would keep the buffer that the head of the request was read into, for as long as the connection lives.
        *cached = HeaderValue::from_bytes(host.as_bytes())
            .ok()
            .map(|host| (host, value.clone()));
        value
    }
}

/// Appends to a list field, as one line.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    let Some(first) = headers.get(&name) else {
        headers.insert(name, value.clone());
        return;
    };
    let mut line = first.as_bytes().to_vec();
    for more in headers.get_all(&name).iter().skip(1).chain([value]) {
        line.extend_from_slice(b", ");
        line.extend_from_slice(more.as_bytes());
    }
    headers.insert(
        name,
        HeaderValue::from_bytes(&line).expect("joined from valid values"),
    );
}

fn drop_underscored(headers: &mut HeaderMap) {
    let forwarding = |name: &HeaderName| {
        let name = name.as_str();
        name.contains('_') && {
            let name = name.replace('_', "-");
            name.starts_with("x-forwarded-") || name == "x-strangler-side"
        }
    };
    // Nearly no request has such a name, so the common case allocates nothing.
    while let Some(name) = headers.keys().find(|name| forwarding(name)).cloned() {
        headers.remove(name);
    }
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

    fn hop() -> Hop {
        Hop::new(
            "172.18.21.102:50000".parse().expect("address"),
            "10.0.0.1:3050".parse().expect("address"),
        )
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

    #[test]
    fn spoofed_forwarding_fields_are_replaced() {
        let mut map = headers(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-strangler-side", "native"),
        ]);
        hop().describe(
            &mut map,
            &HeaderValue::from_static("card.example:3050"),
            &[],
        );
        assert_eq!(map["x-forwarded-for"], "172.18.21.102");
        assert_eq!(
            map["forwarded"],
            "for=172.18.21.102;host=\"card.example:3050\";proto=https"
        );
        assert_eq!(map["x-forwarded-port"], "3050");
        assert!(!map.contains_key("x_forwarded_for") && !map.contains_key("x-strangler-side"));
    }

    #[test]
    fn trusted_proxies_are_believed_from_the_right() {
        let trusted = [
            "172.18.0.0/16".parse().expect("net"),
            "10.9.0.0/16".parse().expect("net"),
        ];
        let mut map = headers(&[("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.9.0.1")]);
        assert_eq!(hop().client(&map, &trusted).to_string(), "203.0.113.9");
        assert_eq!(hop().client(&map, &[]).to_string(), "172.18.21.102");
        hop().describe(&mut map, &HeaderValue::from_static("h"), &trusted);
        assert_eq!(
            map["x-forwarded-for"],
            "6.6.6.6, 203.0.113.9, 10.9.0.1, 172.18.21.102"
        );
    }
}
