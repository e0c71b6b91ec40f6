//! A proxy of its own for each test: a folder with its routes.toml and certificates, ports that nobody else has.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::Path;
use rustls::ClientConfig;
use strangler::server::{Server, Stop};
use strangler::{App, Decline, NativeApp, Settings, SettingsError, get, post};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::certs::Ca;
use crate::client::{Answer, Client, request};
use crate::eventually;
use crate::sockets::SOCKETS_APP;

/// The native application of the tests.
pub const TEST_APP: App = App::new("test", test_app);

fn test_app(_settings: &Settings) -> Result<NativeApp, SettingsError> {
    Ok(NativeApp::new()
        .route("/hello", get(async || "native:hello"))
        .route(
            "/item/{id}",
            get(async |Path(id): Path<String>| format!("native:{id}")),
        )
        .route(
            "/files/{*rest}",
            get(async |Path(rest): Path<String>| format!("native:{rest}")),
        )
        .route("/declines", get(async || Decline))
        .route("/declines", post(async |_body: String| Decline))
        .route(
            "/fails",
            get(async || http::StatusCode::INTERNAL_SERVER_ERROR),
        )
        .route(
            "/fails",
            post(async |_body: String| http::StatusCode::INTERNAL_SERVER_ERROR),
        )
        .route(
            "/closed",
            get(async || {
                let closed = axum::Extension(strangler::Deliberate);
                (
                    http::StatusCode::SERVICE_UNAVAILABLE,
                    closed,
                    "native:closed",
                )
            }),
        )
        .route("/panics", get(panics))
        .route("/panics", post(panics))
        .route("/hangs", get(hangs))
        .route("/hangs", post(hangs))
        .route("/echo", post(async |body: axum::body::Bytes| body))
        .route(
            "/forwarded",
            get(async |headers: http::HeaderMap| format!("{:?}", headers["x-forwarded-for"])),
        )
        .route("/breaks", get(breaks))
        .route(
            "/client",
            get(
                async |axum::Extension(client): axum::Extension<strangler::ClientInfo>| {
                    client.address.to_string()
                },
            ),
        ))
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

async fn hangs() -> &'static str {
    std::future::pending().await
}

/// A body that panics after its first piece.
async fn breaks() -> axum::body::Body {
    struct Breaks(bool);
    impl http_body::Body for Breaks {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            assert!(!self.0, "on purpose");
            self.0 = true;
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data("half".into()))))
        }
    }
    axum::body::Body::new(Breaks(false))
}

/// A running proxy. Dropped, it ends and its folder is removed.
pub struct TestProxy {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub folder: TempDir,
    pub ca: Ca,
    pub tls: Arc<ClientConfig>,
    pub stop: Stop,
    pub running: JoinHandle<()>,
    native: String,
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.stop.abort();
    }
}

impl TestProxy {
    /// In front of `node_url`, with what `rules` adds to the file: further tables and rules.
    pub async fn new(node_url: &str, rules: &str) -> Self {
        Self::serving("app = \"test\"", node_url, rules).await
    }

    /// The same with another `[native]`.
    pub async fn serving(native: &str, node_url: &str, rules: &str) -> Self {
        Self::serving_one_of(&[TEST_APP, SOCKETS_APP], native, node_url, rules).await
    }

    /// The same with other native applications.
    pub async fn serving_one_of(apps: &[App], native: &str, node_url: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new();
        let path = |name| folder.path().join(name);
        ca.leaf()
            .write(&path("server.pem"), &path("server-key.pem"));
        let text = routes_of(native, node_url, rules);
        fs::write(path("routes.toml"), text).unwrap();
        let mut proxy = Self::start_with(folder, ca, apps).await;
        native.clone_into(&mut proxy.native);
        proxy
    }

    /// With a folder that has its files.
    pub async fn start(folder: TempDir, ca: Ca) -> Self {
        Self::start_with(folder, ca, &[TEST_APP, SOCKETS_APP]).await
    }

    /// With other native applications.
    pub async fn start_with(folder: TempDir, ca: Ca, apps: &[App]) -> Self {
        let server = Server::bind(&folder.path().join("routes.toml"), apps);
        let server = server.unwrap_or_else(|error| panic!("{error:?}"));
        let (address, admin) = (server.address().unwrap(), server.admin_address().unwrap());
        let stop = server.stop();
        let running = tokio::spawn(async move { server.run().await.unwrap() });
        let tls = ca.client_config(&["http/1.1"]);
        Self {
            address,
            admin,
            folder,
            ca,
            tls,
            stop,
            running,
            native: "app = \"test\"".to_owned(),
        }
    }

    pub fn routes(&self) -> PathBuf {
        self.folder.path().join("routes.toml")
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address, &self.tls).await
    }

    /// On a connection of its own.
    pub async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "").await
    }

    pub async fn send(&self, method: &str, target: &str, body: impl Into<bytes::Bytes>) -> Answer {
        self.client()
            .await
            .send(request(method, target, body))
            .await
            .unwrap()
    }

    /// What the admin port says to a GET.
    pub async fn admin(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap_or_default()
    }

    pub async fn table(&self) -> serde_json::Value {
        serde_json::from_str(&self.admin("/api/table").await).unwrap()
    }

    /// The value of one metric line, 0 where it has not been counted yet.
    pub async fn metric(&self, line: &str) -> f64 {
        let metrics = self.admin("/metrics").await;
        let value = metrics.lines().find_map(|own| own.strip_prefix(line));
        value.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Waits until so many legs to a side are open.
    pub async fn legs(&self, side: &str, count: f64) {
        let line = format!("strangler_legs{{side=\"{side}\"}}");
        eventually(&format!("{count} legs to {side}"), || async {
            (self.metric(&line).await - count).abs() < 0.5
        })
        .await;
    }

    /// Replaces the rules in place and waits until they are in force.
    pub async fn edit(&self, node_url: &str, rules: &str) {
        self.write(&routes_of(&self.native, node_url, rules)).await;
    }

    /// Replaces the whole file in place and waits until it is in force.
    pub async fn write(&self, text: &str) {
        if fs::read_to_string(self.routes()).unwrap() == text {
            return;
        }
        let before = self.table().await["generation"].as_u64().unwrap();
        fs::write(self.routes(), text).unwrap();
        eventually("the new table is in force", || async {
            self.table().await["generation"].as_u64().unwrap() > before
        })
        .await;
    }
}

/// A routes.toml on free ports.
pub fn routes(node_url: &str, rules: &str) -> String {
    routes_of("app = \"test\"", node_url, rules)
}

/// Native has more time than by default, so that a busy machine is not taken for a native side that hangs. A drain ends
/// long before its limit, or a test notices.
fn routes_of(native: &str, node_url: &str, rules: &str) -> String {
    let defaults = match rules.contains("[defaults]") {
        true => "",
        false => "[defaults]\ntimeout = \"1m\"",
    };
    format!(
        r#"[server]
listen = "127.0.0.1:0"
cert = "server.pem"
key = "server-key.pem"
side_header = true
drain = "1m"

[admin]
listen = "127.0.0.1:0"

{defaults}

[native]
{native}

[node]
url = "{node_url}"
{rules}
"#
    )
}
