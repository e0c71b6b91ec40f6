use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::record::{Activity, Moment, Record, Session, Timeline, Use};
use super::scan::{Fields, Line, Lines, PADDING, Usage};
use super::*;
use strangler::js_json;

fn zone() -> Zone {
    Zone::named("UTC").expect("a bundled zone")
}

fn scan(text: &[u8]) -> Vec<Line<'static>> {
    let mut padded = text.to_vec();
    padded.push(b'\n');
    let end = padded.len();
    padded.resize(end + PADDING, 0);
    Lines::new(padded.leak(), 0..end).collect()
}

fn usual(text: &str) -> Fields<'static> {
    let mut lines = scan(text.as_bytes());
    match (lines.pop(), lines.pop()) {
        (Some(Line::Usual(fields)), None) => fields,
        other => panic!("{text}: {other:?}"),
    }
}

/// Both ways to a record.
fn records(line: &[u8]) -> [Record; 2] {
    let mut quick = Record::default();
    for line in scan(line) {
        match line {
            Line::Usual(fields) => quick.add(&fields, &zone()),
            Line::Unusual(line) => quick.add_unusual(line, &zone()),
        }
    }
    let mut slow = Record::default();
    slow.add_unusual(line, &zone());
    [quick, slow]
}

fn same(quick: &Record, slow: &Record) -> bool {
    quick.facts == slow.facts
        && quick.uses().eq(slow.uses())
        && quick.sessions == slow.sessions
        && quick.models == slow.models
}

const LINE: &str = r#"{"parentUuid":null,"isMeta":false,"sessionId":"s-1","a":[1,-2.5e+3,{"b":[]},{},"x\"y\\"],"timestamp":"2025-07-01T10:00:00.000Z","message":{"role":"assistant","model":"claude-opus-4-20250514","content":[{"type":"text","text":"a long text with \"quotes\", \\backslashes\\\\, \ud83d\ude00 and \t more, so that it spans several blocks of sixty-four bytes \u00e9"}],"usage":{"input_tokens":12,"cache_creation_input_tokens":300,"cache_read_input_tokens":0,"output_tokens":1.5,"service_tier":"standard"}},"z":true}"#;

#[test]
fn the_wanted_fields_are_found_in_one_pass() {
    assert_eq!(
        usual(LINE),
        Fields {
            timestamp: Some(b"2025-07-01T10:00:00.000Z"),
            session: Some(b"s-1"),
            model: Some(b"claude-opus-4-20250514"),
            usage: Some(Usage {
                input: 12.0,
                cache_creation: 300.0,
                cache_read: 0.0,
                output: 1.5,
            }),
        }
    );
}

