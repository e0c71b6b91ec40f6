//! What every test needs: a proxy, a Node made of Rust, clients that see raw bytes, and patience with a limit.

#![expect(
    missing_docs,
    reason = "what a test needs to know of these stands where it is not plain"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]
#![expect(
    clippy::new_without_default,
    clippy::len_without_is_empty,
    reason = "tests alone call these"
)]

pub mod certs;
pub mod client;
pub mod documents;
pub mod hog;
pub mod node;
pub mod process;
pub mod program;
pub mod proxy;
pub mod readers;
pub mod sockets;
pub mod timecard;
pub mod websocket;

use std::time::Duration;

pub use client::{Answer, Client};
pub use node::TestNode;
pub use proxy::TestProxy;

/// How long anything may take that should happen at once, on a machine that is busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until `check` holds, for as long as `PATIENCE`.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !check().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
