//! Bodies as they pass through the proxy: the client's request, the copy that is kept for a fallback, and the answer of
//! either side.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::budget::waiter::{Hold, Waiter};
use crate::native::runtime::NativeBody;
use crate::server::watchdog::ClientState;
use crate::upstream::answer::NodeBody;
use crate::upstream::body::BoxError;

/// A request body grew over `limits.body`.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request body is larger than the limit")]
pub(super) struct BodyTooLarge;

/// The client could not send its body, so there is nobody to answer.
#[derive(Debug, thiserror::Error)]
#[error("the client broke off its request body")]
pub(super) struct ClientBroke(#[source] hyper::Error);

/// The body of a client's request, bounded and watched.
#[derive(Debug)]
pub(super) struct ClientBody {
    body: Incoming,
    left: u64,
    state: Arc<ClientState>,
    waiter: Arc<Waiter>,
    /// Only the client can move it on.
    waits: bool,
}

impl ClientBody {
    /// `waiter` is that of the request.
    pub(super) fn new(
        body: Incoming,
        limit: Option<u64>,
        state: Arc<ClientState>,
        waiter: Arc<Waiter>,
    ) -> Self {
        state.body_began();
        Self {
            body,
            left: limit.unwrap_or(u64::MAX),
            state,
            waiter,
            waits: false,
        }
    }

    /// Counts what is kept of it.
    pub(super) fn hold(&self) -> Hold {
        self.waiter.hold()
    }

    fn set_waits(&mut self, waits: bool) {
        match (self.waits, waits) {
            (false, true) => {
                self.state.body_waits();
                self.waiter.upload_waits();
            }
            (true, false) => {
                self.state.body_moves();
                self.waiter.upload_moves();
            }
            _ => {}
        }
        self.waits = waits;
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.set_waits(false);
        self.state.body_ended();
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.set_waits(frame.is_pending());
        let frame = ready!(frame);
        if let Some(data) = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok())
            .and_then(Frame::data_ref)
        {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                return Poll::Ready(Some(Err(BodyTooLarge.into())));
            };
            self.left = left;
            self.state.body_read(data.len());
            self.waiter.moved(data.len());
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| ClientBroke(error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request body that native reads while its beginning is kept, so that Node can have it from the start.
#[derive(Debug, Clone)]
pub(super) struct KeptBody(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    body: Option<ClientBody>,
    frames: VecDeque<Frame<Bytes>>,
    hold: Option<Hold>,
    room: usize,
    overflowed: bool,
    bytes_read: u64,
}

impl KeptBody {
    /// Keeps up to `room` bytes.
    pub(super) fn new(body: ClientBody, room: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            hold: Some(body.hold()),
            body: Some(body),
            frames: VecDeque::new(),
            room,
            overflowed: false,
            bytes_read: 0,
        })))
    }

    /// How much native has read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    /// Native wants more, and the client has not sent it.
    pub(super) fn waits_for_client(&self) -> bool {
        self.lock().body.as_ref().is_some_and(|body| body.waits)
    }

    /// The whole body again: what was kept, then the rest. `None` if more was read than could be kept.
    pub(super) fn rewind(&self) -> Option<RewoundBody> {
        let mut kept = self.lock();
        if kept.overflowed {
            return None;
        }
        Some(RewoundBody {
            frames: std::mem::take(&mut kept.frames),
            _hold: kept.hold.take(),
            rest: kept.body.take()?,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for KeptBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut kept = self.lock();
        // Taken for a fallback while the handler, which nobody listens to any more, still reads.
        let Some(body) = &mut kept.body else {
            return Poll::Ready(Some(Err("the body went to node".into())));
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            kept.keep(frame);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.lock()
            .body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Kept {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        self.bytes_read += frame.data_ref().map_or(0, |data| data.len() as u64);
        let copy = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) if data.len() <= self.room => {
                self.room -= data.len();
                if let Some(hold) = &mut self.hold {
                    hold.add(data.len());
                }
                Frame::data(data.clone())
            }
            (None, Some(trailers)) => Frame::trailers(HeaderMap::clone(trailers)),
            _ => {
                self.overflowed = true;
                self.frames = VecDeque::new();
                self.hold = None;
                return;
            }
        };
        if !self.overflowed {
            self.frames.push_back(copy);
        }
    }
}

/// A body from its start, after native had begun to read it.
#[derive(Debug)]
pub(super) struct RewoundBody {
    frames: VecDeque<Frame<Bytes>>,
    _hold: Option<Hold>,
    rest: ClientBody,
}

impl Body for RewoundBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }
}

/// The body of an answer, from whichever side.
#[derive(Debug)]
pub(super) enum Answer {
    Node(NodeBody),
    Native(NativeBody),
    /// The proxy's own words.
    Own(Option<Bytes>),
    /// The same without a length, as Node sends what it streams.
    Chunked(Option<Bytes>),
}

/// A request of a client, from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct InFlight(Arc<ClientState>);

impl InFlight {
    pub(super) fn begin(state: Arc<ClientState>) -> Self {
        state.request_began();
        Self(state)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

/// Bytes of an answer that hyper has not written yet. They wait for the client until they are on their way or dropped.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Bytes,
    waiter: Arc<Waiter>,
}

impl Payload {
    fn new(bytes: Bytes, waiter: &Arc<Waiter>) -> Self {
        waiter.hand_over(bytes.len());
        Self {
            bytes,
            waiter: Arc::clone(waiter),
        }
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.waiter.took(count);
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.waiter.dropped(self.bytes.len());
    }
}

/// An answer on its way to the client. The request ends with it.
#[derive(Debug)]
pub(super) struct AnswerBody {
    answer: Answer,
    waiter: Arc<Waiter>,
    _in_flight: InFlight,
}

impl AnswerBody {
    pub(super) fn new(answer: Answer, waiter: Arc<Waiter>, in_flight: InFlight) -> Self {
        Self {
            answer,
            waiter,
            _in_flight: in_flight,
        }
    }
}

impl Body for AnswerBody {
    type Data = Payload;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Payload>, BoxError>>> {
        let frame = match &mut self.answer {
            Answer::Node(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Answer::Native(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Answer::Own(text) | Answer::Chunked(text) => {
                Poll::Ready(text.take().map(|text| Ok(Frame::data(text))))
            }
        };
        let payload = |bytes| Payload::new(bytes, &self.waiter);
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(payload))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.answer {
            Answer::Node(body) => body.is_end_stream(),
            Answer::Native(body) => body.is_end_stream(),
            Answer::Own(text) => text.is_none(),
            // hyper would say a length of zero.
            Answer::Chunked(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Answer::Node(body) => body.size_hint(),
            Answer::Native(body) => body.size_hint(),
            Answer::Chunked(_) => SizeHint::default(),
            Answer::Own(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}
