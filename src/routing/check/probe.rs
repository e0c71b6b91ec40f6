//! Requests that show whether a claim can ever be chosen.

use http::Method;

use crate::config::{Claim, Pattern, Segment, Selector};
use crate::routing::condition::{Test, Wanted};
use crate::routing::pattern::{PlainPath, is_plain_literal};
use crate::routing::table::{Table, all_claims};

/// Combinations of `where` values that are tried; with more a claim is believed to be reachable.
const MAX_COMBINATIONS: usize = 256;

/// Makes requests that are as far from all other claims as possible: if none of those reaches a claim, none does.
pub(crate) struct Probe {
    /// A segment that no claim has as a literal.
    segment: String,
    /// One more than the longest pattern has segments.
    depth: usize,
    /// A method that no claim lists.
    method: Method,
}

impl Probe {
    pub(crate) fn new(table: &Table) -> Self {
        let lengths = all_claims(table.config())
            .map(|(rule, claim)| table.rules()[rule].claims[claim].pattern.segments.len());
        let depth = lengths.max().unwrap_or(0) + 1;
        let mut number = 1;
        while table.claims().has_literal(&number.to_string()) {
            number += 1;
        }
        let method = Method::from_bytes(b"ANY-OTHER").unwrap_or_default();
        Self {
            segment: number.to_string(),
            depth,
            method,
        }
    }

    /// A path that the pattern matches, with so many segments for `{*rest}`.
    pub(crate) fn path(&self, pattern: &Pattern, rest: usize) -> String {
        let mut path = String::new();
        for segment in &pattern.segments {
            let (text, times) = match segment {
                Segment::Literal(literal) => (literal, 1),
                Segment::Param(_) => (&self.segment, 1),
                Segment::Rest(_) => (&self.segment, rest),
            };
            (0..times).for_each(|_| path.extend(["/", text]));
        }
        if path.is_empty() {
            "/".to_owned()
        } else {
            path
        }
    }

    fn paths(&self, pattern: &Pattern) -> impl Iterator<Item = String> {
        let rests = if matches!(pattern.segments.last(), Some(Segment::Rest(_))) {
            0..=self.depth
        } else {
            0..=0
        };
        rests.map(|rest| self.path(pattern, rest))
    }

    fn methods(&self, claim: &Claim) -> Vec<Method> {
        match &claim.method {
            None => vec![self.method.clone()],
            Some(method) if method == Method::GET => vec![Method::GET, Method::HEAD],
            Some(method) => vec![method.clone()],
        }
    }

    /// Why this claim can never be chosen; `None` where it can.
    pub(crate) fn hidden(&self, table: &Table, rule: usize, index: usize) -> Option<String> {
        let claim = &table.rules()[rule].claims[index];
        if !claim.pattern.segments.iter().all(is_plain_literal) {
            return Some("Node's URL parser escapes `'` in some requests".to_owned());
        }
        let values = combinations(table.tests(rule))?;
        let mut why = None;
        for path in self.paths(&claim.pattern) {
            if let Some(socket) = table.socket(&path) {
                why.get_or_insert_with(|| format!("socket.{} owns this path", socket.id));
                continue;
            }
            let Some(plain) = PlainPath::new(&path) else {
                why.get_or_insert_with(|| {
                    "such paths have more than one reading and go to Node".to_owned()
                });
                continue;
            };
            for method in self.methods(claim) {
                for values in &values {
                    let passes = |test: &Test| {
                        values.iter().any(|(selector, value)| {
                            **selector == test.selector && test.values.contains(value)
                        })
                    };
                    let winner = table.find(plain, |entry| {
                        entry.admits(&method) && table.tests(entry.rule).iter().all(passes)
                    })?;
                    if (winner.rule, winner.claim) == (rule, index) {
                        return None;
                    }
                    why.get_or_insert_with(|| {
                        format!(
                            "`{}` of rule.{} always goes first",
                            table.claim(winner),
                            table.rules()[winner.rule].id
                        )
                    });
                }
            }
        }
        why
    }

    /// Whether native has an endpoint for everything that is claimed.
    pub(crate) fn all_served(&self, table: &Table, claim: &Claim) -> bool {
        self.paths(&claim.pattern).all(|path| {
            let Some(path) = PlainPath::new(&path) else {
                return false;
            };
            self.methods(claim)
                .iter()
                .all(|method| table.endpoints().find(path, method).is_some())
        })
    }
}

/// All ways to pass these tests, one value for each; `None` if they are too many.
pub(super) fn combinations(tests: &[Test]) -> Option<Vec<Vec<(&Selector, &Wanted)>>> {
    let mut combinations = vec![Vec::new()];
    for test in tests {
        if combinations.len() * test.values.len() > MAX_COMBINATIONS {
            return None;
        }
        let with = |so_far: &Vec<(_, _)>, value| {
            so_far
                .iter()
                .copied()
                .chain([(&test.selector, value)])
                .collect()
        };
        combinations = combinations
            .iter()
            .flat_map(|so_far| test.values.iter().map(move |value| with(so_far, value)))
            .collect();
    }
    Some(combinations)
}
