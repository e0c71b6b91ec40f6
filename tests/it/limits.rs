//! What one address, or many clients, may take from the others: descriptors and memory (issue 9).

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::certs::Ca;
use crate::support::client::connect;
use crate::support::program::{Program, folder, wait_for};
use crate::support::{Client, PATIENCE, TestNode, eventually};

/// The program with at most this many descriptors.
fn with_descriptors(most: usize) -> Command {
    let mut command = Command::new("sh");
    command
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null())
        .env_remove("RUST_LOG")
        .args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_strangler"));
    command
}

#[tokio::test]
async fn accepting_recovers_as_soon_as_descriptors_are_free() {
    let node = TestNode::echo().await;
    let ca = Ca::new();
    let slow = "[limits]\nhandshake_timeout = \"10m\"";
    let (_folder, routes) = folder(&ca, &node.url(), slow);
    let mut program = Program::run(with_descriptors(1024), &routes).await;
    let mut crowd = Vec::new();
    for _ in 0..1500 {
        crowd.push(TcpStream::connect(program.address).await.unwrap());
    }
    wait_for(&mut program.log, "no connection can be accepted").await;
    // The others stay: none of them may stand before a newcomer in the kernel's queue.
    drop(crowd.drain(..100));
    let tls = ca.client_config(&["http/1.1"]);
    let served = eventually("a newcomer is served", || async {
        let Ok(stream) = connect(program.address, &tls).await else {
            return false;
        };
        let answer = Client::over(stream).await.get("/").await;
        answer.is_ok_and(|answer| answer.text() == "node:/")
    });
    timeout(PATIENCE, served).await.expect("nobody waits");
}
