//! What passes between a client and Node, byte for byte.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::support::client::{connect, exchange, http2, request};
use crate::support::node::{header_lines, read_head, replying};
use crate::support::{TestNode, TestProxy};

#[tokio::test]
async fn targets_reach_node_byte_for_byte() {
    let node = TestNode::raw(|mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                target.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    for target in [
        "/",
        "//",
        "/a//b",
        "/a/./b/../c",
        "/%2e%2e/etc",
        "/a%2Fb",
        "/a%00b",
        "/a%zz",
        "/%",
        "/a;b=c",
        "/a?",
        "/?a=b?c",
        "/?q=%25%2B+x&q[]=1",
        "/\u{fc}",
        "/a|b\"c",
        "/{a}",
        "/^",
        "*",
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut stream)
            .await
            .unwrap_or_else(|| panic!("closed at {target}"));
        assert!(head.starts_with("HTTP/1.1 200"), "{target}: {head}");
        let mut body = vec![0; header_lines(&head)["content-length"].parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&body), target);
    }
}

#[tokio::test]
async fn targets_that_cannot_be_held_are_refused() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for target in ["/`", "/?<>", "/\u{7f}", "a", "/a b"] {
        let asked = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = exchange(proxy.address, &proxy.tls, asked.as_bytes()).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400"),
            "{target}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert!(node.seen().is_empty());
}

