//! Compares what rules claim for native with what the native application serves.

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::{Claim, Pattern, Rule, Segment, To};
use crate::routing::check::events;
use crate::routing::check::probe::Probe;
use crate::routing::endpoints::serves;
use crate::routing::table::Table;
use crate::routing::{Endpoint, NativeSide};

/// A native rule that native does not serve is an error; what it serves in part, or one claim of several, a note.
pub(crate) fn unserved(
    table: &Table,
    probe: &Probe,
    rule: &Rule,
    endpoints: &[(&Endpoint, Pattern)],
    native: Option<NativeSide<'_>>,
    found: &mut Vec<Diagnostic>,
) {
    let is_partly = |claim: &&Claim| !probe.all_served(table, claim);
    let partly: Vec<&Claim> = rule.claims.iter().filter(is_partly).collect();
    let on_path = |claim: &Claim| -> Vec<&Endpoint> {
        let overlapping = endpoints
            .iter()
            .filter(|(_, pattern)| overlap(&claim.pattern.segments, &pattern.segments));
        overlapping.map(|(endpoint, _)| *endpoint).collect()
    };
    let served = |claim: &Claim| -> Vec<&Endpoint> {
        let mut on_path = on_path(claim);
        on_path.retain(|endpoint| {
            claim
                .method
                .as_ref()
                .is_none_or(|own| serves(own, &endpoint.method) || serves(&endpoint.method, own))
        });
        on_path
    };
    let no_endpoint =
        partly.len() == rule.claims.len() && partly.iter().all(|claim| served(claim).is_empty());
    if no_endpoint && events::is_unserved(table, rule) {
        let span = rule.claims.first().map(|claim| &claim.span);
        let span = span.or(rule.events.first().map(|claim| &claim.span));
        let what = match (rule.claims.is_empty(), rule.events.is_empty()) {
            (_, true) => "no native endpoint serves",
            (true, false) => "no native handler serves",
            (false, false) => "no native endpoint or handler serves",
        };
        let error = Diagnostic::error(Code::Unserved, format!("{what} rule `{}`", rule.id))
            .at(span.cloned().unwrap_or_else(|| rule.id_span.clone()));
        let help = match (rule.claims.first(), rule.events.first()) {
            (Some(claim), _) => nearest(claim, endpoints),
            (None, Some(claim)) => events::nearest(table, claim, native),
            (None, None) => return,
        };
        let label = match rule.claims.first() {
            Some(_) if rule.to == To::NativeOnly => "everything would be refused",
            Some(_) => "everything would go to Node",
            None => "native has nothing for it",
        };
        return found.push(error.label(label).help(help));
    }
    events::partly_served(table, rule, found);
    let fate = match rule.to {
        To::NativeOnly => "is refused",
        To::Native(_) | To::Node => "goes to Node",
    };
    for claim in partly {
        let served = served(claim);
        let message = if !served.is_empty() {
            format!(
                "only {} of `{}` is native, the rest {fate}",
                list(served.into_iter().map(written)),
                claim
            )
        } else {
            let others = on_path(claim);
            let methods = others.iter().map(|endpoint| endpoint.method.to_string());
            let serves = if others.is_empty() {
                "nothing on this path".to_owned()
            } else {
                list(methods)
            };
            format!("`{}` {fate}: native serves {serves}", claim)
        };
        found.push(Diagnostic::note(Code::Unserved, message).at(claim.span.clone()));
    }
}

fn nearest(claim: &Claim, endpoints: &[(&Endpoint, Pattern)]) -> String {
    let likeness = |endpoint: &Endpoint| {
        let (claim, endpoint) = (claim.to_string(), written(endpoint));
        strsim::normalized_levenshtein(&claim, &endpoint)
    };
    let nearest = endpoints
        .iter()
        .map(|(endpoint, _)| *endpoint)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(endpoint) => format!("the nearest endpoint is `{}`", written(endpoint)),
        None => "the native side has no HTTP endpoints".to_owned(),
    }
}

fn written(endpoint: &Endpoint) -> String {
    format!("{} {}", endpoint.method, endpoint.path)
}

/// Comma-separated, without duplicates, not more than four.
pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    items.sort();
    items.dedup();
    let more = items.len().saturating_sub(4);
    items.truncate(4);
    let list = items.join(", ");
    if more == 0 {
        list
    } else {
        format!("{list} and {more} more")
    }
}

/// Whether a path exists that both match. The `{*rest}` of an endpoint is not empty.
fn overlap(claim: &[Segment], endpoint: &[Segment]) -> bool {
    match (claim, endpoint) {
        ([Segment::Rest(_), ..], _) | ([], []) | ([_, ..], [Segment::Rest(_), ..]) => true,
        ([], _) | (_, []) => false,
        ([Segment::Literal(one), claim @ ..], [Segment::Literal(other), endpoint @ ..]) => {
            one.eq_ignore_ascii_case(other) && overlap(claim, endpoint)
        }
        ([_, claim @ ..], [_, endpoint @ ..]) => overlap(claim, endpoint),
    }
}
