//! What the bridge and a handler know of one event beside its packet: a ticket, pushed by the bridge and claimed by the
//! handler, and the outcome that goes back.
//! socketioxide has no room for either, so both travel in the extensions of the request that opened the leg.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::mpsc::UnboundedSender;
use socketioxide::socket::Socket;

use super::RawEvent;

/// How a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(unreachable_pub, reason = "public with the feature `testing`")]
pub enum Outcome {
    /// It ran to its end.
    Done,
    /// It left the event to Node, or its extractors did not accept the arguments. No side effect has happened.
    Declined,
    /// It panicked, or was dropped before its end.
    Panicked,
}

/// One event that the bridge has given to the native side.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The bridge's own number for it.
    pub(crate) id: u64,
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    /// What is written to the leg.
    pub(crate) packet: RawEvent,
}

/// The tickets of one leg.
#[derive(Debug)]
pub(crate) struct Tickets {
    outcomes: UnboundedSender<(u64, Outcome)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Ticket>,
    /// Taken back, but their packets may still be on the leg.
    withdrawn: VecDeque<Ticket>,
    /// The packet whose arguments are being extracted.
    current: Option<RawEvent>,
    /// The leg has ended for the bridge, though its handlers, on their own thread, may not know it yet.
    closed: bool,
    attached: Vec<(Box<str>, Attached)>,
}

/// What the bridge knows of a client in one namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attached {
    /// Node's `socket.id`.
    pub(crate) node_id: Option<String>,
    /// The client was connected before this leg was.
    pub(crate) replayed: bool,
}

impl Tickets {
    /// Outcomes go to `outcomes`, with the id of their ticket.
    pub(crate) fn new(outcomes: UnboundedSender<(u64, Outcome)>) -> Self {
        Self {
            outcomes,
            state: Mutex::default(),
        }
    }

    /// Has to come before the packet is written to the leg.
    pub(crate) fn push(&self, ticket: Ticket) {
        self.state().waiting.push_back(ticket);
    }

    /// Says who the client of `namespace` is. Has to come before its CONNECT is written to the leg.
    pub(crate) fn attach(&self, namespace: &str, attached: Attached) {
        let mut state = self.state();
        state.attached.retain(|(known, _)| **known != *namespace);
        state.attached.push((namespace.into(), attached));
    }

    /// Takes back a ticket that no handler has claimed in time: should its packet still arrive, no handler begins, so the
    /// event may go to Node. False if its handler has begun.
    pub(crate) fn withdraw(&self, id: u64) -> bool {
        let mut state = self.state();
        let found = state.waiting.iter().position(|ticket| ticket.id == id);
        let ticket = found.and_then(|index| state.waiting.remove(index));
        let withdrawn = ticket.is_some();
        state.withdrawn.extend(ticket);
        withdrawn
    }

    /// The leg has ended. Gives the tickets that no handler has claimed, oldest first; from now on none will, so these
    /// events had no effect.
    pub(crate) fn close(&self) -> Vec<u64> {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        waiting.into_iter().map(|ticket| ticket.id).collect()
    }

    /// Those of a leg; none where the application runs without a bridge.
    pub(super) fn of(socket: &Socket) -> Option<&Arc<Self>> {
        socket.req_parts().extensions.get()
    }

    /// The ticket of this event. Handlers of one leg are called in the order of its packets, so it is the oldest one; the
    /// text tells a withdrawn event from a later one of the same name.
    pub(super) fn claim(&self, namespace: &str, name: &str, text: &str) -> Claimed {
        let mut state = self.state();
        if state.closed {
            return Claimed::Withdrawn;
        }
        let is_same = |ticket: &Ticket| {
            *ticket.name == *name
                && *ticket.namespace == *namespace
                && ticket.packet.arguments == *text
        };
        if let Some(index) = state.withdrawn.iter().position(is_same) {
            state.withdrawn.remove(index);
            return Claimed::Withdrawn;
        }
        let found = state.waiting.iter().position(is_same);
        let Some(ticket) = found.and_then(|index| state.waiting.remove(index)) else {
            return Claimed::Nothing;
        };
        state.current = Some(ticket.packet);
        Claimed::Ticket(Claim {
            id: ticket.id,
            outcome: Outcome::Panicked,
            outcomes: self.outcomes.clone(),
        })
    }

    /// The packet that was claimed last, until `extracted`.
    pub(super) fn current(&self) -> Option<RawEvent> {
        self.state().current.clone()
    }

    /// Forgets that packet: an idle leg should not hold the last message.
    pub(super) fn extracted(&self) {
        self.state().current = None;
    }

    pub(super) fn attached(&self, namespace: &str) -> Option<Attached> {
        let state = self.state();
        let mut known = state.attached.iter();
        known
            .find(|(path, _)| **path == *namespace)
            .map(|(_, attached)| attached.clone())
    }

    /// No code of an application runs under the lock, so it is whole even if it is poisoned.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of an event when its handler is called.
#[derive(Debug)]
pub(super) enum Claimed {
    Ticket(Claim),
    /// It is Node's by now.
    Withdrawn,
    /// It did not come over a bridge.
    Nothing,
}

/// A claimed ticket. Its outcome is sent when it is dropped, so exactly once; a panic that unwinds through it, and a
/// handler that is dropped unfinished, are `Panicked`.
#[derive(Debug)]
pub(super) struct Claim {
    id: u64,
    outcome: Outcome,
    outcomes: UnboundedSender<(u64, Outcome)>,
}

impl Claim {
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A bridge that has ended does not listen any more.
        let _ = self.outcomes.unbounded_send((self.id, self.outcome));
    }
}
