//! `[rule.ID]`: what a rule claims and who answers it.

use std::collections::HashSet;

use http::Method;

use crate::config::condition::conditions;
use crate::config::defaults::{Defaults, shared};
use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::event::{self, Sockets};
use crate::config::keys::{self, nearest};
use crate::config::reader::{Table, Text};
use crate::config::selector::Selectors;
use crate::config::socket::{example, is_id, is_key_of_another_table};
use crate::config::units::{self, SHARE};
use crate::config::value::Value;
use crate::config::{Claim, Pattern, Rule, Segment, Share, To};

const SHARES: &str = "write a share from `\"native 0%\"` to `\"native 100%\"`";

const EXAMPLE: &str = "{ http = [\"GET /path\"], to = \"node\" }";

/// What Node's parser accepts, but for CONNECT, which the proxy refuses. Another method would never arrive there.
const METHODS: [&str; 34] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// All rules, in the order of the file.
pub(super) fn rules(table: Table<'_>, defaults: &Defaults, sockets: &Sockets<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (id, value) in table.without_env().entries() {
        if is_key_of_another_table(&id, &value, "`[rule]`") {
            continue;
        }
        let named = is_id(&id, "rule", &table);
        let read = value
            .table(&example(&id, named, EXAMPLE))
            .and_then(|table| rule(&id, &value, table, defaults, sockets));
        rules.extend(read.filter(|_| named));
    }
    rules
}

fn rule(
    id: &Text<'_>,
    value: &Value<'_>,
    table: Table<'_>,
    defaults: &Defaults,
    sockets: &Sockets<'_>,
) -> Option<Rule> {
    table.check_keys(
        &keys::RULE,
        &format!("the rule {}", id.shown()),
        Some(&value.header_span()),
    );
    let (http, events) = (table.get("http"), table.get("events"));
    let selectors = match (&http, &events) {
        (None, Some(_)) => Selectors::Events,
        (Some(_), Some(_)) => Selectors::Both,
        (Some(_), None) => Selectors::Http,
        (None, None) => {
            claims_nothing(id, value);
            Selectors::Both
        }
    };
    let claims = http.map(|value| claims(&value)).unwrap_or_default();
    let events = events
        .map(|value| event::events(&value, sockets))
        .unwrap_or_default();
    let conditions = table
        .get("where")
        .map(|value| conditions(&value, selectors))
        .unwrap_or_default();
    let to = table
        .get("to")
        .and_then(|value| Some((to(&value)?, value.span())));
    let safe = table.get("safe").and_then(|value| value.boolean());
    let Defaults {
        timeout,
        sticky,
        breaker,
    } = shared(table, defaults, selectors);
    let (to, to_span) = to?;
    Some(Rule {
        id: id.as_str().to_owned(),
        id_span: id.span(),
        claims,
        events,
        conditions,
        to,
        to_span,
        safe,
        timeout,
        sticky,
        breaker,
    })
}

fn claims_nothing(id: &Text<'_>, value: &Value<'_>) {
    let problem = Diagnostic::error(
        Code::MissingKey,
        format!("`http` or `events` is missing in the rule {}", id.shown()),
    );
    value.report(
        problem
            .at(value.header_span())
            .label("claims nothing")
            .help("add `http = [\"GET /path\"]`, or `events = { SOCKET = [\"name\"] }`"),
    );
}

/// `http`
fn claims(value: &Value<'_>) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    let mut seen = HashSet::new();
    for value in value.list("http = [\"GET /path\"]").unwrap_or_default() {
        let Some(text) = value.text_or("write `\"GET /path\"`") else {
            continue;
        };
        match claim(&text) {
            Ok(claim) if seen.insert((claim.method.clone(), shape(&claim.pattern))) => {
                claims.push(claim)
            }
            Ok(claim) => {
                let problem = Diagnostic::warning(
                    Code::Duplicate,
                    format!("{} stands twice in this rule", text.shown()),
                );
                value.report(
                    problem
                        .at(claim.span)
                        .label("claimed before")
                        .help("remove one of the two"),
                );
            }
            Err(problem) => value.report(problem),
        }
    }
    claims
}

/// Two patterns of the same shape match the same paths.
fn shape(pattern: &Pattern) -> Vec<Segment> {
    let segments = pattern.segments.iter().map(|segment| match segment {
        Segment::Literal(literal) => Segment::Literal(literal.to_ascii_lowercase()),
        Segment::Param(_) => Segment::Param(String::new()),
        Segment::Rest(_) => Segment::Rest(String::new()),
    });
    segments.collect()
}

