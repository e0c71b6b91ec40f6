//! Logins that Node keeps on the connection (NTLM, Negotiate): issue 9. Whoever logs in on a connection to Node is that
//! user for every request that follows on it, so no other client may ever come to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{connect, http2, request};
use crate::support::node::{header_lines, read_head};
use crate::support::{Client, TestNode, TestProxy, eventually};

/// A Node that remembers on each connection who has logged in there. `NTLM hello` begins a login, `NTLM USER` ends it;
/// `Negotiate USER` is the single round of Kerberos. The answer names the user, `nobody` is a 401 with `challenge`.
struct LoginNode {
    node: TestNode,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl LoginNode {
    async fn new() -> Self {
        Self::challenging("WWW-Authenticate: NTLM\r\n").await
    }

    async fn challenging(challenge: &'static str) -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&open);
        let node = TestNode::raw(move |stream| {
            count.fetch_add(1, Ordering::SeqCst);
            serve(stream, challenge, Open(Arc::clone(&count)))
        })
        .await;
        Self { node, open }
    }

    async fn proxy(&self) -> TestProxy {
        TestProxy::new(&self.node.url(), "").await
    }

    fn connections(&self) -> usize {
        self.node.connections.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, challenge: &'static str, _open: Open) {
    let (mut begun, mut user) = (false, None::<String>);
    while let Some(head) = read_head(&mut stream).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let lines = header_lines(&head);
        if let Some(length) = lines.get("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).await.unwrap();
        }
        let said = lines.get("authorization").map(String::as_str);
        let (scheme, token) = said
            .and_then(|said| said.split_once(' '))
            .unwrap_or_default();
        match (scheme.to_ascii_lowercase().as_str(), token.trim()) {
            ("ntlm", "hello") => (begun, user) = (true, None),
            ("ntlm", name) if begun => user = Some(name.to_owned()),
            ("negotiate" | "kerberos", name) => user = Some(name.to_owned()),
            _ => {}
        }
        if path == "/close" {
            return;
        }
        let answer = match &user {
            Some(_) if lines.contains_key("upgrade") => {
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n".to_owned()
            }
            Some(user) if path == "/long" => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{user}")
            }
            Some(user) => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{user}", user.len())
            }
            None if begun => {
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM token\r\nContent-Length: 6\r\n\r\nnobody".to_owned()
            }
            None => format!("HTTP/1.1 401 Unauthorized\r\n{challenge}Content-Length: 6\r\n\r\nnobody"),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn saying(authorization: &str) -> Request<Full<Bytes>> {
    let mut asked = request("GET", "/", "");
    let value = authorization.parse().unwrap();
    asked.headers_mut().insert("authorization", value);
    asked
}

async fn log_in(client: &mut Client, user: &str) {
    assert_eq!(client.get("/").await.unwrap().text(), "nobody");
    let hello = client.send(saying("NTLM hello")).await.unwrap();
    assert_eq!(hello.header("www-authenticate"), Some("NTLM token"));
    let answer = client.send(saying(&format!("NTLM {user}"))).await.unwrap();
    assert_eq!(answer.text(), user);
}

/// Nobody else is taken for the user, on as many connections as Node has.
async fn others_are_nobody(proxy: &TestProxy) {
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = proxy.client().await;
        assert_eq!(client.get("/").await.unwrap().text(), "nobody");
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.get("/").await.unwrap().text(), "nobody");
    }
}

#[tokio::test]
async fn a_login_is_that_of_one_client_connection() {
    let node = LoginNode::new().await;
    let proxy = node.proxy().await;
    let (mut anna, mut berta) = (proxy.client().await, proxy.client().await);
    log_in(&mut anna, "anna").await;
    log_in(&mut berta, "berta").await;
    others_are_nobody(&proxy).await;
    for _ in 0..3 {
        assert_eq!(anna.get("/").await.unwrap().text(), "anna");
        assert_eq!(berta.get("/").await.unwrap().text(), "berta");
    }
}

