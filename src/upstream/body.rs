//! The body of a request on its way to Node, and how far it has got.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Whatever a body can fail with.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a client that waits for `100 Continue` is kept waiting when Node says nothing (RFC 9110 §10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// How far the body of a request has got.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    finished: AtomicBool,
}

impl Progress {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Nothing of the body is left to be sent.
    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

/// The body of a request on its way to Node.
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// Streamed as the client sends it.
    Streamed(Box<StreamedBody>),
}

/// A body that comes from the client.
pub(crate) struct StreamedBody {
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// Resolves when the body may be read: the client waits for `100 Continue`, and only Node may say it.
    gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    expects_continue: bool,
    progress: Arc<Progress>,
}

impl RequestBody {
    /// Passes `body` on. With `expects_continue` it is not read before Node asks for it.
    pub(crate) fn of<B>(body: Option<B>, expects_continue: bool) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(body) = body else {
            return Self::Empty;
        };
        let body = body.map_err(Into::into).boxed_unsync();
        Self::Streamed(Box::new(StreamedBody {
            body,
            gate: None,
            expects_continue,
            progress: Arc::default(),
        }))
    }

    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty => None,
            Self::Streamed(streamed) => Some(Arc::clone(&streamed.progress)),
        }
    }

    pub(super) fn hold_until_continue(&mut self) -> Option<Arc<Notify>> {
        let Self::Streamed(streamed) = self else {
            return None;
        };
        if !streamed.expects_continue {
            return None;
        }
        let go_ahead = Arc::new(Notify::new());
        let notified = Arc::clone(&go_ahead);
        streamed.gate = Some(Box::pin(async move {
            let _ = timeout(CONTINUE_TIMEOUT, notified.notified()).await;
        }));
        Some(go_ahead)
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "Empty",
            Self::Streamed(_) => "Streamed",
        })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self::Streamed(streamed) = self.get_mut() else {
            return Poll::Ready(None);
        };
        if let Some(gate) = &mut streamed.gate {
            ready!(gate.as_mut().poll(context));
            streamed.gate = None;
        }
        let frame = ready!(Pin::new(&mut streamed.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(1, |data| data.len() as u64);
                streamed.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Some(Err(_)) => {}
            None => streamed.progress.finished.store(true, Ordering::Relaxed),
        }
        if streamed.body.is_end_stream() {
            streamed.progress.finished.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}
