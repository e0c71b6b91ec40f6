//! The `main` of a team that moves a Socket.IO application: the proxy's whole command line with its own events behind
//! it. The application is the native twin of tests/legacy/sockets, and serves `scripts/bench events` and
//! `scripts/torture event-flips`.
//!
//! ```text
//! sockets serve --routes routes.toml     the proxy, with `app = "sockets"` in [native]
//! sockets alone PORT CERT KEY            the same handlers without a proxy, as after the migration
//! sockets tls PORT CERT KEY              a server that takes TLS connections and leaves them alone
//! ```

mod app;
mod values;

mod alone;

use std::process::ExitCode;

use strangler::App;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (what, port, cert, key) = match words[..] {
        ["alone", port, cert, key] => (alone::Serve::Events, port, cert, key),
        ["tls", port, cert, key] => (alone::Serve::Nothing, port, cert, key),
        _ => {
            return strangler::main(&[App::new("sockets", app::build)]);
        }
    };
    match alone::run(what, port, cert, key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
