//! `where`: selectors, each with the values that it may have.

use std::collections::HashSet;

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::selector::{self, Selectors};
use crate::config::value::Value;
use crate::config::{Condition, Scalar};

/// `where` of a table whose messages these selectors suit.
pub(super) fn conditions(value: &Value<'_>, selectors: Selectors) -> Vec<Condition> {
    let example = match selectors {
        Selectors::Http | Selectors::Both => "\"header:x-beta\" = \"1\"",
        Selectors::Events | Selectors::Once => "\"/status\" = \"1\"",
    };
    let Some(table) = value.table(&format!("where = {{ {example} }}")) else {
        return Vec::new();
    };
    if table.is_empty() {
        let help = format!("remove it, or write a selector such as `{example}`");
        return value
            .refuse(Code::Empty, "`where` is empty", "says nothing", help)
            .unwrap_or_default();
    }
    let mut conditions: Vec<Condition> = Vec::new();
    let mut known = HashSet::new();
    for (key, value) in table.entries() {
        let selector = match selector::parse(&key, selectors) {
            Ok(selector) => selector,
            Err(problem) => {
                value.report(problem);
                continue;
            }
        };
        if !known.insert(selector.clone()) {
            let problem = Diagnostic::error(
                Code::DuplicateKey,
                format!("the selector {} stands twice", key.shown()),
            );
            value.report(
                problem
                    .at(key.span())
                    .label("the same as one before")
                    .help("put all values into one list"),
            );
            continue;
        }
        let given = value.one_or_more();
        if given.is_empty() {
            let problem =
                Diagnostic::error(Code::Unreachable, "an empty list of values can never match")
                    .at(value.span());
            value.report(
                problem
                    .label("no value")
                    .help("list the values that should match"),
            );
        }
        let mut values: Vec<Scalar> = Vec::new();
        let mut seen = HashSet::new();
        for value in given {
            let Some(scalar) = selector::scalar(&value, &selector) else {
                continue;
            };
            if seen.insert(format!("{scalar:?}")) {
                values.push(scalar);
            } else {
                let problem = Diagnostic::warning(Code::Duplicate, "this value stands twice")
                    .at(value.span());
                value.report(problem.label("listed before").help("remove one of the two"));
            }
        }
        conditions.push(Condition {
            selector,
            values,
            span: key.span(),
        });
    }
    conditions
}
