//! The text of one file below the folders that the dashboard knows.
//!
//! Node compares the beginning of the path only, so that it also shows `~/.claude.json` and `~/.claude-evil/x`. That is
//! never reproduced.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use http::StatusCode;
use nix::errno::Errno;
use serde::Serialize;

use super::Compat;
use super::answer::{Answer, Thrown};
use super::iso::{iso_text, modified};
use super::query::{Query, Value};
use strangler::js_json;

/// 10 MiB
const LARGEST_FILE: u64 = 10 << 20;

/// An indented text above it is shown as the file has it. Node gives up at 512 MiB.
const LONGEST_TEXT: usize = 64 << 20;

/// The folders whose files are shown.
#[derive(Debug, Clone)]
pub(super) struct LogFiles {
    roots: [String; 3],
    compat: Compat,
}

#[derive(Serialize)]
struct Body {
    success: bool,
    data: Content,
}

#[derive(Serialize)]
struct Content {
    content: String,
    size: u64,
    modified: Option<String>,
    path: String,
}

/// Why a file is not shown.
#[derive(Debug)]
enum Refused {
    Outside,
    TooLarge,
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl LogFiles {
    pub(super) fn new(home: &Path, compat: Compat) -> Self {
        let home = home.to_string_lossy();
        let roots = [
            ".claude",
            "Library/Caches/claude-cli-nodejs",
            "Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev",
        ];
        Self {
            roots: roots.map(|root| normalise(&format!("{home}/{root}"))),
            compat,
        }
    }

    pub(super) async fn content(&self, query: &Query) -> Answer {
        let file = match query.get("file") {
            Some(Value::Text(file)) if !file.is_empty() => file,
            None | Some(Value::Text(_)) => {
                return Answer::bad_request("Missing file parameter", "File path is required");
            }
            Some(other) => {
                let kind = if matches!(other, Value::List(_)) {
                    "Array"
                } else {
                    "Object"
                };
                return Thrown::new(format!(
                    "The \"path\" argument must be of type string. Received an instance of {kind}"
                ))
                .into();
            }
        };
        let path = resolve(file);
        if !self.roots.iter().any(|root| is_inside(&path, root)) {
            return denied();
        }
        let files = self.clone();
        let read = tokio::task::spawn_blocking(move || files.read(path));
        match read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error).into()))
        {
            Ok(data) => Answer::json(&Body {
                success: true,
                data,
            }),
            Err(Refused::Outside) => denied(),
            Err(Refused::TooLarge) => Answer::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "File too large",
                "File size exceeds 10MB limit",
            ),
            Err(Refused::Failed(error)) if error.kind() == io::ErrorKind::NotFound => {
                Answer::not_found("File not found", "The requested file does not exist")
            }
            Err(Refused::Failed(error)) => {
                tracing::debug!(%error, "a log file was not read");
                let answer = Answer::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "File read error",
                    "Unable to read the requested file",
                );
                // Otherwise Node may find it readable: as another user, or with fewer open files.
                if fails_for_everybody(&error) {
                    answer
                } else {
                    Answer::Failed(Box::new(answer))
                }
            }
        }
    }

    fn read(&self, path: String) -> Result<Content, Refused> {
        let real = match self.compat {
            Compat::Exact => PathBuf::from(&path),
            Compat::Intended => self.resolve_links(&path)?,
        };
        let metadata = fs::metadata(&real)?;
        if metadata.len() > LARGEST_FILE {
            return Err(Refused::TooLarge);
        }
        // Opening a pipe would wait for somebody to write into it.
        if !metadata.is_file() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        let mut bytes = Vec::new();
        File::open(&real)?
            .take(LARGEST_FILE)
            .read_to_end(&mut bytes)?;
        let mut content = String::from_utf8_lossy(&bytes).into_owned();
        if path.ends_with(".json")
            && let Ok(value) = js_json::parse(&content)
            && let Some(indented) = js_json::stringify_indented(&value, 2, LONGEST_TEXT)
        {
            content = indented;
        }
        Ok(Content {
            content,
            size: metadata.len(),
            modified: iso_text(modified(&metadata)),
            path,
        })
    }

    /// Where the file really is. A link may lead from one of the folders into another, and the folders themselves may
    /// be links, but nothing leads out.
    fn resolve_links(&self, path: &str) -> Result<PathBuf, Refused> {
        // Of a path that is too long, or leads through a file, `realpath` may say first that a folder is missing.
        fs::metadata(path)?;
        let real = fs::canonicalize(path)?;
        let is_inside =
            |root: &String| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root));
        if self.roots.iter().any(is_inside) {
            Ok(real)
        } else {
            Err(Refused::Outside)
        }
    }
}

