//! `routes.toml` as checked values. `read` fetches the text, `parse` turns it into a `Config` and reports every
//! problem at once. What needs the precedence of rules (ambiguous, unreachable) is found by `routing`.
//!
//! A new key is added to its type here, to `keys.rs`, to the file of its table and to `routes.schema.json`; tests hold
//! the four together.

mod condition;
mod defaults;
pub mod diagnostic;
mod event;
mod keys;
mod native;
mod node;
mod pattern;
mod pointer;
mod reader;
pub mod render;
mod rule;
mod selector;
mod server;
mod socket;
pub mod source;
mod syntax;
mod units;
mod url;
mod validate;
mod value;
mod written;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;

pub use diagnostic::{Code, Diagnostic, Severity};
pub use event::EventName;
pub use pattern::{Pattern, PatternError, PatternProblem, Segment};
pub use pointer::{Pointer, PointerError};
pub use source::{Source, decode, read};

/// A JSON Schema (2020-12) of `routes.toml`, for editors.
pub const SCHEMA: &str = include_str!("config/routes.schema.json");

/// Checks a `routes.toml`. There is a `Config` if and only if no diagnostic is an error; the diagnostics are sorted by
/// place. `env:` is looked up in the environment of this process.
pub fn parse(source: &Source) -> (Option<Config>, Vec<Diagnostic>) {
    parse_with(source, &|name| std::env::var(name).ok())
}

/// [`parse`] with another environment: `variable` gives the value of a variable that is set and UTF-8.
pub fn parse_with(
    source: &Source,
    variable: &dyn Fn(&str) -> Option<String>,
) -> (Option<Config>, Vec<Diagnostic>) {
    validate::validate(source, variable)
}

/// A place in the text of `routes.toml`, in bytes.
pub type Span = Range<usize>;

/// A whole `routes.toml`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `force = "node"`: everything goes to Node, whatever the rules say.
    pub force_node: bool,
    /// `[server]`
    pub server: Server,
    /// `[admin] listen`, a loopback address; `None` without the table.
    pub admin: Option<SocketAddr>,
    /// `[node]`
    pub node: Node,
    /// `[native]`; without it every rule must say `node`.
    pub native: Option<Native>,
    /// `[limits]`
    pub limits: Limits,
    /// `[socket.ID]`, in the order of the file.
    pub sockets: Vec<Socket>,
    /// `[rule.ID]`, in the order of the file; `[defaults]` are already applied.
    pub rules: Vec<Rule>,
    /// Where the file names other files.
    pub places: Places,
}

/// Where the names of other files stand, for what only reading them can find.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Places {
    /// `cert` of `[server]`.
    pub certificate: Option<Span>,
    /// `key` of `[server]`.
    pub key: Option<Span>,
    /// `ca` or `pin` of `[node]`.
    pub trust: Option<Span>,
}

/// `[server]`: the public side.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Where clients connect. Needs a restart.
    pub listen: SocketAddr,
    /// PEM certificate chain, leaf first; re-read when it changes.
    pub cert: PathBuf,
    /// PEM private key of the leaf.
    pub key: PathBuf,
    /// How long running requests may take after SIGTERM. Default 30 s.
    pub drain: Duration,
    /// Proxies whose `Forwarded` and `X-Forwarded-*` headers are believed. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Adds `x-strangler-side` to answers. Default false.
    pub side_header: bool,
}

/// `[node]`: the legacy application.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// `http` or `https`, host, port; no path.
    pub url: NodeUrl,
    /// How an `https` Node is recognised.
    pub trust: Trust,
    /// The name that the certificate must carry and that SNI sends. Default: the host of `url`.
    pub server_name: String,
    /// Started and kept running when not empty; `PORT` is set from `url`. Needs a restart.
    pub command: Vec<String>,
    /// To a TCP and TLS connection. Default 2 s.
    pub connect_timeout: Duration,
    /// To the head of an answer. Default 60 s.
    pub response_timeout: Duration,
    /// Requests that may wait for the head of an answer at once; one more gets 503. Default 1024.
    pub max_waiting: usize,
    /// How Node is asked whether it answers.
    pub health: Health,
}

/// The question whether Node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked for, with its query. Default `/`.
    pub path: String,
    /// Between two questions at least. Default 1 s.
    pub interval: Duration,
    /// To the head of the answer. Default 1 s.
    pub timeout: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        }
    }
}

