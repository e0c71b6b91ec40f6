//! Asks V8, and the libraries that the original builds on.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;
use serde_json::{Value, json};

/// Asks a judge of `tests/oracle` each question. Most of its answers are texts.
pub(super) fn ask(judge: &str, questions: &[impl Serialize]) -> Vec<Value> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle"));
    assert!(
        folder.join("node_modules").exists(),
        "tests/oracle has no node_modules: run ./scripts/test"
    );
    let mut node = Command::new("node");
    node.arg("oracle.js").current_dir(folder);
    answers_of(
        node,
        questions.iter().map(|question| json!([judge, question])),
    )
}

/// What V8 itself answers to each question, with its clock in a time zone; in `tests/oracle/v8`.
pub(super) fn ask_v8(zone: &str, questions: &[Value]) -> Vec<Value> {
    let program = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/oracle/v8/oracle.js"
    );
    let mut node = Command::new("node");
    node.arg(program).env("TZ", zone);
    answers_of(node, questions.iter().cloned())
}

/// One line of JSON for each.
fn answers_of(mut node: Command, questions: impl ExactSizeIterator<Item = Value>) -> Vec<Value> {
    let count = questions.len();
    let lines: String = questions.map(|question| format!("{question}\n")).collect();
    let oracle = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut oracle = oracle.expect("`node` is on PATH: run ./scripts/test");
    let mut stdin = oracle.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let answers: Vec<Value> = BufReader::new(oracle.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    writer.join().unwrap();
    assert!(oracle.wait().unwrap().success());
    assert_eq!(answers.len(), count);
    answers
}

/// A repeatable sequence (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as usize % bound
    }

    pub(super) fn pick<'p, T>(&mut self, from: &'p [T]) -> &'p T {
        &from[self.below(from.len())]
    }
}
