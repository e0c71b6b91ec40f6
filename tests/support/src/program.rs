//! The program itself, as an operator runs it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::certs::Ca;

/// A program with strangler in it, with nothing of this process that would change what it does.
pub fn command(binary: &str) -> Command {
    let mut command = Command::new(binary);
    command
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .env_remove("RUST_LOG");
    command
}

/// Runs a command in a folder: whether it exits with 0, and what it says on standard output and standard error.
pub async fn output(
    mut command: Command,
    arguments: &[&str],
    folder: &Path,
) -> (bool, String, String) {
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A running `strangler serve` with its log.
pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
    pub log: Lines<BufReader<ChildStderr>>,
}

impl Program {
    pub async fn start(mut command: Command, routes: &Path) -> Self {
        // As most people start it: in the folder, with a name that has none.
        command
            .current_dir(routes.parent().unwrap())
            .args(["serve", "--routes"])
            .arg(routes.file_name().unwrap())
            .args(["--log", "json"])
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = wait_for(&mut log, "ready").await;
        let address = ready["listen"].as_str().unwrap().parse().unwrap();
        Self {
            child,
            address,
            log,
        }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

/// The next line of the log with this in its message.
pub async fn wait_for(log: &mut Lines<BufReader<ChildStderr>>, message: &str) -> serde_json::Value {
    let found = timeout(PATIENCE, async {
        let mut seen = Vec::new();
        while let Some(line) = log.next_line().await.unwrap() {
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            if value["message"]
                .as_str()
                .is_some_and(|own| own.contains(message))
            {
                return value;
            }
            seen.push(line);
        }
        panic!("the log ended without `{message}`: {seen:#?}");
    });
    found
        .await
        .unwrap_or_else(|_| panic!("`{message}` did not come"))
}

/// Lines of this message, until their counts make `total`.
pub async fn counted(program: &mut Program, message: &str, total: u64) -> Vec<serde_json::Value> {
    let (mut lines, mut sum) = (Vec::new(), 0);
    while sum < total {
        let line = wait_for(&mut program.log, message).await;
        sum += line["count"].as_u64().unwrap();
        lines.push(line);
    }
    assert_eq!(sum, total, "{lines:#?}");
    lines
}

/// A folder with certificates and a routes.toml on a port that stays the same over restarts.
pub fn folder(ca: &Ca, node: &str, more: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    ca.leaf()
        .write(&path("server.pem"), &path("server-key.pem"));
    let routes = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server-key.pem\"\ndrain = \"1m\"\n\
         [node]\nurl = \"{node}\"\n{more}\n"
    );
    fs::write(path("routes.toml"), routes).unwrap();
    let routes = path("routes.toml");
    (folder, routes)
}
