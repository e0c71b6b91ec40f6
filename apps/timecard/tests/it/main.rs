//! The integration tests: real servers on loopback, and the original beside them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod beside_node;
mod commands;
mod log_lines;
mod migration;

use test_support as support;
