//! The bridge of one Socket.IO client: takes each packet of the client to the side that the table says, and each packet
//! of both sides to the client. Packets pass as they came; only heads, names and, where a rule asks, arguments are read.

mod client;
mod from_native;
mod from_node;
mod legs;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::consume_budget;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use crate::bridge::asked::Asked;
use crate::bridge::crowd::{Barrier, Crowd};
use crate::bridge::engineio::{Closed, Message, Session};
use crate::bridge::handshake::Handshake;
use crate::bridge::held::Holding;
use crate::bridge::leg::LegEnd;
use crate::bridge::namespace::{Namespace, Part};
use crate::bridge::native::NativeLeg;
use crate::bridge::node::{NoLeg, NodeLeg};
use crate::bridge::replays::{Replays, Turn};
use crate::bridge::unit::{Assembly, Unit};
use crate::bridge::{Registration, Surroundings, Waiting};
use crate::budget::Unconnected;
use crate::budget::waiter::Waiter;
use crate::config::{self, Flips};
use crate::live::Snapshot;
use crate::metrics::Share;
use crate::native::events::ticket::Outcome;

/// How long the legs have for their last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Bytes that a client or Node has not taken yet, from which on whoever sends to it waits.
const HIGH: usize = 64 * 1024;

/// How long the attachments of a packet may take.
const ASSEMBLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two tries to reach a lost side.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// How it went to reach Node again.
type Reached = Result<(NodeLeg, Option<Turn>), NoLeg>;

/// How long a client may be in no namespace, as `connectTimeout` of Node's server has it by default. With a leg there, Node
/// sees to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

/// Namespaces of one client; one more ends it.
const MOST_NAMESPACES: usize = 1_000;

/// Where Node stands for this client.
enum NodeSide {
    /// Not needed so far.
    Absent,
    Open(Box<NodeLeg>),
    Opening(AbortOnDropHandle<Reached>),
    /// Away; the next try comes then.
    Waiting(Instant),
}

/// Why a bridge ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client left.
    Client,
    /// In order, as Node or a broken packet wants it.
    Close,
    /// As if the network broke, so that the client comes back.
    Drop,
    /// The proxy stops.
    GoAway,
}

/// The clients of one socket, in what concerns all of them.
#[derive(Debug, Default)]
pub(crate) struct Company {
    replays: Arc<Replays>,
    at_node: Arc<Crowd>,
    at_native: Arc<Crowd>,
}

/// A client that is admitted.
pub(crate) struct Client {
    pub(crate) handshake: Handshake,
    /// Where its socket stands in the table of `snapshot`.
    pub(crate) socket: usize,
    pub(crate) snapshot: Arc<Snapshot>,
    /// Node's, unless it is away or not needed.
    pub(crate) leg: Option<NodeLeg>,
    pub(crate) company: Arc<Company>,
    /// The client waits, because Node's port refuses connections.
    pub(crate) waiting: Option<Waiting>,
}

/// The bridge of one client.
pub(crate) struct Bridge {
    surroundings: Arc<Surroundings>,
    socket: String,
    handshake: Arc<Handshake>,
    session: Session,
    /// With `flips = "connection"`, the table that the connection began with.
    pinned: Option<Arc<Snapshot>>,
    namespaces: Vec<Namespace>,
    node: NodeSide,
    /// Node has let the client into a namespace. Only then can the client wait for a Node that gives no answer.
    accepted_by_node: bool,
    /// At the last try, Node's port refused the connection.
    port_is_refused: bool,
    /// Since when Node is away, for clients that wait for it.
    away_since: Option<Instant>,
    retry_delay: Duration,
    replays: Arc<Replays>,
    node_barrier: Barrier,
    native_barrier: Barrier,
    /// Held while Node is asked again for what the client had before.
    turn: Option<Turn>,
    native: Option<Box<NativeLeg>>,
    /// When native is to be tried again.
    native_retry: Option<Instant>,
    native_retry_delay: Duration,
    from_client: Assembly,
    from_node: Assembly,
    from_native: Assembly,
    assembling_since: Option<Instant>,
    /// When a client that has asked for no namespace is ended.
    connect_by: Option<Instant>,
    holding: Holding,
    outcomes: mpsc::UnboundedReceiver<(u64, Outcome)>,
    node_first: bool,
    generation: watch::Receiver<u64>,
    /// The last packet that Node got, to tell why it closed.
    last_to_node: Option<Unit>,
    /// The size of what Node said last, which may wait for the client although it is over every bound.
    last_of_node: usize,
    asked: Asked,
    queued: Queued,
    /// All that waits for the client and for its sides.
    waiter: Arc<Waiter>,
    /// Until the client asks for a namespace.
    unconnected: Option<Unconnected>,
    /// The client was not seen by Node yet, whose port refused connections when the client came.
    waiting: Option<Waiting>,
}

