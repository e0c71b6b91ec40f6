//! The whole of a `routes.toml`: its tables one by one, then what they say about one another.

use std::net::{IpAddr, SocketAddr};

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::event::Sockets;
use crate::config::reader::{Reader, Table};
use crate::config::render;
use crate::config::source::Source;
use crate::config::value::Value;
use crate::config::{Config, NodeUrl, Places, Span, To};
use crate::config::{defaults, keys, native, node, rule, server, socket, syntax};

/// See [`crate::config::parse`].
pub(super) fn validate(
    source: &Source,
    variable: &dyn Fn(&str) -> Option<String>,
) -> (Option<Config>, Vec<Diagnostic>) {
    let document = syntax::read(source);
    let reader = Reader::new(source, variable);
    let config = file(&reader, Table::new(&reader, &document.root, true));
    let mut problems = reader.into_problems();
    if let Some(sound_until) = document.sound_until {
        // Behind a mistake of syntax nothing is what it seems, and what is missing may stand there.
        problems.retain(|problem| {
            !matches!(
                problem.code,
                Code::MissingKey | Code::NoNative | Code::UnknownSocket
            ) && problem
                .span
                .as_ref()
                .is_some_and(|span| span.end <= sound_until)
        });
    }
    problems.extend(document.problems);
    problems.sort_by_key(render::order);
    let refused = problems.iter().any(Diagnostic::is_error);
    (config.filter(|_| !refused), problems)
}

fn file<'a>(reader: &'a Reader<'a>, file: Table<'a>) -> Option<Config> {
    file.check_keys(&keys::FILE, "the file", None);
    let table = |name: &str, example: &str| {
        file.get(name)
            .and_then(|value| Some((value, value.table(example)?)))
    };
    let force_node = file.get("force").map(force);
    let server = table("server", "[server]")
        .map(|(value, table)| server::server(reader.source(), &value, table));
    let public = server.as_ref().and_then(|server| server.listen.clone());
    let public = public.map(|(listen, _)| listen.port());
    let admin =
        table("admin", "[admin]").map(|(value, table)| server::admin(&value, table, public));
    let node =
        table("node", "[node]").map(|(value, table)| node::node(reader.source(), &value, table));
    let native = table("native", "[native]").map(|(value, table)| native::native(&value, table));
    let limits = table("limits", "[limits]")
        .map(|(value, table)| server::limits(&value, table))
        .unwrap_or_default();
    let defaults = table("defaults", "[defaults]")
        .map(|(value, table)| defaults::defaults(&value, table))
        .unwrap_or_default();
    let socket_table = table("socket", "[socket.ID]").map(|(_, table)| table);
    let sockets = socket_table.map(socket::sockets).unwrap_or_default();
    let known = Sockets::new(socket_table, &sockets);
    let rules = table("rule", "[rule.ID]")
        .map(|(_, table)| rule::rules(table, &defaults, &known))
        .unwrap_or_default();

    let listens = [
        (
            "[server]",
            server.as_ref().and_then(|server| server.listen.clone()),
        ),
        ("[admin]", admin.clone().flatten()),
    ];
    own_address(
        reader,
        &listens,
        node.as_ref().and_then(|node| node.url.as_ref()),
    );
    if file.get("native").is_none() {
        for rule in rules.iter().filter(|rule| rule.to != To::Node) {
            let problem = Diagnostic::error(
                Code::NoNative,
                format!(
                    "the rule `{}` is native, and there is no `[native]`",
                    rule.id
                ),
            );
            reader.report(
                problem
                    .at(rule.to_span.clone())
                    .label("needs `[native]`")
                    .help("add:\n[native]\napp = \"NAME\""),
            );
        }
    }
    let place = |name: &str, keys: &[&str]| {
        let table = file.get(name)?.table("")?;
        keys.iter()
            .find_map(|key| table.get(key))
            .map(|value| value.span())
    };
    Some(Config {
        force_node: force_node.unwrap_or(Some(false))?,
        server: server?.checked?,
        admin: match admin {
            Some(admin) => Some(admin?.0),
            None => None,
        },
        node: node?.checked?,
        native: match native {
            Some(native) => Some(native?),
            None => None,
        },
        limits,
        sockets,
        rules,
        places: Places {
            certificate: place("server", &["cert"]),
            key: place("server", &["key"]),
            trust: place("node", &["ca", "pin"]),
        },
    })
}

