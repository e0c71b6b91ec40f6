//! `[server]`, `[admin]` and `[limits]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use crate::config::diagnostic::Code;
use crate::config::reader::Table;
use crate::config::source::Source;
use crate::config::value::Value;
use crate::config::{Limits, MemoryLimit, Server, Share, Span, keys};

/// The shortest and the longest time that a timeout may take.
pub(super) const TIMEOUT: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_secs(24 * 3600));

/// `[server]`, and its address even if something else is wrong.
pub(super) struct ReadServer {
    pub(super) checked: Option<Server>,
    pub(super) listen: Option<(SocketAddr, Span)>,
}

/// `[server]`
pub(super) fn server(source: &Source, value: &Value<'_>, table: Table<'_>) -> ReadServer {
    table.check_keys(&keys::SERVER, "`[server]`", Some(&value.header_span()));
    let listen = table
        .get("listen")
        .and_then(|value| address(&value, Listener::Public));
    let cert = table.get("cert").and_then(|value| file(source, &value));
    let key = table.get("key").and_then(|value| file(source, &value));
    let drain = table
        .get("drain")
        .and_then(|value| value.duration(Duration::ZERO..=TIMEOUT.1));
    let trusted_proxies = table.get("trusted_proxies").map(trusted_proxies);
    let side_header = table.get("side_header").and_then(|value| value.boolean());
    let span = table.get("listen").map(|value| value.span());
    let checked = || {
        Some(Server {
            listen: listen?,
            cert: cert?,
            key: key?,
            drain: drain.unwrap_or(Duration::from_secs(30)),
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            side_header: side_header.unwrap_or(false),
        })
    };
    ReadServer {
        checked: checked(),
        listen: listen.zip(span),
    }
}

/// `[admin]`: the address and where it stands. `public` is the port of `[server]`.
pub(super) fn admin(
    value: &Value<'_>,
    table: Table<'_>,
    public: Option<u16>,
) -> Option<(SocketAddr, Span)> {
    table.check_keys(&keys::ADMIN, "`[admin]`", Some(&value.header_span()));
    let value = table.get("listen")?;
    let listen = address(&value, Listener::Admin)?;
    if !listen.ip().is_loopback() {
        let port = match public {
            Some(public) if public == listen.port() => another_port(public, None),
            _ => listen.port(),
        };
        let help = format!("write `\"127.0.0.1:{port}\"`; from elsewhere, use a tunnel (`ssh -L`)");
        let message = "`[admin]` must listen on a loopback address";
        return value.refuse(Code::NotLoopback, message, "reachable from outside", help);
    }
    Some((listen, value.span()))
}

/// `[limits]`
pub(super) fn limits(value: &Value<'_>, table: Table<'_>) -> Limits {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    table.check_keys(&keys::LIMITS, "`[limits]`", Some(&value.header_span()));
    let default = Limits::default();
    let duration = |key, default| {
        table
            .get(key)
            .and_then(|value| value.duration(TIMEOUT.0..=TIMEOUT.1))
            .unwrap_or(default)
    };
    let size = |key, range| table.get(key).and_then(|value| value.size(range));
    let size_in_memory = |key, range, default| {
        size(key, range)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default)
    };
    let streams = table
        .get("streams")
        .and_then(|value| value.integer(1..=10_000));
    let count = |key| {
        let value = table.get(key)?.integer(1..=1_000_000)?;
        usize::try_from(value).ok()
    };
    Limits {
        handshake_timeout: duration("handshake_timeout", default.handshake_timeout),
        header_timeout: duration("header_timeout", default.header_timeout),
        idle_timeout: duration("idle_timeout", default.idle_timeout),
        head: size_in_memory("head", 4 * KIB..=MIB, default.head),
        body: size("body", 0..=1024 * 1024 * MIB),
        min_rate: size("min_rate", 1..=MIB).unwrap_or(default.min_rate),
        replay: size_in_memory("replay", 0..=16 * MIB, default.replay),
        streams: streams
            .and_then(|streams| u32::try_from(streams).ok())
            .unwrap_or(default.streams),
        connections: count("connections"),
        connections_per_address: count("connections_per_address"),
        node_requests: count("node_requests"),
        legs_per_address: count("legs_per_address"),
        unconnected_sessions: count("unconnected_sessions"),
        memory: table
            .get("memory")
            .and_then(|value| memory(&value))
            .unwrap_or(default.memory),
    }
}

