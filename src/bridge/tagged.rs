//! The bridge of one WebSocket whose JSON messages carry a tag: each message goes to the side that the table says for its
//! tag, the messages of both sides to the client. While Node is attached, the closing handshake, pings and sub-protocols
//! are between it and the client; native hears its pongs from here.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use crate::bridge::Surroundings;
use crate::bridge::engineio::Stream;
use crate::bridge::handshake::Handshake;
use crate::bridge::native::{self, Refused};
use crate::bridge::node::{self, NoLeg, Template};
use crate::bridge::rewind::Rewind;
use crate::bridge::websocket::{Message, Role, WebSocket, WebSocketError};
use crate::config::{self, Flips, NodeLoss, To};
use crate::live::{RuleState, Snapshot, format_sources};
use crate::routing::{EventHead, LazyArgument, Side};
use crate::upstream::connect::NodeStream;

/// Bytes that somebody has not taken yet, from which on whoever sends to it waits.
const HIGH: usize = 64 * 1024;

/// Largest message of a side. A server bounds what clients send, never what it sends.
const MOST: usize = 256 * 1024 * 1024;

/// Between two tries to reach a lost side.
const RETRY: Duration = Duration::from_millis(250);

/// How long the closing handshake may take (RFC 6455 §7.1.1: the server closes the stream).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const GOING_AWAY: u16 = 1001;

/// A WebSocket has no namespaces; the table knows all of its messages under this one.
const NAMESPACE: &str = "/";

/// The leg to Node.
pub(crate) type NodeSocket = WebSocket<Rewind<NodeStream>>;

/// The leg to native.
pub(crate) type NativeSocket = WebSocket<Rewind<DuplexStream>>;

enum NodeSide {
    Absent,
    Open(Box<NodeSocket>),
    Opening(AbortOnDropHandle<Result<NodeSocket, NoLeg>>),
    Waiting(Instant),
}

/// Why a bridge ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// A close frame is on its way to the client.
    Closed,
    /// As if the network broke.
    Drop,
}

/// The bridge of one client.
pub(crate) struct Tagged {
    surroundings: Arc<Surroundings>,
    socket: String,
    handshake: Arc<Handshake>,
    client: WebSocket<Box<dyn Stream>>,
    pinned: Option<Arc<Snapshot>>,
    node: NodeSide,
    away_since: Option<Instant>,
    /// What Node gets when it is there again.
    waiting: Vec<Message>,
    native: Option<Box<NativeSocket>>,
    /// Native refused the client, or broke off lately.
    native_again: Option<Instant>,
    generation: watch::Receiver<u64>,
    node_first: bool,
}

/// The side that accepted the client.
pub(crate) enum First {
    Node(NodeSocket),
    Native(NativeSocket),
}

enum Step {
    Client(Option<Result<Message, WebSocketError>>),
    Node(Option<Result<Message, WebSocketError>>),
    Opened(Result<NodeSocket, NoLeg>),
    Native(Option<Result<Message, WebSocketError>>),
    Table,
    Deadline,
    Stop,
}

/// A leg to Node as the client of `handshake`, and what Node says with its 101.
pub(crate) async fn open_node(
    snapshot: &Snapshot,
    handshake: &Handshake,
) -> Result<(NodeSocket, Template), NoLeg> {
    let (stream, first, template) =
        node::open_stream(&snapshot.node, handshake.websocket_request()).await?;
    let stream = Rewind::new(first, stream);
    Ok((WebSocket::new(stream, Role::Client, MOST), template))
}

/// A leg to native, and what native says with its 101.
pub(crate) async fn open_native(
    surroundings: &Surroundings,
    handshake: &Handshake,
) -> Result<(NativeSocket, Template), Refused> {
    let router = surroundings.router.as_ref().ok_or(None)?;
    let (stream, first, template) = native::open_stream(router, handshake).await?;
    let stream = Rewind::new(first, stream);
    Ok((WebSocket::new(stream, Role::Client, MOST), template))
}

