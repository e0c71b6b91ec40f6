//! Finds what only the precedence of rules can show: claims that two rules make, claims that can never be chosen,
//! native rules that native does not serve (`unserved`), and shares that would split a state kept in memory.

use std::fmt::Write as _;

use http::Method;

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::{Condition, Pattern, Scalar, Selector, To};
use crate::routing::NativeSide;
use crate::routing::condition::{Test, Wanted, are_disjoint, implies};
use crate::routing::endpoints::serves;
use crate::routing::events::EventEntry;
use crate::routing::table::{ALL, Entry, Table};

mod admission;
mod events;
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
    let mut ambiguous = ambiguous(table, &probe, &mut found);
    ambiguous.extend(events::ambiguous(table, &mut found));
    for (index, rule) in table.rules().iter().enumerate() {
        if !ambiguous.contains(&index) {
            unreachable(table, &probe, index, &mut found);
        }
        if let To::Native(_) | To::NativeOnly = rule.to {
            unserved(table, &probe, rule, &endpoints, native, &mut found);
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
    events::two_greetings(table, native, &mut found);
    admission::unguarded(table, native, &mut found);
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
            let Some(method) = meet(one, other).filter(|_| clash(table, one.rule, other.rule))
            else {
                continue;
            };
            let (first, last) = if table.claim(one).span.start <= table.claim(other).span.start {
                (one, other)
            } else {
                (other, one)
            };
            let path = probe.path(&table.claim(last).pattern, 1);
            let example = example(table, &format!("`{method} {path}`"), first.rule, last.rule);
            let also = format!(
                "also rule.{}, as `{}`",
                table.rules()[first.rule].id,
                table.claim(first)
            );
            found.push(
                Diagnostic::error(Code::Ambiguous, "two rules claim the same request")
                    .at(table.claim(last).span.clone())
                    .label(also)
                    .help(example),
            );
            rules.extend([one.rule, other.rule]);
        }
    }
    rules
}

/// Whether `where` neither orders two rules nor keeps them apart.
fn clash(table: &Table, one: usize, other: usize) -> bool {
    let (tests, others) = (table.tests(one), table.tests(other));
    implies(tests, others) == implies(others, tests) && !are_disjoint(tests, others)
}

/// What both rules claim, and what to do about it.
fn example(table: &Table, claimed: &str, one: usize, other: usize) -> String {
    let mut example = format!("both claim {claimed}");
    for (selector, value) in example_values(table.tests(one), table.tests(other)) {
        let _ = write!(example, ", `{selector}` = {value}");
    }
    example + "; keep it in one, join the rules, or make one `where` imply the other"
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
    let tests = table.tests(index);
    if tests.iter().any(|test| test.values.is_empty()) || are_disjoint(tests, tests) {
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
    let requests = rule.claims.iter().enumerate().map(|(claim, of)| {
        let why = probe.hidden(table, index, claim);
        (of.span.clone(), of.to_string(), why)
    });
    let messages = rule.events.iter().enumerate().map(|(claim, of)| {
        let why = events::hidden(table, EventEntry { rule: index, claim });
        (of.span.clone(), of.to_string(), why)
    });
    let claims: Vec<_> = requests.chain(messages).collect();
    let all = claims.iter().all(|(_, _, why)| why.is_some());
    let hidden = claims
        .into_iter()
        .filter_map(|(span, claim, why)| Some((span, claim, why?)));
    if all {
        let first = hidden.take(1);
        found.extend(first.map(|(span, _, why)| {
            Diagnostic::error(Code::Unreachable, message.clone())
                .at(span)
                .label(why)
        }));
        return;
    }
    for (span, claim, why) in hidden {
        let message = format!("`{claim}` can never match");
        found.push(
            Diagnostic::warning(Code::Unreachable, message)
                .at(span)
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
