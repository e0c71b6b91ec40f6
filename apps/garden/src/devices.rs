//! The open connections of each user, which learn what the user's other connections change.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// Pushes that may wait for a slow device. It misses the oldest of more, which costs nothing: each holds the whole state.
const WAITING_PUSHES: usize = 32;

#[derive(Debug, Clone, Default)]
pub(super) struct Devices(Arc<Mutex<Users>>);

#[derive(Debug, Default)]
struct Users {
    channels: HashMap<String, Sender<Push>>,
    joined: u64,
}

#[derive(Debug, Clone)]
struct Push {
    from: u64,
    text: Utf8Bytes,
}

/// One connection of a user; it leaves when it is dropped.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) user: String,
    id: u64,
    pushes: Receiver<Push>,
    devices: Devices,
}

impl Devices {
    pub(super) fn join(&self, user: String) -> Device {
        let mut users = self.lock();
        users.joined += 1;
        let id = users.joined;
        let pushes = users
            .channels
            .entry(user.clone())
            .or_insert_with(|| broadcast::channel(WAITING_PUSHES).0)
            .subscribe();
        drop(users);
        Device {
            user,
            id,
            pushes,
            devices: self.clone(),
        }
    }

    /// Each change of the map is complete when the lock goes, also if its holder panicked after it.
    fn lock(&self) -> MutexGuard<'_, Users> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    /// Whether the user has others.
    pub(super) fn has_others(&self) -> bool {
        self.devices
            .lock()
            .channels
            .get(&self.user)
            .is_some_and(|channel| channel.receiver_count() > 1)
    }

    /// Tells the user's other devices.
    pub(super) fn push(&self, text: Utf8Bytes) {
        if let Some(channel) = self.devices.lock().channels.get(&self.user) {
            // It fails only where nobody listens, and this device does.
            let _ = channel.send(Push {
                from: self.id,
                text,
            });
        }
    }

    /// What another device has pushed. Cancel safe.
    pub(super) async fn pushed(&mut self) -> Utf8Bytes {
        loop {
            match self.pushes.recv().await {
                Ok(push) if push.from != self.id => return push.text,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                // Not before this device leaves.
                Err(RecvError::Closed) => pending().await,
            }
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let mut users = self.devices.lock();
        // Under the lock, so that of two devices that leave at once the second one sees that it is the last.
        self.pushes = broadcast::channel(1).1;
        if users
            .channels
            .get(&self.user)
            .is_some_and(|channel| channel.receiver_count() == 0)
        {
            users.channels.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn changes_reach_the_others_and_nobody_else() {
        let devices = Devices::default();
        let mut first = devices.join("a".to_owned());
        assert!(!first.has_others());
        let mut second = devices.join("a".to_owned());
        let mut stranger = devices.join("b".to_owned());
        assert!(first.has_others());
        first.push("one".into());
        second.push("two".into());
        stranger.push("three".into());
        assert_eq!(second.pushed().await.as_str(), "one");
        assert_eq!(first.pushed().await.as_str(), "two");
        drop(first);
        assert!(!second.has_others());
        assert_eq!(second.pushed().now_or_never(), None);
        assert_eq!(stranger.pushed().now_or_never(), None);
        drop((second, stranger));
        assert!(devices.lock().channels.is_empty());
    }

    #[tokio::test]
    async fn a_slow_device_gets_the_newest() {
        let devices = Devices::default();
        let first = devices.join("a".to_owned());
        let mut slow = devices.join("a".to_owned());
        for number in 0..1000 {
            first.push(number.to_string().into());
        }
        for number in 1000 - WAITING_PUSHES..1000 {
            assert_eq!(slow.pushed().await.as_str(), number.to_string());
        }
    }
}
