//! One side of a tagged WebSocket: its leg, as it comes and goes, and the messages that wait for it.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::bridge::websocket::{Message, WebSocket};
use crate::budget::NodePlace;
use crate::live::RuleState;
use crate::metrics::Counted;

/// Between two tries to reach a side; it doubles from the first to the last.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// After a refusal, which will hardly be another one soon; a change of the table comes sooner.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// What a waiting message costs beside its bytes.
const OVERHEAD: usize = 64;

/// An open leg.
#[derive(Debug)]
pub(crate) struct Leg<S> {
    pub(super) socket: WebSocket<S>,
    _open: Counted,
    /// Of a leg to Node, while it is open.
    _place: Option<NodePlace>,
}

impl<S> Leg<S> {
    pub(super) fn new(socket: WebSocket<S>, legs: IntGauge, place: Option<NodePlace>) -> Self {
        Self {
            socket,
            _open: Counted::new(legs),
            _place: place,
        }
    }
}

/// A message on its way to a side.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) message: Message,
    pub(super) rule: Arc<RuleState>,
    /// False for `native only`.
    pub(super) node_may_answer: bool,
}

impl Order {
    fn size(&self) -> usize {
        OVERHEAD
            + match &self.message {
                Message::Text(bytes) | Message::Binary(bytes) => bytes.len(),
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) => 0,
            }
    }
}

/// Where the leg stands.
#[derive(Debug)]
pub(super) enum State<S, E> {
    Absent,
    Open(Box<Leg<S>>),
    Opening(AbortOnDropHandle<Result<Leg<S>, E>>),
    /// It was lost or refused; the next try comes then.
    Waiting(Instant),
}

/// A side; `E` is why its leg could not be opened.
#[derive(Debug)]
pub(super) struct Side<S, E> {
    pub(super) state: State<S, E>,
    waiting: Vec<Order>,
    waiting_bytes: usize,
    retry_delay: Duration,
}

impl<S, E> Side<S, E> {
    pub(super) fn new(leg: Option<Leg<S>>) -> Self {
        Self {
            state: leg.map_or(State::Absent, |leg| State::Open(Box::new(leg))),
            waiting: Vec::new(),
            waiting_bytes: 0,
            retry_delay: FIRST_RETRY,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self.state, State::Absent)
    }

    pub(super) fn socket(&mut self) -> Option<&mut WebSocket<S>> {
        match &mut self.state {
            State::Open(leg) => Some(&mut leg.socket),
            State::Absent | State::Opening(_) | State::Waiting(_) => None,
        }
    }

    /// Sends a message, or keeps it for the leg that is to come.
    pub(super) fn tell(&mut self, order: Order) {
        if let State::Open(leg) = &mut self.state {
            leg.socket.queue(&order.message);
        } else {
            self.waiting_bytes += order.size();
            self.waiting.push(order);
        }
    }

    /// Bytes that wait for a leg that is to come.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub(super) fn take_waiting(&mut self) -> Vec<Order> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// The leg is there: it gets what has waited for it.
    pub(super) fn open(&mut self, mut leg: Leg<S>) {
        for order in self.take_waiting() {
            leg.socket.queue(&order.message);
        }
        self.state = State::Open(Box::new(leg));
    }

    /// The leg is gone, or did not open. A side that accepts clients and then drops them is not asked without end.
    pub(super) fn retry_later(&mut self) {
        self.state = State::Waiting(Instant::now() + self.retry_delay);
        self.retry_delay = (self.retry_delay * 2).min(LAST_RETRY);
    }

    /// It does not want this client.
    pub(super) fn refused(&mut self) {
        self.state = State::Waiting(Instant::now() + REFUSED_RETRY);
    }

    /// It lives: the next loss is a new one.
    pub(super) fn heard(&mut self) {
        self.retry_delay = FIRST_RETRY;
    }

    /// When it is to be tried again.
    pub(super) fn retry(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(until) => Some(until),
            State::Absent | State::Open(_) | State::Opening(_) => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, E> Side<S, E> {
    /// Bytes that this side has not taken.
    pub(super) fn queued(&self) -> usize {
        match &self.state {
            State::Open(leg) => leg.socket.queued(),
            State::Absent | State::Opening(_) | State::Waiting(_) => self.waiting_bytes,
        }
    }

    /// Bytes of a message that this side has begun.
    pub(super) fn partial(&self) -> usize {
        match &self.state {
            State::Open(leg) => leg.socket.partial(),
            State::Absent | State::Opening(_) | State::Waiting(_) => 0,
        }
    }

    /// Bytes of the largest message that this side has begun.
    pub(super) fn largest(&self) -> usize {
        match &self.state {
            State::Open(leg) => leg.socket.largest(),
            State::Absent | State::Opening(_) | State::Waiting(_) => 0,
        }
    }

    /// Writes what is queued, as far as the leg lives. An error shows when reading.
    pub(super) async fn flush(&mut self) {
        if let Some(socket) = self.socket() {
            let _ = socket.flush().await;
        }
    }
}
