//! JavaScript's JSON beside V8's own: what one reads and writes again, the other must, byte for byte.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use strangler::js_json::{parse, stringify};

use crate::support::documents::{Random, document, number, spoil};

/// What `JSON.stringify(JSON.parse(text))` is for each, `None` where it throws.
fn ask_v8(texts: &[String]) -> Vec<Option<String>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/json");
    let oracle = Command::new("node")
        .arg("oracle.js")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut oracle = oracle.expect("`node` is on PATH: run ./scripts/test");
    let lines: String = texts
        .iter()
        .map(|text| serde_json::to_string(text).unwrap() + "\n")
        .collect();
    let mut stdin = oracle.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let answers: Vec<_> = BufReader::new(oracle.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    writer.join().unwrap();
    assert!(oracle.wait().unwrap().success());
    assert_eq!(answers.len(), texts.len());
    answers
}

/// Returns how many were JSON.
fn compare(texts: &[String]) -> usize {
    let mut read = 0;
    for (text, expected) in texts.iter().zip(ask_v8(texts)) {
        let ours = parse(text).ok().and_then(|value| stringify(&value));
        assert!(
            ours == expected,
            "{text}\nours: {ours:?}\nV8:   {expected:?}"
        );
        read += usize::from(expected.is_some());
    }
    read
}

#[test]
fn generated_documents_are_written_as_by_v8() {
    let texts: Vec<String> = (0..4000)
        .map(|seed| document(&mut Random::new(seed)))
        .collect();
    assert_eq!(compare(&texts), texts.len());
}

#[test]
fn what_v8_refuses_is_refused() {
    let texts: Vec<String> = (0..6000)
        .map(|seed| {
            let mut random = Random::new(seed);
            spoil(&document(&mut random), &mut random)
        })
        .collect();
    let read = compare(&texts);
    assert!((500..5500).contains(&read), "{read} of {}", texts.len());
}

#[test]
fn numbers_are_rounded_and_printed_as_by_v8() {
    let mut random = Random::new(36);
    let texts: Vec<String> = (0..200)
        .map(|_| {
            let mut text = String::from("[0");
            for _ in 0..100 {
                text.push(',');
                number(&mut text, &mut random);
            }
            text + "]"
        })
        .collect();
    assert_eq!(compare(&texts), texts.len());
}

#[test]
fn every_unit_of_utf_16_is_written_as_by_v8() {
    let mut escaped = String::from("[0");
    for unit in 0..=0xffff {
        let _ = write!(escaped, ",\"\\u{unit:04x}\",\"\\ud83d\\u{unit:04X}\"");
    }
    let plain: String = ('\u{20}'..='\u{ffff}')
        .filter(|letter| !matches!(letter, '"' | '\\'))
        .collect();
    assert_eq!(compare(&[escaped + "]", format!("\"{plain}\"")]), 2);
}

#[test]
fn deep_and_wide_documents_are_written_as_by_v8() {
    let nested = |open: &str, close: &str| {
        let depth = 10_000;
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    };
    let keys: Vec<String> = (0..3000)
        .map(|n| format!("\"{}\":{n}", (n * 7919) % 4001 * 1_100_000_u64))
        .collect();
    let texts = [
        nested("[", "]"),
        nested("{\"a\":", "}"),
        nested("{\"b\":0,\"1\":[", ",36.0]}"),
        format!("{{{}}}", keys.join(",")),
    ];
    assert_eq!(compare(&texts), texts.len());
}
