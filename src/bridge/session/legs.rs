//! Legs as they come and go: Node lost and reached again, a flip that needs another side, what takes too long.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{ASSEMBLY_TIMEOUT, Bridge, End, FIRST_RETRY, LAST_RETRY, NodeSide, Reached};
use crate::bridge::engineio::Message;
use crate::bridge::held::Order;
use crate::bridge::leg::LegEnd;
use crate::bridge::namespace::{Namespace, Part};
use crate::bridge::node::{self, NoLeg};
use crate::bridge::packet::with_payload;
use crate::bridge::replays::Greetings;
use crate::bridge::unit::Assembly;
use crate::config::NodeLoss;
use crate::live::{Snapshot, format_sources};

impl Bridge {
    pub(super) fn lose_node(&mut self, end: LegEnd) -> Result<(), End> {
        self.node = NodeSide::Absent;
        self.turn = None;
        self.from_node = Assembly::default();
        let is_at_node = |part| {
            let mut namespaces = self.namespaces.iter();
            namespaces.any(|namespace| namespace.node == part)
        };
        let was_in_a_namespace = is_at_node(Part::Joined) || is_at_node(Part::Replayed);
        // Then the end may be Node's answer to that CONNECT.
        let was_asked = is_at_node(Part::Asked);
        for namespace in &mut self.namespaces {
            namespace.node = Part::Absent;
        }
        let snapshot = self.snapshot();
        let needed = self
            .namespaces
            .iter()
            .any(|namespace| self.needs_node(&snapshot, &namespace.name));
        if !needed && !was_asked && !self.namespaces.is_empty() {
            debug!(socket = %self.socket, "node left, which nothing needs");
            return Ok(());
        }
        self.surroundings.live.node.suspect();
        let bounces = self.socket_of(&snapshot).is_none_or(|socket| {
            !snapshot.table.config().sockets[socket]
                .node_loss
                .keeps_clients()
        });
        let broken = self
            .last_to_node
            .as_ref()
            .is_some_and(|unit| !unit.packet.is_valid());
        let may_stay = !bounces && was_in_a_namespace && !was_asked;
        match end {
            // Node closes in order the clients that it does not want; but a Node that stops closes everybody.
            LegEnd::Closed if !may_stay || broken => Err(End::Close),
            LegEnd::Lost if !may_stay => Err(End::Drop),
            LegEnd::Closed | LegEnd::Lost => {
                self.surroundings.lost_node(&self.socket);
                self.reach_node(&snapshot);
                Ok(())
            }
        }
    }

    /// Begins to open a leg, unless there is one or one is on its way.
    pub(super) fn reach_node(&mut self, snapshot: &Arc<Snapshot>) {
        if !matches!(self.node, NodeSide::Absent | NodeSide::Waiting(_)) {
            return;
        }
        self.node_barrier.unsettle();
        self.away_since.get_or_insert_with(Instant::now);
        let (target, handshake) = (Arc::clone(&snapshot.node), Arc::clone(&self.handshake));
        let replays = Arc::clone(&self.replays);
        let legs = self.surroundings.metrics.legs.with_label_values(&["node"]);
        let budget = Arc::clone(&self.surroundings.budget);
        let socket = self.socket_of(snapshot);
        let greets = socket.is_some_and(|socket| snapshot.table.greets(socket, None));
        let task = tokio::spawn(async move {
            let (leg, _) = node::open(&target, &handshake, &budget, legs).await?;
            // One after the other, so that each knows whose greetings it must swallow.
            let turn = match greets {
                true => Some(replays.turn().await),
                false => None,
            };
            Ok((leg, turn))
        });
        self.node = NodeSide::Opening(AbortOnDropHandle::new(task));
    }