/// Whether it is due to the path alone.
fn fails_for_everybody(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    let is_loop = error.raw_os_error() == Some(Errno::ELOOP as i32);
    is_loop
        || matches!(
            error.kind(),
            InvalidFilename | InvalidInput | IsADirectory | NotADirectory
        )
}

fn denied() -> Answer {
    Answer::error(
        StatusCode::FORBIDDEN,
        "Access denied",
        "File access not allowed",
    )
}

/// `path.resolve`
fn resolve(path: &str) -> String {
    if path.starts_with('/') {
        return normalise(path);
    }
    let folder = std::env::current_dir().unwrap_or_default();
    normalise(&format!("{}/{path}", folder.to_string_lossy()))
}

/// Without `.`, `..` and empty segments, by the text alone.
fn normalise(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn is_inside(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value as Json, json};
    use tempfile::TempDir;

    use super::super::oracle::ask;
    use super::*;

    struct Home {
        folder: TempDir,
        files: LogFiles,
    }

    impl Home {
        fn new(compat: Compat) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join(".claude/deep")).unwrap();
            let files = LogFiles::new(folder.path(), compat);
            Self { folder, files }
        }

        fn path(&self, path: &str) -> String {
            format!("{}/{path}", self.folder.path().display())
        }

        fn write(&self, path: &str, text: impl AsRef<[u8]>) {
            fs::write(self.folder.path().join(path), text).unwrap();
        }

        async fn ask(&self, query: &str) -> (u16, Json) {
            match self.files.content(&Query::parse(Some(query))).await {
                Answer::Json(status, body) => {
                    (status.as_u16(), serde_json::from_slice(&body).unwrap())
                }
                Answer::Thrown(thrown) => (thrown.status.as_u16(), json!(thrown.message)),
                Answer::Failed(answer) => panic!("{answer:?}"),
            }
        }

        async fn status(&self, path: &str) -> u16 {
            self.ask(&format!("file={}", self.path(path))).await.0
        }

        async fn content(&self, path: &str) -> Json {
            let (status, mut body) = self.ask(&format!("file={}", self.path(path))).await;
            assert_eq!(status, 200, "{path}: {body}");
            body["data"]["content"].take()
        }
    }

    #[tokio::test]
    async fn a_file_is_shown_with_its_size_and_time() {
        let home = Home::new(Compat::Intended);
        home.write(".claude/t1.json", "{\"b\":36.0,\"1\":[]}\n");
        let file = File::options()
            .write(true)
            .open(home.path(".claude/t1.json"));
        let time = UNIX_EPOCH + Duration::from_micros(1_751_400_000_000_500);
        file.unwrap().set_modified(time).unwrap();
        let query = format!("file={}", home.path(".claude/deep/..//./t1.json"));
        let body = match home.files.content(&Query::parse(Some(&query))).await {
            Answer::Json(_, body) => String::from_utf8(body.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            body,
            format!(
                r#"{{"success":true,"data":{{"content":"{{\n  \"1\": [],\n  \"b\": 36\n}}","size":18,"modified":"2025-07-01T20:00:00.001Z","path":"{}"}}}}"#,
                home.path(".claude/t1.json")
            )
        );
    }

    #[tokio::test]
    async fn json_is_indented_as_by_v8_and_the_rest_is_as_it_is() {
        let home = Home::new(Compat::Intended);
        let texts = [
            r#"{"b":[1.0,-0,1e400,"\ud800é\u2028"],"10":{},"9":[[]],"b":{"x":null}}"#,
            r#"[[],{},"",[true,false,null,{"a":{"b":[0.1]}}]]"#,
            "7",
        ]
        .map(str::to_owned);
        for (text, expected) in texts.iter().zip(ask("indent", &texts)) {
            home.write(".claude/x.json", text);
            assert_eq!(home.content(".claude/x.json").await, expected, "{text}");
        }
        for (name, bytes, expected) in [
            ("x.json", &b"{no json"[..], "{no json"),
            ("x.json", b"\xef\xbb\xbf{}", "\u{feff}{}"),
            ("x.JSON", b"{ }", "{ }"),
            (
                "x.txt",
                b"a\xffb\xe2\x82\xc3\xa9\xf0\x9f\x98",
                "a\u{fffd}b\u{fffd}é\u{fffd}",
            ),
        ] {
            home.write(&format!(".claude/{name}"), bytes);
            assert_eq!(
                home.content(&format!(".claude/{name}")).await,
                json!(expected)
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_shown_says_why() {
        let home = Home::new(Compat::Intended);
        let missing = json!({"error":"Missing file parameter","message":"File path is required"});
        for query in ["", "file=", "file"] {
            assert_eq!(home.ask(query).await, (400, missing.clone()));
        }
        let received = |kind| {
            json!(format!(
                "The \"path\" argument must be of type string. Received an instance of {kind}"
            ))
        };
        assert_eq!(home.ask("file=a&file=b").await, (500, received("Array")));
        assert_eq!(home.ask("file[a]=b").await, (500, received("Object")));
        let denied = json!({"error":"Access denied","message":"File access not allowed"});
        assert_eq!(home.ask("file=/etc/passwd").await, (403, denied.clone()));
        assert_eq!(home.ask("file=x.json").await, (403, denied));
        let missing =
            json!({"error":"File not found","message":"The requested file does not exist"});
        let query = format!("file={}", home.path(".claude/none"));
        assert_eq!(home.ask(&query).await, (404, missing));
        let unreadable =
            json!({"error":"File read error","message":"Unable to read the requested file"});
        let query = format!("file={}", home.path(".claude/deep"));
        assert_eq!(home.ask(&query).await, (500, unreadable));
        home.write(".claude/x", "");
        assert_eq!(home.status(".claude/x/y").await, 500);
        assert_eq!(home.status(".claude/%00").await, 500);
        let file = File::create(home.path(".claude/large")).unwrap();
        file.set_len(LARGEST_FILE).unwrap();
        assert_eq!(home.status(".claude/large").await, 200);
        file.set_len(LARGEST_FILE + 1).unwrap();
        let large = json!({"error":"File too large","message":"File size exceeds 10MB limit"});
        let query = format!("file={}", home.path(".claude/large"));
        assert_eq!(home.ask(&query).await, (413, large));
    }

    #[tokio::test]
    async fn a_path_that_only_begins_alike_is_never_shown() {
        for compat in [Compat::Intended, Compat::Exact] {
            let home = Home::new(compat);
            fs::create_dir(home.path(".claude-evil")).unwrap();
            home.write(".claude-evil/x", "secret");
            home.write(".claude.json", "secret");
            for path in [
                ".claude-evil/x",
                ".claude.json",
                ".claude/../.claude.json",
                ".claude/deep/../../.claude-evil/x",
            ] {
                assert_eq!(home.status(path).await, 403, "{path}");
            }
            // The folder itself is inside.
            assert_eq!(home.status(".claude/").await, 500);
            let long = format!(".claude/{}", "x/".repeat(2100));
            assert_eq!(home.status(&long).await, 500);
        }
    }

    #[tokio::test]
    async fn links_lead_out_of_the_folders_in_the_original_only() {
        for (compat, status) in [(Compat::Intended, 403), (Compat::Exact, 200)] {
            let home = Home::new(compat);
            home.write("outside.txt", "secret");
            home.write(".claude/inside.txt", "log");
            symlink("../outside.txt", home.path(".claude/out")).unwrap();
            symlink("../inside.txt", home.path(".claude/deep/in")).unwrap();
            assert_eq!(home.status(".claude/out").await, status);
            assert_eq!(home.content(".claude/deep/in").await, json!("log"));
        }
        // The folder itself may be a link.
        let home = Home::new(Compat::Intended);
        fs::rename(home.path(".claude"), home.path("moved")).unwrap();
        symlink("moved", home.path(".claude")).unwrap();
        home.write("moved/x", "log");
        assert_eq!(home.content(".claude/x").await, json!("log"));
    }
}
