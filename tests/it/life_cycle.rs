//! Starting, stopping, and being replaced: the program itself, as an operator runs it.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::strangler;
use crate::support::certs::Ca;
use crate::support::client::{connect, request};
use crate::support::node::read_head;
use crate::support::program::{self, Program, folder, wait_for};
use crate::support::{Client, PATIENCE, TestNode, TestProxy};

const TABLES: &str = r#"[server]
listen = "127.0.0.1:0"
cert = "server.pem"
key = "server-key.pem"
[node]
url = "http://127.0.0.1:1"
"#;

/// Runs the program in a folder: whether it exits with 0, and what it says on standard output and standard error.
pub async fn output(arguments: &[&str], folder: &Path) -> (bool, String, String) {
    program::output(strangler(), arguments, folder).await
}

#[tokio::test]
async fn the_shipped_file_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("routes.toml");
    fs::copy(shipped, folder.path().join("routes.toml")).unwrap();
    let (good, _, said) = output(&["check"], folder.path()).await;
    let told = [
        "cannot read a certificate",
        "certs/server.pem",
        "routes.toml:9:",
    ];
    assert!(
        !good && told.iter().all(|text| said.contains(text)),
        "{said}"
    );
    let (good, ..) = output(&["check", "--no-files"], folder.path()).await;
    assert!(good);
    output(&["certs"], folder.path()).await;
    let (good, rules, warnings) = output(&["check"], folder.path()).await;
    assert!(good && warnings.is_empty(), "{warnings}");
    assert!(rules.contains("routes.toml: 1 rule, no error"), "{rules}");
    let (good, line, _) = output(&["explain", "GET", "/API/cards/?x=1"], folder.path()).await;
    assert!(
        good && line.starts_with("api  /api/{*rest}  node"),
        "{line}"
    );
}

#[tokio::test]
async fn a_program_without_applications_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("{TABLES}[native]\napp = \"shop\"\n");
    fs::write(folder.path().join("routes.toml"), file).unwrap();
    let (good, _, said) = output(&["check", "--no-files"], folder.path()).await;
    let told = [
        "error[unknown-app]",
        "routes.toml:8:7",
        "start the one that was built with the application",
    ];
    assert!(
        !good && told.iter().all(|text| said.contains(text)),
        "{said}"
    );
}