/// What waits for each end, as the metrics know it.
struct Queued {
    client: Share,
    node: Share,
    native: Share,
}

/// One thing that happened.
enum Step {
    Client(Result<Message, Closed>),
    Node(Result<Message, LegEnd>),
    Opened(Box<Reached>),
    Native(Result<Message, LegEnd>),
    Outcome(u64, Outcome),
    Table,
    /// All clients of the socket have their legs.
    Settled,
    Deadline,
    /// It has to go, for the sake of others.
    Ended,
    Stop,
}

impl Bridge {
    /// The bridge of a client that has its session; `socket` is where its socket stands in the table of `snapshot`.
    pub(crate) fn new(surroundings: Arc<Surroundings>, client: Client, session: Session) -> Self {
        let Client {
            handshake,
            socket,
            snapshot,
            leg,
            company,
            waiting,
        } = client;
        let share = |side| Share::new(surroundings.metrics.queued.with_label_values(&[side]));
        let queued = Queued {
            client: share("client"),
            node: share("node"),
            native: share("native"),
        };
        let generation = snapshot.table.generation();
        let settings = &snapshot.table.config().sockets[socket];
        let (id, flips) = (settings.id.clone(), settings.flips);
        let (sender, outcomes) = mpsc::unbounded();
        let waiter = Waiter::new(&surroundings.budget);
        Self {
            unconnected: Some(surroundings.budget.unconnected(&waiter)),
            waiter,
            generation: surroundings.live.generation(),
            surroundings,
            socket: id,
            handshake: Arc::new(handshake),
            session,
            pinned: (flips == Flips::Connection).then_some(snapshot),
            // Few clients have a second one.
            namespaces: Vec::with_capacity(1),
            node: leg.map_or(NodeSide::Absent, |leg| NodeSide::Open(Box::new(leg))),
            accepted_by_node: false,
            port_is_refused: waiting.is_some(),
            away_since: None,
            retry_delay: FIRST_RETRY,
            replays: Arc::clone(&company.replays),
            node_barrier: Barrier::new(&company.at_node, generation),
            native_barrier: Barrier::new(&company.at_native, generation),
            turn: None,
            native: None,
            native_retry: None,
            native_retry_delay: FIRST_RETRY,
            from_client: Assembly::default(),
            from_node: Assembly::default(),
            from_native: Assembly::default(),
            assembling_since: None,
            connect_by: Some(Instant::now() + CONNECT_TIMEOUT),
            holding: Holding::new(sender),
            outcomes,
            node_first: false,
            last_to_node: None,
            last_of_node: 0,
            asked: Asked::default(),
            queued,
            waiting,
        }
    }

    /// Serves the client until one end leaves.
    pub(crate) async fn run(mut self: Box<Self>, registration: Registration) {
        // The table may have changed while the client was let in.
        let mut taken = self.follow_table().await;
        let end = loop {
            if let Err(end) = taken {
                break end;
            }
            let step = self.step().await;
            taken = self.take(step).await;
            // One read may bring thousands of small events, and the other clients of this thread have theirs to say.
            consume_budget().await;
        };
        if end == End::Client {
            // It has said these before it left.
            self.flush();
        }
        debug!(socket = %self.socket, ?end, "a bridge ends");
        // In room of its own, which an idle client does not need.
        Box::pin(self.leave(end, registration)).await;
    }

