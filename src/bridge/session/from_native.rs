//! What native says, and how its handlers ended.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use super::{Bridge, End, FIRST_RETRY, LAST_RETRY, NodeSide};
use crate::bridge::engineio::Message;
use crate::bridge::namespace::{Namespace, Part, with_last_argument};
use crate::bridge::native;
use crate::bridge::packet::{Kind, Malformed, bare, with_payload};
use crate::bridge::unit::{Assembly, Unit};
use crate::live::RuleState;
use crate::native::events::ticket::{Attached, Outcome};

impl Bridge {
    pub(super) fn hear_native(&mut self, message: Message) -> Result<(), End> {
        let unit = match self.from_native.push(message) {
            Ok(None) => return Ok(()),
            Ok(Some(unit)) => unit,
            Err(Malformed) => return self.lose_native(),
        };
        let Some(index) = self.position(unit.packet.namespace()) else {
            return Ok(());
        };
        match unit.packet.kind {
            Kind::Connect => {
                self.native_retry_delay = FIRST_RETRY;
                self.surroundings.native_took(&self.socket, "accepted", "");
                let namespace = &mut self.namespaces[index];
                namespace.native = Part::Joined;
                if !namespace.answered {
                    namespace.answered = true;
                    self.session.send(Message::Text(unit.packet.text.clone()));
                }
                self.legs_answered();
                Ok(())
            }
            Kind::ConnectError => {
                self.namespaces[index].native = Part::Refused;
                let answer = unit.packet.payload();
                self.surroundings
                    .native_took(&self.socket, "refused", answer);
                if self.is_without_node(index) {
                    // Nobody else would serve it.
                    let namespace = self.namespaces.swap_remove(index);
                    let text = match namespace.answered {
                        true => bare(b'1', &namespace.name),
                        false => unit.packet.text,
                    };
                    self.session.send(Message::Text(text));
                    self.legs_answered();
                    return Ok(());
                }
                self.legs_answered();
                self.take_from_native(index)
            }
            Kind::Disconnect => {
                let namespace = self.namespaces.swap_remove(index);
                if let (NodeSide::Open(leg), Part::Joined) = (&mut self.node, namespace.node) {
                    leg.send(&Message::Text(unit.packet.text.clone()));
                }
                self.session.send(Message::Text(unit.packet.text));
                Ok(())
            }
            Kind::Event => self.pass_native_event(index, unit),
            Kind::Ack => {
                unit.messages()
                    .for_each(|message| self.session.send(message));
                self.check_client()
            }
        }
    }

    pub(super) fn pass_native_event(&mut self, index: usize, unit: Unit) -> Result<(), End> {
        let namespace = &self.namespaces[index];
        if namespace.node == Part::Joined && self.is_once(&unit) && !self.is_node_gone(index) {
            return Ok(());
        }
        let mut text = unit.packet.with_native_id();
        let recovery = self.namespaces[index].recovery.as_ref();
        // Node adds it to events alone that ask for no acknowledgement.
        if unit.packet.id().is_none()
            && let Some(offset) = recovery.and_then(|recovery| recovery.offset.as_deref())
        {
            text = with_last_argument(&text, offset);
        }
        unit.messages_with(text)
            .for_each(|message| self.session.send(message));
        self.check_client()
    }

    /// Native is never paused, since socketioxide would drop what does not fit; a client that does not keep up is closed.
    pub(super) fn check_client(&mut self) -> Result<(), End> {
        if self.session.queued() <= self.queue_limit() + self.last_of_node {
            return Ok(());
        }
        self.count_refused("slow-client");
        Err(End::Drop)
    }

