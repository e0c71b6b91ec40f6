//! The garden moves over: Node and native over one database, and players who do not notice.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::beside_node::sides::{FIXTURE, SECRET, token};
use crate::support::certs::Ca;
use crate::support::client::connect;
use crate::support::process::{Process, node};
use crate::support::proxy::routes;
use crate::support::websocket::{Client, Closed, frame, handshake, upgrade};
use crate::support::{PATIENCE, TestProxy};

const HEARTBEAT: &str = r#"{"type":"Heartbeat"}"#;
const GET: &str = r#"{"type":"GetState"}"#;

struct Garden {
    node: Process,
    address: std::net::SocketAddr,
    proxy: TestProxy,
}

impl Garden {
    async fn start(rules: &str) -> Self {
        Self::with(&[], "", rules).await
    }

    async fn with(environment: &[(&str, &str)], native: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new();
        let path = |name| folder.path().join(name);
        ca.leaf()
            .write(&path("server.pem"), &path("server-key.pem"));
        let mut command = node(FIXTURE, "server.js");
        command
            .env("PORT", "0")
            .env(
                "DATABASE_URL",
                format!("sqlite:{}", path("garden.db").display()),
            )
            .env("JWT_SECRET", SECRET)
            .envs(environment.iter().copied());
        let mut node = Process::start(command);
        let line = node.line().await;
        let (_, address) = line.rsplit_once("http://").unwrap();
        let address = address.parse().unwrap();
        std::fs::write(path("routes.toml"), file(address, native, rules)).unwrap();
        let proxy = TestProxy::start_with(folder, ca, &[garden::APP]).await;
        Self {
            node,
            address,
            proxy,
        }
    }

    async fn edit(&self, rules: &str) {
        self.proxy.write(&file(self.address, "", rules)).await;
    }

    async fn player(&self, user: &str) -> Client {
        player(&self.proxy, user).await
    }
}

async fn player(proxy: &TestProxy, user: &str) -> Client {
    Client::open(proxy, &format!("/api/ws?token={}", token(user))).await
}

fn file(address: std::net::SocketAddr, native: &str, rules: &str) -> String {
    let tables = format!(
        "[socket.game]\nkind = \"websocket\"\npath = \"/api/ws\"\nmode = \"bridge\"\ntag = \"/type\"\n\
         max_payload = \"64KiB\"\n[rule]\n{rules}"
    );
    let app = format!(
        "app = \"garden\"\ndatabase = \"sqlite:garden.db\"\njwt_secret = \"{SECRET}\"\n{native}"
    );
    routes(&format!("http://{address}"), &tables).replace("app = \"test\"", &app)
}

fn all(to: &str) -> String {
    format!(r#"all = {{ events = {{ game = ["*"] }}, to = "{to}" }}"#)
}

fn create(number: usize) -> String {
    json!({
        "type": "CreateCelestialBody",
        "data": { "body_type": format!("惑星 {number}"), "position": { "x": number, "y": 0, "z": 0 } },
    })
    .to_string()
}

fn created(number: usize) -> Message {
    Message::text(format!(
        r#"{{"type":"ActionResult","data":{{"success":true,"message":"天体「惑星 {number}」を作成しました"}}}}"#
    ))
}

async fn events(proxy: &TestProxy, rule: &str, side: &str) -> f64 {
    let line = format!("strangler_events_total{{rule=\"{rule}\",side=\"{side}\"}}");
    proxy.metric(&line).await
}

#[tokio::test]
async fn a_game_moves_message_by_message() {
    let garden = Garden::start("").await;
    let mut client = garden.player("gardener").await;
    let mut number = 0;
    let steps = [
        "",
        r#"beat = { events = { game = ["Heartbeat"] }, to = "native" }"#,
        r#"some = { events = { game = ["Heartbeat", "CreateCelestialBody"] }, to = "native" }"#,
        r#"read = { events = { game = ["GetState"] }, to = "native" }"#,
        r#"all = { events = { game = ["*"] }, to = "native" }"#,
        "",
    ];
    for rules in steps {
        garden.edit(rules).await;
        for _ in 0..3 {
            client.echo(HEARTBEAT).await;
            client.send(create(number)).await;
            assert_eq!(client.message().await, created(number));
            number += 1;
            client.send(GET).await;
            let state = client.message().await;
            let state = state.to_text().unwrap();
            // One database: each side sees what the other one wrote.
            for earlier in 0..number {
                assert!(state.contains(&format!("\"惑星 {earlier}\"")), "{state}");
            }
            client.send("?").await;
            let answer = client.message().await;
            assert!(answer.to_text().unwrap().contains("INVALID_FORMAT"));
        }
    }
    let native = [("beat", 3.0), ("some", 6.0), ("read", 3.0), ("all", 12.0)];
    for (rule, expected) in native {
        let count = events(&garden.proxy, rule, "native").await;
        assert!((count - expected).abs() < 0.5, "{rule}: {count}");
    }
}

/// The whole answer to an upgrade with these header lines, without what differs by time.
async fn refusal(proxy: &TestProxy, target: &str, lines: &str) -> (String, Vec<String>, String) {
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    stream.write_all(&handshake(target, lines)).await.unwrap();
    parse_refusal(&mut stream).await
}

async fn parse_refusal(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
) -> (String, Vec<String>, String) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut chunk = [0; 1024];
        let count = timeout(PATIENCE, stream.read(&mut chunk))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0, "the end after {answer:?}");
        answer.extend_from_slice(&chunk[..count]);
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines().map(str::to_lowercase);
    let status = lines.next().unwrap();
    let skipped = ["date:", "connection:", "keep-alive:", "x-strangler"];
    let mut headers: Vec<_> = lines
        .filter(|line| !skipped.iter().any(|skipped| line.starts_with(skipped)))
        .collect();
    headers.sort();
    (status, headers, body.to_owned())
}

