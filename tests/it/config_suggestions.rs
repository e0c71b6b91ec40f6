//! Every value that a diagnostic suggests must be accepted (issue 9): the suggestions of all bad fixtures are put where
//! they belong, and the file is read again.

use std::fs;
use std::path::{Path, PathBuf};

use strangler::config::{self, Code, Diagnostic, Source};

use crate::config_fixtures::{fixtures, variable};

/// A suggestion stands in backticks behind one of these.
const BEFORE: [&str; 17] = [
    "write ",
    "write the address: ",
    "write it in upper case: ",
    "write the share of native: ",
    "write a share from ",
    "write a path behind the method: ",
    "write scheme and host in lower case, without a path: ",
    "such as ",
    "did you mean ",
    "add ",
    "add the unit: ",
    "put it in quotes: ",
    "begin it with a slash: ",
    "percent-encode it: ",
    "it must be percent-encoded: ",
    "by default ",
    "a percent sign itself is written ",
];
/// Between two suggestions.
const BETWEEN: [&str; 3] = [", ", " or ", " to "];
/// What stands for something that only the user knows.
const PLACEHOLDERS: [&str; 6] = ["NAME", "FILE", "SOCKET", "ID", "…", "[table]"];

#[test]
fn what_is_suggested_is_accepted() {
    let mut refused = Vec::new();
    let mut count = 0;
    for path in fixtures(|name| !name.starts_with("good-")) {
        let Ok(source) = config::read(&path) else {
            continue;
        };
        let (_, diagnostics) = config::parse_with(&source, &variable);
        for problem in &diagnostics {
            // The place of a character that is escaped in the file is that of the whole string.
            let place = problem.span.clone().unwrap_or_default();
            if source.text[place].contains("\\u") {
                continue;
            }
            for suggestion in suggestions(problem.help.as_deref().unwrap_or_default()) {
                count += 1;
                if !is_accepted(&source, &diagnostics, problem, suggestion) {
                    let place = source.position(problem.span.clone().unwrap_or_default().start);
                    let (name, line) = (path.display(), place.line);
                    let help = problem.help.as_deref().unwrap_or_default();
                    refused.push(format!(
                        "{name}:{line}: {}: {help}: {suggestion}",
                        problem.message
                    ));
                }
            }
        }
    }
    assert!(count > 150, "{count} suggestions");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// `echo 'force = "node"' >> routes.toml` lands in whatever table is the last.
#[test]
fn force_belongs_above_the_first_table() {
    let complete = read("good-timecard.toml");
    let with_sockets = read("good-bridge.toml");
    let tables = [
        "[server]",
        "[admin]",
        "[node]",
        "[native]",
        "[defaults]",
        "[limits]",
        "[rule]",
        "[rule.last]\nhttp = [\"/last\"]\nto = \"node\"",
        "[socket]",
        "[socket.last]\nkind = \"websocket\"\npath = \"/last\"",
        "[rule.last]\nhttp = [\"/last\"]\nto = \"node\"\n[rule.last.breaker]",
    ];
    for good in [&complete, &with_sockets] {
        let (config, _) = config::parse_with(good, &variable);
        assert!(config.is_some_and(|config| !config.force_node));
        let whole = format!("force = \"node\"\n{}", good.text);
        let (config, _) = config::parse_with(&Source::new("routes.toml", whole), &variable);
        assert!(config.is_some_and(|config| config.force_node));
        for table in tables {
            // A table of the file moves to its end.
            let header = table.lines().next().unwrap();
            let text = match good.text.find(&format!("{header}\n")) {
                Some(at) => {
                    let rest = &good.text[at..];
                    let end = rest[1..].find("\n[").map_or(rest.len(), |end| end + 2);
                    format!("{}{}\n{}", &good.text[..at], &rest[end..], &rest[..end])
                }
                None => format!("{}\n{table}\n", good.text),
            };
            let text = format!("{text}force = \"node\"\n");
            let (config, diagnostics) =
                config::parse_with(&Source::new("routes.toml", &*text), &variable);
            let help = "write `force = \"node\"` at the top of the file, above the first `[table]`";
            let told = |problem: &Diagnostic| {
                problem.code == Code::UnknownKey && problem.help.as_deref() == Some(help)
            };
            assert!(
                config.is_none() && diagnostics.iter().any(told),
                "{table}: {diagnostics:?}"
            );
        }
    }
}

fn read(name: &str) -> Source {
    let path = PathBuf::from("tests/fixtures/config").join(name);
    Source::new("routes.toml", fs::read_to_string(path).unwrap())
}

fn suggestions(help: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let starts = help.match_indices('`').map(|(at, _)| at);
    for at in starts.step_by(2) {
        let token = &help[at + 1..];
        let token = &token[..token.find('`').unwrap_or(token.len())];
        let before = &help[..at];
        let follows = |word: &str| {
            before.strip_suffix(word).is_some_and(|rest| {
                // The token before it must be a suggestion too.
                rest.ends_with('`')
                    && found
                        .last()
                        .is_some_and(|last| rest[..rest.len() - 1].ends_with(*last))
            })
        };
        let behind = &help[at + 1 + token.len()..];
        let is_part = behind.starts_with("` for `");
        let is_header = token.starts_with('[') && token.ends_with(']') && !token.contains('"');
        if is_part || is_header {
            continue;
        }
        if BEFORE.iter().any(|word| before.ends_with(word))
            || BETWEEN.iter().any(|word| follows(word))
        {
            found.push(token);
        }
    }
    let block = help
        .strip_prefix("add:\n")
        .or(help.strip_prefix("add, for example:\n"));
    found.extend(block);
    found.retain(|token| {
        !PLACEHOLDERS
            .iter()
            .any(|placeholder| token.contains(placeholder))
    });
    found
}

/// Whether one way to follow the suggestion removes the problem and makes no other at the same place.
fn is_accepted(
    source: &Source,
    before: &[Diagnostic],
    problem: &Diagnostic,
    suggestion: &str,
) -> bool {
    let errors = |found: &[Diagnostic]| found.iter().filter(|found| found.is_error()).count();
    edits(source, problem, suggestion)
        .into_iter()
        .any(|(text, place)| {
            let edited = Source::new(Path::new("routes.toml"), text);
            let (_, after) = config::parse_with(&edited, &variable);
            let still = after.iter().any(|found| {
                let span = found.span.clone().unwrap_or_default();
                let here = span.start < place.end && place.start < span.end;
                // What is right may need another key, as the next message says.
                let more = matches!(found.code, Code::Trust | Code::NoNative);
                found.is_error() && here && !more
            });
            let same = |found: &[Diagnostic]| {
                let same = |found: &&Diagnostic| found.message == problem.message;
                found.iter().filter(same).count()
            };
            // It may be wrong in more than one way; and a mistake of syntax hides others.
            let known = problem.code == Code::Syntax || errors(&after) <= errors(before);
            !still && known && same(&after) <= same(before)
        })
}

/// The ways in which a reader would follow a suggestion, each with the place of what was written.
fn edits(
    source: &Source,
    problem: &Diagnostic,
    suggestion: &str,
) -> Vec<(String, std::ops::Range<usize>)> {
    let text = &source.text;
    let span = problem.span.clone().unwrap_or(text.len()..text.len());
    let replace = |from: usize, to: usize, new: &str| {
        let edited = format!("{}{new}{}", &text[..from], &text[to..]);
        (edited, from..from + new.len())
    };
    let mut edits = vec![
        replace(span.start, span.end, suggestion),
        replace(span.start, span.end, &format!("\"{suggestion}\"")),
        replace(text.len(), text.len(), &format!("\n{suggestion}\n")),
    ];
    let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[span.end..]
        .find('\n')
        .map_or(text.len(), |at| span.end + at);
    // A part of a string: the whole string, also with its quotes.
    for quote in ['"', '\''] {
        let start = text[line..span.start].rfind(quote).map(|at| line + at);
        let end = text[span.end..line_end].find(quote).map(|at| span.end + at);
        if let Some((start, end)) = start.zip(end) {
            edits.push(replace(start, end + 1, suggestion));
            edits.push(replace(start + 1, end, suggestion));
        }
    }
    if let Some((key, _)) = suggestion.split_once(" = ") {
        // At the top of the file, in the place of the line.
        let rest = line_end.min(text.len() - 1) + 1;
        let moved = format!("{suggestion}\n{}{}", &text[..line], &text[rest..]);
        edits.push((moved, 0..suggestion.len()));
        // With its key, and in the place of a value that is there already.
        if let Some(at) = text[line..span.start].rfind(key) {
            edits.push(replace(line + at, span.end, suggestion));
        }
        for (at, _) in text.match_indices(&format!("{key} = \"")) {
            let value = at + key.len() + 4;
            let end = text[value..].find('"').map_or(value, |end| value + end + 1);
            edits.push(replace(at, end, suggestion));
        }
        // In the table, which has a header, or stands in braces behind a key.
        edits.push(replace(line_end, line_end, &format!("\n{suggestion}")));
        let braces = text[span.start..line_end]
            .find('{')
            .map(|at| span.start + at + 1);
        if let Some(at) = braces.or(text[..span.start].rfind('{').map(|at| at + 1)) {
            let empty = text[at..].trim_start().starts_with('}');
            edits.push(replace(
                at,
                at,
                &format!(" {suggestion}{}", if empty { " " } else { "," }),
            ));
        }
    }
    edits
}
