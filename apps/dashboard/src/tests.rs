//! The application as a client meets it, without the proxy in front.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN,
};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use strangler::{ClientInfo, Decline, Settings};

const EMPTY_TOOLS: &str = r#"{"totalCalls":0,"uniqueTools":0,"tools":[],"sessions":[]}"#;
const HIDDEN: &str = r#"{"error":"Internal server error","message":"An error occurred"}"#;
const NOT_FOUND: &str = r#"{"error":"Resource not found"}"#;

/// The application over a home of its own.
struct Home {
    folder: TempDir,
    router: Router,
}

/// What came back.
struct Answered {
    status: u16,
    headers: HeaderMap,
    body: String,
}

fn build(text: &str, folder: &Path) -> Result<NativeApp, SettingsError> {
    app(&Settings::new(
        text.parse().expect("a TOML table"),
        folder.to_owned(),
    ))
}

impl Home {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let router = build(&format!("home = '.'\n{settings}"), folder.path())
            .unwrap_or_else(|error| panic!("`{settings}`: {error}"))
            .into_router();
        Self { folder, router }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    async fn send(&self, request: Request<Body>) -> Response {
        let response = self.router.clone().oneshot(request).await;
        response.expect("routers do not fail")
    }

    async fn ask(&self, request: http::request::Builder, body: impl Into<Body>) -> Answered {
        let response = self.send(request.body(body.into()).unwrap()).await;
        let (parts, body) = response.into_parts();
        assert!(parts.extensions.get::<Decline>().is_none(), "declined");
        let body = body.collect().await.unwrap().to_bytes();
        Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn get(&self, target: &str) -> Answered {
        self.ask(Request::get(target), Body::empty()).await
    }

    async fn remaining(&self, request: http::request::Builder) -> Option<String> {
        let answered = self.ask(request, Body::empty()).await;
        let remaining = answered.headers.get("x-ratelimit-remaining")?;
        Some(remaining.to_str().unwrap().to_owned())
    }
}

fn from(address: &str) -> http::request::Builder {
    Request::get("/api/v2/mcp/tools").extension(ClientInfo::at(address.parse().unwrap()))
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

const HELMET_NAMES: [&str; 12] = [
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "origin-agent-cluster",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-download-options",
    "x-frame-options",
    "x-permitted-cross-domain-policies",
    "x-xss-protection",
];

#[tokio::test]
async fn an_answer_has_the_headers_of_the_original_in_its_order() {
    let home = Home::new("");
    let answered = home.get("/api/v2/mcp/tools").await;
    assert_eq!(
        (answered.status, answered.body.as_str()),
        (200, EMPTY_TOOLS)
    );
    let mut headers = answered.headers;
    let reset = headers.insert("x-ratelimit-reset", "…".parse().unwrap());
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let expected = [
        "content-security-policy: default-src 'self';style-src 'self' 'unsafe-inline';script-src 'self';img-src 'self' data: blob:;connect-src 'self' ws: wss:;font-src 'self';object-src 'none';media-src 'self';frame-src 'none';base-uri 'self';form-action 'self';frame-ancestors 'self';script-src-attr 'none';upgrade-insecure-requests",
        "cross-origin-opener-policy: same-origin",
        "cross-origin-resource-policy: same-origin",
        "origin-agent-cluster: ?1",
        "referrer-policy: same-origin",
        "strict-transport-security: max-age=31536000; includeSubDomains; preload",
        "x-content-type-options: nosniff",
        "x-dns-prefetch-control: off",
        "x-download-options: noopen",
        "x-frame-options: DENY",
        "x-permitted-cross-domain-policies: none",
        "x-xss-protection: 0",
        "vary: Origin",
        "access-control-allow-credentials: true",
        "x-ratelimit-limit: 1000",
        "x-ratelimit-remaining: 999",
        "x-ratelimit-reset: …",
        "permissions-policy: geolocation=(), microphone=(), camera=()",
        "content-type: application/json; charset=utf-8",
        "content-length: 57",
        "etag: W/\"39-zZhFBvsRKez1OD6AYK/Tzfn1Tus\"",
    ];
    assert_eq!(lines, expected);
    let reset = reset.unwrap();
    let in_a_quarter = iso::iso_text(iso::now() + 900_000.0).unwrap();
    assert_eq!(reset.len(), in_a_quarter.len());
    assert!(
        reset.to_str().unwrap() <= in_a_quarter.as_str(),
        "{reset:?}"
    );
}

#[tokio::test]
async fn a_known_answer_is_304_with_all_other_headers() {
    let home = Home::new("");
    let whole = home.get("/api/v2/mcp/tools").await;
    let tag = whole.headers[ETAG].to_str().unwrap().to_owned();
    for value in [tag.as_str(), "*", &format!("\"x\", {tag}"), &tag[2..]] {
        let request = Request::get("/api/v2/mcp/tools").header(IF_NONE_MATCH, value);
        let answered = home.ask(request, "").await;
        assert_eq!(
            (answered.status, answered.body.as_str()),
            (304, ""),
            "{value}"
        );
        let without = |name: &&str| !["content-type", "content-length"].contains(name);
        let expected: Vec<_> = names(&whole.headers).into_iter().filter(without).collect();
        assert_eq!(names(&answered.headers), expected);
    }
    let request = Request::get("/api/v2/mcp/tools")
        .header(IF_NONE_MATCH, &tag)
        .header("cache-control", "no-cache");
    assert_eq!(home.ask(request, "").await.status, 200);
    // Only a 200 can be known.
    let request = Request::get("/api/v2/mcp/tools/nope").header(IF_NONE_MATCH, "*");
    let answered = home.ask(request, "").await;
    assert_eq!(answered.status, 404);
    assert!(answered.headers.contains_key(ETAG));
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let home = Home::new("");
    let whole = home.get("/api/v2/summary").await;
    assert_eq!(
        whole.body,
        r#"{"totalMcpSessions":0,"totalTodoFiles":0,"totalVsCodeTasks":0,"totalSize":0,"totalMessages":0,"totalConversations":0,"totalTokens":0,"totalCost":"0.00","lastActivity":null}"#
    );
    let head = home.ask(Request::head("/api/v2/summary"), "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(names(&head.headers), names(&whole.headers));
    for name in [CONTENT_LENGTH, ETAG] {
        assert_eq!(head.headers[&name], whole.headers[&name]);
    }
}

#[tokio::test]
async fn known_origins_are_told_so_and_others_get_500() {
    let home = Home::new("");
    let ask = |method: Method, origin: &'static str| {
        let request = Request::builder().method(method).uri("/api/v2/mcp/tools");
        home.ask(request.header(ORIGIN, origin), "")
    };
    for origin in ["http://localhost:30000", "http://localhost:30001"] {
        let answered = ask(Method::GET, origin).await;
        assert_eq!(answered.status, 200);
        let names = names(&answered.headers);
        assert_eq!(
            names[12..15],
            [
                "access-control-allow-origin",
                "vary",
                "access-control-allow-credentials"
            ]
        );
        assert_eq!(answered.headers[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
    }
    assert_eq!(ask(Method::GET, "").await.status, 200);
    for (method, origin) in [
        (Method::GET, "https://localhost:3050"),
        (Method::GET, "http://localhost:30000/"),
        (Method::GET, "null"),
        (Method::OPTIONS, "http://localhost:3000"),
        (Method::POST, "http://LOCALHOST:30000"),
    ] {
        let answered = ask(method, origin).await;
        assert_eq!((answered.status, answered.body.as_str()), (500, HIDDEN));
        let mut expected = HELMET_NAMES.to_vec();
        expected.extend(["content-type", "content-length", "etag"]);
        assert_eq!(names(&answered.headers), expected);
    }
    let twice = Request::get("/api/v2/mcp/tools")
        .header(ORIGIN, "http://localhost:30000")
        .header(ORIGIN, "http://localhost:30000");
    assert_eq!(home.ask(twice, "").await.status, 500);

    let production = Home::new("environment = 'production'");
    let own = Home::new("origins = ['https://localhost:3050']");
    for (home, origin, status) in [
        (&production, "http://localhost:30001", 200),
        (&production, "http://localhost:30000", 500),
        (&own, "https://localhost:3050", 200),
        (&own, "http://localhost:30000", 500),
    ] {
        let request = Request::get("/api/v2/mcp/tools").header(ORIGIN, origin);
        assert_eq!(home.ask(request, "").await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn options_is_answered_before_anything_is_counted() {
    let home = Home::new("rate_limit = 1\nalone = true");
    for target in ["/api/v2/daily", "/", "/nowhere"] {
        for origin in [None, Some("http://localhost:30000")] {
            let mut request = Request::options(target);
            if let Some(origin) = origin {
                request = request.header(ORIGIN, origin);
            }
            let answered = home.ask(request, "").await;
            assert_eq!((answered.status, answered.body.as_str()), (204, ""));
            let mut expected = HELMET_NAMES.to_vec();
            expected.extend(origin.map(|_| "access-control-allow-origin"));
            expected.extend([
                "vary",
                "access-control-allow-credentials",
                "access-control-allow-methods",
                "access-control-allow-headers",
                "access-control-max-age",
            ]);
            assert_eq!(names(&answered.headers), expected);
            let text = |name: &str| answered.headers[name].to_str().unwrap().to_owned();
            assert_eq!(
                text("access-control-allow-methods"),
                "GET,POST,PUT,DELETE,OPTIONS"
            );
            assert_eq!(
                text("access-control-allow-headers"),
                "Content-Type,Authorization,X-Requested-With"
            );
            assert_eq!(text("access-control-max-age"), "86400");
        }
    }
    assert_eq!(home.get("/api/v2/mcp/tools").await.status, 200);
    assert_eq!(home.get("/api/v2/mcp/tools").await.status, 429);
    let options = home.ask(Request::options("/api/v2/daily"), "").await;
    assert_eq!(options.status, 204);
}

#[tokio::test]
async fn each_address_has_its_own_limit() {
    let home = Home::new("rate_limit = 2\nrate_window = '1500ms'");
    assert_eq!(
        home.remaining(from("192.0.2.1")).await.as_deref(),
        Some("1")
    );
    assert_eq!(home.get("/api/v2/mcp/tools/nope").await.status, 404);
    assert_eq!(
        home.remaining(from("192.0.2.1")).await.as_deref(),
        Some("0")
    );
    let answered = home.ask(from("192.0.2.1"), "").await;
    assert_eq!(
        (answered.status, answered.body.as_str()),
        (
            429,
            r#"{"error":"Too Many Requests","message":"Rate limit exceeded. Please try again later.","retryAfter":2}"#
        )
    );
    let mut expected = HELMET_NAMES.to_vec();
    expected.extend([
        "vary",
        "access-control-allow-credentials",
        "content-type",
        "content-length",
        "etag",
    ]);
    assert_eq!(names(&answered.headers), expected);
    assert_eq!(
        home.remaining(from("192.0.2.2")).await.as_deref(),
        Some("1")
    );
    let rejected = from("192.0.2.2").header(ORIGIN, "http://elsewhere");
    assert_eq!(home.ask(rejected, "").await.status, 500);
    assert_eq!(
        home.remaining(from("192.0.2.2")).await.as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn behind_a_proxy_the_original_has_one_limit_for_all() {
    for settings in ["compat = 'exact'", "rate_by = 'all'"] {
        let home = Home::new(&format!("{settings}\nrate_limit = 3"));
        assert_eq!(
            home.remaining(from("192.0.2.1")).await.as_deref(),
            Some("2")
        );
        assert_eq!(
            home.remaining(from("192.0.2.2")).await.as_deref(),
            Some("1")
        );
    }
    let home = Home::new("compat = 'exact'\nrate_by = 'address'\nrate_limit = 3");
    assert_eq!(
        home.remaining(from("192.0.2.1")).await.as_deref(),
        Some("2")
    );
    assert_eq!(
        home.remaining(from("192.0.2.2")).await.as_deref(),
        Some("2")
    );
}

#[tokio::test]
async fn bad_bodies_are_refused_before_any_route() {
    let home = Home::new("alone = true");
    let post = |target: &str, body: String| {
        let request = Request::post(target).header(CONTENT_TYPE, "application/json");
        home.ask(request, body)
    };
    for target in ["/api/v2/daily", "/nowhere"] {
        for (body, status, expected) in [
            ("{".to_owned(), 400, HIDDEN),
            ("\"x\"".to_owned(), 400, HIDDEN),
            (format!("[{}]", " ".repeat(102_399)), 413, HIDDEN),
            ("{}".to_owned(), 404, NOT_FOUND),
        ] {
            let answered = post(target, body).await;
            assert_eq!(
                (answered.status, answered.body.as_str()),
                (status, expected)
            );
            assert!(answered.headers.contains_key("permissions-policy"));
        }
    }
}

#[tokio::test]
async fn what_is_no_endpoint_is_not_found() {
    let home = Home::new("alone = true");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let request = Request::builder().method(method).uri("/api/v2/mcp/tools");
        let answered = home.ask(request, "").await;
        assert_eq!((answered.status, answered.body.as_str()), (404, NOT_FOUND));
    }
    for target in [
        "/",
        "/api/health",
        "/api/v2/mcp",
        "/api/v2/daily///",
        "//api/v2/daily",
    ] {
        let answered = home.get(target).await;
        assert_eq!(
            (answered.status, answered.body.as_str()),
            (404, NOT_FOUND),
            "{target}"
        );
    }
    assert_eq!(home.get("/API/V2/MCP//Tools/").await.body, EMPTY_TOOLS);
    let answered = home.get("/api/v2/daily/%E0%A4%A").await;
    assert_eq!((answered.status, answered.body.as_str()), (400, HIDDEN));
}

#[tokio::test]
async fn development_shows_the_text_of_errors() {
    let home = Home::new("environment = 'development'");
    let message = |text: &str| format!(r#"{{"error":"Internal server error","message":"{text}"}}"#);
    let answered = home.get("/api/v2/daily/%E0%A4%A").await;
    assert_eq!(answered.body, message("Failed to decode param '%E0%A4%A'"));
    let request = Request::get("/api/v2/models").header(ORIGIN, "http://elsewhere");
    assert_eq!(
        home.ask(request, "").await.body,
        message("CORS policy violation")
    );
    // Only Node knows how V8 words what is wrong with a text.
    let request = Request::post("/api/v2/models").header(CONTENT_TYPE, "application/json");
    let response = home.send(request.body("{".into()).unwrap()).await;
    assert!(response.extensions().get::<Decline>().is_some());
}

#[tokio::test]
async fn compressed_bodies_are_declined() {
    let home = Home::new("");
    let request = Request::post("/api/v2/models")
        .header(CONTENT_TYPE, "application/json")
        .header("content-encoding", "gzip");
    let response = home.send(request.body("x".into()).unwrap()).await;
    assert!(response.extensions().get::<Decline>().is_some());
}

#[tokio::test]
async fn the_summary_counts_files_beside_the_usage() {
    let home = Home::new("");
    home.write(".claude/todos/a.json", "[]");
    home.write(".claude/todos/b.json", "{no json");
    home.write(".claude/todos/c.txt", "not counted");
    let tasks = "Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev";
    home.write(&format!("{tasks}/1/ui_messages.json"), "[]");
    home.write(&format!("{tasks}/file"), "");
    let todo = home.folder.path().join(".claude/todos/b.json");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(4_000_000_000_123);
    let file = std::fs::File::options().write(true).open(todo).unwrap();
    file.set_modified(time).unwrap();
    assert_eq!(
        home.get("/api/v2/summary").await.body,
        r#"{"totalMcpSessions":0,"totalTodoFiles":2,"totalVsCodeTasks":1,"totalSize":10,"totalMessages":0,"totalConversations":0,"totalTokens":0,"totalCost":"0.00","lastActivity":"2096-10-02T07:06:40.123Z"}"#
    );
    home.write(
        "Library/Caches/claude-cli-nodejs/p/mcp-logs-ide/x.txt",
        "[]\n",
    );
    let log = home
        .folder
        .path()
        .join("Library/Caches/claude-cli-nodejs/p/mcp-logs-ide/x.txt");
    let file = std::fs::File::options().write(true).open(log).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let body = home.get("/api/v2/summary").await.body;
    assert!(body.starts_with(r#"{"totalMcpSessions":1,"#), "{body}");
    assert!(body.contains(r#""totalSize":13,"#), "{body}");
    assert!(
        body.ends_with(r#""lastActivity":"1970-01-01T00:00:00.000Z"}"#),
        "{body}"
    );
    std::fs::create_dir(home.folder.path().join(".claude/todos/folder.json")).unwrap();
    let answered = home.get("/api/v2/summary").await;
    assert_eq!((answered.status, answered.body.as_str()), (500, HIDDEN));
}

// Deliberately without a runtime: `strangler check` builds the application, too.
#[test]
fn refusals_name_the_key_and_the_remedy() {
    let refusal = |text: &str| {
        let built = build(text, Path::new("/srv/dashboard"));
        built
            .err()
            .unwrap_or_else(|| panic!("`{text}` is accepted"))
    };
    for (text, key, message) in [
        ("home = ''", "home", "`home = \"/home/me\"`"),
        ("compat = 'node'", "compat", "`exact`"),
        (
            "environment = 'test'",
            "environment",
            "`production` or `development`",
        ),
        ("time_zone = 'Mars'", "time_zone", "`Asia/Tokyo`"),
        ("rate_limit = 0", "rate_limit", "1 or more"),
        ("rate_limit = -1", "rate_limit", ""),
        ("rate_window = '15'", "rate_window", "`15m`"),
        ("rate_window = '0s'", "rate_window", "`15m`"),
        ("rate_by = 'user'", "rate_by", "`address` or `all`"),
        ("origins = 'https://x'", "origins", ""),
    ] {
        let text = format!("{text}\n{}", if key == "home" { "" } else { "home = '/h'" });
        let error = refusal(&text);
        assert!(error.message.contains(message), "{text}: {error}");
        if !message.is_empty() {
            assert_eq!(error.key.as_deref(), Some(key), "{text}");
        }
    }
    assert!(refusal("hme = '/h'").message.contains("hme"));
}

#[test]
fn the_home_is_an_absolute_path() {
    let here = std::env::current_dir().unwrap();
    for (folder, home, expected) in [
        ("", "home", here.join("home")),
        (".", "./a/../home//", here.join("home")),
        ("/srv/x", "../home", "/srv/home".into()),
        ("/srv", "/home/me/../you/", "/home/you".into()),
    ] {
        let text = format!("home = '{home}'");
        let native = Settings::new(text.parse().unwrap(), folder.into());
        let settings = settings::Settings::read(&native).unwrap();
        assert_eq!(settings.home, expected, "{home}");
    }
}

#[test]
fn every_path_is_served_with_every_method() {
    let paths = |text: &str| {
        let app = build(text, Path::new("/srv")).unwrap();
        assert!(!app.has_state_in_memory());
        let endpoints = app.endpoints().iter();
        let gets = endpoints.filter(|endpoint| endpoint.method == Method::GET);
        gets.map(|endpoint| endpoint.path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths("home = '/h'"), route::PATHS);
    assert_eq!(paths("home = '/h'\nalone = true")[13..], ["/", "/{*rest}"]);
    let app = build("home = '/h'", Path::new("/srv")).unwrap();
    assert_eq!(app.endpoints().len(), 6 * route::PATHS.len());
    let preflights = app.endpoints().iter();
    let preflights = preflights.filter(|endpoint| endpoint.method == Method::OPTIONS);
    assert_eq!(preflights.count(), route::PATHS.len());
}
