//! `strangler::express` beside the real Express and the real V8, on generated cases.

use std::process::Stdio;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn;
use axum::routing::any;
use http::{StatusCode, header};
use strangler::express::{self, Json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::wire::{NodeServer, ask, serve};

const ORIGINAL: &str = r#"
const app = require('express')();
app.all('/json', (request, response) => response.json([1]));
app.all('/missing', (request, response) => response.status(404).json({ error: 'no' }));
app.all('/broken', (request, response) => response.status(500).json({ error: 'no' }));
app.all('/created', (request, response) => response.status(201).json({}));
app.all('/text', (request, response) => response.type('txt').send('ü'));
app.all('/empty-text', (request, response) => response.type('txt').send(''));
app.all('/no-content', (request, response) => response.status(204).end());
app.all('/end', (request, response) => response.end());
app.all('/tagged', (request, response) => response.set('ETag', '"mine"').json([1]));
app.all('/dated', (request, response) => response.set('Last-Modified', 'Sun, 22 Nov 2026 05:00:00 GMT').json([1]));
const server = app.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
"#;

const PATHS: [&str; 10] = [
    "/json",
    "/missing",
    "/broken",
    "/created",
    "/text",
    "/empty-text",
    "/no-content",
    "/end",
    "/tagged",
    "/dated",
];

fn router() -> Router {
    let text = |text: &'static str| async move { text };
    let error =
        |status| move || async move { (status, Json(serde_json::json!({ "error": "no" }))) };
    let date = (header::LAST_MODIFIED, "Sun, 22 Nov 2026 05:00:00 GMT");
    Router::new()
        .route("/json", any(|| async { Json([1]) }))
        .route("/missing", any(error(StatusCode::NOT_FOUND)))
        .route("/broken", any(error(StatusCode::INTERNAL_SERVER_ERROR)))
        .route(
            "/created",
            any(|| async { (StatusCode::CREATED, Json(serde_json::json!({}))) }),
        )
        .route("/text", any(move || text("ü")))
        .route("/empty-text", any(move || text("")))
        .route("/no-content", any(|| async { StatusCode::NO_CONTENT }))
        .route("/end", any(|| async { Body::empty() }))
        .route(
            "/tagged",
            any(|| async { ([(header::ETAG, "\"mine\"")], Json([1])) }),
        )
        .route("/dated", any(move || async move { ([date], Json([1])) }))
        .layer(from_fn(express::send))
}

/// The values of `If-None-Match` that are of interest for a tag.
fn matches(tag: &str) -> Vec<Vec<u8>> {
    let strong = tag.trim_start_matches("W/");
    let mut values: Vec<Vec<u8>> = vec![Vec::new()];
    let items = [
        "*",
        tag,
        strong,
        &format!("W/{tag}"),
        "\"x\"",
        "W/\"x\"",
        "",
        &tag.to_lowercase(),
        &strong[1..],
    ];
    for item in items {
        values.push(item.into());
        for separator in [",", ", ", " ,", ",\t", "\t,", " , , ", ";", " "] {
            values.push(format!("\"x\"{separator}{item}").into());
            values.push(format!("{item}{separator}\"x\"").into());
        }
        values.push([b"\xa0", item.as_bytes()].concat());
    }
    values
}

#[tokio::test]
async fn answers_are_those_of_express() {
    let original = NodeServer::start(&["-e", ORIGINAL], &[]).await;
    let node = original.address;
    let (native, _server) = serve(router()).await;
    for path in PATHS {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let plain = ask(node, method, path, "").await;
            assert_eq!(
                ask(native, method, path, "").await,
                plain,
                "{method} {path}"
            );
            for value in ["*", plain.header("etag").unwrap_or("\"x\"")] {
                let headers = format!("If-None-Match: {value}\r\n");
                assert_eq!(
                    ask(native, method, path, &headers).await,
                    ask(node, method, path, &headers).await,
                    "{method} {path} {value}"
                );
            }
        }
    }
}