/// `force`
fn force(value: Value<'_>) -> Option<bool> {
    const HELP: &str = "write `force = \"node\"`, or remove the key";
    let text = value.text_or(HELP)?;
    if text.as_str() == "node" {
        return Some(true);
    }
    let message = format!("`force` cannot be {}", text.shown());
    value.refuse(Code::UnknownValue, message, "expected `node`", HELP)
}

/// No two of the three may be the same address: binding would fail, or requests would run in a circle.
fn own_address(
    reader: &Reader<'_>,
    listens: &[(&str, Option<(SocketAddr, Span)>)],
    node: Option<&(NodeUrl, Span)>,
) {
    let error = |message: String, span: &Span| {
        Diagnostic::error(Code::OwnAddress, message).at(span.clone())
    };
    for (table, listen) in listens {
        if let (Some((listen, _)), Some((url, span))) = (listen, node)
            && is_own(*listen, url)
        {
            let problem = error(
                format!("`url` of `[node]` is the address of `{table}` itself"),
                span,
            );
            reader.report(
                problem
                    .label(format!("`{table}` listens on {listen}"))
                    .help("let Node listen on another port, and name that"),
            );
        }
    }
    if let [(_, Some((server, _))), (_, Some((admin, span)))] = listens
        && server.port() == admin.port()
        && server.port() != 0
        && receives(server.ip(), admin.ip())
    {
        let problem = error(
            "`[admin]` and `[server]` listen on the same port".to_owned(),
            span,
        );
        reader.report(
            problem
                .label(format!("`[server]` listens on {server}"))
                .help(format!(
                    "use another port, such as `\"{}:{}\"`",
                    server::bracketed(admin.ip()),
                    server::another_port(server.port(), node.map(|(url, _)| url.port)),
                )),
        );
    }
}

fn is_own(listen: SocketAddr, url: &NodeUrl) -> bool {
    if listen.port() != url.port || listen.port() == 0 {
        return false;
    }
    match url.host.parse::<IpAddr>() {
        // A connection to the unspecified address goes to this machine.
        Ok(host) if host.is_unspecified() => {
            listen.ip().is_unspecified() || listen.ip().is_loopback()
        }
        Ok(host) => receives(listen.ip(), host.to_canonical()),
        Err(_) => {
            let listen = listen.ip();
            let name = url.host.trim_end_matches('.');
            (is_localhost(name) && (listen.is_unspecified() || listen.is_loopback()))
                || (listen.is_unspecified() && is_this_machine(name))
        }
    }
}

/// Names of the loopback address (RFC 6761 §6.3) and those that `/etc/hosts` usually has.
fn is_localhost(name: &str) -> bool {
    const NAMES: [&str; 4] = [
        "localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "ip6-loopback",
    ];
    NAMES.contains(&name) || name.ends_with(".localhost")
}

/// The machine's own name. Others that lead back here only a request can find out (`Via`).
fn is_this_machine(name: &str) -> bool {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .is_ok_and(|own| own.trim_end().eq_ignore_ascii_case(name))
}

/// Whether a socket that is bound to `listen` gets what is sent to `address`; `::` listens on IPv4 too.
fn receives(listen: IpAddr, address: IpAddr) -> bool {
    listen == address
        || (listen.is_unspecified()
            && address.is_loopback()
            && (listen.is_ipv6() || address.is_ipv4()))
}
