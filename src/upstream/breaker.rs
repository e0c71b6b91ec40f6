//! Decides when the native side of a rule is left alone: `Closed` admits, `Open` refuses, `HalfOpen` admits one probe.
//! Opens on the share of failures in a window; no I/O, and the clock can be paused.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::config;

/// What the breaker says of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Native may answer.
    Admitted,
    /// Native may answer; how it fares closes or opens the breaker.
    Probe,
    /// Node answers.
    Refused,
}

/// The state, as metrics and the admin API show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// Admits.
    Closed,
    /// Refuses.
    Open,
    /// Waits for a probe.
    HalfOpen,
}

impl BreakerState {
    /// The name in the admin API.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }

    /// The value of the metric.
    #[must_use]
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::Open => 1,
            Self::HalfOpen => 2,
        }
    }
}

/// The breaker of one rule.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: config::Breaker,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    state: State,
    since: Instant,
    requests: u32,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Until the time in `since` plus `probe`.
    Open,
    /// A probe is on its way.
    Probing,
}

impl Breaker {
    /// Closed.
    #[must_use]
    pub(crate) fn new(settings: config::Breaker) -> Self {
        let window = Window {
            state: State::Closed,
            since: Instant::now(),
            requests: 0,
            failures: 0,
        };
        Self {
            settings,
            window: Mutex::new(window),
        }
    }

    /// The settings that it was made with.
    #[must_use]
    pub(crate) fn settings(&self) -> &config::Breaker {
        &self.settings
    }

    /// Whether native may answer the next request. A `Probe` must be followed by `record` or `forget`.
    pub(crate) fn admit(&self) -> Admission {
        let mut window = self.lock();
        match window.state {
            State::Closed => Admission::Admitted,
            State::Open if window.since.elapsed() >= self.settings.probe => {
                window.state = State::Probing;
                Admission::Probe
            }
            State::Open | State::Probing => Admission::Refused,
        }
    }

    /// How an admitted request fared. Returns the new state if it changed.
    pub(crate) fn record(&self, admission: Admission, failed: bool) -> Option<BreakerState> {
        let mut window = self.lock();
        match (admission, window.state) {
            (Admission::Probe, State::Probing) => {
                let state = if failed { State::Open } else { State::Closed };
                *window = Window {
                    state,
                    since: Instant::now(),
                    requests: 0,
                    failures: 0,
                };
                Some(if failed {
                    BreakerState::Open
                } else {
                    BreakerState::Closed
                })
            }
            (Admission::Admitted, State::Closed) => {
                if window.since.elapsed() >= self.settings.window {
                    *window = Window {
                        state: State::Closed,
                        since: Instant::now(),
                        requests: 0,
                        failures: 0,
                    };
                }
                window.requests += 1;
                window.failures += u32::from(failed);
                let share = u64::from(window.failures) * 10_000;
                let limit = u64::from(self.settings.failures.0) * u64::from(window.requests);
                let open = failed && window.requests >= self.settings.requests && share >= limit;
                if open {
                    *window = Window {
                        state: State::Open,
                        since: Instant::now(),
                        requests: 0,
                        failures: 0,
                    };
                }
                open.then_some(BreakerState::Open)
            }
            // An answer that began before the state changed says nothing about the new state.
            _ => None,
        }
    }

    /// An admitted request ended without a verdict, such as a client that left: the next one probes again.
    pub(crate) fn forget(&self, admission: Admission) {
        let mut window = self.lock();
        if admission == Admission::Probe && window.state == State::Probing {
            window.state = State::Open;
        }
    }

    /// The state now.
    #[must_use]
    pub(crate) fn state(&self) -> BreakerState {
        let window = self.lock();
        match window.state {
            State::Closed => BreakerState::Closed,
            State::Open if window.since.elapsed() < self.settings.probe => BreakerState::Open,
            State::Open | State::Probing => BreakerState::HalfOpen,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Share;

    fn breaker() -> Breaker {
        Breaker::new(config::Breaker {
            failures: Share(5_000),
            requests: 4,
            window: Duration::from_secs(10),
            probe: Duration::from_secs(5),
        })
    }

    fn admitted(breaker: &Breaker, failures: &[bool]) -> Option<BreakerState> {
        failures
            .iter()
            .filter_map(|failed| breaker.record(breaker.admit(), *failed))
            .last()
    }

    #[tokio::test(start_paused = true)]
    async fn opens_at_the_share_and_not_below() {
        let breaker = breaker();
        assert_eq!(
            admitted(&breaker, &[true, true, true]),
            None,
            "three are too few"
        );
        assert_eq!(
            admitted(&breaker, &[false]),
            None,
            "a success never opens it"
        );
        assert_eq!(admitted(&breaker, &[true]), Some(BreakerState::Open));
        assert_eq!(breaker.admit(), Admission::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_decides() {
        let breaker = breaker();
        admitted(&breaker, &[true; 4]);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(breaker.admit(), Admission::Probe);
        assert_eq!(breaker.admit(), Admission::Refused, "one probe at a time");
        assert_eq!(
            breaker.record(Admission::Probe, true),
            Some(BreakerState::Open)
        );
        assert_eq!(breaker.admit(), Admission::Refused);
        tokio::time::advance(Duration::from_secs(5)).await;
        let probe = breaker.admit();
        breaker.forget(probe);
        assert_eq!(
            breaker.admit(),
            Admission::Probe,
            "a probe without a verdict is repeated"
        );
        assert_eq!(
            breaker.record(Admission::Probe, false),
            Some(BreakerState::Closed)
        );
        assert_eq!(breaker.admit(), Admission::Admitted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_forgets() {
        let breaker = breaker();
        admitted(&breaker, &[true, true, true]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(admitted(&breaker, &[true]), None);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
