//! Runs an application on its own multi-thread runtime, which drives the answer's body too, so that the threads that
//! accept connections never poll application code. A panic ends one request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::native::Decline;

/// Frames of a body that may wait for the client before the application is paused.
const BODY_FRAMES: usize = 16;

/// Bodies of a known size up to this many bytes travel together with the head.
const WHOLE_BODY: u64 = 64 * 1024;

/// A native application and the runtime that it lives on.
#[derive(Debug, Clone)]
pub(crate) struct NativeRuntime {
    router: Router,
    runtime: Handle,
    /// Calls that run to their end, whoever waits for them.
    unstoppable: TaskTracker,
}

/// Why the application gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The handler panicked.
    Panicked,
    /// The handler declined, or no endpoint matched.
    Declined,
}

impl NativeRuntime {
    /// `router` answers on `runtime`.
    #[must_use]
    pub(crate) fn new(router: Router, runtime: Handle) -> Self {
        Self {
            router,
            runtime,
            unstoppable: TaskTracker::new(),
        }
    }

    /// Waits for the calls that nothing cancels.
    pub(crate) async fn finish(&self) {
        self.unstoppable.close();
        self.unstoppable.wait().await;
    }

    /// Starts a request. Dropping the call cancels it if `cancel` is set; otherwise the handler runs to its end.
    pub(crate) fn call(&self, request: Request<Body>, cancel: bool) -> Call {
        let (head_sender, head) = oneshot::channel();
        let router = self.router.clone();
        let run = async move {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let (parts, body) = response.into_parts();
            if parts.extensions.get::<Decline>().is_some() {
                let _ = head_sender.send(Err(CallError::Declined));
                return;
            }
            let size = body.size_hint();
            if size.exact().is_some_and(|bytes| bytes <= WHOLE_BODY) {
                // One message to the other thread instead of three.
                if let Ok(whole) = body.collect().await {
                    let _ = head_sender.send(Ok((parts, Source::Whole(whole.to_bytes()))));
                }
                return;
            }
            let (frames, receiver) = mpsc::channel(BODY_FRAMES);
            if head_sender
                .send(Ok((parts, Source::Stream(receiver, size))))
                .is_ok()
            {
                pump(body, frames).await;
            }
        };
        let task = if cancel {
            self.runtime.spawn(run)
        } else {
            self.unstoppable.spawn_on(run, &self.runtime)
        };
        Call {
            head,
            guard: AbortOnDrop(cancel.then(|| task.abort_handle())),
        }
    }
}

/// Drives a body of the application into the channel. Without its closing `End` the receiver sees a broken body.
async fn pump(mut body: Body, frames: mpsc::Sender<Item>) {
    while let Some(frame) = body.frame().await {
        let broken = frame.is_err();
        let item = frame.map_or_else(
            |error| Item::Broken(BodyError::Application(error)),
            Item::Frame,
        );
        if frames.send(item).await.is_err() || broken {
            return;
        }
    }
    let _ = frames.send(Item::End).await;
}

/// A request that the application is answering.
#[derive(Debug)]
pub(crate) struct Call {
    head: oneshot::Receiver<Result<(Parts, Source), CallError>>,
    guard: AbortOnDrop,
}

impl Call {
    /// Waits for the head of the answer.
    ///
    /// # Errors
    /// When the handler panicked or declined.
    pub(crate) async fn answer(self) -> Result<Response<NativeBody>, CallError> {
        // A sender that vanished unsent is a panic that unwound through it.
        let (parts, source) = self.head.await.unwrap_or(Err(CallError::Panicked))?;
        Ok(Response::from_parts(
            parts,
            NativeBody {
                source,
                _guard: self.guard,
            },
        ))
    }
}

#[derive(Debug)]
struct AbortOnDrop(Option<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Where the frames of a body come from.
#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Stream(mpsc::Receiver<Item>, SizeHint),
}

#[derive(Debug)]
enum Item {
    Frame(Frame<Bytes>),
    Broken(BodyError),
    End,
}

/// Why a native body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The application's own stream failed.
    #[error("the native body failed")]
    Application(#[source] axum::Error),
    /// The application panicked while it wrote the body.
    #[error("the native handler panicked while it wrote the body")]
    Panicked,
}

/// The body of a native answer, as it comes over from the native runtime.
#[derive(Debug)]
pub(crate) struct NativeBody {
    source: Source,
    _guard: AbortOnDrop,
}

impl HttpBody for NativeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let item = match &mut self.source {
            Source::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Source::Whole(bytes) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
            }
            Source::Stream(frames, _) => ready!(frames.poll_recv(context)),
        };
        if !matches!(item, Some(Item::Frame(_))) {
            self.source = Source::Whole(Bytes::new());
        }
        Poll::Ready(match item {
            Some(Item::Frame(frame)) => Some(Ok(frame)),
            Some(Item::Broken(error)) => Some(Err(error)),
            Some(Item::End) => None,
            None => Some(Err(BodyError::Panicked)),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.source, Source::Whole(bytes) if bytes.is_empty())
    }

    /// Read once, before the first frame, where it becomes the content-length.
    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Stream(_, size) => *size,
        }
    }
}