    pub(super) fn attach_node(&mut self, opened: Reached) -> Result<(), End> {
        let (leg, turn) = match opened {
            Ok(opened) => opened,
            // The client reconnects by itself, and hears Node's answer then.
            Err(NoLeg::Refused(response)) => {
                debug!(socket = %self.socket, status = %response.status(), "node refuses a client");
                return Err(End::Drop);
            }
            Err(NoLeg::Crowded | NoLeg::Stopping) => return Err(End::GoAway),
            Err(NoLeg::NoPlace(no_place)) => {
                debug!(socket = %self.socket, ?no_place, "no connection to node is free");
                return self.wait_for_node();
            }
            Err(NoLeg::Away(error)) => {
                debug!(socket = %self.socket, error = format_sources(&error), "no leg to node");
                self.surroundings.live.node.suspect();
                self.port_is_refused = error.is_refused_port();
                let is_away = self.accepted_by_node && error.is_without_answer();
                if !is_away && !self.port_is_refused {
                    // Node may have refused the client in this way.
                    return Err(End::Drop);
                }
                return self.wait_for_node();
            }
        };
        self.port_is_refused = false;
        self.away_since = None;
        self.waiting = None;
        self.retry_delay = FIRST_RETRY;
        let mut leg = Box::new(leg);
        let snapshot = self.snapshot();
        self.turn = turn;
        for index in 0..self.namespaces.len() {
            if self.needs_node(&snapshot, &self.namespaces[index].name) {
                let text = self.ask_again(&snapshot, index);
                leg.send(&text);
            }
        }
        self.node = NodeSide::Open(leg);
        self.legs_answered();
        Ok(())
    }

    /// Once a side has its say on all that it was asked, the others need not wait for this client any longer.
    pub(super) fn legs_answered(&mut self) {
        let replayed = |namespace: &Namespace| namespace.node == Part::Replayed;
        if self.has_leg() && !self.namespaces.iter().any(replayed) {
            self.turn = None;
            self.node_barrier.settle();
        }
        let asked = |namespace: &Namespace| namespace.answered && namespace.native == Part::Asked;
        if !self.namespaces.iter().any(asked) {
            self.native_barrier.settle();
        }
        self.release();
    }

    /// The CONNECT that asks Node for a namespace which the client may be in already.
    fn ask_again(&mut self, snapshot: &Snapshot, index: usize) -> Message {
        let socket = self.socket_of(snapshot);
        let namespace = &mut self.namespaces[index];
        namespace.greetings = Greetings::since(&self.replays, &namespace.name);
        namespace.node = if namespace.answered {
            let greets = |socket| snapshot.table.greets(socket, Some(&namespace.name));
            if let Some(turn) = &self.turn
                && socket.is_some_and(greets)
            {
                self.replays.begin(turn, &namespace.name);
                namespace.is_counted = true;
            }
            Part::Replayed
        } else {
            Part::Asked
        };
        Message::Text(with_payload(b'0', &namespace.name, &namespace.auth_again()))
    }

    fn wait_for_node(&mut self) -> Result<(), End> {
        let delay = self.retry_delay;
        self.retry_delay = (delay * 2).min(LAST_RETRY);
        self.node = NodeSide::Waiting(Instant::now() + delay);
        self.answer_without_node()
    }

    /// With `node_loss = "admit"`, native answers while Node's port refuses connections. Else nobody does.
    pub(super) fn answer_without_node(&mut self) -> Result<(), End> {
        let admits = self.setting(|socket| socket.node_loss == NodeLoss::Admit);
        if !self.port_is_refused || admits != Some(true) {
            return Ok(());
        }
        let snapshot = self.snapshot();
        for index in 0..self.namespaces.len() {
            let namespace = &self.namespaces[index];
            let waits = !namespace.answered && namespace.native == Part::Absent;
            if waits && self.uses_native(&snapshot, &namespace.name) {
                self.join_native(index, false)?;
            }
        }
        Ok(())
    }

    /// Attaches native to the namespaces that need it by now. A CONNECT that waited for Node is native's to answer if
    /// the namespace does not need Node any more.
    fn join_natives(&mut self, snapshot: &Snapshot) -> Result<(), End> {
        for index in (0..self.namespaces.len()).rev() {
            let namespace = &self.namespaces[index];
            let (name, answered) = (&namespace.name, namespace.answered);
            let is_native = !answered && namespace.node == Part::Absent;
            let is_native = is_native && !self.needs_node(snapshot, name);
            if namespace.native != Part::Absent || !(answered || is_native) {
                continue;
            }
            if self.uses_native(snapshot, name) {
                self.join_native(index, answered)?;
            } else if is_native {
                self.answer_without_sides(index);
            }
        }
        Ok(())
    }

