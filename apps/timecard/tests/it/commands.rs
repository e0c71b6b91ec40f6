//! The shipped routes.toml, and what the commands say of it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::program;

async fn output(arguments: &[&str], folder: &Path) -> (bool, String, String) {
    let timecard = program::command(env!("CARGO_BIN_EXE_timecard"));
    program::output(timecard, arguments, folder).await
}

/// A folder as deep in the tree as that of the time card, so that what its file names is found.
fn folder() -> (TempDir, PathBuf) {
    let tree = tempfile::tempdir().unwrap();
    let folder = tree.path().join("apps/timecard");
    fs::create_dir_all(&folder).unwrap();
    (tree, folder)
}

#[tokio::test]
async fn the_shipped_file_is_good() {
    let (tree, folder) = folder();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("routes.toml");
    fs::copy(shipped, folder.join("routes.toml")).unwrap();
    let (good, _, said) = output(&["check"], &folder).await;
    let told = [
        "cannot read a certificate",
        "certs/server.pem",
        "certs/ca.pem",
        "routes.toml:8:",
    ];
    assert!(
        !good && told.iter().all(|text| said.contains(text)),
        "{said}"
    );
    output(&["certs"], tree.path()).await;
    let (good, rules, warnings) = output(&["check"], &folder).await;
    assert!(
        good && warnings.starts_with("note[unguarded]: "),
        "{warnings}"
    );
    assert_eq!(warnings.matches("routes.toml:").count(), 1, "{warnings}");
    assert!(rules.contains("routes.toml: 5 rules, no error"), "{rules}");
    let (good, line, _) = output(&["explain", "GET", "/API/ic_log/?x=1"], &folder).await;
    assert!(
        good && line.starts_with("logs  GET /api/ic_log  node"),
        "{line}"
    );
}

#[tokio::test]
async fn check_says_what_is_wrong_and_what_a_change_does() {
    let (_tree, folder) = folder();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let good = fs::read_to_string(root.join("routes.toml")).unwrap();
    let flipped = good.replacen("to = \"node\" }", "to = \"native 5%\" }", 1);
    fs::write(folder.join("old.toml"), &good).unwrap();
    fs::write(folder.join("new.toml"), flipped).unwrap();
    fs::write(
        folder.join("bad.toml"),
        good.replacen("to = \"node\" }", "to = \"nod\" }", 1),
    )
    .unwrap();
    let (good, change, _) = output(&["check", "--no-files", "old.toml", "new.toml"], &folder).await;
    assert!(good && change == "logs: node → native 5%\n", "{change}");
    let (good, _, error) = output(&["check", "bad.toml"], &folder).await;
    assert!(
        !good && error.contains("error[unknown-side]") && error.contains("bad.toml:"),
        "{error}"
    );
    let (good, _, error) = output(&["check", "nothing.toml"], &folder).await;
    assert!(!good && error.contains("error[not-found]"), "{error}");
}

#[tokio::test]
async fn explain_answers_as_the_proxy_would() {
    let (_tree, folder) = folder();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = fs::read_to_string(root.join("routes.toml"))
        .unwrap()
        .replace("to = \"node\"", "to = \"native\"");
    fs::write(folder.join("routes.toml"), file).unwrap();
    let (good, lines, _) = output(&["explain", "GET", "/api/driver/7"], &folder).await;
    assert!(good, "{lines}");
    assert!(
        lines.starts_with("drivers  GET /api/driver/{id}  native   routes.toml:"),
        "{lines}"
    );
    assert!(
        lines.contains("Node answers if native declines, fails or takes 2s"),
        "{lines}"
    );
    let (_, lines, _) = output(&["explain", "GET", "/socket.io/?EIO=4"], &folder).await;
    assert!(
        lines.contains("readers") && lines.contains("node"),
        "{lines}"
    );
    let (_, lines, _) = output(&["explain", "GET", "/", "--header", "cookie: a=1"], &folder).await;
    assert!(lines.starts_with("(rest)  node"), "{lines}");
}
