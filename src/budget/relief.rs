//! Picks whom to end. Over half of a budget, those who make no progress, the one that makes none for longest first; over
//! the memory budget, those for whom most waits.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::budget::waiter::{Ending, Waiter};
use crate::budget::{Budget, count};

/// Waiters are spread over so many locks.
const SHARDS: usize = 16;

/// How long a client may make no progress under pressure, and where others are refused already.
const PATIENCE: Duration = Duration::from_secs(2);
const LAST_PATIENCE: Duration = Duration::from_millis(250);

/// What Node's connection has read ahead for an answer that is not taken: the buffer of a connection.
const READ_AHEAD: usize = 64 * 1024;

/// Everybody for whom something may wait.
#[derive(Default)]
pub(super) struct Waiters {
    shards: [Mutex<Slab<Entry>>; SHARDS],
    next: AtomicUsize,
}

/// Where a waiter is registered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    shard: usize,
    key: usize,
}

struct Entry {
    waiter: Weak<Waiter>,
    /// What it had moved when it was looked at last.
    moved: u64,
    /// Since when it is waited for and moves nothing.
    stalled: Option<Instant>,
}

impl Waiters {
    pub(super) fn insert(&self, waiter: &Arc<Waiter>) -> Slot {
        let shard = self.next.fetch_add(1, Relaxed) % SHARDS;
        let key = self.lock(shard).insert(Entry {
            waiter: Arc::downgrade(waiter),
            moved: 0,
            stalled: None,
        });
        Slot { shard, key }
    }

    pub(super) fn remove(&self, slot: Slot) {
        self.lock(slot.shard).try_remove(slot.key);
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Slab<Entry>> {
        let shard = self.shards[shard].lock();
        shard.unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `see` for each that is not ended, and returns all. None may be dropped before the lock is free: its owners
    /// may have left meanwhile, and its `drop` needs that lock.
    fn for_each(&self, mut see: impl FnMut(&mut Entry, &Arc<Waiter>)) -> Vec<Arc<Waiter>> {
        let mut all = Vec::new();
        for shard in 0..SHARDS {
            for (_, entry) in self.lock(shard).iter_mut() {
                let Some(waiter) = entry.waiter.upgrade() else {
                    continue;
                };
                if !waiter.is_ended() {
                    see(entry, &waiter);
                }
                all.push(waiter);
            }
        }
        all
    }
}

/// How much of each budget has to become free.
#[derive(Debug, Default, Clone, Copy)]
struct Excess {
    connections: usize,
    node_requests: usize,
    memory: usize,
}

impl Budget {
    pub(super) fn count_memory(&self, before: usize, after: usize) {
        let of = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        if before != after {
            self.metrics.waiting_bytes.add(of(after) - of(before));
        }
    }

    /// Ends somebody, and counts it.
    pub(super) fn end(&self, waiter: &Waiter, ending: Ending) {
        if !waiter.is_ended() {
            let reason = ending.reason();
            self.metrics.ended.with_label_values(&[reason]).inc();
            waiter.end();
        }
    }

    /// Ends those for whom most waits while more waits than may.
    pub(super) fn relieve_memory(&self) {
        let limit = self.bounds.memory.load(Relaxed);
        if count(&self.metrics.waiting_bytes) <= limit {
            return;
        }
        let mut waiters = self.waiters.for_each(|_, _| {});
        waiters.sort_by_cached_key(|waiter| std::cmp::Reverse(waiter.bytes()));
        for waiter in &waiters {
            // A little more than needed, so that not every further byte ends somebody.
            if count(&self.metrics.waiting_bytes) <= limit / 8 * 7 {
                return;
            }
            self.end(waiter, Ending::Memory);
        }
    }

    /// Looks at everybody and ends who has to be ended. Returns when to look again.
    pub(crate) fn relieve(&self, now: Instant) -> Duration {
        self.relieve_memory();
        let bounds = &self.bounds;
        let of = |taken: usize, bound: &AtomicUsize| (taken, bound.load(Relaxed));
        let metrics = &self.metrics;
        let connections = of(count(&metrics.open_connections), &bounds.connections);
        let node_requests = of(count(&metrics.node_requests), &bounds.node_requests);
        let (waiting, most) = of(count(&metrics.waiting_bytes), &bounds.memory);
        let descriptors = (connections.0 + node_requests.0, self.descriptors);
        let over_a_quarter = |(taken, bound): (usize, usize)| taken.saturating_mul(4) > bound;
        let counted = [connections, node_requests, descriptors];
        // Node's read-ahead is known only after a look; each request may have one.
        let most_waiting = waiting + node_requests.0 * READ_AHEAD;
        if !counted.into_iter().any(over_a_quarter) && !over_a_quarter((most_waiting, most)) {
            return Duration::from_secs(1);
        }
        let (candidates, read_ahead) = self.stalled(now);
        let waiting = (waiting + read_ahead, most);
        let is_last = self.refused.swap(false, Relaxed);
        let patience = if is_last { LAST_PATIENCE } else { PATIENCE };
        let excess = |(taken, bound): (usize, usize)| taken.saturating_sub(bound / 2);
        let mut excess = Excess {
            connections: excess(connections).max(excess(descriptors)),
            node_requests: excess(node_requests).max(excess(descriptors)),
            memory: excess(waiting),
        };
        for (since, waiter) in candidates {
            if now.duration_since(since) < patience {
                break;
            }
            let frees_connection = excess.connections > 0 && !waiter.is_stream();
            if !frees_connection && excess.node_requests == 0 && excess.memory == 0 {
                continue;
            }
            excess.connections = excess
                .connections
                .saturating_sub(usize::from(!waiter.is_stream()));
            excess.node_requests = excess.node_requests.saturating_sub(1);
            excess.memory = excess.memory.saturating_sub(waiter.bytes() + READ_AHEAD);
            self.end(&waiter, Ending::NoProgress);
        }
        LAST_PATIENCE
    }

    /// Those who make no progress, the longest first, and what is read ahead for them.
    fn stalled(&self, now: Instant) -> (Vec<(Instant, Arc<Waiter>)>, usize) {
        let least = self.bounds.min_rate.load(Relaxed) / 4;
        let mut stalled = Vec::new();
        let _all = self.waiters.for_each(|entry, waiter| {
            let moved = waiter.moved_bytes();
            let moves = moved - entry.moved > least;
            entry.moved = moved;
            if moves || !waiter.waits_for_client() {
                entry.stalled = None;
            } else {
                let since = *entry.stalled.get_or_insert(now);
                stalled.push((since, Arc::clone(waiter)));
            }
        });
        stalled.sort_by_key(|(since, _)| *since);
        let read_ahead = stalled.len() * READ_AHEAD;
        (stalled, read_ahead)
    }
}
