//! Legs as they come and go: Node lost and reached again, a flip that needs another side, what takes too long.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{ASSEMBLY_TIMEOUT, Bridge, End, FIRST_RETRY, LAST_RETRY, NodeSide, Reached};
use crate::bridge::engineio::Message;
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
        let was_in_a_namespace = self
            .namespaces
            .iter()
            .any(|namespace| namespace.node != Part::Absent);
        for namespace in &mut self.namespaces {
            namespace.node = Part::Absent;
        }
        let snapshot = self.snapshot();
        let needed = self
            .namespaces
            .iter()
            .any(|namespace| self.needs_node(&snapshot, &namespace.name));
        if !needed && !self.namespaces.is_empty() {
            debug!(socket = %self.socket, "node left, which nothing needs");
            return Ok(());
        }
        let bounces = self.socket_of(&snapshot).is_none_or(|socket| {
            snapshot.table.config().sockets[socket].node_loss == NodeLoss::Bounce
        });
        let broken = self
            .last_to_node
            .as_ref()
            .is_some_and(|unit| !unit.packet.is_valid());
        match end {
            // What Node closed in order it wanted closed; but a Node that stops closes everybody.
            LegEnd::Closed if bounces || broken || !was_in_a_namespace => Err(End::Close),
            LegEnd::Lost if bounces => Err(End::Drop),
            LegEnd::Closed | LegEnd::Lost => {
                self.surroundings
                    .metrics
                    .node_losses
                    .with_label_values(&[&self.socket])
                    .inc();
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
        self.member.unsettle();
        self.away_since.get_or_insert_with(Instant::now);
        let (target, handshake) = (Arc::clone(&snapshot.node), Arc::clone(&self.handshake));
        let replays = Arc::clone(&self.replays);
        let legs = self.surroundings.metrics.legs.with_label_values(&["node"]);
        let task = tokio::spawn(async move {
            let (leg, _) = node::open(&target, &handshake, legs).await?;
            // One after the other, so that each knows whose greetings it must swallow.
            let turn = replays.turn().await;
            Ok((leg, turn))
        });
        self.node = NodeSide::Opening(AbortOnDropHandle::new(task));
    }

    pub(super) async fn attach_node(&mut self, opened: Reached) -> Result<(), End> {
        let (leg, turn) = match opened {
            Ok(opened) => opened,
            Err(NoLeg::Refused(response)) => {
                debug!(socket = %self.socket, status = %response.status(), "node refuses a client again");
                return Err(End::Drop);
            }
            Err(NoLeg::Crowded | NoLeg::Stopping) => return Err(End::GoAway),
            Err(NoLeg::Away(error)) => {
                debug!(socket = %self.socket, error = format_sources(&error), "node is still away");
                let delay = self.retry_delay;
                self.retry_delay = (delay * 2).min(LAST_RETRY);
                self.node = NodeSide::Waiting(Instant::now() + delay);
                self.answer_without_node().await;
                return Ok(());
            }
        };
        self.away_since = None;
        self.waiting = None;
        self.retry_delay = FIRST_RETRY;
        let mut leg = Box::new(leg);
        let snapshot = self.snapshot();
        self.greetings = Greetings::since(&self.replays);
        for index in 0..self.namespaces.len() {
            let needed = self.needs_node(&snapshot, &self.namespaces[index].name);
            let namespace = &mut self.namespaces[index];
            if !needed {
                continue;
            }
            namespace.node = if namespace.answered {
                self.replays.begin(&turn);
                Part::Replayed
            } else {
                Part::Asked
            };
            let text = with_payload(b'0', &namespace.name, &namespace.auth_again());
            leg.send(&Message::Text(text));
        }
        self.node = NodeSide::Open(leg);
        let replays = |namespace: &Namespace| namespace.node == Part::Replayed;
        if self.namespaces.iter().any(replays) {
            self.turn = Some(turn);
        } else {
            self.member.settle();
        }
        Ok(())
    }

    /// Clients that native can answer need not wait for Node.
    pub(super) async fn answer_without_node(&mut self) {
        let snapshot = self.snapshot();
        for index in 0..self.namespaces.len() {
            let namespace = &self.namespaces[index];
            let waits = !namespace.answered && namespace.native == Part::Absent;
            if waits && self.uses_native(&snapshot, &namespace.name) {
                self.join_native(index, false).await;
            }
        }
    }

    /// A flip: sides that are needed from now on are attached, none is closed.
    pub(super) async fn follow_table(&mut self) -> Result<(), End> {
        let snapshot = self.snapshot();
        self.member.see(snapshot.table.generation());
        let mut needs_node = false;
        for index in 0..self.namespaces.len() {
            let name = self.namespaces[index].name.clone();
            if self.namespaces[index].native == Part::Absent
                && self.namespaces[index].answered
                && self.uses_native(&snapshot, &name)
            {
                self.join_native(index, true).await;
            }
            if self.needs_node(&snapshot, &name) && self.namespaces[index].node == Part::Absent {
                needs_node = true;
                if let NodeSide::Open(leg) = &mut self.node {
                    if self.turn.is_none() {
                        self.turn = Some(self.replays.turn().await);
                    }
                    if let Some(turn) = &self.turn {
                        self.replays.begin(turn);
                    }
                    let namespace = &mut self.namespaces[index];
                    namespace.node = Part::Replayed;
                    let text = with_payload(b'0', &namespace.name, &namespace.auth_again());
                    leg.send(&Message::Text(text));
                }
            }
        }
        if needs_node {
            self.member.unsettle();
            self.reach_node(&snapshot);
            return Ok(());
        }
        if let NodeSide::Waiting(_) | NodeSide::Opening(_) = &self.node {
            // A Node that nothing needs is not retried.
            self.node = NodeSide::Absent;
            self.away_since = None;
        }
        let pending = |namespace: &Namespace| namespace.node == Part::Replayed;
        if !self.namespaces.iter().any(pending) {
            self.member.settle();
        }
        Ok(())
    }

    pub(super) fn overdue(&mut self) -> Result<(), End> {
        let now = Instant::now();
        while let Some((held, begun)) = self.holding.overdue(now) {
            let rule = Arc::clone(&held.order.rule);
            let index = self.position(held.order.unit.packet.namespace());
            let index = index.filter(|_| !begun && held.order.node_may_answer);
            let unit = held.order.unit.clone();
            held.judge(true);
            match index {
                // Native has not so much as seen it.
                Some(index) => {
                    rule.metrics.fell_back("timeout");
                    self.tell_node(index, unit, &rule)?;
                }
                None => rule.metrics.unanswered("timeout"),
            }
        }
        if self.turn.as_ref().is_some_and(|turn| turn.until <= now) {
            self.turn = None;
        }
        if self.settle_by.is_some_and(|by| by <= now) {
            self.waits_no_more = true;
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
        if let NodeSide::Waiting(until) = &self.node
            && *until <= now
        {
            let snapshot = self.snapshot();
            self.reach_node(&snapshot);
        }
        Ok(())
    }
}