#[tokio::test]
async fn strangers_are_refused_in_nodes_words_by_either_side() {
    let garden = Garden::start("").await;
    let cases = [
        ("/api/ws", ""),
        ("/api/ws?token=", ""),
        ("/api/ws?token=x", ""),
        ("/api/ws", "Authorization: Basic abc\r\n"),
        ("/api/ws", "Authorization: Bearer abc\r\n"),
    ];
    let mut expected = Vec::new();
    for (target, lines) in cases {
        let mut direct = tokio::net::TcpStream::connect(garden.address)
            .await
            .unwrap();
        direct.write_all(&handshake(target, lines)).await.unwrap();
        expected.push(parse_refusal(&mut direct).await);
    }
    assert!(expected[0].2.contains("認証が必要です"), "{expected:?}");
    assert!(expected[2].2.contains("無効なトークンです"), "{expected:?}");
    for ((target, lines), expected) in cases.iter().zip(&expected) {
        assert_eq!(refusal(&garden.proxy, target, lines).await, *expected);
    }
    garden.edit(&all("native")).await;
    let Garden { node, proxy, .. } = garden;
    node.kill().await;
    for ((target, lines), expected) in cases.iter().zip(&expected) {
        assert_eq!(refusal(&proxy, target, lines).await, *expected);
    }
}

