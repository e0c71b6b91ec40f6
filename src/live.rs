//! The table in force and how it is exchanged: a file that loads replaces it as a whole, one that does not leaves it.
//! What rules count and remember (metrics, breakers) outlives the table.

mod load;
mod node_watch;
mod rule;
mod trial;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::config::{self, Code, Diagnostic, Severity, Source};
use crate::live::load::{parse, untrusted};
use crate::live::node_watch::NodeWatch;
use crate::metrics::Metrics;
use crate::routing::diff::{Diff, diff};
use crate::routing::table::Table;
use crate::routing::watch::{Content, SETTLE, Watch, watch};
use crate::telemetry::LogLimiter;
use crate::upstream::Target;
use crate::upstream::breaker::{Breaker, BreakerState};

pub(crate) use load::LoadError;
pub(crate) use load::{Loaded, Served, load};
pub(crate) use rule::RuleState;
pub(crate) use trial::Trial;

/// How often a file is tried again that was refused because of another one, such as Node's CA.
const RETRY: Duration = Duration::from_secs(1);

/// Everything that one request needs, of one generation.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) table: Table,
    /// In the order of the table's rules.
    pub(crate) rules: Vec<Arc<RuleState>>,
    /// In the order of the table's sockets.
    pub(crate) sockets: Vec<Arc<RuleState>>,
    /// What no rule claims.
    pub(crate) rest: Arc<RuleState>,
    pub(crate) node: Arc<Target>,
}

impl Snapshot {
    /// The state of the socket of this id, which is one of the table's.
    pub(crate) fn socket(&self, id: &str) -> &Arc<RuleState> {
        let position = self
            .table
            .config()
            .sockets
            .iter()
            .position(|socket| socket.id == id);
        position.map_or(&self.rest, |position| &self.sockets[position])
    }
}

/// How the last load of the file went.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) at: SystemTime,
    pub(crate) loaded: bool,
    pub(crate) source: Source,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Keys that differ from the running process and wait for its restart.
    pub(crate) restart_pending: Vec<&'static str>,
}

/// The table in force.
#[derive(Debug)]
pub(crate) struct Live {
    path: PathBuf,
    served: Served,
    metrics: Arc<Metrics>,
    current: ArcSwap<Snapshot>,
    /// Of the table in force, for those who must know at once that it changed.
    generation: watch::Sender<u64>,
    /// The configuration that the process started with, for keys that need a restart.
    started_with: config::Config,
    report: Mutex<Report>,
    /// Whether Node answers.
    pub(crate) node: NodeWatch,
    /// For lines that one fault can cause very often.
    pub(crate) log: LogLimiter,
}

