//! Finds what only the precedence of rules can show: claims that two rules make, claims that can never be chosen,
//! native rules that native does not serve (`unserved`), and shares that would split a state kept in memory.

use std::fmt::Write as _;

use http::Method;

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::{Condition, Pattern, Scalar, Selector, To};
use crate::routing::NativeSide;
use crate::routing::condition::{Test, Wanted, are_disjoint, implies};
use crate::routing::endpoints::serves;
use crate::routing::table::{ALL, Entry, Table};

mod probe;
mod unserved;

use probe::Probe;
use unserved::unserved;

/// Adds what it finds, in the order of the file.
pub(crate) fn check(
    table: &Table,
    native: Option<NativeSide<'_>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let probe = Probe::new(table);
    let endpoints = native.map_or(&[][..], |native| native.endpoints).iter();
    let endpoints: Vec<_> = endpoints
        .filter_map(|endpoint| Some((endpoint, Pattern::parse(&endpoint.path).ok()?)))
        .collect();
    let mut found = Vec::new();
    let ambiguous = ambiguous(table, &probe, &mut found);
    for (index, rule) in table.rules().iter().enumerate() {
        if !ambiguous.contains(&index) {
            unreachable(table, &probe, index, &mut found);
        }
        if let To::Native(_) | To::NativeOnly = rule.to {
            unserved(table, &probe, rule, &endpoints, &mut found);
        }
        let is_share = matches!(rule.to, To::Native(share) if share != ALL);
        if is_share && native.is_some_and(|native| native.keeps_state_in_memory) {
            found.push(
                Diagnostic::error(
                    Code::InMemoryShare,
                    "a share of an application that keeps its state in memory",
                )
                .at(rule.to_span.clone())
                .label("some clients would change a state that others never see")
                .help("say `native` or `node`"),
            );
        }
    }
    found.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
    diagnostics.append(&mut found);
}

/// A method that both claims admit, where both list one or neither does; else the listed one goes first.
fn meet(one: &Entry, other: &Entry) -> Option<Method> {
    match (&one.method, &other.method) {
        (None, None) => Some(Method::GET),
        (Some(a), Some(b)) if serves(a, b) => Some(b.clone()),
        (Some(a), Some(b)) if serves(b, a) => Some(a.clone()),
        _ => None,
    }
}

/// Pairs of claims of two rules that precedence cannot order. Returns the rules.
fn ambiguous(table: &Table, probe: &Probe, found: &mut Vec<Diagnostic>) -> Vec<usize> {
    let mut rules = Vec::new();
    for leaf in table.claims().leaves() {
        let pairs = leaf
            .iter()
            .enumerate()
            .flat_map(|(index, one)| leaf[index + 1..].iter().map(move |other| (one, other)));
        for (one, other) in pairs.filter(|(one, other)| one.rule != other.rule) {
            let (tests, others) = (table.tests(one.rule), table.tests(other.rule));
            let ordered =
                implies(tests, others) != implies(others, tests) || are_disjoint(tests, others);
            let Some(method) = meet(one, other).filter(|_| !ordered) else {
                continue;
            };
            let (first, last) = if table.claim(one).span.start <= table.claim(other).span.start {
                (one, other)
            } else {
                (other, one)
            };
            let mut example = format!(
                "both claim `{method} {}`",
                probe.path(&table.claim(last).pattern, 1)
            );
            for (selector, value) in example_values(tests, others) {
                let _ = write!(example, ", `{}` = {}", selector, value);
            }
            let also = format!(
                "also rule.{}, as `{}`",
                table.rules()[first.rule].id,
                table.claim(first)
            );
            found.push(
                Diagnostic::error(Code::Ambiguous, "two rules claim the same request")
                    .at(table.claim(last).span.clone()).label(also)
                    .help(format!("{example}; keep it in one, join the rules, or make one `where` imply the other")),
            );
            rules.extend([one.rule, other.rule]);
        }
    }
    rules
}

/// A value for each selector that passes both.
fn example_values<'t>(tests: &'t [Test], others: &'t [Test]) -> Vec<(&'t Selector, &'t Wanted)> {
    let of_both = tests.iter().chain(
        others
            .iter()
            .filter(|other| tests.iter().all(|test| test.selector != other.selector)),
    );
    let value = |test: &'t Test| {
        let other = others.iter().find(|other| other.selector == test.selector);
        let accepted = |value: &&Wanted| other.is_none_or(|other| other.values.contains(value));
        Some((&test.selector, test.values.iter().find(accepted)?))
    };
    of_both.filter_map(value).collect()
}

/// A rule that can never match is an error, one of several claims a warning.
fn unreachable(table: &Table, probe: &Probe, index: usize, found: &mut Vec<Diagnostic>) {
    let rule = &table.rules()[index];
    let message = format!("rule `{}` can never match", rule.id);
    if table.tests(index).iter().any(|test| test.values.is_empty()) {
        let (span, label) = match rule
            .conditions
            .iter()
            .find(|condition| Test::new(condition).values.is_empty())
        {
            Some(condition) => (condition.span.clone(), never_equal(condition)),
            None => (rule.id_span.clone(), "no value passes all of its `where`"),
        };
        return found.push(
            Diagnostic::error(Code::Unreachable, message)
                .at(span)
                .label(label),
        );
    }
    let hidden = |claim: usize| Some((&rule.claims[claim], probe.hidden(table, index, claim)?));
    let hidden: Vec<_> = (0..rule.claims.len()).filter_map(hidden).collect();
    if hidden.len() == rule.claims.len() {
        let mut hidden = hidden.into_iter();
        if let Some((claim, why)) = hidden.next() {
            found.push(
                Diagnostic::error(Code::Unreachable, message)
                    .at(claim.span.clone())
                    .label(why),
            );
        }
        return;
    }
    for (claim, why) in hidden {
        let message = format!("`{}` can never match", claim);
        found.push(
            Diagnostic::warning(Code::Unreachable, message)
                .at(claim.span.clone())
                .label(why),
        );
    }
}

fn never_equal(condition: &Condition) -> &'static str {
    match condition.values.first() {
        Some(Scalar::Text(_)) => "this is no address",
        _ => "its values are text, which no number and no boolean equals",
    }
}

#[cfg(test)]
mod tests;
