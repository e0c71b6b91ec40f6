//! Picks values from requests, for `where` and `sticky`. What needs no decoding is not copied.
//!
//! A value that cannot be read (a header that is not UTF-8, a token that is not a JWT) counts as missing: `where`
//! does not hold then, and a share does not include the request.

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, COOKIE, HeaderMap};

use crate::config::Selector;
use crate::routing::RequestHead;
use crate::routing::pattern::escape;

/// Bytes of a token's payload, encoded; nothing longer is looked into.
const MAX_PAYLOAD: usize = 8 * 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a selector found.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'r> {
    /// Of a header, a cookie, the query, a claim or a message.
    Text(Cow<'r, str>),
    /// Of a claim or a message.
    Number(f64),
    /// Of a claim or a message.
    Bool(bool),
    /// The client's; an IPv4 address that came mapped into IPv6 is IPv4.
    Address(IpAddr),
}

/// The value of this request, `None` where it is missing.
pub fn select<'r>(selector: &Selector, request: &RequestHead<'r>) -> Option<Value<'r>> {
    match selector {
        // A request has no message; `events` looks into those.
        Selector::Pointer(_) => None,
        Selector::Header(name) => {
            let line = request.headers.get(name)?;
            std::str::from_utf8(line.as_bytes())
                .ok()
                .map(|text| Value::Text(Cow::Borrowed(text)))
        }
        Selector::Cookie(name) => cookie(name, request.headers).map(Value::Text),
        Selector::Query(name) => query(name, request.uri.query()?).map(Value::Text),
        Selector::Jwt(claim) => jwt(claim, request.headers),
        Selector::Address => Some(Value::Address(request.address.to_canonical())),
    }
}

/// As Node and its `cookie` package read it: all lines are one list, the first of the name counts, blanks and a pair
/// of double quotes around the value do not, escapes are decoded unless one is malformed.
fn cookie<'r>(name: &str, headers: &'r HeaderMap) -> Option<Cow<'r, str>> {
    let lines = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| std::str::from_utf8(line.as_bytes()).ok());
    let pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.split_once('='));
    let blank = [' ', '\t'];
    let (_, value) = pairs
        .into_iter()
        .find(|(key, _)| key.trim_matches(blank) == name)?;
    let value = value.trim_matches(blank);
    let value = match value.strip_prefix('"') {
        Some("") => "",
        Some(inner) => inner.strip_suffix('"').unwrap_or(value),
        None => value,
    };
    if !value.contains('%') {
        return Some(Cow::Borrowed(value));
    }
    let decoded = decode(value, false).and_then(|bytes| String::from_utf8(bytes).ok());
    Some(decoded.map_or(Cow::Borrowed(value), Cow::Owned))
}

/// As `URLSearchParams` reads it: `+` is a space, malformed escapes stand for themselves, also in names.
fn query<'r>(name: &str, query: &'r str) -> Option<Cow<'r, str>> {
    let mut pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(key, _)| decode_form(key) == name)?;
    Some(decode_form(value))
}

fn decode_form(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = decode(text, true).unwrap_or_default();
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Percent-decodes. A malformed escape gives `None`, or stands for itself in a form, where `+` is a space.
fn decode(text: &str, form: bool) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        decoded.push(match byte {
            b'%' => match escape(&bytes[at - 1..]) {
                Some(escaped) => {
                    at += 2;
                    escaped
                }
                None if form => byte,
                None => return None,
            },
            b'+' if form => b' ',
            _ => byte,
        });
    }
    Some(decoded)
}

