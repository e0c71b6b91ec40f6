use axum::body::{Body, to_bytes};
use axum::middleware::map_response;
use tower::ServiceExt;

use super::*;
use crate::{any, get, post};

fn listed(app: &NativeApp) -> Vec<String> {
    let endpoints = app.endpoints().iter();
    endpoints
        .map(|endpoint| format!("{} {}", endpoint.method, endpoint.path))
        .collect()
}

async fn ask(app: &NativeApp, method: &str, path: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).unwrap();
    let answer = app.clone().into_router().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn shop() -> NativeApp {
    NativeApp::new()
        .route("/", get(async || "all"))
        .route("/{id}", get(async || "one").delete(async || "gone"))
        .on_event("/", "buy", async || {})
}

/// What is recorded is what the router serves.
#[tokio::test]
async fn routes_are_recorded_as_they_are_served() {
    let app = NativeApp::new()
        .route("/health", any(async || "well"))
        .nest("/items", shop())
        .merge(NativeApp::new().route("/cart", post(async || "in")));
    let recorded = listed(&app);
    assert_eq!(recorded.len(), methods::ALL.len() + 4);
    assert_eq!(
        recorded[methods::ALL.len()..],
        [
            "GET /items",
            "GET /items/{id}",
            "DELETE /items/{id}",
            "POST /cart"
        ]
    );
    assert_eq!(app.events()[0].name, "buy");
    for entry in recorded {
        let (method, path) = entry.split_once(' ').unwrap();
        let (status, _) = ask(&app, method, &path.replace("{id}", "7")).await;
        assert_eq!(status, 200, "{entry}");
    }
    assert_eq!(ask(&app, "DELETE", "/items/7").await.1, "gone");
    assert_eq!(ask(&app, "POST", "/items").await.0, 405);
    assert_eq!(ask(&app, "GET", "/other").await.0, 404);
}

#[tokio::test]
async fn a_fallback_serves_what_no_route_does() {
    let with_root = shop().fallback(async || "rest");
    assert_eq!(ask(&with_root, "GET", "/").await.1, "all");
    assert_eq!(ask(&with_root, "PUT", "/a/b").await.1, "rest");
    let without = NativeApp::new().fallback(async || "rest");
    assert_eq!(ask(&without, "GET", "/").await.1, "rest");
    assert_eq!(listed(&without).len(), 2 * methods::ALL.len());
    let below = NativeApp::new().nest("/shop", without);
    assert_eq!(ask(&below, "GET", "/shop/a").await.1, "rest");
    assert_eq!(listed(&below)[7], "GET /shop/{*rest}");
}

#[tokio::test]
async fn layers_wrap_the_routes_that_are_there() {
    let marked = map_response(async |_: Response| "marked");
    let methods = get(async || "get")
        .layer(marked.clone())
        .post(async || "post");
    let app = NativeApp::new()
        .route("/one", methods)
        .route("/two", get(async || "two"))
        .layer(map_response(async |_: Response| "all"))
        .route("/three", get(async || "three"));
    for (method, path, text) in [
        ("GET", "/one", "all"),
        ("POST", "/one", "all"),
        ("GET", "/two", "all"),
        ("GET", "/three", "three"),
    ] {
        assert_eq!(ask(&app, method, path).await.1, text, "{method} {path}");
    }
    let app = NativeApp::new().route("/", get(async || "get").layer(marked).post(async || "post"));
    assert_eq!(ask(&app, "GET", "/").await.1, "marked");
    assert_eq!(ask(&app, "POST", "/").await.1, "post");
}

#[tokio::test]
async fn a_router_comes_with_its_paths() {
    let router = Router::new().route("/items/{id}", axum::routing::any(async || "one"));
    let app = NativeApp::from_router(router.clone(), &["GET /items/{id}"]);
    assert_eq!(listed(&app), ["GET /items/{id}"]);
    assert_eq!(ask(&app, "GET", "/items/7").await.1, "one");
    let all: NativeApp = NativeApp::from_router(router.clone(), &["/items/{id}"]);
    assert_eq!(listed(&all).len(), methods::ALL.len());
}

#[test]
fn what_cannot_be_recorded_is_refused() {
    type Build = fn() -> NativeApp;
    let refused: [(Build, &str); 5] = [
        (
            || NativeApp::from_router(Router::new(), &["items"]),
            "`items` is no path: write `GET /items/{id}`, or `/items` for every method",
        ),
        (
            || NativeApp::from_router(Router::new(), &["get /items"]),
            "`get` of `get /items` is no method",
        ),
        (
            || NativeApp::from_router(Router::new(), &["HEAD /items"]),
            "GET includes HEAD",
        ),
        (
            || shop().nest("/shop", shop()),
            "`buy` of `/` is served twice",
        ),
        (|| shop().merge(shop()), "Overlapping method route"),
    ];
    for (build, expected) in refused {
        let panic = std::panic::catch_unwind(build).unwrap_err();
        let said = panic.downcast::<String>().unwrap();
        assert!(said.contains(expected), "{said}");
    }
}
