//! A client that speaks Socket.IO by hand, over a WebSocket or over polling, and sees every packet but pings and the
//! greetings of its namespaces, which it counts.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::client::{Client as Http, connect, request};
use crate::support::{PATIENCE, TestProxy};

pub(super) const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
pub(super) const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// How long an answer may take that nothing holds up. Whoever waits for the legs of others waits 5 s.
pub(super) const AT_ONCE: Duration = Duration::from_millis(4800);

type Socket = WebSocketStream<TlsStream<TcpStream>>;
pub(super) type Sender = SplitSink<Socket, Message>;
pub(super) type Receiver = SplitStream<Socket>;

pub(super) struct Client {
    transport: Transport,
    /// Packets that came together.
    come: VecDeque<String>,
    /// The last one, for the message of a test that fails.
    last: String,
    /// How often it was told `auth`.
    pub(super) greeted: usize,
    /// How often it was pinged.
    pub(super) pinged: usize,
}

enum Transport {
    WebSocket(Box<Socket>),
    Polling(Http, String),
}

impl Client {
    /// Over a WebSocket, in no namespace yet.
    pub(super) async fn open(proxy: &TestProxy) -> Self {
        Self::open_at(proxy, WEBSOCKET).await
    }

    /// The same with a handshake that is spelled otherwise.
    pub(super) async fn open_at(proxy: &TestProxy, target: &str) -> Self {
        let stream = connect(proxy.address, &proxy.tls).await.unwrap();
        let request = format!("wss://localhost{target}").into_client_request();
        let opening = client_async(request.unwrap(), stream);
        let (socket, _) = timeout(PATIENCE, opening).await.unwrap().unwrap();
        let mut client = Self::new(Transport::WebSocket(Box::new(socket)));
        let open = client.packet().await;
        assert!(open.starts_with("0{"), "{open}");
        client
    }

    /// Over polling, in no namespace yet.
    pub(super) async fn polling(proxy: &TestProxy) -> Self {
        let mut http = proxy.client().await;
        let answer = timeout(PATIENCE, http.get(POLLING)).await.unwrap().unwrap();
        let text = answer.text();
        assert_eq!(answer.status, 200, "{text}");
        let open: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
        let session = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
        Self::new(Transport::Polling(http, session))
    }

    /// Over a WebSocket, in the main namespace.
    pub(super) async fn connected(proxy: &TestProxy) -> Self {
        let mut client = Self::open(proxy).await;
        client.connect("", json!({})).await;
        client
    }

    fn new(transport: Transport) -> Self {
        Self {
            transport,
            come: VecDeque::new(),
            last: String::new(),
            greeted: 0,
            pinged: 0,
        }
    }

    /// Joins a namespace, `/custom,` or nothing for the main one, and returns the id there.
    pub(super) async fn connect(&mut self, namespace: &str, auth: Value) -> String {
        self.send(&format!("40{namespace}{auth}")).await;
        self.accepted(namespace).await
    }

    /// The answer to CONNECT.
    pub(super) async fn accepted(&mut self, namespace: &str) -> String {
        let packet = self.packet().await;
        let data = packet.strip_prefix(&format!("40{namespace}{{"));
        let data = data.unwrap_or_else(|| panic!("{packet} is no CONNECT of `{namespace}`"));
        let data: Value = serde_json::from_str(&format!("{{{data}")).unwrap();
        data["sid"].as_str().unwrap().to_owned()
    }

    pub(super) async fn send(&mut self, packet: &str) {
        assert!(self.try_send(packet).await, "nobody takes {packet}");
    }

    /// False where the connection has ended.
    pub(super) async fn try_send(&mut self, packet: &str) -> bool {
        let sent = async {
            match &mut self.transport {
                Transport::WebSocket(socket) => socket.send(Message::text(packet)).await.is_ok(),
                Transport::Polling(http, session) => {
                    let post = request("POST", session, packet.to_owned());
                    http.send(post)
                        .await
                        .is_ok_and(|answer| answer.text() == "ok")
                }
            }
        };
        timeout(PATIENCE, sent)
            .await
            .unwrap_or_else(|_| panic!("{packet} does not get through"))
    }

    /// The next packet; `None` when the connection has ended.
    pub(super) async fn next(&mut self) -> Option<String> {
        let next = timeout(PATIENCE, self.any()).await;
        let next = next.unwrap_or_else(|_| panic!("the client hears nothing after {}", self.last));
        if let Some(packet) = &next {
            self.last = packet.chars().take(80).collect();
        }
        next
    }

    async fn any(&mut self) -> Option<String> {
        loop {
            let Some(packet) = self.come.pop_front() else {
                match &mut self.transport {
                    Transport::WebSocket(socket) => match socket.next().await? {
                        Ok(Message::Text(text)) => self.come.push_back(text.to_string()),
                        Ok(Message::Binary(data)) => {
                            self.come.push_back(format!("{} bytes", data.len()));
                        }
                        Ok(Message::Close(_)) | Err(_) => return None,
                        Ok(other) => panic!("{other:?}"),
                    },
                    Transport::Polling(http, session) => {
                        let answer = http.get(session).await.ok()?;
                        let text = (answer.status == 200).then(|| answer.text())?;
                        self.come.extend(text.split('\x1e').map(str::to_owned));
                    }
                }
                continue;
            };
            if packet == "2" {
                self.pinged += 1;
                self.try_send("3").await;
            } else if packet.contains("[\"auth\",") {
                self.greeted += 1;
            } else {
                return Some(packet);
            }
        }
    }

    pub(super) async fn packet(&mut self) -> String {
        let next = self.next().await;
        next.unwrap_or_else(|| panic!("the connection ends after {}", self.last))
    }

    /// Both directions of a WebSocket, to send and to hear at once.
    pub(super) fn split(self) -> (Sender, Receiver) {
        match self.transport {
            Transport::WebSocket(socket) => (*socket).split(),
            Transport::Polling(..) => panic!("it is polling"),
        }
    }

    /// The next packet is this one.
    pub(super) async fn hears(&mut self, expected: &str) {
        assert_eq!(self.packet().await, expected);
    }

    /// The connection ends, and nothing comes before.
    pub(super) async fn is_closed(&mut self) {
        if let Some(packet) = self.next().await {
            panic!("{packet} instead of an end");
        }
    }

    /// Which side answers an event of the main namespace that both serve.
    pub(super) async fn side(&mut self, number: usize) -> &'static str {
        self.side_in("", number).await
    }

    pub(super) async fn side_in(&mut self, namespace: &str, number: usize) -> &'static str {
        self.send(&format!("42{namespace}[\"side\",{number}]"))
            .await;
        let packet = self.packet().await;
        for side in ["node", "native"] {
            if packet == format!("42{namespace}[\"side-back\",\"{side}\",{number}]") {
                return side;
            }
        }
        panic!("{packet} is no answer to side {number}")
    }

    /// What neither claims Node answers; of all that Node said before, nothing is left.
    pub(super) async fn node_echoes(&mut self, number: usize) {
        self.send(&format!("42[\"message\",{number}]")).await;
        self.hears(&format!("42[\"message-back\",{number}]")).await;
    }
}
