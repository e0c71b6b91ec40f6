//! The leg to Node's own Socket.IO server: opened before the client gets an answer, and opened again when it is lost.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use prometheus::IntGauge;

use crate::bridge::engineio::Limits;
use crate::bridge::handshake::Handshake;
use crate::bridge::leg::Leg;
use crate::bridge::rewind::Rewind;
use crate::upstream::Target;
use crate::upstream::connect::NodeStream;
use crate::upstream::forward::ForwardError;
use crate::upstream::websocket::{Opened, open_websocket};

/// The leg to Node.
pub(crate) type NodeLeg = Leg<Rewind<NodeStream>>;

/// A leg that Node has accepted.
pub(crate) struct NodeHello {
    pub(crate) leg: NodeLeg,
    /// Node's id of the connection, which becomes the client's.
    pub(crate) sid: String,
    pub(crate) limits: Limits,
    /// What else Node said with its 101: cookies, CORS, headers of middleware.
    pub(crate) headers: HeaderMap,
}

/// Why there is no leg.
#[derive(Debug)]
pub(crate) enum NoLeg {
    /// Node refused the client.
    Refused(Box<Response<Bytes>>),
    /// Node is away, or not what it should be.
    Away(ForwardError),
    /// Too many clients wait for Node already.
    Crowded,
    /// The proxy stops.
    Stopping,
}

/// Opens a WebSocket; what came right behind the 101, and the headers of it, come with the stream.
pub(crate) async fn open_stream(
    target: &Arc<Target>,
    request: Request<()>,
) -> Result<(NodeStream, Bytes, HeaderMap), NoLeg> {
    match open_websocket(target, request).await.map_err(NoLeg::Away)? {
        Opened::Open(stream, first, headers) => Ok((stream, first, headers)),
        Opened::Refused(response) => Err(NoLeg::Refused(Box::new(response))),
    }
}

/// Opens a leg as the client of `handshake`.
pub(crate) async fn open(
    target: &Arc<Target>,
    handshake: &Handshake,
    legs: IntGauge,
) -> Result<NodeHello, NoLeg> {
    let (stream, first, headers) = open_stream(target, handshake.engine_request()).await?;
    let leg = Leg::open(Rewind::new(first, stream), legs);
    let opened = tokio::time::timeout(target.settings.response_timeout, leg).await;
    let (leg, sid, limits) = opened
        .map_err(|_| NoLeg::Away(ForwardError::Timeout))?
        .map_err(|_| NoLeg::Away(ForwardError::WrongUpgrade))?;
    Ok(NodeHello {
        leg,
        sid,
        limits,
        headers,
    })
}
