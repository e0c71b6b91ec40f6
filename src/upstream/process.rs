//! Starts `node.command` and keeps it running: restarted with a growing pause, its output line by line in our log, and
//! ended together with the proxy.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use crate::metrics::Metrics;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A process that ran for this long was healthy: its next restart is quick again.
const HEALTHY: Duration = Duration::from_secs(10);
/// How long the process may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// A longer line of its output is logged in pieces of this many bytes.
const LINE: u64 = 4096;

/// The command, as `[node]` gives it.
#[derive(Debug, Clone)]
pub(crate) struct NodeProcess {
    /// Program and arguments, not empty.
    pub command: Vec<String>,
    /// What it runs in, the folder of routes.toml.
    pub folder: PathBuf,
    /// `PORT`.
    pub port: u16,
}

impl NodeProcess {
    /// Runs until `stop` becomes true, then ends the process.
    pub(crate) async fn supervise(self, mut stop: watch::Receiver<bool>, metrics: Arc<Metrics>) {
        let mut pause = FIRST_PAUSE;
        while !*stop.borrow() {
            let started = Instant::now();
            metrics.node_starts.inc();
            match self.spawn() {
                Ok(mut child) => {
                    let pid = child.id().unwrap_or_default();
                    // Arguments may hold secrets that came from the environment.
                    info!(pid, program = %self.command[0], "node started");
                    tokio::select! {
                        status = child.wait() => report_end(status),
                        () = told(&mut stop) => return end(child).await,
                    }
                }
                Err(error) => error!(%error, program = %self.command[0], "node cannot be started"),
            }
            if started.elapsed() >= HEALTHY {
                pause = FIRST_PAUSE;
            }
            info!(
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "node starts again after a pause"
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = told(&mut stop) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .current_dir(&self.folder)
            .env("PORT", self.port.to_string())
            // Meant for the proxy; a program that believes in them would take sockets that it was not given.
            .env_remove("LISTEN_FDS")
            // Ctrl-C in a terminal is for the proxy, which ends Node when its last request is answered.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        // These end with the pipes, that is with the process.
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(copy_to_log(stdout, "stdout"));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(copy_to_log(stderr, "stderr"));
        }
        Ok(child)
    }
}

/// Waits for `stop` without holding its lock.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn report_end(status: std::io::Result<ExitStatus>) {
    match status {
        Ok(status) => warn!(%status, "node ended"),
        Err(error) => error!(%error, "node was lost"),
    }
}

/// Asks with SIGTERM first, so that Node closes its database and its sockets. The command may be a shell or npm, so
/// its whole group is asked.
async fn end(mut child: Child) {
    let group = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .map(Pid::from_raw);
    let Some(group) = group else { return };
    let _ = killpg(group, Signal::SIGTERM);
    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        warn!("node did not end in time and is killed");
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.wait().await;
    }
}

async fn copy_to_log(output: impl AsyncRead + Unpin, stream: &'static str) {
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut lines).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                info!(target: "node", stream, "{}", String::from_utf8_lossy(&line).trim_end().escape_debug())
            }
        }
    }
}
