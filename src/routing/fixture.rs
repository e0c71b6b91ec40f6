//! Configurations for tests, without a file.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::config::{
    Claim, Condition, Config, Flips, Limits, Node, NodeLoss, NodeUrl, Pattern, Rule, Scalar,
    Selector, Server, Share, Socket, SocketKind, SocketMode, To, Trust,
};
use crate::routing::{Endpoint, NativeSide, RequestHead, Route, Table};

/// A configuration of these rules; spans are set so that they stand in this order.
pub(crate) fn config(rules: Vec<Rule>) -> Config {
    let second = Duration::from_secs(1);
    let mut rules = rules;
    for (index, rule) in rules.iter_mut().enumerate() {
        let span = |at: usize| index * 100 + at..index * 100 + at + 1;
        (rule.id_span, rule.to_span) = (span(0), span(90));
        (rule.claims.iter_mut().enumerate()).for_each(|(at, claim)| claim.span = span(1 + at));
        (rule.conditions.iter_mut().enumerate()).for_each(|(at, entry)| entry.span = span(50 + at));
    }
    Config {
        force_node: false,
        server: Server {
            listen: SocketAddr::from(([0, 0, 0, 0], 3050)),
            cert: "cert.pem".into(),
            key: "key.pem".into(),
            drain: 30 * second,
            trusted_proxies: Vec::new(),
            side_header: false,
        },
        admin: None,
        node: Node {
            url: NodeUrl {
                https: false,
                host: "127.0.0.1".to_owned(),
                port: 3051,
            },
            trust: Trust::Plain,
            server_name: "127.0.0.1".to_owned(),
            command: Vec::new(),
            connect_timeout: 2 * second,
            response_timeout: 60 * second,
            max_waiting: 1024,
        },
        native: None,
        limits: Limits {
            handshake_timeout: 10 * second,
            header_timeout: 10 * second,
            idle_timeout: 75 * second,
            head: 65_536,
            body: None,
            min_rate: 64,
            replay: 65_536,
            streams: 128,
        },
        sockets: Vec::new(),
        rules,
        places: Default::default(),
    }
}

/// A rule that claims these, such as `GET /a/{id}`.
pub(crate) fn rule(id: &str, http: &[&str], to: To) -> Rule {
    let claim = |text: &&str| {
        let (method, path) = match text.split_once(' ') {
            Some((method, path)) => (Some(Method::try_from(method).unwrap()), path),
            None => (None, *text),
        };
        Claim {
            method,
            pattern: Pattern::parse(path).unwrap(),
            span: 0..0,
        }
    };
    Rule {
        id: id.to_owned(),
        id_span: 0..0,
        claims: http.iter().map(claim).collect(),
        events: Vec::new(),
        conditions: Vec::new(),
        to,
        to_span: 0..0,
        safe: None,
        timeout: Duration::from_secs(2),
        sticky: Selector::Address,
        breaker: None,
    }
}

impl Rule {
    /// Adds an entry to `where`, of texts.
    pub(crate) fn when(mut self, selector: Selector, values: &[&str]) -> Self {
        let values = values
            .iter()
            .map(|text| Scalar::Text((*text).to_owned()))
            .collect();
        self.conditions.push(Condition {
            selector,
            values,
            span: 0..0,
        });
        self
    }
}

pub(crate) fn header(name: &'static str) -> Selector {
    Selector::Header(HeaderName::from_static(name))
}

pub(crate) fn socket(id: &str, kind: SocketKind, path: &str) -> Socket {
    Socket {
        id: id.to_owned(),
        kind,
        path: path.to_owned(),
        path_span: 0..0,
        mode: SocketMode::Tunnel,
        node_loss: NodeLoss::Bounce,
        flips: Flips::Message,
        once: Vec::new(),
        tag: None,
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        max_payload: 1_000_000,
        queue: 4 << 20,
        cors_origin: None,
        resume_timeout: Duration::from_secs(30),
        max_waiting: 1024,
    }
}

pub(crate) const NATIVE: To = To::Native(Share(10_000));

/// Endpoints such as `GET /a/{id}`.
pub(crate) fn endpoints(texts: &[&str]) -> Vec<Endpoint> {
    let parts = texts.iter().map(|text| text.split_once(' ').unwrap());
    parts
        .map(|(method, path)| Endpoint {
            method: Method::try_from(method).unwrap(),
            path: path.to_owned(),
        })
        .collect()
}

/// The messages of all diagnostics where there is an error.
pub(crate) fn compile(config: Config, served: &[&str]) -> Result<Table, Vec<String>> {
    let endpoints = endpoints(served);
    let native = NativeSide {
        endpoints: &endpoints,
        events: &[],
        keeps_state_in_memory: false,
    };
    let compiled = Table::compile(config, 1, Some(native));
    compiled.map(|(table, _)| table).map_err(|found| {
        found
            .into_iter()
            .map(|diagnostic| diagnostic.message)
            .collect()
    })
}

/// Routes `GET /path` with these header lines, from 10.0.0.1.
pub(crate) fn route<'t>(
    table: &'t Table,
    request: &str,
    lines: &[(&'static str, &str)],
) -> Route<'t> {
    route_from(table, request, lines, IpAddr::from([10, 0, 0, 1]))
}

pub(crate) fn route_from<'t>(
    table: &'t Table,
    request: &str,
    lines: &[(&'static str, &str)],
    address: IpAddr,
) -> Route<'t> {
    let (method, target) = request.split_once(' ').unwrap();
    let (method, uri) = (
        Method::try_from(method).unwrap(),
        target.parse::<Uri>().unwrap(),
    );
    let line = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::try_from(*value).unwrap(),
        )
    };
    let headers: HeaderMap = lines.iter().map(line).collect();
    table.route(&RequestHead {
        method: &method,
        uri: &uri,
        headers: &headers,
        address,
    })
}