fn claim(text: &Text<'_>) -> Result<Claim, Diagnostic> {
    let (method, path) = match text.as_str().split_once(' ') {
        Some((method, path)) if !method.starts_with('/') => (Some(method), path),
        _ => (None, text.as_str()),
    };
    let method = method
        .map(|method| parse_method(text, method))
        .transpose()?;
    let path_start = text.as_str().len() - path.len();
    let pattern = Pattern::parse(path).map_err(|error| {
        let place = text.part(path_start + error.place.start..path_start + error.place.end);
        let help = if path.contains("://") {
            Some("write the path alone: rules do not look at scheme and host".to_owned())
        } else if method.is_none()
            && METHODS
                .iter()
                .any(|method| method.eq_ignore_ascii_case(path))
        {
            Some(format!(
                "write a path behind the method: `{} /path`",
                path.to_ascii_uppercase()
            ))
        } else {
            error.help(path)
        };
        Diagnostic::error(Code::BadPath, error.to_string())
            .at(place)
            .label(error.label())
            .maybe_help(help)
    })?;
    Ok(Claim {
        method,
        pattern,
        span: text.span(),
    })
}

fn parse_method(text: &Text<'_>, method: &str) -> Result<Method, Diagnostic> {
    if METHODS.contains(&method)
        && let Ok(method) = Method::from_bytes(method.as_bytes())
    {
        return Ok(method);
    }
    let upper = method.to_ascii_uppercase();
    let help = if METHODS.contains(&upper.as_str()) {
        format!("write it in upper case: `{upper}`")
    } else if matches!(upper.as_str(), "*" | "ALL" | "ANY") {
        "leave the method out to claim all methods".to_owned()
    } else if upper == "CONNECT" {
        "the proxy refuses CONNECT; leave it out".to_owned()
    } else if let Some(near) = nearest(method, METHODS) {
        format!("did you mean `{near}`?")
    } else {
        "write a method and a path, such as `GET /path`, or a path alone".to_owned()
    };
    let problem = Diagnostic::error(
        Code::BadMethod,
        format!("{} is not a method", quote(method)),
    );
    Err(problem
        .at(text.part(0..method.len()))
        .label("not a method")
        .help(help))
}

/// `to`
fn to(value: &Value<'_>) -> Option<To> {
    const FORMS: &str = "write `\"node\"`, `\"native 5%\"`, `\"native\"` or `\"native only\"`";
    let text = value.text_or(FORMS)?;
    let written = |share: &str| {
        let steps = SHARE.parse(share).ok();
        let written = steps
            .and_then(units::share)
            .map(|_| format!("write `\"native {share}\"`"));
        written.unwrap_or_else(|| SHARES.to_owned())
    };
    let unknown = |label: &str, help: String| {
        value.refuse(
            Code::UnknownSide,
            format!("unknown side {}", text.shown()),
            label,
            help,
        )
    };
    let (side, rest) = match text.as_str().split_once(' ') {
        Some((side, rest)) => (side, Some(rest)),
        None => (text.as_str(), None),
    };
    match (side, rest) {
        ("node", None) => Some(To::Node),
        ("native", None) => Some(To::Native(Share(10_000))),
        ("native", Some("only")) => Some(To::NativeOnly),
        ("native", Some(rest)) if rest.starts_with(|first: char| first.is_ascii_digit()) => {
            share(value, rest)
        }
        ("native", Some(rest)) => match nearest(rest.trim(), ["only"]) {
            Some(only) => unknown(
                "not a share or `only`",
                format!("did you mean `native {only}`?"),
            ),
            None if SHARE.parse(rest.trim()).is_ok() => unknown("two spaces", written(rest.trim())),
            None => unknown("not a share or `only`", FORMS.to_owned()),
        },
        ("node", Some(rest)) => match SHARE.parse(rest).ok().and_then(units::share) {
            Some(Share(node)) => {
                let native = SHARE.show(u64::from(10_000 - node));
                unknown(
                    "`node` stands alone",
                    format!("write the share of native: `\"native {native}\"`"),
                )
            }
            None => unknown("`node` stands alone", "write `\"node\"`".to_owned()),
        },
        _ => {
            let near = nearest(text.as_str(), ["native", "node", "native only"])
                .or(nearest(side, ["native", "node"]));
            let help = match near {
                _ if SHARE.parse(text.as_str()).is_ok() => written(text.as_str()),
                Some(near) => format!("did you mean `{near}`?"),
                None => FORMS.to_owned(),
            };
            unknown("not `native` or `node`", help)
        }
    }
}

/// The share of `to`.
fn share(value: &Value<'_>, text: &str) -> Option<To> {
    match SHARE.parse(text).map(units::share) {
        Ok(Some(share)) => Some(To::Native(share)),
        Ok(None) => value.refuse(
            Code::OutOfRange,
            format!("{} is more than all", quote(text)),
            "too large",
            SHARES,
        ),
        Err(error) => {
            let number = text.trim_end_matches(|last: char| !last.is_ascii_digit());
            let steps = SHARE.parse(&format!("{number}%")).ok();
            let help = match steps.and_then(units::share).is_some() {
                true => format!("write `\"native {number}%\"`"),
                false => {
                    "write a share with up to two decimals, such as `\"native 0.5%\"`".to_owned()
                }
            };
            value.refuse(
                Code::Unit,
                format!("{} is not a share: {error}", quote(text)),
                "not a share",
                help,
            )
        }
    }
}
