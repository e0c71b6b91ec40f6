//! Keeps clients from taking descriptors and memory from one another. Guards count what is in use, `addresses` how much of
//! it each address has; under pressure `relief` picks whom to end, and is the only place that does. `machine` says how
//! much there is.

pub(crate) mod addresses;
mod machine;
mod relief;
pub(crate) mod waiter;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;
use tokio::sync::Notify;

use crate::budget::addresses::{Address, Addresses};
use crate::budget::relief::Waiters;
use crate::budget::waiter::{Ending, Waiter};
use crate::config::{Limits, MemoryLimit};
use crate::metrics::Metrics;

/// Descriptors that are left to log, certificates, databases and the admin port.
const RESERVE: usize = 64;

/// One descriptor of so many may belong to an idle connection to Node.
const IDLE_PART: usize = 16;

/// All of a process.
pub(crate) struct Budget {
    metrics: Arc<Metrics>,
    /// Descriptors for clients and Node together.
    descriptors: usize,
    /// Descriptors for idle connections to Node, which no client waits for.
    idle: usize,
    /// Bytes that the process may use.
    memory: u64,
    bounds: Bounds,
    addresses: Arc<Addresses>,
    waiters: Waiters,
    /// Sessions in no namespace, by age.
    unconnected: Mutex<BTreeMap<u64, Arc<Waiter>>>,
    next_session: AtomicU64,
    /// Somebody was refused a place since the last look.
    refused: AtomicBool,
    pressed: Notify,
}

/// `[limits]` with the defaults that depend on the machine.
#[derive(Debug, Default)]
struct Bounds {
    connections: AtomicUsize,
    connections_per_address: AtomicUsize,
    node_requests: AtomicUsize,
    legs_per_address: AtomicUsize,
    unconnected_sessions: AtomicUsize,
    memory: AtomicUsize,
    /// Bytes a second from which on a client makes progress.
    min_rate: AtomicU64,
}

/// Why a client gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// All are taken.
    Full,
    /// More than half are taken, and its address has its part.
    Address,
}

