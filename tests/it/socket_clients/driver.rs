//! A process with clients in it: it is told what they do, and what they report is written down.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::process::Process;

/// The library lost a connection before the server had answered it.
#[derive(Debug)]
pub(super) struct Lost;

/// What each client reported of each of its namespaces, in its order. Across clients there is none.
pub(super) type Transcript = BTreeMap<String, Vec<Value>>;

pub(super) struct Driver {
    process: Process,
    transcript: Transcript,
    /// The arguments of `maybe`, which may or may not come.
    volatile: Vec<Value>,
}

impl Driver {
    pub(super) fn start(command: Command) -> Self {
        Self {
            process: Process::start(command),
            transcript: Transcript::new(),
            volatile: Vec::new(),
        }
    }

    /// Tells it, and waits until so many reports have come.
    pub(super) async fn step(&mut self, command: Value, reports: usize) -> Result<(), Lost> {
        self.process.tell(command).await;
        let mut come = 0;
        while come < reports {
            let mut report = self.process.event().await;
            if report["event"] == "lost" {
                return Err(Lost);
            }
            if report["what"] == "maybe" {
                self.volatile.push(report["values"][0].take());
                continue;
            }
            let fields = report.as_object_mut().unwrap();
            let client = fields.remove("client").unwrap();
            let namespace = fields.remove("namespace").unwrap();
            let of = format!("{client} {namespace}");
            self.transcript.entry(of).or_default().push(report);
            come += 1;
        }
        Ok(())
    }

    pub(super) async fn open(
        &mut self,
        client: &str,
        url: &str,
        mode: &str,
        namespaces: &[&str],
        auth: Value,
    ) -> Result<(), Lost> {
        let command = json!({ "do": "open", "client": client, "url": url, "mode": mode,
            "namespaces": namespaces, "auth": auth });
        let reports = 2 * namespaces.len();
        self.step(command, reports).await
    }

    /// The namespace of `client` is the one after a space in it, else the main one.
    pub(super) async fn emit(
        &mut self,
        client: &str,
        what: &str,
        values: Value,
        reports: usize,
    ) -> Result<(), Lost> {
        self.event("emit", client, what, values, reports).await
    }

    /// The ack is one of the reports.
    pub(super) async fn ask(
        &mut self,
        client: &str,
        what: &str,
        values: Value,
        reports: usize,
    ) -> Result<(), Lost> {
        self.event("ask", client, what, values, reports).await
    }

    async fn event(
        &mut self,
        how: &str,
        client: &str,
        what: &str,
        values: Value,
        reports: usize,
    ) -> Result<(), Lost> {
        let (client, namespace) = client.split_once(' ').unwrap_or((client, "/"));
        let command = json!({ "do": how, "client": client, "namespace": namespace, "what": what, "values": values });
        self.step(command, reports).await
    }

    /// A client without a namespace in particular.
    pub(super) async fn tell(
        &mut self,
        client: &str,
        what: &str,
        reports: usize,
    ) -> Result<(), Lost> {
        let command = json!({ "do": what, "client": client });
        self.step(command, reports).await
    }

    pub(super) fn volatile(&self) -> &[Value] {
        &self.volatile
    }

    pub(super) fn transcript(self) -> Transcript {
        self.transcript
    }
}
