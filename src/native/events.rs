//! Socket.IO events of a native application: ordinary socketioxide handlers, recorded when the application is built, so
//! that `check` knows their names before any socket connects.
//! `handler` says what a handler is, `registry` gives the recorded ones to each new socket, `extract` and
//! `attachments` add an extractor for the raw text, and `ticket` is how the bridge learns the way a handler ended.

pub(crate) mod attachments;
pub(crate) mod extract;
pub(crate) mod handler;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod leg;
mod registry;
pub(crate) mod ticket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{HeaderMap, Method, Request, Uri};
use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::ConnectHandler;
use socketioxide::service::SocketIoService;
use socketioxide::{ParserConfig, SocketIo, TransportType};
use tokio::io::{AsyncRead, AsyncWrite};

use self::extract::RawEvent;
use self::handler::{EventHandler, LeaveHandler};
pub(crate) use self::registry::Registry;
use self::ticket::Tickets;
use super::{ClientInfo, NativeApp};

/// The bridge sees a leg end, so nothing of the leg has to run out by itself.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What socketioxide's parser throws for, so that no handler would ever see it.
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// An event that a native application serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// As on the wire, `/` for the default one.
    pub namespace: &'static str,
    /// What clients emit.
    pub name: &'static str,
}

/// # Socket.IO events
///
/// Handlers are those of socketioxide, with its extractors, and with [`RawEvent`](crate::RawEvent) and [`ClientInfo`].
/// They are recorded here rather than with `SocketRef::on`, which works as well, but only a recorded name can be
/// claimed by a rule. Each side broadcasts to all clients, but knows only the rooms that it filled itself.
///
/// Handlers of one socket begin in the order in which its events arrived, and go on side by side, as in Node. They run
/// on one thread, which they share with those of some other sockets and with nothing else: a handler that computes for long
/// holds up these, and no message of Node. What waits for a database belongs into [`HttpRuntime::run`](crate::HttpRuntime).
///
/// ```
/// use serde_json::json;
/// use socketioxide::SocketIo;
/// use socketioxide::extract::{AckSender, Data, SocketRef};
/// use strangler::{Decline, HttpRuntime, NativeApp};
///
/// let database = HttpRuntime::current();
/// let app: NativeApp = NativeApp::new()
///     .on_connect("/", async |socket: SocketRef| {
///         socket.emit("hello", "from server").ok();
///     })
///     .on_event("/", "say", async |io: SocketIo, Data(text): Data<String>| {
///         io.emit("said", &text).await.ok();
///     })
///     .on_event("/admin", "count", async move |Data(of): Data<String>, ack: AckSender| {
///         if of != "clients" {
///             return Err(Decline);
///         }
///         let count = database.run(async { 3 }).await;
///         ack.send(&json!({ "count": count })).ok();
///         Ok(())
///     });
/// assert_eq!(app.events()[1].namespace, "/admin");
/// ```
impl<S> NativeApp<S> {
    /// Runs for each client that connects to `namespace`: a connect handler of socketioxide, middlewares included. Of
    /// several, all run, in the order of registration.
    ///
    /// # Panics
    /// When a client could not name the namespace.
    #[must_use]
    pub fn on_connect<H, T>(mut self, namespace: &'static str, handler: H) -> Self
    where
        H: ConnectHandler<LocalAdapter, T>,
        T: Send + Sync + 'static,
    {
        assert_namespace(namespace);
        self.registry.on_connect(namespace, handler);
        self
    }

    /// Serves the event `name` of `namespace`.
    ///
    /// A handler that answers [`Decline`](crate::Decline), which it may before any side effect, leaves the event to
    /// Node. So does an extractor that fails.
    ///
    /// # Panics
    /// When the event is served already, or when no packet could carry the name to a handler: those that Socket.IO
    /// reserves, and those that JSON writes with escapes, which socketioxide does not read.
    #[must_use]
    pub fn on_event<H: EventHandler<T>, T: 'static>(
        mut self,
        namespace: &'static str,
        name: &'static str,
        handler: H,
    ) -> Self {
        assert_namespace(namespace);
        assert!(!RESERVED.contains(&name), "`{name}` is reserved");
        assert!(
            !name.contains(|letter| matches!(letter, '"' | '\\' | '\0'..='\x1f')),
            "`{}` needs escapes in JSON",
            name.escape_debug()
        );
        let event = Event { namespace, name };
        assert!(
            !self.events().contains(&event),
            "`{name}` of `{namespace}` is served twice"
        );
        self.registry.on_event(event, handler);
        self
    }

