//! One accepting thread: a current-thread runtime with its own handle of the listening socket and its own connections
//! to Node, so that a request never changes threads. Failed accepts and handshakes end one connection, never the loop.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::bridge::Bridges;
use crate::budget::waiter::Waiter;
use crate::budget::{Budget, ConnectionPlace, NoPlace};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::native::runtime::NativeRuntime;
use crate::server::clock::Clock;
use crate::server::connection;
use crate::upstream::hop::ViaName;
use crate::upstream::pool::Pool;

/// If not even the spare descriptor helps, accepting again at once would spin: nothing tells when one becomes free.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A silent connection is probed after this long.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What all accepting threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) live: Arc<Live>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) budget: Arc<Budget>,
    pub(super) native: Option<NativeRuntime>,
    pub(super) bridges: Arc<Bridges>,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) via: ViaName,
    /// True from the first signal on.
    pub(super) stop: watch::Receiver<bool>,
    /// One for each accepting thread.
    pub(super) seats: Vec<Seat>,
}

/// A descriptor that is kept for the moment when there is no other: the connections that wait in the kernel's queue are
/// then accepted and closed. In the queue they would take each descriptor that becomes free, before anybody who comes
/// later, and a full queue makes clients wait for seconds before they try again.
#[derive(Debug)]
struct Spare(Option<File>);

impl Spare {
    fn open() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Closes the connection that waits longest. False if another thread took the descriptor.
    async fn turn_away(&mut self, listener: &TcpListener) -> bool {
        self.0 = None;
        let next = poll_fn(|context| Poll::Ready(listener.poll_accept(context)));
        let accepted = unconstrained(next).await;
        let closed = !matches!(&accepted, Poll::Ready(Err(error)) if is_exhausted(error));
        drop(accepted);
        *self = Self::open();
        closed
    }
}

/// How busy an accepting thread is, and the way to it. The kernel wakes the thread that slept last, so that without
/// this one thread would serve nearly all clients.
#[derive(Debug)]
pub(super) struct Seat {
    open: AtomicUsize,
    connections: UnboundedSender<Connection>,
}

/// A client that is accepted and not yet served.
pub(super) type Connection = (StdStream, SocketAddr, ConnectionPlace);

impl Seat {
    pub(super) fn new() -> (Self, UnboundedReceiver<Connection>) {
        let (connections, receiver) = unbounded_channel();
        let open = AtomicUsize::new(0);
        (Self { open, connections }, receiver)
    }

    fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

/// A connection that its thread counts.
#[derive(Debug)]
pub(super) struct Seated(Arc<Acceptor>);

impl Drop for Seated {
    fn drop(&mut self) {
        self.0.seat().open.fetch_sub(1, Relaxed);
    }
}

/// What the connections of one accepting thread share.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Arc<Pool>,
    pub(super) clock: Clock,
    /// Connections and tunnels, which a drain waits for.
    pub(super) tasks: TaskTracker,
    number: usize,
}

impl Acceptor {
    fn refused(&self, reason: &str) {
        self.shared
            .metrics
            .refused
            .with_label_values(&[reason])
            .inc();
    }

    /// Counts a connection here for as long as the answer lives.
    pub(super) fn count(self: &Arc<Self>) -> Seated {
        self.seat().open.fetch_add(1, Relaxed);
        Seated(Arc::clone(self))
    }

    fn seat(&self) -> &Seat {
        &self.shared.seats[self.number]
    }

    /// Nobody can be let in, which the log says once a second.
    fn turned_away(&self, reason: &'static str, cause: String) {
        self.refused(reason);
        self.shared
            .live
            .log
            .log(("turned away", reason), move |count| {
                warn!(
                    reason,
                    cause, count, "no connection can be accepted for the moment"
                );
            });
    }

    /// Serves a client if there is a place for it. One that has to leave hears so at once, instead of waiting in the
    /// kernel's queue.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let snapshot = self.shared.live.load();
        let trusted = &snapshot.table.config().server.trusted_proxies;
        let ip = peer.ip().to_canonical();
        let is_shared = trusted.iter().any(|network| network.contains(&ip));
        match self.shared.budget.connect((!is_shared).then_some(ip)) {
            Ok(place) => self.place(stream, peer, place),
            Err(NoPlace::Full) => {
                self.turned_away("connections", "all places of clients are taken".to_owned());
            }
            Err(NoPlace::Address) => {
                self.turned_away("address", "one address has more than its part".to_owned());
            }
        }
    }

    /// Serves a client here, or gives it to the thread that has the fewest.
    fn place(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, place: ConnectionPlace) {
        let own = self.seat();
        let emptiest = self.shared.seats.iter().min_by_key(|seat| seat.open());
        let Some(seat) = emptiest.filter(|seat| seat.open() < own.open()) else {
            own.open.fetch_add(1, Relaxed);
            return self.serve(stream, peer, place);
        };
        let Ok(stream) = stream.into_std() else {
            return;
        };
        // Counted before it arrives, or a burst would all go the same way.
        seat.open.fetch_add(1, Relaxed);
        if let Err(refused) = seat.connections.send((stream, peer, place)) {
            // A thread that has left its loop takes no more.
            seat.open.fetch_sub(1, Relaxed);
            own.open.fetch_add(1, Relaxed);
            self.take(refused.0);
        }
    }

    /// Serves a client that was placed here.
    fn take(self: &Arc<Self>, (stream, peer, place): Connection) {
        match TcpStream::from_std(stream) {
            Ok(stream) => self.serve(stream, peer, place),
            Err(error) => {
                self.seat().open.fetch_sub(1, Relaxed);
                debug!(%error, "a connection was gone before it was served");
            }
        }
    }

    fn serve(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, place: ConnectionPlace) {
        let seated = Seated(Arc::clone(self));
        self.tasks.spawn(shake_hands(seated, stream, peer, place));
    }
}

