//! One client connection as the headers of its requests describe it: `X-Forwarded-*`, `Forwarded` (RFC 7239),
//! `X-Real-IP` and `Via`. What a client says of itself in such fields is believed only if it is a trusted proxy.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, VIA};
use ipnet::IpNet;
use memchr::memmem;

use crate::upstream::forwarded::{self, X_FORWARDED_FOR};
use crate::upstream::headers::{SIDE, drop_claims};

pub(crate) use crate::upstream::forwarded::Origin;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// How often a request may come back to this process: an application may ask its own public address, a circle never ends.
const MAX_PASSES: usize = 3;

/// The name of this process in `Via` (RFC 9110 §7.6.3). Nobody can guess it, so only requests that really passed here
/// carry it.
#[derive(Debug, Clone)]
pub(crate) struct ViaName(HeaderValue);

impl ViaName {
    /// A new name.
    #[must_use]
    pub(crate) fn new() -> Self {
        // The keys of a hasher come from the operating system's random numbers.
        let token = RandomState::new().build_hasher().finish();
        let entry = HeaderValue::try_from(format!("1.1 strangler-{token:016x}"));
        Self(entry.expect("letters and digits"))
    }

    fn is_loop(&self, headers: &HeaderMap) -> bool {
        let Some(first) = headers.get(VIA) else {
            return false;
        };
        let name = &self.0.as_bytes()[b"1.1 ".len()..];
        let passes = |line: &HeaderValue| memmem::find_iter(line.as_bytes(), name).count();
        let more = headers.get_all(VIA).iter().skip(1);
        passes(first) + more.map(passes).sum::<usize>() >= MAX_PASSES
    }
}

/// One client connection, as the forwarding fields describe it.
#[derive(Debug)]
pub(crate) struct Hop {
    peer: IpAddr,
    for_value: HeaderValue,
    port: HeaderValue,
    via: ViaName,
    /// The last `Host` and the `Forwarded` made of it: clients rarely change it on one connection.
    forwarded: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl Hop {
    /// `peer` connected to the proxy's `local` address.
    #[must_use]
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, via: &ViaName) -> Self {
        let peer = peer.ip().to_canonical();
        Self {
            peer,
            for_value: text(&peer),
            port: text(&local.port()),
            via: via.clone(),
            forwarded: Mutex::new(None),
        }
    }

    /// Whether a request runs in a circle that leads through here.
    #[must_use]
    pub(crate) fn is_loop(&self, headers: &HeaderMap) -> bool {
        self.via.is_loop(headers)
    }

    /// Who sent a request: the peer, or behind trusted proxies the last hop that is none of them.
    #[must_use]
    pub(crate) fn origin(&self, headers: &HeaderMap, trusted: &[IpNet]) -> Origin {
        forwarded::origin(self.peer, headers, trusted)
    }

    /// Sets `X-Forwarded-*`, `Forwarded`, `X-Real-IP` and `Via`. What the client sent of them, and of other fields that
    /// name a client, is dropped unless it is trusted; spellings with `_`, which some servers read as `-`, are dropped
    /// always.
    pub(crate) fn describe(&self, headers: &mut HeaderMap, host: &HeaderValue, trusted: &[IpNet]) {
        let is_trusted = forwarded::is_trusted(self.peer, trusted);
        drop_claims(headers, is_trusted);
        headers.remove(SIDE);
        let forwarded = self.forwarded(host);
        if is_trusted {
            self.describe_behind_proxy(headers, host, &forwarded, trusted);
        } else {
            headers.insert(X_FORWARDED_FOR, self.for_value.clone());
            headers.insert(FORWARDED, forwarded);
            headers.insert(X_FORWARDED_HOST, host.clone());
            headers.insert(X_FORWARDED_PORT, self.port.clone());
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
            headers.insert(X_REAL_IP, self.for_value.clone());
        }
        append(headers, VIA, &self.via.0);
    }

    /// Goes on with what the proxies before this one wrote. If they wrote only one of the two lists of addresses, the
    /// other is made of it: beside a list that lacks them, Node would take the last proxy for the client.
    fn describe_behind_proxy(
        &self,
        headers: &mut HeaderMap,
        host: &HeaderValue,
        forwarded: &HeaderValue,
        trusted: &[IpNet],
    ) {
        let address = self.origin(headers, trusted).address;
        let known = forwarded::hops(headers);
        if known.field == FORWARDED {
            append(headers, FORWARDED, forwarded);
            if !headers.contains_key(X_FORWARDED_FOR) {
                let list = list(&known.hops, |list, hop| match hop {
                    Some(address) => write!(list, "{address}, "),
                    None => write!(list, "unknown, "),
                });
                headers.extend(list.map(|list| (X_FORWARDED_FOR, list)));
            }
        } else {
            let list = list(&known.hops, |list, hop| match hop {
                Some(address) => write!(list, "for={}, ", node(*address)),
                None => write!(list, "for=unknown, "),
            });
            headers.remove(FORWARDED);
            headers.extend(list.map(|list| (FORWARDED, list)));
            append(headers, FORWARDED, forwarded);
        }
        append(headers, X_FORWARDED_FOR, &self.for_value);
        headers
            .entry(X_FORWARDED_HOST)
            .or_insert_with(|| host.clone());
        headers
            .entry(X_FORWARDED_PORT)
            .or_insert_with(|| self.port.clone());
        headers
            .entry(X_FORWARDED_PROTO)
            .or_insert_with(|| HeaderValue::from_static("https"));
        headers.insert(X_REAL_IP, text(&address));
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
        let client = node(self.peer);
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

fn text(value: &impl ToString) -> HeaderValue {
    HeaderValue::try_from(value.to_string()).expect("addresses and ports are ASCII")
}

/// An address as a node of RFC 7239 §6.
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

/// The hops in the order of a field, the farthest first; `None` without any.
fn list(
    hops: &[Option<IpAddr>],
    entry: impl Fn(&mut String, &Option<IpAddr>) -> std::fmt::Result,
) -> Option<HeaderValue> {
    let mut list = String::new();
    for hop in hops.iter().rev() {
        entry(&mut list, hop).expect("a string takes every text");
    }
    let list = list.strip_suffix(", ")?;
    HeaderValue::from_str(list).ok()
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
            &ViaName::new(),
        )
    }

