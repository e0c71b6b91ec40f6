//! Programs in other languages: legacy servers and clients. They take commands and report what happens in lines.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::PATIENCE;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A running program. Dropped, it is killed.
pub struct Process {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        let name = format!("{:?}", command.as_std());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}: run ./scripts/test"));
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, lines) = mpsc::unbounded_channel();
        // The program must never wait for the test to read.
        tokio::spawn(async move {
            while let Ok(Some(line)) = output.next_line().await {
                let _ = sender.send(line);
            }
        });
        Self {
            name,
            child,
            input,
            lines,
        }
    }

    /// The next line that it writes.
    pub async fn line(&mut self) -> String {
        timeout(PATIENCE, self.lines.recv())
            .await
            .unwrap_or_else(|_| panic!("{} says nothing", self.name))
            .unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    /// The next event that it reports.
    pub async fn event(&mut self) -> Value {
        let line = self.line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next event, which must have this name.
    pub async fn expect(&mut self, name: &str) -> Value {
        let event = self.event().await;
        assert_eq!(event["event"], name, "{event}");
        event
    }

    pub async fn tell(&mut self, line: impl ToString) {
        let line = format!("{}\n", line.to_string());
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    /// Such as SIGSTOP, after which it says nothing and takes nothing.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs");
        kill(Pid::from_raw(id.try_into().unwrap()), signal).unwrap();
    }

    /// SIGKILL; returns when it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// `node SCRIPT` in a folder of the repository whose packages are installed.
pub fn node(folder: &str, script: &str) -> Command {
    let folder = installed(folder, "node_modules");
    let mut command = Command::new("node");
    command.arg(script).current_dir(folder);
    command
}

/// `python SCRIPT` with the packages of tests/python.
pub fn python(script: &str) -> Command {
    let python = installed(".", ".venv/bin/python").join(".venv/bin/python");
    let mut command = Command::new(python);
    command
        .arg(script)
        .current_dir(Path::new(ROOT).join("tests/python"))
        // With either of these set, python-socketio fails although its verification is off.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE");
    command
}

fn installed(folder: &str, needs: &str) -> PathBuf {
    let path = Path::new(ROOT).join(folder);
    assert!(
        path.join(needs).exists(),
        "{folder} has no {needs}: run ./scripts/test"
    );
    path
}
