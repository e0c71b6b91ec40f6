//! Bad `routes.toml` files beside the diagnostics that they must give, and good ones that must give none.
//! `UPDATE_EXPECT=1` writes the expected files anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use strangler::config::{self, Code, Config, Diagnostic, Source, render};

const FOLDER: &str = "tests/fixtures/config";

/// What routing, the server and the applications report, and what is about a file rather than about its content.
const NOT_HERE: [Code; 14] = [
    Code::NotFound,
    Code::PermissionDenied,
    Code::NotAFile,
    Code::Unreadable,
    Code::TooLarge,
    Code::TooMany,
    Code::Ambiguous,
    Code::Unserved,
    Code::TwoGreetings,
    Code::InMemoryShare,
    Code::RestartPending,
    Code::UnknownApp,
    Code::AppSetting,
    Code::Certificate,
];

#[test]
fn bad_files_give_the_expected_diagnostics() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut failed = Vec::new();
    let mut codes = BTreeSet::new();
    let paths = fixtures(|name| !name.starts_with("good-"));
    assert!(paths.len() >= 40);
    for path in paths {
        let (config, diagnostics, source) = check(&path);
        assert_eq!(
            config.is_none(),
            diagnostics.iter().any(Diagnostic::is_error),
            "{}",
            path.display()
        );
        codes.extend(diagnostics.iter().map(|diagnostic| diagnostic.code));
        let printed = render::render(&source, &diagnostics, false);
        // Where a file cannot be read, its message names the path.
        let printed = printed.replace(&format!("{FOLDER}/"), "");
        let printed = format!("{printed}\n{}\n", render::summary(&diagnostics));
        let expected_path = path.with_extension("expected");
        if update {
            fs::write(&expected_path, &printed).expect("the fixtures are writable");
        } else if fs::read_to_string(&expected_path).unwrap_or_default() != printed {
            failed.push(format!("{}\n{printed}", path.display()));
        }
    }
    assert!(
        failed.is_empty(),
        "run with UPDATE_EXPECT=1 and read the difference:\n{}",
        failed.join("\n")
    );
    for code in Code::ALL {
        assert!(
            codes.contains(code) || NOT_HERE.contains(code),
            "no fixture gives {}",
            code.as_str()
        );
    }
}

#[test]
fn good_files_give_no_diagnostics() {
    for path in fixtures(|name| name.starts_with("good-")) {
        let (config, diagnostics, source) = check(&path);
        assert!(
            diagnostics.is_empty(),
            "{}",
            render::render(&source, &diagnostics, false)
        );
        assert!(config.is_some(), "{}", path.display());
    }
}

#[test]
fn each_expected_file_belongs_to_a_bad_one() {
    let names = |extension: &str| -> BTreeSet<PathBuf> {
        entries()
            .filter(|path| path.extension().is_some_and(|e| e == extension))
            .collect()
    };
    for expected in names("expected") {
        assert!(
            expected.with_extension("toml").exists(),
            "{}",
            expected.display()
        );
    }
}

fn check(path: &Path) -> (Option<Config>, Vec<Diagnostic>, Source) {
    let name = path.file_name().expect("a file has a name");
    match config::read(path) {
        Ok(source) => {
            let source = Source::new(name, source.text);
            let (config, diagnostics) = config::parse_with(&source, &variable);
            (config, diagnostics, source)
        }
        Err(diagnostic) => (None, vec![diagnostic], Source::new(name, "")),
    }
}

pub fn variable(name: &str) -> Option<String> {
    let value = match name {
        "DATABASE_URL" => "sqlite::memory:",
        "STREAMS" => "64",
        "PORT" => "3051",
        "SECRET" => "hunter2",
        _ => return None,
    };
    Some(value.to_owned())
}

pub fn fixtures(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut paths: Vec<_> = entries()
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| wanted(&name.to_string_lossy()))
        })
        .collect();
    paths.sort();
    paths
}

fn entries() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(FOLDER).expect("the fixtures are there");
    entries.map(|entry| entry.expect("the folder is readable").path())
}
