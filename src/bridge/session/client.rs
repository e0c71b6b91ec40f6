//! What the client says, and where it goes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Bridge, End, MOST_NAMESPACES, NodeSide};
use crate::bridge::engineio::Message;
use crate::bridge::held::Order;
use crate::bridge::namespace::{Namespace, Part};
use crate::bridge::packet::{Kind, Malformed, bare, with_payload};
use crate::bridge::replays::Greetings;
use crate::bridge::unit::Unit;
use crate::config::To;
use crate::live::{RuleState, Snapshot, Trial};
use crate::routing::{EventHead, LazyArgument, Side};

/// The last packet for Node is remembered up to this size; a larger one is checked at once.
const REMEMBERED: usize = 4096;

/// What the table says of an event.
struct Routed {
    rule: Arc<RuleState>,
    side: Side,
    /// False for `native only`.
    node_may_answer: bool,
    timeout: Duration,
    /// Native has a handler for it.
    handled: bool,
    /// `native only` without a handler.
    refused: bool,
}

impl Bridge {
    pub(super) async fn hear_client(&mut self, message: Message) -> Result<(), End> {
        let unit = self.from_client.push(message);
        self.assembling_since = self.from_client.is_partial().then(Instant::now);
        let unit = match unit {
            Ok(None) => return Ok(()),
            Ok(Some(unit)) => unit,
            Err(Malformed) => return self.refuse("malformed"),
        };
        // Node judges broken packets. Without Node, they end the client.
        if !self.has_leg() && (!unit.packet.is_valid() || !unit.is_plain()) {
            return self.refuse("malformed");
        }
        match unit.packet.kind {
            Kind::Connect => self.connect(unit).await,
            Kind::Disconnect => self.disconnect(unit),
            Kind::Event => self.event(unit).await,
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
        self.unconnected = None;
        let mut namespace = Namespace::new(&name, unit.packet.payload());
        let snapshot = self.snapshot();
        if self.needs_node(&snapshot, &name) {
            if let NodeSide::Open(leg) = &mut self.node {
                namespace.node = Part::Asked;
                namespace.greetings = Greetings::since(&self.replays, &name);
                unit.messages().for_each(|message| leg.send(&message));
                self.namespaces.push(namespace);
                return Ok(());
            }
            self.namespaces.push(namespace);
            if matches!(self.node, NodeSide::Waiting(_)) || self.waiting.is_some() {
                self.answer_without_node()?;
            }
            self.reach_node(&snapshot);
            return Ok(());
        }
        self.namespaces.push(namespace);
        let last = self.namespaces.len() - 1;
        if self.uses_native(&snapshot, &name) {
            self.join_native(last, false)?;
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
        self.flush();
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
        self.legs_answered();
        Ok(())
    }

    pub(super) async fn event(&mut self, mut unit: Unit) -> Result<(), End> {
        let Some(index) = self.position(unit.packet.namespace()) else {
            return self.refuse("malformed");
        };
        let snapshot = self.snapshot();
        let name = unit.packet.name();
        let name = name.or_else(|| unit.packet.odd_name().map(Cow::Owned));
        let Some(name) = name else {
            // Node may well find a name in it, of which a rule says native.
            if self.is_claimed_for_native(&snapshot, unit.packet.namespace()) {
                return self.refuse("unreadable");
            }
            return self.tell_node(index, unit, &snapshot.rest);
        };
        let Some(routed) = self.route(&snapshot, &unit, &name) else {
            return Err(End::Drop);
        };
        let Routed {
            rule,
            side,
            node_may_answer,
            timeout,
            handled,
            refused,
        } = routed;
        if refused {
            rule.metrics.unanswered("no-handler");
            return Ok(());
        }
        if side == Side::Node {
            return self.tell_node(index, unit, &rule);
        }
        if !unit.packet.is_plain() || !unit.is_plain() {
            // Native cannot have it, and Node must not.
            return self.refuse("unreadable");
        }
        if !handled {
            // All of the namespace is native, and Socket.IO ignores what nobody listens to.
            rule.metrics.native.event();
            return Ok(());
        }
        if let Some(plain) = unit.packet.with_plain_name() {
            unit.packet = plain;
        }
        if self.namespaces[index].native == Part::Absent && self.namespaces[index].answered {
            // A flip that this event is the first to see.
            self.join_native(index, true)?;
        }
        let part = self.namespaces[index].native;
        if !matches!(part, Part::Joined | Part::Asked | Part::Replayed) {
            return self.fall_back(index, unit, &rule, node_may_answer);
        }
        // Without Node, nobody else could answer.
        let may_refuse = node_may_answer && !self.is_without_node(index);
        let Some(trial) = Trial::begin(&rule, may_refuse) else {
            rule.fell_back("breaker");
            return self.tell_node(index, unit, &rule);
        };
        let order = Order {
            unit,
            trial,
            node_may_answer,
            deadline: Instant::now() + timeout,
        };
        let namespace = &mut self.namespaces[index];
        if part == Part::Joined
            && self.native_barrier.lets_pass()
            && namespace.for_native.is_empty()
        {
            self.tell_native(order);
            return Ok(());
        }
        let size = order.unit.size();
        namespace.for_native.push(order, size);
        self.check_backlog()
    }

    /// `None` where the table has this socket no more.
    fn route(&self, snapshot: &Snapshot, unit: &Unit, name: &str) -> Option<Routed> {
        let socket = self.socket_of(snapshot)?;
        let namespace = unit.packet.namespace();
        let argument = LazyArgument::of_event(unit.packet.payload().as_bytes());
        let request = self.handshake.head();
        let head = EventHead {
            namespace,
            name,
            request: &request,
            argument: &argument,
        };
        let route = snapshot.table.event(socket, &head);
        let handled = snapshot.table.is_handled(socket, namespace, name);
        Some(match route.rule {
            Some((rule, settings)) => Routed {
                rule: Arc::clone(&snapshot.rules[rule]),
                side: route.side,
                node_may_answer: settings.to != To::NativeOnly,
                timeout: settings.timeout,
                handled,
                refused: route.is_refused(),
            },
            None => Routed {
                rule: Arc::clone(&snapshot.sockets[socket]),
                side: Side::Node,
                node_may_answer: true,
                timeout: Duration::ZERO,
                handled,
                refused: false,
            },
        })
    }

    /// Gives an event to the handler of its name.
    pub(super) fn tell_native(&mut self, order: Order) {
        let Some(leg) = &mut self.native else { return };
        order.rule().metrics.native.event();
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
        rule: &Arc<RuleState>,
    ) -> Result<(), End> {
        rule.metrics.node.event();
        let gone = self.is_without_node(index);
        // An early event is Node's to judge.
        let is_there = match self.namespaces[index].node {
            Part::Asked => true,
            Part::Joined => {
                self.node_barrier.lets_pass() && self.namespaces[index].for_node.is_empty()
            }
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
                rule.unanswered("node-gone");
                Ok(())
            }
            _ => {
                let size = unit.size();
                namespace.for_node.push(unit, size);
                self.check_backlog()
            }
        }
    }

    /// Gives the sides what waited for them, as far as nothing holds it up.
    pub(super) fn release(&mut self) {
        let waits = |namespace: &Namespace| {
            namespace.node == Part::Joined && !namespace.for_node.is_empty()
        };
        if self.namespaces.iter().any(waits) && self.node_barrier.lets_pass() {
            self.flush();
        }
        let waits = |namespace: &Namespace| {
            namespace.native == Part::Joined && !namespace.for_native.is_empty()
        };
        if self.namespaces.iter().any(waits) && self.native_barrier.lets_pass() {
            for index in 0..self.namespaces.len() {
                if self.namespaces[index].native == Part::Joined {
                    for order in self.namespaces[index].for_native.take() {
                        self.tell_native(order);
                    }
                }
            }
        }
    }

    /// Gives Node what waited for it, come what may.
    pub(super) fn flush(&mut self) {
        let NodeSide::Open(leg) = &mut self.node else {
            return;
        };
        for namespace in &mut self.namespaces {
            if namespace.node == Part::Joined {
                for unit in namespace.for_node.take() {
                    unit.messages().for_each(|message| leg.send(&message));
                }
            }
        }
    }

    /// Ends a client for which too much waits.
    fn check_backlog(&self) -> Result<(), End> {
        let waiting: usize = self.namespaces.iter().map(Namespace::waiting_bytes).sum();
        if waiting <= self.queue_limit() {
            return Ok(());
        }
        self.count_refused("backlog");
        Err(End::Drop)
    }

    pub(super) fn acknowledge(&mut self, unit: Unit) -> Result<(), End> {
        let Some(index) = self.position(unit.packet.namespace()) else {
            return self.refuse("malformed");
        };
        if unit.packet.has_odd_id() && self.namespaces[index].native != Part::Absent {
            // It may be the answer to either side.
            return self.refuse("unreadable");
        }
        if let Some(text) = unit.packet.for_native() {
            if !unit.is_plain() {
                return self.refuse("malformed");
            }
            // Native has asked nothing where it is not, and socketioxide would end the leg.
            let joined = self.namespaces[index].native == Part::Joined;
            if let Some(leg) = self.native.as_mut().filter(|_| joined) {
                unit.messages_with(text)
                    .for_each(|message| leg.send(&message));
            }
        } else if let NodeSide::Open(leg) = &mut self.node {
            unit.messages().for_each(|message| leg.send(&message));
        }
        Ok(())
    }
}
