//! Selectors, such as `header:x-beta`, and the scalars that `where` compares with them.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};

use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::keys::nearest;
use crate::config::reader::Text;
use crate::config::value::Value;
use crate::config::{Scalar, Selector};

/// The forms that work for HTTP, as help shows them.
const FORMS: &str = "`header:NAME`, `cookie:NAME`, `query:NAME`, `jwt:CLAIM` or `address`";

/// Reads a selector; what is wrong is reported at the place of the text.
pub(super) fn parse(text: &Text<'_>) -> Result<Selector, Diagnostic> {
    let selector = text.as_str();
    let error = |message: String| Diagnostic::error(Code::BadSelector, message).at(text.span());
    if selector == "address" {
        return Ok(Selector::Address);
    }
    if selector.is_empty() || selector.starts_with('/') {
        return Err(
            error(format!("{} is a pointer into a message", text.shown()))
                .label("not for HTTP")
                .help(format!(
                    "the body of a request is not read to route it; use {FORMS}"
                )),
        );
    }
    let Some((kind, name)) = selector.split_once(':') else {
        let near = nearest(selector, ["address", "header", "cookie", "query", "jwt"]);
        let help = match near {
            Some("address") => "did you mean `address`?".to_owned(),
            Some("jwt") => "write `jwt:` and a claim, such as `jwt:sub`".to_owned(),
            Some(kind) => format!("write `{kind}:` and a name, such as `{kind}:beta`"),
            None => format!("use {FORMS}"),
        };
        return Err(error(format!("unknown selector {}", text.shown()))
            .label("not a selector")
            .help(help));
    };
    let unusable = |what: &str, help: &str| {
        Err(
            error(format!("{} is not the name of a {what}", quote(name)))
                .label("not usable")
                .help(help.to_owned()),
        )
    };
    let plain = !name.is_empty() && !name.chars().any(char::is_control);
    match kind.to_ascii_lowercase().as_str() {
        "header" => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Ok(Selector::Header(name)),
            Err(_) => unusable(
                "header",
                "use letters, digits and `-`, such as `header:x-beta`",
            ),
        },
        "cookie"
            if !plain
                || !name.is_ascii()
                || name.contains(|c: char| " \"(),/:;<=>?@[\\]{}".contains(c)) =>
        {
            unusable(
                "cookie",
                "use letters, digits, `-`, `_` and `.`, such as `cookie:beta`",
            )
        }
        "cookie" => Ok(Selector::Cookie(name.to_owned())),
        "query" if !plain => unusable("query parameter", "write it decoded, such as `query:beta`"),
        "query" => Ok(Selector::Query(name.to_owned())),
        "jwt" if !plain => unusable(
            "claim",
            "name a claim at the top of the token, such as `jwt:sub`",
        ),
        "jwt" => Ok(Selector::Jwt(name.to_owned())),
        "address" => Err(
            error(format!("{} has a name behind `address`", text.shown()))
                .label("expected `address` alone")
                .help("write `address`; what it must be equal to is the value"),
        ),
        other => {
            let near = nearest(other, ["header", "cookie", "query", "jwt"]);
            let help = near.map_or(format!("use {FORMS}"), |kind| {
                format!("did you mean {}?", quote(&format!("{kind}:{name}")))
            });
            Err(error(format!("unknown selector {}", text.shown()))
                .label("not a selector")
                .help(help))
        }
    }
}

/// Reads one value that a selector is compared with. `None`: it was refused.
pub(super) fn scalar(value: &Value<'_>, selector: &Selector) -> Option<Scalar> {
    let scalar = value.scalar()?;
    let never = |message: String, help: &str| {
        value.refuse(Code::Unreachable, message, "can never match", help)
    };
    let what = match selector {
        Selector::Jwt(_) => return Some(scalar),
        Selector::Header(_) => "a header",
        Selector::Cookie(_) => "a cookie",
        Selector::Query(_) => "a query parameter",
        Selector::Address => "an address",
    };
    let text = match scalar {
        Scalar::Text(text) => text,
        Scalar::Number(number) => {
            return never(
                format!("{what} is text, and this is a number"),
                &format!("write `\"{number}\"`"),
            );
        }
        Scalar::Bool(bool) => {
            return never(
                format!("{what} is text, and this is a boolean"),
                &format!("write `\"{bool}\"`"),
            );
        }
    };
    match selector {
        Selector::Address => match text.parse::<IpAddr>() {
            Ok(address) => Some(Scalar::Text(address.to_canonical().to_string())),
            Err(_) if text.contains('/') => never(
                format!(
                    "{} is a network, and `address` is compared with single addresses",
                    quote(&text)
                ),
                "list the addresses, such as `[\"10.0.0.1\", \"10.0.0.2\"]`",
            ),
            Err(_) => never(
                format!("{} is not an IP address", quote(&text)),
                "write an address without a port, such as `\"10.0.0.1\"` or `\"2001:db8::1\"`",
            ),
        },
        Selector::Header(_)
            if HeaderValue::from_str(&text).is_err() || text.trim_matches([' ', '\t']) != text =>
        {
            never(
                format!("no header can have the value {}", quote(&text)),
                "leave out control characters, and spaces at both ends",
            )
        }
        Selector::Cookie(_) if text.contains(|c: char| c.is_control() || c == ';') => never(
            format!("no cookie can have the value {}", quote(&text)),
            "write the value as the browser sends it, percent-encoded",
        ),
        _ => Some(Scalar::Text(text)),
    }
}
