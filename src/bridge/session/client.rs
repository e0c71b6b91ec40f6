//! What the client says, and where it goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Bridge, End, MOST_NAMESPACES, NodeSide, SETTLE_TIMEOUT};
use crate::bridge::engineio::Message;
use crate::bridge::held::Order;
use crate::bridge::namespace::{Namespace, Part};
use crate::bridge::packet::{Kind, Malformed, bare, with_payload};
use crate::bridge::unit::Unit;
use crate::config::To;
use crate::live::RuleState;
use crate::routing::{EventHead, LazyArgument, Side};
use crate::upstream::breaker::{Admission, Breaker, BreakerState};

/// The last packet for Node is remembered up to this size; a larger one is checked at once.
const REMEMBERED: usize = 4096;

impl Bridge {
    pub(super) async fn hear_client(&mut self, message: Message) -> Result<(), End> {
        let unit = self.from_client.push(message);
        self.assembling_since = self.from_client.is_partial().then(Instant::now);
        let unit = match unit {
            Ok(None) => return Ok(()),
            Ok(Some(unit)) => unit,
            Err(Malformed) => return self.refuse("malformed"),
        };
        // What is broken Node judges, if it is there.
        if !self.has_leg() && !unit.packet.is_valid() {
            return self.refuse("malformed");
        }
        match unit.packet.kind {
            Kind::Connect => self.connect(unit).await,
            Kind::Disconnect => self.disconnect(unit),
            Kind::Event => self.event(unit),
            Kind::Ack => self.acknowledge(unit),
            Kind::ConnectError => self.refuse("malformed"),
        }
    }

    /// Ends the client as Node ends one that breaks the protocol.
    pub(super) fn refuse(&mut self, reason: &str) -> Result<(), End> {
        self.count_refused(reason);
        Err(End::Close)
    }

    pub(super) async fn connect(&mut self, unit: Unit) -> Result<(), End> {
        let name = unit.packet.namespace().to_owned();
        if self.position(&name).is_some() || !unit.packet.is_valid() {
            // Node closes too, and may have said something before.
            return match &mut self.node {
                NodeSide::Open(leg) => {
                    self.last_to_node = Some(unit.clone());
                    unit.messages().for_each(|message| leg.send(&message));
                    Ok(())
                }
                _ => self.refuse("malformed"),
            };
        }
        if self.namespaces.len() >= MOST_NAMESPACES {
            return self.refuse("namespaces");
        }
        self.connect_by = None;
        let mut namespace = Namespace::new(&name, unit.packet.payload());
        let snapshot = self.snapshot();
        if self.needs_node(&snapshot, &name) {
            if let NodeSide::Open(leg) = &mut self.node {
                namespace.node = Part::Asked;
                unit.messages().for_each(|message| leg.send(&message));
                self.namespaces.push(namespace);
                return Ok(());
            }
            self.namespaces.push(namespace);
            if matches!(self.node, NodeSide::Waiting(_)) || self.waiting.is_some() {
                self.answer_without_node().await;
            }
            self.reach_node(&snapshot);
            return Ok(());
        }
        self.namespaces.push(namespace);
        let last = self.namespaces.len() - 1;
        if self.uses_native(&snapshot, &name) {
            self.join_native(last, false).await;
        } else {
            self.answer_without_sides(last);
        }
        Ok(())
    }

