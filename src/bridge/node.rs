//! The leg to Node's own Socket.IO server: opened before the client gets an answer, and opened again when it is lost.

use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response};
use prometheus::IntGauge;
use tokio::time::timeout;

use crate::bridge::engineio::Limits;
use crate::bridge::handshake::Handshake;
use crate::bridge::leg::{Leg, LegEnd};
use crate::bridge::rewind::Rewind;
use crate::budget::{Budget, NoPlace, NodePlace};
use crate::upstream::Target;
use crate::upstream::connect::NodeStream;
use crate::upstream::forward::ForwardError;
use crate::upstream::websocket::{Opened, open_websocket};

/// The leg to Node.
pub(crate) type NodeLeg = Leg<Rewind<NodeStream>>;

/// What Node said when it accepted a client, and says in each answer to it: headers, in Node's spelling, of
/// middleware, CORS and cookies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Template {
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
}

/// A session that Node has.
pub(crate) struct NodeSession {
    /// Node's id of the connection, which becomes the client's.
    pub(crate) sid: String,
    pub(crate) limits: Limits,
    pub(crate) template: Template,
    /// For the 101 of an upgrade.
    pub(crate) switched: Template,
}

/// Why there is no leg.
#[derive(Debug)]
pub(crate) enum NoLeg {
    /// Node refused the client.
    Refused(Box<Response<Bytes>>),
    /// Node is away, or not what it should be.
    Away(ForwardError),
    /// Too many connections to Node are in use.
    NoPlace(NoPlace),
    /// Too many clients wait for Node already.
    Crowded,
    /// The proxy stops.
    Stopping,
}

/// Opens a WebSocket; what came right behind the 101, and what else it said, come with the stream.
pub(crate) async fn open_stream(
    target: &Arc<Target>,
    request: Request<()>,
) -> Result<(NodeStream, Bytes, Template), NoLeg> {
    match open_websocket(target, request).await.map_err(NoLeg::Away)? {
        Opened::Open(stream, first, switched) => {
            let (parts, ()) = switched.into_parts();
            let template = Template {
                headers: parts.headers,
                extensions: parts.extensions,
            };
            Ok((stream, first, template))
        }
        Opened::Refused(response) => Err(NoLeg::Refused(Box::new(response))),
    }
}

/// Opens a session and its leg as the client of `handshake`.
pub(crate) async fn open(
    target: &Arc<Target>,
    handshake: &Handshake,
    budget: &Budget,
    legs: IntGauge,
) -> Result<(NodeLeg, NodeSession), NoLeg> {
    let place = place(budget, handshake)?;
    let request = handshake.engine_request(None);
    let (stream, first, template) = open_stream(target, request).await?;
    let (mut leg, packet) = in_time(target, Leg::open(Rewind::new(first, stream), legs)).await?;
    leg.keep(place);
    let session = NodeSession {
        limits: packet.limits(),
        sid: packet.sid,
        template,
        switched: Template::default(),
    };
    Ok((leg, session))
}

/// Opens the leg of a session that Node has already.
pub(crate) async fn upgrade(
    target: &Arc<Target>,
    handshake: &Handshake,
    session: &mut NodeSession,
    budget: &Budget,
    legs: IntGauge,
) -> Result<NodeLeg, NoLeg> {
    let place = place(budget, handshake)?;
    let request = handshake.engine_request(Some(&session.sid));
    let (stream, first, switched) = open_stream(target, request).await?;
    session.switched = switched;
    let mut leg = in_time(target, Leg::upgrade(Rewind::new(first, stream), legs)).await?;
    leg.keep(place);
    Ok(leg)
}

/// A place for the leg of this client.
pub(crate) fn place(budget: &Budget, handshake: &Handshake) -> Result<NodePlace, NoLeg> {
    let place = budget.ask_node(handshake.origin.as_ref());
    place.map_err(NoLeg::NoPlace)
}

async fn in_time<T>(
    target: &Target,
    opening: impl Future<Output = Result<T, LegEnd>>,
) -> Result<T, NoLeg> {
    let opened = timeout(target.settings.response_timeout, opening).await;
    opened
        .map_err(|_| NoLeg::Away(ForwardError::Timeout))?
        .map_err(|_| NoLeg::Away(ForwardError::WrongUpgrade))
}