impl Tagged {
    /// The bridge of a client that `first` has accepted; `socket` is where its socket stands in the table.
    pub(crate) fn new(
        surroundings: Arc<Surroundings>,
        handshake: Handshake,
        stream: Box<dyn Stream>,
        first: First,
        snapshot: Arc<Snapshot>,
        socket: usize,
    ) -> Self {
        let settings = &snapshot.table.config().sockets[socket];
        let (id, flips) = (settings.id.clone(), settings.flips);
        let client = WebSocket::new(stream, Role::Server, settings.max_payload);
        let (node, native) = match first {
            First::Node(node) => (NodeSide::Open(Box::new(node)), None),
            First::Native(native) => (NodeSide::Absent, Some(Box::new(native))),
        };
        Self {
            generation: surroundings.live.generation(),
            surroundings,
            socket: id,
            handshake: Arc::new(handshake),
            client,
            pinned: (flips == Flips::Connection).then_some(snapshot),
            node,
            away_since: None,
            waiting: Vec::new(),
            native,
            native_again: None,
            node_first: false,
        }
    }

    /// Serves the client until one end leaves.
    pub(crate) async fn run(mut self) {
        self.surroundings.metrics.bridges.inc();
        let end = match self.follow_table().await {
            Err(end) => end,
            Ok(()) => loop {
                let step = self.step().await;
                if let Err(end) = self.take(step).await {
                    break end;
                }
            },
        };
        self.surroundings.metrics.bridges.dec();
        debug!(socket = %self.socket, ?end, "a bridge ends");
        if end == End::Closed {
            let close = async {
                let _ = self.client.flush().await;
                if let NodeSide::Open(node) = &mut self.node {
                    let _ = node.flush().await;
                }
                if let Some(native) = &mut self.native {
                    let _ = native.flush().await;
                }
                // The other end of a closing handshake answers and then waits for the stream to end.
                while let Some(Ok(message)) = self.client.next().await {
                    if matches!(message, Message::Close(_)) {
                        break;
                    }
                }
                self.client.shutdown().await;
            };
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
        }
    }

    async fn step(&mut self) -> Step {
        let retry = match &self.node {
            NodeSide::Waiting(until) => Some(*until),
            _ => None,
        };
        let given_up = self.away_since.map(|since| since + self.resume_timeout());
        let deadline = [retry, given_up].into_iter().flatten().min();
        self.node_first = !self.node_first;
        let Self {
            client,
            node,
            native,
            generation,
            surroundings,
            node_first,
            ..
        } = self;
        let mut ends = Ends {
            client,
            node,
            native,
        };
        let mut stop = surroundings.stop.clone();
        tokio::select! {
            biased;
            step = poll_fn(|context| ends.poll(context, *node_first)) => step,
            Ok(()) = generation.changed() => Step::Table,
            () = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            } => Step::Deadline,
            Ok(_) = stop.wait_for(|stop| *stop) => Step::Stop,
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), End> {
        match step {
            Step::Client(Some(Ok(message))) => self.hear_client(message).await,
            Step::Client(Some(Err(error))) => {
                let Some(code) = error.close_code() else {
                    return Err(End::Drop);
                };
                self.count_refused("malformed");
                // Node would have said the same, and seen the client break off.
                self.client
                    .queue(&Message::Close(Some((code, Bytes::new()))));
                self.node = NodeSide::Absent;
                Err(End::Closed)
            }
            Step::Client(None) => Err(End::Drop),
            Step::Node(Some(Ok(message))) => self.hear_node(message),
            Step::Node(Some(Err(_)) | None) => self.lose_node(),
            Step::Opened(opened) => self.attach_node(opened),
            Step::Native(Some(Ok(message))) => self.hear_native(message),
            Step::Native(Some(Err(_)) | None) => self.lose_native(),
            Step::Table => self.follow_table().await,
            Step::Deadline => self.overdue(),
            Step::Stop => {
                self.close_all(Some((GOING_AWAY, Bytes::new())));
                Err(End::Closed)
            }
        }
    }

