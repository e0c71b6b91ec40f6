//! Real servers and a client that hides nothing: answers are compared as they come over the wire.

use std::fmt;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::process::Stdio;

use axum::Router;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// Where the Node.js fixture and its packages are.
const LEGACY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/legacy");

/// A Node.js server, which ends with this value.
pub(super) struct NodeServer {
    pub(super) address: SocketAddr,
    _process: Child,
    // A write into a closed pipe would end it early.
    _output: Lines<BufReader<ChildStdout>>,
}

impl NodeServer {
    /// Runs `node` in the folder of the fixture and waits for the line that ends with the URL it listens on.
    pub(super) async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new("node")
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(LEGACY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node can be started");
        let output = process.stdout.take().expect("its output is piped");
        let mut output = BufReader::new(output).lines();
        let line = output.next_line().await.expect("readable output");
        let line = line.unwrap_or_else(|| {
            panic!("node ended before it listened; is `npm ci` done in {LEGACY}?")
        });
        let (_, address) = line
            .rsplit_once("http://")
            .unwrap_or_else(|| panic!("no URL in `{line}`"));
        Self {
            address: address.parse().expect("an address"),
            _process: process,
            _output: output,
        }
    }
}

/// A router that serves until this value is dropped.
pub(super) struct Serving(JoinHandle<std::io::Result<()>>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn serve(router: Router) -> (SocketAddr, Serving) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    (
        address,
        Serving(tokio::spawn(axum::serve(listener, router).into_future())),
    )
}

/// An address on which nobody listens.
pub(super) async fn unused_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("its address")
}

/// An answer with every header but those of the connection and the clock.
#[derive(PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case, sorted.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// With a body that can be read.
impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(formatter, "{} {:?} {body}", self.status, self.headers)
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a complete head");
        let head = std::str::from_utf8(&bytes[..end]).expect("an ASCII head");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .expect("a status line");
        let mut headers: Vec<_> = lines
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .filter(|(name, _)| !["connection", "date", "keep-alive"].contains(&name.as_str()))
            .collect();
        headers.sort();
        Self {
            status: status.parse().expect("a status"),
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }
}

/// `headers` are whole lines. The answer ends with the connection.
pub(super) async fn ask(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: impl AsRef<[u8]>,
) -> Answer {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: timecard\r\nConnection: close\r\n").into_bytes();
    request.extend_from_slice(headers.as_ref());
    request.extend_from_slice(b"\r\n");
    let mut stream = TcpStream::connect(server)
        .await
        .expect("the server accepts");
    stream.write_all(&request).await.expect("the server reads");
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .await
        .expect("the server answers");
    Answer::parse(&bytes)
}
