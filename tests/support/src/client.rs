//! Clients of the proxy: one that sends and receives raw bytes over TLS, one that speaks HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Who answered, where `side_header` is on.
    pub fn side(&self) -> &str {
        self.header("x-strangler-side").unwrap_or("nobody")
    }
}

/// One HTTP/1.1 connection that stays open.
pub struct Client(http1::SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> Self {
        Self::over(connect(address, tls).await.unwrap()).await
    }

    /// Over a stream that is there already. It is closed when nobody waits for an answer any more.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection.with_upgrades());
        Self(sender)
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        self.0.ready().await?;
        let (parts, body) = self.0.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    pub async fn get(&mut self, target: &str) -> hyper::Result<Answer> {
        self.send(request("GET", target, "")).await
    }
}

/// A request with the `Host` that it needs.
pub fn request(method: &str, target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost");
    request.body(Full::new(body.into())).unwrap()
}

/// TCP and TLS to the proxy.
pub async fn connect(
    address: SocketAddr,
    tls: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await
}

/// Anything that carries bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Node itself over TCP, or the proxy over TLS.
pub async fn reach(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Box<dyn Stream> {
    match tls {
        Some(tls) => Box::new(connect(address, tls).await.unwrap()),
        None => {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            Box::new(stream)
        }
    }
}

/// Sends these bytes and reads until the proxy closes.
pub async fn exchange(address: SocketAddr, tls: &Arc<ClientConfig>, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address, tls).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    // A connection that ends without TLS's goodbye has still said what it said.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// One HTTP/2 connection.
pub async fn http2(
    address: SocketAddr,
    tls: &Arc<ClientConfig>,
) -> http2::SendRequest<Full<Bytes>> {
    let stream = connect(address, tls).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}
