//! Holds the map of ARCHITECTURE.md: which part of the crate may know which other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Part, and the parts that its files may name in `use crate::`. What is not listed may know everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("certificate", &[]),
    ("config", &[]),
    ("metrics", &[]),
    ("telemetry", &[]),
    ("native", &[]),
    ("budget", &["config", "metrics"]),
    (
        "cli",
        &[
            "config",
            "live",
            "metrics",
            "native",
            "routing",
            "server",
            "telemetry",
        ],
    ),
    ("routing", &["config"]),
    ("upstream", &["budget", "certificate", "config", "metrics"]),
    (
        "bridge",
        &[
            "budget", "config", "live", "routing", "upstream", "metrics", "native",
        ],
    ),
    (
        "live",
        &[
            "certificate",
            "config",
            "routing",
            "upstream",
            "metrics",
            "native",
            "telemetry",
        ],
    ),
    (
        "admin",
        &["config", "live", "routing", "upstream", "metrics", "bridge"],
    ),
    (
        "server",
        &[
            "admin",
            "certificate",
            "bridge",
            "budget",
            "config",
            "live",
            "metrics",
            "native",
            "routing",
            "upstream",
        ],
    ),
];

#[test]
fn parts_know_only_what_they_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 40, "{} files", files.len());
    let mut broken = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let part = inside
            .iter()
            .next()
            .unwrap()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_owned();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == part) else {
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        let named: BTreeSet<&str> = text
            .match_indices("crate::")
            .map(|(at, path)| &text[at + path.len()..])
            .map(|rest| {
                rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                    .next()
                    .unwrap()
            })
            .collect();
        for other in named {
            if other != part
                && !allowed.contains(&other)
                && src.join(format!("{other}.rs")).exists()
            {
                broken.push(format!("{} names {other}", inside.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
