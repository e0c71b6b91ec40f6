//! The client and its legs, as one thing that can be waited for.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use super::side::{Side, State};
use super::{Client, HIGH, NativeSide, NodeSide, Queued, Step};
use crate::bridge::websocket::{Message, WebSocketError};
use crate::budget::waiter::Waiter;

/// One that does not take what it gets makes those wait that send to it, which is looked at each time that bytes have
/// moved.
pub(super) struct Ends<'b> {
    pub(super) client: &'b mut Client,
    pub(super) node: &'b mut NodeSide,
    pub(super) native: &'b mut NativeSide,
    /// The client has said its last.
    pub(super) client_is_done: bool,
    /// And its stream has ended.
    pub(super) client_is_gone: bool,
    pub(super) queued: &'b mut Queued,
    pub(super) waiter: &'b Waiter,
    /// Bytes that are kept of the client beside what is queued.
    pub(super) kept: usize,
}

impl Ends<'_> {
    /// `legs_first` alternates, so that an end that never pauses does not silence the others.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, legs_first: bool) -> Poll<Step> {
        let end = self.client_is_gone;
        let congested = flush(self.node, end, context) | flush(self.native, end, context);
        let before = self.client.queued();
        let _ = self.client.poll_flush(context);
        self.waiter
            .moved(before.saturating_sub(self.client.queued()));
        self.count_queued();
        if legs_first && let Poll::Ready(step) = self.poll_legs(context) {
            return Poll::Ready(step);
        }
        if !congested
            && !self.client_is_done
            && let Poll::Ready(message) = self.client.poll_next(context)
        {
            return Poll::Ready(Step::Client(message));
        }
        self.poll_legs(context)
    }

    fn count_queued(&mut self) {
        self.queued.client.set(self.client.queued());
        self.queued.node.set(self.node.queued());
        self.queued.native.set(self.native.queued());
        let partial = self.client.partial() + self.node.partial() + self.native.partial();
        // axum keeps the buffer of the largest message that it has written.
        let native = self.native.queued() + self.native.largest();
        let others = self.node.queued() + native + partial + self.kept;
        self.waiter.set(self.client.queued(), others);
    }

    fn poll_legs(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        // Node waits for a slow client, and its own backpressure works. Native is always heard: what it pushes to one
        // client must not hold up what it does for others, and a queue that grows too long ends this client.
        if self.client.queued() < HIGH
            && let Poll::Ready(heard) = poll_side(self.node, context)
        {
            return Poll::Ready(match heard {
                Heard::Opened(opened) => Step::NodeOpened(opened),
                Heard::Said(message) => Step::Node(message),
            });
        }
        poll_side(self.native, context).map(|heard| match heard {
            Heard::Opened(opened) => Step::NativeOpened(opened),
            Heard::Said(message) => Step::Native(message),
        })
    }
}

enum Heard<L> {
    Said(Option<Result<Message, WebSocketError>>),
    /// `None`: the task that was to open the leg has ended otherwise.
    Opened(Option<L>),
}

/// Writes what is queued, and then the end, if there is nothing to come. True if the side does not take what it gets. An
/// error shows when reading.
fn flush<S, E>(side: &mut Side<S, E>, end: bool, context: &mut Context<'_>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let State::Open(leg) = &mut side.state else {
        return false;
    };
    if end {
        let _ = leg.socket.poll_shutdown(context);
    } else {
        let _ = leg.socket.poll_flush(context);
    }
    leg.socket.queued() > HIGH
}

fn poll_side<S, E>(
    side: &mut Side<S, E>,
    context: &mut Context<'_>,
) -> Poll<Heard<Result<super::Leg<S>, E>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match &mut side.state {
        State::Open(leg) => leg.socket.poll_next(context).map(Heard::Said),
        State::Opening(task) => Pin::new(task)
            .poll(context)
            .map(|opened| Heard::Opened(opened.ok())),
        State::Absent | State::Waiting(_) => Poll::Pending,
    }
}
