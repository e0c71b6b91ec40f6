//! The proxy as a whole: `bind` reads the file and opens every socket, `run` serves until it is told to stop. This is
//! the only wiring; the way of one request is `dispatch`.

mod accept;
mod body;
mod channel;
mod clock;
mod connection;
mod dispatch;
mod handover;
mod respond;
mod tls;
mod upgrade;
mod watchdog;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::admin;
use crate::bridge::{Bridges, Runtimes, Surroundings};
use crate::budget::Budget;
use crate::config;
use crate::live::{Live, LoadError, Served, load};
use crate::metrics::Metrics;
use crate::native::App;
use crate::native::events::EventService;
use crate::native::runtime::NativeRuntime;
use crate::server::accept::{Connection, Seat, Shared};
use crate::server::tls::Certificates;
use crate::upstream::hop::ViaName;
use crate::upstream::process::NodeProcess;

pub use crate::certificate::CertificateError;
pub use handover::{hand_over, inherited_by_us};

/// However many are refused, the budget is looked at no more often than this.
const PRESSED_PAUSE: Duration = Duration::from_millis(50);

/// Why the proxy does not start. Each reads as one clear line; `Routes` has a report of its own.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `routes.toml` does not load.
    #[error("{} does not load", .0.source.path.display())]
    Routes(Box<LoadError>),
    /// An address is in use or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What `listen` says.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Certificate or key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Threads.
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
}

/// A proxy whose sockets are open and whose table is loaded.
pub struct Server {
    listener: TcpListener,
    admin: Option<TcpListener>,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    budget: Arc<Budget>,
    certificates: Arc<Certificates>,
    tls: Arc<ServerConfig>,
    native: Option<(NativeRuntime, Router, NativeThreads)>,
    events: Option<EventService>,
    stop: Stop,
}

/// Ends a running proxy.
#[derive(Debug, Clone)]
pub struct Stop {
    drain: watch::Sender<bool>,
    abort: watch::Sender<bool>,
}

impl Stop {
    /// Stops accepting and lets what runs come to its end, for as long as `server.drain` allows.
    pub fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// Ends at once.
    pub fn abort(&self) {
        self.drain.send_replace(true);
        self.abort.send_replace(true);
    }

    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Loads `routes`, builds the application that it names, and opens the sockets, inherited ones where there are any.
    ///
    /// # Errors
    /// When the file, the certificate or a socket cannot be used.
    pub fn bind(routes: &Path, apps: &[App]) -> Result<Self, StartError> {
        Self::bind_counting(routes, apps, Arc::default())
    }

    /// The same with metrics that have begun to count.
    pub(crate) fn bind_counting(
        routes: &Path,
        apps: &[App],
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let runtime = NativeThreads::start().map_err(StartError::Threads)?;
        let routes_error = |error| StartError::Routes(Box::new(error));
        let loaded = load(routes).map_err(routes_error)?;
        let app = {
            let _context = runtime.handle().enter();
            loaded.build_app(apps).map_err(routes_error)?
        };
        let served = Served::by(app.as_ref());
        let live = Live::start(loaded, served, Arc::clone(&metrics)).map_err(routes_error)?;
        let (native, events) = match app {
            None => (None, None),
            Some(app) => {
                let declining = app.clone().declining_router();
                let native = NativeRuntime::new(declining, runtime.handle().clone());
                let (router, events) = app.into_parts();
                (Some((native, router, runtime)), events)
            }
        };

        let snapshot = live.load();
        let config = snapshot.table.config();
        let certificates = Certificates::load(&config.server.cert, &config.server.key)?;
        let mut inherited = handover::Inherited::take();
        let listener = inherited.or_bind(config.server.listen)?;
        let admin = config
            .admin
            .map(|address| inherited.or_bind(address))
            .transpose()?;
        let stop = Stop {
            drain: watch::channel(false).0,
            abort: watch::channel(false).0,
        };
        let tls = tls::server_config(Arc::clone(&certificates));
        let budget = Budget::of_this_process(Arc::clone(&metrics), &config.limits);
        Ok(Self {
            listener,
            admin,
            live,
            metrics,
            budget,
            certificates,
            tls,
            native,
            events,
            stop,
        })
    }