#[tokio::test]
async fn tokens_arrive_as_they_are() {
    let garden =
        Garden::start(r#"beat = { events = { game = ["Heartbeat"] }, to = "native" }"#).await;
    for to in ["node", "native"] {
        garden.edit(&all(to)).await;
        let token = token("gardener");
        // Nothing is percent-decoded: this is another token.
        let encoded = token.replacen('.', "%2E", 1);
        let (status, ..) = refusal(&garden.proxy, &format!("/api/ws?token={encoded}"), "").await;
        assert!(status.contains("401"), "{status}");
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let (_, head) = upgrade(&garden.proxy, "/api/ws?a=%20", &bearer).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let (_, head) = upgrade(
            &garden.proxy,
            &format!("/api/ws?a&token={token}&token=x"),
            "",
        )
        .await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
}

#[tokio::test]
async fn two_hundred_players_at_once() {
    let garden =
        Garden::start(r#"beat = { events = { game = ["Heartbeat"] }, to = "native" }"#).await;
    let mut players = JoinSet::new();
    for number in 0..200 {
        let (address, tls) = (garden.proxy.address, garden.proxy.tls.clone());
        players.spawn(async move {
            let stream = connect(address, &tls).await.unwrap();
            let target = format!(
                "wss://localhost/api/ws?token={}",
                token(&format!("p{number}"))
            );
            let request = target.into_client_request().unwrap();
            let (socket, _) = tokio_tungstenite::client_async(request, stream)
                .await
                .unwrap();
            let mut client = Client(socket);
            client.send(create(number)).await;
            assert_eq!(client.message().await, created(number));
            client.echo(HEARTBEAT).await;
            client
        });
    }
    let mut players = players.join_all().await;
    garden.proxy.legs("node", 200.0).await;
    garden.proxy.legs("native", 200.0).await;
    garden.edit(&all("native")).await;
    for client in &mut players {
        client.echo(HEARTBEAT).await;
    }
    let Garden { node, proxy, .. } = garden;
    node.kill().await;
    proxy.legs("node", 0.0).await;
    for client in &mut players {
        client.send(create(7)).await;
    }
    for client in &mut players {
        assert_eq!(client.message().await, created(7));
    }
    drop(players);
    proxy.legs("native", 0.0).await;
}

#[tokio::test]
async fn a_hundred_creations_are_answered_in_order() {
    for to in ["node", "native"] {
        let garden = Garden::start(&all(to)).await;
        let mut client = garden.player("gardener").await;
        for number in 0..100 {
            client.send(create(number)).await;
        }
        for number in 0..100 {
            assert_eq!(client.message().await, created(number));
        }
    }
}

#[tokio::test]
async fn changes_are_pushed_to_the_other_devices() {
    let create_native =
        r#"create = { events = { game = ["CreateCelestialBody"] }, to = "native" }"#;
    let garden = Garden::start(create_native).await;
    let mut devices = [
        garden.player("gardener").await,
        garden.player("gardener").await,
    ];
    let mut stranger = garden.player("stranger").await;
    // Everybody is on both sides.
    garden.proxy.legs("native", 3.0).await;
    garden.proxy.legs("node", 3.0).await;
    for (number, rules) in [create_native, ""].into_iter().enumerate() {
        garden.edit(rules).await;
        let [first, second] = &mut devices;
        first.send(create(number)).await;
        assert_eq!(first.message().await, created(number));
        let pushed = second.message().await;
        let pushed = pushed.to_text().unwrap();
        assert!(pushed.starts_with(r#"{"type":"StateUpdate""#), "{pushed}");
        assert!(pushed.contains(&format!("惑星 {number}")), "{pushed}");
        first.echo(HEARTBEAT).await;
        stranger.echo(HEARTBEAT).await;
    }
}

#[tokio::test]
async fn the_limit_is_nodes_on_both_sides() {
    for to in ["node", "native"] {
        let garden = Garden::start(&all(to)).await;
        let mut client = garden.player("gardener").await;
        for (size, fits) in [(65_536, true), (65_537, false)] {
            let frame =
                json!({ "type": "SaveGame", "data": { "state": ["", [], 3, 4] } }).to_string();
            let filled = frame.replacen(
                "\"\"",
                &format!("\"{}\"", "x".repeat(size - frame.len())),
                1,
            );
            assert_eq!(filled.len(), size);
            client.send(filled).await;
            if fits {
                let answer = client.message().await;
                assert!(
                    answer.to_text().unwrap().contains("保存しました"),
                    "{answer}"
                );
            } else {
                assert_eq!(client.closed().await, Closed::With(1009, String::new()));
            }
        }
    }
}

/// Who answers pings stays although every message goes to the other side, and who does not is dropped.
#[tokio::test]
async fn keep_alive_is_nodes() {
    let native = "ping_interval = \"100ms\"\nclient_timeout = \"250ms\"";
    let environment = [("PING_INTERVAL", "100"), ("CLIENT_TIMEOUT", "250")];
    let rules = r#"beat = { events = { game = ["Heartbeat"] }, to = "native" }"#;
    let garden = Garden::with(&environment, native, rules).await;
    let mut client = garden.player("gardener").await;
    garden.proxy.legs("native", 1.0).await;
    let begin = Instant::now();
    let mut pings = 0;
    while begin.elapsed() < Duration::from_millis(800) {
        // The library answers.
        match client.message().await {
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    // Those of native are answered by the bridge.
    assert!((3..=9).contains(&pings), "{pings}");
    client.send(HEARTBEAT).await;
    while client.message().await != Message::text(HEARTBEAT) {}
    let target = format!("/api/ws?token={}", token("sleeper"));
    let (mut sleeper, _) = upgrade(&garden.proxy, &target, "").await;
    sleeper
        .write_all(&frame(0x81, HEARTBEAT.as_bytes()))
        .await
        .unwrap();
    let mut heard = Vec::new();
    let _ = timeout(PATIENCE, sleeper.read_to_end(&mut heard))
        .await
        .unwrap();
    assert!(heard.ends_with(&[0x89, 0]), "{heard:?}");
}

#[tokio::test]
async fn a_killed_node_is_an_abnormal_end() {
    let garden = Garden::start("").await;
    let mut client = garden.player("gardener").await;
    client.echo(HEARTBEAT).await;
    let Garden { node, proxy, .. } = garden;
    node.kill().await;
    assert_eq!(client.closed().await, Closed::Abruptly);
    let (_, head) = upgrade(&proxy, &format!("/api/ws?token={}", token("x")), "").await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}