    /// Runs for each client that leaves `namespace`, which it does for good when the last of these handlers has ended.
    ///
    /// # Panics
    /// When a client could not name the namespace.
    #[must_use]
    pub fn on_disconnect<H: LeaveHandler<T>, T: 'static>(
        mut self,
        namespace: &'static str,
        handler: H,
    ) -> Self {
        assert_namespace(namespace);
        self.registry.on_disconnect(namespace, handler);
        self
    }

    /// The events that it serves, in the order of registration.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.registry.events()
    }

    /// The namespaces in which a handler runs when a client connects.
    pub(crate) fn connects(&self) -> impl Iterator<Item = &'static str> {
        self.registry.connects()
    }
}

/// Commas end a namespace on the wire, and Node cuts it off at a question mark.
fn assert_namespace(namespace: &str) {
    assert!(
        namespace.starts_with('/') && !namespace.contains([',', '?']),
        "`{namespace}` is no namespace: it begins with `/` and has neither `,` nor `?`"
    );
}

/// socketioxide's server, for legs of the bridge: a service over `(stream, Request<()>)`.
pub(crate) type EventService = SocketIoService<()>;

impl NativeApp {
    /// The router, and the server of the events if there are any.
    pub(crate) fn into_parts(self) -> (Router, Option<EventService>) {
        if self.registry.is_empty() {
            return (self.router, None);
        }
        let parser = ParserConfig::common()
            .max_incoming_binaries(usize::MAX)
            .max_incoming_binary_buf_size(usize::MAX)
            .packet_completion_timeout(NEVER);
        // The bridge bounds messages before they come here, and drains a leg always, into a queue that it bounds: when
        // socketioxide's own queue is full, an emit is lost.
        let (service, io) = SocketIo::builder()
            .transports([TransportType::Websocket])
            .ping_interval(NEVER)
            .ping_timeout(NEVER)
            .connect_timeout(NEVER)
            .max_buffer_size(1 << 30)
            .max_payload(1 << 30)
            .ws_max_message_size(usize::MAX)
            .ws_max_frame_size(usize::MAX)
            .ws_read_buffer_size(READ_BUFFER)
            .with_parser(parser)
            .build_with_inner_svc(());
        self.registry.install(&io);
        (self.router, Some(service))
    }
}

/// Allocated for each leg when it is opened. With it a leg takes about 17 KB, and 3 KB more with socketioxide's default
/// of four times as much.
const READ_BUFFER: usize = 1024;

/// Opens a leg: socketioxide serves `stream`, whose other end belongs to the bridge, on the current runtime.
pub(crate) fn attach(
    service: &EventService,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<()>,
) -> Result<(), AttachError> {
    // The service is ready always and its future at once, and what it answers goes through the stream.
    hyper::service::Service::call(service, (stream, request))
        .into_inner()
        .map_err(|error| AttachError(format!("{error:?}")))
}

/// socketioxide does not take the request for the handshake of a WebSocket. One of [`leg_request`] is.
#[derive(Debug, thiserror::Error)]
#[error("the native side refuses a leg: {0}")]
pub(crate) struct AttachError(String);

/// The request that opens a leg: the client's own, as a WebSocket handshake without session, with what handlers may ask
/// for.
pub(crate) fn leg_request(
    uri: &Uri,
    headers: &HeaderMap,
    client: ClientInfo,
    tickets: Arc<Tickets>,
) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = leg_uri(uri);
    *request.headers_mut() = headers.clone();
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(tickets);
    request
}

/// Of several values socketioxide takes the first one.
fn leg_uri(uri: &Uri) -> Uri {
    let query = uri.query().unwrap_or_default();
    let kept = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("sid="));
    let mut target = format!("{}?EIO=4&transport=websocket", uri.path());
    for pair in kept {
        target.push('&');
        target.push_str(pair);
    }
    // A longer name of the transport may push it over what a URI can hold.
    target.parse().unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
pub(crate) mod tests;
