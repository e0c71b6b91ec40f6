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

/// Opens a Socket.IO leg for the client of `handshake`.
pub(crate) async fn open(
    service: &EventService,
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
    attach(service, far, request).map_err(|error| {
        debug!(%error, "native takes no leg");
        LegEnd::Lost
    })?;
    let (leg, _) = Leg::open(near, legs).await?;
    Ok(leg)
}

/// Native's refusal of a WebSocket; `None` where it did not answer at all.
pub(crate) type Refused = Option<Box<Response<Bytes>>>;

/// Opens a WebSocket at the application's router for the client of `handshake`.
pub(crate) async fn open_stream(
    router: &Router,
    handshake: &Handshake,
) -> Result<(DuplexStream, Bytes, Template), Refused> {
    let (near, far) = duplex(PIPE);
    let router = router.clone();
    let client = ClientInfo::at(handshake.address);
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(client.clone());
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    tokio::spawn(async move {
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