    async fn leave(self: Box<Self>, end: End, registration: Registration) {
        let Self {
            session,
            node,
            native,
            node_barrier,
            native_barrier,
            turn,
            waiter,
            ..
        } = *self;
        // A goodbye may take its time, and the other clients need not wait for it.
        drop((node_barrier, native_barrier, turn));
        let legs = async {
            if let NodeSide::Open(leg) = node {
                leg.close().await;
            }
            if let Some(leg) = native {
                leg.close().await;
            }
        };
        let legs = timeout(LAST_WORDS, legs);
        let session = async {
            match end {
                End::Client | End::Close => session.close(registration).await,
                End::GoAway => session.go_away(registration).await,
                End::Drop => session.discard(),
            }
        };
        let goodbye = async { tokio::join!(legs, session) };
        tokio::select! {
            _ = goodbye => {}
            () = waiter.ended() => {}
        }
    }

    /// Waits for the next thing to happen. Everything that is queued is written meanwhile.
    async fn step(&mut self) -> Step {
        // A client that never pauses must not keep these from being seen.
        if *self.surroundings.stop.borrow() {
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
        self.node_first = !self.node_first;
        let Self {
            session,
            node,
            native,
            holding,
            outcomes,
            generation,
            surroundings,
            node_first,
            queued,
            namespaces,
            node_barrier,
            native_barrier,
            waiter,
            handshake,
            from_client,
            from_node,
            from_native,
            ..
        } = self;
        let waiting = namespaces.iter().map(Namespace::waiting_bytes).sum();
        let kept: usize = namespaces.iter().map(Namespace::kept_bytes).sum();
        let partial = from_client.bytes() + from_node.bytes() + from_native.bytes();
        let mut ends = Ends {
            session,
            node,
            native,
            full: holding.is_full(),
            queued,
            waiting,
            waiter,
            kept: kept + partial + holding.bytes() + handshake.size(),
        };
        let mut stop = surroundings.stop.clone();
        tokio::select! {
            biased;
            Some((id, outcome)) = outcomes.next() => Step::Outcome(id, outcome),
            step = poll_fn(|context| ends.poll(context, *node_first)) => step,
            Ok(()) = generation.changed() => Step::Table,
            () = node_barrier.opened() => Step::Settled,
            () = native_barrier.opened() => Step::Settled,
            () = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            } => Step::Deadline,
            () = waiter.ended() => Step::Ended,
            Ok(_) = stop.wait_for(|stop| *stop) => Step::Stop,
        }
    }

    /// The next moment at which something is due without anybody saying so.
    fn deadline(&self) -> Option<Instant> {
        let retry = match &self.node {
            NodeSide::Waiting(until) => Some(*until),
            _ => None,
        };
        let assembled = self.assembling_since.map(|since| since + ASSEMBLY_TIMEOUT);
        let given_up = self.away_since.map(|since| since + self.resume_timeout());
        let turn = self.turn.as_ref().map(|turn| turn.until);
        let connect_by = self.connect_by.filter(|_| !self.has_leg());
        let orders = self
            .namespaces
            .iter()
            .filter_map(|namespace| namespace.for_native.front());
        let dues = [
            self.holding.deadline(),
            orders.map(|order| order.deadline).min(),
            self.native_retry,
            retry,
            assembled,
            given_up,
            turn,
            connect_by,
            self.node_barrier.deadline(),
            self.native_barrier.deadline(),
        ];
        dues.into_iter().flatten().min()
    }