#[tokio::test]
async fn freshness_is_that_of_express() {
    let original = NodeServer::start(&["-e", ORIGINAL], &[]).await;
    let node = original.address;
    let (native, _server) = serve(router()).await;
    let mut fresh = 0;
    let mut cases = Vec::new();
    for path in ["/json", "/tagged", "/dated"] {
        let plain = ask(node, "GET", path, "").await;
        for value in matches(plain.header("etag").expect("an ETag")) {
            cases.push((
                path,
                [b"If-None-Match: ", value.as_slice(), b"\r\n"].concat(),
            ));
        }
    }
    let controls: [&[u8]; 16] = [
        b"no-cache",
        b"NO-CACHE",
        b"no-cache=\"x\"",
        b"max-age=0",
        b"max-age=0, no-cache",
        b"no-cache,",
        b",no-cache",
        b"x,\t no-cache \t,y",
        b"x no-cache",
        b"no-cache;x",
        b"\xa0no-cache",
        b"no-cache\xa0,x",
        b"x,\x85no-cache",
        b"",
        b"no-cache\r\nCache-Control: x",
        b"no-store, no-\r\nCache-Control: cache",
    ];
    for control in controls {
        cases.push((
            "/json",
            [b"If-None-Match: *\r\nCache-Control: ", control, b"\r\n"].concat(),
        ));
    }
    for lines in [
        "If-None-Match: \"x\"\r\nIf-None-Match: *\r\n",
        "If-None-Match: \"x\"\r\nIf-None-Match: \"mine\"\r\n",
        "If-Modified-Since: Sun, 22 Nov 2026 05:00:00 GMT\r\n",
        "If-Modified-Since: Sun, 22 Nov 2026 04:59:59 GMT\r\n",
        "If-Modified-Since: yesterday\r\n",
        "If-Modified-Since: \r\n",
        "If-Modified-Since: Sun, 22 Nov 2026 05:00:00 GMT\r\nIf-None-Match: *\r\n",
        "If-Modified-Since: Sun, 22 Nov 2026 05:00:00 GMT\r\nIf-None-Match: \"x\"\r\n",
        "If-Modified-Since: Sun, 22 Nov 2026 05:00:00 GMT\r\nIf-None-Match: \r\n",
        "If-Modified-Since: Sun, 22 Nov 2026 04:00:00 GMT\r\nIf-None-Match: *\r\n",
    ] {
        for path in ["/json", "/tagged", "/dated"] {
            cases.push((path, lines.into()));
        }
    }
    for (path, headers) in cases {
        let expected = ask(node, "GET", path, &headers).await;
        assert_eq!(
            ask(native, "GET", path, &headers).await,
            expected,
            "{path} {}",
            headers.escape_ascii()
        );
        fresh += u32::from(expected.status == 304);
    }
    assert!(fresh > 100, "only {fresh} cases are fresh");
}

/// One number of the generator by Marsaglia (xorshift), which needs no crate.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn numbers() -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut numbers = vec![
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        f64::MAX,
        5e-324,
        f64::EPSILON,
        9_007_199_254_740_993.0,
    ];
    for exponent in -324..=308 {
        for mantissa in ["1", "-9.999999999999999", "1.5", "4.35", "123456789.123"] {
            numbers.push(format!("{mantissa}e{exponent}").parse().expect("a number"));
        }
    }
    for _ in 0..20_000 {
        // Any bits, then numbers as they occur: few decimals, and integers of every size.
        numbers.push(f64::from_bits(next(&mut state)));
        numbers.push((next(&mut state) % 10_000_000) as f64 / 1000.0);
        numbers.push((next(&mut state) >> (next(&mut state) % 64)) as f64);
    }
    numbers.retain(|number| number.is_finite());
    numbers
}

/// Strings of one character each: all of them but the surrogates, which no Rust string holds.
fn characters() -> Vec<String> {
    (0..0x3000)
        .chain(0xd7f0..0xe010)
        .chain(0xff00..0x10100)
        .filter_map(char::from_u32)
        .map(String::from)
        .collect()
}

/// V8 reads exact values (hexadecimal bits and code points) and prints them with `JSON.stringify`.
#[tokio::test]
async fn json_prints_as_v8_prints_it() {
    const PRINT: &str = r#"
        const { numbers, characters } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
        const view = new DataView(new ArrayBuffer(8));
        const number = (bits) => (view.setBigUint64(0, BigInt('0x' + bits)), view.getFloat64(0));
        process.stdout.write(JSON.stringify([numbers.map(number), characters.map((c) => String.fromCodePoint(c))]));
    "#;
    let (numbers, characters) = (numbers(), characters());
    let bits: Vec<String> = numbers
        .iter()
        .map(|number| format!("{:x}", number.to_bits()))
        .collect();
    let points: Vec<u32> = characters
        .iter()
        .flat_map(|text| text.chars())
        .map(u32::from)
        .collect();
    let input = serde_json::json!({ "numbers": bits, "characters": points }).to_string();

    let mut node = Command::new("node")
        .args(["-e", PRINT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node can be started");
    let mut stdin = node.stdin.take().expect("its input is piped");
    stdin.write_all(input.as_bytes()).await.expect("node reads");
    drop(stdin);
    let printed = node.wait_with_output().await.expect("node ends").stdout;

    let router = Router::new().route(
        "/",
        any(move || {
            let json = Json((numbers.clone(), characters.clone()));
            async move { json }
        }),
    );
    let (native, _server) = serve(router).await;
    let ours = ask(native, "GET", "/", "").await.text();
    let theirs = String::from_utf8(printed).expect("UTF-8");
    let differing = ours
        .split(',')
        .zip(theirs.split(','))
        .find(|(ours, theirs)| ours != theirs);
    assert_eq!(differing, None, "the first that differs, ours and V8's");
    assert_eq!(ours.len(), theirs.len());
}
