//! The bridge of one WebSocket whose JSON messages carry a tag: each message goes to the side that the table says for its
//! tag, the messages of both sides to the client.
//!
//! While Node is attached, everything else is between it and the client: pings, sub-protocols, the closing handshake.
//! Native hears its pongs from here. A new client is accepted in `door`; `from_client` and `from_sides` pass messages
//! on, `legs` follows the table and what becomes of the sides, `closing` ends it.

pub(super) mod door;

mod closing;
mod ends;
mod from_client;
mod from_sides;
mod legs;
mod side;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::task::consume_budget;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use self::closing::Closing;
use self::door::{First, NoNative};
use self::ends::Ends;
use self::side::{Leg, Side};
use crate::bridge::engineio::Stream;
use crate::bridge::handshake::Handshake;
use crate::bridge::namespace::Backlog;
use crate::bridge::node::NoLeg;
use crate::bridge::rewind::Rewind;
use crate::bridge::websocket::{Message, Role, WebSocket, WebSocketError};
use crate::bridge::{Surroundings, Waiting};
use crate::budget::waiter::Waiter;
use crate::config::{self, Flips};
use crate::live::{Snapshot, Trial};
use crate::metrics::{Counted, Share};
use crate::upstream::connect::NodeStream;

/// Bytes that somebody has not taken yet, from which on whoever sends to it waits.
const HIGH: usize = 64 * 1024;

/// Largest message of a side. A server bounds what clients send, never what it sends.
const MOST: usize = 256 * 1024 * 1024;

/// A WebSocket has no namespaces; the table knows all of its messages under this one.
const NAMESPACE: &str = "/";

type Client = WebSocket<Box<dyn Stream>>;
type NodeLeg = Leg<Rewind<NodeStream>>;
type NativeLeg = Leg<Rewind<DuplexStream>>;
type NodeSide = Side<Rewind<NodeStream>, NoLeg>;
type NativeSide = Side<Rewind<DuplexStream>, NoNative>;

/// Why a bridge ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client has, or gets now, a close frame.
    Closed,
    /// As if the network broke, so that the client comes back.
    Drop,
}

/// The bridge of one client.
pub(crate) struct Tagged {
    surroundings: Arc<Surroundings>,
    /// The id of the client's socket.
    socket: String,
    handshake: Arc<Handshake>,
    client: Client,
    /// With `flips = "connection"`, the table that the connection began with.
    pinned: Option<Arc<Snapshot>>,
    node: NodeSide,
    native: NativeSide,
    /// Native has had a message of this client over its leg.
    native_was_told: bool,
    /// The last message that native got. If the leg breaks off before native says anything, that message is what broke it.
    trial: Option<Trial>,
    /// Node has accepted the client once. Only then can it wait for a Node that gives no answer.
    accepted_by_node: bool,
    /// A side has accepted the client: Node, or native where Node is not needed or the file lets native admit clients.
    accepted: bool,
    /// The messages of the client from before that.
    early: Backlog<Message>,
    /// Since when Node is away, for clients that wait for it.
    away_since: Option<Instant>,
    /// The client was not seen by Node yet, whose port refused connections when the client came.
    place: Option<Waiting>,
    /// The size of what Node said last, which may wait for the client although it is over every bound.
    last_of_node: usize,
    closing: Closing,
    generation: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    legs_first: bool,
    queued: Queued,
    /// All that waits for the client and for its sides.
    waiter: Arc<Waiter>,
    _open: Counted,
}

/// What waits for each end, as the metrics know it.
struct Queued {
    client: Share,
    node: Share,
    native: Share,
}

