//! What the editor's MCP server was asked for, by its log files. Each is read once, and again when it changes; nothing
//! is answered from memory that the files do not say any more.

mod log;
mod name;
mod walk;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use serde::Serialize;

use self::log::{Log, Session, session_id};
use self::name::{Name, inherited};
use super::answer::{Answer, Thrown};
use super::iso::{iso_text, modified, now};
use super::page::{Page, Pagination};
use super::query::Query;
use super::zone::Zone;
use crate::native::js_json::Text;

/// So many sessions of a tool are shown.
const RELATED_SESSIONS: usize = 20;

/// The log files of all projects.
#[derive(Debug, Clone)]
pub(super) struct McpLogs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    zone: Zone,
    known: Mutex<HashMap<PathBuf, LogFile>>,
}

/// One log file as it was when it was last looked at.
#[derive(Debug, Clone)]
struct LogFile {
    stamp: Stamp,
    /// Milliseconds since 1970: when it changed, or when it was first found to be unreadable.
    time: f64,
    size: u64,
    /// `Err` is what Node says of a file that it cannot read.
    log: Result<Arc<Log>, String>,
}

/// What tells a changed file. Nothing for one that is not there.
type Stamp = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

/// What the summary needs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct McpTotals {
    pub(super) sessions: usize,
    pub(super) size: u64,
    /// When the newest log changed, in milliseconds since 1970.
    pub(super) newest: Option<f64>,
}

/// A row of the list of logs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'r> {
    file: &'r str,
    file_path: &'r str,
    timestamp: Option<String>,
    size: u64,
    entries: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'r str>,
}

#[derive(Serialize)]
struct Rows<'r> {
    data: Vec<Row<'r>>,
    pagination: Pagination,
}

impl McpLogs {
    pub(super) fn new(home: &Path, zone: Zone) -> Self {
        Self(Arc::new(Inner {
            root: home.join("Library/Caches/claude-cli-nodejs"),
            zone,
            known: Mutex::default(),
        }))
    }

    /// `GET /api/v2/mcp/logs`. The parameter `sessionId` is documented, and has no effect.
    pub(super) async fn logs(&self, query: &Query) -> Answer {
        let page = match Page::of(query, 50, 500) {
            Ok(page) => page,
            Err(refusal) => return refusal,
        };
        let files = match self.newest_first().await {
            Ok(files) => files,
            Err(thrown) => return thrown.into(),
        };
        let paths: Vec<_> = files
            .iter()
            .map(|(path, _)| path.to_string_lossy())
            .collect();
        let rows: Vec<_> = files.iter().zip(&paths).collect();
        let data = page.of_items(&rows).iter().map(|((_, file), path)| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let log = file.log.as_ref();
            Row {
                file: name,
                file_path: path,
                timestamp: iso_text(file.time),
                size: file.size,
                entries: log.map_or(0, |log| log.entries),
                session_id: log.is_ok().then(|| session_id(name)),
                error: log.err().map(String::as_str),
            }
        });
        Answer::json(&Rows {
            data: data.collect(),
            pagination: page.pagination(rows.len()),
        })
    }

    /// `GET /api/v2/mcp/tools`
    pub(super) async fn tools(&self) -> Answer {
        let files = match self.files().await {
            Ok(files) => files,
            Err(thrown) => return thrown.into(),
        };
        let usage = Usage::of(&files);
        let tools: Vec<String> = usage.tools.iter().map(Tool::json).collect();
        let sessions: Vec<&str> = usage
            .sessions
            .iter()
            .map(|session| session.json.as_str())
            .collect();
        json(format!(
            r#"{{"totalCalls":{},"uniqueTools":{},"tools":[{}],"sessions":[{}]}}"#,
            usage.tools.iter().map(|tool| tool.count).sum::<usize>(),
            usage.tools.len(),
            tools.join(","),
            sessions.join(","),
        ))
    }

    /// `GET /api/v2/mcp/tools/:toolName`
    pub(super) async fn tool(&self, name: &str) -> Answer {
        let files = match self.files().await {
            Ok(files) => files,
            Err(thrown) => return thrown.into(),
        };
        let usage = Usage::of(&files);
        let key = Text::from(name);
        let is_named = |tool: &&Tool<'_>| matches!(tool.name, Name::Text(text) if *text == key);
        let Some(tool) = usage.tools.iter().find(is_named) else {
            return Answer::not_found(
                "Tool not found",
                &format!("No usage data found for tool: {name}"),
            );
        };
        let calls = |session: &&&Session| session.tools.contains(&key) || inherited(name).is_some();
        let related: Vec<&str> = usage
            .sessions
            .iter()
            .filter(calls)
            .take(RELATED_SESSIONS)
            .map(|session| session.json.as_str())
            .collect();
        json(format!(
            r#"{{"tool":{},"relatedSessions":[{}]}}"#,
            tool.json(),
            related.join(",")
        ))
    }

    pub(super) async fn totals(&self) -> Result<McpTotals, Thrown> {
        let files = self.newest_first().await?;
        Ok(McpTotals {
            sessions: files.len(),
            size: files.iter().map(|(_, file)| file.size).sum(),
            newest: files.first().map(|(_, file)| file.time),
        })
    }

    async fn newest_first(&self) -> Result<Vec<(PathBuf, LogFile)>, Thrown> {
        let mut files = self.files().await?;
        files.sort_by(|(_, a), (_, b)| b.time.total_cmp(&a.time));
        Ok(files)
    }

    /// All files as they are now, in the order in which the original reads them.
    async fn files(&self) -> Result<Vec<(PathBuf, LogFile)>, Thrown> {
        let inner = Arc::clone(&self.0);
        let files = tokio::task::spawn_blocking(move || inner.refresh());
        files.await.map_err(|error| Thrown::new(error.to_string()))
    }
}