#[tokio::test]
async fn explain_and_check_speak_of_messages_too() {
    let folder = tempfile::tempdir().unwrap();
    let rules = r#"
[rule.cards]
events = { readers = ["message", "/admin,*"] }
where = { "/status" = ["insert ic_log", "delete_ic"], "query:room" = "7" }
to = "node"

[rule.beat]
events = { game = ["Heartbeat"] }
to = "node"

[socket.game]
kind = "websocket"
path = "/api/ws"
mode = "bridge"
tag = "/type"

[socket.old]
kind = "socket.io"
path = "/old/"
"#;
    let readers = |mode: &str| {
        format!(
            "{TABLES}[socket.readers]\nkind = \"socket.io\"\npath = \"/socket.io/\"\nmode = {mode}\n"
        )
    };
    let bridged = readers("\"bridge\"\nnode_loss = \"resume\"");
    fs::write(folder.path().join("tunnel.toml"), readers("\"tunnel\"")).unwrap();
    fs::write(folder.path().join("routes.toml"), bridged + rules).unwrap();
    let explain = async |arguments: &[&str]| {
        let arguments = [&["explain", "--on"], arguments].concat();
        output(&arguments, folder.path()).await
    };
    let card = r#"{"status":"delete_ic","ic":"7"}"#;
    let (good, line, _) = explain(&["readers", "message", card, "--query", "room=7"]).await;
    let expected = "cards  /status = \"delete_ic\" and query:room = \"7\"  node   routes.toml:";
    assert!(good && line.starts_with(expected), "{line}");
    for (arguments, expected) in [
        (vec!["readers", "message", card], "(rest)  node\n"),
        (
            vec!["readers", "/admin,any", card, "--query", "room=7"],
            "cards  /status = ",
        ),
        (vec!["readers", "message"], "(rest)  node\n"),
        (
            vec!["game", "Heartbeat"],
            "beat  Heartbeat  node   routes.toml:",
        ),
        (
            vec!["game", "Heartbeat", r#"{"type":"Heartbeat"}"#],
            "beat  Heartbeat  node",
        ),
        (vec!["old", "any"], "old  node (a tunnel"),
    ] {
        let (good, line, error) = explain(&arguments).await;
        assert!(good && line.starts_with(expected), "{line}{error}");
    }
    for (arguments, expected) in [
        (
            vec!["raeders", "message"],
            "there is no socket `raeders`; there is readers, game, old",
        ),
        (vec!["readers", "message", "{"], "`{` is not JSON"),
        (vec!["readers", "/admin"], "a namespace ends in a comma"),
        (
            vec!["game", "Heartbeat", r#"{"type":"SaveGame"}"#],
            "/type of the message is `SaveGame`, not `Heartbeat`",
        ),
    ] {
        let (good, _, error) = explain(&arguments).await;
        assert!(!good && error.contains(expected), "{error}");
    }
    for bad in [
        &["explain", "GET"][..],
        &["explain", "G T", "/"],
        &["explain", "GET", "/ä b"],
    ] {
        let (good, _, error) = output(bad, folder.path()).await;
        assert!(
            !good && error.contains("Usage: strangler explain"),
            "{error}"
        );
    }
    let (good, text, _) = output(&["check", "--no-files"], folder.path()).await;
    assert!(good, "{text}");
    for line in [
        "socket readers  /socket.io/  bridge, node_loss resume\n",
        "socket game  /api/ws  bridge, node_loss bounce, tag /type\n",
        "socket old  /old/  tunnel to Node\n",
        "cards   node        on readers: message, /admin,*  where /status = \"insert ic_log\" or \"delete_ic\" and query:room = \"7\"\n",
        "beat    node        on game: Heartbeat\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let (good, change, _) = output(
        &["check", "--no-files", "tunnel.toml", "routes.toml"],
        folder.path(),
    )
    .await;
    let expected = "cards: new, node\n\
        beat: new, node\n\
        socket.readers: tunnel → bridge for new connections, node_loss changed\n\
        socket.game: new, bridge\n\
        socket.old: new, tunnel\n";
    assert!(good && change == expected, "{change}");
}

#[tokio::test]
async fn certs_makes_a_chain_that_clients_accept_and_keeps_its_ca() {
    let folder = tempfile::tempdir().unwrap();
    let (good, said, error) = output(
        &["certs", "--dir", "c", "localhost", "127.0.0.1"],
        folder.path(),
    )
    .await;
    assert!(good && said.contains("with a new CA"), "{said}{error}");
    let ca = fs::read(folder.path().join("c/ca.pem")).unwrap();
    let (good, said, _) = output(&["certs", "--dir", "c"], folder.path()).await;
    assert!(
        good && said.contains("signed by the CA that was there"),
        "{said}"
    );
    assert_eq!(ca, fs::read(folder.path().join("c/ca.pem")).unwrap());
    let verified = Command::new("openssl")
        .args([
            "verify",
            "-CAfile",
            "c/ca.pem",
            "-verify_hostname",
            "localhost",
            "c/server.pem",
        ])
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

#[tokio::test]
async fn sigterm_finishes_what_runs_and_exits_with_0() {
    let node = TestNode::raw(|mut stream| async move {
        if read_head(&mut stream).await.is_some() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                .await
                .unwrap();
            let mut rest = [0; 4];
            stream.read_exact(&mut rest).await.unwrap();
            stream.write_all(&rest).await.unwrap();
        }
    })
    .await;
    let ca = Ca::new();
    let (_folder, routes) = folder(&ca, &node.url(), "");
    let mut program = Program::start(strangler(), &routes).await;
    let tls = ca.client_config(&["http/1.1"]);
    let mut stream = connect(program.address, &tls).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        .await
        .unwrap();
    read_head(&mut stream).await.unwrap();
    program.signal("-TERM");
    wait_for(&mut program.log, "draining").await;
    stream.write_all(b"rest").await.unwrap();
    let mut body = [0; 8];
    stream.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"halfrest");
    let status = timeout(PATIENCE, program.child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(connect(program.address, &tls).await.is_err());
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once() {
    let node = TestNode::raw(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let ca = Ca::new();
    let (_folder, routes) = folder(&ca, &node.url(), "");
    let mut program = Program::start(strangler(), &routes).await;
    let mut stream = connect(program.address, &ca.client_config(&["http/1.1"]))
        .await
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    program.signal("-TERM");
    wait_for(&mut program.log, "draining").await;
    program.signal("-TERM");
    let status = timeout(PATIENCE, program.child.wait())
        .await
        .expect("well before the end of the drain");
    assert_eq!(status.unwrap().code(), Some(0));
}

#[tokio::test]
async fn in_a_drain_kept_connections_get_their_answer_and_a_goodbye() {
    let node = TestNode::echo().await;
    let mut proxy = TestProxy::new(&node.url(), "").await;
    let mut client = proxy.client().await;
    assert_eq!(client.get("/a").await.unwrap().header("connection"), None);
    proxy.stop.drain();
    let last = client.get("/b").await.unwrap();
    assert_eq!(
        (last.text().as_str(), last.header("connection")),
        ("node:/b", Some("close"))
    );
    timeout(PATIENCE, &mut proxy.running)
        .await
        .expect("the proxy ends")
        .unwrap();
}

#[tokio::test]
async fn sigusr2_hands_the_port_over_without_a_refused_connection() {
    let node = TestNode::echo().await;
    let ca = Ca::new();
    let (folder, routes) = folder(&ca, &node.url(), "");
    // A successor finds its socket by address, so the port must be in the file.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let file = fs::read_to_string(&routes)
        .unwrap()
        .replace("127.0.0.1:0", &free.to_string());
    fs::write(&routes, file).unwrap();
    // A newer program takes the place of the running one, as an upgrade does.
    let (running, newer) = (folder.path().join("strangler"), folder.path().join("newer"));
    for copy in [&running, &newer] {
        fs::copy(env!("CARGO_BIN_EXE_strangler"), copy).unwrap();
    }
    let mut command = Command::new(&running);
    command.kill_on_drop(true).stdin(Stdio::null());
    let mut program = Program::start(command, &routes).await;
    fs::rename(newer, running).unwrap();
    let tls = ca.client_config(&["http/1.1"]);
    let mut kept = Client::connect(free, &tls).await;
    kept.get("/before").await.unwrap();
    program.signal("-USR2");
    let successor = wait_for(&mut program.log, "started a successor").await["pid"]
        .as_u64()
        .unwrap();
    let mut answered = 0;
    let ended = async {
        loop {
            // Each on a new connection, some to the old process and some to the new one.
            let answer = Client::connect(free, &tls)
                .await
                .send(request("GET", "/x", ""))
                .await
                .unwrap();
            assert_eq!(answer.text(), "node:/x");
            answered += 1;
            if program.child.try_wait().unwrap().is_some() {
                return;
            }
        }
    };
    timeout(PATIENCE, ended)
        .await
        .expect("the predecessor ends");
    assert!(answered > 1);
    let answer = Client::connect(free, &tls)
        .await
        .get("/after")
        .await
        .unwrap();
    assert_eq!(answer.text(), "node:/after");
    assert!(
        std::process::Command::new("kill")
            .arg(successor.to_string())
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_bad_start_is_one_clear_line() {
    let ca = Ca::new();
    let (folder, routes) = folder(&ca, "http://127.0.0.1:9", "");
    let start = async |routes: &Path| {
        let arguments = ["serve", "--routes", routes.to_str().unwrap()];
        let (good, _, error) = output(&arguments, folder.path()).await;
        assert!(!good);
        error
    };
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let good = fs::read_to_string(&routes).unwrap();
    fs::write(&routes, good.replace("127.0.0.1:0", &address)).unwrap();
    let error = start(&routes).await;
    assert!(
        error.contains(&format!("cannot listen on {address}")) && error.trim().lines().count() == 1,
        "{error}"
    );
    fs::write(&routes, good.replace("server.pem", "nowhere.pem")).unwrap();
    let error = start(&routes).await;
    assert!(
        error.contains("nowhere.pem") && error.trim().lines().count() == 1,
        "{error}"
    );
    fs::write(&routes, good.replace("url =", "ulr =")).unwrap();
    let error = start(&routes).await;
    assert!(
        error.contains("error[unknown-key]") && error.contains("the proxy does not start"),
        "{error}"
    );
}

#[tokio::test]
async fn node_is_started_kept_running_and_ended() {
    let ca = Ca::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (folder, routes) = folder(
        &ca,
        &format!("http://127.0.0.1:{free}"),
        r#"command = ["node", "server.js"]"#,
    );
    let server = "const http = require('http');
        process.on('SIGTERM', () => { console.log('goodbye'); process.exit(0); });
        http.createServer((request, response) => {
            if (request.url === '/exit') process.exit(3);
            response.end(String(process.pid));
        }).listen(process.env.PORT, '127.0.0.1', () => console.log('up'));";
    fs::write(folder.path().join("server.js"), server).unwrap();
    let mut program = Program::start(strangler(), &routes).await;
    let tls = ca.client_config(&["http/1.1"]);
    let ask = async |target: &str| {
        Client::connect(program.address, &tls)
            .await
            .get(target)
            .await
            .unwrap()
    };
    wait_for(&mut program.log, "up").await;
    let first = ask("/").await.text();
    ask("/exit").await;
    wait_for(&mut program.log, "node ended").await;
    wait_for(&mut program.log, "up").await;
    let second = ask("/").await.text();
    assert!(
        second.parse::<u32>().is_ok() && first != second,
        "{first} {second}"
    );
    program.signal("-TERM");
    wait_for(&mut program.log, "goodbye").await;
    let status = timeout(PATIENCE, program.child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}
