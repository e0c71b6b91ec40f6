//! Real Express is the judge of paths: native never answers what Express 4 or 5, flat or mounted, would not have
//! matched, and its handlers get the parameters that Express would have given.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::{MethodFilter, on};
use http::{HeaderMap, Method, Request, Uri};
use serde_json::{Value, json};
use strangler::routing::{Reason, RequestHead, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use crate::support::client::connect;
use crate::support::node::{header_lines, read_head};
use crate::support::{TestNode, TestProxy};

mod cases;
mod express;
mod table;

use cases::{ROUTES, cases};
use express::ask_express;
use table::table;

#[tokio::test]
async fn native_never_answers_what_express_would_not_have_matched() {
    let cases = cases();
    assert!(cases.len() >= 2_000, "{}", cases.len());
    let verdicts = ask_express(&cases);
    assert_eq!(verdicts.len(), cases.len());
    let sides: Vec<_> = (0..ROUTES.len())
        .map(|route| (table(route), axum(route)))
        .collect();
    let mut losses: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut natives = 0;
    for (case, verdict) in cases.iter().zip(&verdicts) {
        let (table, axum) = &sides[case.route];
        let bytes: Vec<u8> = case
            .target
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        // What the server does with a request line.
        let Ok(uri) = Uri::try_from(bytes) else {
            if verdict.all_match() {
                losses
                    .entry("no http::Uri holds it: 400".to_owned())
                    .or_default()
                    .push(&case.target);
            }
            continue;
        };
        let method = Method::try_from(case.method).unwrap();
        let (headers, address) = (HeaderMap::new(), IpAddr::from([127, 0, 0, 1]));
        let route = table.route(&RequestHead {
            method: &method,
            uri: &uri,
            headers: &headers,
            address,
        });
        if route.side == Side::Native {
            natives += 1;
            let path = route.native_path.as_deref().unwrap_or(uri.path());
            let params = ask_axum(axum, &method, path).await;
            for (app, expected) in verdict.params.iter().enumerate() {
                assert!(
                    expected.is_some(),
                    "native answers what application {app} would not: {case:?}"
                );
                assert_eq!(
                    params.as_ref(),
                    expected.as_ref(),
                    "other parameters than application {app}: {case:?} {path}"
                );
            }
        } else if verdict.all_match() {
            // Nothing else may be lost than what the table gives up on purpose.
            assert!(
                matches!(route.reason, Reason::Ambiguous | Reason::NoEndpoint),
                "{:?} {case:?}",
                route.reason
            );
            losses
                .entry(format!("{:?}", route.reason))
                .or_default()
                .push(&case.target);
        }
    }
    assert!(natives > 500, "{natives}");
    report(cases.len(), natives, &losses);
}

#[tokio::test]
async fn every_target_reaches_node_byte_for_byte() {
    let node = TestNode::raw(|mut stream| async move {
        while let Some(target) = read_target(&mut stream).await {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                target.len()
            );
            let answer = [head.as_bytes(), &target].concat();
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    })
    .await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    let (mut passed, mut refused) = (0, 0);
    let targets: BTreeSet<String> = cases().into_iter().map(|case| case.target).collect();
    for text in targets {
        let target: Vec<u8> = text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        let asked = [
            b"GET ",
            &target[..],
            b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ]
        .concat();
        stream.write_all(&asked).await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        if !head.starts_with("HTTP/1.1 200") {
            // What no `http::Uri` can hold is refused, and what is no path; the connection goes with it. With a
            // fragment it depends on what follows.
            assert!(head.starts_with("HTTP/1.1 400"), "{:?}: {head}", text);
            let plain = |byte: &u8| *byte > b' ' && !matches!(byte, b'#' | 0x7f);
            let printable = target.iter().all(plain);
            let held = printable && Uri::try_from(&target[..]).is_ok();
            assert!(!held || !target.starts_with(b"/"), "{:?}: {head}", text);
            stream = connect(proxy.address, &proxy.tls).await.unwrap();
            refused += 1;
            continue;
        }
        let mut echoed = vec![0; header_lines(&head)["content-length"].parse().unwrap()];
        stream.read_exact(&mut echoed).await.unwrap();
        // `http::Uri` drops a fragment, which no client sends.
        let sent = target.split(|byte| *byte == b'#').next().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&echoed),
            String::from_utf8_lossy(sent),
            "{}",
            text
        );
        passed += 1;
    }
    assert!(
        passed > 1_000 && refused > 10,
        "{passed} passed, {refused} refused"
    );
}

/// The target of the next request, as bytes.
async fn read_target(stream: &mut tokio::net::TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    head.split(|byte| *byte == b' ').nth(1).map(<[u8]>::to_vec)
}

#[expect(
    clippy::print_stdout,
    reason = "the list of differences is what one reads this test for"
)]
fn report(cases: usize, natives: usize, losses: &BTreeMap<String, Vec<&str>>) {
    println!(
        "{cases} requests, {natives} answered by native, all of them as by Express 4 and 5, flat and mounted"
    );
    for (reason, targets) in losses {
        let examples: Vec<_> = targets.iter().step_by(targets.len() / 8 + 1).collect();
        println!(
            "{} go to Node although Express matches: {reason}, such as {examples:?}",
            targets.len()
        );
    }
}

fn axum(route: usize) -> Router {
    let (method, path) = ROUTES[route].1.split_once(' ').unwrap();
    let method = if method == "GET" {
        MethodFilter::GET
    } else {
        MethodFilter::POST
    };
    let echo =
        |Path(params): Path<HashMap<String, String>>| async move { json!(params).to_string() };
    Router::new().route(path, on(method, echo))
}

/// The parameters that a handler gets, `None` where axum finds none. Of HEAD it keeps the body to itself.
async fn ask_axum(router: &Router, method: &Method, path: &str) -> Option<Value> {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    if !response.status().is_success() {
        return None;
    }
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    Some(serde_json::from_slice(&body).unwrap())
}
