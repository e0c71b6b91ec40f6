//! Every metric's name and help text, and the one registry. Metrics are labelled by rule and side, never by path.
//! What a request counts is looked up when a table is built, so that counting is an atomic addition.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Upper bounds of the latency histograms, in seconds.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// How native takes a client of a bridged socket: it accepts it, refuses it, ends it right after it had accepted it
/// (`dropped`), breaks off, or does not answer in time.
pub(crate) const NATIVE_RESULTS: [&str; 5] =
    ["accepted", "refused", "dropped", "broken", "timeout"];

/// All metrics of a process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    fallbacks: IntCounterVec,
    unanswered: IntCounterVec,
    breaker: IntGaugeVec,
    events: IntCounterVec,
    event_seconds: HistogramVec,
    /// Open sessions of bridged sockets.
    pub bridges: IntGauge,
    /// Open legs of bridges by `side`.
    pub legs: IntGaugeVec,
    /// Bytes that wait in bridges, by who is to take them: `client`, `node` or `native`.
    pub queued: IntGaugeVec,
    /// Packets for which a client was ended, by socket and reason.
    pub refused_packets: IntCounterVec,
    /// Legs to Node that were lost and opened again, by socket.
    pub node_losses: IntCounterVec,
    /// How native took the clients of bridged sockets, by socket and result (see `NATIVE_RESULTS`).
    pub native_clients: IntCounterVec,
    /// Requests of a bridged socket that went to Node unread, by socket and reason.
    pub unbridged: IntCounterVec,
    /// Loads of routes.toml by `result`: `ok` or `refused`.
    pub reloads: IntCounterVec,
    /// The generation of the table in force.
    pub generation: IntGauge,
    /// 1 while the file on disk is not the table in force.
    pub stale: IntGauge,
    /// Certificate loads by `result`.
    pub certificates: IntCounterVec,
    /// Open client connections by `protocol`.
    pub connections: IntGaugeVec,
    /// Refused or ended connections by `reason`.
    pub refused: IntCounterVec,
    /// The bounds of `[limits]` by name, with the defaults that depend on the machine.
    pub limits: IntGaugeVec,
    /// Client connections that hold a descriptor.
    pub open_connections: IntGauge,
    /// Requests, tunnels and legs that hold a connection to Node.
    pub node_requests: IntGauge,
    /// Bridged sessions that are in no namespace.
    pub unconnected_sessions: IntGauge,
    /// Bytes that wait for clients and sides.
    pub waiting_bytes: IntGauge,
    /// Clients and streams that were ended for the sake of others, by `reason`.
    pub ended: IntCounterVec,
    /// Requests that no side saw, by the `code` of the answer.
    pub rejected: IntCounterVec,
    /// Requests whose trusted proxies named a hop that is no address.
    pub unreadable_hops: IntCounter,
    /// Open tunnels.
    pub tunnels: IntGauge,
    /// Connections to Node by `state`: `open`, and `idle` among them.
    pub node_connections: IntGaugeVec,
    /// Requests that wait for the head of Node's answer.
    pub node_waiting: IntGauge,
    /// Failures towards Node by `reason`.
    pub node_errors: IntCounterVec,
    /// Requests repeated on a fresh connection since Node had closed the pooled one.
    pub node_retries: IntCounter,
    /// 1xx answers of Node that could not be passed on.
    pub informational: IntCounter,
    /// 0 while Node is lost.
    pub node_up: IntGauge,
    /// Starts of `node.command`.
    pub node_starts: IntCounter,
    /// Lines of the log that nobody got to read.
    pub lost_log_lines: IntCounter,
}

