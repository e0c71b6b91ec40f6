//! Reads where a request came from: the addresses that trusted proxies wrote into `Forwarded` (RFC 7239) or
//! `X-Forwarded-For`. The last one is that of the nearest proxy; anybody may have written what stands left of it, so the
//! fields are read from the right, and a mistake on the left spoils nothing on the right.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client behind trusted proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Its address, or that of the last proxy whose address can be read.
    pub address: IpAddr,
    /// A trusted proxy named a hop that is no address, so the way ends there.
    pub unreadable: bool,
}

/// The hops that the proxies before this one name, the nearest first; `None` is one that is no address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hops {
    pub(super) field: HeaderName,
    pub(super) hops: Vec<Option<IpAddr>>,
}

/// Goes from `peer` to the left for as long as each hop is a trusted proxy.
pub(super) fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Origin {
    let mut origin = Origin {
        address: peer,
        unreadable: false,
    };
    if !is_trusted(peer, trusted) {
        return origin;
    }
    let field = field(headers);
    let mut hops = members(headers, &field).map(|member| hop(&field, member));
    while is_trusted(origin.address, trusted)
        && let Some(hop) = hops.next()
    {
        match hop {
            Some(address) => origin.address = address,
            None => {
                origin.unreadable = true;
                break;
            }
        }
    }
    origin
}

/// All hops of the field that counts.
pub(super) fn hops(headers: &HeaderMap) -> Hops {
    let field = field(headers);
    let hops = members(headers, &field).map(|member| hop(&field, member));
    Hops {
        hops: hops.collect(),
        field,
    }
}

pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// `Forwarded` counts if its last element, which the nearest proxy wrote, can be parsed and says for whom.
fn field(headers: &HeaderMap) -> HeaderName {
    match members(headers, &FORWARDED).next().map(forwarded_for) {
        Some(Some(_)) => FORWARDED,
        _ => X_FORWARDED_FOR,
    }
}

fn hop(field: &HeaderName, member: &[u8]) -> Option<IpAddr> {
    match *field {
        FORWARDED => address(&forwarded_for(member)?),
        _ => address(member),
    }
}

/// The members of a list field over all its lines, the last one first, without empty ones (RFC 9110 §5.6.1).
fn members<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(name).into_iter().rev();
    lines
        .flat_map(|line| Members(Some(HeaderValue::as_bytes(line))))
        .filter(|member| !member.is_empty())
}

/// Splits a line at its commas, from the right. A comma in quotes separates nothing.
struct Members<'l>(Option<&'l [u8]>);

impl<'l> Iterator for Members<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let line = self.0?;
        let mut quoted = false;
        for (at, byte) in line.iter().enumerate().rev() {
            match byte {
                b'"' if !is_escaped(line, at) => quoted = !quoted,
                b',' if !quoted => {
                    self.0 = Some(&line[..at]);
                    return Some(line[at + 1..].trim_ascii());
                }
                _ => {}
            }
        }
        self.0 = None;
        Some(line.trim_ascii())
    }
}

fn is_escaped(line: &[u8], at: usize) -> bool {
    let before = line[..at].iter().rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The `for` of an element of `Forwarded`: `None` if there is none, or if the element is malformed. Proxies often forget
/// the quotes around an address with a port, so they are not asked for.
fn forwarded_for(element: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(line) = rest {
        let mut quoted = false;
        let end = line.iter().enumerate().position(|(at, byte)| match byte {
            b'"' if !(quoted && is_escaped(line, at)) => {
                quoted = !quoted;
                false
            }
            b';' => !quoted,
            _ => false,
        });
        let pair = line[..end.unwrap_or(line.len())].trim_ascii();
        rest = end.map(|end| &line[end + 1..]);
        if quoted {
            return None;
        }
        if pair.is_empty() {
            continue;
        }
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], unquoted(&pair[equals + 1..])?);
        if name.is_empty() || !name.iter().all(is_token) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
    }
    found
}

fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// What a token or a quoted string says.
fn unquoted(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(inside) = value.strip_prefix(b"\"") else {
        let is_plain = |byte: &u8| is_token(byte) || b":[]".contains(byte);
        return (!value.is_empty() && value.iter().all(is_plain)).then_some(Cow::Borrowed(value));
    };
    let inside = inside.strip_suffix(b"\"")?;
    if !inside.contains(&b'\\') && !inside.contains(&b'"') {
        return Some(Cow::Borrowed(inside));
    }
    let mut text = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => text.push(*bytes.next()?),
            b'"' => return None,
            _ => text.push(*byte),
        }
    }
    Some(Cow::Owned(text))
}

/// An address as proxies write it: bare, in brackets, in quotes, with a port behind it, IPv4 as IPv6.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim_ascii();
    let text = match text.strip_prefix('"') {
        Some(inside) => inside.strip_suffix('"')?.trim_ascii(),
        None => text,
    };
    if let Some(inside) = text.strip_prefix('[') {
        let (host, port) = inside.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) if !is_port(port) => None,
            None if !port.is_empty() => None,
            _ => bare(host),
        };
    }
    bare(text).or_else(|| {
        // Of an IPv6 address without brackets the port can be told only if the address is complete without it.
        let (host, port) = text.rsplit_once(':')?;
        bare(host).filter(|_| is_port(port))
    })
}

/// Without the zone of a link-local address, which says nothing outside of the machine that wrote it.
fn bare(host: &str) -> Option<IpAddr> {
    let host = match host.split_once('%') {
        Some((host, zone)) if host.contains(':') && !zone.is_empty() => host,
        _ => host,
    };
    host.parse::<IpAddr>().ok().map(|host| host.to_canonical())
}