/// Scheme, host and port of Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUrl {
    /// `https` rather than `http`.
    pub https: bool,
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    /// Explicit, or 80 and 443.
    pub port: u16,
}

/// How an `https` Node proves that it is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The url is `http`: nothing to prove.
    Plain,
    /// Chain to a CA of this PEM file, name and date checked.
    Ca(PathBuf),
    /// The leaf equals the one in this PEM file and is in date; the name is not checked.
    Pin(PathBuf),
    /// Anything goes; logged at each start.
    Insecure,
}

/// `[native]`: the application in this process. Needs a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Native {
    /// The name of the application.
    pub app: String,
    /// Where the name stands.
    pub app_span: Span,
    /// The other keys of the table (`env:` resolved), with where each value stands; the application checks them.
    pub settings: Vec<(String, toml::Value, Span)>,
}

/// `[limits]`: what one client may cost, and what all of them together may hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// To a finished TLS handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// To a complete request head, from its first byte or from the handshake. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection may stay between two requests. Default 75 s.
    pub idle_timeout: Duration,
    /// Bytes of a request head, else 431. Default 64 KiB.
    pub head: usize,
    /// Bytes of a request body, else 413. Default: no limit.
    pub body: Option<u64>,
    /// Bytes per second that a client must send or take while it is the one waited for. Default 64.
    pub min_rate: u64,
    /// Bytes of a request body that are kept for a fallback. Default 64 KiB.
    pub replay: usize,
    /// Concurrent streams of an HTTP/2 connection. Default 128.
    pub streams: u32,
    /// Client connections in all. Default: three quarters of the descriptors.
    pub connections: Option<usize>,
    /// Client connections of one address while more than half of `connections` are open. Default: three quarters of
    /// `connections`.
    pub connections_per_address: Option<usize>,
    /// Requests, tunnels and legs that hold a connection to Node, else 503. Default: half of the descriptors.
    pub node_requests: Option<usize>,
    /// Of these, those of one address while more than half of `node_requests` are in use. Default: three quarters of
    /// `node_requests`.
    pub legs_per_address: Option<usize>,
    /// Bridged sessions that have asked for no namespace yet; one more ends the oldest. Default: a quarter of
    /// `node_requests`.
    pub unconnected_sessions: Option<usize>,
    /// Bytes that may wait for clients and sides. Default 25 %.
    pub memory: MemoryLimit,
}

/// `memory` of `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Of what the process may use: the limit of its cgroup, else the memory of the machine.
    Share(Share),
    /// Fixed.
    Bytes(u64),
}

/// `[socket.ID]`: a live channel. The keys below `mode` are those of a bridge; a tunnel has their defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Socket {
    /// `[a-z0-9-]+`
    pub id: String,
    /// What is spoken on it.
    pub kind: SocketKind,
    /// Begins with `/`. Socket.IO owns everything below it (it ends in `/`), a WebSocket exactly this path.
    pub path: String,
    /// Where `path` stands.
    pub path_span: Span,
    /// Whether its messages are looked at. Decides new connections only. Default `tunnel`.
    pub mode: SocketMode,
    /// What an abrupt end of Node means for its clients. Default `bounce`.
    pub node_loss: NodeLoss,
    /// When a flip reaches connections that are open. Default `message`.
    pub flips: Flips,
    /// What both sides say and a client shall hear once, from Node while its leg lives.
    pub once: Vec<Once>,
    /// Where the tag of a message stands. There if and only if `kind` is a WebSocket and `mode` is `bridge`.
    pub tag: Option<Pointer>,
    /// Of Engine.IO, while Node is away. Default 25 s.
    pub ping_interval: Duration,
    /// Of Engine.IO, while Node is away. Default 20 s.
    pub ping_timeout: Duration,
    /// Bytes of a message from a client. For Socket.IO that of Node counts while Node is there. Default 1,000,000.
    pub max_payload: usize,
    /// Bytes from native that wait for a slow client; a client with more is closed. Default 4 MiB.
    pub queue: usize,
    /// `access-control-allow-origin` of Engine.IO's answers while Node is away; with Node, they are as Node's.
    pub cors_origin: Option<String>,
    /// With `node_loss = "resume"` or `"admit"`, how long a client may wait for Node. Default 30 s.
    pub resume_timeout: Duration,
    /// With `node_loss = "resume"` or `"admit"`, how many clients may wait for Node; one more gets 503. Default 1024.
    pub max_waiting: usize,
}