    /// The public address, with the port that was really opened.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// The address of the admin port, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// Ends the proxy from elsewhere.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Copies of the open sockets, for a successor.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        [Some(&self.listener), self.admin.as_ref()]
            .into_iter()
            .flatten()
            .map(TcpListener::try_clone)
            .collect()
    }

    /// Serves until `stop`, then drains. Needs a tokio runtime for what is not on the way of a request.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub async fn run(self) -> Result<(), StartError> {
        let Self {
            listener,
            admin,
            live,
            metrics,
            budget,
            certificates,
            tls,
            native,
            events,
            stop,
        } = self;
        let snapshot = live.load();
        let config = snapshot.table.config().clone();
        drop(snapshot);
        if config.node.trust == config::Trust::Insecure {
            warn!("node.insecure is set: whoever answers at node.url is taken for node");
        }
        log_addresses(&listener, admin.as_ref(), &live);

        let mut background = tokio::task::JoinSet::new();
        background.spawn(Arc::clone(&live).follow());
        background.spawn(Arc::clone(&live).follow_node());
        background.spawn(certificates.follow(Arc::clone(&live), Arc::clone(&metrics)));
        let mut admin_port = None;
        if let Some(listener) = admin {
            let view = admin::View {
                live: Arc::clone(&live),
                metrics: Arc::clone(&metrics),
            };
            admin_port = Some(background.spawn(admin::serve(listener, view)));
        }
        let (process_stop, stopped) = watch::channel(false);
        let process = (!config.node.command.is_empty()).then(|| {
            // Of `routes.toml` without a folder the parent is an empty path, which no process can be in.
            let folder = live
                .path()
                .parent()
                .filter(|folder| *folder != Path::new(""));
            let folder = folder.unwrap_or(Path::new(".")).to_owned();
            let process = NodeProcess {
                command: config.node.command.clone(),
                folder,
                port: config.node.url.port,
            };
            let metrics = Arc::clone(&metrics);
            tokio::spawn(async move {
                handover::predecessor_gone().await;
                process.supervise(stopped, metrics).await;
            })
        });

        let (native, router, native_threads) = match native {
            None => (None, None, None),
            Some((native, router, threads)) => (Some(native), Some(router), Some(threads)),
        };
        let finishing = native.clone();
        let (seats, given): (Vec<_>, Vec<_>) = (0..parallelism()).map(|_| Seat::new()).unzip();
        background.spawn(relieve(Arc::clone(&budget), Arc::clone(&live)));
        let surroundings = Surroundings {
            live: Arc::clone(&live),
            metrics: Arc::clone(&metrics),
            budget: Arc::clone(&budget),
            native: events,
            router,
            handlers: start_threads("handlers", &stop).map_err(StartError::Threads)?,
            stop: stop.drain.subscribe(),
        };
        let runtimes = start_threads("events", &stop).map_err(StartError::Threads)?;
        let bridges = Bridges::new(surroundings, runtimes);
        let shared = Arc::new(Shared {
            live: Arc::clone(&live),
            metrics,
            budget,
            native,
            bridges: Arc::clone(&bridges),
            tls,
            via: ViaName::new(),
            stop: stop.drain.subscribe(),
            seats,
        });
        let mut acceptors =
            start_acceptors(&listener, &shared, given, &stop).map_err(StartError::Threads)?;
        // The threads hold handles of their own; from here on the last of them closes the socket.
        drop(listener);
        drop(shared);

        let mut draining = stop.drain.subscribe();
        let _ = draining.wait_for(|draining| *draining).await;
        let limit = live.load().table.config().server.drain;
        // A successor serves the same socket; from here on the numbers are its own.
        if let Some(admin_port) = admin_port {
            admin_port.abort();
        }
        info!(
            limit_s = limit.as_secs(),
            "draining: no new connections, what runs comes to its end"
        );
        let ended = async {
            acceptors.recv().await;
            bridges.finish().await;
            // A handler whose client is gone still has its work to do.
            if let Some(native) = &finishing {
                native.finish().await;
            }
        };
        if timeout(limit, ended).await.is_err() {
            warn!("connections or native handlers are cut: they did not end in time");
        }
        stop.abort();
        // Each thread holds a sender: this returns when the last of them has ended.
        while acceptors.recv().await.is_some() {}
        process_stop.send_replace(true);
        if let Some(process) = process {
            let _ = process.await;
        }
        drop(native_threads);
        info!("stopped");
        Ok(())
    }
}

