//! `GET /api/v2/summary`, from everything else, and two folders that only it looks into.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Dashboard;
use super::answer::{Answer, Thrown};
use super::iso::{iso_text, modified};

/// Where todos are, and the tasks of an editor's extension.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    todos: PathBuf,
    tasks: PathBuf,
}

impl Folders {
    pub(super) fn new(home: &Path) -> Self {
        Self {
            todos: home.join(".claude/todos"),
            tasks: home
                .join("Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev"),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    total_mcp_sessions: usize,
    total_todo_files: usize,
    total_vs_code_tasks: usize,
    total_size: u64,
    total_messages: u64,
    total_conversations: u64,
    total_tokens: f64,
    total_cost: String,
    last_activity: Option<String>,
}

#[derive(Debug, Default)]
struct Todos {
    files: usize,
    size: u64,
    newest: Option<f64>,
}

pub(super) async fn summary(dashboard: &Dashboard) -> Answer {
    match compute(dashboard).await {
        Ok(body) => Answer::json(&body),
        Err(thrown) => thrown.failed(),
    }
}

async fn compute(dashboard: &Dashboard) -> Result<Body, Thrown> {
    let Folders { todos, tasks } = dashboard.folders.clone();
    let folders = tokio::task::spawn_blocking(move || (read_todos(todos), count_folders(tasks)));
    let (logs, folders, usage) =
        tokio::join!(dashboard.mcp.totals(), folders, dashboard.usage.totals());
    let logs = logs?;
    let (todos, tasks) = folders.map_err(|error| Thrown::new(error.to_string()))?;
    let todos = todos.map_err(failed("Failed to read todos"))?;
    let tasks = tasks.map_err(failed("Failed to read VS Code logs"))?;
    let usage = usage.map_err(failed("Failed to process project data"))?;
    Ok(Body {
        total_mcp_sessions: logs.sessions,
        total_todo_files: todos.files,
        total_vs_code_tasks: tasks,
        total_size: logs.size + todos.size,
        total_messages: usage.total_messages,
        total_conversations: usage.total_conversations,
        total_tokens: usage.total_tokens,
        total_cost: usage.total_cost,
        last_activity: logs.newest.or(todos.newest).and_then(iso_text),
    })
}

/// What the original says of an error.
fn failed(message: &'static str) -> impl Fn(io::Error) -> Thrown {
    move |error| {
        tracing::error!(%error, "the summary cannot be made: {message}");
        Thrown::new(message)
    }
}

/// A folder that is not there is empty. What is in one must be readable, though nobody cares what it says.
fn read_todos(folder: PathBuf) -> io::Result<Todos> {
    let mut todos = Todos::default();
    if !folder.exists() {
        return Ok(todos);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with(".json") {
            continue;
        }
        let metadata = fs::metadata(entry.path())?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if metadata.is_file() {
            File::open(entry.path())?;
        }
        todos.files += 1;
        todos.size += metadata.len();
        let newest = todos.newest.unwrap_or(f64::NEG_INFINITY);
        todos.newest = Some(newest.max(modified(&metadata)));
    }
    Ok(todos)
}

fn count_folders(folder: PathBuf) -> io::Result<usize> {
    if !folder.exists() {
        return Ok(0);
    }
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        count += usize::from(fs::metadata(entry?.path())?.is_dir());
    }
    Ok(count)
}
