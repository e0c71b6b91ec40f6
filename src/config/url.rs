//! The URL of Node: an origin, that is scheme, host and port. Pure text.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::config::NodeUrl;

/// Why a text is not the URL of an origin; `part` is what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlError<'u> {
    pub(super) problem: UrlProblem,
    pub(super) part: &'u str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlProblem {
    #[error("a url begins with `http://` or `https://`")]
    NoScheme,
    #[error("the scheme must be `http` or `https`")]
    Scheme,
    #[error("the url of Node has no path and no query")]
    Tail,
    #[error("the url of Node has no user")]
    User,
    #[error("an IPv6 address stands in brackets")]
    NoBrackets,
    #[error("this is not a host name or an address")]
    Host,
    #[error("a port is a number from 1 to 65535")]
    Port,
}

/// How the URL of an origin is written.
pub(super) const USAGE: &str = "write scheme, host and port, such as `\"http://127.0.0.1:3051\"`";

impl UrlError<'_> {
    /// What to write instead. `secret`: without any part of the text.
    pub(super) fn help(&self, secret: bool) -> String {
        match (self.problem, self.part) {
            (UrlProblem::Scheme, "ws") => "write `http`; upgrades use the same address".to_owned(),
            (UrlProblem::Scheme, "wss") => {
                "write `https`; upgrades use the same address".to_owned()
            }
            (UrlProblem::Tail, _) => {
                "remove it: requests reach Node with the path and the query that they came with"
                    .to_owned()
            }
            (UrlProblem::User, _) => "remove it up to and with `@`".to_owned(),
            (UrlProblem::NoBrackets, part) if !secret => match part.rsplit_once(':') {
                Some((host, port))
                    if host.parse::<Ipv6Addr>().is_ok()
                        && port.parse::<u16>().is_ok_and(|port| port > 0) =>
                {
                    format!("write `[{host}]:{port}`")
                }
                _ => {
                    "write the address in brackets, and the port behind it: `[::1]:3051`".to_owned()
                }
            },
            _ => USAGE.to_owned(),
        }
    }
}

/// Reads the URL of an origin; one trailing slash is allowed. The host is given in lower case.
pub(super) fn parse(url: &str) -> Result<NodeUrl, UrlError<'_>> {
    let error = |problem, part| Err(UrlError { problem, part });
    let Some((scheme, rest)) = url.split_once("://") else {
        return error(UrlProblem::NoScheme, url);
    };
    let https = scheme.eq_ignore_ascii_case("https");
    if !https && !scheme.eq_ignore_ascii_case("http") {
        return error(UrlProblem::Scheme, scheme);
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !matches!(tail, "" | "/") {
        return error(UrlProblem::Tail, tail);
    }
    if let Some((user, _)) = authority.rsplit_once('@') {
        return error(UrlProblem::User, user);
    }
    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|inner| inner.split_once(']'))
    {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (host, port),
        Some(_) => return error(UrlProblem::Host, authority),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if port.matches(':').count() > 1 {
        return error(UrlProblem::NoBrackets, authority);
    }
    if !authority.starts_with('[') && !is_host(host) {
        return error(UrlProblem::Host, authority);
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => Some(if https { 443 } else { 80 }),
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port: &u16| *port > 0)
        }
        Some(_) => None,
    };
    match port {
        Some(port) => Ok(NodeUrl {
            https,
            host: host.to_ascii_lowercase(),
            port,
        }),
        None => error(UrlProblem::Port, authority),
    }
}

/// A name of letters, digits, `-` and `_`, or an IPv4 address.
pub(super) fn is_host(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = labels.rsplit('.').next().unwrap_or_default();
    // Names that end in a number are read as IPv4 addresses by URL parsers.
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
    labels.len() <= 253
        && labels.split('.').all(is_label)
        && (!numeric || host.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_node_are_origins() {
        let url = |https, host: &str, port| {
            Ok(NodeUrl {
                https,
                host: host.to_owned(),
                port,
            })
        };
        assert_eq!(
            parse("http://127.0.0.1:3051"),
            url(false, "127.0.0.1", 3051)
        );
        assert_eq!(
            parse("HTTPS://Node.Internal/"),
            url(true, "node.internal", 443)
        );
        assert_eq!(parse("http://[::1]"), url(false, "::1", 80));
        assert_eq!(
            parse("http://my_app.local.:8080"),
            url(false, "my_app.local.", 8080)
        );
    }

    #[test]
    fn what_is_no_origin_says_which_part() {
        use UrlProblem::{Host, NoBrackets, NoScheme, Port, Scheme, Tail, User};
        let wrong = [
            ("127.0.0.1:3051", NoScheme, "127.0.0.1:3051"),
            ("ftp://a", Scheme, "ftp"),
            ("ws://a", Scheme, "ws"),
            ("http://a/b", Tail, "/b"),
            ("http://a?x", Tail, "?x"),
            ("http://a#", Tail, "#"),
            ("http://u:p@a", User, "u:p"),
            ("http://::1:80", NoBrackets, "::1:80"),
            ("http://[::g]:80", Host, "[::g]:80"),
            ("http://", Host, ""),
            ("http://:80", Host, ":80"),
            ("http://-a", Host, "-a"),
            ("http://1.2.3", Host, "1.2.3"),
            ("http://a b", Host, "a b"),
            ("http://a:0", Port, "a:0"),
            ("http://a:65536", Port, "a:65536"),
            ("http://a:", Port, "a:"),
            ("http://a:+80", Port, "a:+80"),
            ("http://[::1]x", Port, "[::1]x"),
        ];
        for (text, problem, part) in wrong {
            assert_eq!(parse(text), Err(UrlError { problem, part }), "{text}");
        }
    }
}
