//! The legacy WebSocket server, and two clients: one that follows the protocol, one that sees its frames.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::connect;
use crate::node::read_head;
use crate::process::{Process, node};
use crate::{PATIENCE, TestProxy};

/// The key and its answer in RFC 6455 §1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// tests/legacy/websocket.
pub struct Server {
    pub process: Process,
    pub address: std::net::SocketAddr,
}

impl Server {
    pub async fn start() -> Self {
        Self::at(0).await
    }

    /// On the port of one that was killed.
    pub async fn at(port: u16) -> Self {
        let mut command = node("tests/legacy/websocket", "server.js");
        command.env("PORT", port.to_string());
        let mut process = Process::start(command);
        let port = process.expect("listening").await["port"].as_u64().unwrap();
        let address = ([127, 0, 0, 1], u16::try_from(port).unwrap()).into();
        Self { process, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The legacy server and a proxy before it.
pub async fn both() -> (Server, TestProxy) {
    let server = Server::start().await;
    let proxy = TestProxy::new(&server.url(), "").await;
    (server, proxy)
}

/// A WebSocket client that follows the protocol.
pub struct Client(pub WebSocketStream<TlsStream<TcpStream>>);

impl Client {
    pub async fn open(proxy: &TestProxy, target: &str) -> Self {
        let stream = connect(proxy.address, &proxy.tls).await.unwrap();
        let request = format!("wss://localhost{target}").into_client_request();
        Self(client_async(request.unwrap(), stream).await.unwrap().0)
    }

    pub async fn send(&mut self, message: impl Into<Message>) {
        timeout(PATIENCE, self.0.send(message.into()))
            .await
            .unwrap()
            .unwrap();
    }

    pub async fn command(&mut self, command: Value) {
        self.send(format!("!{command}")).await;
    }

    /// `None` when the server has closed the connection.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        timeout(PATIENCE, self.0.next()).await.unwrap()
    }

    pub async fn message(&mut self) -> Message {
        self.next().await.unwrap().unwrap()
    }

    /// Sends and receives the same.
    pub async fn echo(&mut self, message: impl Into<Message>) {
        let message = message.into();
        self.send(message.clone()).await;
        let echoed = self.message().await;
        assert!(echoed == message, "{} bytes came back", echoed.len());
    }

    /// Reads to the end; the close frame, if there was one.
    pub async fn closed(&mut self) -> Closed {
        let mut closed = Closed::Abruptly;
        while let Some(Ok(message)) = self.next().await {
            match message {
                Message::Close(frame) => closed = frame.into(),
                other => panic!("{other:?} instead of an end"),
            }
        }
        closed
    }
}

/// How a connection ended, as a peer saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    With(u16, String),
    WithoutCode,
    Abruptly,
}

impl From<Option<CloseFrame>> for Closed {
    fn from(frame: Option<CloseFrame>) -> Self {
        frame.map_or(Self::WithoutCode, |frame| {
            Self::With(frame.code.into(), frame.reason.to_string())
        })
    }
}

/// From a report of the server, which follows RFC 6455 §7.1.5.
impl From<Value> for Closed {
    fn from(report: Value) -> Self {
        assert_eq!(report["event"], "close", "{report}");
        match report["code"].as_u64().unwrap() {
            1005 => Self::WithoutCode,
            1006 => Self::Abruptly,
            code => Self::With(
                u16::try_from(code).unwrap(),
                report["reason"].as_str().unwrap().to_owned(),
            ),
        }
    }
}

/// The head of an upgrade, with further header lines.
pub fn handshake(target: &str, lines: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
    .into_bytes()
}

/// The head of an answer to `handshake`.
pub fn switching() -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
    .into_bytes()
}

/// Sends the head of an upgrade and reads that of the answer. What comes next on the stream are frames.
pub async fn upgrade(
    proxy: &TestProxy,
    target: &str,
    lines: &str,
) -> (TlsStream<TcpStream>, String) {
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    stream.write_all(&handshake(target, lines)).await.unwrap();
    let head = timeout(PATIENCE, read_head(&mut stream)).await.unwrap();
    (stream, head.unwrap())
}

/// A frame as clients send it, masked with zeros, so that its payload can be read.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Reads a frame as servers send it: its first byte and its payload.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let read = async {
        let first = stream.read_u8().await.unwrap();
        let length = match stream.read_u8().await.unwrap() {
            126 => u64::from(stream.read_u16().await.unwrap()),
            127 => stream.read_u64().await.unwrap(),
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        (first, payload)
    };
    timeout(PATIENCE, read).await.unwrap()
}