/// Digits, or a name that hides them (RFC 7239 §6).
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(name) => {
            let is_hidden = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !name.is_empty() && name.bytes().all(is_hidden)
        }
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> Vec<IpNet> {
        ["10.0.0.0/8", "fd00::/8"]
            .iter()
            .map(|net| net.parse().expect("net"))
            .collect()
    }

    /// The client as this peer, 10.0.0.1, names it; `!` stands for a hop that cannot be read.
    fn read(lines: &[(&'static str, &[u8])]) -> String {
        let lines = lines.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value).expect("value");
            (HeaderName::from_static(name), value)
        });
        let peer = "10.0.0.1".parse().expect("address");
        let origin = origin(peer, &lines.collect(), &trusted());
        let mark = if origin.unreadable { "!" } else { "" };
        format!("{mark}{}", origin.address)
    }

    fn forwarded_for_line(line: &str) -> String {
        read(&[("x-forwarded-for", line.as_bytes())])
    }

    fn forwarded_line(line: &str) -> String {
        read(&[("forwarded", line.as_bytes())])
    }

    #[test]
    fn an_address_has_many_notations() {
        for (text, address) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("203.0.113.9:_hidden", "203.0.113.9"),
            ("\"203.0.113.9:4711\"", "203.0.113.9"),
            ("2001:db8::9", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("[2001:db8::9]:4711", "2001:db8::9"),
            ("\"[2001:DB8::9]:4711\"", "2001:db8::9"),
            ("2001:db8:0:0:0:0:0:9:4711", "2001:db8::9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9:4711", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:4711", "203.0.113.9"),
            ("fe80::9%eth0", "fe80::9"),
            ("[fe80::9%25eth0]:4711", "fe80::9"),
            ("\t203.0.113.9 ", "203.0.113.9"),
        ] {
            assert_eq!(forwarded_for_line(text), address, "{text}");
        }
        for text in [
            "unknown",
            "_hidden",
            "203.0.113",
            "203.0.113.9:",
            "203.0.113.9:port",
            "203.0.113.9:123456",
            "203.0.113.9:1:2",
            "[2001:db8::9",
            "[2001:db8::9]4711",
            "[2001:db8::9]:",
            "\"203.0.113.9",
            "203.0.113.9 198.51.100.7",
            "010.0.0.1",
            "203.0.113.9%eth0",
            "localhost",
            "-",
        ] {
            assert_eq!(forwarded_for_line(text), "!10.0.0.1", "{text}");
        }
    }

    #[test]
    fn hops_are_read_from_the_right() {
        for (line, address) in [
            ("6.6.6.6, 203.0.113.9, 10.9.0.1", "203.0.113.9"),
            ("6.6.6.6,203.0.113.9:80,[fd00::1]:80", "203.0.113.9"),
            ("garbage, 203.0.113.9", "203.0.113.9"),
            ("\", 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, , 10.9.0.1,", "203.0.113.9"),
            ("203.0.113.9, garbage, 10.9.0.1", "!10.9.0.1"),
            ("203.0.113.9, unknown", "!10.0.0.1"),
            ("10.9.0.2, 10.9.0.1", "10.9.0.2"),
            ("", "10.0.0.1"),
            (" , ", "10.0.0.1"),
        ] {
            assert_eq!(forwarded_for_line(line), address, "{line}");
        }
        // A byte that is no text spoils its own hop only, and each line is read.
        for (lines, address) in [
            ([&b"6.6.6.6\xff"[..], b"203.0.113.9"], "203.0.113.9"),
            ([b"203.0.113.9", b"10.9.0.1"], "203.0.113.9"),
            ([b"203.0.113.9", b"10.9.0.1\xff"], "!10.0.0.1"),
            ([b"\xff, 203.0.113.9, 10.9.0.2", b"10.9.0.1"], "203.0.113.9"),
        ] {
            let lines = lines.map(|line| ("x-forwarded-for", line));
            assert_eq!(read(&lines), address, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_says() {
        for (line, address) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"203.0.113.9:4711\"", "203.0.113.9"),
            ("for=203.0.113.9:4711", "203.0.113.9"),
            ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("FOR=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
            ("for=[2001:db8:cafe::17]:4711", "2001:db8:cafe::17"),
            ("for=\"203.0.113\\.9\"", "203.0.113.9"),
            ("proto=https; for=203.0.113.9 ;by=10.0.0.7;;", "203.0.113.9"),
            (
                "host=\"a;for=6.6.6.6, for=6.6.6.6\";for=203.0.113.9",
                "203.0.113.9",
            ),
            ("for=203.0.113.9;host=\"a\\\", for=6.6.6.6\"", "203.0.113.9"),
            ("for=6.6.6.6, for=203.0.113.9, for=10.9.0.1", "203.0.113.9"),
            ("nonsense, for=\"x, for=203.0.113.9", "203.0.113.9"),
            ("for=203.0.113.9, for=unknown, for=10.9.0.1", "!10.9.0.1"),
            ("for=203.0.113.9, for=_hidden", "!10.0.0.1"),
            ("for=203.0.113.9, by=10.0.0.2, for=10.9.0.1", "!10.9.0.1"),
            (
                "for=203.0.113.9, for=10.9.0.2;for=10.9.0.3, for=10.9.0.1",
                "!10.9.0.1",
            ),
        ] {
            assert_eq!(forwarded_line(line), address, "{line}");
        }
    }

    #[test]
    fn forwarded_wins_if_it_parses() {
        let both = |line: &'static str| {
            read(&[
                ("x-forwarded-for", b"198.51.100.7"),
                ("forwarded", line.as_bytes()),
            ])
        };
        assert_eq!(both("for=203.0.113.9"), "203.0.113.9");
        assert_eq!(both("for=unknown"), "!10.0.0.1");
        for line in [
            "",
            "proto=https",
            "for",
            "for=",
            "for=\"203.0.113.9",
            "for=203.0.113.9\"",
            "for=203.0.113.9;for=203.0.113.9",
            "for 203.0.113.9",
            "=203.0.113.9",
            "for=203.0.113.9;p roto=https",
            "for=\"a\"b\"",
            "for=203.0.113.9;proto=\"\\\"",
        ] {
            assert_eq!(both(line), "198.51.100.7", "{line}");
        }
    }
}