    /// Asks native for a namespace; `replayed` where the client has been in it before.
    pub(super) fn join_native(&mut self, index: usize, replayed: bool) -> Result<(), End> {
        let Some(service) = &self.surroundings.native else {
            return Ok(());
        };
        if self.native_retry.is_some() {
            // It comes with the next try.
            return Ok(());
        }
        let namespace = &mut self.namespaces[index];
        let attached = Attached {
            node_id: namespace.node_id.clone(),
            replayed,
        };
        self.holding.tickets.attach(&namespace.name, attached);
        if self.native.is_none() {
            let leg = native::open(
                service,
                self.surroundings.handlers.next(),
                &self.handshake,
                &self.holding.tickets,
                self.surroundings
                    .metrics
                    .legs
                    .with_label_values(&["native"]),
            );
            match leg {
                Ok(leg) => self.native = Some(Box::new(leg)),
                Err(error) => {
                    debug!(socket = %self.socket, ?error, "no native leg");
                    return self.lose_native();
                }
            }
        }
        let namespace = &mut self.namespaces[index];
        namespace.native = Part::Asked;
        let text = with_payload(b'0', &namespace.name, &namespace.auth);
        if let Some(leg) = &mut self.native {
            leg.send(&Message::Text(text));
        }
        Ok(())
    }

    pub(super) fn leave_native(&mut self, namespace: &Namespace) {
        if let (Some(leg), Part::Joined | Part::Asked) = (&mut self.native, namespace.native) {
            leg.send(&Message::Text(bare(b'1', &namespace.name)));
        }
    }

    /// socketioxide ended the leg, which it does on what it takes for a broken packet. The client gets another.
    pub(super) fn lose_native(&mut self) -> Result<(), End> {
        let asked = |namespace: &Namespace| namespace.native == Part::Asked;
        let joining = self.native.is_none() || self.namespaces.iter().any(asked);
        let result = if joining { "broken" } else { "dropped" };
        let surroundings = &self.surroundings;
        surroundings.native_took(&self.socket, result, "the leg to native ended");
        self.native = None;
        self.native_retry = Some(Instant::now() + self.native_retry_delay);
        self.native_retry_delay = (self.native_retry_delay * 2).min(LAST_RETRY);
        self.from_native = Assembly::default();
        for id in self.holding.renew_tickets() {
            self.settle(id, Outcome::Declined)?;
        }
        for index in 0..self.namespaces.len() {
            self.namespaces[index].native = Part::Absent;
            self.take_from_native(index)?;
        }
        Ok(())
    }

    /// Native does not get what waited for it.
    fn take_from_native(&mut self, index: usize) -> Result<(), End> {
        for order in self.namespaces[index].for_native.take() {
            self.fall_back(index, order.unit, order.trial.rule(), order.node_may_answer)?;
        }
        Ok(())
    }

    /// Native does not get an event that it should have had.
    pub(super) fn fall_back(
        &mut self,
        index: usize,
        unit: Unit,
        rule: &Arc<RuleState>,
        node_may_answer: bool,
    ) -> Result<(), End> {
        if node_may_answer {
            rule.fell_back("no-leg");
            return self.tell_node(index, unit, rule);
        }
        rule.unanswered("no-leg");
        Ok(())
    }

    /// A handler has ended.
    pub(super) fn settle(&mut self, id: u64, outcome: Outcome) -> Result<(), End> {
        let Some(held) = self.holding.release(id) else {
            return Ok(());
        };
        match outcome {
            Outcome::Done => {
                held.judge(false);
                Ok(())
            }
            Outcome::Panicked => {
                held.order.rule().unanswered("panic");
                held.judge(true);
                Ok(())
            }
            Outcome::Declined => {
                let rule = Arc::clone(held.order.rule());
                let node_may_answer = held.order.node_may_answer;
                // A decline says nothing of the health of native.
                let unit = held.order.unit;
                let index = self.position(unit.packet.namespace());
                match index.filter(|_| node_may_answer) {
                    Some(index) => {
                        rule.fell_back("decline");
                        self.tell_node(index, unit, &rule)
                    }
                    None => {
                        rule.unanswered("decline");
                        Ok(())
                    }
                }
            }
        }
    }
}