/// A share of what the process may use, or a size.
fn memory(value: &Value<'_>) -> Option<MemoryLimit> {
    const MIB: u64 = 1024 * 1024;
    if value.text()?.as_str().ends_with('%') {
        return value.share(100..=10_000).map(MemoryLimit::Share);
    }
    value.size(MIB..=1024 * 1024 * MIB).map(MemoryLimit::Bytes)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            head: 64 * 1024,
            body: None,
            min_rate: 64,
            replay: 64 * 1024,
            streams: 128,
            connections: None,
            connections_per_address: None,
            node_requests: None,
            legs_per_address: None,
            unconnected_sessions: None,
            memory: MemoryLimit::Share(Share(2_500)),
        }
    }
}

/// Who listens on an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listener {
    Public,
    Admin,
}

/// A port that neither of the two has, for an address to suggest.
pub(super) fn another_port(taken: u16, also: Option<u16>) -> u16 {
    let mut usual = 3060..=3062;
    usual
        .find(|port| *port != taken && Some(*port) != also)
        .unwrap_or_default()
}

/// An address as it stands before a port.
pub(super) fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// An address to listen on.
fn address(value: &Value<'_>, listener: Listener) -> Option<SocketAddr> {
    let (example, other) = match listener {
        Listener::Public => ("0.0.0.0:3050", "[::]:3050"),
        Listener::Admin => ("127.0.0.1:3060", "[::1]:3060"),
    };
    let usage = format!("write an IP address and a port, such as `\"{example}\"` or `\"{other}\"`");
    let text = value.text_or(&usage)?;
    if let Ok(address) = text.as_str().parse() {
        return Some(address);
    }
    let with_port = text.as_str().rsplit_once(':');
    let help = match with_port.map(|(host, port)| (host, port.parse::<u16>())) {
        _ if text.is_secret() => {
            format!("set the variable to an IP address and a port, such as `{example}`")
        }
        Some(("localhost", Ok(port))) => format!("write the address: `\"127.0.0.1:{port}\"`"),
        Some(("" | "*", Ok(port))) if listener == Listener::Public => {
            format!("write `\"0.0.0.0:{port}\"` for all addresses of this machine")
        }
        Some(("" | "*", Ok(port))) => format!("write `\"127.0.0.1:{port}\"`"),
        _ => usage,
    };
    let message = format!("{} is not an IP address with a port", text.shown());
    value.refuse(Code::BadAddress, message, "expected IP:PORT", help)
}

/// A path relative to the folder of `routes.toml`. Whether the file exists is for the one who reads it.
pub(super) fn file(source: &Source, value: &Value<'_>) -> Option<PathBuf> {
    Some(source.folder().join(value.filled()?.as_str()))
}

/// IPv4 that is written as IPv6 (`::ffff:10.0.0.0/104`): the addresses of clients are compared as IPv4.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let address = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(96);
    let plain = address.zip(length);
    plain
        .and_then(|(address, length)| Ipv4Net::new(address, length).ok())
        .map_or(network, IpNet::V4)
}

fn trusted_proxies(value: Value<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for value in value
        .list("trusted_proxies = [\"10.0.0.0/8\"]")
        .unwrap_or_default()
    {
        let help = "write an address or a network, such as `\"10.0.0.7\"` or `\"10.0.0.0/8\"`";
        let Some(text) = value.text_or(help) else {
            continue;
        };
        let network = text
            .as_str()
            .parse::<IpNet>()
            .map(|network| network.trunc());
        let network = network
            .or_else(|_| text.as_str().parse::<IpAddr>().map(IpNet::from))
            .map(canonical)
            .ok();
        networks.extend(network.or_else(|| {
            let message = format!("{} is not an IP address or network", text.shown());
            value.refuse(Code::BadAddress, message, "not an address", help)
        }));
    }
    networks
}
