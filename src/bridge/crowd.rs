//! What a side says to everybody reaches those alone whose legs are attached. So events for a side wait while one of the
//! socket's clients may lack the leg that the table gives it: it has not seen the newest table, or has lost its leg.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long events wait for the legs of other clients.
const PATIENCE: Duration = Duration::from_secs(5);

/// The clients of one socket, as one side has them.
#[derive(Debug)]
pub(crate) struct Crowd {
    count: Mutex<Count>,
    settled: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Count {
    /// Of the newest table that any of them has seen.
    generation: u64,
    members: usize,
    unsettled: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            count: Mutex::default(),
            settled: watch::channel(true).0,
        }
    }
}

impl Crowd {
    /// No code of others runs under the lock, so the count is whole even if it is poisoned.
    fn change(&self, change: impl FnOnce(&mut Count)) {
        let mut count = self.count();
        change(&mut count);
        let settled = count.unsettled == 0;
        self.settled.send_if_modified(|known| {
            let changed = *known != settled;
            *known = settled;
            changed
        });
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// There may be a newer table, which nobody else has seen then.
    fn news(&mut self, generation: u64) {
        if generation > self.generation {
            self.generation = generation;
            self.unsettled = self.members;
        }
    }
}

/// One client in the crowd, and what holds its events up.
#[derive(Debug)]
pub(crate) struct Barrier {
    crowd: Arc<Crowd>,
    /// Of the newest table that the client has seen.
    generation: u64,
    /// It may lack a leg that this table gives it.
    unsettled: bool,
    all_settled: watch::Receiver<bool>,
    /// Until when its events wait for the others.
    until: Option<Instant>,
    /// They have waited long enough, until all are settled once more.
    waits_no_more: bool,
}

impl Barrier {
    /// Of a client that has seen the table of this generation, and has what it needs.
    pub(crate) fn new(crowd: &Arc<Crowd>, generation: u64) -> Self {
        let barrier = Self {
            crowd: Arc::clone(crowd),
            generation,
            unsettled: false,
            all_settled: crowd.settled.subscribe(),
            until: None,
            waits_no_more: false,
        };
        crowd.change(|count| {
            count.news(generation);
            count.members += 1;
            count.unsettled += usize::from(!barrier.is_settled(count));
        });
        barrier
    }

    /// There may be a new table. Until each client has seen it, any of them may be about to attach a leg.
    pub(crate) fn see(&mut self, generation: u64) {
        let crowd = Arc::clone(&self.crowd);
        crowd.change(|count| {
            count.news(generation);
            if generation > self.generation {
                // Before, it was unsettled for want of having seen it.
                self.generation = generation;
                self.unsettled = true;
            }
        });
    }

    /// A leg is needed that is not there.
    pub(crate) fn unsettle(&mut self) {
        let crowd = Arc::clone(&self.crowd);
        crowd.change(|count| {
            count.unsettled += usize::from(self.is_settled(count));
            self.unsettled = true;
        });
    }

    /// All legs are there that the table needs which it has seen.
    pub(crate) fn settle(&mut self) {
        let crowd = Arc::clone(&self.crowd);
        crowd.change(|count| {
            let before = self.is_settled(count);
            self.unsettled = false;
            count.unsettled -= usize::from(!before && self.is_settled(count));
        });
    }

    fn is_settled(&self, count: &Count) -> bool {
        self.generation == count.generation && !self.unsettled
    }

    /// Whether an event may pass; it waits if not. What waits already is told by `opened`, whatever passes meanwhile.
    pub(crate) fn lets_pass(&mut self) -> bool {
        if *self.all_settled.borrow() {
            self.waits_no_more = false;
            return true;
        }
        if !self.waits_no_more {
            self.until.get_or_insert_with(|| Instant::now() + PATIENCE);
        }
        self.waits_no_more
    }

    /// When what waits has waited long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Whether that time has come. Then nothing waits any more.
    pub(crate) fn is_overdue(&mut self, now: Instant) -> bool {
        let overdue = self.until.is_some_and(|until| until <= now);
        if overdue {
            self.until = None;
            self.waits_no_more = true;
        }
        overdue
    }

    /// Ends when all are settled, if anything waits for that. Cancel safe.
    pub(crate) async fn opened(&mut self) {
        if self.until.is_none() {
            std::future::pending::<()>().await;
        }
        // The sender lives in the crowd, which this client holds.
        let _ = self.all_settled.wait_for(|settled| *settled).await;
        self.until = None;
        self.waits_no_more = false;
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.crowd.change(|count| {
            count.unsettled -= usize::from(!self.is_settled(count));
            count.members -= 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd() -> (Arc<Crowd>, watch::Receiver<bool>) {
        let crowd = Arc::new(Crowd::default());
        let settled = crowd.settled.subscribe();
        (crowd, settled)
    }

    #[test]
    fn a_crowd_is_settled_when_each_has_seen_the_table_and_has_its_leg() {
        let (crowd, settled) = crowd();
        let mut first = Barrier::new(&crowd, 1);
        let mut second = Barrier::new(&crowd, 1);
        assert!(*settled.borrow());
        first.see(2);
        assert!(!*settled.borrow());
        first.settle();
        assert!(!*settled.borrow(), "the second has not seen the table");
        second.see(2);
        second.unsettle();
        assert!(!*settled.borrow(), "the second needs a leg");
        let late = Barrier::new(&crowd, 2);
        second.settle();
        assert!(*settled.borrow());
        first.unsettle();
        drop(late);
        assert!(!*settled.borrow());
        drop(first);
        assert!(*settled.borrow(), "who has left is not waited for");
    }

    #[test]
    fn a_client_of_a_newer_table_may_come_before_the_others_have_seen_it() {
        let (crowd, settled) = crowd();
        let old = Barrier::new(&crowd, 1);
        let mut older = Barrier::new(&crowd, 1);
        let _young = Barrier::new(&crowd, 2);
        assert!(!*settled.borrow());
        drop(old);
        older.settle();
        assert!(!*settled.borrow(), "it has not seen the table");
        older.see(2);
        assert!(!*settled.borrow());
        older.settle();
        assert!(*settled.borrow());
    }

    #[tokio::test(start_paused = true)]
    async fn events_wait_for_the_others_but_not_for_ever() {
        let (crowd, _) = crowd();
        let mut one = Barrier::new(&crowd, 1);
        let mut other = Barrier::new(&crowd, 1);
        assert!(one.lets_pass());
        other.unsettle();
        assert!(!one.lets_pass());
        tokio::join!(one.opened(), async { other.settle() });
        assert!(one.deadline().is_none(), "it opens once");
        assert!(one.lets_pass());

        other.unsettle();
        assert!(!one.lets_pass());
        other.settle();
        assert!(one.lets_pass());
        tokio::time::timeout(Duration::ZERO, one.opened())
            .await
            .expect("the first one waits still");

        other.unsettle();
        assert!(!one.lets_pass());
        tokio::time::advance(PATIENCE).await;
        assert!(one.is_overdue(Instant::now()));
        assert!(one.lets_pass(), "from now on too");
        other.settle();
        assert!(one.lets_pass());
        other.unsettle();
        assert!(!one.lets_pass(), "the next loss is a new one");
    }
}