#[tokio::test]
async fn connections_without_such_a_login_are_shared() {
    for challenge in [
        "",
        "WWW-Authenticate: Basic realm=\"a\"\r\n",
        "WWW-Authenticate: Digest realm=\"NTLM\", nonce=\"Negotiate\"\r\nWWW-Authenticate: Bearer\r\n",
    ] {
        let node = LoginNode::challenging(challenge).await;
        let proxy = node.proxy().await;
        for _ in 0..8 {
            let mut client = proxy.client().await;
            client
                .send(saying("Basic bnRsbTpuZWdvdGlhdGU="))
                .await
                .unwrap();
            client.send(saying("Bearer NTLM")).await.unwrap();
        }
        // One for each accepting thread at most, and not one for each client.
        let threads = std::thread::available_parallelism().unwrap().get();
        assert!(
            node.connections() <= threads,
            "{challenge}: {}",
            node.connections()
        );
    }
}

#[tokio::test]
async fn every_spelling_of_a_challenge_counts() {
    for challenge in [
        "WWW-Authenticate: NTLM\r\n",
        "www-authenticate: nTlM\r\n",
        "WWW-Authenticate: Negotiate\r\n",
        "WWW-Authenticate: negotiate YII=\r\n",
        "WWW-Authenticate: Kerberos\r\n",
        "WWW-Authenticate: Basic realm=\"a, b\", NTLM\r\n",
        "WWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate:\tNEGOTIATE\r\n",
        "WWW-Authenticate: Negotiate,NTLM\r\n",
        "WWW-Authenticate: Basic realm=\"gr\u{fc}n\" , NTLM\r\n",
        "WWW-Authenticate: , ,NTLM ,\r\n",
        "Proxy-Authenticate: Negotiate\r\n",
    ] {
        let node = LoginNode::challenging(challenge).await;
        let proxy = node.proxy().await;
        let mut first = proxy.client().await;
        first.get("/").await.unwrap();
        first.get("/").await.unwrap();
        assert_eq!(
            node.connections(),
            1,
            "{challenge}: its own connection goes on"
        );
        for others in 2..6 {
            proxy.get("/").await;
            assert_eq!(
                node.connections(),
                others,
                "{challenge}: nobody else has it"
            );
        }
    }
}

/// Kerberos needs no challenge: the first request may carry the ticket, and its answer says nothing.
#[tokio::test]
async fn a_login_without_a_challenge_is_seen_in_the_request() {
    for (authorization, user) in [
        ("Negotiate anna", "anna"),
        ("nEGOTIATE  anna", "anna"),
        ("Kerberos anna", "anna"),
    ] {
        let node = LoginNode::challenging("").await;
        let proxy = node.proxy().await;
        // Connections that wait in the pools.
        others_are_nobody(&proxy).await;
        let mut client = proxy.client().await;
        let answer = client.send(saying(authorization)).await.unwrap();
        assert_eq!(answer.text(), user);
        others_are_nobody(&proxy).await;
        assert_eq!(client.get("/").await.unwrap().text(), user);
    }
}

async fn ask(
    sender: &mut http2::SendRequest<Full<Bytes>>,
    authorization: Option<&str>,
) -> (StatusCode, String) {
    let mut asked = Request::get("https://localhost/")
        .body(Full::default())
        .unwrap();
    if let Some(authorization) = authorization {
        let value = authorization.parse().unwrap();
        asked.headers_mut().insert("authorization", value);
    }
    let answer = sender.send_request(asked).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn streams_of_a_client_take_turns_on_its_connection() {
    let node = LoginNode::new().await;
    let proxy = node.proxy().await;
    let tls = proxy.ca.client_config(&["h2"]);
    let mut sender = http2(proxy.address, &tls).await;
    ask(&mut sender, None).await;
    ask(&mut sender, Some("NTLM hello")).await;
    assert_eq!(ask(&mut sender, Some("NTLM anna")).await.1, "anna");
    let before = node.connections();
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut sender = sender.clone();
        streams.spawn(async move { ask(&mut sender, None).await });
    }
    while let Some(answer) = streams.join_next().await {
        assert_eq!(answer.unwrap(), (StatusCode::OK, "anna".to_owned()));
    }
    assert_eq!(node.connections(), before);
    others_are_nobody(&proxy).await;
    let mut other = http2(proxy.address, &tls).await;
    assert_eq!(ask(&mut other, None).await.1, "nobody");
}

