//! When a client is to be pinged, and when it counts as gone. Never performs I/O.

use tokio::time::Instant;

use super::Limits;

/// The two timers of Node's `Socket`. A session that has not been pinged yet may be silent for ever.
#[derive(Debug)]
pub(super) struct Heartbeat {
    limits: Limits,
    /// Empty between a ping and its pong.
    ping_at: Option<Instant>,
    gone_at: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Ping,
    Gone,
}

impl Heartbeat {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            ping_at: Some(now + limits.ping_interval),
            gone_at: None,
        }
    }

    /// The time of the next beat.
    pub(super) fn at(&self) -> Option<Instant> {
        self.ping_at.into_iter().chain(self.gone_at).min()
    }

    /// What is due. A ping then waits for its pong.
    pub(super) fn beat(&mut self, now: Instant) -> Option<Beat> {
        let at = self.at().filter(|at| *at <= now)?;
        if self.gone_at == Some(at) {
            return Some(Beat::Gone);
        }
        self.ping_at = None;
        self.gone_at = Some(now + self.limits.ping_timeout);
        Some(Beat::Ping)
    }

    /// Nobody listened until now, so the client has not been silent.
    pub(super) fn listen(&mut self, now: Instant) {
        let gone_at = now + self.limits.ping_timeout;
        self.gone_at = self.gone_at.map(|at| at.max(gone_at));
    }

    /// Any packet shows that the client lives.
    pub(super) fn heard(&mut self, now: Instant) {
        self.gone_at = Some(now + self.limits.ping_interval + self.limits.ping_timeout);
    }

    /// The next ping is counted from a pong, also from one that nobody asked for.
    pub(super) fn pong(&mut self, now: Instant) {
        self.ping_at = Some(now + self.limits.ping_interval);
    }

    pub(super) fn stop(&mut self) {
        self.ping_at = None;
        self.gone_at = None;
    }

    /// Node forgets the timeout at an upgrade, up to the next ping. After an upgrade between a ping and its pong there
    /// would be none, and a client that says nothing would stay for ever: that one gets its time anew.
    pub(super) fn upgraded(&mut self, now: Instant) {
        let pinged = self.ping_at.is_none();
        self.gone_at = pinged.then(|| now + self.limits.ping_timeout);
    }
}
