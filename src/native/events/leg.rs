//! The bridge's end of a leg, for tests: a WebSocket over a duplex into socketioxide, Engine.IO on it, tickets and
//! outcomes. `strangler::testing` shows it to applications.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use crate::native::events::ticket::{Attached, Outcome, Ticket, Tickets};
use crate::native::events::{EventService, RawEvent, attach, leg_request};
use crate::native::{ClientInfo, NativeApp};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 18, 21, 102));

/// The events of an application, served as behind the proxy.
///
/// ```
/// use strangler::NativeApp;
/// use strangler::testing::{EventServer, Outcome};
/// use socketioxide::extract::{Data, SocketRef};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let app = NativeApp::new().on_event("/", "double", async |socket: SocketRef, Data(n): Data<u32>| {
///     socket.emit("doubled", &(2 * n)).ok();
/// });
/// let server = EventServer::new(app);
/// let mut client = server.connected(&["/"]).await;
/// assert_eq!(client.event("/", r#"["double",21]"#).await, Outcome::Done);
/// assert_eq!(client.text().await, r#"42["doubled",42]"#);
/// assert_eq!(client.event("/", r#"["double","21"]"#).await, Outcome::Declined);
/// # }
/// ```
pub struct EventServer(EventService);

impl EventServer {
    /// # Panics
    /// For an application without events.
    #[must_use]
    pub fn new(app: NativeApp) -> Self {
        Self(app.into_parts().1.expect("the application has events"))
    }

    /// A client in no namespace.
    pub async fn open(&self) -> EventLeg {
        EventLeg::open(&self.0).await
    }

    /// A client in these namespaces.
    pub async fn connected(&self, namespaces: &[&str]) -> EventLeg {
        EventLeg::connected(&self.0, namespaces).await
    }
}

/// A client of an [`EventServer`]: packets go in as the bridge writes them, and what handlers emit comes out. A method
/// panics where the application does not go along.
pub struct EventLeg {
    pub(super) socket: WebSocketStream<DuplexStream>,
    pub(crate) tickets: Arc<Tickets>,
    pub(super) outcomes: mpsc::UnboundedReceiver<(u64, Outcome)>,
    next: u64,
}

impl EventLeg {
    /// Opened, but in no namespace.
    pub(crate) async fn open(service: &EventService) -> Self {
        let (sender, outcomes) = mpsc::unbounded();
        let tickets = Arc::new(Tickets::new(sender));
        let (handshake, ()) =
            Request::get("/socket.io/?EIO=3&transport=polling&t=abc&sid=unknown&token=secret")
                .header("user-agent", "reader")
                .body(())
                .unwrap()
                .into_parts();
        let request = leg_request(
            &handshake.uri,
            &handshake.headers,
            ClientInfo::at(ADDRESS),
            Arc::clone(&tickets),
        );
        let mut leg = Self::over(service, request, tickets, outcomes).await;
        assert!(leg.text().await.starts_with("0{\"sid\":"));
        assert_eq!(leg.text().await, "2");
        leg
    }

    pub(super) async fn over(
        service: &EventService,
        request: Request<()>,
        tickets: Arc<Tickets>,
        outcomes: mpsc::UnboundedReceiver<(u64, Outcome)>,
    ) -> Self {
        let (ours, theirs) = tokio::io::duplex(4096);
        attach(service, theirs, request).unwrap();
        Self {
            socket: WebSocketStream::from_raw_socket(ours, Role::Client, None).await,
            tickets,
            outcomes,
            next: 0,
        }
    }

    /// Opened and connected to these namespaces.
    pub(crate) async fn connected(service: &EventService, namespaces: &[&str]) -> Self {
        let mut leg = Self::open(service).await;
        for namespace in namespaces {
            leg.connect(namespace).await;
        }
        leg
    }

    /// Says that the client was in the namespace before native was attached to it. Comes before `connect`.
    pub fn was_there_before(&mut self, namespace: &str) {
        let attached = Attached {
            node_id: None,
            replayed: true,
        };
        self.tickets.attach(namespace, attached);
    }

    /// Enters a namespace.
    pub async fn connect(&mut self, namespace: &str) {
        self.write(format!("40{}", prefix(namespace))).await;
        let reply = self.text().await;
        let expected = format!("40{}{{\"sid\":", prefix(namespace));
        assert!(reply.starts_with(&expected), "{reply}");
    }

    pub(crate) async fn write(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn attachment(&mut self, bytes: &'static [u8]) {
        let bytes = Message::Binary(Bytes::from_static(bytes));
        self.socket.send(bytes).await.unwrap();
    }

    /// Sends an event, such as `["message",{"id":1}]`, and waits for its outcome.
    pub async fn event(&mut self, namespace: &str, arguments: &str) -> Outcome {
        self.event_with(namespace, arguments, &[]).await
    }

    /// The same with attachments, for which `arguments` has placeholders.
    pub async fn event_with(
        &mut self,
        namespace: &str,
        arguments: &str,
        attachments: &[&'static [u8]],
    ) -> Outcome {
        let name: serde_json::Value = serde_json::from_str(arguments).expect("a JSON array");
        let name = name[0].as_str().expect("an event has a name");
        let bytes = attachments.iter().map(|bytes| Bytes::from_static(bytes));
        let id = self.ticket(namespace, name, arguments, bytes.collect());
        let kind = match attachments.len() {
            0 => "42".to_owned(),
            count => format!("45{count}-"),
        };
        self.write(format!("{kind}{}{arguments}", prefix(namespace)))
            .await;
        for bytes in attachments {
            self.attachment(bytes).await;
        }
        loop {
            let (of, outcome) = self.outcome().await;
            if of == id {
                return outcome;
            }
        }
    }

    /// Writes an event as the bridge does, ticket first.
    #[cfg(test)]
    pub(crate) async fn start_event(
        &mut self,
        namespace: &str,
        name: &str,
        ack: &str,
        arguments: &str,
    ) -> u64 {
        let id = self.ticket(namespace, name, arguments, Vec::new());
        let head = format!("42{}{ack}", prefix(namespace));
        self.write(format!("{head}{arguments}")).await;
        id
    }

    pub(crate) fn ticket(
        &mut self,
        namespace: &str,
        name: &str,
        arguments: &str,
        attachments: Vec<Bytes>,
    ) -> u64 {
        self.next += 1;
        self.tickets.push(Ticket {
            id: self.next,
            namespace: namespace.into(),
            name: name.into(),
            packet: RawEvent {
                arguments: Bytes::copy_from_slice(arguments.as_bytes()),
                attachments,
            },
        });
        self.next
    }

    /// The next text that a handler sends.
    pub async fn text(&mut self) -> String {
        let message = self.message().await;
        message.into_text().unwrap().to_string()
    }

    pub(super) async fn message(&mut self) -> Message {
        self.socket.next().await.unwrap().unwrap()
    }

    pub(crate) async fn outcome(&mut self) -> (u64, Outcome) {
        self.outcomes.recv().await.unwrap()
    }
}

fn prefix(namespace: &str) -> String {
    match namespace {
        "/" => String::new(),
        other => format!("{other},"),
    }
}
