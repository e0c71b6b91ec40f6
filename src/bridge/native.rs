//! The legs to the native side, over a pipe in this process: for Socket.IO a WebSocket into socketioxide's own service,
//! for a tagged WebSocket an ordinary upgrade at the application's own router.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use http::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prometheus::IntGauge;
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::Handle;
use tower::ServiceExt;
use tracing::debug;

use crate::bridge::handshake::Handshake;
use crate::bridge::leg::{Leg, LegEnd};
use crate::bridge::node::Template;
use crate::native::ClientInfo;
use crate::native::events::ticket::Tickets;
use crate::native::events::{EventService, attach, leg_request};
use crate::upstream::websocket::{Opened, shake_hands};

/// Bytes that wait in the pipe in each direction; it takes memory only for what waits.
const PIPE: usize = 64 * 1024;

/// The leg to native.
pub(crate) type NativeLeg = Leg<DuplexStream>;

/// Opens a Socket.IO leg for the client of `handshake`, whose handlers run on `runtime`. Nobody waits for socketioxide's
/// open packet, which says nothing new: that thread may be busy, and the pipe holds what is written to it.
pub(crate) fn open(
    service: &EventService,
    runtime: &Handle,
    handshake: &Handshake,
    tickets: &Arc<Tickets>,
    legs: IntGauge,
) -> Result<NativeLeg, LegEnd> {
    let (near, far) = duplex(PIPE);
    let client = ClientInfo::at(handshake.address);
    let request = leg_request(
        &handshake.uri,
        &handshake.headers,
        client,
        Arc::clone(tickets),
    );
    // socketioxide spawns its tasks where it is called.
    let _entered = runtime.enter();
    attach(service, far, request).map_err(|error| {
        debug!(%error, "native takes no leg");
        LegEnd::Lost
    })?;
    Ok(Leg::new(near, legs))
}

/// Native's refusal of a WebSocket; `None` where it did not answer at all.
pub(crate) type Refused = Option<Box<Response<Bytes>>>;

/// Opens a WebSocket at the application's router for the client of `handshake`; the application serves it on `runtime`.
pub(crate) async fn open_stream(
    router: &Router,
    runtime: &Handle,
    handshake: &Handshake,
) -> Result<(DuplexStream, Bytes, Template), Refused> {
    let (near, far) = duplex(PIPE);
    let router = router.clone();
    let client = ClientInfo::at(handshake.address);
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(client.clone());
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    runtime.spawn(async move {
        let connection = http1::Builder::new().serve_connection(TokioIo::new(far), service);
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "a native websocket did not open");
        }
    });
    match shake_hands(near, handshake.websocket_request()).await {
        Ok(Opened::Open(stream, first, switched)) => {
            let template = Template {
                headers: switched.into_parts().0.headers,
                ..Template::default()
            };
            Ok((stream, first, template))
        }
        Ok(Opened::Refused(response)) => Err(Some(Box::new(response))),
        Err(_) => Err(None),
    }
}
