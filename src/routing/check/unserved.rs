//! Compares what rules claim for native with what the native application serves.

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::{Claim, Pattern, Rule, Segment};
use crate::routing::Endpoint;
use crate::routing::check::probe::Probe;
use crate::routing::endpoints::serves;
use crate::routing::table::Table;

/// A native rule that native does not serve is an error; what it serves in part, or one claim of several, a note.
pub(crate) fn unserved(
    table: &Table,
    probe: &Probe,
    rule: &Rule,
    endpoints: &[(&Endpoint, Pattern)],
    found: &mut Vec<Diagnostic>,
) {
    let is_partly = |claim: &&Claim| !probe.all_served(table, claim);
    let partly: Vec<&Claim> = rule.claims.iter().filter(is_partly).collect();
    if partly.is_empty() {
        return;
    }
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
    if rule.claims.iter().all(|claim| served(claim).is_empty()) {
        let message = format!("no native endpoint serves rule `{}`", rule.id);
        let Some(claim) = rule.claims.first() else {
            return;
        };
        let error = Diagnostic::error(Code::Unserved, message)
            .at(claim.span.clone())
            .label("everything would go to Node");
        let likeness = |endpoint: &Endpoint| {
            let (claim, endpoint) = (claim.to_string(), written(endpoint));
            strsim::normalized_levenshtein(&claim, &endpoint)
        };
        let nearest = endpoints
            .iter()
            .map(|(endpoint, _)| *endpoint)
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        return found.push(error.help(match nearest {
            Some(endpoint) => format!("the nearest endpoint is `{}`", written(endpoint)),
            None => "the native side has no HTTP endpoints".to_owned(),
        }));
    }
    for claim in partly {
        let served = served(claim);
        let message = if !served.is_empty() {
            format!(
                "only {} of `{}` is native, the rest goes to Node",
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
            format!("`{}` goes to Node: native serves {serves}", claim)
        };
        found.push(Diagnostic::note(Code::Unserved, message).at(claim.span.clone()));
    }
}

fn written(endpoint: &Endpoint) -> String {
    format!("{} {}", endpoint.method, endpoint.path)
}

/// Comma-separated, without duplicates, not more than four.
fn list(items: impl Iterator<Item = String>) -> String {
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
