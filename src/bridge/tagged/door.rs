//! Who accepts a new client: Node where it is needed, else native. And how legs are opened, then and later.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio::time::timeout;
use tracing::debug;

use super::{MOST, NAMESPACE, NativeLeg, NodeLeg, side::Leg};
use crate::bridge::handshake::Handshake;
use crate::bridge::node::{self, NoLeg, Template};
use crate::bridge::rewind::Rewind;
use crate::bridge::websocket::{Role, WebSocket};
use crate::bridge::{Surroundings, Waiting, native};
use crate::config::NodeLoss;
use crate::live::{Snapshot, format_sources};

/// How long native may take to accept a client.
const NATIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no leg to native.
#[derive(Debug)]
pub(crate) enum NoNative {
    /// Native refused the client.
    Refused(Box<Response<Bytes>>),
    /// It broke off, as a handler that panics does.
    Broke,
    Timeout,
}

/// Why a client is not accepted.
#[derive(Debug)]
pub(crate) enum Denied {
    ByNode(NoLeg),
    ByNative(NoNative),
}

/// Who has accepted a client.
pub(crate) enum First {
    Node(NodeLeg),
    Native(NativeLeg),
    /// Node is needed, and its port refuses connections; the client waits. With `node_loss = "admit"`, native has
    /// accepted it.
    Later(Option<NativeLeg>, Waiting),
}

/// Asks the side that is needed first; what it says with its 101 is for the client.
///
/// # Errors
/// When it refuses the client, in whatever way, or the client may not wait for Node.
pub(crate) async fn accept(
    surroundings: &Surroundings,
    waiting: &Arc<AtomicUsize>,
    snapshot: &Snapshot,
    socket: usize,
    handshake: &Handshake,
) -> Result<(First, Template), Denied> {
    let settings = &snapshot.table.config().sockets[socket];
    if !snapshot.table.needs_node(socket, NAMESPACE) {
        let (leg, template) = open_native(surroundings, &settings.id, handshake)
            .await
            .map_err(Denied::ByNative)?;
        return Ok((First::Native(leg), template));
    }
    let error = match open_node(surroundings, snapshot, handshake).await {
        Ok((leg, template)) => return Ok((First::Node(leg), template)),
        Err(NoLeg::Away(error)) if error.is_refused_port() => error,
        // Any other failure may be Node's way to refuse this client.
        Err(error) => return Err(Denied::ByNode(error)),
    };
    let uses_native = snapshot.table.uses_native(socket, NAMESPACE);
    let admits = uses_native && settings.node_loss == NodeLoss::Admit;
    // Nobody but a server can choose a sub-protocol, and a client that offered some waits for that choice.
    let is_answerable = admits || !handshake.headers.contains_key(SEC_WEBSOCKET_PROTOCOL);
    if !settings.node_loss.keeps_clients() || !is_answerable {
        return Err(Denied::ByNode(NoLeg::Away(error)));
    }
    let Some(place) = Waiting::admit(waiting, settings.max_waiting) else {
        return Err(Denied::ByNode(NoLeg::Crowded));
    };
    debug!(socket = %settings.id, error = format_sources(&error), "a client waits for node");
    if !admits {
        return Ok((First::Later(None, place), Template::default()));
    }
    let (leg, template) = open_native(surroundings, &settings.id, handshake)
        .await
        .map_err(Denied::ByNative)?;
    Ok((First::Later(Some(leg), place), template))
}

/// A leg to Node as the client of `handshake`, and what Node says with its 101.
pub(super) async fn open_node(
    surroundings: &Surroundings,
    snapshot: &Snapshot,
    handshake: &Handshake,
) -> Result<(NodeLeg, Template), NoLeg> {
    let place = node::place(&surroundings.budget, handshake)?;
    let (stream, first, template) =
        node::open_stream(&snapshot.node, handshake.websocket_request()).await?;
    let socket = WebSocket::new(Rewind::new(first, stream), Role::Client, MOST);
    let legs = surroundings.metrics.legs.with_label_values(&["node"]);
    Ok((Leg::new(socket, legs, Some(place)), template))
}

/// A leg to native, and what native says with its 101.
pub(super) async fn open_native(
    surroundings: &Surroundings,
    socket: &str,
    handshake: &Handshake,
) -> Result<(NativeLeg, Template), NoNative> {
    let opened = try_native(surroundings, handshake).await;
    match &opened {
        Ok(_) => surroundings.native_took(socket, "accepted", ""),
        Err(NoNative::Refused(answer)) => {
            surroundings.native_took(socket, "refused", answer.status());
        }
        Err(NoNative::Broke) => surroundings.native_took(socket, "broken", "no answer"),
        Err(NoNative::Timeout) => surroundings.native_took(socket, "timeout", "no answer"),
    }
    opened
}

async fn try_native(
    surroundings: &Surroundings,
    handshake: &Handshake,
) -> Result<(NativeLeg, Template), NoNative> {
    let router = surroundings.router.as_ref().ok_or(NoNative::Broke)?;
    let opened = timeout(
        NATIVE_PATIENCE,
        native::open_stream(router, surroundings.handlers.next(), handshake),
    )
    .await;
    let (stream, first, template) = opened
        .map_err(|_| NoNative::Timeout)?
        .map_err(|refused| refused.map_or(NoNative::Broke, NoNative::Refused))?;
    let socket = WebSocket::new(Rewind::new(first, stream), Role::Client, MOST);
    let legs = surroundings.metrics.legs.with_label_values(&["native"]);
    Ok((Leg::new(socket, legs, None), template))
}
