//! Clients that Node takes for new ones although they were there all the time: their legs were attached again.
//!
//! What Node says to everybody about a new client would be news of something that did not happen, so each leg counts how
//! many of these greetings it must swallow. And what Node says to everybody for an event would not reach those whose legs
//! are yet to come, so events for Node wait until all are there.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::Instant;

/// How long Node may take to answer the CONNECT of one client.
const PATIENCE: Duration = Duration::from_secs(5);

/// All replays of one socket since the process began.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    order: Arc<Mutex<()>>,
    begun: AtomicU64,
    crowd: std::sync::Mutex<Crowd>,
    settled: Settled,
}

#[derive(Debug)]
struct Settled(watch::Sender<bool>);

impl Default for Settled {
    fn default() -> Self {
        Self(watch::channel(true).0)
    }
}

/// The clients of one socket.
#[derive(Debug, Default)]
struct Crowd {
    /// Of the newest table that any of them has seen.
    generation: u64,
    members: usize,
    /// Those that may be about to attach a leg: they have not seen that table, or have lost Node.
    unsettled: usize,
}

/// One client among those of its socket.
#[derive(Debug)]
pub(crate) struct Member {
    replays: Arc<Replays>,
    generation: u64,
    unsettled: bool,
}

impl Member {
    /// A client that has seen the table of this generation, and has what it needs.
    pub(crate) fn new(replays: &Arc<Replays>, generation: u64) -> Self {
        let mut crowd = replays.crowd();
        crowd.members += 1;
        crowd.generation = crowd.generation.max(generation);
        let member = Self {
            replays: Arc::clone(replays),
            generation,
            unsettled: false,
        };
        if !member.is_settled(&crowd) {
            crowd.unsettled += 1;
        }
        replays.publish(&crowd);
        member
    }

    /// Tells when all clients of the socket have the legs that they need.
    pub(crate) fn all_settled(&self) -> watch::Receiver<bool> {
        self.replays.settled.0.subscribe()
    }

    /// There is a new table. Until each client has seen it, any of them may be about to attach a leg.
    pub(crate) fn see(&mut self, generation: u64) {
        let mut crowd = self.replays.crowd();
        if generation > crowd.generation {
            crowd.generation = generation;
            crowd.unsettled = crowd.members;
            self.replays.publish(&crowd);
        }
    }

    /// A leg is needed that is not there.
    pub(crate) fn unsettle(&mut self) {
        let mut crowd = self.replays.crowd();
        if self.is_settled(&crowd) {
            crowd.unsettled += 1;
        }
        self.unsettled = true;
        self.replays.publish(&crowd);
    }

    /// All legs are there that the table of this generation needs.
    pub(crate) fn settle(&mut self) {
        let mut crowd = self.replays.crowd();
        if !self.is_settled(&crowd) {
            crowd.unsettled -= 1;
        }
        self.generation = crowd.generation;
        self.unsettled = false;
        self.replays.publish(&crowd);
    }

    fn is_settled(&self, crowd: &Crowd) -> bool {
        self.generation == crowd.generation && !self.unsettled
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut crowd = self.replays.crowd();
        if !self.is_settled(&crowd) {
            crowd.unsettled -= 1;
        }
        crowd.members -= 1;
        self.replays.publish(&crowd);
    }
}

/// The right to replay. One client has it at a time: the number of a replay is then its place in Node's own order, and
/// whoever joined Node later never waits for its greeting.
#[derive(Debug)]
pub(crate) struct Turn {
    _order: OwnedMutexGuard<()>,
    /// Node has not answered by then: the others need not wait for it any longer.
    pub(crate) until: Instant,
}

impl Replays {
    pub(crate) async fn turn(&self) -> Turn {
        Turn {
            _order: Arc::clone(&self.order).lock_owned().await,
            until: Instant::now() + PATIENCE,
        }
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, crowd: &Crowd) {
        let settled = crowd.unsettled == 0;
        self.settled.0.send_if_modified(|known| {
            let changed = *known != settled;
            *known = settled;
            changed
        });
    }

    /// Has to come before CONNECT is sent.
    pub(crate) fn begin(&self, _turn: &Turn) {
        self.begun.fetch_add(1, SeqCst);
    }
}

/// The greetings that one leg gets.
#[derive(Debug)]
pub(crate) struct Greetings {
    /// Replays that Node had seen when this leg joined, and those whose greeting was swallowed since.
    seen: u64,
}

impl Greetings {
    /// Of a leg that joins Node now.
    pub(crate) fn since(replays: &Replays) -> Self {
        Self {
            seen: replays.begun.load(SeqCst),
        }
    }

    /// Whether the greeting that has come is one of a replay.
    pub(crate) fn swallow(&mut self, replays: &Replays) -> bool {
        let due = self.seen < replays.begun.load(SeqCst);
        self.seen += u64::from(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_settled_when_each_has_seen_the_table_and_has_its_leg() {
        let replays = Arc::new(Replays::default());
        let mut first = Member::new(&replays, 1);
        let mut second = Member::new(&replays, 1);
        let settled = first.all_settled();
        assert!(*settled.borrow());
        first.see(2);
        assert!(!*settled.borrow());
        first.settle();
        assert!(!*settled.borrow(), "the second has not seen the table");
        second.see(2);
        second.unsettle();
        assert!(!*settled.borrow(), "the second needs a leg");
        let late = Member::new(&replays, 2);
        second.settle();
        assert!(*settled.borrow());
        first.unsettle();
        drop(late);
        assert!(!*settled.borrow());
        drop(first);
        assert!(*settled.borrow(), "who has left is not waited for");
    }

    #[tokio::test]
    async fn a_leg_swallows_the_greetings_of_replays_after_it() {
        let replays = Replays::default();
        let mut early = Greetings::since(&replays);
        assert!(!early.swallow(&replays), "of a client that is new");
        let turn = replays.turn().await;
        let mut own = Greetings::since(&replays);
        replays.begin(&turn);
        assert!(early.swallow(&replays) && own.swallow(&replays));
        assert!(!early.swallow(&replays) && !own.swallow(&replays));
        drop(turn);
        let mut late = Greetings::since(&replays);
        assert!(!late.swallow(&replays));
    }
}