    async fn take(&mut self, step: Step) -> Result<(), End> {
        match step {
            Step::Client(Ok(message)) => self.hear_client(message).await,
            Step::Client(Err(closed)) => {
                debug!(socket = %self.socket, ?closed, "a client left");
                Err(End::Client)
            }
            Step::Node(Ok(message)) => self.hear_node(message),
            Step::Node(Err(end)) => self.lose_node(end),
            Step::Opened(opened) => self.attach_node(*opened),
            Step::Native(Ok(message)) => self.hear_native(message),
            Step::Native(Err(_)) => self.lose_native(),
            Step::Outcome(id, outcome) => self.settle(id, outcome),
            Step::Table => self.follow_table().await,
            Step::Settled => {
                self.release();
                Ok(())
            }
            Step::Deadline => self.overdue().await,
            Step::Ended => Err(End::Drop),
            Step::Stop => Err(End::GoAway),
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

    fn needs_node(&self, snapshot: &Snapshot, namespace: &str) -> bool {
        self.socket_of(snapshot)
            .is_none_or(|socket| snapshot.table.needs_node(socket, namespace))
    }

    fn uses_native(&self, snapshot: &Snapshot, namespace: &str) -> bool {
        self.surroundings.native.is_some()
            && self
                .socket_of(snapshot)
                .is_some_and(|socket| snapshot.table.uses_native(socket, namespace))
    }

    /// True if some rule says native for events of this namespace.
    fn is_claimed_for_native(&self, snapshot: &Snapshot, namespace: &str) -> bool {
        self.socket_of(snapshot).is_some_and(|socket| {
            snapshot
                .table
                .claims_namespace_for_native(socket, namespace)
        })
    }

    /// Whether Node hears this client at the moment.
    fn has_leg(&self) -> bool {
        matches!(self.node, NodeSide::Open(_))
    }

    /// Whether no rule needs Node in this namespace any more.
    fn is_node_gone(&self, index: usize) -> bool {
        !self.needs_node(&self.snapshot(), &self.namespaces[index].name)
    }

    /// Whether Node has no part in this namespace, nor will have.
    fn is_without_node(&self, index: usize) -> bool {
        self.namespaces[index].node == Part::Absent && self.is_node_gone(index)
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

    fn position(&self, namespace: &str) -> Option<usize> {
        let mut known = self.namespaces.iter();
        known.position(|known| known.name == namespace)
    }
}

/// The client and its legs. One that does not take what it gets makes those wait that send to it, which is looked at
/// each time that bytes have moved.
struct Ends<'b> {
    session: &'b mut Session,
    node: &'b mut NodeSide,
    native: &'b mut Option<Box<NativeLeg>>,
    /// Native has as much to do for this client as it may have.
    full: bool,
    queued: &'b mut Queued,
    /// Bytes that wait for a Node that is on its way.
    waiting: usize,
    waiter: &'b Waiter,
    /// Bytes that are kept of the client beside what is queued.
    kept: usize,
}

impl Ends<'_> {
    /// `node_first` alternates, so that an end that never pauses does not silence the other.
    fn poll(&mut self, context: &mut Context<'_>, node_first: bool) -> Poll<Step> {
        let mut congested = self.full;
        if let NodeSide::Open(leg) = self.node {
            leg.poll_flush(context);
            congested |= leg.queued() > HIGH;
        }
        if let Some(leg) = self.native {
            leg.poll_flush(context);
            congested |= leg.queued() > HIGH;
        }
        self.session.hold(congested);
        if node_first && let Poll::Ready(step) = self.poll_legs(context) {
            return Poll::Ready(step);
        }
        let before = self.session.queued();
        let message = self.session.poll_next(context);
        let taken = before.saturating_sub(self.session.queued());
        self.waiter.moved(taken);
        if let Poll::Ready(message) = message {
            return Poll::Ready(Step::Client(message));
        }
        let step = self.poll_legs(context);
        self.count_queued();
        step
    }

    fn count_queued(&mut self) {
        self.queued.client.set(self.session.queued());
        let node = match self.node {
            NodeSide::Open(leg) => leg.queued(),
            _ => 0,
        };
        self.queued.node.set(node + self.waiting);
        let (native, from_native) = match self.native {
            // socketioxide keeps the buffer of the largest message that it has written.
            Some(leg) => (leg.queued(), leg.partial() + leg.largest()),
            None => (0, 0),
        };
        self.queued.native.set(native);
        let from_node = match self.node {
            NodeSide::Open(leg) => leg.partial(),
            _ => 0,
        };
        let partial = self.session.partial() + from_node + from_native;
        let others = node + self.waiting + native + partial + self.kept;
        self.waiter.set(self.session.queued(), others);
    }

    fn poll_legs(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let step = match self.node {
            NodeSide::Open(leg) if self.session.queued() < HIGH => {
                leg.poll_next(context).map(Step::Node)
            }
            NodeSide::Opening(task) => Pin::new(task).poll(context).map(|reached| match reached {
                Ok(reached) => Step::Opened(Box::new(reached)),
                Err(_) => Step::Node(Err(LegEnd::Lost)),
            }),
            NodeSide::Open(_) | NodeSide::Absent | NodeSide::Waiting(_) => Poll::Pending,
        };
        match self.native {
            Some(leg) if step.is_pending() => leg.poll_next(context).map(Step::Native),
            _ => step,
        }
    }
}
