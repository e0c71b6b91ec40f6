//! How what native was given fares, for the breaker of its rule.

use std::sync::Arc;

use crate::live::RuleState;
use crate::upstream::breaker::{Admission, BreakerState};

/// Something that native was given. One that ends without a verdict, because its client left, is forgotten: a probe that
/// nobody judges would keep its rule on Node for good.
#[derive(Debug)]
pub(crate) struct Trial {
    rule: Arc<RuleState>,
    /// `None` without a breaker, and once there is a verdict.
    admission: Option<Admission>,
}

impl Trial {
    /// `None` where the breaker refuses, which it does only if Node `may_answer` in native's place.
    pub(crate) fn begin(rule: &Arc<RuleState>, may_answer: bool) -> Option<Self> {
        let breaker = rule.breaker.as_ref().filter(|_| may_answer);
        let admission = breaker.map(|breaker| breaker.admit());
        match admission {
            Some(Admission::Refused) => return None,
            Some(Admission::Probe) => rule.breaker_changed(BreakerState::HalfOpen),
            Some(Admission::Admitted) | None => {}
        }
        Some(Self {
            rule: Arc::clone(rule),
            admission,
        })
    }

    pub(crate) fn rule(&self) -> &Arc<RuleState> {
        &self.rule
    }

    pub(crate) fn end(mut self, failed: bool) {
        if let (Some(breaker), Some(admission)) = (&self.rule.breaker, self.admission.take())
            && let Some(changed) = breaker.record(admission, failed)
        {
            self.rule.breaker_changed(changed);
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let (Some(breaker), Some(admission)) = (&self.rule.breaker, self.admission.take()) {
            breaker.forget(admission);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{self, Share};
    use crate::metrics::Metrics;
    use crate::upstream::breaker::Breaker;

    #[tokio::test(start_paused = true)]
    async fn a_probe_without_a_verdict_is_repeated() {
        let settings = config::Breaker {
            failures: Share(5_000),
            requests: 1,
            window: Duration::from_secs(10),
            probe: Duration::from_secs(5),
        };
        let rule = Arc::new(RuleState {
            id: "cards".to_owned(),
            metrics: Metrics::new().rule("cards"),
            breaker: Some(Breaker::new(settings)),
            log: crate::telemetry::LogLimiter::default(),
        });
        Trial::begin(&rule, true).expect("closed").end(true);
        assert!(Trial::begin(&rule, true).is_none(), "open");
        assert!(Trial::begin(&rule, false).is_some(), "nobody else answers");
        tokio::time::advance(Duration::from_secs(5)).await;
        let probe = Trial::begin(&rule, true).expect("a probe");
        assert!(Trial::begin(&rule, true).is_none(), "one at a time");
        drop(probe);
        Trial::begin(&rule, true).expect("another").end(false);
        assert!(Trial::begin(&rule, true).is_some(), "closed again");
    }
}