/// One thing that happened.
enum Step {
    Client(Option<Result<Message, WebSocketError>>),
    Node(Option<Result<Message, WebSocketError>>),
    NodeOpened(Option<Result<NodeLeg, NoLeg>>),
    Native(Option<Result<Message, WebSocketError>>),
    NativeOpened(Option<Result<NativeLeg, NoNative>>),
    Table,
    Deadline,
    /// It has to go, for the sake of others.
    Ended,
    Stop,
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
        let (node, native, place) = match first {
            First::Node(node) => (Some(node), None, None),
            First::Native(native) => (None, Some(native), None),
            First::Later(native, place) => (None, native, Some(place)),
        };
        let metrics = &surroundings.metrics;
        let share = |side| Share::new(metrics.queued.with_label_values(&[side]));
        let queued = Queued {
            client: share("client"),
            node: share("node"),
            native: share("native"),
        };
        Self {
            generation: surroundings.live.generation(),
            stop: surroundings.stop.clone(),
            _open: Counted::new(metrics.bridges.clone()),
            waiter: Waiter::new(&surroundings.budget),
            surroundings,
            socket: id,
            handshake: Arc::new(handshake),
            client,
            pinned: (flips == Flips::Connection).then_some(snapshot),
            accepted_by_node: node.is_some(),
            accepted: node.is_some() || native.is_some(),
            node: Side::new(node),
            native: Side::new(native),
            native_was_told: false,
            trial: None,
            early: Backlog::default(),
            away_since: None,
            place,
            last_of_node: 0,
            closing: Closing::default(),
            legs_first: false,
            queued,
        }
    }

    /// Serves the client until one end leaves.
    pub(crate) async fn run(mut self) {
        let mut taken = self.follow_table();
        let end = loop {
            if let Err(end) = taken {
                break end;
            }
            let step = self.step().await;
            taken = self.take(step);
            // One read may bring thousands of small messages, and the other clients of this thread have theirs to say.
            consume_budget().await;
        };
        debug!(socket = %self.socket, ?end, "a bridge ends");
        self.finish(end).await;
    }

    /// Waits for the next thing to happen. Everything that is queued is written meanwhile.
    async fn step(&mut self) -> Step {
        // A client that never pauses must not keep these from being seen.
        if *self.stop.borrow() {
            return Step::Stop;
        }
        if self.generation.has_changed().is_ok_and(|changed| changed) {
            self.generation.mark_unchanged();
            return Step::Table;
        }
        let deadline = self.deadline();
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Step::Deadline;
        }
        self.legs_first = !self.legs_first;
        let legs_first = self.legs_first;
        let mut ends = Ends {
            client: &mut self.client,
            node: &mut self.node,
            native: &mut self.native,
            client_is_done: self.closing.client_has_closed(),
            client_is_gone: self.closing.client_is_gone(),
            queued: &mut self.queued,
            waiter: &self.waiter,
            kept: self.handshake.size() + self.early.bytes(),
        };
        tokio::select! {
            biased;
            step = poll_fn(|context| ends.poll(context, legs_first)) => step,
            Ok(()) = self.generation.changed() => Step::Table,
            () = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            } => Step::Deadline,
            () = self.waiter.ended() => Step::Ended,
            Ok(_) = self.stop.wait_for(|stop| *stop) => Step::Stop,
        }
    }

    /// The next moment at which something is due without anybody saying so.
    fn deadline(&self) -> Option<Instant> {
        let given_up = self.away_since.map(|since| since + self.resume_timeout());
        let dues = [
            self.node.retry(),
            self.native.retry(),
            given_up,
            self.closing.deadline(),
        ];
        dues.into_iter().flatten().min()
    }

    fn take(&mut self, step: Step) -> Result<(), End> {
        match step {
            Step::Client(Some(Ok(message))) => self.hear_client(message),
            Step::Client(Some(Err(error))) => self.refuse_client(&error),
            Step::Client(None) => self.client_ends(),
            Step::Node(Some(Ok(message))) => self.hear_node(message),
            Step::Node(Some(Err(_)) | None) => self.lose_node(),
            Step::NodeOpened(opened) => self.attach_node(opened),
            Step::Native(Some(Ok(message))) => self.hear_native(message),
            Step::Native(Some(Err(_)) | None) => self.lose_native(),
            Step::NativeOpened(opened) => self.attach_native(opened),
            Step::Table => self.follow_table(),
            Step::Deadline => self.overdue(),
            Step::Ended => Err(End::Drop),
            Step::Stop => self.go_away(),
        }
    }

    // What it looks up.

    fn snapshot(&self) -> Arc<Snapshot> {
        match &self.pinned {
            Some(snapshot) => Arc::clone(snapshot),
            None => self.surroundings.live.load(),
        }
    }

    /// Where the socket stands in a table. A reload may have moved it, or removed it.
    fn socket_of(&self, snapshot: &Snapshot) -> Option<usize> {
        let sockets = &snapshot.table.config().sockets;
        sockets.iter().position(|socket| socket.id == self.socket)
    }

    fn needs_node(&self, snapshot: &Snapshot) -> bool {
        self.socket_of(snapshot)
            .is_none_or(|socket| snapshot.table.needs_node(socket, NAMESPACE))
    }

    fn uses_native(&self, snapshot: &Snapshot) -> bool {
        self.socket_of(snapshot)
            .is_some_and(|socket| snapshot.table.uses_native(socket, NAMESPACE))
    }

    /// A key of the socket, while the table has it.
    fn setting<T>(&self, read: impl FnOnce(&config::Socket) -> T) -> Option<T> {
        let snapshot = self.snapshot();
        let socket = self.socket_of(&snapshot)?;
        Some(read(&snapshot.table.config().sockets[socket]))
    }

    fn resume_timeout(&self) -> Duration {
        self.setting(|socket| socket.resume_timeout)
            .unwrap_or_default()
    }

    /// Bytes that may wait for this client, or from it.
    fn queue_limit(&self) -> usize {
        self.setting(|socket| socket.queue).unwrap_or(HIGH)
    }

    fn count_refused(&self, reason: &str) {
        let refused = &self.surroundings.metrics.refused_packets;
        refused.with_label_values(&[&self.socket, reason]).inc();
    }
}
