//! Clients of a bridge without a Node: what nobody else sees to, with the clock paused.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use socketioxide::extract::SocketRef;
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

node_loss = "admit"
queue = "64KiB"

[rule.all]
to = "native"
"#;

/// Native serves all of the namespace.
const ALL: &str = r#"events = { all = ["*"] }"#;

/// Node is needed for the rest of it.
const ONE: &str = r#"events = { all = ["silent"] }"#;

/// What Node's `connectTimeout` is by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

/// Bytes of the answer to `large`.
const LARGE: usize = 300_000;

struct Place {
    bridges: Arc<Bridges>,
    live: Arc<Live>,
    _stop: watch::Sender<bool>,
    _folder: TempDir,
}

impl Place {
    fn new(events: &str) -> Self {
        Self::with_queue("64KiB", events)
    }

    fn with_queue(queue: &str, events: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let routes = folder.path().join("routes.toml");
        let tables = ROUTES.replace("64KiB", queue);
        std::fs::write(&routes, format!("{tables}{events}")).expect("routes.toml");
        let app = NativeApp::new()
            .on_event("/", "silent", async |_: SocketRef| {})
            .on_event("/", "large", async |socket: SocketRef| {
                socket.emit("large", &"x".repeat(LARGE)).ok();
            });
        let metrics = Arc::new(Metrics::new());
        let live = Live::start(
            load(&routes).expect("a good file"),
            Served::by(Some(&app)),
            Arc::clone(&metrics),
        )
        .expect("a good table");
        let (stop, stopped) = watch::channel(false);
        let surroundings = Surroundings {
            budget: Budget::new(
                Arc::clone(&metrics),
                &crate::config::Limits::default(),
                1000,
                1 << 30,
            ),
            live: Arc::clone(&live),
            metrics,
            native: app.into_parts().1,
            router: None,
            handlers: Runtimes::new(vec![Handle::current()]),
            stop: stopped,
        };
        Self {
            bridges: Bridges::new(surroundings, Runtimes::new(vec![Handle::current()])),
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
        let (near, far) = duplex(64 * 1024);
        let visit = entry.visit(Visit::WebSocket(Box::new(far))).await;
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
    let place = Place::new(ALL);
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
    let place = Place::new(ALL);
    let mut client = place.client().await;
    say(&mut client, "40").await;
    let joined = hear(&mut client).await;
    assert!(joined.starts_with(b"40{"), "{joined:?}");
    let stays = tokio::time::timeout(2 * CONNECT_TIMEOUT, hear(&mut client)).await;
    assert!(stays.is_err(), "{stays:?}");
}

#[tokio::test(start_paused = true)]
async fn small_events_that_wait_count_with_what_they_take() {
    let place = Place::new(ONE);
    let mut client = place.client().await;
    say(&mut client, "40").await;
    let joined = hear(&mut client).await;
    assert!(joined.starts_with(b"40{"), "{joined:?}");
    // An eighth of the queue by their own bytes, for a Node that does not come.
    for _ in 0..1000 {
        client.queue(&Message::Text("42[\"any\"]".into()));
    }
    // It is ended as a broken network ends it, maybe before it has said all.
    let _ = client.flush().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), client.next()).await;
    assert!(matches!(ended, Ok(None | Some(Err(_)))), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_with_connect_counts_for_as_long_as_it_is_kept() {
    let place = Place::new(ALL);
    let mut client = place.client().await;
    let connect = format!("40{{\"token\":\"{}\"}}", "x".repeat(30_000));
    client.queue(&Message::Text(connect.into()));
    client.flush().await.expect("the session reads");
    let joined = hear(&mut client).await;
    assert!(joined.starts_with(b"40{"), "{joined:?}");
    let waiting = place.bridges.surroundings.metrics.waiting_bytes.clone();
    while waiting.get() < 30_000 {
        tokio::task::yield_now().await;
    }
    drop(client);
    while waiting.get() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn over_the_memory_budget_the_largest_waiters_are_ended() {
    const LIMIT: u64 = 2 * LARGE as u64;
    let place = Place::with_queue("1MiB", ALL);
    let Surroundings {
        budget, metrics, ..
    } = &*place.bridges.surroundings;
    budget.apply(&crate::config::Limits {
        memory: crate::config::MemoryLimit::Bytes(LIMIT),
        ..crate::config::Limits::default()
    });
    let ended = metrics.ended.with_label_values(&["memory"]);
    let mut clients = Vec::new();
    while ended.get() < 3 {
        let mut client = place.client().await;
        say(&mut client, "40").await;
        hear(&mut client).await;
        // Nobody reads the answer.
        say(&mut client, "42[\"large\"]").await;
        clients.push(client);
        assert!(clients.len() < 20, "{}", metrics.waiting_bytes.get());
    }
    assert!(metrics.waiting_bytes.get() <= i64::try_from(LIMIT).expect("it fits"));
    let mut newcomer = place.client().await;
    say(&mut newcomer, "40").await;
    let joined = hear(&mut newcomer).await;
    assert!(joined.starts_with(b"40{"), "{joined:?}");
}

#[tokio::test(start_paused = true)]
async fn sessions_in_no_namespace_are_bounded() {
    let place = Place::new(ALL);
    let Surroundings {
        budget, metrics, ..
    } = &*place.bridges.surroundings;
    budget.apply(&crate::config::Limits {
        unconnected_sessions: Some(2),
        ..crate::config::Limits::default()
    });
    let mut connected = place.client().await;
    say(&mut connected, "40").await;
    hear(&mut connected).await;
    let mut oldest = place.client().await;
    let (_second, _third) = (place.client().await, place.client().await);
    let ended = oldest.next().await;
    assert!(matches!(ended, None | Some(Err(_))), "{ended:?}");
    assert_eq!(metrics.unconnected_sessions.get(), 2);
    assert_eq!(metrics.ended.with_label_values(&["unconnected"]).get(), 1);
    let stays = tokio::time::timeout(CONNECT_TIMEOUT / 2, hear(&mut connected)).await;
    assert!(stays.is_err(), "{stays:?}");
}

#[tokio::test(start_paused = true)]
async fn placeholders_of_no_attachment_end_a_client() {
    let place = Place::new(ALL);
    for number in ["-1", "1", "\"length\"", "null"] {
        let mut client = place.client().await;
        say(&mut client, "40").await;
        hear(&mut client).await;
        let packet = format!(r#"451-["any",{{"_placeholder":true,"num":{number}}}]"#);
        client.queue(&Message::Text(packet.into()));
        client.queue(&Message::Binary("bytes".into()));
        client.flush().await.expect("the session reads");
        assert_eq!(hear(&mut client).await, "", "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_pauses_lets_others_have_their_turn() {
    const EVENTS: u32 = 1000;
    let place = Place::new(ALL);
    let mut client = place.client().await;
    say(&mut client, "40").await;
    hear(&mut client).await;
    for _ in 0..EVENTS {
        client.queue(&Message::Text("42[\"any\"]".into()));
    }
    // The last one is broken, so that the end is seen.
    say(&mut client, "4!").await;
    let mut turns = 0;
    loop {
        tokio::select! {
            biased;
            packet = hear(&mut client) => break assert_eq!(packet, ""),
            () = tokio::task::yield_now() => turns += 1,
        }
    }
    // Tokio gives a task a budget of 128.
    assert!(turns >= EVENTS / 128, "{turns}");
}
