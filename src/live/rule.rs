//! What one rule counts and remembers over reloads, and what the log says of it.

use std::sync::Arc;

use tracing::{info, warn};

use crate::metrics::RuleMetrics;
use crate::telemetry::LogLimiter;
use crate::upstream::breaker::{Breaker, BreakerState};

/// The state of a rule, of a socket, or of what no rule claims.
#[derive(Debug)]
pub(crate) struct RuleState {
    pub(crate) id: String,
    pub(crate) metrics: RuleMetrics,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) log: LogLimiter,
}

impl RuleState {
    /// Makes a change of the breaker known, once.
    pub(crate) fn breaker_changed(&self, state: BreakerState) {
        self.metrics.breaker.set(state.number());
        match state {
            BreakerState::Open => warn!(rule = %self.id, "breaker opened: node answers"),
            BreakerState::HalfOpen => {
                info!(rule = %self.id, "breaker half-open: one request probes native")
            }
            BreakerState::Closed => info!(rule = %self.id, "breaker closed: native answers again"),
        }
    }

    /// Counts a request or an event that Node gets instead of native.
    pub(crate) fn fell_back(self: &Arc<Self>, reason: &'static str) {
        self.metrics.fell_back(reason);
        let rule = Arc::clone(self);
        self.log.log(("fallback", &self.id, reason), move |count| {
            // A decline is the word of a handler that works.
            if reason == "decline" {
                info!(rule = %rule.id, reason, count, "node answers instead of native");
            } else {
                warn!(rule = %rule.id, reason, count, "node answers instead of native");
            }
        });
    }

    /// Counts a failure of native that cannot fall back to Node.
    pub(crate) fn unanswered(self: &Arc<Self>, reason: &'static str) {
        self.metrics.unanswered(reason);
        let rule = Arc::clone(self);
        self.log.log(("unanswered", &self.id, reason), move |count| {
            warn!(rule = %rule.id, reason, count, "native failed, and node cannot answer instead");
        });
    }

    /// Logs that a client got no answer of Node; `reason` is the code that it got instead.
    pub(crate) fn no_answer(self: &Arc<Self>, reason: &'static str, error: String) {
        let rule = Arc::clone(self);
        self.log.log(("no answer", &self.id, reason), move |count| {
            warn!(rule = %rule.id, reason, count, error, "node gave no answer");
        });
    }
}
