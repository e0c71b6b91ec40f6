//! Clients of a bridge whose only side is native: what no Node sees to, with the clock paused.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tempfile::TempDir;
use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::bridge::websocket::{Message, Role, WebSocket};
use crate::live::{Served, load};
use crate::native::NativeApp;

const ROUTES: &str = r#"[server]
listen = "127.0.0.1:0"
cert = "server.pem"
key = "server-key.pem"

[node]
url = "http://127.0.0.1:1"

[native]
app = "any"

[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "bridge"

[rule.all]
events = { all = ["*"] }
to = "native"
"#;

/// What Node's `connectTimeout` is by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

struct Place {
    bridges: Arc<Bridges>,
    live: Arc<Live>,
    _stop: watch::Sender<bool>,
    _folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let routes = folder.path().join("routes.toml");
        std::fs::write(&routes, ROUTES).expect("routes.toml");
        let app = NativeApp::new().on_event(
            "/",
            "silent",
            async |_: socketioxide::extract::SocketRef| {},
        );
        let metrics = Arc::new(Metrics::new());
        let live = Live::start(
            load(&routes).expect("a good file"),
            Served::by(Some(&app)),
            Arc::clone(&metrics),
        )
        .expect("a good table");
        let (stop, stopped) = watch::channel(false);
        let surroundings = Surroundings {
            live: Arc::clone(&live),
            metrics,
            native: app.into_parts().1,
            router: None,
            stop: stopped,
        };
        Self {
            bridges: Bridges::new(surroundings, vec![Handle::current()]),
            live,
            _stop: stop,
            _folder: folder,
        }
    }

    /// A client that came with a WebSocket and has its open packet.
    async fn client(&self) -> WebSocket<DuplexStream> {
        let uri = Uri::from_static("/socket.io/?EIO=4&transport=websocket");
        let arrival = Arrival {
            socket: 0,
            snapshot: self.live.load(),
            handshake: Handshake::new(&uri, &HeaderMap::new(), [127, 0, 0, 1].into()),
            transport: Transport::WebSocket,
        };
        let entry = self.bridges.open(arrival).await.expect("a session");
        let (near, far) = duplex(4096);
        let visit = entry.mailbox.send(Visit::WebSocket(Box::new(far))).await;
        visit.expect("the session runs");
        let mut client = WebSocket::new(near, Role::Client, 4096);
        let open = hear(&mut client).await;
        assert!(open.starts_with(b"0{"), "{open:?}");
        client
    }
}

async fn say(client: &mut WebSocket<DuplexStream>, packet: &'static str) {
    client.queue(&Message::Text(packet.into()));
    client.flush().await.expect("the session reads");
}

/// The next packet but pings, which are answered; empty for a close without a code.
async fn hear(client: &mut WebSocket<DuplexStream>) -> Bytes {
    loop {
        match client.next().await.expect("no end").expect("no error") {
            Message::Text(ping) if ping == "2" => say(client, "3").await,
            Message::Text(packet) => return packet,
            Message::Close(None) => return Bytes::new(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_no_namespace_is_ended() {
    let place = Place::new();
    let began = Instant::now();
    let mut client = place.client().await;
    assert_eq!(hear(&mut client).await, "");
    let lived = began.elapsed();
    assert!(
        lived >= CONNECT_TIMEOUT && lived < CONNECT_TIMEOUT + Duration::from_secs(1),
        "{lived:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_in_a_namespace_stays() {
    let place = Place::new();
    let mut client = place.client().await;
    say(&mut client, "40").await;
    let joined = hear(&mut client).await;
    assert!(joined.starts_with(b"40{"), "{joined:?}");
    let stays = tokio::time::timeout(2 * CONNECT_TIMEOUT, hear(&mut client)).await;
    assert!(stays.is_err(), "{stays:?}");
}