    fn trusted() -> [IpNet; 2] {
        [
            "172.18.0.0/16".parse().expect("net"),
            "10.9.0.0/16".parse().expect("net"),
        ]
    }

    fn describe(lines: &[(&'static str, &'static str)], trusted: &[IpNet]) -> HeaderMap {
        let mut map = headers(lines);
        hop().describe(&mut map, &HeaderValue::from_static("h"), trusted);
        map
    }

    #[test]
    fn spoofed_forwarding_fields_are_replaced() {
        let map = describe(
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x_forwarded_for", "6.6.6.6"),
                ("forwarded", "for=6.6.6.6"),
                ("x-forwarded-prefix", "6.6.6.6"),
                ("x-real-ip", "6.6.6.6"),
                ("x_real-ip", "6.6.6.6"),
                ("cf-connecting-ip", "6.6.6.6"),
                ("cf_connecting_ip", "6.6.6.6"),
                ("true-client-ip", "6.6.6.6"),
                ("x-client-ip", "6.6.6.6"),
                ("x-cluster-client-ip", "6.6.6.6"),
                ("forwarded-for", "6.6.6.6"),
                ("x-strangler-side", "native"),
                ("x_strangler_side", "native"),
                ("x-client-id", "stays"),
                ("client_ip_of_a_printer", "stays"),
            ],
            &[],
        );
        assert_eq!(map["x-forwarded-for"], "172.18.21.102");
        assert_eq!(map["x-real-ip"], "172.18.21.102");
        assert_eq!(map["forwarded"], "for=172.18.21.102;host=\"h\";proto=https");
        assert_eq!(map["x-forwarded-port"], "3050");
        assert_eq!(map.values().filter(|value| *value == "stays").count(), 2);
        assert_eq!(map.len(), 9, "{map:?}");
    }

    #[test]
    fn trusted_proxies_are_believed_from_the_right() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.9.0.1"),
            ("x-real-ip", "6.6.6.6"),
            ("cf-connecting-ip", "203.0.113.9"),
            ("x_real_ip", "6.6.6.6"),
        ];
        let origin = |trusted: &[IpNet]| hop().origin(&headers(&lines), trusted).address;
        assert_eq!(origin(&trusted()).to_string(), "203.0.113.9");
        assert_eq!(origin(&[]).to_string(), "172.18.21.102");
        let map = describe(&lines, &trusted());
        assert_eq!(
            map["x-forwarded-for"],
            "6.6.6.6, 203.0.113.9, 10.9.0.1, 172.18.21.102"
        );
        assert_eq!(map["x-real-ip"], "203.0.113.9");
        assert_eq!(map["cf-connecting-ip"], "203.0.113.9");
        assert!(!map.contains_key("x_real_ip"));
    }

    #[test]
    fn both_lists_name_the_same_hops() {
        let own = "for=172.18.21.102;host=\"h\";proto=https";
        for (name, value, x_forwarded_for, forwarded) in [
            (
                "x-forwarded-for",
                "203.0.113.9:80, [2001:db8::9]:80, -, 10.9.0.1",
                "203.0.113.9:80, [2001:db8::9]:80, -, 10.9.0.1, 172.18.21.102",
                "for=203.0.113.9, for=\"[2001:db8::9]\", for=unknown, for=10.9.0.1, ",
            ),
            (
                "forwarded",
                "for=\"[2001:db8::9]:80\", for=_a;proto=http, for=10.9.0.1",
                "2001:db8::9, unknown, 10.9.0.1, 172.18.21.102",
                "for=\"[2001:db8::9]:80\", for=_a;proto=http, for=10.9.0.1, ",
            ),
            ("forwarded", "nonsense", "172.18.21.102", ""),
            ("accept", "*/*", "172.18.21.102", ""),
        ] {
            let map = describe(&[(name, value)], &trusted());
            assert_eq!(map["x-forwarded-for"], x_forwarded_for, "{value}");
            assert_eq!(map["forwarded"], format!("{forwarded}{own}"), "{value}");
        }
    }

    #[test]
    fn a_request_that_was_here_three_times_runs_in_a_circle() {
        let (own, other) = (ViaName::new(), ViaName::new());
        assert_ne!(own.0, other.0);
        let via = |lines: &[&HeaderValue]| -> HeaderMap {
            let lines = lines.iter().map(|line| (VIA, (*line).clone()));
            lines.collect()
        };
        let twice = HeaderValue::try_from(format!(
            "1.0 fred, {}, {} (strangler)",
            own.0.to_str().expect("text"),
            own.0.to_str().expect("text")
        ));
        let twice = twice.expect("value");
        assert!(!own.is_loop(&via(&[])));
        assert!(!own.is_loop(&via(&[&other.0, &other.0, &other.0])));
        assert!(!own.is_loop(&via(&[&twice, &other.0])));
        assert!(own.is_loop(&via(&[&twice, &other.0, &own.0])));
        assert!(own.is_loop(&via(&[&own.0, &own.0, &own.0])));
    }
}
