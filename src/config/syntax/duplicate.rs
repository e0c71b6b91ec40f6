//! Says which key or header stands twice, and where it stands first.

use toml::de::{DeTable, DeValue};

use crate::config::Span;
use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::source::Source;
use crate::config::syntax::{is_header, line_start};

/// `span` is the second key, or the last part of the second header.
pub(super) fn describe(source: &Source, root: &DeTable<'_>, span: Span) -> Diagnostic {
    let text = &*source.text;
    let start = line_start(text, span.start);
    let line = text
        .get(start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .trim();
    let already = |line: Option<usize>| match line {
        Some(line) => format!("already in line {line}"),
        None => "already set above".to_owned(),
    };
    if line.starts_with('[') {
        let header = without_comment(line);
        let before = text.get(..start).unwrap_or_default();
        let first = before
            .lines()
            .position(|line| without_comment(line) == header);
        let message = format!("the table {} stands twice", quote(header));
        return Diagnostic::error(Code::DuplicateKey, message)
            .at(span)
            .label(already(first.map(|line| line + 1)))
            .help("put all of its keys under one header, or give one of them another name");
    }
    let key = text.get(span.clone()).unwrap_or_default();
    let first = first_place(text, root, key.trim_matches(['"', '\'']), span.start);
    Diagnostic::error(
        Code::DuplicateKey,
        format!("the key {} stands twice", quote(key)),
    )
    .at(span)
    .label(already(first.map(|first| source.position(first).line)))
    .help("keep one of the two")
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// Where a key of this name stands last before a place, leaving out braces and brackets that end before that place.
fn first_place(text: &str, table: &DeTable<'_>, key: &str, place: usize) -> Option<usize> {
    let mut first = None;
    for (name, value) in table {
        if name.span().start < place && name.get_ref() == key {
            first = first.max(Some(name.span().start));
        }
        let span = value.span();
        let opening = text
            .get(span.clone())
            .is_some_and(|value| value.starts_with(['{', '[']));
        if opening && !is_header(text, &span) && !span.contains(&place) {
            continue;
        }
        let inside = match value.get_ref() {
            DeValue::Table(inner) => first_place(text, inner, key, place),
            DeValue::Array(items) => {
                let tables = items.iter().filter_map(|item| item.get_ref().as_table());
                tables
                    .filter_map(|inner| first_place(text, inner, key, place))
                    .max()
            }
            _ => None,
        };
        first = first.max(inside);
    }
    first
}
