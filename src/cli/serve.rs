//! `strangler serve`: the process around the server, that is its log, its signals and its exit code.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::metrics::Metrics;
use crate::native::App;
use crate::server::{Server, StartError, Stop, hand_over, inherited_by_us};
use crate::telemetry::{self, LogFormat};

pub(super) fn serve(routes: &Path, log: LogFormat, apps: &[App]) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let _log =
        telemetry::start(log, metrics.lost_log_lines.clone()).context("cannot start the log")?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    // Asked now, since a newer program may be put in its place before a successor is started.
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    runtime.block_on(async {
        let signals = Signals::listen().context("cannot listen to signals")?;
        let server = match Server::bind_counting(routes, apps, metrics) {
            Ok(server) => server,
            Err(StartError::Routes(failed)) => {
                return Err(super::report(&failed, "; the proxy does not start"));
            }
            Err(error) => return Err(error.into()),
        };
        let listeners = server
            .listeners()
            .context("cannot keep the sockets for a successor")?;
        let following = tokio::spawn(signals.follow(server.stop(), program, listeners));
        inherited_by_us();
        server.run().await?;
        following.abort();
        Ok(())
    })
}

const SIGXFSZ: i32 = nix::sys::signal::Signal::SIGXFSZ as i32;

/// The signals that mean something. They are listened to before the sockets open, so that none is lost.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    replace: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        // A log file that has reached `ulimit -f` would end the process; with a listener, the write just fails.
        let _ = signal(SignalKind::from_raw(SIGXFSZ))?;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            replace: signal(SignalKind::user_defined2())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The first SIGTERM or SIGINT drains, the second ends at once. SIGUSR2 starts a successor, which ends us with a
    /// SIGTERM once it serves; if it does not get that far, we go on.
    async fn follow(mut self, stop: Stop, program: PathBuf, listeners: Vec<std::net::TcpListener>) {
        let mut listeners = Some(listeners);
        let replaced = Arc::new(AtomicBool::new(false));
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                _ = self.replace.recv() => {
                    replace(&program, listeners.as_deref(), &replaced);
                    continue;
                }
                _ = self.hangup.recv() => {
                    info!("nothing to reload: routes.toml and certificates are followed at all times");
                    continue;
                }
            }
            if stop.is_draining() {
                warn!("second signal: ending at once");
                stop.abort();
            } else {
                // The copies would keep the port open after the last acceptor.
                listeners = None;
                stop.drain();
            }
        }
    }
}

fn replace(
    program: &Path,
    listeners: Option<&[std::net::TcpListener]>,
    replaced: &Arc<AtomicBool>,
) {
    let Some(listeners) = listeners else {
        warn!("already draining: no successor is started");
        return;
    };
    if replaced.swap(true, Ordering::Relaxed) {
        warn!("a successor is already starting");
        return;
    }
    let copies = listeners
        .iter()
        .map(std::net::TcpListener::try_clone)
        .collect::<Result<_, _>>();
    match copies.and_then(|copies| hand_over(program, copies)) {
        Ok(mut successor) => {
            info!(pid = successor.id(), "started a successor");
            // A successor that fails says why in its own log; reaped, it leaves no zombie.
            let replaced = Arc::clone(replaced);
            std::thread::spawn(move || {
                if let Ok(status) = successor.wait() {
                    replaced.store(false, Ordering::Relaxed);
                    error!(%status, "the successor ended; this process goes on");
                }
            });
        }
        Err(error) => {
            replaced.store(false, Ordering::Relaxed);
            error!(%error, "no successor could be started; this process goes on");
        }
    }
}