/// Looks after the budget, with the bounds of the table in force.
async fn relieve(budget: Arc<Budget>, live: Arc<Live>) {
    let mut generation = live.generation();
    loop {
        generation.mark_unchanged();
        budget.apply(&live.load().table.config().limits);
        let pause = budget.relieve(Instant::now());
        tokio::select! {
            () = sleep(pause) => {}
            () = budget.pressed() => sleep(PRESSED_PAUSE).await,
            _ = generation.changed() => {}
        }
    }
}

/// The threads that the native application runs on. Dropped, they end without waiting for a handler that hangs.
#[derive(Debug)]
struct NativeThreads(Option<Runtime>);

impl NativeThreads {
    fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(parallelism())
            .thread_name("native")
            .enable_all();
        builder.build().map(|runtime| Self(Some(runtime)))
    }

    fn handle(&self) -> &Handle {
        self.0
            .as_ref()
            .expect("only drop takes the runtime")
            .handle()
    }
}

impl Drop for NativeThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// One accepting thread for each core. The channel closes when all of them have ended.
fn start_acceptors(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    given: Vec<mpsc::UnboundedReceiver<Connection>>,
    stop: &Stop,
) -> io::Result<mpsc::Receiver<std::convert::Infallible>> {
    let (alive, ended) = mpsc::channel(1);
    for (number, given) in given.into_iter().enumerate() {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (listener, shared, alive) = (listener.try_clone()?, Arc::clone(shared), alive.clone());
        let mut abort = stop.abort.subscribe();
        thread::Builder::new()
            .name(format!("acceptor-{number}"))
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        result = accept::run(listener, shared, number, given) => {
                            if let Err(error) = result {
                                tracing::error!(%error, "an accepting thread ended");
                            }
                        }
                        _ = abort.wait_for(|abort| *abort) => {}
                    }
                });
                drop(runtime);
                drop(alive);
            })?;
    }
    Ok(ended)
}

/// One thread of this kind for each core, apart from the accepting ones.
fn start_threads(kind: &str, stop: &Stop) -> io::Result<Runtimes> {
    let start = |number| {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let mut abort = stop.abort.subscribe();
        thread::Builder::new()
            .name(format!("{kind}-{number}"))
            .spawn(move || {
                runtime.block_on(async {
                    let _ = abort.wait_for(|abort| *abort).await;
                });
            })?;
        Ok(handle)
    };
    let handles: io::Result<Vec<Handle>> = (0..parallelism()).map(start).collect();
    handles.map(Runtimes::new)
}

fn parallelism() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn log_addresses(listener: &TcpListener, admin: Option<&TcpListener>, live: &Live) {
    let address = |listener: &TcpListener| listener.local_addr().map(|address| address.to_string());
    let snapshot = live.load();
    let url = &snapshot.node.settings.url;
    info!(
        listen = address(listener).unwrap_or_default(),
        admin = admin.map(|admin| address(admin).unwrap_or_default()),
        node = %url,
        rules = snapshot.table.rules().len(),
        "ready"
    );
}
