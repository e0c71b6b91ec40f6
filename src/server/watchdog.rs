//! Ends connections whose client makes the proxy wait: no request head, a head or a body that trickles. One timer for a
//! connection; what happens on it is noted in a few atomic counters. A client that does not take its answer may pause for
//! as long as it likes to; under pressure, `budget::relief` ends it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::budget::ConnectionPlace;
use crate::budget::waiter::Waiter;
use crate::config::Limits;
use crate::server::connection::CONNECTION_WINDOW;

/// The rate of a slow client is measured over this long. Two windows stay under 30 s.
const WINDOW: Duration = Duration::from_secs(14);

/// How long a client may go on sending after our end is closed.
const LINGER: Duration = Duration::from_secs(2);
const SCRAP: usize = 4096;

/// What a client is doing, noted by the connection, its bodies and its stream.
#[derive(Debug)]
pub(super) struct ClientState {
    opened: Instant,
    /// HTTP/2 answers pings and settings at any time, so bytes outside of a request mean nothing there.
    http2: bool,
    in_flight: AtomicU32,
    served: AtomicBool,
    head_started: AtomicBool,
    /// Milliseconds since `opened` at which the current phase began: no request, or the first byte of one.
    phase_began: AtomicU64,
    /// Request bodies that are open, and those among them that only the client can move on.
    bodies: AtomicU32,
    waiting_bodies: AtomicU32,
    /// Payload of request bodies.
    uploaded: AtomicU64,
    /// Of HTTP/2, while a body is open: bytes that came. What of them is no payload yet waits in the window.
    received: AtomicU64,
    write_blocked: AtomicBool,
    written: AtomicU64,
    /// What waits for this client, and what may end it.
    pub(super) waiter: Arc<Waiter>,
    /// No longer HTTP: what a client sends after our end is closed belongs to the tunnel.
    tunnelled: AtomicBool,
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing came after the handshake.
    Silent,
    /// A request head was begun and not finished.
    SlowHead,
    /// A body trickles, in or out.
    TooSlow,
    /// Nothing came after the last answer; a normal end.
    Idle,
}

impl Verdict {
    /// The `reason` label of the metric.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::SlowHead => "slow-head",
            Self::TooSlow => "too-slow",
            Self::Idle => "idle",
        }
    }
}