impl Live {
    /// Puts the first table in force.
    pub(crate) fn start(
        loaded: Loaded,
        served: Served,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, LoadError> {
        let Loaded {
            source,
            config,
            diagnostics,
        } = loaded;
        let started_with = config.clone();
        let log = LogLimiter::default();
        let made = (&*metrics, &log);
        let (snapshot, diagnostics) = build(config, &source, diagnostics, 1, &served, made, None)?;
        metrics.generation.set(1);
        metrics.reloads.with_label_values(&["ok"]).inc();
        let path = source.path.clone();
        let report = Report {
            at: SystemTime::now(),
            loaded: true,
            source,
            diagnostics,
            restart_pending: Vec::new(),
        };
        let current = ArcSwap::from_pointee(snapshot);
        let node = NodeWatch::new(metrics.node_up.clone());
        Ok(Arc::new(Self {
            path,
            served,
            metrics,
            current,
            generation: watch::channel(1).0,
            started_with,
            report: Mutex::new(report),
            node,
            log,
        }))
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The table in force, to be kept for the whole of one request.
    pub(crate) fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Changes with every table.
    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// How the last load went.
    pub(crate) fn report(&self) -> Report {
        self.report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Follows the file for as long as the process lives.
    pub(crate) async fn follow(self: Arc<Self>) {
        let loaded = self.report().source.text.as_bytes().to_vec();
        let mut watch = watch(&self.path, loaded);
        let mut content = watch.changed().await;
        loop {
            match self.try_content(content.clone()) {
                Ok(()) => content = watch.changed().await,
                // A writer may be about to mend it.
                Err(failed) if watch.stands(SETTLE).await => {
                    let elsewhere = failed
                        .diagnostics
                        .iter()
                        .any(|found| found.code == Code::Trust);
                    self.refuse(failed);
                    content = self.next_content(&mut watch, content, elsewhere).await;
                }
                Err(_) => content = watch.changed().await,
            }
        }
    }

    /// What to try after a refusal: the next content, or the same one again once it loads, where what was wrong is in
    /// another file.
    async fn next_content(&self, watch: &mut Watch, content: Content, elsewhere: bool) -> Content {
        loop {
            match timeout(RETRY, watch.changed()).await {
                Ok(content) => return content,
                Err(_) if elsewhere => {
                    let source = content
                        .clone()
                        .ok()
                        .map(|bytes| config::decode(&self.path, bytes));
                    let parsed = source
                        .and_then(Result::ok)
                        .and_then(|source| config::parse(&source).0);
                    if parsed.is_some_and(|config| Target::new(config.node).is_ok()) {
                        return content;
                    }
                }
                Err(_) => {}
            }
        }
    }

    fn try_content(&self, content: Content) -> Result<(), LoadError> {
        let source = match content {
            Ok(bytes) => config::decode(&self.path, bytes),
            // The error in full, and perhaps a file that can be read by now.
            Err(_) => config::read(&self.path),
        };
        let Loaded {
            source,
            config,
            diagnostics,
        } = parse(&self.path, source)?;
        let old = self.load();
        let generation = old.table.generation() + 1;
        let changes = diff(old.table.config(), &config);
        let restart_pending = diff(&self.started_with, &config).restart_pending;
        let (snapshot, diagnostics) = build(
            config,
            &source,
            diagnostics,
            generation,
            &self.served,
            (&self.metrics, &self.log),
            Some(&old),
        )?;
        self.current.store(Arc::new(snapshot));
        self.generation.send_replace(generation);
        self.metrics
            .generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.metrics.stale.set(0);
        self.metrics.reloads.with_label_values(&["ok"]).inc();
        announce(generation, &changes, &restart_pending);
        self.publish(Report {
            at: SystemTime::now(),
            loaded: true,
            source,
            diagnostics,
            restart_pending,
        });
        Ok(())
    }

    /// Logs how a load went and keeps it for the admin port.
    fn publish(&self, report: Report) {
        report.log();
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    fn refuse(&self, failed: LoadError) {
        self.metrics.reloads.with_label_values(&["refused"]).inc();
        self.metrics.stale.set(1);
        let restart_pending = self.report().restart_pending;
        let report = Report {
            at: SystemTime::now(),
            loaded: false,
            source: failed.source,
            diagnostics: failed.diagnostics,
            restart_pending,
        };
        let generation = self.load().table.generation();
        error!(generation, file = %self.path.display(), "the file does not load; this generation keeps running");
        self.publish(report);
    }
}

fn announce(generation: u64, changes: &Diff, restart_pending: &[&'static str]) {
    for change in changes.lines() {
        info!(generation, "{change}");
    }
    if !restart_pending.is_empty() {
        warn!(
            keys = restart_pending.join(", "),
            "restart pending for these keys; the rules are applied"
        );
    }
}

impl Report {
    /// One line for each finding.
    fn log(&self) {
        for finding in &self.diagnostics {
            let place = finding
                .span
                .as_ref()
                .map(|span| self.source.position(span.start));
            let (line, column) = place.map_or((0, 0), |place| (place.line, place.column));
            let (code, help) = (
                finding.code.as_str(),
                finding.help.as_deref().unwrap_or_default(),
            );
            match finding.severity {
                Severity::Error => error!(code, line, column, help, "{}", finding.message),
                Severity::Warning => warn!(code, line, column, help, "{}", finding.message),
                Severity::Note => info!(code, line, column, help, "{}", finding.message),
            }
        }
    }
}

/// Compiles the table and takes over what its rules remember.
fn build(
    config: config::Config,
    source: &Source,
    mut diagnostics: Vec<Diagnostic>,
    generation: u64,
    served: &Served,
    (metrics, log): (&Metrics, &LogLimiter),
    old: Option<&Snapshot>,
) -> Result<(Snapshot, Vec<Diagnostic>), LoadError> {
    let refused = |diagnostics| LoadError {
        source: source.clone(),
        diagnostics,
    };
    let node = match old {
        Some(old) if old.node.is_still(&config.node) => Arc::clone(&old.node),
        _ => Target::new(config.node.clone()).map_err(|error| {
            diagnostics.push(untrusted(&config, &error));
            refused(std::mem::take(&mut diagnostics))
        })?,
    };
    let table = match Table::compile(config, generation, served.side()) {
        Ok((table, more)) => {
            diagnostics.extend(more);
            table
        }
        Err(more) => {
            diagnostics.extend(more);
            return Err(refused(diagnostics));
        }
    };
    let known: HashMap<&str, &Arc<RuleState>> = old
        .map(|old| {
            old.rules
                .iter()
                .chain(&old.sockets)
                .map(|rule| (rule.id.as_str(), rule))
                .collect()
        })
        .unwrap_or_default();
    let state = |id: String, breaker: Option<config::Breaker>| match known.get(id.as_str()) {
        Some(state) if state.breaker.as_ref().map(Breaker::settings) == breaker.as_ref() => {
            Arc::clone(state)
        }
        _ => {
            let metrics = metrics.rule(&id);
            metrics.breaker.set(BreakerState::Closed.number());
            Arc::new(RuleState {
                metrics,
                breaker: breaker.map(Breaker::new),
                log: log.clone(),
                id,
            })
        }
    };
    let rules = table
        .rules()
        .iter()
        .map(|rule| state(rule.id.clone(), rule.breaker.clone()))
        .collect();
    let sockets = table
        .config()
        .sockets
        .iter()
        .map(|socket| state(format!("socket.{}", socket.id), None))
        .collect();
    let rest = state("(rest)".to_owned(), None);
    Ok((
        Snapshot {
            rules,
            sockets,
            rest,
            node,
            table,
        },
        diagnostics,
    ))
}

/// An error with what caused it, in one line.
pub(crate) fn format_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
