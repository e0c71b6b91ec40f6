//! The legacy echo server, a native one beside it, and the proxy before both. Node echoes a text as it is, native
//! with `native:` before it, so that each answer tells its side.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use strangler::{App, NativeApp, Settings, SettingsError, get};

use crate::support::TestProxy;
use crate::support::certs::Ca;
use crate::support::hog::Hog;
use crate::support::proxy::routes;
use crate::support::websocket::{Client, Server};

pub(super) const PATH: &str = "/api/ws";

/// Everything by tag: `n` to native, the rest to Node.
pub(super) const MIXED: &str = r#"n = { events = { game = ["n"] }, to = "native" }"#;

/// Nothing is left for Node.
pub(super) const ALL_NATIVE: &str = r#"all = { events = { game = ["*"] }, to = "native" }"#;

const MIRROR: App = App::new("mirror", mirror);

fn mirror(_settings: &Settings) -> Result<NativeApp, SettingsError> {
    let hog = Arc::new(Hog::default());
    let app = hog.served_by(NativeApp::new());
    let connect = async move |uri, headers, upgrade| connect(uri, headers, upgrade, hog).await;
    Ok(app.route(PATH, get(connect)))
}

async fn connect(
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
    hog: Arc<Hog>,
) -> Response {
    let query = uri.query().unwrap_or_default().to_owned();
    match query.as_str() {
        "native=refuses" => {
            let body = r#"{"error":"native does not know you"}"#;
            return (StatusCode::UNAUTHORIZED, [("x-native", "1")], body).into_response();
        }
        "native=panics" => panic!("on purpose"),
        _ => {}
    }
    let authorization = headers.get("authorization").cloned();
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    upgrade
        .protocols(["readers.v2"])
        .on_upgrade(async move |socket| serve(socket, &query, authorization, &hog).await)
}

async fn serve(mut socket: WebSocket, query: &str, authorization: Option<String>, hog: &Hog) {
    if query == "native=leaves" {
        let frame = CloseFrame {
            code: 4003,
            reason: "not here".into(),
        };
        let _ = socket.send(Message::text("sorry")).await;
        let _ = socket.send(Message::Close(Some(frame))).await;
    }
    while let Some(Ok(message)) = socket.recv().await {
        let answers = match message {
            Message::Text(text) => obey(&text, query, authorization.as_deref(), hog),
            Message::Binary(bytes) => vec![Message::binary([b"native:", &bytes[..]].concat())],
            Message::Pong(bytes) => {
                vec![Message::text(format!(
                    "pong:{}",
                    String::from_utf8_lossy(&bytes)
                ))]
            }
            Message::Ping(_) | Message::Close(_) => Vec::new(),
        };
        for answer in answers {
            if socket.send(answer).await.is_err() {
                return;
            }
        }
    }
}

fn obey(text: &str, query: &str, authorization: Option<&str>, hog: &Hog) -> Vec<Message> {
    let command: Value = serde_json::from_str(text).unwrap_or_default();
    let number = |key: &str| usize::try_from(command[key].as_u64().unwrap()).unwrap();
    let data = || command["data"].as_str().unwrap_or_default().to_owned();
    match command["do"].as_str() {
        Some("panic") => panic!("on purpose"),
        Some("hog") => {
            hog.run();
            Vec::new()
        }
        Some("close") => {
            let code = u16::try_from(number("code")).unwrap();
            let reason = data().into();
            vec![Message::Close(Some(CloseFrame { code, reason }))]
        }
        Some("ping") => vec![Message::Ping(data().into())],
        Some("say") => vec![Message::text(data())],
        Some("handshake") => {
            vec![Message::text(
                json!({ "query": query, "authorization": authorization }).to_string(),
            )]
        }
        Some("flood") => {
            let piece = Message::binary(vec![7; number("size")]);
            vec![piece; number("count")]
        }
        _ => vec![Message::text(format!("native:{text}"))],
    }
}

pub(super) struct World {
    pub(super) server: Server,
    pub(super) proxy: TestProxy,
}

impl World {
    /// With these keys of the socket, and these rules.
    pub(super) async fn new(keys: &str, rules: &str) -> Self {
        let server = Server::start().await;
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new();
        let path = |name| folder.path().join(name);
        ca.leaf()
            .write(&path("server.pem"), &path("server-key.pem"));
        let text = file(&server.url(), keys, rules);
        std::fs::write(path("routes.toml"), text).unwrap();
        let proxy = TestProxy::start_with(folder, ca, &[MIRROR]).await;
        Self { server, proxy }
    }

    pub(super) async fn edit(&self, keys: &str, rules: &str) {
        self.proxy
            .write(&file(&self.server.url(), keys, rules))
            .await;
    }

    pub(super) async fn open(&self) -> Client {
        Client::open(&self.proxy, PATH).await
    }

    /// Node, without a word to anybody.
    pub(super) async fn kill(self) -> Stopped {
        let port = self.server.address.port();
        self.server.process.kill().await;
        Stopped {
            proxy: self.proxy,
            port,
        }
    }

    pub(super) async fn legs(&self, side: &str, count: f64) {
        self.proxy.legs(side, count).await;
    }
}

/// Without Node.
pub(super) struct Stopped {
    pub(super) proxy: TestProxy,
    port: u16,
}

impl Stopped {
    pub(super) async fn start(self) -> World {
        World {
            server: Server::at(self.port).await,
            proxy: self.proxy,
        }
    }
}

fn file(url: &str, keys: &str, rules: &str) -> String {
    let tables = format!(
        "[socket.game]\nkind = \"websocket\"\npath = \"{PATH}\"\nmode = \"bridge\"\ntag = \"/type\"\n{keys}\n[rule]\n{rules}"
    );
    routes(url, &tables).replace("app = \"test\"", "app = \"mirror\"")
}

/// A message of this tag.
pub(super) fn tagged(tag: &str, number: usize) -> String {
    json!({ "type": tag, "number": number }).to_string()
}

/// Which side answers a text. Whatever it is, only its echo may come back.
pub(super) async fn side_of(client: &mut Client, text: &str) -> &'static str {
    client.send(text).await;
    let answer = client.message().await;
    let answer = answer.to_text().unwrap();
    match answer.strip_prefix("native:") {
        Some(rest) => {
            assert_eq!(rest, text);
            "native"
        }
        None => {
            assert_eq!(answer, text);
            "node"
        }
    }
}

/// The events of Node up to the one of this name, which is returned.
pub(super) async fn report(server: &mut Server, name: &str) -> Value {
    loop {
        let event = server.process.event().await;
        if event["event"] == name {
            return event;
        }
    }
}