    async fn hear_client(&mut self, message: Message) -> Result<(), End> {
        let text: &[u8] = match &message {
            Message::Text(text) => text,
            // No tag: what `*` says, else Node.
            Message::Binary(_) => b"",
            Message::Ping(_) | Message::Pong(_) => {
                self.pass_control(&message);
                return Ok(());
            }
            Message::Close(close) => {
                self.close_all(close.clone());
                return self.answer_close(close.clone()).await;
            }
        };
        let snapshot = self.snapshot();
        let Some(socket) = self.socket_of(&snapshot) else {
            return Err(End::Drop);
        };
        let argument = LazyArgument::of_message(text);
        let tag = snapshot.table.tag(socket, &argument).unwrap_or_default();
        let head = self.handshake.head();
        let route = snapshot.table.event(
            socket,
            &EventHead {
                namespace: NAMESPACE,
                name: &tag,
                request: &head,
                argument: &argument,
            },
        );
        let (rule, only) = match route.rule {
            Some((rule, settings)) => (&snapshot.rules[rule], settings.to == To::NativeOnly),
            None => (&snapshot.sockets[socket], false),
        };
        if route.side == Side::Native {
            self.attach_native().await;
            if let Some(native) = &mut self.native {
                rule.metrics.native.event();
                native.queue(&message);
                return Ok(());
            }
            if only {
                rule.metrics.unanswered("no-leg");
                return Ok(());
            }
            rule.metrics.fell_back("no-leg");
        }
        self.tell_node(message, rule)
    }

    /// Pings and pongs of the client belong to Node while it is attached.
    fn pass_control(&mut self, message: &Message) {
        match (&mut self.node, &mut self.native) {
            (NodeSide::Open(node), _) => node.queue(message),
            (_, Some(native)) => native.queue(message),
            // Nobody is there for the moment, and the client only wants to know that somebody is.
            _ => {
                if let Message::Ping(bytes) = message {
                    self.client.queue(&Message::Pong(bytes.clone()));
                }
            }
        }
    }

    fn tell_node(&mut self, message: Message, rule: &RuleState) -> Result<(), End> {
        rule.metrics.node.event();
        match &mut self.node {
            NodeSide::Open(node) => node.queue(&message),
            NodeSide::Opening(_) | NodeSide::Waiting(_) => {
                self.waiting.push(message);
                let bytes: usize = self.waiting.iter().map(size).sum();
                if bytes > self.setting(|socket| socket.queue).unwrap_or(HIGH) {
                    self.count_refused("backlog");
                    return Err(End::Drop);
                }
            }
            NodeSide::Absent => rule.metrics.unanswered("node-gone"),
        }
        Ok(())
    }

    fn hear_node(&mut self, message: Message) -> Result<(), End> {
        self.client.queue(&message);
        if let Message::Close(close) = message {
            if let NodeSide::Open(node) = &mut self.node {
                node.queue(&Message::Close(close.clone()));
            }
            if let Some(native) = &mut self.native {
                native.queue(&Message::Close(close));
            }
            return Err(End::Closed);
        }
        Ok(())
    }

    fn hear_native(&mut self, message: Message) -> Result<(), End> {
        let alone = matches!(self.node, NodeSide::Absent);
        match message {
            Message::Ping(bytes) if !alone => {
                if let Some(native) = &mut self.native {
                    native.queue(&Message::Pong(bytes));
                }
                return Ok(());
            }
            Message::Pong(_) if !alone => return Ok(()),
            Message::Close(_) if !alone => return self.lose_native(),
            Message::Close(close) => {
                self.client.queue(&Message::Close(close));
                return Err(End::Closed);
            }
            message => {
                if !alone && self.is_once(&message) {
                    return Ok(());
                }
                self.client.queue(&message);
            }
        }
        if self.client.queued() > self.setting(|socket| socket.queue).unwrap_or(HIGH) {
            self.count_refused("slow-client");
            return Err(End::Drop);
        }
        Ok(())
    }

    fn is_once(&self, message: &Message) -> bool {
        let Message::Text(text) = message else {
            return false;
        };
        let snapshot = self.snapshot();
        let Some(socket) = self.socket_of(&snapshot) else {
            return false;
        };
        let argument = LazyArgument::of_message(text);
        let tag = snapshot.table.tag(socket, &argument).unwrap_or_default();
        snapshot.table.once(socket, NAMESPACE, &tag, &argument)
    }

