//! Stands in for Node where a test needs to see or to break the bytes between proxy and Node. What only the real Node
//! can decide is tested with the real one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::certs::Leaf;

/// A request as it reached Node.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

/// A small HTTP/1.1 server that remembers what it was asked.
pub struct TestNode {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestNode {
    /// Answers every request with what `answer` makes of it; the whole body is read first.
    pub async fn answering<F, R>(answer: F) -> Self
    where
        F: Fn(&Seen) -> R + Clone + Send + Sync + 'static,
        R: IntoResponse,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let router = Router::new().fallback(any(move |request: Request| {
            let (answer, log) = (answer.clone(), Arc::clone(&log));
            async move {
                let (parts, body) = request.into_parts();
                let body = body
                    .collect()
                    .await
                    .map(|body| body.to_bytes().to_vec())
                    .unwrap_or_default();
                let seen = Seen {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    headers: parts.headers,
                    body,
                };
                let response = answer(&seen).into_response();
                log.lock().unwrap().push(seen);
                response
            }
        }));
        Self::serving(router, None, seen).await
    }

    /// Answers `node:TARGET`.
    pub async fn echo() -> Self {
        Self::answering(|seen| format!("node:{}", seen.target)).await
    }

    /// An axum application in Node's place.
    pub async fn router(router: Router) -> Self {
        Self::serving(router, None, Arc::default()).await
    }

    /// The same over TLS.
    pub async fn tls(router: Router, leaf: &Leaf) -> Self {
        Self::serving(router, Some(leaf), Arc::default()).await
    }

    async fn serving(router: Router, leaf: Option<&Leaf>, seen: Arc<Mutex<Vec<Seen>>>) -> Self {
        let tls = leaf.map(|leaf| TlsAcceptor::from(leaf.server_config()));
        Self::raw_with(seen, move |stream| {
            let (router, tls) = (router.clone(), tls.clone());
            async move {
                match tls {
                    None => serve(stream, router).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, router).await;
                        }
                    }
                }
            }
        })
        .await
    }

    /// Hands each connection to `serve`, bytes and all.
    pub async fn raw<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::raw_with(Arc::default(), serve).await
    }

    async fn raw_with<F, R>(seen: Arc<Mutex<Vec<Seen>>>, serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                open.spawn(serve(stream));
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            seen,
            connections,
            task,
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, router: Router) {
    let service =
        hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let router = router.clone();
            async move { Ok::<Response, Infallible>(router.oneshot(request).await.unwrap()) }
        });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// Reads one request head, as text.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A Node that reads one request head and then writes these bytes and closes.
pub async fn replying(bytes: impl Into<Vec<u8>>) -> TestNode {
    let bytes = Arc::new(bytes.into());
    TestNode::raw(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            if read_head(&mut stream).await.is_some() {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}

/// Header lines of a raw head, lowercased names to values.
pub fn header_lines(head: &str) -> HashMap<String, String> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}
