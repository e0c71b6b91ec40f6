//! Clients that Node takes for new ones although they were there all the time: their legs were attached again. What
//! Node says to everybody about a new client would be news of something that did not happen, so each leg counts how many
//! of these greetings it must swallow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

/// How long Node may take to answer the CONNECT of one client.
const PATIENCE: Duration = Duration::from_secs(5);

/// All replays of one socket since the process began.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    order: Arc<Mutex<()>>,
    begun: AtomicU64,
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