impl ClientState {
    pub(super) fn new(http2: bool, waiter: Arc<Waiter>) -> Self {
        Self {
            opened: Instant::now(),
            http2,
            waiter,
            in_flight: AtomicU32::new(0),
            served: AtomicBool::new(false),
            head_started: AtomicBool::new(false),
            phase_began: AtomicU64::new(0),
            bodies: AtomicU32::new(0),
            waiting_bodies: AtomicU32::new(0),
            uploaded: AtomicU64::new(0),
            received: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
            written: AtomicU64::new(0),
            tunnelled: AtomicBool::new(false),
        }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn is_http2(&self) -> bool {
        self.http2
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    pub(super) fn became_tunnel(&self) {
        self.tunnelled.store(true, Relaxed);
    }

    pub(super) fn request_began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.served.store(true, Relaxed);
        self.head_started.store(false, Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.phase_began.store(self.elapsed(), Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn body_began(&self) {
        self.bodies.fetch_add(1, Relaxed);
    }

    pub(super) fn body_waits(&self) {
        self.waiting_bodies.fetch_add(1, Relaxed);
    }

    pub(super) fn body_moves(&self) {
        self.waiting_bodies.fetch_sub(1, Relaxed);
    }

    /// Payload of a request body was read.
    pub(super) fn body_read(&self, bytes: usize) {
        self.uploaded.fetch_add(bytes as u64, Relaxed);
        if self.http2 {
            self.received
                .fetch_update(Relaxed, Relaxed, |received| {
                    Some(received.saturating_sub(bytes as u64))
                })
                .ok();
            self.count_window();
        }
    }

    pub(super) fn body_ended(&self) {
        if self.bodies.fetch_sub(1, Relaxed) == 1 && self.http2 {
            self.received.store(0, Relaxed);
            self.count_window();
        }
    }

    /// Bytes came on a connection of HTTP/2 while a body is open. Heads and pings among them count until its end, but
    /// never for more than the window allows.
    fn received(&self, bytes: usize) {
        if self.bodies.load(Relaxed) > 0 {
            self.received.fetch_add(bytes as u64, Relaxed);
            self.count_window();
        }
    }

    fn count_window(&self) {
        let waiting = self.received.load(Relaxed).min(CONNECTION_WINDOW.into());
        self.waiter
            .set_for_others(usize::try_from(waiting).unwrap_or_default());
    }

    /// Returns why the connection is to be ended, once it is.
    pub(super) async fn watch(&self, limits: &Limits) -> Verdict {
        loop {
            if self.in_flight.load(Relaxed) == 0 && !self.write_blocked.load(Relaxed) {
                let (limit, verdict) = if self.head_started.load(Relaxed) {
                    (limits.header_timeout, Verdict::SlowHead)
                } else if self.served.load(Relaxed) {
                    (limits.idle_timeout, Verdict::Idle)
                } else {
                    (limits.header_timeout, Verdict::Silent)
                };
                let since = Duration::from_millis(
                    self.elapsed() - self.phase_began.load(Relaxed).min(self.elapsed()),
                );
                let Some(left) = limit.checked_sub(since).filter(|left| !left.is_zero()) else {
                    return verdict;
                };
                // A head may begin at any moment, and then has its own, shorter limit.
                sleep(left.min(limits.header_timeout)).await;
            } else {
                // Not longer than a head may take, since one may begin meanwhile.
                let window = WINDOW.min(limits.header_timeout);
                let (uploads, uploaded) = (self.uploads(), self.uploaded.load(Relaxed));
                let (is_deaf, written) = (self.is_deaf(), self.written.load(Relaxed));
                sleep(window).await;
                let least = limits.min_rate * window.as_secs();
                let is_slow = |before: u64, now: &AtomicU64| now.load(Relaxed) - before < least;
                let trickles = uploads && self.uploads() && is_slow(uploaded, &self.uploaded);
                if trickles || is_deaf && self.is_deaf() && is_slow(written, &self.written) {
                    return Verdict::TooSlow;
                }
            }
        }
    }

    fn uploads(&self) -> bool {
        self.waiting_bodies.load(Relaxed) > 0
    }

    /// The client asks for nothing, is owed no answer, and does not take what HTTP/2 or TLS has to say.
    fn is_deaf(&self) -> bool {
        self.write_blocked.load(Relaxed) && !self.is_busy() && self.waiter.for_client() == 0
    }
}

/// A client's stream that notes what moves on it.
#[derive(Debug)]
pub(super) struct WatchedStream<S> {
    stream: S,
    state: Arc<ClientState>,
    /// Until when to read on after our end is closed.
    linger: Option<Pin<Box<Sleep>>>,
    /// Whatever becomes of the connection, the descriptor is in here.
    _place: ConnectionPlace,
}

impl<S> WatchedStream<S> {
    pub(super) fn new(stream: S, state: Arc<ClientState>, place: ConnectionPlace) -> Self {
        Self {
            stream,
            state,
            linger: None,
            _place: place,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        // Stored only on a change: nearly every write succeeds.
        if self.state.write_blocked.load(Relaxed) != written.is_pending() {
            self.state
                .write_blocked
                .store(written.is_pending(), Relaxed);
        }
        if let Poll::Ready(Ok(bytes)) = &written {
            self.state.written.fetch_add(*bytes as u64, Relaxed);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            let state = &self.state;
            if state.http2 {
                state.received(bytes);
            } else if state.in_flight.load(Relaxed) == 0 && !state.head_started.swap(true, Relaxed)
            {
                state.phase_began.store(state.elapsed(), Relaxed);
            }
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if self.state.write_blocked.load(Relaxed) != flushed.is_pending() {
            self.state
                .write_blocked
                .store(flushed.is_pending(), Relaxed);
        }
        flushed
    }

    /// Closes our end, then reads what the client is still sending: a socket that is closed with unread bytes is reset,
    /// and the reset may overtake the answer (RFC 9112 §9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.tunnelled.load(Relaxed) {
            return Pin::new(&mut self.stream).poll_shutdown(context);
        }
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.linger = Some(Box::pin(sleep(LINGER)));
        }
        let Self { stream, linger, .. } = &mut *self;
        let mut scrap = [MaybeUninit::uninit(); SCRAP];
        loop {
            let mut scrap = ReadBuf::uninit(&mut scrap);
            match Pin::new(&mut *stream).poll_read(context, &mut scrap) {
                Poll::Ready(Ok(())) if !scrap.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        linger
            .as_mut()
            .map_or(Poll::Ready(()), |linger| linger.as_mut().poll(context))
            .map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::budget::Budget;
    use crate::metrics::Metrics;

    fn limits() -> Limits {
        Limits::default()
    }

    fn budget() -> Arc<Budget> {
        Budget::new(Arc::new(Metrics::new()), &limits(), 1000, 1 << 30)
    }

    fn client(http2: bool) -> ClientState {
        ClientState::new(http2, Waiter::new(&budget()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_ended_after_the_header_timeout() {
        let state = client(true);
        let begun = Instant::now();
        assert_eq!(state.watch(&limits()).await, Verdict::Silent);
        assert_eq!(begun.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_may_stay_for_longer() {
        let state = client(false);
        state.request_began();
        state.request_ended();
        let begun = Instant::now();
        assert_eq!(state.watch(&limits()).await, Verdict::Idle);
        assert_eq!(begun.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickled_head_does_not_get_the_idle_time() {
        let state = Arc::new(client(false));
        state.request_began();
        state.request_ended();
        let (far, near) = duplex(64);
        let place = budget().connect(None).expect("there is room");
        let mut stream = WatchedStream::new(near, Arc::clone(&state), place);
        let mut far = far;
        far.write_all(b"G").await.expect("one byte of a head");
        tokio::io::AsyncReadExt::read_u8(&mut stream)
            .await
            .expect("that byte");
        let begun = Instant::now();
        assert_eq!(state.watch(&limits()).await, Verdict::SlowHead);
        assert_eq!(begun.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_stops_ends_within_two_windows_whatever_else_comes() {
        let state = client(true);
        state.request_began();
        state.body_began();
        state.body_waits();
        // Pings are no payload.
        state.received(10_000);
        let begun = Instant::now();
        assert_eq!(state.watch(&limits()).await, Verdict::TooSlow);
        assert!(begun.elapsed() <= Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_wait_for_its_reader() {
        let state = client(false);
        state.request_began();
        state.waiter.hand_over(100_000);
        state.request_ended();
        state.write_blocked.store(true, Relaxed);
        let patient = tokio::time::timeout(Duration::from_secs(3600), state.watch(&limits())).await;
        assert!(patient.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_and_was_not_read_waits_in_the_window() {
        let state = client(true);
        state.body_began();
        state.received(300_000);
        state.body_read(100_000);
        assert_eq!(state.waiter.for_others(), 200_000);
        state.received(5_000_000);
        assert_eq!(state.waiter.for_others(), CONNECTION_WINDOW as usize);
        state.body_ended();
        assert_eq!(state.waiter.for_others(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_poll_is_nobody_s_fault() {
        let state = client(false);
        state.request_began();
        let patient = tokio::time::timeout(Duration::from_secs(3600), state.watch(&limits())).await;
        assert!(patient.is_err());
    }
}