    fn close_all(&mut self, close: Option<(u16, Bytes)>) {
        let message = Message::Close(close);
        if let NodeSide::Open(node) = &mut self.node {
            node.queue(&message);
        }
        if let Some(native) = &mut self.native {
            native.queue(&message);
        }
        if matches!(message, Message::Close(Some((GOING_AWAY, _)))) {
            self.client.queue(&message);
        }
    }

    /// The client has closed: Node's answer is passed on, or given in its place.
    async fn answer_close(&mut self, close: Option<(u16, Bytes)>) -> Result<(), End> {
        let mut answer = close;
        if let NodeSide::Open(node) = &mut self.node {
            let from_node = async {
                let _ = node.flush().await;
                loop {
                    match node.next().await {
                        Some(Ok(Message::Close(close))) => return Some(close),
                        Some(Ok(_)) => {}
                        _ => return None,
                    }
                }
            };
            if let Ok(Some(close)) = tokio::time::timeout(CLOSE_TIMEOUT, from_node).await {
                answer = close;
            }
        }
        self.client.queue(&Message::Close(answer));
        let _ = self.client.flush().await;
        self.client.shutdown().await;
        Err(End::Drop)
    }

    fn lose_node(&mut self) -> Result<(), End> {
        self.node = NodeSide::Absent;
        let snapshot = self.snapshot();
        let Some(socket) = self.socket_of(&snapshot) else {
            return Err(End::Drop);
        };
        if !snapshot.table.needs_node(socket, NAMESPACE) {
            debug!(socket = %self.socket, "node left, which nothing needs");
            return Ok(());
        }
        if snapshot.table.config().sockets[socket].node_loss == NodeLoss::Bounce {
            return Err(End::Drop);
        }
        let losses = &self.surroundings.metrics.node_losses;
        losses.with_label_values(&[&self.socket]).inc();
        self.reach_node(&snapshot);
        Ok(())
    }

    fn reach_node(&mut self, snapshot: &Arc<Snapshot>) {
        self.away_since.get_or_insert_with(Instant::now);
        let (snapshot, handshake) = (Arc::clone(snapshot), Arc::clone(&self.handshake));
        let task = tokio::spawn(async move {
            let (leg, _) = open_node(&snapshot, &handshake).await?;
            Ok(leg)
        });
        self.node = NodeSide::Opening(AbortOnDropHandle::new(task));
    }

    fn attach_node(&mut self, opened: Result<NodeSocket, NoLeg>) -> Result<(), End> {
        match opened {
            Ok(mut node) => {
                self.away_since = None;
                for message in std::mem::take(&mut self.waiting) {
                    node.queue(&message);
                }
                self.node = NodeSide::Open(Box::new(node));
                Ok(())
            }
            Err(NoLeg::Away(error)) => {
                debug!(socket = %self.socket, error = format_sources(&error), "node is still away");
                self.node = NodeSide::Waiting(Instant::now() + RETRY);
                Ok(())
            }
            Err(NoLeg::Refused(_) | NoLeg::Crowded | NoLeg::Stopping) => Err(End::Drop),
        }
    }

    async fn attach_native(&mut self) {
        let now = Instant::now();
        if self.native.is_some() || self.native_again.is_some_and(|again| again > now) {
            return;
        }
        // Boxed, so that an idle client keeps no room for it.
        match Box::pin(open_native(&self.surroundings, &self.handshake)).await {
            Ok((native, _)) => self.native = Some(Box::new(native)),
            Err(_) => {
                debug!(socket = %self.socket, "native refuses a client that node has accepted");
                self.native_again = Some(now + RETRY);
            }
        }
    }

    fn lose_native(&mut self) -> Result<(), End> {
        self.native = None;
        self.native_again = Some(Instant::now() + RETRY);
        if matches!(self.node, NodeSide::Absent) {
            return Err(End::Drop);
        }
        Ok(())
    }