impl NoPlace {
    /// The `reason` label of metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
        }
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget")
            .field("descriptors", &self.descriptors)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl Budget {
    /// Raises the limit of descriptors as far as the process may, and divides what there is.
    pub(crate) fn of_this_process(metrics: Arc<Metrics>, limits: &Limits) -> Arc<Self> {
        let limit = machine::raise_descriptor_limit();
        let own = machine::open_descriptors() + RESERVE.min(limit / 8);
        let descriptors = limit.saturating_sub(own).max(2 * IDLE_PART);
        Self::new(metrics, limits, descriptors, machine::memory())
    }

    /// With this many descriptors and bytes.
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        limits: &Limits,
        descriptors: usize,
        memory: u64,
    ) -> Arc<Self> {
        let budget = Arc::new(Self {
            metrics,
            descriptors: descriptors / IDLE_PART * (IDLE_PART - 1),
            idle: descriptors / IDLE_PART,
            memory,
            bounds: Bounds::default(),
            addresses: Arc::default(),
            waiters: Waiters::default(),
            unconnected: Mutex::default(),
            next_session: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            pressed: Notify::new(),
        });
        budget.apply(limits);
        budget
    }

    /// Takes the bounds of another table. Whoever has a place keeps it.
    pub(crate) fn apply(&self, limits: &Limits) {
        let connections = limits.connections.unwrap_or(self.descriptors * 3 / 4);
        let node_requests = limits.node_requests.unwrap_or(self.descriptors / 2);
        let memory = match limits.memory {
            MemoryLimit::Bytes(bytes) => bytes,
            MemoryLimit::Share(share) => self.memory / 10_000 * u64::from(share.0),
        };
        let per_address = limits.connections_per_address;
        let legs = limits.legs_per_address;
        let unconnected = limits.unconnected_sessions;
        let bounds = &self.bounds;
        let sizes = [
            ("connections", &bounds.connections, connections),
            (
                "connections_per_address",
                &bounds.connections_per_address,
                per_address.unwrap_or(connections * 3 / 4),
            ),
            ("node_requests", &bounds.node_requests, node_requests),
            (
                "legs_per_address",
                &bounds.legs_per_address,
                legs.unwrap_or(node_requests * 3 / 4),
            ),
            (
                "unconnected_sessions",
                &bounds.unconnected_sessions,
                unconnected.unwrap_or(node_requests / 4),
            ),
            (
                "memory",
                &bounds.memory,
                usize::try_from(memory).unwrap_or(usize::MAX),
            ),
        ];
        for (name, bound, size) in sizes {
            let size = size.max(1);
            bound.store(size, Relaxed);
            let gauge = self.metrics.limits.with_label_values(&[name]);
            gauge.set(i64::try_from(size).unwrap_or(i64::MAX));
        }
        bounds.min_rate.store(limits.min_rate, Relaxed);
    }

    /// A place for a client connection; `peer` is its address, `None` for a proxy that many clients share.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn connect(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
    ) -> Result<ConnectionPlace, NoPlace> {
        let address = peer.map(|peer| self.addresses.get(peer));
        let place = ConnectionPlace {
            gauge: Taken::new(&self.metrics.open_connections),
            address,
        };
        if let Some(address) = &place.address {
            address.connections.fetch_add(1, Relaxed);
        }
        let taken = place.gauge.taken();
        let bound = self.bounds.connections.load(Relaxed);
        let most = self.bounds.connections_per_address.load(Relaxed);
        let crowded = taken > bound / 2;
        let has = |address: &Arc<Address>| address.connections.load(Relaxed) > most;
        if taken > bound || taken + count(&self.metrics.node_requests) > self.descriptors {
            Err(self.refuse(NoPlace::Full))
        } else if crowded && place.address.as_ref().is_some_and(has) {
            Err(self.refuse(NoPlace::Address))
        } else {
            Ok(place)
        }
    }

    /// A place for a connection to Node, on behalf of a client of this address.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn ask_node(&self, address: Option<&Arc<Address>>) -> Result<NodePlace, NoPlace> {
        let place = NodePlace {
            gauge: Taken::new(&self.metrics.node_requests),
            address: address.cloned(),
        };
        if let Some(address) = address {
            address.legs.fetch_add(1, Relaxed);
        }
        let taken = place.gauge.taken();
        let bound = self.bounds.node_requests.load(Relaxed);
        let most = self.bounds.legs_per_address.load(Relaxed);
        let crowded = taken > bound / 2;
        let has = |address: &Arc<Address>| address.legs.load(Relaxed) > most;
        if taken > bound || taken + count(&self.metrics.open_connections) > self.descriptors {
            Err(self.refuse(NoPlace::Full))
        } else if crowded && address.is_some_and(has) {
            Err(self.refuse(NoPlace::Address))
        } else {
            Ok(place)
        }
    }

    /// Those who make no progress are looked for at once.
    fn refuse(&self, no_place: NoPlace) -> NoPlace {
        self.refused.store(true, Relaxed);
        self.pressed.notify_one();
        no_place
    }

    /// Counts a session that is in no namespace. One too many ends the one that is so for longest.
    pub(crate) fn unconnected(self: &Arc<Self>, waiter: &Arc<Waiter>) -> Unconnected {
        let number = self.next_session.fetch_add(1, Relaxed);
        let most = self.bounds.unconnected_sessions.load(Relaxed);
        let oldest = {
            let mut sessions = self.sessions();
            sessions.insert(number, Arc::clone(waiter));
            let oldest = (sessions.len() > most).then(|| sessions.pop_first());
            self.count_unconnected(&sessions);
            oldest.flatten()
        };
        if let Some((_, waiter)) = oldest {
            self.end(&waiter, Ending::Unconnected);
        }
        Unconnected {
            budget: Arc::clone(self),
            number,
        }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Waiter>>> {
        let sessions = self.unconnected.lock();
        sessions.unwrap_or_else(PoisonError::into_inner)
    }

    fn count_unconnected(&self, sessions: &BTreeMap<u64, Arc<Waiter>>) {
        let sessions = i64::try_from(sessions.len()).unwrap_or(i64::MAX);
        self.metrics.unconnected_sessions.set(sessions);
    }

    /// Whether one more connection to Node may idle.
    pub(crate) fn may_idle(&self, idle: &IntGauge) -> bool {
        count(idle) < self.idle
    }

    /// Returns when somebody was refused a place.
    pub(crate) async fn pressed(&self) {
        self.pressed.notified().await;
    }
}

/// How many there are.
fn count(gauge: &IntGauge) -> usize {
    usize::try_from(gauge.get()).unwrap_or_default()
}

/// One of what a gauge counts.
#[derive(Debug)]
struct Taken(IntGauge);

impl Taken {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }

    /// With this one.
    fn taken(&self) -> usize {
        count(&self.0)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A client connection, for as long as its descriptor is open.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    gauge: Taken,
    address: Option<Arc<Address>>,
}

impl ConnectionPlace {
    /// Whose it is; `None` for a trusted proxy.
    pub(crate) fn address(&self) -> Option<Arc<Address>> {
        self.address.clone()
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            address.connections.fetch_sub(1, Relaxed);
        }
    }
}

/// A request, tunnel or leg that holds a connection to Node.
#[derive(Debug)]
pub(crate) struct NodePlace {
    gauge: Taken,
    address: Option<Arc<Address>>,
}

impl Drop for NodePlace {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            address.legs.fetch_sub(1, Relaxed);
        }
    }
}

/// A session that is in no namespace so far.
pub(crate) struct Unconnected {
    budget: Arc<Budget>,
    number: u64,
}

impl Drop for Unconnected {
    fn drop(&mut self) {
        let removed = {
            let mut sessions = self.budget.sessions();
            let removed = sessions.remove(&self.number);
            self.budget.count_unconnected(&sessions);
            removed
        };
        drop(removed);
    }
}

#[cfg(test)]
mod tests;
