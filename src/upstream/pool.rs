//! Idle connections to Node, one pool for each thread that accepts clients, so that nothing is shared between them.
//! The most recently used connection goes first; one that Node is about to close is not used again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prometheus::IntGauge;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::debug;

use crate::budget::Budget;
use crate::metrics::Metrics;
use crate::upstream::Target;
use crate::upstream::body::RequestBody;
use crate::upstream::connect::{ConnectError, connect};

/// Node closes a connection that was idle for 5 s (`server.keepAliveTimeout`) and says so in `Keep-Alive`; the proxy
/// lets go of it one second earlier, since a request on its way to a closing connection may be lost.
const DEFAULT_IDLE: Duration = Duration::from_secs(4);
pub(super) const MARGIN: Duration = Duration::from_secs(1);
/// An idle connection costs Node memory, whatever it says.
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// Bytes of each buffer of a connection, and so of a head that Node may send.
const BUFFER: usize = 64 * 1024;
/// Idle connections that one thread keeps.
const MOST_IDLE: usize = 512;

/// Idle connections of one accepting thread.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Idle>>,
    idle_gauge: IntGauge,
    open_gauge: IntGauge,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Idle {
    lease: Lease,
    until: Instant,
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) target: Arc<Target>,
    /// It has answered before, so Node may have closed it meanwhile.
    pub(super) reused: bool,
    driver: Driver,
}

impl Lease {
    /// Leaves the connection to itself: it has become a tunnel.
    pub(super) fn release(mut self) {
        self.driver.0 = None;
    }
}

/// The task that drives a connection. Dropped, it ends: hyper would go on writing the body of a request that nobody
/// waits for any more, to a Node that may never read it.
#[derive(Debug)]
struct Driver(Option<AbortHandle>);

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Counts a connection for as long as it is open, also when its task is aborted.
struct Open(IntGauge);

impl Open {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub(crate) fn new(metrics: &Metrics, budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            idle_gauge: metrics.node_connections.with_label_values(&["idle"]),
            open_gauge: metrics.node_connections.with_label_values(&["open"]),
            budget: Arc::clone(budget),
        })
    }

    /// An idle connection that is still open, if there is one.
    pub(super) async fn checkout(&self, target: &Arc<Target>) -> Option<Lease> {
        loop {
            let Idle { mut lease, until } = self.pop()?;
            let usable = until > Instant::now() && Arc::ptr_eq(&lease.target, target);
            if usable && lease.sender.ready().await.is_ok() {
                return Some(lease);
            }
        }
    }

    fn pop(&self) -> Option<Idle> {
        let idle = self.lock().pop()?;
        self.idle_gauge.dec();
        Some(idle)
    }

    /// A new connection; its driving task ends with it.
    pub(super) async fn open(&self, target: &Arc<Target>) -> Result<Lease, ConnectError> {
        let stream = connect(target).await?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ConnectError::Tcp(std::io::Error::other(error)))?;
        let open = Open::new(self.open_gauge.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "a connection to node ended");
            }
            drop(open);
        });
        Ok(Lease {
            sender,
            target: Arc::clone(target),
            reused: false,
            driver: Driver(Some(task.abort_handle())),
        })
    }

    /// Takes a connection back. `hint` is Node's own idle time.
    pub(super) fn put(&self, lease: Lease, hint: Option<Duration>) {
        let idle = hint.map_or(DEFAULT_IDLE, |hint| {
            hint.saturating_sub(MARGIN).min(LONGEST_IDLE)
        });
        let mut connections = self.lock();
        if connections.len() < MOST_IDLE && self.budget.may_idle(&self.idle_gauge) {
            let until = Instant::now() + idle;
            connections.push(Idle { lease, until });
            self.idle_gauge.inc();
        }
    }

    /// Drops what has been idle for too long; ends when the pool is gone.
    pub(crate) async fn expire(self: Arc<Self>) {
        let pool = Arc::downgrade(&self);
        drop(self);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            let Some(pool) = pool.upgrade() else { return };
            let now = Instant::now();
            let mut connections = pool.lock();
            let before = connections.len();
            connections.retain(|idle| idle.until > now && !idle.lease.sender.is_closed());
            pool.idle_gauge
                .sub(i64::try_from(before - connections.len()).unwrap_or(0));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
