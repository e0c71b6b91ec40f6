//! Configurations for tests, without a file.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::config::{
    Claim, Condition, Config, EventClaim, EventName, Flips, Limits, Node, NodeLoss, NodeUrl,
    Pattern, Pointer, Rule, Scalar, Selector, Server, Share, Socket, SocketKind, SocketMode, To,
    Trust,
};
use crate::routing::{
    Endpoint, Event, EventHead, LazyArgument, NativeSide, RequestHead, Route, Side, Table,
};

/// A configuration of these rules; spans are set so that they stand in this order.
pub(crate) fn config(rules: Vec<Rule>) -> Config {
    let second = Duration::from_secs(1);
    let mut rules = rules;
    for (index, rule) in rules.iter_mut().enumerate() {
        let span = |at: usize| index * 100 + at..index * 100 + at + 1;
        (rule.id_span, rule.to_span) = (span(0), span(90));
        (rule.claims.iter_mut().enumerate()).for_each(|(at, claim)| claim.span = span(1 + at));
        (rule.events.iter_mut().enumerate()).for_each(|(at, claim)| claim.span = span(30 + at));
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
            health: crate::config::Health::default(),
        },
        native: None,
        limits: Limits::default(),
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

/// The same socket, bridged.
pub(crate) fn bridged(id: &str, kind: SocketKind, path: &str) -> Socket {
    let tag = Pointer::parse("/type").unwrap();
    Socket {
        mode: SocketMode::Bridge,
        tag: (kind == SocketKind::WebSocket).then_some(tag),
        ..socket(id, kind, path)
    }
}

/// A rule that claims events, such as `readers message` or `readers /admin,*`.
pub(crate) fn event_rule(id: &str, events: &[&str], to: To) -> Rule {
    let mut made = rule(id, &[], to);
    made.events = events.iter().map(|text| event_claim(text)).collect();
    made
}

fn event_claim(text: &str) -> EventClaim {
    let (socket, event) = text.split_once(' ').unwrap();
    let EventName { namespace, name } = EventName::parse(event, SocketKind::SocketIo).unwrap();
    EventClaim {
        socket: socket.to_owned(),
        namespace,
        name: Some(name).filter(|name| name != "*"),
        span: 0..0,
    }
}

pub(crate) fn pointer(text: &str) -> Selector {
    Selector::Pointer(Pointer::parse(text).unwrap())
}

/// Events such as `message` or `/admin,message`.
pub(crate) fn served(texts: &[&str]) -> Vec<Event> {
    let event = |text: &&str| {
        let EventName { namespace, name } = EventName::parse(text, SocketKind::SocketIo).unwrap();
        Event { namespace, name }
    };
    texts.iter().map(event).collect()
}

/// As `compile`, with sockets, and what native serves: endpoints such as `GET /a`, or events.
pub(crate) fn compile_events(
    sockets: Vec<Socket>,
    rules: Vec<Rule>,
    native: &[&str],
) -> Result<Table, Vec<String>> {
    let (requests, events): (Vec<&str>, Vec<&str>) =
        native.iter().partition(|text| text.contains(" /"));
    let (endpoints, events) = (endpoints(&requests), served(&events));
    let native = NativeSide {
        endpoints: &endpoints,
        events: &events,
        connects: &[],
        keeps_state_in_memory: false,
    };
    let config = Config {
        sockets,
        ..config(rules)
    };
    let compiled = Table::compile(config, 1, Some(native));
    compiled.map(|(table, _)| table).map_err(|found| {
        let messages = found.into_iter().map(|diagnostic| diagnostic.message);
        messages.collect()
    })
}

/// Routes a message on the first socket, see `with_event`. Gives the rule, the side and the reason.
pub(crate) fn route_event(
    table: &Table,
    message: &str,
    lines: &[(&'static str, &str)],
) -> (Option<String>, Side, String) {
    with_event(table, message, lines, |head| {
        let route = table.event(0, head);
        let id = route.rule.map(|(_, rule)| rule.id.clone());
        (id, route.side, format!("{:?}", route.reason))
    })
}

/// Makes `message {"json":1}`, a name as on the wire and the first argument if there is one, a message of the table's
/// first socket, whose handshake came from 10.0.0.1.
pub(crate) fn with_event<R>(
    table: &Table,
    message: &str,
    lines: &[(&'static str, &str)],
    then: impl FnOnce(&EventHead<'_>) -> R,
) -> R {
    let (event, argument) = message.split_once(' ').unwrap_or((message, ""));
    let event = EventName::parse(event, SocketKind::SocketIo).unwrap();
    let packet = match argument {
        "" => "[\"name\"]".to_owned(),
        argument => format!("[\"name\",{argument}]"),
    };
    let argument = match table.config().sockets[0].kind {
        SocketKind::SocketIo => LazyArgument::of_event(packet.as_bytes()),
        SocketKind::WebSocket => LazyArgument::of_message(argument.as_bytes()),
    };
    let uri = Uri::from_static("/socket.io/?EIO=4&room=7");
    then(&EventHead {
        namespace: &event.namespace,
        name: &event.name,
        request: &RequestHead {
            method: &Method::GET,
            uri: &uri,
            headers: &header_map(lines),
            address: IpAddr::from([10, 0, 0, 1]),
        },
        argument: &argument,
    })
}

fn header_map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::try_from(*value).unwrap(),
        )
    };
    lines.iter().map(line).collect()
}

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
        connects: &[],
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
    let headers = header_map(lines);
    table.route(&RequestHead {
        method: &method,
        uri: &uri,
        headers: &headers,
        address,
    })
}
