//! The bridge's end of a leg, for tests: a WebSocket over a duplex into socketioxide, Engine.IO on it, tickets and
//! outcomes.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use crate::native::events::ticket::{Outcome, Ticket, Tickets};
use crate::native::events::{EventService, RawEvent, attach, leg_request};
use crate::native::{ClientInfo, NativeApp};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 18, 21, 102));

/// The bridge's end of a leg.
pub(crate) struct Leg {
    pub(super) socket: WebSocketStream<DuplexStream>,
    pub(crate) tickets: Arc<Tickets>,
    pub(super) outcomes: mpsc::UnboundedReceiver<(u64, Outcome)>,
    next: u64,
}

impl Leg {
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

    pub(crate) async fn connect(&mut self, namespace: &str) {
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

    /// Writes an event as the bridge does, ticket first.
    pub(crate) async fn event(
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

    pub(crate) async fn text(&mut self) -> String {
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

pub(crate) fn service(app: NativeApp) -> EventService {
    app.into_parts().1.unwrap()
}
