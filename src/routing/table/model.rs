//! Precedence, compared with a plain model of it over generated tables and requests.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::Config as ProptestConfig;

use crate::config::{Claim, Pattern, Rule, Scalar, Segment, Selector, To};
use crate::routing::fixture::{compile, config, header, route, rule};

/// Whether a pattern matches these segments.
fn matches(pattern: &[Segment], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) | ([Segment::Rest(_)], _) => true,
        ([Segment::Literal(literal), pattern @ ..], [first, path @ ..]) => {
            literal.eq_ignore_ascii_case(first) && matches(pattern, path)
        }
        ([Segment::Param(_), pattern @ ..], [_, path @ ..]) => matches(pattern, path),
        _ => false,
    }
}

fn holds(rule: &Rule, lines: &[(&str, &str)]) -> bool {
    rule.conditions.iter().all(|condition| {
        let Selector::Header(name) = &condition.selector else {
            unreachable!("only headers are generated")
        };
        let line = lines.iter().find(|(line, _)| *line == name.as_str());
        line.is_some_and(|(_, value)| {
            condition
                .values
                .contains(&Scalar::Text((*value).to_owned()))
        })
    })
}

/// The kinds of the segments, smaller is more specific; the end of a pattern stands before `{*rest}`.
fn shape(pattern: &Pattern) -> Vec<u8> {
    let kinds = pattern.segments.iter().map(|segment| match segment {
        Segment::Literal(_) => 0,
        Segment::Param(_) => 1,
        Segment::Rest(_) => 3,
    });
    kinds.chain([2]).collect()
}

fn implies(one: &Rule, other: &Rule) -> bool {
    other.conditions.iter().all(|theirs| {
        one.conditions.iter().any(|ours| {
            ours.selector == theirs.selector
                && ours
                    .values
                    .iter()
                    .all(|value| theirs.values.contains(value))
        })
    })
}

/// Whether, of two claims that match the same request, the first is the more specific.
fn beats(one: (&Rule, &Claim), other: (&Rule, &Claim)) -> bool {
    let rank = |claim: &Claim| (shape(&claim.pattern), claim.method.is_none());
    match rank(one.1).cmp(&rank(other.1)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => implies(one.0, other.0) && !implies(other.0, one.0),
    }
}

/// The rule that wins, by DESIGN's words: of all claims that match, the one that no other beats.
fn model<'r>(
    rules: &'r [Rule],
    method: &str,
    path: &[&str],
    lines: &[(&str, &str)],
) -> Option<&'r str> {
    let admits = |claim: &Claim| match &claim.method {
        None => true,
        Some(own) => own.as_str() == method || (own.as_str(), method) == ("GET", "HEAD"),
    };
    let claims = rules
        .iter()
        .flat_map(|rule| rule.claims.iter().map(move |claim| (rule, claim)));
    let matching: Vec<_> = claims
        .filter(|(rule, claim)| {
            admits(claim) && matches(&claim.pattern.segments, path) && holds(rule, lines)
        })
        .collect();
    let best = matching
        .iter()
        .find(|one| !matching.iter().any(|other| beats(*other, **one)))?;
    Some(&best.0.id)
}

fn a_claim(longest: usize) -> impl Strategy<Value = String> {
    let method = select(vec!["", "", "GET ", "HEAD ", "POST "]);
    let segments = prop::collection::vec(select(vec!["a", "B", "{x}", "c"]), 0..=longest);
    let rest = select(vec!["", "", "/{*rest}"]);
    (method, segments, rest).prop_map(|(method, segments, rest)| {
        let path: String = segments
            .iter()
            .enumerate()
            // A name may not stand twice in a pattern.
            .map(|(number, segment)| format!("/{}", segment.replace('x', &format!("x{number}"))))
            .collect();
        let path = path + rest;
        format!("{method}{}", if path.is_empty() { "/" } else { &path })
    })
}

fn a_rule(longest: usize) -> impl Strategy<Value = Rule> {
    let values = || subsequence(vec!["1", "2", "3"], 0..=3);
    let claims = prop::collection::vec(a_claim(longest), 1..3);
    (claims, values(), values()).prop_map(|(claims, first, second)| {
        let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
        let mut made = rule("", &claims, To::Node);
        for (name, values) in [("x-first", first), ("x-second", second)] {
            if !values.is_empty() {
                made = made.when(header(name), &values);
            }
        }
        made
    })
}

