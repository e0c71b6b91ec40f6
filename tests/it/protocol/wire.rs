//! One client that speaks Engine.IO by hand: requests on connections of their own, a WebSocket, and the packets in both.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::PATIENCE;
use crate::support::client::{Answer, Client, Stream, reach, request};

/// Where the cases are run.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) dialect: Dialect,
}

/// What the messages of Engine.IO say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A server that sends each message back.
    EngineIo,
    /// A Socket.IO server that answers `message` with `message-back`, once the client has connected to `/`.
    SocketIo,
}

impl Dialect {
    fn path(self) -> &'static str {
        match self {
            Self::EngineIo => "/engine.io/",
            Self::SocketIo => "/socket.io/",
        }
    }

    /// The packet that asks for an echo.
    pub(super) fn said(self, text: &str) -> String {
        match self {
            Self::EngineIo => format!("4{text}"),
            Self::SocketIo => format!("42[\"message\",\"{text}\"]"),
        }
    }

    /// The packet that is one.
    pub(super) fn echoed(self, text: &str) -> String {
        match self {
            Self::EngineIo => format!("4{text}"),
            Self::SocketIo => format!("42[\"message-back\",\"{text}\"]"),
        }
    }
}

impl Place {
    pub(super) fn at(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Self {
        Self {
            address,
            tls: tls.cloned(),
            dialect: Dialect::EngineIo,
        }
    }

    async fn stream(&self) -> Box<dyn Stream> {
        reach(self.address, self.tls.as_ref()).await
    }

    /// One request on a connection of its own.
    pub(super) async fn ask(&self, method: &str, query: &str, body: &str) -> Answer {
        let target = format!("{}?{query}", self.dialect.path());
        let mut client = Client::over(self.stream().await).await;
        let answer = client.send(request(method, &target, body.to_owned()));
        timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    /// A WebSocket, or why there is none.
    pub(super) async fn websocket(&self, query: &str) -> Result<Socket, Error> {
        let url = format!("ws://localhost{}?{query}", self.dialect.path());
        let opening = client_async(url.into_client_request()?, self.stream().await);
        let (stream, _) = timeout(PATIENCE, opening).await.unwrap()?;
        Ok(Socket(stream))
    }

    /// An open session over a WebSocket.
    pub(super) async fn opened(&self) -> Socket {
        let mut socket = self.websocket("EIO=4&transport=websocket").await.unwrap();
        assert!(socket.text().await.starts_with("0{"));
        socket
    }

    /// The same where messages can be sent.
    pub(super) async fn connected(&self) -> Socket {
        let mut socket = self.opened().await;
        if self.dialect == Dialect::SocketIo {
            socket.connect("").await;
        }
        socket
    }
}

/// A session over HTTP long-polling.
pub(super) struct Polling {
    pub(super) place: Place,
    pub(super) sid: String,
}

impl Polling {
    pub(super) async fn open(place: &Place) -> Self {
        let answer = place.ask("GET", "EIO=4&transport=polling", "").await;
        assert_eq!(answer.status, 200);
        let text = answer.text();
        let open: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
        Self {
            place: place.clone(),
            sid: open["sid"].as_str().unwrap().to_owned(),
        }
    }

    /// The same where messages can be sent.
    pub(super) async fn connected(place: &Place) -> Self {
        let session = Self::open(place).await;
        if place.dialect == Dialect::SocketIo {
            session.post("40").await;
            let packets = session.packets(2).await;
            assert!(packets[0].starts_with("40{\"sid\":\""), "{packets:?}");
            assert_eq!(packets[1], "42[\"auth\",{}]");
        }
        session
    }

    pub(super) fn query(&self, transport: &str) -> String {
        format!("EIO=4&transport={transport}&sid={}", self.sid)
    }

    pub(super) async fn poll(&self) -> Answer {
        self.place.ask("GET", &self.query("polling"), "").await
    }

    /// Sends a payload, which is taken.
    pub(super) async fn post(&self, payload: &str) {
        let query = self.query("polling");
        let answer = self.place.ask("POST", &query, payload).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (200, "ok")
        );
    }

    /// The next packets, in as many polls as the server likes. Pings are answered.
    pub(super) async fn packets(&self, count: usize) -> Vec<String> {
        let mut packets = Vec::new();
        while packets.len() < count {
            let answer = self.poll().await;
            assert_eq!(answer.status, 200, "{packets:?}");
            for packet in answer.text().split('\x1e') {
                match packet {
                    "2" => self.post("3").await,
                    packet => packets.push(packet.to_owned()),
                }
            }
        }
        packets
    }

    /// The session is over: the server does not know it.
    pub(super) async fn is_gone(&self) {
        let answer = self.poll().await;
        assert_eq!(answer.status, 400);
    }
}

/// A session over a WebSocket.
pub(super) struct Socket(WebSocketStream<Box<dyn Stream>>);

impl Socket {
    pub(super) async fn send(&mut self, text: &str) {
        self.frame(Message::text(text)).await;
    }

    pub(super) async fn send_binary(&mut self, data: &[u8]) {
        self.frame(Message::binary(data.to_vec())).await;
    }

    async fn frame(&mut self, message: Message) {
        let sent = timeout(PATIENCE, self.0.send(message)).await;
        sent.unwrap().unwrap();
    }

    /// The next packet, pings of the heartbeat included. `None` when the server has closed.
    pub(super) async fn packet(&mut self) -> Option<Message> {
        match timeout(PATIENCE, self.0.next()).await.unwrap()? {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => Some(message),
            Ok(Message::Close(_)) | Err(_) => None,
            Ok(other) => panic!("{other:?}"),
        }
    }

    /// The next packet but pings, which are answered.
    async fn message(&mut self) -> Option<Message> {
        loop {
            match self.packet().await {
                Some(Message::Text(text)) if text.as_str() == "2" => self.send("3").await,
                other => return other,
            }
        }
    }

    pub(super) async fn text(&mut self) -> String {
        match self.message().await.unwrap() {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?} is no text"),
        }
    }

    pub(super) async fn binary(&mut self) -> Bytes {
        match self.message().await.unwrap() {
            Message::Binary(data) => data,
            other => panic!("{other:?} is not binary"),
        }
    }

    /// The server closes, and says nothing before.
    pub(super) async fn is_closed(&mut self) {
        if let Some(message) = self.message().await {
            panic!("{message:?} instead of an end");
        }
    }

    /// Connects to a namespace, `/custom,` or nothing for the main one, and returns the id there.
    pub(super) async fn connect(&mut self, namespace: &str) -> String {
        self.send(&format!("40{namespace}")).await;
        let sid = self.accepted(namespace).await;
        assert_eq!(self.text().await, format!("42{namespace}[\"auth\",{{}}]"));
        sid
    }

    /// The answer to CONNECT.
    pub(super) async fn accepted(&mut self, namespace: &str) -> String {
        let text = self.text().await;
        let data = text.strip_prefix(&format!("40{namespace}"));
        let data = data.unwrap_or_else(|| panic!("{text}"));
        let data: serde_json::Map<String, Value> = serde_json::from_str(data).unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), ["sid"]);
        data["sid"].as_str().unwrap().to_owned()
    }
}
