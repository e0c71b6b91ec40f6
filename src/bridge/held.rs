//! Events that a native handler is working on. The packet is held until the handler ends, so that Node can have it if
//! the handler declines; a handler that takes too long or panics may have done something, so its packet is not sent again.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_channel::mpsc;
use tokio::time::Instant;

use crate::bridge::unit::Unit;
use crate::live::{RuleState, Trial};
use crate::native::events::extract::RawEvent;
use crate::native::events::ticket::{Outcome, Ticket, Tickets};

/// What native may have to do for one client before that client has to wait.
const MOST_EVENTS: usize = 1024;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// An event that native is to handle.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) unit: Unit,
    pub(crate) trial: Trial,
    /// False for `native only`.
    pub(crate) node_may_answer: bool,
    /// When native has taken too long.
    pub(crate) deadline: Instant,
}

impl Order {
    pub(crate) fn rule(&self) -> &Arc<RuleState> {
        self.trial.rule()
    }
}

/// An order that native has.
#[derive(Debug)]
pub(crate) struct Held {
    id: u64,
    pub(crate) order: Order,
    since: Instant,
}

impl Held {
    /// Tells the rule how native fared.
    pub(crate) fn judge(self, failed: bool) {
        let seconds = self.since.elapsed().as_secs_f64();
        self.order.rule().metrics.native.event_took(seconds);
        self.order.trial.end(failed);
    }
}

/// All of one client.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) tickets: Arc<Tickets>,
    outcomes: mpsc::UnboundedSender<(u64, Outcome)>,
    last_id: u64,
    held: VecDeque<Held>,
    bytes: usize,
}

impl Holding {
    pub(crate) fn new(outcomes: mpsc::UnboundedSender<(u64, Outcome)>) -> Self {
        Self {
            tickets: Arc::new(Tickets::new(outcomes.clone())),
            outcomes,
            last_id: 0,
            held: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Holds an event and lets its handler know. Has to come before the packet is written to the leg.
    pub(crate) fn hold(&mut self, order: Order) {
        self.last_id += 1;
        self.bytes += order.unit.size();
        let packet = &order.unit.packet;
        self.tickets.push(Ticket {
            id: self.last_id,
            namespace: packet.namespace().into(),
            name: packet.name().unwrap_or_default().into(),
            packet: RawEvent {
                arguments: packet.text.slice_ref(packet.payload().as_bytes()),
                attachments: order.unit.attachments.clone(),
            },
        });
        self.held.push_back(Held {
            id: self.last_id,
            order,
            since: Instant::now(),
        });
    }

    /// The leg has ended, and the next one has tickets of its own. Gives the events that had no effect, oldest first.
    pub(crate) fn renew_tickets(&mut self) -> Vec<u64> {
        let next = Arc::new(Tickets::new(self.outcomes.clone()));
        std::mem::replace(&mut self.tickets, next).close()
    }

    /// Whether native has as much to do for this client as it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes > MOST_BYTES || self.held.len() > MOST_EVENTS
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The event of this number, unless it took too long.
    pub(crate) fn release(&mut self, id: u64) -> Option<Held> {
        let position = self.held.iter().position(|held| held.id == id)?;
        self.take(position)
    }

    /// The next event that took too long, and whether its handler had begun.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<(Held, bool)> {
        let position = self
            .held
            .iter()
            .position(|held| held.order.deadline <= now)?;
        let held = self.take(position)?;
        let begun = !self.tickets.withdraw(held.id);
        Some((held, begun))
    }

    fn take(&mut self, position: usize) -> Option<Held> {
        let held = self.held.remove(position)?;
        self.bytes -= held.order.unit.size();
        if self.held.is_empty() {
            // An idle client keeps no room.
            self.held = VecDeque::new();
        }
        Some(held)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.order.deadline).min()
    }
}
