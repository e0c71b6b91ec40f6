//! One client connection: HTTP/1.1 or HTTP/2 as ALPN chose, watched for clients that stall, and ended politely.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::budget::ConnectionPlace;
use crate::budget::addresses::Address;
use crate::budget::waiter::Waiter;
use crate::config::Limits;
use crate::metrics::Counted;
use crate::server::accept::Acceptor;
use crate::server::dispatch::dispatch;
use crate::server::watchdog::{ClientState, Verdict, WatchedStream};
use crate::upstream::hop::Hop;
use crate::upstream::login::OwnConnection;

/// In a drain an HTTP/1.1 client is told with its next answer to reconnect. A connection that is idle for this long has
/// no next answer, and is closed.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Bytes of each buffer of an HTTP/1.1 connection, unless a head may be larger.
const BUFFER: usize = 64 * 1024;

/// Bounds of HTTP/2 that have no key in `[limits]`.
const MOST_RESET_STREAMS: usize = 20;
const MOST_LOCAL_RESETS: usize = 200;
const STREAM_WINDOW: u32 = 256 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 1024 * 1024;
const SEND_BUFFER: usize = 64 * 1024;

/// One client connection, as its requests see it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) acceptor: Arc<Acceptor>,
    pub(super) hop: Hop,
    pub(super) own_connection: OwnConnection,
    pub(super) state: Arc<ClientState>,
    /// Whose connections to Node count together; `None` behind a trusted proxy.
    pub(super) address: Option<Arc<Address>>,
}

/// Runs the streams of an HTTP/2 connection, so that one of them can be ended alone.
#[derive(Debug, Clone, Default)]
struct StreamTasks(Arc<Mutex<Option<Arc<Waiter>>>>);

impl StreamTasks {
    /// The next task is that of this stream: hyper calls the service for a request, and starts its task at once.
    fn open(&self, connection: &Arc<Waiter>) -> Arc<Waiter> {
        let stream = connection.stream();
        *self.next() = Some(Arc::clone(&stream));
        stream
    }

    fn next(&self) -> MutexGuard<'_, Option<Arc<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Executor<F> for StreamTasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let task = tokio::spawn(stream);
        if let Some(waiter) = self.next().take() {
            waiter.runs_as(task.abort_handle());
        }
    }
}

/// Serves until the client leaves, stalls, or the proxy stops.
pub(super) async fn serve(
    acceptor: Arc<Acceptor>,
    stream: Box<TlsStream<TcpStream>>,
    (peer, local): (SocketAddr, SocketAddr),
    place: ConnectionPlace,
    waiter: Arc<Waiter>,
) {
    let limits = acceptor.shared.live.load().table.config().limits.clone();
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let state = Arc::new(ClientState::new(http2, waiter));
    let address = place.address();
    let stream = TokioIo::new(WatchedStream::new(stream, Arc::clone(&state), place));
    let protocol = if http2 { "h2" } else { "http/1.1" };
    let connections = &acceptor.shared.metrics.connections;
    // A guard: the task may be aborted.
    let _open = Counted::new(connections.with_label_values(&[protocol]));
    let client = Arc::new(Client {
        hop: Hop::new(peer, local, &acceptor.shared.via),
        own_connection: OwnConnection::default(),
        state,
        address,
        acceptor,
    });
    let streams = StreamTasks::default();
    let service = service_fn({
        let (client, streams) = (Arc::clone(&client), streams.clone());
        move |request| {
            let client = Arc::clone(&client);
            let waiter = match http2 {
                true => streams.open(&client.state.waiter),
                false => Arc::clone(&client.state.waiter),
            };
            // Boxed for the sake of idle connections, which would else hold room for a request.
            Box::pin(async move { Ok::<_, Infallible>(dispatch(client, waiter, request).await) })
        }
    });
    if http2 {
        let connection = http2_builder(&limits, streams).serve_connection(stream, service);
        drive(
            &client,
            &limits,
            connection,
            http2::Connection::graceful_shutdown,
        )
        .await;
    } else {
        let connection = http1_builder(&limits)
            .serve_connection(stream, service)
            .with_upgrades();
        drive(
            &client,
            &limits,
            connection,
            http1::UpgradeableConnection::graceful_shutdown,
        )
        .await;
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The watchdog measures heads: hyper's own timer would also end connections that are merely idle.
    builder
        .header_read_timeout(None)
        .preserve_header_case(true)
        .max_buf_size(limits.head.max(BUFFER))
        .max_header_size(limits.head);
    builder
}

fn http2_builder(limits: &Limits, streams: StreamTasks) -> http2::Builder<StreamTasks> {
    let mut builder = http2::Builder::new(streams);
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MOST_RESET_STREAMS)
        .max_local_error_reset_streams(MOST_LOCAL_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

async fn drive<C: Future<Output = hyper::Result<()>>>(
    client: &Client,
    limits: &Limits,
    connection: C,
    graceful_shutdown: fn(std::pin::Pin<&mut C>),
) {
    let mut connection = pin!(connection);
    let mut watch = pin!(client.state.watch(limits));
    let mut stop = client.acceptor.shared.stop.clone();
    let mut stopping = pin!(async move {
        let _ = stop.wait_for(|stop| *stop).await;
        if !client.state.is_http2() {
            sleep(LAST_REQUEST).await;
        }
    });
    let mut ending = false;
    // A connection that was told to end and does not is cut; in a drain that is the drain's to say.
    let mut cut = pin!(None::<Sleep>);
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    debug!(%error, "a client connection ended");
                }
                return;
            }
            verdict = &mut watch, if !ending => {
                if verdict != Verdict::Idle {
                    client.acceptor.shared.metrics.refused.with_label_values(&[verdict.reason()]).inc();
                    debug!(reason = verdict.reason(), "a client made the proxy wait");
                    return;
                }
                ending = true;
                graceful_shutdown(connection.as_mut());
                cut.set(Some(sleep(limits.header_timeout)));
            }
            () = async {
                match cut.as_mut().as_pin_mut() {
                    Some(cut) => cut.await,
                    None => std::future::pending().await,
                }
            } => {
                if !client.state.is_busy() {
                    return;
                }
                // A request that crossed our goodbye was admitted and gets its answer.
                cut.set(Some(sleep(limits.header_timeout)));
            }
            () = &mut stopping, if !ending => {
                ending = true;
                graceful_shutdown(connection.as_mut());
            }
        }
    }
}
