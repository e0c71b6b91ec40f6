//! Issue 9: a log that cannot be written, or that nobody reads, ends and delays nothing.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::certs::Ca;
use crate::support::client::{http2, request};
use crate::support::{PATIENCE, TestNode, eventually};

/// `strangler serve`, in front of a Node, with a log that says something of each request.
struct Program {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    tls: Arc<ClientConfig>,
    _folder: TempDir,
}

impl Program {
    fn start(node: &TestNode, stdout: Stdio, stderr: Stdio) -> Self {
        let (public, admin) = (free_address(), free_address());
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let ca = Ca::new();
        ca.leaf()
            .write(&path("server.pem"), &path("server-key.pem"));
        let routes = format!(
            "[server]\nlisten = \"{public}\"\ncert = \"server.pem\"\nkey = \"server-key.pem\"\n\
             [admin]\nlisten = \"{admin}\"\n[node]\nurl = \"{}\"\n",
            node.url()
        );
        std::fs::write(path("routes.toml"), routes).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_strangler"))
            .arg("serve")
            .current_dir(folder.path())
            .env("RUST_LOG", "trace")
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self {
            child,
            public,
            admin,
            // What is said of each request at this level is said of HTTP/2.
            tls: ca.client_config(&["h2"]),
            _folder: folder,
        }
    }

    /// Reads the log until the program serves, and gives the rest of it back.
    async fn until_ready(&mut self) -> impl tokio::io::AsyncRead + use<> {
        let mut log = BufReader::new(self.child.stderr.take().unwrap());
        let ready = async {
            let mut line = String::new();
            while !line.contains(": ready ") {
                line.clear();
                assert_ne!(log.read_line(&mut line).await.unwrap(), 0, "it ended");
            }
        };
        timeout(PATIENCE, ready).await.expect("it serves");
        log
    }

    async fn is_serving(&mut self) {
        let admin = self.admin;
        eventually("it serves", || async {
            TcpStream::connect(admin).await.is_ok()
        })
        .await;
    }

    async fn lost_lines(&self) -> u64 {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let head = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let mut lines = answer.lines();
        let value = lines.find_map(|line| line.strip_prefix("strangler_log_lines_lost_total "));
        value.unwrap().parse().unwrap()
    }

    /// Asks for one thing after the other until log lines are lost; each is answered.
    async fn answers_while_lines_are_lost(&mut self) {
        let mut client = http2(self.public, &self.tls).await;
        let before = self.lost_lines().await;
        let lost = async {
            while self.lost_lines().await == before {
                for _ in 0..10 {
                    ask(&mut client).await;
                }
            }
        };
        timeout(PATIENCE * 3, lost).await.expect("lines are lost");
        assert!(self.child.try_wait().unwrap().is_none(), "it lives");
    }

    /// The log in this folder says so, once it can be written again.
    async fn is_told_of_lost_lines(&self, folder: &std::path::Path) {
        let mut client = http2(self.public, &self.tls).await;
        let told = async {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap();
            while !log().contains("log lines were lost") {
                ask(&mut client).await;
            }
        };
        timeout(PATIENCE, told).await.expect("it tells");
    }

    /// SIGTERM; the end must not wait for the log either.
    async fn ends_in_order(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await;
        assert_eq!(status.expect("in time").unwrap().code(), Some(0));
    }
}

async fn ask(client: &mut SendRequest<Full<Bytes>>) {
    client.ready().await.unwrap();
    let request = request("GET", "https://localhost/x", "");
    let answer = timeout(PATIENCE, client.send_request(request)).await;
    assert_eq!(answer.expect("in time").unwrap().status(), 200);
}

/// An address that nobody has.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// It begins with a time and a level.
fn is_whole(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|time| time.ends_with('Z'))
        && words
            .next()
            .is_some_and(|level| ["TRACE", "DEBUG", "INFO", "WARN"].contains(&level))
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[tokio::test]
async fn a_log_whose_reader_left_ends_nothing() {
    let node = TestNode::echo().await;
    let mut program = Program::start(&node, Stdio::null(), Stdio::piped());
    drop(program.until_ready().await);
    program.answers_while_lines_are_lost().await;
    program.ends_in_order().await;
}

#[tokio::test]
async fn a_full_disk_under_the_log_and_standard_output_ends_nothing() {
    let node = TestNode::echo().await;
    let mut program = Program::start(&node, full().into(), full().into());
    program.is_serving().await;
    program.answers_while_lines_are_lost().await;
    program.ends_in_order().await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_delays_nothing() {
    let node = TestNode::echo().await;
    let mut program = Program::start(&node, Stdio::null(), Stdio::piped());
    let mut log = program.until_ready().await;
    program.answers_while_lines_are_lost().await;
    // Read at last, it says that there is a gap, and all of its lines are whole.
    let mut text = Vec::new();
    let told = async {
        while !String::from_utf8_lossy(&text).contains("log lines were lost") {
            assert_ne!(log.read_buf(&mut text).await.unwrap(), 0, "it ended");
        }
    };
    timeout(PATIENCE, told).await.expect("it tells");
    let text = String::from_utf8(text).unwrap();
    let (whole, _) = text.rsplit_once('\n').unwrap();
    for line in whole.lines() {
        assert!(is_whole(line), "{line}");
    }
    // And again, up to the end.
    program.answers_while_lines_are_lost().await;
    program.ends_in_order().await;
}

#[tokio::test]
async fn a_log_file_at_its_size_limit_ends_nothing() {
    let node = TestNode::echo().await;
    let folder = tempfile::tempdir().unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    let mut program = Program::start(&node, Stdio::null(), log.into());
    program.is_serving().await;
    let pid = program.child.id().unwrap().to_string();
    let limit = async |bytes: &str| {
        // The soft limit alone, so that it can be raised again.
        let limit = format!("--fsize={bytes}:");
        let set = Command::new("prlimit")
            .args([&limit, "--pid", &pid])
            .status();
        assert!(set.await.unwrap().success());
    };
    limit("10000").await;
    program.answers_while_lines_are_lost().await;
    // With room again, the log goes on, and a line that was cut does not spoil the next one.
    limit("unlimited").await;
    program.is_told_of_lost_lines(folder.path()).await;
    let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let cut = text.lines().filter(|line| !is_whole(line)).count();
    assert!(cut <= 1, "{text}");
    program.ends_in_order().await;
}