    /// Nobody serves the namespace: what Node would say of one that it does not know.
    pub(super) fn answer_without_sides(&mut self, index: usize) {
        let namespace = self.namespaces.remove(index);
        let text = with_payload(b'4', &namespace.name, r#"{"message":"Invalid namespace"}"#);
        self.session.send(Message::Text(text));
    }

    pub(super) fn disconnect(&mut self, unit: Unit) -> Result<(), End> {
        let Some(index) = self.position(unit.packet.namespace()) else {
            return self.refuse("malformed");
        };
        self.release();
        let namespace = self.namespaces.swap_remove(index);
        if let (Some(leg), Part::Joined | Part::Replayed | Part::Asked) =
            (&mut self.native, namespace.native)
        {
            leg.send(&Message::Text(bare(b'1', &namespace.name)));
        }
        if let (NodeSide::Open(leg), Part::Joined | Part::Replayed | Part::Asked) =
            (&mut self.node, namespace.node)
        {
            unit.messages().for_each(|message| leg.send(&message));
        }
        Ok(())
    }

    pub(super) fn event(&mut self, mut unit: Unit) -> Result<(), End> {
        let Some(index) = self.position(unit.packet.namespace()) else {
            return self.refuse("malformed");
        };
        let snapshot = self.snapshot();
        let (rule, mut side, node_may_answer, timeout, handled) = {
            let Some(name) = unit.packet.name() else {
                return self.tell_node(index, unit, &snapshot.rest.clone());
            };
            let Some(socket) = self.socket_of(&snapshot) else {
                return Err(End::Drop);
            };
            let argument = LazyArgument::of_event(unit.packet.payload().as_bytes());
            let head = self.handshake.head();
            let route = snapshot.table.event(
                socket,
                &EventHead {
                    namespace: unit.packet.namespace(),
                    name: &name,
                    request: &head,
                    argument: &argument,
                },
            );
            let namespace = unit.packet.namespace();
            let handled = snapshot.table.is_handled(socket, namespace, &name);
            match route.rule {
                Some((rule, settings)) => (
                    Arc::clone(&snapshot.rules[rule]),
                    route.side,
                    settings.to != To::NativeOnly,
                    settings.timeout,
                    handled,
                ),
                None => (
                    Arc::clone(&snapshot.sockets[socket]),
                    Side::Node,
                    true,
                    Duration::ZERO,
                    handled,
                ),
            }
        };
        if side == Side::Native {
            if !unit.packet.is_valid() || unit.packet.is_odd() {
                side = Side::Node;
            } else if !handled {
                // All of the namespace is native, and Socket.IO ignores what nobody listens to.
                rule.metrics.native.event();
                return Ok(());
            } else if let Some(plain) = unit.packet.with_plain_name() {
                unit.packet = plain;
            }
        }
        let native = side == Side::Native
            && self.native.is_some()
            && matches!(
                self.namespaces[index].native,
                Part::Joined | Part::Asked | Part::Replayed
            );
        if !native {
            if side == Side::Native && !node_may_answer {
                rule.metrics.unanswered("no-leg");
                return Ok(());
            }
            return self.tell_node(index, unit, &rule);
        }
        let admission = match rule.breaker.as_ref().filter(|_| node_may_answer) {
            Some(breaker) => match self.admit(breaker, &rule) {
                Some(admission) => Some(admission),
                None => {
                    rule.metrics.fell_back("breaker");
                    return self.tell_node(index, unit, &rule);
                }
            },
            None => None,
        };
        let order = Order {
            unit,
            rule,
            admission,
            node_may_answer,
            timeout,
        };
        if self.namespaces[index].native == Part::Joined {
            self.tell_native(order);
            Ok(())
        } else {
            self.namespaces[index].for_native.push_back(order);
            self.check_backlog(index)
        }
    }

    pub(super) fn admit(&self, breaker: &Breaker, rule: &RuleState) -> Option<Admission> {
        let admission = breaker.admit();
        match admission {
            Admission::Refused => return None,
            Admission::Probe => rule.breaker_changed(BreakerState::HalfOpen),
            Admission::Admitted => {}
        }
        Some(admission)
    }

    /// Gives an event to the handler of its name.
    pub(super) fn tell_native(&mut self, order: Order) {
        let Some(leg) = &mut self.native else { return };
        order.rule.metrics.native.event();
        let text = order.unit.packet.text.clone();
        let unit = order.unit.clone();
        self.holding.hold(order);
        unit.messages_with(text)
            .for_each(|message| leg.send(&message));
    }

    /// Gives an event to Node, or keeps it for a Node that is on its way.
    pub(super) fn tell_node(
        &mut self,
        index: usize,
        unit: Unit,
        rule: &RuleState,
    ) -> Result<(), End> {
        rule.metrics.node.event();
        let gone = matches!(self.node, NodeSide::Absent) && self.is_node_gone(index);
        // An early event is Node's to judge.
        let is_there = match self.namespaces[index].node {
            Part::Asked => true,
            Part::Joined => self.namespaces[index].for_node.is_empty() && self.is_settled(),
            Part::Absent | Part::Replayed | Part::Refused => false,
        };
        let namespace = &mut self.namespaces[index];
        match &mut self.node {
            NodeSide::Open(leg) if is_there => {
                if let Some(id) = unit.packet.id() {
                    self.asked.note(id, &rule.metrics.node);
                }
                self.last_to_node = (unit.size() <= REMEMBERED).then(|| unit.clone());
                unit.messages().for_each(|message| leg.send(&message));
                Ok(())
            }
            _ if gone => {
                rule.metrics.unanswered("node-gone");
                Ok(())
            }
            _ => {
                namespace.for_node.push_back(unit);
                self.check_backlog(index)
            }
        }
    }

    /// Whether what Node says to everybody reaches everybody. Waits for that only for a while.
    pub(super) fn is_settled(&mut self) -> bool {
        if *self.all_settled.borrow() {
            self.waits_no_more = false;
            return true;
        }
        if !self.waits_no_more {
            self.settle_by
                .get_or_insert_with(|| Instant::now() + SETTLE_TIMEOUT);
        }
        self.waits_no_more
    }

    /// Gives Node what waited for it.
    pub(super) fn release(&mut self) {
        self.settle_by = None;
        let NodeSide::Open(leg) = &mut self.node else {
            return;
        };
        for namespace in &mut self.namespaces {
            if namespace.node == Part::Joined {
                for unit in std::mem::take(&mut namespace.for_node) {
                    unit.messages().for_each(|message| leg.send(&message));
                }
            }
        }
    }

    /// Ends a client for which too much waits.
    pub(super) fn check_backlog(&mut self, index: usize) -> Result<(), End> {
        let namespace = &self.namespaces[index];
        if namespace.waiting_bytes() <= self.queue_limit() {
            return Ok(());
        }
        self.count_refused("backlog");
        Err(End::Drop)
    }

    pub(super) fn acknowledge(&mut self, unit: Unit) -> Result<(), End> {
        if self.position(unit.packet.namespace()).is_none() {
            return self.refuse("malformed");
        }
        if let Some(text) = unit.packet.for_native() {
            if let Some(leg) = &mut self.native {
                unit.messages_with(text)
                    .for_each(|message| leg.send(&message));
            }
        } else if let NodeSide::Open(leg) = &mut self.node {
            unit.messages().for_each(|message| leg.send(&message));
        }
        Ok(())
    }
}