/// `mode` of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketMode {
    /// Whole connections go to Node, unread.
    Tunnel,
    /// Each message goes to the side that the rules say.
    Bridge,
}

/// `node_loss` of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeLoss {
    /// Clients of a lost Node are disconnected and come back; new ones are refused.
    Bounce,
    /// Clients that Node has accepted are kept, and Node is attached again when it is back. New ones wait, and no side
    /// answers them.
    Resume,
    /// As `Resume`, but while Node's port refuses connections, native admits new clients alone.
    Admit,
}

impl NodeLoss {
    /// Whether clients stay while Node is away.
    pub fn keeps_clients(self) -> bool {
        match self {
            Self::Bounce => false,
            Self::Resume | Self::Admit => true,
        }
    }
}

/// `flips` of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flips {
    /// From the next message on.
    Message,
    /// Connections stay on the sides that they began with.
    Connection,
}

/// One entry of `once`: a message that both sides send to a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Once {
    /// What it is called.
    pub event: EventName,
    /// `where`, pointers only: all must hold.
    pub conditions: Vec<Condition>,
    /// Where the name stands.
    pub span: Span,
}

/// `kind` of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// Socket.IO over Engine.IO.
    SocketIo,
    /// Bare WebSocket.
    WebSocket,
}

/// `[rule.ID]`: what it claims and who answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// `[a-z0-9-]+`
    pub id: String,
    /// Where the id stands.
    pub id_span: Span,
    /// `http`. One of the two kinds of claims is not empty.
    pub claims: Vec<Claim>,
    /// `events`
    pub events: Vec<EventClaim>,
    /// `where`: all must hold.
    pub conditions: Vec<Condition>,
    /// `to`
    pub to: To,
    /// Where the value of `to` stands.
    pub to_span: Span,
    /// `safe`, where the file says it; else by method (GET and HEAD are safe).
    pub safe: Option<bool>,
    /// How long native may take before Node is asked. Default 2 s.
    pub timeout: Duration,
    /// What a share is computed from. Default the client's address.
    pub sticky: Selector,
    /// `breaker`, `None` for `false`.
    pub breaker: Option<Breaker>,
}

/// One entry of `http`, such as `GET /api/driver/{id}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// `None`: all methods. GET includes HEAD.
    pub method: Option<Method>,
    /// The path.
    pub pattern: Pattern,
    /// Where the string stands.
    pub span: Span,
}

/// One entry of `events`: the messages of one name on a socket, or all of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct EventClaim {
    /// The id of a socket that is bridged.
    pub socket: String,
    /// `/` without one, and for a WebSocket.
    pub namespace: String,
    /// The name of a Socket.IO event, never empty, or the tag of a WebSocket message. `None` is `*`: all of them.
    pub name: Option<String>,
    /// Where the string stands.
    pub span: Span,
}

/// One entry of `where`: the selected value is one of `values`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub selector: Selector,
    /// Any of these, never empty, no duplicates.
    pub values: Vec<Scalar>,
    /// Where the selector stands.
    pub span: Span,
}

/// Picks one value from a request. For events the request is the handshake of the connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// `/json/pointer`, for events only: into the first argument, or the whole message of a tagged WebSocket.
    Pointer(Pointer),
    /// `header:NAME`, the first line of that name.
    Header(http::HeaderName),
    /// `cookie:NAME`, the first of that name.
    Cookie(String),
    /// `query:NAME`, the first of that name, percent-decoded, `+` as a space.
    Query(String),
    /// `jwt:CLAIM` of the bearer token, whose signature is *not* checked: it routes, it does not authorise.
    Jwt(String),
    /// `address`, the client's.
    Address,
}

/// A JSON scalar. Numbers compare as JavaScript's (36 = 36.0).
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A string.
    Text(String),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// `to` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// `"node"`
    Node,
    /// `"native"` is a share of 100 %.
    Native(Share),
    /// `"native only"`: no fallback, no breaker.
    NativeOnly,
}

/// A share of clients, in hundredths of a per cent: `"5%"` is 500, 10,000 is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u16);

/// `breaker = { failures = "50%", requests = 20, window = "10s", probe = "5s" }`, which are the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Opens at this share of native failures …
    pub failures: Share,
    /// … among at least this many requests …
    pub requests: u32,
    /// … of this long a window.
    pub window: Duration,
    /// How long it stays open before a probe is admitted.
    pub probe: Duration,
}

#[cfg(test)]
mod tests;
