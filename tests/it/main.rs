//! The integration tests: real servers on loopback, real Node where an oracle decides.

mod support;

mod admin_port;
mod config_fixtures;
mod forwarding;
mod life_cycle;
mod native_side;
mod node_away;
mod path_confusion;
mod reload;
mod timecard_native;
mod tunnels;
