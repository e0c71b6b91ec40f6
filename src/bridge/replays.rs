//! Clients that Node takes for new ones although they were there all the time: their legs were attached again. What Node
//! says to everybody about a new client would be news of something that did not happen, so each leg counts, in each
//! namespace, how many of these greetings it must swallow.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

/// How long Node may take to answer the CONNECT of one client.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long after its replay a greeting is taken for that of the replay. Not every replay need be greeted, and what Node says
/// later is news.
const GREETING: Duration = Duration::from_secs(10);

/// All replays of one socket since the process began.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    order: Arc<Mutex<()>>,
    /// Replays that are greeted, by namespace.
    begun: std::sync::Mutex<HashMap<String, Begun>>,
}

#[derive(Debug, Default)]
struct Begun {
    count: u64,
    /// When those began that may still be greeted.
    recent: VecDeque<Instant>,
}

impl Begun {
    /// How many are greeted no more.
    fn over(&mut self) -> u64 {
        let now = Instant::now();
        while self
            .recent
            .front()
            .is_some_and(|began| *began + GREETING <= now)
        {
            self.recent.pop_front();
        }
        self.count - self.recent.len() as u64
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

    /// Has to come before CONNECT is sent, where Node greets who joins the namespace.
    pub(crate) fn begin(&self, _turn: &Turn, namespace: &str) {
        let mut begun = self.begun();
        let begun = begun.entry(namespace.to_owned()).or_default();
        begun.over();
        begun.count += 1;
        begun.recent.push_back(Instant::now());
    }

    /// Node refused it, and greets nobody.
    pub(crate) fn undo(&self, namespace: &str) {
        if let Some(begun) = self.begun().get_mut(namespace)
            && begun.recent.pop_back().is_some()
        {
            begun.count -= 1;
        }
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<String, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The greetings that one leg gets in one namespace.
#[derive(Debug, Default)]
pub(crate) struct Greetings {
    /// Replays that Node had seen when this leg joined, and those whose greeting was swallowed since.
    seen: u64,
}

impl Greetings {
    /// Of a leg that joins Node now.
    pub(crate) fn since(replays: &Replays, namespace: &str) -> Self {
        Self {
            seen: replays
                .begun()
                .get(namespace)
                .map_or(0, |begun| begun.count),
        }
    }

    /// Whether the greeting that has come is one of a replay.
    pub(crate) fn swallow(&mut self, replays: &Replays, namespace: &str) -> bool {
        let mut begun = replays.begun();
        let Some(begun) = begun.get_mut(namespace) else {
            return false;
        };
        self.seen = self.seen.max(begun.over());
        let due = self.seen < begun.count;
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
        let since = |namespace| Greetings::since(&replays, namespace);
        let mut early = since("/");
        let mut elsewhere = since("/other");
        assert!(!early.swallow(&replays, "/"), "of a client that is new");
        let turn = replays.turn().await;
        let mut own = since("/");
        replays.begin(&turn, "/");
        assert!(!elsewhere.swallow(&replays, "/other"));
        assert!(early.swallow(&replays, "/") && own.swallow(&replays, "/"));
        assert!(!early.swallow(&replays, "/") && !own.swallow(&replays, "/"));
        drop(turn);
        assert!(!since("/").swallow(&replays, "/"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_long_after_a_replay_is_news() {
        let replays = Replays::default();
        let mut greetings = Greetings::since(&replays, "/");
        let turn = replays.turn().await;
        replays.begin(&turn, "/");
        tokio::time::advance(GREETING).await;
        replays.begin(&turn, "/");
        assert!(greetings.swallow(&replays, "/"), "of the second");
        assert!(!greetings.swallow(&replays, "/"));
    }

    #[tokio::test]
    async fn nobody_waits_for_the_greeting_of_a_replay_that_node_refused() {
        let replays = Replays::default();
        let mut greetings = Greetings::since(&replays, "/");
        let turn = replays.turn().await;
        replays.begin(&turn, "/");
        replays.undo("/");
        assert!(!greetings.swallow(&replays, "/"), "of a client that is new");
    }
}
