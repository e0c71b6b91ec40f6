//! Answers worked out by hand from the original's rules.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;

/// A home with log files.
struct Home {
    folder: TempDir,
    logs: McpLogs,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let zone = Zone::named("UTC").unwrap();
        let logs = McpLogs::new(folder.path(), zone);
        Self { folder, logs }
    }

    fn path(&self, file: &str) -> PathBuf {
        let (project, name) = file.split_once('/').unwrap();
        let root = self.folder.path().join("Library/Caches/claude-cli-nodejs");
        root.join(project).join("mcp-logs-ide").join(name)
    }

    /// Writes a file that changed so many seconds after 1970.
    fn write(&self, file: &str, seconds: u64, text: impl AsRef<[u8]>) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    }

    async fn tools(&self) -> String {
        text(self.logs.tools().await)
    }

    async fn list(&self, query: &str) -> String {
        text(self.logs.logs(&Query::parse(Some(query))).await)
    }
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::Json(_, body) => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// One tool call of each kind.
fn call(name: &str, timestamp: &str) -> String {
    format!(r#"{{"method":"tools/call","params":{{"name":"{name}"}},"timestamp":"{timestamp}"}}"#)
}

#[tokio::test]
async fn calls_are_counted_in_the_order_of_the_files() {
    let home = Home::new();
    home.write(
        "-work-alpha/2025-07-01.txt",
        100,
        format!(
            "[{},{{\"debug\":\"Calling MCP tool:  openDiff \\nmore\",\"timestamp\":\"2025-07-01T10:00:01.000Z\",\"params\":{{\"cwd\":\"/srv/alpha\"}}}}]",
            call("getDiagnostics", "2025-07-01T10:00:00.000Z")
        ),
    );
    home.write(
        "-work-alpha/2025-07-02.txt",
        200,
        format!(
            "{}\nno json\n0\n\"\"\n{{\"x\":1}}\r\n",
            call("getDiagnostics", "2025-07-02T10:00:00.000Z")
        ),
    );
    home.write("-work-beta/empty.txt", 300, "");
    assert_eq!(
        home.tools().await,
        concat!(
            r#"{"totalCalls":3,"uniqueTools":2,"tools":["#,
            r#"{"name":"getDiagnostics","count":2,"sessionCount":2,"firstUsed":"2025-07-02T10:00:00.000Z","lastUsed":"2025-07-01T10:00:00.000Z"},"#,
            r#"{"name":"openDiff","count":1,"sessionCount":1,"firstUsed":"2025-07-01T10:00:01.000Z","lastUsed":"2025-07-01T10:00:01.000Z"}],"#,
            r#""sessions":[{"sessionId":"2025-07-02","projectName":"-work-alpha","tools":{"getDiagnostics":1},"startTime":"2025-07-02T10:00:00.000Z","endTime":"2025-07-02T10:00:00.000Z","cwd":"-work-alpha","file":"2025-07-02.txt"},"#,
            r#"{"sessionId":"2025-07-01","projectName":"-work-alpha","tools":{"getDiagnostics":1,"openDiff":1},"startTime":"2025-07-01T10:00:00.000Z","endTime":"2025-07-01T10:00:01.000Z","cwd":"/srv/alpha","file":"2025-07-01.txt"}]}"#,
        )
    );
    let tool = text(home.logs.tool("openDiff").await);
    assert_eq!(
        tool,
        r#"{"tool":{"name":"openDiff","count":1,"sessionCount":1,"firstUsed":"2025-07-01T10:00:01.000Z","lastUsed":"2025-07-01T10:00:01.000Z"},"relatedSessions":[{"sessionId":"2025-07-01","projectName":"-work-alpha","tools":{"getDiagnostics":1,"openDiff":1},"startTime":"2025-07-01T10:00:00.000Z","endTime":"2025-07-01T10:00:01.000Z","cwd":"/srv/alpha","file":"2025-07-01.txt"}]}"#
    );
    assert_eq!(
        home.logs.tool("nope").await,
        Answer::not_found("Tool not found", "No usage data found for tool: nope")
    );
}

#[tokio::test]
async fn logs_are_listed_from_the_newest_on() {
    let home = Home::new();
    home.write("-a/old.txt", 100, "[]");
    home.write("-a/new.txt", 300, "[null,1,{}]");
    home.write("-b/middle.txt", 200, "{}\n{\"a\":1}\nfalse");
    let path = |file: &str| home.path(file).to_str().unwrap().to_owned();
    let row = |file: &str, timestamp: &str, size: u32, entries: u32| {
        let name = file.split_once('/').unwrap().1;
        format!(
            r#"{{"file":"{name}","filePath":"{}","timestamp":"1970-01-01T00:0{timestamp}.000Z","size":{size},"entries":{entries},"sessionId":"{}"}}"#,
            path(file),
            name.trim_end_matches(".txt")
        )
    };
    assert_eq!(
        home.list("sessionId=nobody&limit=2").await,
        format!(
            r#"{{"data":[{},{}],"pagination":{{"currentPage":1,"totalPages":2,"totalItems":3,"itemsPerPage":2,"hasNext":true,"hasPrev":false}}}}"#,
            row("-a/new.txt", "5:00", 11, 3),
            row("-b/middle.txt", "3:20", 16, 2),
        )
    );
    assert_eq!(
        home.list("limit=501").await,
        r#"{"error":"Invalid pagination parameters","message":"Page must be >= 1, limit must be between 1 and 500"}"#
    );
    let totals = McpTotals {
        sessions: 3,
        size: 29,
        newest: Some(300_000.0),
    };
    assert_eq!(home.logs.totals().await, Ok(totals));
}

#[tokio::test]
async fn changed_files_are_read_again_and_others_are_not() {
    let home = Home::new();
    home.write("-a/x.txt", 100, call("one", "2025-07-01"));
    home.write("-a/y.txt", 100, call("one", "2025-07-01"));
    assert!(home.tools().await.starts_with(r#"{"totalCalls":2,"#));
    let log = |file: &str| {
        let logs = home.logs.files.now().unwrap();
        let path = home.path(file);
        let file = logs.files.iter().find(|file| file.path == path);
        Arc::clone(file.expect("a file").log.as_ref().expect("a readable file"))
    };
    // Until the clock of the file system has gone on since the write.
    let (x, y) = loop {
        let found = (log("-a/x.txt"), log("-a/y.txt"));
        if Arc::ptr_eq(&found.0, &log("-a/x.txt")) && Arc::ptr_eq(&found.1, &log("-a/y.txt")) {
            break found;
        }
    };
    // The same size and the same time.
    home.write("-a/x.txt", 100, call("two", "2025-07-01"));
    let tools = home.tools().await;
    assert!(tools.contains(r#""name":"two""#), "{tools}");
    assert!(!Arc::ptr_eq(&x, &log("-a/x.txt")));
    assert!(Arc::ptr_eq(&y, &log("-a/y.txt")));
    fs::remove_file(home.path("-a/x.txt")).unwrap();
    assert!(home.tools().await.starts_with(r#"{"totalCalls":1,"#));
    assert_eq!(home.logs.files.now().unwrap().files.len(), 1);
    fs::remove_dir_all(home.folder.path().join("Library")).unwrap();
    assert_eq!(
        home.tools().await,
        r#"{"totalCalls":0,"uniqueTools":0,"tools":[],"sessions":[]}"#
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_listed_with_its_error() {
    let home = Home::new();
    home.write("-a/x.txt", 100, "[]");
    fs::create_dir(home.path("-a/folder.txt")).unwrap();
    std::os::unix::fs::symlink("nowhere", home.path("-a/dangling.txt")).unwrap();
    let list = home.list("").await;
    let path = home.path("-a/dangling.txt");
    for part in [
        r#""size":0,"entries":0,"error":"EISDIR: illegal operation on a directory, read"}"#
            .to_owned(),
        format!(
            r#""size":0,"entries":0,"error":"ENOENT: no such file or directory, stat '{}'"}}"#,
            path.display()
        ),
        r#""totalItems":3,"#.to_owned(),
    ] {
        assert!(list.contains(&part), "{list}");
    }
    // The time at which they were found out stays.
    assert_eq!(home.list("").await, list);
}

#[tokio::test]
async fn odd_entries_count_as_in_javascript() {
    let home = Home::new();
    let entries = [
        // No tool, or none that anybody could name.
        r#"null"#,
        r#"{"debug":7,"params":{"cwd":"/ignored"}}"#,
        r#"{"debug":"Calling MCP tool:   ","timestamp":null}"#,
        r#"{"debug":"calling MCP tool: x"}"#,
        r#"{"method":"tools/call","params":{"name":""}}"#,
        r#"{"method":"tools/call"}"#,
        // A name need not be a text, a time need not be there.
        r#"{"method":"tools/call","params":{"name":7,"cwd":["/srv"]}}"#,
        r#"{"method":"tools/call","params":{"name":7},"timestamp":5}"#,
        r#"{"method":"tools/call","params":{"name":{"a":1}},"timestamp":null}"#,
        r#"{"method":"tools/call","params":{"name":{"a":1}}}"#,
        r#"{"method":"tools/call","params":{"name":"b"}}"#,
        r#"{"method":"tools/call","params":{"name":"7"}}"#,
        // Every object has these already.
        r#"{"method":"tools/call","params":{"name":"constructor"}}"#,
        r#"{"method":"tools/call","params":{"name":"constructor"}}"#,
        r#"{"method":"tools/call","params":{"name":"__proto__"}}"#,
    ];
    home.write("-a/x.txt", 100, format!("[{}]", entries.join(",")));
    assert_eq!(
        home.tools().await,
        concat!(
            r#"{"totalCalls":9,"uniqueTools":7,"tools":["#,
            r#"{"name":7,"count":2,"sessionCount":0,"lastUsed":5},"#,
            r#"{"name":"constructor","count":2,"sessionCount":1},"#,
            r#"{"name":{"a":1},"count":1,"sessionCount":0,"firstUsed":null,"lastUsed":null},"#,
            r#"{"name":{"a":1},"count":1,"sessionCount":0},"#,
            r#"{"name":"b","count":1,"sessionCount":1},"#,
            r#"{"name":"7","count":1,"sessionCount":1},"#,
            r#"{"name":"__proto__","count":1,"sessionCount":0}],"#,
            r#""sessions":[{"sessionId":"x","projectName":"-a","tools":{"7":3,"[object Object]":2,"b":1,"constructor":"function Object() { [native code] }11"},"#,
            r#""startTime":5,"endTime":5,"cwd":["/srv"],"file":"x.txt"}]}"#,
        )
    );
    let related = |body: String| body.contains(r#""relatedSessions":[{"#);
    assert!(related(text(home.logs.tool("__proto__").await)));
    assert!(related(text(home.logs.tool("7").await)));
}

#[tokio::test]
async fn only_twenty_sessions_are_related() {
    let home = Home::new();
    for n in 10..35 {
        let time = format!("2025-07-01T10:{n}:00Z");
        home.write(&format!("-a/{n}.txt"), 100, call("x", &time));
    }
    let body = text(home.logs.tool("x").await);
    let sessions: Vec<_> = body.matches(r#"{"sessionId":"#).collect();
    assert_eq!(sessions.len(), 20);
    assert!(
        body.contains(r#""relatedSessions":[{"sessionId":"34","#),
        "{body}"
    );
    assert!(body.contains(r#""count":25,"sessionCount":25,"#), "{body}");
}