impl Metrics {
    /// A registry with every metric at zero.
    ///
    /// # Panics
    /// If two metrics had one name, which the test of this file rules out.
    #[must_use]
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec =
                IntCounterVec::new(Opts::new(name, help), labels).expect("valid name and labels");
            registry
                .register(Box::new(vec.clone()))
                .expect("unique name");
            vec
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let vec =
                IntGaugeVec::new(Opts::new(name, help), labels).expect("valid name and labels");
            registry
                .register(Box::new(vec.clone()))
                .expect("unique name");
            vec
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("valid name");
            registry
                .register(Box::new(gauge.clone()))
                .expect("unique name");
            gauge
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("valid name");
            registry
                .register(Box::new(counter.clone()))
                .expect("unique name");
            counter
        };
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "strangler_request_seconds",
                "Time to the head of the answer, by rule and side.",
            )
            .buckets(BUCKETS.to_vec()),
            &["rule", "side"],
        )
        .expect("valid name and labels");
        registry
            .register(Box::new(seconds.clone()))
            .expect("unique name");
        let event_seconds = HistogramVec::new(
            HistogramOpts::new(
                "strangler_event_seconds",
                "Native: time of the handler of an event. Node: time to the acknowledgement, where one was asked for.",
            )
            .buckets(BUCKETS.to_vec()),
            &["rule", "side"],
        )
        .expect("valid name and labels");
        registry
            .register(Box::new(event_seconds.clone()))
            .expect("unique name");
        let build = gauges(
            "strangler_build_info",
            "Always 1; the version is a label.",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);

        Self {
            requests: counters(
                "strangler_requests_total",
                "Answered requests by rule, side and status class.",
                &["rule", "side", "status"],
            ),
            seconds,
            fallbacks: counters(
                "strangler_fallbacks_total",
                "Requests of a native rule that Node answered instead, by rule and reason.",
                &["rule", "reason"],
            ),
            unanswered: counters(
                "strangler_unanswered_total",
                "Native failures that could not fall back to Node, by rule and reason.",
                &["rule", "reason"],
            ),
            breaker: gauges(
                "strangler_breaker_state",
                "Breaker of a rule: 0 closed, 1 open, 2 half-open.",
                &["rule"],
            ),
            events: counters(
                "strangler_events_total",
                "Events of clients by rule and side.",
                &["rule", "side"],
            ),
            event_seconds,
            bridges: gauge("strangler_bridges", "Open sessions of bridged sockets."),
            legs: gauges("strangler_legs", "Open legs of bridges by side.", &["side"]),
            queued: gauges(
                "strangler_queued_bytes",
                "Bytes that wait in bridges, by who is to take them.",
                &["for"],
            ),
            refused_packets: counters(
                "strangler_refused_packets_total",
                "Packets for which a client of a bridge was ended, by socket and reason.",
                &["socket", "reason"],
            ),
            node_losses: counters(
                "strangler_node_losses_total",
                "Legs to Node that were lost and are opened again, by socket.",
                &["socket"],
            ),
            native_clients: counters(
                "strangler_native_clients_total",
                "How native took the clients of bridged sockets, by socket and result.",
                &["socket", "result"],
            ),
            unbridged: counters(
                "strangler_unbridged_requests_total",
                "Requests of a bridged socket that went to Node unread, by socket and reason.",
                &["socket", "reason"],
            ),
            reloads: counters(
                "strangler_reloads_total",
                "Loads of routes.toml by result.",
                &["result"],
            ),
            generation: gauge("strangler_generation", "Generation of the table in force."),
            stale: gauge(
                "strangler_routes_stale",
                "1 while routes.toml on disk is not the table in force.",
            ),
            certificates: counters(
                "strangler_certificate_loads_total",
                "Certificate loads by result.",
                &["result"],
            ),
            connections: gauges(
                "strangler_connections",
                "Open client connections by protocol.",
                &["protocol"],
            ),
            refused: counters(
                "strangler_connections_refused_total",
                "Client connections that the proxy ended, by reason.",
                &["reason"],
            ),
            limits: gauges(
                "strangler_limit",
                "Bounds of [limits] by name, with the defaults that depend on the machine.",
                &["name"],
            ),
            open_connections: gauge(
                "strangler_open_connections",
                "Client connections that hold a descriptor, tunnels and bridged sockets included.",
            ),
            node_requests: gauge(
                "strangler_node_requests",
                "Requests, tunnels and legs that hold a connection to Node.",
            ),
            unconnected_sessions: gauge(
                "strangler_unconnected_sessions",
                "Bridged sessions that have asked for no namespace yet.",
            ),
            waiting_bytes: gauge(
                "strangler_waiting_bytes",
                "Bytes that wait for clients and sides, as limits.memory counts them.",
            ),
            ended: counters(
                "strangler_ended_total",
                "Clients and streams that the proxy ended for the sake of others, by reason.",
                &["reason"],
            ),
            rejected: counters(
                "strangler_rejected_requests_total",
                "Requests that the proxy refused before any side saw them, by code.",
                &["code"],
            ),
            unreadable_hops: counter(
                "strangler_unreadable_hops_total",
                "Requests whose trusted proxies named a hop that is no address.",
            ),
            tunnels: gauge("strangler_tunnels", "Open tunnels (upgraded connections)."),
            node_connections: gauges(
                "strangler_node_connections",
                "Connections to Node by state: open, and idle among them.",
                &["state"],
            ),
            node_waiting: gauge(
                "strangler_node_waiting",
                "Requests that wait for the head of Node's answer.",
            ),
            node_errors: counters(
                "strangler_node_errors_total",
                "Failures towards Node by reason.",
                &["reason"],
            ),
            node_retries: counter(
                "strangler_node_retries_total",
                "Requests repeated on a fresh connection because Node had closed the pooled one.",
            ),
            informational: counter(
                "strangler_informational_total",
                "1xx answers of Node, other than 100 and 101, that could not be passed on.",
            ),
            node_up: gauge(
                "strangler_node_up",
                "0 while Node is needed and does not answer.",
            ),
            node_starts: counter("strangler_node_starts_total", "Starts of node.command."),
            lost_log_lines: counter(
                "strangler_log_lines_lost_total",
                "Log lines that were lost, because they could not be written, or not as fast.",
            ),
            registry,
        }
    }

    /// The counters of one rule; the same ones for the same id, also after a reload.
    #[must_use]
    pub(crate) fn rule(&self, id: &str) -> RuleMetrics {
        RuleMetrics {
            native: self.side(id, "native"),
            node: self.side(id, "node"),
            breaker: self.breaker.with_label_values(&[id]),
            fallbacks: self.fallbacks.clone(),
            unanswered: self.unanswered.clone(),
            id: id.to_owned(),
        }
    }

    fn side(&self, id: &str, side: &str) -> SideMetrics {
        SideMetrics {
            requests: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|status| self.requests.with_label_values(&[id, side, status])),
            seconds: self.seconds.with_label_values(&[id, side]),
            events: self.events.with_label_values(&[id, side]),
            event_seconds: self.event_seconds.with_label_values(&[id, side]),
        }
    }

    /// The Prometheus text format, version 0.0.4.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("a vector takes every byte");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The counters of one rule.
