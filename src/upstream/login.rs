//! Logins that Node keeps on the connection: NTLM, and Negotiate (RFC 4559). Node takes every request that follows on it
//! for the user's. So from the first challenge on, or from a request that logs in without one, the connection belongs to
//! one client connection and never enters a pool; its requests take turns on it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{
    AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, WWW_AUTHENTICATE,
};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout};

use crate::upstream::pool::{Lease, MARGIN};

/// Schemes that log in the connection, not the request. Windows knows the last three beside those of the registry.
const SCHEMES: [&[u8]; 5] = [b"ntlm", b"negotiate", b"kerberos", b"credssp", b"nego2"];

/// The connection to Node that belongs to one client connection, for the few clients that log in so.
#[derive(Debug, Default)]
pub(crate) struct OwnConnection(OnceLock<Arc<Mutex<Option<Idle>>>>);

/// Between two requests of the client.
#[derive(Debug)]
pub(super) struct Idle {
    lease: Lease,
    /// Where Node says when it will close the connection.
    until: Option<Instant>,
}

impl OwnConnection {
    /// Whether a request may only go to Node on this connection.
    pub(super) fn is_needed(&self, headers: &HeaderMap) -> bool {
        self.0.get().is_some() || names_login(headers, &AUTHORIZATION)
    }

    /// Waits until the client's other requests leave the connection; `None` if that takes longer than `limit`.
    pub(super) async fn turn(&self, limit: Duration) -> Option<Turn> {
        let own = Arc::clone(self.0.get_or_init(Arc::default));
        timeout(limit, own.lock_owned()).await.ok().map(Turn)
    }

    /// The turn of a request that was challenged on a connection which any client might have had. `None` if the client
    /// has another connection already: one that was challenged too, at the same time.
    pub(super) fn begin(&self) -> Option<Turn> {
        if self.0.get().is_some() {
            return None;
        }
        let own = Arc::clone(self.0.get_or_init(Arc::default));
        own.try_lock_owned().ok().map(Turn)
    }
}

/// The right to use the client's connection, and the connection if it is open. Who takes that must give it back.
#[derive(Debug)]
pub(super) struct Turn(OwnedMutexGuard<Option<Idle>>);

impl Turn {
    pub(super) fn take(&mut self) -> Option<Lease> {
        let Idle { lease, until } = self.0.take()?;
        until
            .is_none_or(|until| until > Instant::now())
            .then_some(lease)
    }

    /// `hint` is Node's own idle time. Where Node announces none, the connection is kept for as long as Node keeps it:
    /// to close it means to end a login.
    pub(super) fn give_back(mut self, lease: Lease, hint: Option<Duration>) {
        let until = hint.and_then(usable_for).map(|idle| Instant::now() + idle);
        *self.0 = Some(Idle { lease, until });
    }
}

/// How long a connection may be idle that Node closes after `hint`. A login takes several requests, so even the shortest
/// time leaves room for them.
fn usable_for(hint: Duration) -> Option<Duration> {
    (!hint.is_zero()).then(|| hint - MARGIN.min(hint / 2))
}

/// Whether an answer asks for a login that stays with the connection, or goes on with one.
pub(super) fn is_challenge(headers: &HeaderMap) -> bool {
    names_login(headers, &WWW_AUTHENTICATE) || names_login(headers, &PROXY_AUTHENTICATE)
}

/// Looks for the schemes at the beginning of each member of the list. A comma inside quotes only makes more members.
fn names_login(headers: &HeaderMap, name: &HeaderName) -> bool {
    let Some(first) = headers.get(name) else {
        return false;
    };
    let more = headers.get_all(name).iter().skip(1);
    let members =
        |value: &'_ HeaderValue| value.as_bytes().split(|byte| *byte == b',').any(is_login);
    members(first) || more.into_iter().any(members)
}

fn is_login(member: &[u8]) -> bool {
    let member = member.trim_ascii();
    let end = member.iter().position(u8::is_ascii_whitespace);
    let scheme = &member[..end.unwrap_or(member.len())];
    SCHEMES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_idle_time_leaves_room_for_a_login() {
        for (hint, idle) in [(0, None), (1, Some(500)), (2, Some(1000)), (5, Some(4000))] {
            let idle = idle.map(Duration::from_millis);
            assert_eq!(usable_for(Duration::from_secs(hint)), idle);
        }
    }
}