/// Streams that are challenged at once: one connection is kept, the others nobody gets.
#[tokio::test]
async fn streams_that_are_challenged_at_once_keep_one_connection() {
    let node = LoginNode::new().await;
    let proxy = node.proxy().await;
    let sender = http2(proxy.address, &proxy.ca.client_config(&["h2"])).await;
    let mut streams = tokio::task::JoinSet::new();
    for stream in 0..20 {
        let mut sender = sender.clone();
        let says = (stream % 2 == 0).then_some("NTLM hello");
        streams.spawn(async move { ask(&mut sender, says).await });
    }
    while let Some(answer) = streams.join_next().await {
        assert_eq!(answer.unwrap().1, "nobody");
    }
    eventually("one connection to node is left", || async {
        node.open.load(Ordering::SeqCst) == 1
    })
    .await;
    let mut sender = sender;
    ask(&mut sender, Some("NTLM hello")).await;
    assert_eq!(ask(&mut sender, Some("NTLM anna")).await.1, "anna");
    assert_eq!(ask(&mut sender, None).await.1, "anna");
    others_are_nobody(&proxy).await;
}

/// Node forgets the login when it closes the connection, as without the proxy. The next one is the client's own again.
#[tokio::test]
async fn a_connection_that_node_closed_is_followed_by_another_of_its_own() {
    let node = LoginNode::new().await;
    let proxy = node.proxy().await;
    let mut client = proxy.client().await;
    log_in(&mut client, "anna").await;
    let answer = client.get("/close").await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    others_are_nobody(&proxy).await;
    log_in(&mut client, "anna").await;
    others_are_nobody(&proxy).await;
    assert_eq!(client.get("/").await.unwrap().text(), "anna");
}

#[tokio::test]
async fn the_connection_ends_with_its_client() {
    let node = LoginNode::new().await;
    let proxy = node.proxy().await;
    let mut client = proxy.client().await;
    log_in(&mut client, "anna").await;
    assert_eq!(node.open.load(Ordering::SeqCst), 1);
    drop(client);
    eventually("node sees the end", || async {
        node.open.load(Ordering::SeqCst) == 0
    })
    .await;
    others_are_nobody(&proxy).await;
}

/// An answer that is not read to its end closes the connection with its login; the client logs in again.
#[tokio::test]
async fn an_answer_that_is_given_up_ends_the_login() {
    let node = LoginNode::new().await;
    let proxy = node.proxy().await;
    let mut sender = http2(proxy.address, &proxy.ca.client_config(&["h2"])).await;
    assert_eq!(ask(&mut sender, Some("Negotiate anna")).await.1, "anna");
    let long = Request::get("https://localhost/long")
        .body(Full::default())
        .unwrap();
    let answer = sender.send_request(long).await.unwrap();
    drop(answer);
    eventually("the stream is reset", || async {
        node.open.load(Ordering::SeqCst) == 0
    })
    .await;
    assert_eq!(ask(&mut sender, None).await.1, "nobody");
    assert_eq!(ask(&mut sender, Some("Negotiate anna")).await.1, "anna");
    others_are_nobody(&proxy).await;
}

#[tokio::test]
async fn an_upgrade_takes_the_connection_along() {
    let node = LoginNode::new().await;
    let proxy = node.proxy().await;
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    for (says, status) in [
        ("Authorization: NTLM hello\r\n", "HTTP/1.1 401"),
        ("Authorization: NTLM anna\r\n", "HTTP/1.1 101"),
    ] {
        let asked = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: lines\r\n{says}\r\n"
        );
        stream.write_all(asked.as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.starts_with(status), "{head}");
        if let Some(length) = header_lines(&head).get("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).await.unwrap();
        }
    }
    // The tunnel ends at the same connection: Node goes on with it in HTTP.
    let asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    others_are_nobody(&proxy).await;
}

#[tokio::test]
async fn another_node_gets_a_connection_of_its_own() {
    let (old, new) = (LoginNode::new().await, LoginNode::new().await);
    let proxy = old.proxy().await;
    let mut client = proxy.client().await;
    log_in(&mut client, "anna").await;
    proxy.edit(&new.node.url(), "").await;
    log_in(&mut client, "berta").await;
    others_are_nobody(&proxy).await;
    assert_eq!(new.connections(), 1 + 8);
    assert_eq!(client.get("/").await.unwrap().text(), "berta");
}
