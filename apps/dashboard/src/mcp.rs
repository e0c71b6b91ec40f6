//! What the editor's MCP server was asked for, by its log files. Each is read once, and again when it changes; nothing
//! is answered from memory that the files do not say any more.

mod files;
mod log;
mod name;
mod walk;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;

use self::files::{Files, LogFile, Logs};
use self::log::{Session, session_id};
use self::name::{Name, inherited};
use super::ahead::Ahead;
use super::answer::{Answer, Thrown};
use super::iso::iso_text;
use super::page::{Page, Pagination};
use super::query::Query;
use super::zone::Zone;
use strangler::js_json::Text;

/// So many sessions of a tool are shown.
const RELATED_SESSIONS: usize = 20;

/// The log files of all projects.
#[derive(Debug, Clone)]
pub(super) struct McpLogs {
    files: Arc<Files>,
    ahead: Arc<Ahead>,
}

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
        let root = home.join("Library/Caches/claude-cli-nodejs");
        Self {
            files: Arc::new(Files::new(root, zone)),
            ahead: Arc::default(),
        }
    }

    /// From now on changes are read before somebody asks.
    pub(super) fn look_ahead(&self) {
        let files = Arc::downgrade(&self.files);
        self.ahead.follow(self.files.root(), move || {
            let Some(files) = files.upgrade() else {
                return false;
            };
            // Whoever asks hears of an error.
            let _ = files.now();
            true
        });
    }

    /// `GET /api/v2/mcp/logs`. The parameter `sessionId` is documented, and has no effect.
    pub(super) async fn logs(&self, query: &Query) -> Answer {
        let page = match Page::of(query, 50, 500) {
            Ok(page) => page,
            Err(refusal) => return refusal,
        };
        let logs = match self.now().await {
            Ok(logs) => logs,
            Err(thrown) => return thrown.failed(),
        };
        let files = newest_first(&logs);
        let paths: Vec<_> = files
            .iter()
            .map(|file| file.path.to_string_lossy())
            .collect();
        let rows: Vec<_> = files.iter().zip(&paths).collect();
        let data = page.of_items(&rows).iter().map(|(file, path)| {
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
        match self.now().await {
            Ok(logs) => logs.kept.get("tools".to_owned(), || tools(&logs.files)),
            Err(thrown) => thrown.failed(),
        }
    }

    /// `GET /api/v2/mcp/tools/:toolName`
    pub(super) async fn tool(&self, name: &str) -> Answer {
        match self.now().await {
            Ok(logs) => {
                let make = || tool(&logs.files, name);
                logs.kept.get(format!("tool {name}"), make)
            }
            Err(thrown) => thrown.failed(),
        }
    }

    pub(super) async fn totals(&self) -> Result<McpTotals, Thrown> {
        let logs = self.now().await?;
        Ok(McpTotals {
            sessions: logs.files.len(),
            size: logs.files.iter().map(|file| file.size).sum(),
            newest: newest_first(&logs).first().map(|file| file.time),
        })
    }

    /// All files as they are now.
    async fn now(&self) -> Result<Arc<Logs>, Thrown> {
        let files = Arc::clone(&self.files);
        let logs = tokio::task::spawn_blocking(move || files.now()).await;
        match logs {
            Ok(Ok(logs)) => Ok(logs),
            Ok(Err(error)) => Err(Thrown::new(error.to_string())),
            Err(error) => Err(Thrown::new(error.to_string())),
        }
    }
}

/// Those of equal times stay as they are.
fn newest_first(logs: &Logs) -> Vec<&LogFile> {
    let mut files: Vec<_> = logs.files.iter().collect();
    files.sort_by(|one, other| other.time.total_cmp(&one.time));
    files
}

fn tools(files: &[LogFile]) -> Answer {
    let usage = Usage::of(files);
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

fn tool(files: &[LogFile], name: &str) -> Answer {
    let usage = Usage::of(files);
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
    fn of(files: &'f [LogFile]) -> Self {
        let mut tools: IndexMap<(usize, &Name), Tool<'f>> = IndexMap::new();
        let mut by_text: HashMap<&Text, usize> = HashMap::new();
        let mut sessions = Vec::new();
        for (file, LogFile { log, .. }) in files.iter().enumerate() {
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