/// Accepts until `stop`, then waits for the connections that are open. Dropping the future ends them.
pub(super) async fn run(
    listener: StdListener,
    shared: Arc<Shared>,
    number: usize,
    mut given: UnboundedReceiver<Connection>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let pool = Pool::new(&shared.metrics, &shared.budget);
    tokio::spawn(Arc::clone(&pool).expire());
    let mut stop = shared.stop.clone();
    let mut spare = Spare::open();
    let mut pause = None;
    let acceptor = Arc::new(Acceptor {
        shared,
        pool,
        clock: Clock::new(),
        tasks: TaskTracker::new(),
        number,
    });
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            // These hold descriptors already, so that nothing may keep them waiting.
            Some(connection) = given.recv() => {
                acceptor.take(connection);
                continue;
            }
            accepted = async {
                if let Some(until) = pause {
                    sleep_until(until).await;
                }
                listener.accept().await
            } => accepted,
        };
        pause = None;
        match accepted {
            Ok((stream, peer)) => acceptor.admit(stream, peer),
            Err(error) if is_exhausted(&error) => {
                acceptor.turned_away("exhausted", error.to_string());
                if !spare.turn_away(&listener).await {
                    pause = Some(Instant::now() + EXHAUSTED_PAUSE);
                }
            }
            Err(error) => debug!(%error, "a connection was gone before it was accepted"),
        }
    }
    // Whoever the kernel has accepted already would be reset with the socket.
    let next = || poll_fn(|context| Poll::Ready(listener.poll_accept(context)));
    while let Poll::Ready(Ok((stream, peer))) = unconstrained(next()).await {
        acceptor.admit(stream, peer);
    }
    drop(listener);
    given.close();
    while let Some(connection) = given.recv().await {
        acceptor.take(connection);
    }
    acceptor.tasks.close();
    acceptor.tasks.wait().await;
    Ok(())
}

/// Finds out about clients that vanished without a word: an idle tunnel sends nothing by itself.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(KEEPALIVE);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

/// The connection gets a task of its own, so that it does not go on holding what the handshake needed.
async fn shake_hands(seated: Seated, stream: TcpStream, peer: SocketAddr, place: ConnectionPlace) {
    let acceptor = Arc::clone(&seated.0);
    let limit = acceptor
        .shared
        .live
        .load()
        .table
        .config()
        .limits
        .handshake_timeout;
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let prepared = stream.set_nodelay(true).and_then(|()| keep_alive(&stream));
    if let Err(error) = prepared {
        debug!(%error, "a connection was gone before it was served");
        return;
    }
    let tls = TlsAcceptor::from(Arc::clone(&acceptor.shared.tls));
    match timeout(limit, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let stream = Box::new(stream);
            let tasks = acceptor.tasks.clone();
            let waiter = Waiter::new(&acceptor.shared.budget);
            let own = Arc::clone(&waiter);
            let task = tasks.spawn(async move {
                connection::serve(acceptor, stream, (peer, local), place, own).await;
                drop(seated);
            });
            waiter.runs_as(task.abort_handle());
        }
        Ok(Err(error)) => {
            acceptor.refused("handshake");
            handshake_failed(&acceptor, handshake_failure(&error), error.to_string());
        }
        Err(_) => {
            acceptor.refused("handshake-timeout");
            handshake_failed(&acceptor, "timeout", format!("not done within {limit:?}"));
        }
    }
}

fn handshake_failed(acceptor: &Acceptor, reason: &'static str, error: String) {
    // Load balancers look in this way whether the port is open, all the time.
    if reason == "closed" {
        debug!(error, "a client left during the TLS handshake");
        return;
    }
    let log = &acceptor.shared.live.log;
    log.log(("handshake", reason), move |count| {
        warn!(reason, count, error, "TLS handshakes of clients failed");
    });
}

/// A few kinds, so that clients cannot fill the log with new ones.
fn handshake_failure(error: &io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        // Such as an unknown CA: the client does not want our certificate.
        Some(rustls::Error::AlertReceived(_)) => "refused",
        Some(rustls::Error::PeerIncompatible(_)) => "incompatible",
        Some(_) => "malformed",
        None => "closed",
    }
}
