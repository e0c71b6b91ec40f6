//! Whether Node answers, as far as the proxy knows. Nobody asks Node without a reason: a failed request or a lost leg
//! raises a suspicion, `/readyz` wants to know, and a Node that was lost is asked until it is back. There is one question
//! each `health.interval` at most. The log says once that Node is lost, and once that it is back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::live::{Live, format_sources};
use crate::upstream::Target;
use crate::upstream::health::answers;

/// What is known of Node.
#[derive(Debug)]
pub(crate) struct NodeWatch {
    suspected: Notify,
    /// Held while Node is asked: whoever wants to know meanwhile waits for the same answer.
    last: tokio::sync::Mutex<Option<Checked>>,
    lost: Mutex<Option<Lost>>,
    /// 0 while Node is lost.
    up: IntGauge,
}

#[derive(Debug)]
struct Checked {
    target: Arc<Target>,
    at: Instant,
    /// `Err` says what is wrong.
    result: Result<(), String>,
}

/// A Node that did not answer.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) since: Instant,
    pub(crate) reason: String,
}

impl NodeWatch {
    pub(super) fn new(up: IntGauge) -> Self {
        up.set(1);
        Self {
            suspected: Notify::new(),
            last: tokio::sync::Mutex::default(),
            lost: Mutex::default(),
            up,
        }
    }

    /// Something went wrong that a lost Node would explain. Cheap.
    pub(crate) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Whether Node answers, by a question that is not older than `health.interval`.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) async fn check(&self, target: &Arc<Target>) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some(last) = &*last
            && Arc::ptr_eq(&last.target, target)
            && last.at.elapsed() < target.settings.health.interval
        {
            return last.result.clone();
        }
        let result = answers(target).await;
        let result = result.map_err(|error| format_sources(&error));
        *last = Some(Checked {
            target: Arc::clone(target),
            at: Instant::now(),
            result: result.clone(),
        });
        self.note(&result);
        result
    }

    /// Since when and why, while Node is lost.
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.lock().clone()
    }

    fn note(&self, result: &Result<(), String>) {
        let mut lost = self.lock();
        match (result, lost.take()) {
            (Ok(()), None) => {}
            (Ok(()), Some(was)) => {
                let away_ms = u64::try_from(was.since.elapsed().as_millis()).unwrap_or(u64::MAX);
                info!(away_ms, "node is back");
                self.up.set(1);
            }
            (Err(reason), was) => {
                if was.is_none() {
                    warn!(reason, "node is lost");
                    self.up.set(0);
                }
                *lost = Some(Lost {
                    since: was.map_or_else(Instant::now, |was| was.since),
                    reason: reason.clone(),
                });
                // It is asked again.
                self.suspect();
            }
        }
    }

    /// A Node that nothing needs is not missed.
    fn forget(&self) {
        *self.lock() = None;
        self.up.set(1);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Looks after each suspicion, for as long as the process lives.
    pub(crate) async fn follow_node(self: Arc<Self>) {
        loop {
            self.node.suspected.notified().await;
            let snapshot = self.load();
            if snapshot.table.is_node_needed() {
                // What is wrong is in the log.
                let _ = self.node.check(&snapshot.node).await;
            } else {
                self.node.forget();
            }
            let pause = snapshot.node.settings.health.interval;
            drop(snapshot);
            sleep(pause).await;
        }
    }
}
