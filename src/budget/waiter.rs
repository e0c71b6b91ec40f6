//! Somebody for whom bytes wait: a client connection, a stream of HTTP/2, a bridge, a tunnel. It counts them with a few
//! atomics, and is told when it has to end.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::budget::Budget;
use crate::budget::relief::Slot;

/// The sum of all is exact to this many bytes for each, so that small answers do not touch it.
const SLACK: usize = 8 * 1024;

/// Why somebody is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Under pressure: the client takes or sends nothing.
    NoProgress,
    /// The memory budget is used up, and most waits here.
    Memory,
    /// Too many sessions are in no namespace.
    Unconnected,
}

impl Ending {
    /// The `reason` label of the metric.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoProgress => "no-progress",
            Self::Memory => "memory",
            Self::Unconnected => "unconnected",
        }
    }
}

/// What waits for one client, and for the sides on its behalf.
pub(crate) struct Waiter {
    budget: Arc<Budget>,
    slot: OnceLock<Slot>,
    /// Of a stream: its connection, which is ended where the stream cannot be.
    connection: Option<Arc<Self>>,
    /// Bytes that only the client can move on.
    for_client: AtomicUsize,
    for_others: AtomicUsize,
    /// Bodies that the client is to go on with.
    uploads: AtomicU32,
    /// Payload that the client took or sent.
    moved: AtomicU64,
    /// Bytes that the budget knows of.
    reported: AtomicUsize,
    ended: AtomicBool,
    wake: Notify,
    task: OnceLock<AbortHandle>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter")
            .field("for_client", &self.for_client)
            .field("for_others", &self.for_others)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Waiter {
    /// A connection, bridge or tunnel.
    pub(crate) fn new(budget: &Arc<Budget>) -> Arc<Self> {
        Self::register(budget, None)
    }

    /// A stream of this connection.
    pub(crate) fn stream(self: &Arc<Self>) -> Arc<Self> {
        Self::register(&self.budget, Some(Arc::clone(self)))
    }

    fn register(budget: &Arc<Budget>, connection: Option<Arc<Self>>) -> Arc<Self> {
        let waiter = Arc::new(Self {
            budget: Arc::clone(budget),
            slot: OnceLock::new(),
            connection,
            for_client: AtomicUsize::new(0),
            for_others: AtomicUsize::new(0),
            uploads: AtomicU32::new(0),
            moved: AtomicU64::new(0),
            reported: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            wake: Notify::new(),
            task: OnceLock::new(),
        });
        let slot = budget.waiters.insert(&waiter);
        let _ = waiter.slot.set(slot);
        waiter
    }

    /// The task that is aborted at the end. Without one, its owner waits for [`Waiter::ended`].
    pub(crate) fn runs_as(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }

    /// Bytes were handed to the client's connection.
    pub(crate) fn hand_over(&self, bytes: usize) {
        self.for_client.fetch_add(bytes, Relaxed);
        self.report();
    }

    /// The connection took some of them.
    pub(crate) fn took(&self, bytes: usize) {
        self.for_client.fetch_sub(bytes, Relaxed);
        self.moved.fetch_add(bytes as u64, Relaxed);
        self.report();
    }

    /// They will not be sent.
    pub(crate) fn dropped(&self, bytes: usize) {
        if bytes > 0 {
            self.for_client.fetch_sub(bytes, Relaxed);
            self.report();
        }
    }

    /// The client took or sent payload.
    pub(crate) fn moved(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Relaxed);
    }

    /// A body waits for the client to go on.
    pub(crate) fn upload_waits(&self) {
        self.uploads.fetch_add(1, Relaxed);
    }

    /// The client went on.
    pub(crate) fn upload_moves(&self) {
        self.uploads.fetch_sub(1, Relaxed);
    }

    /// Bytes wait for somebody else than the client, until the answer is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        Hold {
            waiter: Arc::clone(self),
            bytes: 0,
        }
    }

    /// All that waits, of an owner that counts it itself.
    pub(crate) fn set(&self, for_client: usize, for_others: usize) {
        self.for_client.store(for_client, Relaxed);
        self.for_others.store(for_others, Relaxed);
        self.report();
    }

    /// What waits for others alone.
    pub(crate) fn set_for_others(&self, bytes: usize) {
        self.for_others.store(bytes, Relaxed);
        self.report();
    }

    /// Whether anything waits for the client.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.for_client.load(Relaxed) > 0 || self.uploads.load(Relaxed) > 0
    }

    /// Bytes that wait for the client.
    pub(crate) fn for_client(&self) -> usize {
        self.for_client.load(Relaxed)
    }

    /// Bytes that wait for others.
    #[cfg(test)]
    pub(crate) fn for_others(&self) -> usize {
        self.for_others.load(Relaxed)
    }

    /// Returns when it has to end. One task may wait for it.
    pub(crate) async fn ended(&self) {
        if !self.is_ended() {
            self.wake.notified().await;
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    pub(super) fn is_stream(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) fn bytes(&self) -> usize {
        self.for_client.load(Relaxed) + self.for_others.load(Relaxed)
    }

    pub(super) fn moved_bytes(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    /// Ends it. What waits no longer counts, although it is freed a moment later.
    pub(super) fn end(&self) {
        self.ended.store(true, Relaxed);
        self.settle(0);
        match (&self.task, &self.connection) {
            (task, Some(connection)) => match task.get() {
                Some(task) if !task.is_finished() => task.abort(),
                // All of the answer is in the buffers of the connection.
                _ => connection.end(),
            },
            (task, None) => {
                if let Some(task) = task.get() {
                    task.abort();
                }
                self.wake.notify_one();
            }
        }
    }

    fn report(&self) {
        let (bytes, reported) = (self.bytes(), self.reported.load(Relaxed));
        let is_near = bytes.abs_diff(reported) < SLACK && (bytes > 0 || reported == 0);
        if is_near || self.is_ended() {
            return;
        }
        if self.settle(bytes) {
            self.budget.relieve_memory();
        }
    }

    /// Tells the budget; true if there is more than before.
    fn settle(&self, bytes: usize) -> bool {
        let before = self.reported.swap(bytes, Relaxed);
        self.budget.count_memory(before, bytes);
        bytes > before
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.settle(0);
        if let Some(slot) = self.slot.get() {
            self.budget.waiters.remove(*slot);
        }
    }
}

/// Bytes that wait for a side.
#[derive(Debug)]
pub(crate) struct Hold {
    waiter: Arc<Waiter>,
    bytes: usize,
}

impl Hold {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.waiter.for_others.fetch_add(bytes, Relaxed);
        self.waiter.report();
    }

    /// Nothing waits any more.
    pub(crate) fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes > 0 {
            self.waiter.for_others.fetch_sub(bytes, Relaxed);
            self.waiter.report();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
