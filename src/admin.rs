//! The admin port, on loopback only. Read-only: nothing here changes the proxy.
//!
//! | endpoint | answer |
//! |---|---|
//! | `GET /healthz` | 200 `ok` while the process runs |
//! | `GET /readyz` | 200 when a table is in force and Node answers or nothing needs it; else 503, and what is wrong |
//! | `GET /metrics` | Prometheus text format |
//! | `GET /api/table` | JSON: the generation, the rules with their state, how the last load went |
//!
//! A browser on this machine is made to look like a stranger: the `Host` must be this port by a loopback name, and a
//! request that another origin sent is refused. There is no CORS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use http::{Method, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntGaugeVec;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tower::ServiceExt;
use tracing::{debug, error, warn};

use crate::config::{Claim, EventClaim, Rule, Socket, SocketMode, To};
use crate::live::{Live, RuleState, Snapshot};
use crate::metrics::{Metrics, NATIVE_RESULTS};
use crate::routing::Table;
use crate::upstream::breaker::{Breaker, BreakerState};

/// After a failed accept, as without a file descriptor: nothing tells when one is free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the admin port shows.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) live: Arc<Live>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: std::net::TcpListener, view: View) {
    let live = Arc::clone(&view.live);
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/table", get(table))
        .layer(from_fn(refuse_strangers))
        .with_state(view);
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error!(%error, "the admin port is closed"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let limit = live.load().table.config().limits.header_timeout;
                tokio::spawn(answer(stream, router.clone(), limit));
            }
            Err(error) => {
                live.log.log("admin accept", move |count| {
                    warn!(%error, count, "the admin port cannot accept a connection");
                });
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection. A head that takes longer than `limit`, from the end of the last answer on,
/// ends it.
async fn answer(stream: TcpStream, router: Router, limit: Duration) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "a connection to the admin port broke off");
    }
}

/// DNS rebinding gives a page of `evil.example` a way to this port, but not a loopback `Host`.
async fn refuse_strangers(request: Request, next: Next) -> Response {
    // A target in absolute form would be another name for this port.
    // Nothing here takes anything but GET; a page that posts a form must not learn even that.
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let unsigned =
        (changes && !request.headers().contains_key(ORIGIN)).then_some("the Origin is missing");
    let named = request.uri().authority().map(|_| "the target names a host");
    match named.or_else(|| stranger(request.headers())).or(unsigned) {
        Some(reason) => (
            StatusCode::FORBIDDEN,
            Json(json!({ "code": "forbidden", "message": reason })),
        )
            .into_response(),
        None => next.run(request).await,
    }
}

fn stranger(headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(Ok(host)), None) = (hosts.next().map(http::HeaderValue::to_str), hosts.next()) else {
        return Some("there is not exactly one Host");
    };
    if !is_loopback(host) {
        return Some("the Host is not a loopback name");
    }
    if headers
        .get(ORIGIN)
        .is_some_and(|origin| origin.as_bytes() != format!("http://{host}").as_bytes())
    {
        return Some("the request comes from another origin");
    }
    let cross = |site: &http::HeaderValue| !matches!(site.as_bytes(), b"same-origin" | b"none");
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(cross)
        .then_some("the request comes from another site")
}

fn is_loopback(host: &str) -> bool {
    let Ok(uri) = Uri::builder()
        .scheme("http")
        .authority(host)
        .path_and_query("/")
        .build()
    else {
        return false;
    };
    if host.contains('@') {
        return false;
    }
    let name = uri
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

async fn readyz(State(view): State<View>) -> Response {
    let snapshot = view.live.load();
    let (status, node) = if snapshot.table.is_node_needed() {
        match view.live.node.check(&snapshot.node).await {
            Ok(()) => (StatusCode::OK, "up".to_owned()),
            Err(wrong) => (StatusCode::SERVICE_UNAVAILABLE, wrong),
        }
    } else {
        (StatusCode::OK, "not needed".to_owned())
    };
    let body = json!({ "ready": status == StatusCode::OK, "generation": snapshot.table.generation(), "node": node });
    (status, Json(body)).into_response()
}

async fn metrics(State(view): State<View>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        view.metrics.encode(),
    )
}

async fn table(State(view): State<View>) -> Json<Value> {
    let snapshot = view.live.load();
    let report = view.live.report();
    let config = snapshot.table.config();
    let diagnostics: Vec<Value> = report
        .diagnostics
        .iter()
        .map(|diagnostic| {
            serde_json::to_value(diagnostic.to_json(&report.source)).unwrap_or_default()
        })
        .collect();
    let rules = config
        .rules
        .iter()
        .zip(&snapshot.rules)
        .map(|(rule, state)| describe(&snapshot, rule, state));
    let sockets = config
        .sockets
        .iter()
        .zip(&snapshot.sockets)
        .enumerate()
        .map(|(at, (socket, state))| {
            describe_socket(&view.metrics, &snapshot.table, at, socket, state)
        });
    let url = &snapshot.node.settings.url;
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "generation": snapshot.table.generation(),
        "force": config.force_node.then_some("node"),
        "node": {
            "url": url.to_string(),
            "needed": snapshot.table.is_node_needed(),
            "lost": view.live.node.lost().map(|lost| json!({
                "seconds": lost.since.elapsed().as_secs(),
                "reason": lost.reason,
            })),
        },
        "rules": rules.collect::<Vec<_>>(),
        "sockets": sockets.collect::<Vec<_>>(),
        "bridges": {
            "open": view.metrics.bridges.get(),
            "legs": gauges(&view.metrics.legs, &["node", "native"]),
            "queued_bytes": gauges(&view.metrics.queued, &["client", "node", "native"]),
        },
        "rest": { "node": snapshot.rest.metrics.node.count() },
        "last_load": {
            "at": report.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            "result": if report.loaded { "ok" } else { "refused" },
            "file": report.source.path,
            "diagnostics": diagnostics,
            "restart_pending": report.restart_pending,
        },
    }))
}