#[tokio::test]
async fn forwarding_fields_are_rebuilt_and_hop_by_hop_fields_dropped() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut asked = request("GET", "/x", "");
    for (name, value) in [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "http"),
        ("x_forwarded_for", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("connection", "x-private, cookie"),
        ("x-private", "1"),
        ("cookie", "a=1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers, deflate"),
        ("proxy-authorization", "Basic x"),
        ("x-strangler-side", "native"),
    ] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    proxy.client().await.send(asked).await.unwrap();
    let headers = &node.seen()[0].headers;
    let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "cookie",
            "forwarded",
            "host",
            "te",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-real-ip"
        ]
    );
    let port = proxy.address.port().to_string();
    assert_eq!(headers["host"], "localhost");
    assert_eq!(headers["te"], "trailers");
    let via = headers["via"].to_str().unwrap();
    assert!(via.starts_with("1.1 strangler-"), "{via}");
    assert_eq!(headers["x-real-ip"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-host"], "localhost");
    assert_eq!(headers["x-forwarded-port"], port.as_str());
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(
        headers["forwarded"],
        "for=127.0.0.1;host=\"localhost\";proto=https"
    );
}

#[tokio::test]
async fn trusted_proxies_are_believed() {
    let node = TestNode::echo().await;
    let rules = r#"[rule]
client = { http = ["GET /client"], to = "native" }"#;
    let proxy = TestProxy::new(&node.url(), rules).await;
    let routes = std::fs::read_to_string(proxy.routes()).unwrap();
    let trusting = routes.replace("[server]", "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    std::fs::write(proxy.routes(), trusting).unwrap();
    crate::support::eventually("the peer is trusted", || async {
        let mut asked = request("GET", "/client", "");
        asked
            .headers_mut()
            .insert("x-forwarded-for", "203.0.113.7, 127.0.0.9".parse().unwrap());
        proxy.client().await.send(asked).await.unwrap().text() == "203.0.113.7"
    })
    .await;
    let mut asked = request("GET", "/node", "");
    asked
        .headers_mut()
        .insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
    asked
        .headers_mut()
        .insert("x-forwarded-host", "public.example".parse().unwrap());
    proxy.client().await.send(asked).await.unwrap();
    let seen = node.seen();
    assert_eq!(seen[0].headers["x-forwarded-for"], "203.0.113.7, 127.0.0.1");
    assert_eq!(seen[0].headers["x-forwarded-host"], "public.example");
}

#[tokio::test]
async fn answers_pass_with_their_case_and_every_cookie() {
    let node = replying(
        "HTTP/1.1 201 Fine\r\nX-CamelCase: Yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Hop, keep-alive\r\n\
         X-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let raw = exchange(
        proxy.address,
        &proxy.tls,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    let answer = String::from_utf8(raw).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.contains("\r\nX-CamelCase: Yes\r\n"), "{answer}");
    assert!(
        answer.contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"),
        "{answer}"
    );
    assert!(
        !answer.to_lowercase().contains("x-hop") && !answer.to_lowercase().contains("keep-alive"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn request_headers_keep_their_case() {
    let node = TestNode::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        let found = head.contains("\r\nX-ReaderId: 7\r\n");
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{found:5}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let asked = b"GET / HTTP/1.1\r\nHost: a\r\nX-ReaderId: 7\r\nConnection: close\r\n\r\n";
    let answer = exchange(proxy.address, &proxy.tls, asked).await;
    assert!(String::from_utf8_lossy(&answer).ends_with("true "));
}

#[tokio::test]
async fn locations_of_node_s_own_address_become_public() {
    let node = TestNode::answering(|seen| {
        let location = seen.headers["x-location"].clone();
        (http::StatusCode::FOUND, [("location", location)])
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let own = node.url();
    for (said, expected) in [
        (
            format!("{own}/login?a=1"),
            "https://localhost/login?a=1".to_owned(),
        ),
        (own.clone(), "https://localhost".to_owned()),
        (format!("{own}9/x"), format!("{own}9/x")),
        ("/relative".to_owned(), "/relative".to_owned()),
        (
            "https://elsewhere.example/".to_owned(),
            "https://elsewhere.example/".to_owned(),
        ),
    ] {
        let mut asked = request("GET", "/", "");
        asked
            .headers_mut()
            .insert("x-location", said.parse().unwrap());
        let answer = proxy.client().await.send(asked).await.unwrap();
        assert_eq!(answer.header("location"), Some(expected.as_str()));
    }
}

#[tokio::test]
async fn bodies_of_any_method_reach_node_as_bodies() {
    let node = TestNode::answering(|seen| {
        format!("{}:{}", seen.method, String::from_utf8_lossy(&seen.body))
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for method in ["GET", "OPTIONS", "POST", "DELETE", "PROPFIND"] {
        let sized = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        );
        let chunked = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        );
        for asked in [sized, chunked] {
            let answer = exchange(proxy.address, &proxy.tls, asked.as_bytes()).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.ends_with(&format!("{method}:hello")),
                "{asked}\n{answer}"
            );
        }
    }
    assert_eq!(node.seen().len(), 10);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let trailers = || {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "abc".parse().unwrap());
        trailers
    };
    let node = TestNode::router(Router::new().fallback(
        async move |request: axum::extract::Request| {
            let received = request.into_body().collect().await.unwrap();
            let said = received
                .trailers()
                .is_some_and(|trailers| trailers["x-checksum"] == "up");
            let frames: [Result<Frame<Bytes>, std::convert::Infallible>; 2] = [
                Ok(Frame::data(said.to_string().into())),
                Ok(Frame::trailers(trailers())),
            ];
            let body = Body::new(StreamBody::new(tokio_stream::iter(frames)));
            ([("trailer", "x-checksum")], body)
        },
    ))
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let asked = b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x-checksum\r\nTransfer-Encoding: chunked\r\n\
        Connection: close, TE\r\n\r\n1\r\nx\r\n0\r\nx-checksum: up\r\n\r\n";
    let answer = String::from_utf8(exchange(proxy.address, &proxy.tls, asked).await).unwrap();
    assert!(
        answer.contains("\r\n\r\n4\r\ntrue\r\n0\r\nx-checksum: abc\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn events_stream_without_waiting_for_the_end() {
    let (events, receiver) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(1);
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let node = TestNode::router(Router::new().route(
        "/events",
        get(move || {
            let receiver = receiver.lock().unwrap().take().unwrap();
            async {
                (
                    [("content-type", "text/event-stream")],
                    Body::from_stream(ReceiverStream::new(receiver)),
                )
            }
        }),
    ))
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    stream
        .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(
        read_head(&mut stream)
            .await
            .unwrap()
            .contains("text/event-stream")
    );
    for number in 0..3 {
        let event = format!("data: {number}\n\n");
        events.send(Ok(event.clone().into())).await.unwrap();
        // The next event is sent only when this one is here.
        let mut chunk = vec![0; event.len() + 5];
        stream.read_exact(&mut chunk).await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&chunk),
            format!("{:X}\r\n{event}\r\n", event.len())
        );
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_node_s() {
    let asked = Arc::new(Notify::new());
    let go = Arc::clone(&asked);
    let node = TestNode::raw(move |mut stream| {
        let go = Arc::clone(&go);
        async move {
            let head = read_head(&mut stream).await.unwrap();
            assert!(
                head.to_lowercase().contains("expect: 100-continue"),
                "{head}"
            );
            go.notified().await;
            stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .unwrap();
            let mut body = [0; 5];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"hello");
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut early = [0; 1];
    let silence = tokio::time::timeout(
        std::time::Duration::from_millis(100),
        stream.read(&mut early),
    )
    .await;
    assert!(silence.is_err(), "nobody but Node says 100");
    asked.notify_one();
    assert!(
        read_head(&mut stream)
            .await
            .unwrap()
            .starts_with("HTTP/1.1 100")
    );
    stream.write_all(b"hello").await.unwrap();
    assert!(
        read_head(&mut stream)
            .await
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn a_final_answer_instead_of_100_passes_without_the_body() {
    let node = replying("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let answer = exchange(proxy.address, &proxy.tls, head).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 417"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn early_hints_are_consumed_and_counted() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(3);
    let node = replying(format!(
        "{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    ))
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    assert_eq!(proxy.get("/").await.text(), "ok");
    assert_eq!(proxy.metric("strangler_informational_total").await, 3.0);
}

#[tokio::test]
async fn one_valid_host_is_required() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n",
        "GET http://a/ HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
    ] {
        let answer = exchange(
            proxy.address,
            &proxy.tls,
            format!("{head}Connection: close\r\n\r\n").as_bytes(),
        )
        .await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400") || answer.starts_with(b"HTTP/1.0 400"),
            "{head}"
        );
    }
    assert!(node.seen().is_empty());
    let absolute = b"GET http://a/x?y HTTP/1.1\r\nHost: A\r\nConnection: close\r\n\r\n";
    let answer = exchange(proxy.address, &proxy.tls, absolute).await;
    assert!(
        answer.ends_with(b"node:/x?y"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let connect = b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n";
    let answer = exchange(proxy.address, &proxy.tls, connect).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 405"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn http2_requests_become_one_clean_http1_request() {
    let node = TestNode::answering(|seen| {
        format!("{}|{}", seen.target, String::from_utf8_lossy(&seen.body))
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut sender = http2(proxy.address, &proxy.ca.client_config(&["h2"])).await;
    let asked = Request::post("https://card.example/a?b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::new(Bytes::from("body")))
        .unwrap();
    let answer = sender.send_request(asked).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "/a?b|body"
    );
    let seen = &node.seen()[0];
    assert_eq!(seen.headers["host"], "card.example");
    assert_eq!(seen.headers["cookie"], "a=1; b=2");
    let torn = Request::get("https://card.example/").header("host", "other.example");
    let answer = sender
        .send_request(torn.body(Full::default()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn bodies_over_the_limit_get_413() {
    let node = TestNode::router(
        Router::new().route("/", post(async |body: Bytes| body.len().to_string())),
    )
    .await;
    let proxy = TestProxy::new(&node.url(), "[limits]\nbody = \"1KiB\"").await;
    let fits = proxy.send("POST", "/", vec![b'x'; 1024]).await;
    assert_eq!(fits.text(), "1024");
    let declared = proxy.send("POST", "/", vec![b'x'; 1025]).await;
    assert_eq!(declared.status, 413);
    let mut chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..3 {
        chunked.extend_from_slice(b"200\r\n");
        chunked.extend_from_slice(&[b'x'; 512]);
        chunked.extend_from_slice(b"\r\n");
    }
    let answer = exchange(proxy.address, &proxy.tls, &chunked).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn other_transfer_codings_than_chunked_are_refused() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    for codings in [
        "gzip, chunked",
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
    ] {
        let asked = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: {codings}\r\n\r\n0\r\n\r\n"
        );
        let answer = exchange(proxy.address, &proxy.tls, asked.as_bytes()).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400"),
            "{codings}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert!(node.seen().is_empty());
}

#[tokio::test]
async fn a_malformed_body_is_the_client_s_fault() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let asked =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n";
    let answer = exchange(proxy.address, &proxy.tls, asked).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("bad-body"),
        "{answer}"
    );
    assert_eq!(
        proxy
            .metric(r#"strangler_node_errors_total{reason="broken"}"#)
            .await,
        0.0
    );
}

#[tokio::test]
async fn a_body_passes_with_an_upgrade_that_node_ignores() {
    let node = TestNode::answering(|seen| seen.body.clone()).await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let asked = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: foo\r\n\
        Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = exchange(proxy.address, &proxy.tls, asked).await;
    assert!(
        answer.ends_with(b"hello"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn heads_over_the_limit_get_431_or_414() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let header = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n",
        "x".repeat(1024 * 1024)
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(65 * 1024));
    for (asked, status) in [(header, "431"), (target, "414")] {
        let answer = exchange(proxy.address, &proxy.tls, asked.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        // A head over the limit of heads may be found before its target is.
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
    }
    assert!(node.seen().is_empty());
}