    /// A flip: sides that are needed from now on are attached, none is closed.
    pub(super) async fn follow_table(&mut self) -> Result<(), End> {
        let snapshot = self.snapshot();
        // One that is pinned to its own table has nothing to do for a newer one.
        let generation = match &self.pinned {
            Some(_) => self.surroundings.live.load().table.generation(),
            None => snapshot.table.generation(),
        };
        self.node_barrier.see(generation);
        self.native_barrier.see(generation);
        self.join_natives(&snapshot)?;
        let mut needs_node = self.namespaces.is_empty() && self.needs_node(&snapshot, "/");
        for index in 0..self.namespaces.len() {
            let namespace = &self.namespaces[index];
            if namespace.node != Part::Absent || !self.needs_node(&snapshot, &namespace.name) {
                continue;
            }
            needs_node = true;
            if self.has_leg() {
                let socket = self.socket_of(&snapshot);
                let greets = socket.is_some_and(|socket| snapshot.table.greets(socket, None));
                if greets && self.turn.is_none() {
                    self.turn = Some(self.replays.turn().await);
                }
                let text = self.ask_again(&snapshot, index);
                if let NodeSide::Open(leg) = &mut self.node {
                    leg.send(&text);
                }
            }
        }
        if needs_node {
            if !self.namespaces.is_empty() {
                self.node_barrier.unsettle();
                self.reach_node(&snapshot);
            }
        } else {
            if let NodeSide::Waiting(_) | NodeSide::Opening(_) = &self.node {
                // A Node that nothing needs is not retried.
                self.node = NodeSide::Absent;
            }
            self.away_since = None;
            self.waiting = None;
            self.take_from_node().await?;
        }
        if !self.has_leg() && (!needs_node || self.namespaces.is_empty()) {
            self.node_barrier.settle();
        }
        self.legs_answered();
        Ok(())
    }

    /// What waited for a Node that nothing needs any more goes where the table says now.
    async fn take_from_node(&mut self) -> Result<(), End> {
        let mut units = Vec::new();
        for index in 0..self.namespaces.len() {
            if self.is_without_node(index) {
                units.extend(self.namespaces[index].for_node.take());
            }
        }
        for unit in units {
            Box::pin(self.event(unit)).await?;
        }
        Ok(())
    }

    pub(super) async fn overdue(&mut self) -> Result<(), End> {
        let now = Instant::now();
        for index in 0..self.namespaces.len() {
            self.overdue_orders(index, now)?;
        }
        if self.native_retry.is_some_and(|at| at <= now) {
            self.native_retry = None;
            let snapshot = self.snapshot();
            self.join_natives(&snapshot)?;
        }
        while let Some((held, begun)) = self.holding.overdue(now) {
            let rule = Arc::clone(held.order.rule());
            let index = self.position(held.order.unit.packet.namespace());
            let index = index.filter(|_| !begun && held.order.node_may_answer);
            let unit = held.order.unit.clone();
            held.judge(true);
            match index {
                // Native has not so much as seen it.
                Some(index) => {
                    rule.fell_back("timeout");
                    self.tell_node(index, unit, &rule)?;
                }
                None => rule.unanswered("timeout"),
            }
        }
        if self.turn.as_ref().is_some_and(|turn| turn.until <= now) {
            self.turn = None;
            self.node_barrier.settle();
        }
        let node_is_overdue = self.node_barrier.is_overdue(now);
        if self.native_barrier.is_overdue(now) || node_is_overdue {
            self.release();
        }
        if self
            .assembling_since
            .is_some_and(|since| since + ASSEMBLY_TIMEOUT <= now)
        {
            return self.refuse("unfinished");
        }
        if self
            .away_since
            .is_some_and(|since| since + self.resume_timeout() <= now)
        {
            self.count_refused("node-away");
            return Err(End::Drop);
        }
        if !self.has_leg() && self.connect_by.is_some_and(|by| by <= now) {
            return self.refuse("no-namespace");
        }
        if let NodeSide::Waiting(until) = &self.node
            && *until <= now
        {
            let snapshot = self.snapshot();
            self.reach_node(&snapshot);
        }
        Ok(())
    }

    /// Events that waited too long for native to let the client in.
    fn overdue_orders(&mut self, index: usize, now: Instant) -> Result<(), End> {
        let joined = self.namespaces[index].native == Part::Joined;
        let orders = &mut self.namespaces[index].for_native;
        let mut late = Vec::new();
        while orders.front().is_some_and(|order| order.deadline <= now) {
            late.extend(orders.pop());
        }
        for order in late {
            let Order {
                unit,
                trial,
                node_may_answer,
                ..
            } = order;
            let rule = Arc::clone(trial.rule());
            if joined {
                // It waited for the legs of others, of which native knows nothing.
                drop(trial);
            } else {
                trial.end(true);
            }
            if node_may_answer {
                rule.fell_back("timeout");
                self.tell_node(index, unit, &rule)?;
            } else {
                rule.unanswered("timeout");
            }
        }
        Ok(())
    }
}
