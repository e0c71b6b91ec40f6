//! Log lines that one fault can cause thousands of times a second. The first of a kind is written at once. After that
//! there is at most one line a second, which says how often it happened since the last one. After a second without it,
//! the next one counts as the first again.
//!
//! ```ignore
//! let rule = Arc::clone(&self.state);
//! limiter.log(("no answer", &rule.id, reason), move |count| {
//!     warn!(rule = %rule.id, reason, count, "node gave no answer");
//! });
//! ```
//!
//! A *kind* is anything that hashes: what happened, and every label that an operator would tell apart. Labels come from
//! routes.toml or from the program, never from a client, so that the number of kinds is bounded. All lines of a kind
//! have the details of the first (`line` is called again with another `count`).
//!
//! There is one limiter in a process, `Live::log`. It locks and hashes: use it where something went wrong, not on the
//! ordinary way of a request. It never waits.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

/// Between two lines of a kind.
const INTERVAL: Duration = Duration::from_secs(1);

/// Bounds how many lines of a kind are logged.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogLimiter(Arc<Kinds>);

/// Kinds of which a line was written in the last second, by their hash, with how often each happened since.
#[derive(Debug, Default)]
struct Kinds {
    hasher: RandomState,
    counts: Mutex<HashMap<u64, u64>>,
}

impl LogLimiter {
    /// Writes `line` at once, with the count 1, if this kind was quiet; else counts it for the next line.
    pub(crate) fn log(&self, kind: impl Hash, line: impl Fn(u64) + Send + 'static) {
        let kind = self.0.hasher.hash_one(kind);
        match self.0.lock().entry(kind) {
            Entry::Occupied(mut count) => {
                *count.get_mut() += 1;
                return;
            }
            Entry::Vacant(count) => count.insert(0),
        };
        line(1);
        let recurring = Recurring {
            kinds: Arc::clone(&self.0),
            kind,
            line,
            is_over: false,
        };
        // Without a runtime there is nobody to write the count later: it is dropped, and each one is a first.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(recurring.follow());
        }
    }
}

impl Kinds {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A kind that was logged, until it has been quiet for a second. Dropped earlier, with its runtime, it says what it has
/// counted, and another thread may begin anew.
struct Recurring<L: Fn(u64)> {
    kinds: Arc<Kinds>,
    kind: u64,
    line: L,
    is_over: bool,
}

impl<L: Fn(u64)> Recurring<L> {
    async fn follow(mut self) {
        loop {
            sleep(INTERVAL).await;
            match self.take() {
                0 => return,
                count => (self.line)(count),
            }
        }
    }

    /// How often it has happened. If it has not, it is over.
    fn take(&mut self) -> u64 {
        let mut counts = self.kinds.lock();
        let count = counts.get_mut(&self.kind).map_or(0, std::mem::take);
        if count == 0 {
            counts.remove(&self.kind);
            self.is_over = true;
        }
        count
    }
}

impl<L: Fn(u64)> Drop for Recurring<L> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let count = self.kinds.lock().remove(&self.kind).unwrap_or_default();
        if count > 0 {
            (self.line)(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// What was logged, as kind and count.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<(&'static str, u64)>>>);

    impl Lines {
        fn happen(&self, limiter: &LogLimiter, kind: &'static str) {
            let lines = self.clone();
            limiter.log(("test", kind), move |count| {
                lines.0.lock().unwrap().push((kind, count));
            });
        }

        fn take(&self) -> Vec<(&'static str, u64)> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    /// Lets time pass, and what is due happen.
    async fn pass(time: Duration) {
        // A task that was spawned has not looked at the clock yet.
        tokio::task::yield_now().await;
        advance(time).await;
        tokio::task::yield_now().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_logged_at_once_and_the_others_once_a_second() {
        let (limiter, lines) = (LogLimiter::default(), Lines::default());
        for _ in 0..100 {
            lines.happen(&limiter, "a");
        }
        lines.happen(&limiter, "b");
        assert_eq!(lines.take(), [("a", 1), ("b", 1)]);
        pass(INTERVAL / 2).await;
        lines.happen(&limiter, "a");
        assert_eq!(lines.take(), []);
        pass(INTERVAL / 2).await;
        assert_eq!(lines.take(), [("a", 100)]);
        lines.happen(&limiter, "a");
        pass(INTERVAL).await;
        assert_eq!(lines.take(), [("a", 1)]);
        // Quiet for a second: a first one again.
        pass(INTERVAL).await;
        assert_eq!(lines.take(), []);
        lines.happen(&limiter, "a");
        lines.happen(&limiter, "b");
        assert_eq!(lines.take(), [("a", 1), ("b", 1)]);
        assert_eq!(limiter.0.lock().len(), 2);
        pass(INTERVAL).await;
        assert_eq!(limiter.0.lock().len(), 0, "nothing is kept");
    }

    #[test]
    fn a_count_is_not_lost_with_its_runtime() {
        let (limiter, lines) = (LogLimiter::default(), Lines::default());
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        let _entered = runtime.enter();
        lines.happen(&limiter, "a");
        lines.happen(&limiter, "a");
        lines.happen(&limiter, "a");
        drop(_entered);
        drop(runtime);
        assert_eq!(lines.take(), [("a", 1), ("a", 2)]);
        lines.happen(&limiter, "a");
        lines.happen(&limiter, "a");
        assert_eq!(lines.take(), [("a", 1), ("a", 1)], "without a runtime");
    }
}
