//! What Node says.

use super::{Bridge, End};
use crate::bridge::engineio::Message;
use crate::bridge::leg::LegEnd;
use crate::bridge::namespace::{Joined, Part, Recovery, last_text};
use crate::bridge::packet::{Kind, Malformed, bare};
use crate::bridge::unit::Unit;
use crate::routing::LazyArgument;

impl Bridge {
    pub(super) fn hear_node(&mut self, message: Message) -> Result<(), End> {
        let unit = match self.from_node.push(message) {
            Ok(None) => return Ok(()),
            Ok(Some(unit)) => unit,
            Err(Malformed) => return self.lose_node(LegEnd::Lost),
        };
        let Some(index) = self.position(unit.packet.namespace()) else {
            // Of a namespace that the client has left meanwhile.
            return Ok(());
        };
        match unit.packet.kind {
            Kind::Connect => self.node_joined(index, &unit),
            Kind::ConnectError => {
                let namespace = self.namespaces.swap_remove(index);
                if namespace.is_counted {
                    self.replays.undo(&namespace.name);
                }
                // A client that is in already hears that it is out.
                let text = match namespace.answered {
                    true => bare(b'1', &namespace.name),
                    false => unit.packet.text.clone(),
                };
                self.leave_native(&namespace);
                self.session.send(Message::Text(text));
                self.legs_answered();
                Ok(())
            }
            Kind::Disconnect => {
                let namespace = self.namespaces.swap_remove(index);
                self.leave_native(&namespace);
                self.session.send(Message::Text(unit.packet.text));
                Ok(())
            }
            Kind::Event => {
                self.last_of_node = unit.size();
                let namespace = &mut self.namespaces[index];
                if let Some(recovery) = &mut namespace.recovery
                    && unit.packet.id().is_none()
                    && let Some(offset) = last_text(unit.packet.arguments())
                {
                    recovery.offset = Some(offset);
                }
                if self.is_repeated_greeting(index, &unit) {
                    return Ok(());
                }
                unit.messages()
                    .for_each(|message| self.session.send(message));
                Ok(())
            }
            Kind::Ack => {
                if let Some(id) = unit.packet.id() {
                    self.asked.answered(id);
                }
                unit.messages()
                    .for_each(|message| self.session.send(message));
                Ok(())
            }
        }
    }

    /// Node has answered CONNECT.
    pub(super) fn node_joined(&mut self, index: usize, unit: &Unit) -> Result<(), End> {
        let joined: Joined = serde_json::from_str(unit.packet.payload()).unwrap_or_default();
        self.accepted_by_node = true;
        let namespace = &mut self.namespaces[index];
        // Node hears again of who is in already, by a replay or by native's word.
        let swallowed = namespace.answered;
        namespace.node_id = Some(joined.sid);
        namespace.node = Part::Joined;
        namespace.recovery = joined.pid.map(|pid| {
            let offset = namespace
                .recovery
                .take()
                .and_then(|recovery| recovery.offset);
            Box::new(Recovery { pid, offset })
        });
        namespace.is_counted = false;
        if !swallowed {
            namespace.answered = true;
            self.session.send(Message::Text(unit.packet.text.clone()));
        }
        self.legs_answered();
        let snapshot = self.snapshot();
        let name = self.namespaces[index].name.clone();
        if self.namespaces[index].native == Part::Absent && self.uses_native(&snapshot, &name) {
            return self.join_native(index, swallowed);
        }
        Ok(())
    }

    /// Whether Node greets because a leg was attached again, of which the clients know nothing.
    fn is_repeated_greeting(&mut self, index: usize, unit: &Unit) -> bool {
        if !self.is_once(unit) {
            return false;
        }
        let namespace = &mut self.namespaces[index];
        namespace.greetings.swallow(&self.replays, &namespace.name)
    }

    pub(super) fn is_once(&self, unit: &Unit) -> bool {
        let snapshot = self.snapshot();
        let Some(socket) = self.socket_of(&snapshot) else {
            return false;
        };
        let Some(name) = unit.packet.name() else {
            return false;
        };
        let argument = LazyArgument::of_event(unit.packet.payload().as_bytes());
        snapshot
            .table
            .once(socket, unit.packet.namespace(), &name, &argument)
    }
}
