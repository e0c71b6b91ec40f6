//! The clients that people have: socket.io-client 4.8, 4.0 and 3.1 and python-socketio 5.8, over polling, WebSocket and
//! the upgrade between them. What one of them reports of a scenario at Node itself is what it must report of it through
//! the proxy, over TLS with verification off.

mod driver;
mod scenario;

use crate::support::process::{node, python};
use crate::support::sockets::{BRIDGE, MIXED, Sockets, TUNNEL};
use driver::{Driver, Lost};
use scenario::{everything, recovery};

const MODES: [&str; 3] = ["polling", "websocket", "upgrade"];

/// How a driver is started.
#[derive(Debug, Clone, Copy)]
enum Library {
    Js(&'static str),
    Python,
}

impl Library {
    fn start(self) -> Driver {
        match self {
            Self::Js(version) => {
                let mut command = node("tests/js", "clients.mjs");
                command.arg(version);
                Driver::start(command)
            }
            Self::Python => Driver::start(python("clients.py")),
        }
    }
}

/// How often python-socketio may lose a connection in one test. It loses one of a hundred, and opens some forty.
const LOSSES: usize = 3;

#[expect(
    clippy::print_stderr,
    reason = "the losses are the library's, and worth a look all the same"
)]
fn tell(library: Library, losses: usize) {
    if losses > 0 {
        eprintln!("{library:?} lost {losses} connections by itself");
    }
}

/// The transcripts of a library at Node itself and through a proxy with these rules are equal.
async fn compare(library: Library, rules: &str) {
    let server = Sockets::start(&[]).await;
    let proxy = server.proxy(rules).await;
    let through = format!("https://{}", proxy.address);
    let mut losses = 0;
    for mode in MODES {
        let mut transcripts = Vec::new();
        for url in [&server.url(), &through] {
            transcripts.push(loop {
                match everything(library.start(), url, mode).await {
                    Ok(transcript) => break transcript,
                    Err(Lost) => losses += 1,
                }
                assert!(losses <= LOSSES, "{library:?} loses connections");
            });
        }
        assert!(!transcripts[0].is_empty());
        assert_eq!(transcripts[1], transcripts[0], "{library:?} {mode}");
    }
    tell(library, losses);
}

#[tokio::test]
async fn js_4_8_through_a_tunnel() {
    compare(Library::Js("4.8"), TUNNEL).await;
}

#[tokio::test]
async fn js_4_0_through_a_tunnel() {
    compare(Library::Js("4.0"), TUNNEL).await;
}

#[tokio::test]
async fn js_3_1_through_a_tunnel() {
    compare(Library::Js("3.1"), TUNNEL).await;
}

#[tokio::test]
async fn python_through_a_tunnel() {
    compare(Library::Python, TUNNEL).await;
}

/// A connection is lost and comes back with its id, its rooms and what it has missed.
async fn compare_recovery(rules: &str) {
    let mut server = Sockets::start(&[("RECOVERY", "30000")]).await;
    let proxy = server.proxy(rules).await;
    let (direct, through) = (server.url(), format!("https://{}", proxy.address));
    for mode in MODES {
        let expected = recovery(&mut server, Library::Js("4.8").start(), &direct, mode).await;
        let transcript = recovery(&mut server, Library::Js("4.8").start(), &through, mode).await;
        assert_eq!(transcript, expected, "{mode}");
    }
}

#[tokio::test]
async fn js_4_8_recovers_its_state_through_a_tunnel() {
    compare_recovery(TUNNEL).await;
}

#[tokio::test]
async fn js_4_8_through_a_bridge() {
    compare(Library::Js("4.8"), BRIDGE).await;
}

#[tokio::test]
async fn js_4_0_through_a_bridge() {
    compare(Library::Js("4.0"), BRIDGE).await;
}

#[tokio::test]
async fn js_3_1_through_a_bridge() {
    compare(Library::Js("3.1"), BRIDGE).await;
}

#[tokio::test]
async fn python_through_a_bridge() {
    compare(Library::Python, BRIDGE).await;
}

#[tokio::test]
async fn js_4_8_recovers_its_state_through_a_bridge() {
    compare_recovery(BRIDGE).await;
}

#[tokio::test]
async fn js_4_8_with_events_on_both_sides() {
    compare(Library::Js("4.8"), MIXED).await;
}

#[tokio::test]
async fn js_3_1_with_events_on_both_sides() {
    compare(Library::Js("3.1"), MIXED).await;
}

#[tokio::test]
async fn python_with_events_on_both_sides() {
    compare(Library::Python, MIXED).await;
}