fn gauges(gauges: &IntGaugeVec, labels: &[&str]) -> Value {
    let gauge = |label: &&str| {
        let value = gauges.with_label_values(&[*label]).get();
        ((*label).to_owned(), value.into())
    };
    Value::Object(labels.iter().map(gauge).collect())
}

/// Events of clients by side.
fn handled(state: &RuleState) -> Value {
    json!({
        "native": state.metrics.native.event_count(),
        "node": state.metrics.node.event_count(),
    })
}

/// One socket: what the file says, which rules claim its messages, and which namespaces still need Node.
fn describe_socket(
    metrics: &Metrics,
    table: &Table,
    at: usize,
    socket: &Socket,
    state: &RuleState,
) -> Value {
    let rules = table.rules().iter();
    let own = |claim: &&EventClaim| claim.socket == socket.id;
    let claims = rules.flat_map(|rule| {
        rule.events.iter().filter(own).map(
            |claim| json!({ "event": claim.to_string(), "rule": rule.id, "to": rule.to.to_string() }),
        )
    });
    let namespaces = table.namespaces(at).into_iter().map(|namespace| {
        json!({
            "name": namespace,
            "needs_node": table.needs_node(at, namespace),
            "uses_native": table.uses_native(at, namespace),
        })
    });
    json!({
        "id": socket.id,
        "kind": socket.kind.to_string(),
        "path": socket.path,
        "mode": socket.mode.to_string(),
        "node_loss": (socket.mode == SocketMode::Bridge).then(|| socket.node_loss.to_string()),
        "events": claims.collect::<Vec<_>>(),
        "namespaces": namespaces.collect::<Vec<_>>(),
        "native": state.metrics.native.count(),
        "node": state.metrics.node.count(),
        "handled": handled(state),
        "native_clients": (socket.mode == SocketMode::Bridge).then(|| native_clients(metrics, &socket.id)),
    })
}

/// How native took clients, so that one that refuses all of them is seen although Node answers for it.
fn native_clients(metrics: &Metrics, socket: &str) -> Value {
    let count = |result: &&str| {
        let clients = &metrics.native_clients;
        let count = clients.with_label_values(&[socket, *result]).get();
        ((*result).to_owned(), count.into())
    };
    Value::Object(NATIVE_RESULTS.iter().map(count).collect())
}

/// `events` of a rule, as in the file.
fn events(rule: &Rule) -> Value {
    let mut sockets = Map::new();
    for claim in &rule.events {
        let names = sockets.entry(&claim.socket).or_insert_with(|| json!([]));
        if let Value::Array(names) = names {
            names.push(claim.to_string().into());
        }
    }
    sockets.into()
}

/// One rule: what the file says, who answers now, and how often each side did.
fn describe(snapshot: &Snapshot, rule: &Rule, state: &RuleState) -> Value {
    let breaker = state.breaker.as_ref().map(Breaker::state);
    let now = match (rule.to, breaker) {
        _ if snapshot.table.config().force_node => "node (forced)",
        (To::Node, _) => "node",
        (To::Native(_), Some(BreakerState::Open)) => "node (breaker open)",
        (To::Native(share), _) if share.0 == 0 => "node",
        (To::Native(share), _) if share.0 < 10_000 => "both",
        (To::Native(_) | To::NativeOnly, _) => "native",
    };
    json!({
        "id": rule.id,
        "http": rule.claims.iter().map(Claim::to_string).collect::<Vec<_>>(),
        "events": events(rule),
        "where": rule.conditions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "to": rule.to.to_string(),
        "now": now,
        "breaker": breaker.map(BreakerState::name),
        "native": state.metrics.native.count(),
        "node": state.metrics.node.count(),
        "handled": handled(state),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_loopback_names_and_the_own_origin_get_in() {
        for host in [
            "127.0.0.1:3060",
            "localhost:3060",
            "LOCALHOST",
            "[::1]:3060",
            "127.9.9.9",
        ] {
            assert_eq!(stranger(&headers(&[(HOST, host)])), None, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1:3060",
            "",
            "a@127.0.0.1",
            "0.0.0.0:3060",
        ] {
            assert!(stranger(&headers(&[(HOST, host)])).is_some(), "{host}");
        }
        assert!(stranger(&HeaderMap::new()).is_some());
        let host = (HOST, "localhost:3060");
        assert_eq!(
            stranger(&headers(&[host.clone(), (ORIGIN, "http://localhost:3060")])),
            None
        );
        for origin in [
            "http://evil.example",
            "null",
            "https://localhost:3060",
            "http://localhost:3050",
        ] {
            assert!(
                stranger(&headers(&[host.clone(), (ORIGIN, origin)])).is_some(),
                "{origin}"
            );
        }
        assert!(stranger(&headers(&[host, (SEC_FETCH_SITE, "cross-site")])).is_some());
    }
}
