//! Precedence, compared with a plain model of it over generated tables and messages.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::Config as ProptestConfig;
use serde_json::{Value as Json, json};

use super::*;
use crate::config::{Scalar, Share};
use crate::routing::fixture::{
    NATIVE, bridged, compile_events, event_rule, header, pointer, route_event,
};

const SERVED: [&str; 3] = ["a", "c", "/x,a"];

/// A message: namespace, name, first argument, and the headers of the handshake.
#[derive(Debug, Clone)]
struct Message {
    namespace: &'static str,
    name: &'static str,
    argument: Option<Json>,
    line: Option<&'static str>,
}

/// Whether `where` holds.
fn holds(rule: &Rule, message: &Message) -> bool {
    rule.conditions.iter().all(|condition| {
        let value = match &condition.selector {
            Selector::Pointer(pointer) => {
                let argument = message.argument.as_ref();
                argument.and_then(|argument| argument.pointer(&pointer.to_string()).cloned())
            }
            _ => message.line.map(Json::from),
        };
        let is = |wanted: &Scalar| match (wanted, &value) {
            (Scalar::Text(wanted), Some(Json::String(text))) => wanted == text,
            _ => false,
        };
        condition.values.iter().any(is)
    })
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

/// Whether, of two claims that match the same message, the first is the more specific.
fn beats(one: (&Rule, &EventClaim), other: (&Rule, &EventClaim)) -> bool {
    match (one.1.name.is_some(), other.1.name.is_some()) {
        (true, false) => true,
        (false, true) => false,
        _ => implies(one.0, other.0) && !implies(other.0, one.0),
    }
}

fn matching<'r>(rules: &'r [Rule], message: &Message) -> Vec<(&'r Rule, &'r EventClaim)> {
    let claims = rules
        .iter()
        .flat_map(|rule| rule.events.iter().map(move |claim| (rule, claim)));
    let matches = |(rule, claim): &(&Rule, &EventClaim)| {
        claim.namespace == message.namespace
            && claim
                .name
                .as_deref()
                .is_none_or(|name| name == message.name)
            && holds(rule, message)
    };
    claims.filter(matches).collect()
}

/// The rule and the side, by DESIGN's words: of all claims that match, the one that no other beats.
fn model<'r>(rules: &'r [Rule], message: &Message) -> (Option<&'r str>, Side) {
    let matching = matching(rules, message);
    let best = matching
        .iter()
        .find(|one| !matching.iter().any(|other| beats(*other, **one)));
    let Some((rule, _)) = best else {
        return (None, Side::Node);
    };
    let wire = if message.namespace == "/" {
        message.name.to_owned()
    } else {
        format!("{},{}", message.namespace, message.name)
    };
    let is_served = SERVED.contains(&wire.as_str()) || rest_is_native(rules, message.namespace);
    let side = match rule.to {
        To::Native(ALL) | To::NativeOnly if is_served => Side::Native,
        _ => Side::Node,
    };
    (Some(&rule.id), side)
}

fn rest_is_native(rules: &[Rule], namespace: &str) -> bool {
    rules.iter().any(|rule| {
        let all = |claim: &EventClaim| claim.namespace == namespace && claim.name.is_none();
        rule.to != To::Node
            && rule.to != To::Native(Share(0))
            && rule.conditions.is_empty()
            && rule.events.iter().any(all)
    })
}

fn a_rule() -> impl Strategy<Value = Rule> {
    let values = || subsequence(vec!["1", "2", "3"], 0..=3);
    let events = vec![
        "readers a",
        "readers b",
        "readers c",
        "readers *",
        "readers /x,a",
        "readers /x,*",
    ];
    let to = select(vec![To::Node, To::Native(Share(0)), NATIVE, To::NativeOnly]);
    let claims = subsequence(events, 1..3);
    (claims, values(), values(), values(), to).prop_map(|(events, mut whole, inner, line, to)| {
        // Asking for a scalar and for something inside of it can never match.
        if !inner.is_empty() {
            whole.clear();
        }
        let mut made = event_rule("", &events, to);
        let tests = [
            (pointer(""), whole),
            (pointer("/k"), inner),
            (header("x-a"), line),
        ];
        for (selector, values) in tests {
            if !values.is_empty() {
                made = made.when(selector, &values);
            }
        }
        made
    })
}

fn a_message() -> impl Strategy<Value = Message> {
    let text = || select(vec!["1", "2", "3", "4"]);
    let argument = prop_oneof![
        Just(None),
        text().prop_map(|text| Some(json!(text))),
        text().prop_map(|text| Some(json!({ "k": text, "l": [1] }))),
        Just(Some(json!({ "k": 1 }))),
    ];
    let line = select(vec![None, Some("1"), Some("2"), Some("3")]);
    let name = select(vec!["a", "b", "c", "z"]);
    (select(vec!["/", "/x", "/y"]), name, argument, line).prop_map(
        |(namespace, name, argument, line)| Message {
            namespace,
            name,
            argument,
            line,
        },
    )
}

