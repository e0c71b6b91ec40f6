//! Reads one log file: a JSON array of entries, or one entry a line. Quirks of the original are kept where they show in
//! an answer; what its handler throws at ends the entry.

use std::path::Path;

use indexmap::IndexMap;

use super::super::date;
use super::super::number::is_blank;
use super::super::zone::Zone;
use super::name::{Count, Name};
use strangler::js_json::{Object, Text, Value, parse, stringify};

/// What the answers need of a log file.
#[derive(Debug)]
pub(super) struct Log {
    /// How many entries it has.
    pub(super) entries: usize,
    /// What it says of each tool, in the order of their first calls.
    pub(super) tools: IndexMap<Name, Calls>,
    /// Nothing if no tool is called.
    pub(super) session: Option<Session>,
}

/// The calls of a tool in one file.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) count: usize,
    /// The `timestamp` of the first one as JSON, nothing where it has none.
    pub(super) first_used: Option<String>,
    pub(super) last_used: Option<String>,
}

/// A file that calls tools.
#[derive(Debug)]
pub(super) struct Session {
    /// The whole object of the answer.
    pub(super) json: String,
    /// `new Date(startTime)`, by which sessions are sorted. What is no date counts as 1970; in the original it makes
    /// the order unpredictable.
    pub(super) start: i64,
    /// The keys of its `tools`.
    pub(super) tools: Vec<Text>,
}

impl Log {
    /// `text` is what stands in the file at `path`.
    pub(super) fn read(path: &Path, text: &str, zone: &Zone) -> Self {
        let entries = entries(text);
        let mut reader = Reader::default();
        for entry in &entries {
            reader.add(entry, zone);
        }
        Self {
            entries: entries.len(),
            session: reader.session(path),
            tools: reader.tools,
        }
    }
}

/// The items of an array, or of the lines all that are JSON and not falsy.
fn entries(text: &str) -> Vec<Value> {
    if let Ok(Value::Array(items)) = parse(text) {
        return items.into();
    }
    let lines = text.trim_matches(is_blank).split('\n');
    lines
        .filter_map(|line| parse(line).ok())
        .filter(Value::is_truthy)
        .collect()
}

#[derive(Default)]
struct Reader {
    tools: IndexMap<Name, Calls>,
    /// The properties of the session's `tools`.
    counts: IndexMap<Text, Count>,
    start: Option<String>,
    start_date: Option<i64>,
    end: Option<String>,
    cwd: Option<String>,
}

impl Reader {
    fn add(&mut self, entry: &Value, zone: &Zone) {
        let timestamp = entry.get("timestamp");
        let time = timestamp.and_then(stringify);
        if let Some(timestamp) = timestamp.filter(|timestamp| timestamp.is_truthy()) {
            if self.start.is_none() {
                self.start = time.clone();
                self.start_date = to_date(timestamp, zone);
            }
            self.end = time.clone();
        }
        let Ok(name) = called_tool(entry, self.tools.len()) else {
            return;
        };
        if let Some(name) = name {
            Count::add(&mut self.counts, name.property());
            let calls = self.tools.entry(name).or_insert_with(|| Calls {
                count: 0,
                first_used: time.clone(),
                last_used: None,
            });
            calls.count += 1;
            calls.last_used = time;
        }
        let cwd = entry.get("params").and_then(|params| params.get("cwd"));
        if let Some(cwd) = cwd.filter(|cwd| cwd.is_truthy()) {
            self.cwd = stringify(cwd);
        }
    }

    fn session(&mut self, path: &Path) -> Option<Session> {
        if self.counts.is_empty() {
            return None;
        }
        let path = path.to_string_lossy();
        let file = path.rsplit('/').next().unwrap_or_default();
        let project = project(&path);
        let somewhere = if project.is_empty() {
            "Unknown"
        } else {
            project
        };
        let mut counts = Object::default();
        for (key, count) in std::mem::take(&mut self.counts) {
            counts.insert(key, count.into());
        }
        let tools = counts.iter().map(|(key, _)| key.into_owned()).collect();
        let mut session = Object::default();
        session.insert("sessionId", session_id(file).into());
        session.insert("projectName", project.into());
        session.insert("tools", Value::Object(counts));
        let mut json = stringify(&Value::Object(session)).unwrap_or_default();
        json.pop();
        let quoted = |text: &str| stringify(&text.into()).unwrap_or_default();
        let null = || "null".to_owned();
        json += &format!(
            r#","startTime":{},"endTime":{},"cwd":{},"file":{}}}"#,
            self.start.take().unwrap_or_else(null),
            self.end.take().unwrap_or_else(null),
            self.cwd.take().unwrap_or_else(|| quoted(somewhere)),
            quoted(file),
        );
        Some(Session {
            json,
            start: self.start_date.unwrap_or(0),
            tools,
        })
    }
}

/// The original throws.
struct Throws;

/// The tool that an entry calls: the `name` of a request, or what follows a certain beginning of its `debug`.
fn called_tool(entry: &Value, serial: usize) -> Result<Option<Name>, Throws> {
    let name = entry.get("params").and_then(|params| params.get("name"));
    if entry.get("method").and_then(Value::as_str) == Some("tools/call")
        && let Some(name) = name.filter(|name| name.is_truthy())
    {
        return Ok(Some(Name::of(name, serial)));
    }
    let debug = match entry.get("debug").filter(|debug| debug.is_truthy()) {
        None => return Ok(None),
        Some(Value::String(debug)) => debug.to_string_lossy(),
        Some(_) => return Err(Throws),
    };
    let Some(rest) = debug.strip_prefix("Calling MCP tool:") else {
        return Ok(None);
    };
    let is_line_end = |letter| matches!(letter, '\n' | '\r' | '\u{2028}' | '\u{2029}');
    let line = rest.trim_start_matches(is_blank).split(is_line_end).next();
    let name = line.unwrap_or_default().trim_end_matches(is_blank);
    Ok((!name.is_empty()).then(|| Name::Text(name.into())))
}

/// `new Date(value)`
fn to_date(value: &Value, zone: &Zone) -> Option<i64> {
    match value {
        Value::String(text) => date::parse(&text.to_string_lossy(), zone),
        Value::Number(number) => date::from_number(*number),
        Value::Bool(value) => Some(i64::from(*value)),
        _ => None,
    }
}

/// `path.basename(file, '.txt')`
pub(super) fn session_id(file: &str) -> &str {
    file.strip_suffix(".txt").unwrap_or(file)
}

/// The folder above the first `mcp-logs-ide` of the path.
fn project(path: &str) -> &str {
    let mut above = "Unknown";
    for segment in path.split('/') {
        if segment == "mcp-logs-ide" {
            break;
        }
        above = segment;
    }
    above
}
