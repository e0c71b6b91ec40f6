//! One accepting thread: a current-thread runtime with its own handle of the listening socket and its own connections
//! to Node, so that a request never changes threads. Failed accepts and handshakes end one connection, never the loop.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::live::Live;
use crate::metrics::Metrics;
use crate::native::runtime::NativeRuntime;
use crate::server::connection;
use crate::upstream::pool::Pool;

/// Out of file descriptors, accepting again at once would spin: nothing tells when one becomes free.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What all accepting threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) live: Arc<Live>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) native: Option<NativeRuntime>,
    pub(super) tls: Arc<ServerConfig>,
    /// True from the first signal on.
    pub(super) stop: watch::Receiver<bool>,
}

/// What the connections of one accepting thread share.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Arc<Pool>,
    /// Connections and tunnels, which a drain waits for.
    pub(super) tasks: TaskTracker,
}

/// Accepts until `stop`, then waits for the connections that are open. Dropping the future ends them.
pub(super) async fn run(listener: StdListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let pool = Pool::new(&shared.metrics);
    tokio::spawn(Arc::clone(&pool).expire());
    let mut stop = shared.stop.clone();
    let acceptor = Arc::new(Acceptor {
        shared,
        pool,
        tasks: TaskTracker::new(),
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                acceptor
                    .tasks
                    .spawn(serve(Arc::clone(&acceptor), stream, peer));
            }
            Err(error) if is_exhausted(&error) => {
                acceptor
                    .shared
                    .metrics
                    .refused
                    .with_label_values(&["exhausted"])
                    .inc();
                warn!(%error, "no connection can be accepted for the moment");
                sleep(EXHAUSTED_PAUSE).await;
            }
            Err(error) => debug!(%error, "a connection was gone before it was accepted"),
        }
    }
    drop(listener);
    acceptor.tasks.close();
    acceptor.tasks.wait().await;
    Ok(())
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

async fn serve(acceptor: Arc<Acceptor>, stream: TcpStream, peer: SocketAddr) {
    let limit = acceptor
        .shared
        .live
        .load()
        .table
        .config()
        .limits
        .handshake_timeout;
    let refused = |reason| {
        acceptor
            .shared
            .metrics
            .refused
            .with_label_values(&[reason])
            .inc()
    };
    let Ok(local) = stream.local_addr() else {
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection was gone before it was served");
        return;
    }
    let tls = TlsAcceptor::from(Arc::clone(&acceptor.shared.tls));
    match timeout(limit, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection::serve(acceptor, stream, peer, local).await,
        Ok(Err(error)) => {
            refused("handshake");
            debug!(%error, "a TLS handshake failed");
        }
        Err(_) => refused("handshake-timeout"),
    }
}