#[test]
fn of_equal_keys_the_last_counts_as_a_whole() {
    let fields = usual(
        r#"{"message":{"usage":{"input_tokens":1},"model":"a"},"timestamp":"x","message":{"model":"b"},"timestamp":"y"}"#,
    );
    assert_eq!(fields.usage, None);
    assert_eq!(fields.model, Some(b"b".as_slice()));
    assert_eq!(fields.timestamp, Some(b"y".as_slice()));
    let usage =
        usual(r#"{"message":{"usage":{"input_tokens":1,"input_tokens":null,"output_tokens":-0}}}"#);
    assert_eq!(usage.usage, Some(Usage::default()));
}

// The judge is `js_json`, which V8 judges in `tests/it`.
#[test]
fn lines_are_accepted_where_json_parse_accepts_them() {
    let long = "x".repeat(200);
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let mut lines: Vec<String> = [
        "{}",
        "{ }",
        "{\"a\" : 1 , \"b\":[ ] }\r",
        "\t{}",
        "null",
        "123",
        "\"str\"",
        "[]",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1}",
        "{\"a\":{]}",
        "{} x",
        "{}{}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":+1}",
        "{\"a\":-01}",
        "{\"a\":1e400}",
        "{\"a\":tru}",
        "{\"a\":true1}",
        "{\"a\":nul}",
        "{\"a\":NaN}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\\\\\\"\"}",
        "{\"a\":\"\\\\\\\\\"\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\u{0}\"}",
        "{\"a\":\"\u{7f}\u{2028}\"}",
        "\u{feff}{}",
        "{\"a\":\u{a0}1}",
        "{'a':1}",
        "{\"a\":1 2}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\u",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    lines.extend([deep(3), deep(63), deep(64), deep(65), deep(20_000)]);
    lines.push(format!("{{\"a\":\"{long}\\"));
    lines.push(format!("{{\"a\":\"{long}\u{1}\"}}"));
    lines.push(format!("{{\"{long}\":\"{long}\\n{long}\\u00e9\"}}"));
    for shift in 0..130 {
        let before = "y".repeat(shift);
        for escape in [
            "\\\\",
            "\\\"",
            "\\\\\\\"",
            "\\u00e9",
            "\\ud83d\\ude00",
            "\\q",
            "\\u00g9",
            "\\\\\\",
        ] {
            lines.push(format!("{{\"a\":\"{before}{escape}{long}\"}}"));
            lines.push(format!("{{\"a\":\"{before}{escape}\"}}"));
        }
    }
    for line in lines {
        let [quick, slow] = records(line.as_bytes());
        let is_json = js_json::parse(&line).is_ok();
        assert_eq!(quick.facts.messages, u64::from(is_json), "{line}");
        assert!(same(&quick, &slow), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn spoiled_lines_are_read_as_by_the_slow_parser(
        spots in prop::collection::vec((0..LINE.len(), 0..24_usize), 1..4),
    ) {
        const LETTERS: &[u8; 24] = b"\"\\{}[]:,0159-+.eEuntf \t\x80";
        let mut line = LINE.as_bytes().to_vec();
        for (at, letter) in spots {
            line[at] = LETTERS[letter];
        }
        let [quick, slow] = records(&line);
        prop_assert!(same(&quick, &slow), "{}", String::from_utf8_lossy(&line));
    }
}

#[test]
fn only_what_is_unusual_is_read_twice() {
    assert!(matches!(scan(LINE.as_bytes())[..], [Line::Usual(_)]));
    for line in [
        r#"{"timestamp":1751324400000}"#,
        r#"{"sessionId":null}"#,
        r#"{"message":{"usage":{"input_tokens":"1"}}}"#,
        r#"{"t\u0069mestamp":"x"}"#,
    ] {
        assert!(
            matches!(scan(line.as_bytes())[..], [Line::Unusual(_)]),
            "{line}"
        );
    }
}

fn only_use(line: &str) -> (Use, Record) {
    let [quick, slow] = records(line.as_bytes());
    assert!(same(&quick, &slow), "{line}");
    let mut uses = quick.uses();
    assert_eq!(uses.len(), 1, "{line}");
    (uses.next().unwrap(), slow)
}

#[test]
fn odd_values_count_as_in_node() {
    let usage = |usage: &str| {
        only_use(&format!("{{\"message\":{{\"usage\":{usage}}}}}"))
            .0
            .tokens
    };
    assert_eq!(usage("{\"input_tokens\":-1.5}").new_input, -1.5);
    assert_eq!(usage("{\"output_tokens\":1e400}").output, f64::INFINITY);
    assert_eq!(
        usage("{\"output_tokens\":4294967295}").output,
        4_294_967_295.0
    );
    assert_eq!(
        usage("{\"output_tokens\":4294967296}").output,
        4_294_967_296.0
    );
    assert_eq!(usage("{\"output_tokens\":true}").output, 1.0);
    assert_eq!(usage("5").output, 0.0);

    let moment = |timestamp: &str| {
        only_use(&format!(
            "{{\"timestamp\":{timestamp},\"message\":{{\"usage\":{{}}}}}}"
        ))
        .0
        .moment
    };
    assert_eq!(moment("1751324400000.9"), Moment::At(1_751_324_400_000));
    assert_eq!(
        moment("\"2025-07-01T08:59:59+09:00\""),
        Moment::At(1_751_327_999_000)
    );
    assert_eq!(moment("9e15"), Moment::Invalid);
    assert_eq!(moment("\"yesterday\""), Moment::Invalid);
    assert_eq!(moment("0"), Moment::None);
    assert_eq!(moment("\"\""), Moment::None);

    let session = |session: &str| {
        let (found, record) = only_use(&format!(
            "{{\"sessionId\":{session},\"message\":{{\"usage\":{{}}}}}}"
        ));
        record.sessions[found.session].clone()
    };
    assert!(session("\"\\ud800\"").is_truthy());
    assert_eq!(session("null"), Session::Null);
    assert_eq!(session("-0"), Session::Number(0));
    assert!(!session("\"\"").is_truthy());
    assert!(session("[]").is_truthy());
}

#[test]
fn usage_without_object_or_with_a_model_that_is_no_text_is_no_entry() {
    for (line, messages) in [
        (r#"{"message":null}"#, 1),
        (r#"{"message":{"usage":null}}"#, 1),
        (r#"{"message":{"usage":0}}"#, 1),
        (r#"{"message":{"model":5,"usage":{"input_tokens":1}}}"#, 1),
        ("not json", 0),
        ("   ", 0),
    ] {
        let [quick, slow] = records(line.as_bytes());
        assert!(same(&quick, &slow), "{line}");
        assert_eq!(
            (quick.uses().len(), quick.facts.messages),
            (0, messages),
            "{line}"
        );
    }
}

#[test]
fn a_first_date_that_is_invalid_stays() {
    use Activity::{At, Invalid, Never};
    assert_eq!(Never.then(Invalid).then(At(5)), Invalid);
    assert_eq!(Never.then(At(5)).then(Invalid).then(At(3)), At(5));
    assert_eq!(At(3).then(At(5)).then(Never), At(5));
}

/// A tree that is edited, and its index.
struct Tree {
    folder: TempDir,
    index: Index,
}

impl Tree {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let index = Index::new(folder.path().to_owned(), zone());
        Self { folder, index }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// What the index holds, which must be what a new one finds.
    fn check(&self) -> String {
        let found = shown(&self.index.now().unwrap());
        let fresh = Index::new(self.folder.path().to_owned(), zone());
        assert_eq!(found, shown(&fresh.now().unwrap()));
        found
    }
}

fn shown(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for project in &snapshot.projects {
        for (file, record) in project.records.iter().enumerate() {
            let uses: Vec<_> = record
                .uses()
                .map(|found| {
                    let model = found.model.map(|model| &record.models[model]);
                    (
                        found.moment,
                        found.tokens,
                        &record.sessions[found.session],
                        model,
                    )
                })
                .collect();
            text += &format!("{}/{file} {:?} {uses:?}\n", project.name, record.facts);
        }
    }
    text
}

fn line(session: &str, tokens: u32) -> String {
    format!(
        "{{\"sessionId\":\"{session}\",\"timestamp\":\"2025-07-01T10:00:00.{:03}Z\",\"message\":{{\"model\":\"m{}\",\"usage\":{{\"input_tokens\":{tokens}}}}}}}\n",
        tokens % 1000,
        tokens % 3
    )
}

#[test]
fn edits_are_seen_at_the_next_question() {
    let tree = Tree::new();
    assert_eq!(tree.check(), "");
    tree.write("b/one.jsonl", line("s", 1));
    tree.write("a/two.jsonl", line("t", 2) + &line("u", 3));
    tree.write("a/ignored.json", "x");
    tree.write("stray", "x");
    let first = tree.check();
    assert!(first.starts_with("a/0 "));

    tree.append("b/one.jsonl", line("s", 4));
    assert_ne!(tree.check(), first);
    // Half a line is one that is no JSON; then it is whole.
    let more = line("v", 5);
    tree.append("b/one.jsonl", &more[..20]);
    let half = tree.check();
    tree.append("b/one.jsonl", &more[20..more.len() - 1]);
    let whole = tree.check();
    assert_ne!(half, whole);
    tree.append("b/one.jsonl", "\n");
    assert_eq!(tree.check(), whole);
    // Cut, overwritten in place, replaced, removed.
    tree.write("b/one.jsonl", line("w", 6));
    tree.check();
    tree.write("b/one.jsonl", line("x", 7));
    assert!(tree.check().contains("\"x\""));
    tree.write("b/new", line("y", 8) + &line("y", 9));
    fs::rename(tree.path("b/new"), tree.path("b/one.jsonl")).unwrap();
    assert!(tree.check().contains("\"y\""));
    fs::remove_dir_all(tree.path("a")).unwrap();
    assert!(!tree.check().contains("a/0"));
}

#[test]
fn an_unchanged_tree_is_the_same_snapshot() {
    let tree = Tree::new();
    tree.write("a/one.jsonl", line("s", 1));
    // Settled: it was changed long ago.
    let _ = tree.index.now().unwrap();
    let is_same = || {
        let first = tree.index.now().unwrap();
        Arc::ptr_eq(&first, &tree.index.now().unwrap())
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !is_same() {
        assert!(
            std::time::Instant::now() < deadline,
            "it is read again and again"
        );
    }
}

#[test]
fn a_file_that_grew_with_another_beginning_is_read_anew() {
    let tree = Tree::new();
    tree.write("a/one.jsonl", line("s", 1) + &line("s", 2));
    tree.check();
    // The same inode, longer, and other bytes before where it ended.
    tree.write("a/one.jsonl", line("t", 1) + &line("t", 2) + &line("t", 3));
    assert!(!tree.check().contains("\"s\""));
}

#[test]
fn long_lines_and_many_files_are_read_whole() {
    let tree = Tree::new();
    let long = format!(
        "{{\"a\":\"{}\",\"timestamp\":\"2025-07-01\"}}\n",
        "y".repeat(700_000)
    );
    for name in 0..20 {
        let text: String = (0..300).map(|n| line(&format!("s{name}"), n)).collect();
        tree.write(
            &format!("p{}/{name}.jsonl", name % 3),
            text.clone() + &long + &text,
        );
    }
    tree.check();
    let snapshot = tree.index.now().unwrap();
    assert!(
        snapshot
            .records()
            .all(|record| record.facts.messages == 601)
    );
    assert!(snapshot.records().all(|record| record.uses().len() == 600));
    tree.append("p0/0.jsonl", long.repeat(2));
    tree.check();
}

#[test]
fn what_cannot_be_read_fails_everything_until_it_is_gone() {
    let tree = Tree::new();
    tree.write("a/one.jsonl", line("s", 1));
    let good = tree.check();
    let broken = |make: &dyn Fn(&Path), name: &str| {
        make(&tree.path(name));
        assert!(tree.index.now().is_err(), "{name}");
        let path = tree.path(name);
        let removed = if path.is_dir() {
            fs::remove_dir(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.unwrap();
        assert_eq!(tree.check(), good);
    };
    let link = |path: &Path| std::os::unix::fs::symlink("nowhere", path).unwrap();
    broken(&link, "a/dangling.jsonl");
    broken(&link, "dangling");
    fs::write(tree.path("stray"), "x").unwrap();
    let through_a_file = |path: &Path| std::os::unix::fs::symlink("stray/below", path).unwrap();
    broken(&through_a_file, "through");
    broken(&|path| fs::create_dir(path).unwrap(), "a/folder.jsonl");
    // Other names do not matter.
    link(&tree.path("a/dangling.txt"));
    assert_eq!(tree.check(), good);
}

#[test]
fn links_are_followed() {
    let tree = Tree::new();
    let elsewhere = TempDir::new().unwrap();
    fs::write(elsewhere.path().join("x.jsonl"), line("s", 1)).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), tree.path("a")).unwrap();
    fs::create_dir(tree.path("b")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("x.jsonl"), tree.path("b/y.jsonl")).unwrap();
    assert_eq!(tree.check().lines().count(), 2);
    fs::write(
        elsewhere.path().join("x.jsonl"),
        line("s", 1) + &line("t", 2),
    )
    .unwrap();
    assert_eq!(tree.check().matches("\"t\"").count(), 2);
}

#[test]
fn a_timeline_is_in_the_order_of_time_and_then_of_files() {
    let line = |time: &str, tokens: usize| {
        format!("{{\"timestamp\":{time},\"message\":{{\"usage\":{{\"input_tokens\":{tokens}}}}}}}")
    };
    let near = ["7", "3", "\"2025-07-01\"", "3", "null", "7"];
    let far = ["8.64e15", "3", "-8.64e15", "\"x\"", "3", "\"y\"", "null"];
    for times in [&near[..], &far[..], &[]] {
        let mut records = [Record::default(), Record::default()];
        for (number, time) in times.iter().enumerate() {
            records[number % 2].add_unusual(line(time, number).as_bytes(), &zone());
        }
        let timeline = Timeline::of(records.iter().map(|record| (record, &[0][..], &[][..])));
        let found: Vec<_> = timeline
            .uses()
            .map(|line| (line.moment, line.tokens.new_input as usize))
            .collect();
        let uses = records.iter().flat_map(Record::uses);
        let mut expected: Vec<_> = uses
            .map(|line| (line.moment, line.tokens.new_input as usize))
            .filter(|(moment, _)| *moment != Moment::None)
            .collect();
        expected.sort_by_key(|(moment, _)| match moment {
            Moment::At(time) => *time,
            Moment::None | Moment::Invalid => i64::MAX,
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn overwriting_by_as_many_bytes_is_seen() {
    let tree = Tree::new();
    for number in 100..400 {
        tree.write("a/one.jsonl", line(&format!("s{number}"), 1));
        let found = shown(&tree.index.now().unwrap());
        assert!(
            found.contains(&format!("\"s{number}\"")),
            "{number}: {found}"
        );
    }
}

#[test]
fn new_files_are_seen_at_once() {
    let tree = Tree::new();
    for number in 100..250 {
        let folder = if number % 3 == 0 { number } else { 0 };
        tree.write(
            &format!("p{folder}/{number}.jsonl"),
            line(&format!("s{number}"), 1),
        );
        let found = shown(&tree.index.now().unwrap());
        assert!(
            found.contains(&format!("\"s{number}\"")),
            "{number}: {found}"
        );
    }
}