/// The signature is not checked: the claim chooses a side, which checks the token itself.
fn jwt<'r>(claim: &str, headers: &HeaderMap) -> Option<Value<'r>> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let payload = token.trim_start().split('.').nth(1)?;
    if !scheme.eq_ignore_ascii_case("bearer") || payload.len() > MAX_PAYLOAD {
        return None;
    }
    let payload = BASE64.decode(payload).ok()?;
    let mut claims: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&payload).ok()?;
    match claims.remove(claim)? {
        serde_json::Value::String(text) => Some(Value::Text(Cow::Owned(text))),
        serde_json::Value::Number(number) => number.as_f64().map(Value::Number),
        serde_json::Value::Bool(value) => Some(Value::Bool(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue};
    use http::{Method, Uri};

    use super::*;

    /// Selects from a request with this target and these header lines.
    fn selected(
        selector: &Selector,
        target: &str,
        lines: &[(&str, &str)],
    ) -> Option<Value<'static>> {
        let uri: Uri = target.parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            );
        }
        let address = "::ffff:10.0.0.7".parse().unwrap();
        let request = RequestHead {
            method: &Method::GET,
            uri: &uri,
            headers: &headers,
            address,
        };
        Some(match select(selector, &request)? {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Number(number) => Value::Number(number),
            Value::Bool(value) => Value::Bool(value),
            Value::Address(address) => Value::Address(address),
        })
    }

    fn text(text: &str) -> Option<Value<'static>> {
        Some(Value::Text(Cow::Owned(text.to_owned())))
    }

    #[test]
    fn a_header_is_its_first_line() {
        let selector = Selector::Header(HeaderName::from_static("x-env"));
        assert_eq!(
            selected(&selector, "/", &[("X-Env", "one"), ("x-env", "two")]),
            text("one")
        );
        assert_eq!(selected(&selector, "/", &[]), None);
    }

    #[test]
    fn cookies_are_read_as_node_reads_them() {
        let read = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            selected(&Selector::Cookie("id".to_owned()), "/", &lines)
        };
        assert_eq!(read(&["a=1; id=2; id=3"]), text("2"));
        assert_eq!(read(&["a=1", "x; id = \t7 ;"]), text("7"));
        assert_eq!(read(&["id=\"quoted\""]), text("quoted"));
        assert_eq!(read(&["id=\"open"]), text("\"open"));
        assert_eq!(read(&["id=\""]), text(""));
        assert_eq!(read(&["id=a%20b"]), text("a b"));
        assert_eq!(read(&["id=100%"]), text("100%"));
        assert_eq!(read(&["id=%ff"]), text("%ff"));
        assert_eq!(read(&["id=a=b"]), text("a=b"));
        assert_eq!(read(&["ID=1; xid=2"]), None);
    }

    #[test]
    fn the_query_is_read_as_a_form() {
        let read = |target: &str| selected(&Selector::Query("k".to_owned()), target, &[]);
        assert_eq!(read("/?a=1&k=2&k=3"), text("2"));
        assert_eq!(read("/?%6B=a+b%26"), text("a b&"));
        assert_eq!(read("/?k"), text(""));
        assert_eq!(read("/?k=%zz%"), text("%zz%"));
        assert_eq!(read("/?k=%ff"), text("\u{fffd}"));
        assert_eq!(read("/?K=1"), None);
        assert_eq!(read("/k=1"), None);
    }

    #[test]
    fn claims_of_a_bearer_token_are_scalars() {
        let read = |claim: &str, scheme: &str, payload: &str| {
            let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(payload);
            let line = format!("{scheme} e30.{payload}.c2ln");
            selected(
                &Selector::Jwt(claim.to_owned()),
                "/",
                &[("authorization", line.as_str())],
            )
        };
        assert_eq!(read("sub", "Bearer", r#"{"sub":"\u00e9"}"#), text("\u{e9}"));
        assert_eq!(
            read("n", "bearer", r#"{"n":36}"#),
            Some(Value::Number(36.0))
        );
        assert_eq!(
            read("b", "Bearer", r#"{"b":true}"#),
            Some(Value::Bool(true))
        );
        for payload in [
            r#"{"a":null}"#,
            r#"{"a":[1]}"#,
            r#"{"b":1}"#,
            "[1]",
            "",
            "{",
        ] {
            assert_eq!(read("a", "Bearer", payload), None, "{payload}");
        }
        assert_eq!(read("a", "Basic", r#"{"a":1}"#), None);
        assert_eq!(
            read(
                "a",
                "Bearer",
                &format!(r#"{{"a":1,"b":"{}"}}"#, "x".repeat(MAX_PAYLOAD))
            ),
            None
        );
    }

    #[test]
    fn addresses_lose_their_mapping_into_ipv6() {
        assert_eq!(
            selected(&Selector::Address, "/", &[]),
            Some(Value::Address(IpAddr::from([10, 0, 0, 7])))
        );
    }
}