impl Inner {
    fn refresh(&self) -> Vec<(PathBuf, LogFile)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let files: Vec<_> = walk::log_files(&self.root)
            .into_iter()
            .map(|path| {
                let file = LogFile::read(&path, known.remove(&path), &self.zone);
                (path, file)
            })
            .collect();
        *known = files.iter().cloned().collect();
        files
    }
}

impl LogFile {
    fn read(path: &Path, known: Option<Self>, zone: &Zone) -> Self {
        let metadata = fs::metadata(path);
        let stamp = metadata.as_ref().ok().map(stamp);
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return known;
        }
        let log = match &metadata {
            Ok(metadata) => read(path, metadata, zone),
            Err(error) => Err(node_error(error, &format!("stat '{}'", path.display()))),
        };
        let (time, size) = match (&log, &metadata) {
            (Ok(_), Ok(metadata)) => (modified(metadata), metadata.len()),
            _ => (now(), 0),
        };
        Self {
            stamp,
            time,
            size,
            log: log.map(Arc::new),
        }
    }
}

fn read(path: &Path, metadata: &Metadata, zone: &Zone) -> Result<Log, String> {
    if metadata.is_dir() {
        return Err("EISDIR: illegal operation on a directory, read".to_owned());
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Log::read(path, &String::from_utf8_lossy(&bytes), zone)),
        Err(error) => Err(node_error(&error, &format!("open '{}'", path.display()))),
    }
}

fn stamp(metadata: &Metadata) -> (u64, u64, u64, (i64, i64), (i64, i64)) {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    )
}

/// An error as Node words it.
fn node_error(error: &io::Error, call: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("ENOENT: no such file or directory, {call}"),
        io::ErrorKind::PermissionDenied => format!("EACCES: permission denied, {call}"),
        _ => format!("{error}, {call}"),
    }
}

/// All files together.
struct Usage<'f> {
    /// Those with the most calls first.
    tools: Vec<Tool<'f>>,
    /// The newest first.
    sessions: Vec<&'f Session>,
}

struct Tool<'f> {
    name: &'f Name,
    count: usize,
    sessions: usize,
    first_used: Option<&'f str>,
    last_used: Option<&'f str>,
}

impl<'f> Usage<'f> {
    fn of(files: &'f [(PathBuf, LogFile)]) -> Self {
        let mut tools: IndexMap<(usize, &Name), Tool<'f>> = IndexMap::new();
        let mut by_text: HashMap<&Text, usize> = HashMap::new();
        let mut sessions = Vec::new();
        for (file, (_, LogFile { log, .. })) in files.iter().enumerate() {
            let Ok(log) = log else { continue };
            for (name, calls) in &log.tools {
                // The number tells the objects of two files apart.
                let file = if matches!(name, Name::Object(..)) {
                    file + 1
                } else {
                    0
                };
                let entry = tools.entry((file, name));
                if let Name::Text(text) = name {
                    by_text.entry(text).or_insert(entry.index());
                }
                let tool = entry.or_insert(Tool {
                    name,
                    count: 0,
                    sessions: 0,
                    first_used: calls.first_used.as_deref(),
                    last_used: None,
                });
                tool.count += calls.count;
                tool.last_used = calls.last_used.as_deref();
            }
            let Some(session) = &log.session else {
                continue;
            };
            for index in session.tools.iter().filter_map(|key| by_text.get(key)) {
                tools[*index].sessions += 1;
            }
            sessions.push(session);
        }
        let mut tools: Vec<_> = tools.into_values().collect();
        tools.sort_by_key(|tool| Reverse(tool.count));
        sessions.sort_by_key(|session| Reverse(session.start));
        Self { tools, sessions }
    }
}

impl Tool<'_> {
    fn json(&self) -> String {
        let time = |name: &str, time: Option<&str>| {
            time.map(|time| format!(",\"{name}\":{time}"))
                .unwrap_or_default()
        };
        format!(
            r#"{{"name":{},"count":{},"sessionCount":{}{}{}}}"#,
            self.name.json(),
            self.count,
            self.sessions,
            time("firstUsed", self.first_used),
            time("lastUsed", self.last_used),
        )
    }
}

fn json(body: String) -> Answer {
    Answer::Json(http::StatusCode::OK, body.into())
}

#[cfg(test)]
mod tests;