type Request = (&'static str, Vec<&'static str>, [Option<&'static str>; 2]);

fn a_request() -> impl Strategy<Value = Request> {
    let method = select(vec!["GET", "HEAD", "POST", "PUT"]);
    let path = prop::collection::vec(select(vec!["a", "A", "b", "c", "z"]), 0..5);
    let value = || select(vec![None, Some("1"), Some("2"), Some("3"), Some("4")]);
    (method, path, [value(), value()])
}

/// Adds the rules one by one and leaves out those that the table refuses.
fn accepted(rules: Vec<Rule>) -> Vec<Rule> {
    let mut accepted: Vec<Rule> = Vec::new();
    for (index, rule) in rules.into_iter().enumerate() {
        let mut more = accepted.clone();
        more.push(Rule {
            id: format!("r{index}"),
            ..rule
        });
        if compile(config(more.clone()), &[]).is_ok() {
            accepted = more;
        }
    }
    accepted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_decides_as_the_model_whatever_the_order_of_the_file(
        (rules, shuffled) in prop::collection::vec(a_rule(3), 1..10).prop_flat_map(|rules| {
            let rules = accepted(rules);
            (Just(rules.clone()), Just(rules).prop_shuffle())
        }),
        requests in prop::collection::vec(a_request(), 20),
    ) {
        let tables = [&rules, &shuffled].map(|rules| compile(config(rules.clone()), &[]));
        let [Ok(table), Ok(shuffled)] = tables else {
            return Err(TestCaseError::fail("the order of the rules decides whether the file loads"));
        };
        for (method, path, values) in requests {
            let names = ["x-first", "x-second"];
            let lines: Vec<_> = names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect();
            let expected = model(&rules, method, &path, &lines);
            let request = format!("{method} /{}", path.join("/"));
            for table in [&table, &shuffled] {
                let route = route(table, &request, &lines);
                prop_assert_eq!(route.rule.map(|(_, rule)| rule.id.as_str()), expected, "{} {:?}", request, lines);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_rules_are_refused_exactly_where_a_request_has_no_single_winner(
        rules in [a_rule(2), a_rule(2)],
    ) {
        let mut rules = rules;
        rules[0].id = "one".to_owned();
        rules[1].id = "other".to_owned();
        let tied = every_request().any(|(method, path, values)| {
            let lines: Vec<_> =
                ["x-first", "x-second"].into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect();
            is_tied(&rules, method, &path, &lines)
        });
        let refused = match compile(config(rules.to_vec()), &[]) {
            Ok(_) => false,
            Err(messages) => messages.iter().any(|message| message == "two rules claim the same request"),
        };
        prop_assert_eq!(refused, tied);
    }

    #[test]
    fn a_rule_is_called_unreachable_exactly_where_no_request_reaches_it(
        rules in prop::collection::vec(a_rule(2), 2..6),
    ) {
        let name = |(index, rule): (usize, Rule)| Rule { id: format!("r{index}"), ..rule };
        let rules: Vec<Rule> = rules.into_iter().enumerate().map(name).collect();
        let messages = compile(config(rules.clone()), &[]).err().unwrap_or_default();
        prop_assume!(messages.iter().all(|message| message.ends_with("can never match")));
        let mut reached = std::collections::BTreeSet::new();
        for (method, path, values) in every_request() {
            let lines: Vec<_> =
                ["x-first", "x-second"].into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect();
            reached.extend(model(&rules, method, &path, &lines));
        }
        for Rule { id, .. } in &rules {
            let is_told = messages.contains(&format!("rule `{id}` can never match"));
            prop_assert_eq!(is_told, !reached.contains(id.as_str()), "{}", id);
        }
    }
}

/// Whether two claims of different rules match and neither beats the other.
fn is_tied(rules: &[Rule; 2], method: &str, path: &[&str], lines: &[(&str, &str)]) -> bool {
    let admits = |claim: &&Claim| match &claim.method {
        None => true,
        Some(own) => own.as_str() == method || (own.as_str(), method) == ("GET", "HEAD"),
    };
    let [one, other] = rules.each_ref().map(|rule| {
        let claims = rule.claims.iter().filter(admits);
        let claims =
            claims.filter(|claim| matches(&claim.pattern.segments, path) && holds(rule, lines));
        claims.map(move |claim| (rule, claim)).collect::<Vec<_>>()
    });
    one.iter().any(|one| {
        other
            .iter()
            .any(|other| !beats(*one, *other) && !beats(*other, *one))
    })
}

/// Enough requests to meet each overlap of two generated rules.
fn every_request() -> impl Iterator<Item = Request> {
    let paths = (0..=3_usize).flat_map(|length| {
        (0..4_usize.pow(u32::try_from(length).unwrap())).map(move |mut number| {
            let mut path = Vec::new();
            for _ in 0..length {
                path.push(["a", "b", "c", "z"][number % 4]);
                number /= 4;
            }
            path
        })
    });
    let values = [None, Some("1"), Some("2"), Some("3")];
    paths.flat_map(move |path| {
        let path = path.clone();
        ["GET", "HEAD", "POST", "PUT"]
            .into_iter()
            .flat_map(move |method| {
                let path = path.clone();
                values.into_iter().flat_map(move |first| {
                    let path = path.clone();
                    values
                        .into_iter()
                        .map(move |second| (method, path.clone(), [first, second]))
                })
            })
    })
}
