//! Namespaces that clients join without anybody who could refuse them.

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::{EventClaim, SocketKind, SocketMode};
use crate::routing::NativeSide;
use crate::routing::table::Table;

/// A namespace whose events are all native does not need Node, so Node refuses nobody there. Warns if the application
/// has no `on_connect` for it either.
pub(super) fn unguarded(
    table: &Table,
    native: Option<NativeSide<'_>>,
    found: &mut Vec<Diagnostic>,
) {
    let guarded = native.map_or(&[][..], |native| native.connects);
    for (index, socket) in table.config().sockets.iter().enumerate() {
        if socket.kind != SocketKind::SocketIo || socket.mode != SocketMode::Bridge {
            continue;
        }
        for namespace in table.namespaces(index) {
            if guarded.iter().any(|guarded| guarded == namespace)
                || table.needs_node(index, namespace)
            {
                continue;
            }
            let mut claims = table.rules().iter().flat_map(|rule| &rule.events);
            let claim = claims.find(|claim| {
                claim.socket == socket.id && claim.namespace == namespace && claim.name.is_none()
            });
            let Some(claim) = claim.filter(|claim| is_served(table, index, claim)) else {
                // Nobody can join a namespace that native does not have.
                continue;
            };
            let message = format!("native lets every client into `{namespace}`");
            found.push(
                Diagnostic::warning(Code::Unguarded, message)
                    .at(claim.span.clone())
                    .label("all of its events are native, so Node is not asked")
                    .help("authenticate clients in `NativeApp::on_connect`, or leave an event to Node"),
            );
        }
    }
}

fn is_served(table: &Table, socket: usize, claim: &EventClaim) -> bool {
    let namespace = table.events().namespace(socket, &claim.namespace);
    namespace.is_some_and(|namespace| namespace.served().has_some(claim))
}
