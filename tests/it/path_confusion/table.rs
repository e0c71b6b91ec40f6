//! Tables of one native rule.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use strangler::config::{
    Claim, Config, Limits, Node, NodeUrl, Pattern, Rule, Selector, Server, Share, To, Trust,
};
use strangler::routing::{Endpoint, NativeSide, Table};

use super::cases::ROUTES;

/// A table that sends to native what this route's claim and endpoint match.
pub(crate) fn table(route: usize) -> Table {
    let (claim, endpoint, _) = ROUTES[route];
    let (method, path) = endpoint.split_once(' ').unwrap();
    let endpoints = [Endpoint {
        method: Method::try_from(method).unwrap(),
        path: path.to_owned(),
    }];
    let native = NativeSide {
        endpoints: &endpoints,
        connects: &[],
        events: &[],
        keeps_state_in_memory: false,
    };
    Table::compile(config(claim), 1, Some(native)).unwrap().0
}

/// One native rule with this claim.
fn config(claim: &str) -> Config {
    let second = Duration::from_secs(1);
    let (method, path) = claim
        .split_once(' ')
        .map_or((None, claim), |(method, path)| (Some(method), path));
    let claim = Claim {
        method: method.map(|method| Method::try_from(method).unwrap()),
        pattern: Pattern::parse(path).unwrap(),
        span: 0..0,
    };
    Config {
        force_node: false,
        server: Server {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            cert: "cert.pem".into(),
            key: "key.pem".into(),
            drain: second,
            trusted_proxies: Vec::new(),
            side_header: false,
        },
        admin: None,
        node: Node {
            url: NodeUrl {
                https: false,
                host: "127.0.0.1".to_owned(),
                port: 1,
            },
            trust: Trust::Plain,
            server_name: String::new(),
            command: Vec::new(),
            connect_timeout: second,
            response_timeout: second,
            max_waiting: 1,
            health: strangler::config::Health::default(),
        },
        native: None,
        limits: Limits::default(),
        sockets: Vec::new(),
        rules: vec![Rule {
            id: "judged".to_owned(),
            id_span: 0..0,
            claims: vec![claim],
            events: Vec::new(),
            conditions: Vec::new(),
            to: To::Native(Share(10_000)),
            to_span: 0..0,
            safe: None,
            timeout: second,
            sticky: Selector::Address,
            breaker: None,
        }],
        places: Default::default(),
    }
}
