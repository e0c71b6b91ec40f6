//! The HTTP side of Engine.IO: what Node answers is what the client gets, over HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;

use crate::support::TestProxy;
use crate::support::client::{Answer, Client, http2, request};
use crate::support::timecard::Timecard;

const PATH: &str = "/socket.io/?EIO=4&transport=polling";

/// Asks Node itself and the proxy; both must say the same.
async fn compare(timecard: &Timecard, proxy: &TestProxy, asked: Request<Full<Bytes>>) -> Answer {
    let tls = timecard.ca.client_config(&["http/1.1"]);
    let mut direct = Client::connect(timecard.address, &tls).await;
    let expected = direct.send(asked.clone()).await.unwrap();
    let answer = proxy.client().await.send(asked).await.unwrap();
    assert_eq!(answer.status, expected.status);
    assert_eq!(answer.body, expected.body);
    assert_eq!(end_to_end(&answer.headers), end_to_end(&expected.headers));
    answer
}

/// Without what concerns one connection, or the moment.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["connection", "keep-alive", "date", "x-strangler-side"] {
        headers.remove(name);
    }
    headers
}

#[tokio::test]
async fn refusals_are_node_s_own() {
    let timecard = Timecard::start().await;
    let proxy = timecard.proxy().await;
    for (method, target, body) in [
        (
            "GET",
            "/socket.io/?EIO=4&transport=polling&sid=unknown",
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            "POST",
            "/socket.io/?EIO=4&transport=polling&sid=unknown",
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            "GET",
            "/socket.io/?EIO=3&transport=polling",
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
        (
            "GET",
            "/socket.io/?EIO=4&transport=carrier-pigeon",
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            "PUT",
            "/socket.io/?EIO=4&transport=polling",
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
    ] {
        let answer = compare(&timecard, &proxy, request(method, target, "")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (400, body),
            "{target}"
        );
    }
    let nobody = compare(&timecard, &proxy, request("GET", "/socket.io", "")).await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn the_browser_s_script_is_node_s() {
    let timecard = Timecard::start().await;
    let proxy = timecard.proxy().await;
    for target in [
        "/socket.io/socket.io.js",
        "/socket.io/socket.io.js.map",
        "/socket.io/socket.io.min.js",
    ] {
        let answer = compare(&timecard, &proxy, request("GET", target, "")).await;
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.body.len() > 10_000, "{target}");
        let tag = answer.headers["etag"].clone();
        assert_eq!(tag, "\"4.7.5\"");
        let mut known = request("GET", target, "");
        known.headers_mut().insert("if-none-match", tag);
        let answer = compare(&timecard, &proxy, known).await;
        assert_eq!(answer.status, 304, "{target}");
    }
}

#[tokio::test]
async fn polling_works_over_http2() {
    let timecard = Timecard::start().await;
    let proxy = timecard.proxy().await;
    let tls = proxy.ca.client_config(&["h2"]);
    let sender = http2(proxy.address, &tls).await;
    let mut sids = Vec::new();
    for _ in 0..2 {
        let opened = ask(&sender, "GET", PATH, "").await;
        let open: serde_json::Value =
            serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["upgrades"], serde_json::json!(["websocket"]));
        let session = format!("{PATH}&sid={}", open["sid"].as_str().unwrap());
        assert_eq!(ask(&sender, "POST", &session, "40").await, "ok");
        let connected = ask(&sender, "GET", &session, "").await;
        assert!(connected.starts_with("40{\"sid\":"), "{connected}");
        if !connected.contains("hello") {
            let greeting = ask(&sender, "GET", &session, "").await;
            assert_eq!(greeting, "42[\"hello\",\"from server\"]");
        }
        sids.push(session);
    }
    // The first hears of the second.
    let greeting = ask(&sender, "GET", &sids[0], "").await;
    assert_eq!(greeting, "42[\"hello\",\"from server\"]");
    // Both polls hang on one connection while one of them posts.
    let message = "42[\"message\",{\"status\":\"delete_ic\",\"ic\":\"1\"}]";
    let (first, second, posted) = tokio::join!(
        ask(&sender, "GET", &sids[0], ""),
        ask(&sender, "GET", &sids[1], ""),
        ask(&sender, "POST", &sids[1], message),
    );
    let said = "42[\"hello\",\"{\\\"status\\\":\\\"delete_ic\\\",\\\"ic\\\":\\\"1\\\"}\"]";
    assert_eq!(
        (first.as_str(), second.as_str(), posted.as_str()),
        (said, said, "ok")
    );
}

async fn ask(sender: &SendRequest<Full<Bytes>>, method: &str, target: &str, body: &str) -> String {
    let asked = Request::builder()
        .method(method)
        .uri(format!("https://localhost{target}"))
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    let answer = sender.clone().send_request(asked);
    let answer = tokio::time::timeout(crate::support::PATIENCE, answer)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.status(), 200, "{method} {target}");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