    /// A flip: sides that are needed from now on are attached, none is closed. Native is attached before its first
    /// message, since it may have something to say to the client's other devices.
    async fn follow_table(&mut self) -> Result<(), End> {
        let snapshot = self.snapshot();
        let Some(socket) = self.socket_of(&snapshot) else {
            return Ok(());
        };
        if snapshot.table.uses_native(socket, NAMESPACE) {
            self.attach_native().await;
        }
        let needs_node = snapshot.table.needs_node(socket, NAMESPACE);
        match &self.node {
            NodeSide::Absent if needs_node => self.reach_node(&snapshot),
            NodeSide::Opening(_) | NodeSide::Waiting(_) if !needs_node => {
                // A Node that nothing needs is not retried.
                self.node = NodeSide::Absent;
                self.away_since = None;
            }
            _ => {}
        }
        Ok(())
    }

    fn overdue(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self
            .away_since
            .is_some_and(|since| since + self.resume_timeout() <= now)
        {
            self.count_refused("node-away");
            return Err(End::Drop);
        }
        if let NodeSide::Waiting(until) = &self.node
            && *until <= now
        {
            let snapshot = self.snapshot();
            self.reach_node(&snapshot);
        }
        Ok(())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        match &self.pinned {
            Some(snapshot) => Arc::clone(snapshot),
            None => self.surroundings.live.load(),
        }
    }

    fn socket_of(&self, snapshot: &Snapshot) -> Option<usize> {
        let sockets = &snapshot.table.config().sockets;
        sockets.iter().position(|socket| socket.id == self.socket)
    }

    fn setting<T>(&self, read: impl FnOnce(&config::Socket) -> T) -> Option<T> {
        let snapshot = self.snapshot();
        let socket = self.socket_of(&snapshot)?;
        Some(read(&snapshot.table.config().sockets[socket]))
    }

    fn resume_timeout(&self) -> Duration {
        self.setting(|socket| socket.resume_timeout)
            .unwrap_or_default()
    }

    fn count_refused(&self, reason: &str) {
        let refused = &self.surroundings.metrics.refused_packets;
        refused.with_label_values(&[&self.socket, reason]).inc();
    }
}

/// The client and its legs. One that does not take what it gets makes those wait that send to it, which is looked at
/// each time that bytes have moved.
struct Ends<'b> {
    client: &'b mut WebSocket<Box<dyn Stream>>,
    node: &'b mut NodeSide,
    native: &'b mut Option<Box<NativeSocket>>,
}

impl Ends<'_> {
    /// `node_first` alternates, so that an end that never pauses does not silence the other. An error of a write shows
    /// when reading.
    fn poll(&mut self, context: &mut Context<'_>, node_first: bool) -> Poll<Step> {
        let mut congested = false;
        if let NodeSide::Open(leg) = self.node {
            let _ = leg.poll_flush(context);
            congested |= leg.queued() > HIGH;
        }
        if let Some(leg) = self.native {
            let _ = leg.poll_flush(context);
            congested |= leg.queued() > HIGH;
        }
        let _ = self.client.poll_flush(context);
        if node_first && let Poll::Ready(step) = self.poll_legs(context) {
            return Poll::Ready(step);
        }
        if !congested && let Poll::Ready(message) = self.client.poll_next(context) {
            return Poll::Ready(Step::Client(message));
        }
        self.poll_legs(context)
    }

    fn poll_legs(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let step = match self.node {
            NodeSide::Open(leg) if self.client.queued() < HIGH => {
                leg.poll_next(context).map(Step::Node)
            }
            NodeSide::Opening(task) => {
                let opened = Pin::new(task).poll(context);
                opened.map(|opened| Step::Opened(opened.unwrap_or(Err(NoLeg::Stopping))))
            }
            NodeSide::Open(_) | NodeSide::Absent | NodeSide::Waiting(_) => Poll::Pending,
        };
        match self.native {
            Some(leg) if step.is_pending() => leg.poll_next(context).map(Step::Native),
            _ => step,
        }
    }
}

fn size(message: &Message) -> usize {
    match message {
        Message::Text(bytes)
        | Message::Binary(bytes)
        | Message::Ping(bytes)
        | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}
