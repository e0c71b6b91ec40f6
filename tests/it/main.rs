//! The integration tests: real servers on loopback, real Node where an oracle decides.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]
#![expect(unreachable_pub, reason = "nobody else can reach into a test binary")]

mod addresses;
mod admin_port;
mod browser;
mod byte_parity;
mod check;
mod config_fixtures;
mod config_suggestions;
mod forwarding;
mod js_json;
mod layout;
mod lengths;
mod life_cycle;
mod limits;
mod log_lines;
mod log_output;
mod logins;
mod loops;
mod native_side;
mod node_away;
mod node_health;
mod path_confusion;
mod protocol;
mod reload;
mod sessions;
mod socket_clients;
mod socket_io;
mod tagged;
mod tunnels;

use test_support as support;

/// The program, as an operator runs it.
fn strangler() -> tokio::process::Command {
    support::program::command(env!("CARGO_BIN_EXE_strangler"))
}