#[derive(Debug)]
pub(crate) struct RuleMetrics {
    /// Answers of the native side.
    pub native: SideMetrics,
    /// Answers of Node.
    pub node: SideMetrics,
    /// 0 closed, 1 open, 2 half-open.
    pub breaker: IntGauge,
    fallbacks: IntCounterVec,
    unanswered: IntCounterVec,
    id: String,
}

impl RuleMetrics {
    /// Counts a request that Node answered instead of native.
    pub(crate) fn fell_back(&self, reason: &str) {
        self.fallbacks.with_label_values(&[&self.id, reason]).inc();
    }

    /// Counts a native failure that reached the client.
    pub(crate) fn unanswered(&self, reason: &str) {
        self.unanswered.with_label_values(&[&self.id, reason]).inc();
    }
}

/// Counts one thing for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(IntGauge);

impl Counted {
    pub(crate) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One part of a sum that many have.
#[derive(Debug)]
pub(crate) struct Share {
    gauge: IntGauge,
    own: i64,
}

impl Share {
    pub(crate) fn new(gauge: IntGauge) -> Self {
        Self { gauge, own: 0 }
    }

    pub(crate) fn set(&mut self, value: usize) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        if value != self.own {
            self.gauge.add(value - self.own);
            self.own = value;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The counters of one side of a rule.
#[derive(Debug)]
pub(crate) struct SideMetrics {
    requests: [IntCounter; 5],
    seconds: Histogram,
    events: IntCounter,
    event_seconds: Histogram,
}

impl SideMetrics {
    /// Counts an answer whose head took `seconds`.
    pub(crate) fn answered(&self, status: http::StatusCode, seconds: f64) {
        self.requests[usize::from(status.as_u16() / 100).clamp(1, 5) - 1].inc();
        self.seconds.observe(seconds);
    }

    /// Counts an event that goes to this side.
    pub(crate) fn event(&self) {
        self.events.inc();
    }

    /// Notes how long it took.
    pub(crate) fn event_took(&self, seconds: f64) {
        self.event_seconds.observe(seconds);
    }

    /// Events so far.
    #[must_use]
    pub(crate) fn event_count(&self) -> u64 {
        self.events.get()
    }

    /// How long events took, to be noted later.
    #[must_use]
    pub(crate) fn event_seconds(&self) -> Histogram {
        self.event_seconds.clone()
    }

    /// Answers so far.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.requests.iter().map(IntCounter::get).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn names_are_unique_and_rules_keep_their_counts() {
        let metrics = Metrics::new();
        metrics
            .rule("logs")
            .native
            .answered(http::StatusCode::OK, 0.002);
        metrics
            .rule("logs")
            .native
            .answered(http::StatusCode::NOT_FOUND, 0.002);
        assert_eq!(metrics.rule("logs").native.count(), 2);
        let text = String::from_utf8(metrics.encode()).expect("metrics are text");
        assert!(
            text.contains(r#"strangler_requests_total{rule="logs",side="native",status="4xx"} 1"#),
            "{text}"
        );
    }
}
