//! Selectors, such as `header:x-beta`, and the scalars that `where` compares with them.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue};

use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::keys::nearest;
use crate::config::reader::Text;
use crate::config::value::Value;
use crate::config::{Pointer, PointerError, Scalar, Selector};

/// The forms that work for HTTP, as help shows them.
const FORMS: &str = "`header:NAME`, `cookie:NAME`, `query:NAME`, `jwt:CLAIM` or `address`";

/// The forms that work for events.
const EVENT_FORMS: &str =
    "`/json/pointer`, `header:NAME`, `cookie:NAME`, `query:NAME`, `jwt:CLAIM` or `address`";

/// What `address` is compared with.
const ADDRESS: &str =
    "write an address without a port, such as `\"10.0.0.1\"` or `\"2001:db8::1\"`";

/// What there is to select from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selectors {
    /// A request, whose body is not read.
    Http,
    /// Requests and events: what both have.
    Both,
    /// A message, and the handshake of its connection.
    Events,
    /// A message that a server sends.
    Once,
}

impl Selectors {
    fn forms(self) -> &'static str {
        match self {
            Self::Http | Self::Both => FORMS,
            Self::Events => EVENT_FORMS,
            Self::Once => "a pointer such as `/status`, or `\"\"` for the whole argument",
        }
    }
}

/// Reads a selector; what is wrong is reported at the place of the text.
pub(super) fn parse(text: &Text<'_>, selectors: Selectors) -> Result<Selector, Diagnostic> {
    let selector = text.as_str();
    let error = |message: String| Diagnostic::error(Code::BadSelector, message).at(text.span());
    if selector.is_empty() || selector.starts_with('/') {
        if matches!(selectors, Selectors::Http | Selectors::Both) {
            let elsewhere = match selectors {
                Selectors::Both => ", or move the events into a rule of their own",
                _ => "",
            };
            let problem = error(format!("{} is a pointer into a message", text.shown()));
            return Err(problem.label("not for HTTP").help(format!(
                "the body of a request is not read to route it; use {FORMS}{elsewhere}"
            )));
        }
        return pointer(text).map(Selector::Pointer);
    }
    if selectors == Selectors::Once {
        let problem = error(format!("{} selects from a request", text.shown()));
        return Err(problem
            .label("not for what a server sends")
            .help(format!("use {}", selectors.forms())));
    }
    if selector == "address" {
        return Ok(Selector::Address);
    }
    let forms = selectors.forms();
    let Some((kind, name)) = selector.split_once(':') else {
        let near = nearest(selector, ["address", "header", "cookie", "query", "jwt"]);
        let help = match near {
            Some("address") => "did you mean `address`?".to_owned(),
            Some("jwt") => "name a claim behind it, such as `jwt:sub`".to_owned(),
            Some(kind) => format!("write a name behind it, such as `{kind}:beta`"),
            None => format!("use {forms}"),
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
            let meant = near.map(|kind| format!("{kind}:{name}"));
            // Its name may be wrong as well.
            let meant = meant.filter(|meant| {
                let meant = Text {
                    text: Cow::Borrowed(meant),
                    ..text.clone()
                };
                parse(&meant, selectors).is_ok()
            });
            let help = match meant {
                Some(meant) if quote(&meant).len() == meant.len() + 2 => {
                    format!("did you mean `{meant}`?")
                }
                _ => format!("use {forms}"),
            };
            Err(error(format!("unknown selector {}", text.shown()))
                .label("not a selector")
                .help(help))
        }
    }
}

/// Reads a pointer into a message.
pub(super) fn pointer(text: &Text<'_>) -> Result<Pointer, Diagnostic> {
    Pointer::parse(text.as_str()).map_err(|error| {
        let help = match error {
            PointerError::NoSlash => match text.as_str().strip_prefix('#') {
                Some(rest) if rest.starts_with('/') => "leave the `#` out".to_owned(),
                _ => "write where the value stands, such as `/type` or `/data/id`".to_owned(),
            },
            PointerError::Escape => "write `~0` for `~`, and `~1` for `/` in a name".to_owned(),
            PointerError::TooLong => "compare a value that stands further out".to_owned(),
        };
        let message = format!("{} is not a JSON pointer: {error}", text.shown());
        Diagnostic::error(Code::BadSelector, message)
            .at(text.span())
            .label("not a pointer")
            .help(help)
    })
}

/// Reads one value that a selector is compared with. `None`: it was refused.
pub(super) fn scalar(value: &Value<'_>, selector: &Selector) -> Option<Scalar> {
    let scalar = value.scalar()?;
    let never = |message: String, help: &str| {
        value.refuse(Code::Unreachable, message, "can never match", help)
    };
    let what = match selector {
        Selector::Jwt(_) | Selector::Pointer(_) => return Some(scalar),
        Selector::Header(_) => "a header",
        Selector::Cookie(_) => "a cookie",
        Selector::Query(_) => "a query parameter",
        Selector::Address => "an address",
    };
    let quoted = |value: String| match selector {
        Selector::Address => ADDRESS.to_owned(),
        _ => format!("write `\"{value}\"`"),
    };
    let text = match scalar {
        Scalar::Text(text) => text,
        Scalar::Number(number) => {
            return never(
                format!("{what} is text, and this is a number"),
                &quoted(number.to_string()),
            );
        }
        Scalar::Bool(bool) => {
            return never(
                format!("{what} is text, and this is a boolean"),
                &quoted(bool.to_string()),
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
                "write each address by itself, such as `\"10.0.0.1\"`",
            ),
            Err(_) => never(format!("{} is not an IP address", quote(&text)), ADDRESS),
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