fn compile(rules: &[Rule]) -> Result<Table, Vec<String>> {
    let readers = bridged("readers", SocketKind::SocketIo, "/socket.io/");
    compile_events(vec![readers], rules.to_vec(), &SERVED)
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
        if compile(&more).is_ok() {
            accepted = more;
        }
    }
    accepted
}

fn routed(table: &Table, message: &Message) -> (Option<String>, Side, String) {
    let Message {
        namespace,
        name,
        argument,
        line,
    } = message;
    let argument = argument.as_ref().map(Json::to_string).unwrap_or_default();
    let lines: Vec<_> = line.iter().map(|value| ("x-a", *value)).collect();
    route_event(table, &format!("{namespace},{name} {argument}"), &lines)
}

/// Enough messages to meet each overlap of two generated rules.
fn every_message() -> Vec<Message> {
    let arguments = [None, Some(json!({}))].into_iter().chain(
        ["1", "2", "3"]
            .into_iter()
            .flat_map(|text| [Some(json!(text)), Some(json!({ "k": text }))]),
    );
    let mut all = Vec::new();
    for argument in arguments {
        for namespace in ["/", "/x"] {
            for name in ["a", "b", "c", "z"] {
                for line in [None, Some("1"), Some("2"), Some("3")] {
                    let argument = argument.clone();
                    all.push(Message {
                        namespace,
                        name,
                        argument,
                        line,
                    });
                }
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_decides_as_the_model_whatever_the_order_of_the_file(
        (rules, shuffled) in prop::collection::vec(a_rule(), 1..10).prop_flat_map(|rules| {
            let rules = accepted(rules);
            (Just(rules.clone()), Just(rules).prop_shuffle())
        }),
        messages in prop::collection::vec(a_message(), 20),
    ) {
        let (Ok(table), Ok(shuffled)) = (compile(&rules), compile(&shuffled)) else {
            return Err(TestCaseError::fail("the order of the rules decides whether the file loads"));
        };
        for message in messages {
            let (id, side) = model(&rules, &message);
            for table in [&table, &shuffled] {
                let (found, answered, reason) = routed(table, &message);
                prop_assert_eq!((found.as_deref(), answered), (id, side), "{:?} {}", message, reason);
            }
        }
    }

    #[test]
    fn a_side_that_a_namespace_does_not_use_gets_nothing_of_it(
        rules in prop::collection::vec(a_rule(), 1..8).prop_map(accepted),
    ) {
        let Ok(table) = compile(&rules) else {
            return Err(TestCaseError::fail("these rules were accepted"));
        };
        for namespace in ["/", "/x"] {
            let all = every_message();
            let own = || all.iter().filter(|message| message.namespace == namespace);
            let sides: Vec<Side> = own().map(|message| routed(&table, message).1).collect();
            prop_assert!(table.needs_node(0, namespace) || !sides.contains(&Side::Node), "{}", namespace);
            prop_assert!(table.uses_native(0, namespace) || !sides.contains(&Side::Native), "{}", namespace);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_rules_are_refused_exactly_where_a_message_has_no_single_winner(
        mut rules in [a_rule(), a_rule()],
    ) {
        rules[0].id = "one".to_owned();
        rules[1].id = "other".to_owned();
        let tied = |message: &Message| {
            let of = |id: &str| -> Vec<_> {
                matching(&rules, message).into_iter().filter(|(rule, _)| rule.id == id).collect()
            };
            let (one, other) = (of("one"), of("other"));
            one.iter().any(|one| other.iter().any(|other| !beats(*one, *other) && !beats(*other, *one)))
        };
        let tied = every_message().iter().any(tied);
        let messages = compile(&rules).err().unwrap_or_default();
        let refused = messages.iter().any(|message| message == "two rules claim the same message");
        prop_assert_eq!(refused, tied);
    }

    #[test]
    fn a_rule_is_called_unreachable_exactly_where_no_message_reaches_it(
        rules in prop::collection::vec(a_rule(), 2..6),
    ) {
        // What native does not serve is refused for another reason.
        let name = |(index, rule): (usize, Rule)| Rule { id: format!("r{index}"), to: To::Node, ..rule };
        let rules: Vec<Rule> = rules.into_iter().enumerate().map(name).collect();
        let messages = compile(&rules).err().unwrap_or_default();
        prop_assume!(messages.iter().all(|message| message.ends_with("can never match")));
        let all = every_message();
        let reached: std::collections::BTreeSet<_> =
            all.iter().filter_map(|message| model(&rules, message).0).collect();
        for Rule { id, .. } in &rules {
            let is_told = messages.contains(&format!("rule `{id}` can never match"));
            prop_assert_eq!(is_told, !reached.contains(id.as_str()), "{}", id);
        }
    }
}
