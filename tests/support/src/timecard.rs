//! The legacy time card as it runs in production: https, with a certificate that only its own CA vouches for.

use std::net::SocketAddr;
use std::path::PathBuf;

use strangler::App;
use tempfile::TempDir;
use tokio::process::Command;

use crate::TestProxy;
use crate::certs::Ca;
use crate::process::{Process, node};

/// A running time card, and what it needs to be started again.
pub struct Timecard {
    pub address: SocketAddr,
    pub ca: Ca,
    folder: TempDir,
    process: Option<Process>,
}

impl Timecard {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new();
        let path = |name| folder.path().join(name);
        ca.leaf().write(&path("node.pem"), &path("node-key.pem"));
        std::fs::write(path("ca.pem"), ca.pem()).unwrap();
        let mut timecard = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ca,
            folder,
            process: None,
        };
        timecard.launch().await;
        timecard
    }

    /// Kills it without a word to its clients, and starts it on the same port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.launch().await;
    }

    /// Kills it.
    pub async fn stop(&mut self) {
        self.process.take().unwrap().kill().await;
    }

    /// On the port that it had before.
    pub async fn launch(&mut self) {
        let mut command: Command = node("apps/timecard/legacy", "server.js");
        let path = |name: &str| self.folder.path().join(name);
        command
            .env("HOST", "127.0.0.1")
            .env("PORT", self.address.port().to_string())
            .env("TLS_CERT", path("node.pem"))
            .env("TLS_KEY", path("node-key.pem"))
            .env("DATABASE_URL", self.database());
        let mut process = Process::start(command);
        let line = process.line().await;
        let (_, address) = line.rsplit_once("https://").unwrap();
        self.address = address.parse().unwrap();
        self.process = Some(process);
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A proxy in front of it that tunnels its Socket.IO connections.
    pub async fn proxy(&self) -> TestProxy {
        let socket = r#"[socket.readers]
kind = "socket.io"
path = "/socket.io/"
mode = "tunnel""#;
        TestProxy::new(&self.url(), &self.trusted(socket)).await
    }

    /// A proxy in front of it with the native time card on the same database.
    pub async fn proxy_with_native(&self, timecard: App, rules: &str) -> TestProxy {
        let native = format!("app = \"timecard\"\ndatabase = \"{}\"", self.database());
        let rules = self.trusted(rules);
        TestProxy::serving_one_of(&[timecard], &native, &self.url(), &rules).await
    }

    /// These rules behind the word that its certificate is trusted.
    pub fn trusted(&self, rules: &str) -> String {
        format!("ca = \"{}\"\n\n{rules}", self.ca_file().display())
    }

    fn database(&self) -> String {
        format!(
            "sqlite:{}",
            self.folder.path().join("timecard.db").display()
        )
    }
}
