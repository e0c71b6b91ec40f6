//! Legs as they come and go: a side lost and reached again, a flip that needs another side, what takes too long.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::door::{NoNative, open_native, open_node};
use super::side::State;
use super::{End, NativeLeg, NodeLeg, Tagged};
use crate::bridge::node::NoLeg;
use crate::live::{Snapshot, format_sources};

impl Tagged {
    /// A flip: sides that are needed from now on are attached, none is closed. Native is attached before its first
    /// message, since it may have something to say to the client's other devices.
    pub(super) fn follow_table(&mut self) -> Result<(), End> {
        if self.closing.has_begun() {
            return Ok(());
        }
        let snapshot = self.snapshot();
        let needs_node = self.needs_node(&snapshot);
        // Where Node is needed, native gets to know only clients that Node has accepted.
        let is_for_native = (self.accepted || !needs_node) && self.uses_native(&snapshot);
        if is_for_native && !self.native.is_open() && !self.native.is_opening() {
            self.reach_native();
        }
        match &self.node.state {
            State::Absent if needs_node => self.reach_node(&snapshot),
            State::Opening(_) | State::Waiting(_) if !needs_node => {
                // A Node that nothing needs is not retried, and what waits for it is native's now.
                self.node.state = State::Absent;
                self.away_since = None;
                for order in self.node.take_waiting() {
                    self.pass_on(order.message)?;
                }
            }
            _ => {}
        }
        if !self.accepted && !needs_node {
            return self.accept();
        }
        Ok(())
    }

    // Node.

    /// Begins to open a leg.
    pub(super) fn reach_node(&mut self, snapshot: &Arc<Snapshot>) {
        self.away_since.get_or_insert_with(Instant::now);
        let (surroundings, snapshot) = (Arc::clone(&self.surroundings), Arc::clone(snapshot));
        let handshake = Arc::clone(&self.handshake);
        let task = tokio::spawn(async move {
            let (leg, _) = open_node(&surroundings, &snapshot, &handshake).await?;
            Ok(leg)
        });
        self.node.state = State::Opening(AbortOnDropHandle::new(task));
    }

    pub(super) fn attach_node(
        &mut self,
        opened: Option<Result<NodeLeg, NoLeg>>,
    ) -> Result<(), End> {
        match opened {
            Some(Ok(leg)) => {
                self.away_since = None;
                self.accepted_by_node = true;
                self.node.open(leg);
                self.accept()?;
                self.follow_table()
            }
            // The client reconnects by itself, and hears Node's answer then.
            Some(Err(NoLeg::Refused(answer))) => {
                debug!(socket = %self.socket, status = %answer.status(), "node refuses a client");
                Err(End::Drop)
            }
            Some(Err(NoLeg::NoPlace(no_place))) => {
                debug!(socket = %self.socket, ?no_place, "no connection to node is free");
                self.node.retry_later();
                Ok(())
            }
            Some(Err(NoLeg::Away(error))) => {
                debug!(socket = %self.socket, error = format_sources(&error), "no leg to node");
                self.surroundings.live.node.suspect();
                let is_away = self.accepted_by_node && error.is_without_answer();
                if !is_away && !error.is_refused_port() {
                    // Node may have refused the client in this way.
                    return Err(End::Drop);
                }
                self.node.retry_later();
                Ok(())
            }
            Some(Err(NoLeg::Crowded | NoLeg::Stopping)) | None => Err(End::Drop),
        }
    }

    /// The leg broke off.
    pub(super) fn lose_node(&mut self) -> Result<(), End> {
        self.node.state = State::Absent;
        if self.closing.has_begun() {
            return self.side_lost_while_closing();
        }
        let snapshot = self.snapshot();
        if !self.needs_node(&snapshot) {
            debug!(socket = %self.socket, "node left, which nothing needs");
            return Ok(());
        }
        if !self.resumes(&snapshot) {
            self.surroundings.live.node.suspect();
            return Err(End::Drop);
        }
        self.resume(&snapshot);
        Ok(())
    }

    /// Whether the client stays while Node is away.
    pub(super) fn resumes(&self, snapshot: &Snapshot) -> bool {
        self.socket_of(snapshot).is_some_and(|socket| {
            snapshot.table.config().sockets[socket]
                .node_loss
                .keeps_clients()
        })
    }

    /// Waits for a Node that has left.
    pub(super) fn resume(&mut self, snapshot: &Arc<Snapshot>) {
        self.surroundings.lost_node(&self.socket);
        self.away_since.get_or_insert_with(Instant::now);
        // Not at once: a Node that accepts clients and drops them would be asked without end.
        self.node.retry_later();
        debug!(socket = %self.socket, generation = snapshot.table.generation(), "a client waits for node");
    }

    // Native.

    /// Begins to open a leg. What is said to native meanwhile waits.
    pub(super) fn reach_native(&mut self) {
        let (surroundings, handshake) =
            (Arc::clone(&self.surroundings), Arc::clone(&self.handshake));
        let socket = self.socket.clone();
        let task = tokio::spawn(async move {
            let (leg, _) = open_native(&surroundings, &socket, &handshake).await?;
            Ok(leg)
        });
        self.native.state = State::Opening(AbortOnDropHandle::new(task));
        self.native_was_told = false;
    }

    pub(super) fn attach_native(
        &mut self,
        opened: Option<Result<NativeLeg, NoNative>>,
    ) -> Result<(), End> {
        match opened {
            Some(Ok(leg)) => {
                self.native.open(leg);
                return self.mark_native();
            }
            Some(Err(NoNative::Refused(_))) => self.native.refused(),
            Some(Err(NoNative::Broke | NoNative::Timeout)) | None => self.native.retry_later(),
        }
        // Native never saw it.
        self.trial = None;
        for order in self.native.take_waiting() {
            self.fall_back(order, "no-leg")?;
        }
        self.mark_native()?;
        self.need_a_side()
    }

    /// The leg broke off.
    pub(super) fn lose_native(&mut self) -> Result<(), End> {
        let trial = self.trial.take();
        if self.closing.has_begun() {
            self.native.state = State::Absent;
            return self.side_lost_while_closing();
        }
        if let Some(trial) = trial {
            trial.rule().unanswered("panic");
            trial.end(true);
        }
        let answer = "the leg to native ended";
        self.surroundings
            .native_took(&self.socket, "dropped", answer);
        self.native.retry_later();
        self.need_a_side()
    }

    /// Native accepted the client, and did not want it after all.
    pub(super) fn native_declines(&mut self) -> Result<(), End> {
        if self.closing.has_begun() {
            return self.lose_native();
        }
        let closed = "it closed the connection";
        self.surroundings
            .native_took(&self.socket, "dropped", closed);
        self.native.refused();
        self.need_a_side()
    }

    /// A client to whom nobody listens, nor will, is sent away.
    fn need_a_side(&self) -> Result<(), End> {
        if self.node.is_absent() {
            return Err(End::Drop);
        }
        Ok(())
    }

    // Time.

    pub(super) fn overdue(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.closing.deadline().is_some_and(|until| until <= now) {
            return self.closing_overdue();
        }
        if self
            .away_since
            .is_some_and(|since| since + self.resume_timeout() <= now)
        {
            self.count_refused("node-away");
            return Err(End::Drop);
        }
        let snapshot = self.snapshot();
        if self.node.retry().is_some_and(|at| at <= now) {
            self.reach_node(&snapshot);
        }
        if self.native.retry().is_some_and(|at| at <= now) {
            if self.uses_native(&snapshot) {
                self.reach_native();
            } else {
                self.native.state = State::Absent;
            }
        }
        Ok(())
    }
}
