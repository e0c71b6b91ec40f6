//! Asks real Express, in `tests/oracle/express`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::cases::{Case, ROUTES};

/// What Express said of one case.
pub(crate) struct Verdict {
    /// The parameters in each of the four applications, `None` where the route did not match.
    pub(crate) params: [Option<Value>; 4],
}

impl Verdict {
    pub(crate) fn all_match(&self) -> bool {
        self.params.iter().all(Option::is_some)
    }
}

pub(crate) fn ask_express(cases: &[Case]) -> Vec<Verdict> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/express");
    let is_installed = std::path::Path::new(folder).join("node_modules").is_dir();
    assert!(
        is_installed,
        "tests/oracle/express has no node_modules: run ./scripts/test"
    );
    let oracle = Command::new("node")
        .arg("oracle.js")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut oracle = oracle.expect("`node` is on PATH: run ./scripts/test");
    let lines: String = cases
        .iter()
        .map(|case| {
            format!(
                "{}\n",
                json!({"route": ROUTES[case.route].0, "method": case.method, "target": case.judged()})
            )
        })
        .collect();
    let mut stdin = oracle.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let answers = BufReader::new(oracle.stdout.take().unwrap()).lines();
    let verdict = |line: std::io::Result<String>| {
        let answer: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let params =
            ["4 flat", "4 mounted", "5 flat", "5 mounted"].map(|app| answer["apps"][app].clone());
        Verdict {
            params: params.map(|params| params.is_object().then_some(params)),
        }
    };
    let verdicts = answers.map(verdict).collect();
    writer.join().unwrap();
    assert!(oracle.wait().unwrap().success());
    verdicts
}
