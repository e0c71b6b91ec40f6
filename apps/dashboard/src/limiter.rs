//! So many requests in any quarter of an hour, by client or for everybody together.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Requests that are remembered at least, 48 bytes each. Above it the oldest is forgotten early, which favours clients.
const REMEMBERED: usize = 100_000;

/// Counts the requests of each client in a sliding window.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: usize,
    window: Duration,
    recent: Mutex<Recent>,
}

/// `None` is everybody.
type Client = Option<IpAddr>;

#[derive(Debug, Default)]
struct Recent {
    /// Every admitted request of the window, the oldest first.
    requests: VecDeque<(Instant, Client)>,
    /// How many of them each client has.
    counts: HashMap<Client, usize>,
}

impl Limiter {
    pub(super) fn new(limit: usize, window: Duration) -> Self {
        Self {
            limit,
            window,
            recent: Mutex::default(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Counts a request, and says how many the client has left; nothing for one too many, which is not counted.
    pub(super) fn admit(&self, client: Client) -> Option<usize> {
        let now = Instant::now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.forget_before(now.checked_sub(self.window));
        let count = recent.counts.get(&client).copied().unwrap_or_default();
        if count >= self.limit {
            return None;
        }
        if recent.requests.len() >= REMEMBERED.max(self.limit) {
            recent.forget_oldest();
        }
        recent.requests.push_back((now, client));
        *recent.counts.entry(client).or_default() += 1;
        Some(self.limit - count - 1)
    }
}

impl Recent {
    fn forget_before(&mut self, start: Option<Instant>) {
        let Some(start) = start else { return };
        while self.requests.front().is_some_and(|(at, _)| *at <= start) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, client)) = self.requests.pop_front() else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const ONE: Client = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const OTHER: Client = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    #[tokio::test(start_paused = true)]
    async fn each_client_has_a_window_that_slides() {
        let limiter = Limiter::new(3, Duration::from_secs(900));
        assert_eq!(limiter.admit(ONE), Some(2));
        advance(Duration::from_secs(600)).await;
        assert_eq!(limiter.admit(ONE), Some(1));
        assert_eq!(limiter.admit(ONE), Some(0));
        assert_eq!(limiter.admit(ONE), None);
        assert_eq!(limiter.admit(OTHER), Some(2));
        advance(Duration::from_millis(299_999)).await;
        assert_eq!(limiter.admit(ONE), None);
        advance(Duration::from_millis(1)).await;
        assert_eq!(limiter.admit(ONE), Some(0));
        assert_eq!(limiter.admit(ONE), None);
        advance(Duration::from_secs(900)).await;
        assert_eq!(limiter.admit(OTHER), Some(2));
        assert_eq!(limiter.recent.lock().unwrap().counts.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound() {
        let limiter = Limiter::new(2, Duration::from_secs(900));
        for n in 0..REMEMBERED as u32 + 1000 {
            assert_eq!(limiter.admit(Some(IpAddr::V4(n.into()))), Some(1));
        }
        let recent = limiter.recent.lock().unwrap();
        assert_eq!(
            (recent.requests.len(), recent.counts.len()),
            (REMEMBERED, REMEMBERED)
        );
    }
}
