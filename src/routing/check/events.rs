//! The same findings for messages: two rules that claim the same one, claims that no message reaches, and what native
//! has no handler for.

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::{EventClaim, Rule, SocketKind, To};
use crate::routing::NativeSide;
use crate::routing::check::probe::combinations;
use crate::routing::check::unserved::list;
use crate::routing::check::{clash, example};
use crate::routing::condition::Test;
use crate::routing::events::{EventEntry, Namespace, Served};
use crate::routing::table::Table;

/// Pairs of claims of two rules that precedence cannot order. Returns the rules.
pub(super) fn ambiguous(table: &Table, found: &mut Vec<Diagnostic>) -> Vec<usize> {
    let mut rules = Vec::new();
    for leaf in table.events().leaves() {
        let pairs = leaf
            .iter()
            .enumerate()
            .flat_map(|(index, one)| leaf[index + 1..].iter().map(move |other| (one, other)));
        for (one, other) in pairs.filter(|(one, other)| one.rule != other.rule) {
            if !clash(table, one.rule, other.rule) {
                continue;
            }
            let (first, last) = if claim(table, one).span.start <= claim(table, other).span.start {
                (one, other)
            } else {
                (other, one)
            };
            let claimed = claim(table, last);
            let name = EventClaim {
                name: Some(some_name(table, claimed)),
                ..claimed.clone()
            };
            let message = format!("`{name}` on {}", claimed.socket);
            let example = example(table, &message, first.rule, last.rule);
            let also = format!(
                "also rule.{}, as `{}`",
                table.rules()[first.rule].id,
                claim(table, first)
            );
            found.push(
                Diagnostic::error(Code::Ambiguous, "two rules claim the same message")
                    .at(claimed.span.clone())
                    .label(also)
                    .help(example),
            );
            rules.extend([one.rule, other.rule]);
        }
    }
    rules
}

/// Why this claim can never be chosen; `None` where it can.
pub(super) fn hidden(table: &Table, entry: EventEntry) -> Option<String> {
    let claimed = claim(table, &entry);
    let socket = socket(table, claimed)?;
    // Who goes first for a name that no rule has goes first for every other.
    let name = some_name(table, claimed);
    let mut why = None;
    for values in combinations(table.tests(entry.rule))? {
        let passes = |test: &Test| {
            values
                .iter()
                .any(|(selector, value)| **selector == test.selector && test.values.contains(value))
        };
        let winner = table
            .events()
            .find(socket, &claimed.namespace, &name, |other| {
                table.tests(other.rule).iter().all(passes)
            })?;
        if winner == entry {
            return None;
        }
        why.get_or_insert_with(|| {
            format!(
                "`{}` of rule.{} always goes first",
                claim(table, &winner),
                table.rules()[winner.rule].id
            )
        });
    }
    why
}

/// Whether native has no handler for anything that a rule claims.
pub(super) fn is_unserved(table: &Table, rule: &Rule) -> bool {
    let mut claims = rule.events.iter();
    !claims.any(|claim| namespace(table, claim).is_some_and(|known| known.served().has_some(claim)))
}

/// What to do about a rule that native has no handler for.
pub(super) fn nearest(table: &Table, claim: &EventClaim, native: Option<NativeSide<'_>>) -> String {
    let socket = socket(table, claim).map(|at| &table.config().sockets[at]);
    if let Some(socket) = socket.filter(|socket| socket.kind == SocketKind::WebSocket) {
        return format!("the native side needs an endpoint `GET {}`", socket.path);
    }
    let written = |event: &crate::routing::Event| {
        EventClaim {
            namespace: event.namespace.clone(),
            name: Some(event.name.clone()),
            ..claim.clone()
        }
        .to_string()
    };
    let own = claim.to_string();
    let likeness = |event: &String| strsim::normalized_levenshtein(&own, event);
    let events = native.map_or(&[][..], |native| native.events).iter();
    let nearest = events
        .map(written)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(event) => format!("the nearest event that native has a handler for is `{event}`"),
        None => "the native side has no handlers for events".to_owned(),
    }
}

/// What native does not serve of a rule that it serves in part.
pub(super) fn partly_served(table: &Table, rule: &Rule, found: &mut Vec<Diagnostic>) {
    for claim in &rule.events {
        let Some(namespace) = namespace(table, claim) else {
            continue;
        };
        let served = namespace.served();
        let fate = match rule.to {
            To::NativeOnly => "is ignored",
            To::Native(_) | To::Node => "goes to Node",
        };
        let message = match (&claim.name, served) {
            (_, Served::All) => continue,
            (Some(name), _) if served.has(name) => continue,
            (Some(_), _) if namespace.rest_is_native => {
                format!("native ignores `{claim}`: it has no handler for it")
            }
            (None, Served::Names(names)) if names.is_empty() => {
                format!("`{claim}` {fate}: native has no handlers in this namespace")
            }
            (Some(_), _) => format!("`{claim}` {fate}: native has no handler for it"),
            (None, _) => {
                let names = list(served.names().into_iter().map(str::to_owned));
                let rest = if namespace.rest_is_native {
                    "it ignores the rest".to_owned()
                } else {
                    format!("the rest {fate}")
                };
                format!("native has handlers for {names} of `{claim}`, {rest}")
            }
        };
        found.push(Diagnostic::note(Code::Unserved, message).at(claim.span.clone()));
    }
}

/// Sockets whose clients both sides may greet, where no `once` keeps native's greeting back.
pub(super) fn two_greetings(
    table: &Table,
    native: Option<NativeSide<'_>>,
    found: &mut Vec<Diagnostic>,
) {
    let connects = native.map_or(&[][..], |native| native.connects);
    for (at, socket) in table.config().sockets.iter().enumerate() {
        let greeted_twice = |namespace: &&String| {
            table.uses_native(at, namespace) && table.needs_node(at, namespace)
        };
        if socket.kind != SocketKind::SocketIo || !socket.once.is_empty() {
            continue;
        }
        let Some(namespace) = connects.iter().find(greeted_twice) else {
            continue;
        };
        let message = format!(
            "a client that connects to `{namespace}` of `{}` may be greeted twice: by Node, and by native",
            socket.id
        );
        let name = if namespace == "/" {
            "hello".to_owned()
        } else {
            format!("{namespace},hello")
        };
        let help = format!(
            "if both emit the same event then, name it: `once = [{{ name = \"{name}\" }}]`; native's copy, which may \
             carry native's `socket.id`, is then dropped"
        );
        found.push(
            Diagnostic::note(Code::TwoGreetings, message)
                .at(socket.path_span.clone())
                .label("no `once`")
                .help(help),
        );
    }
}

fn claim<'t>(table: &'t Table, entry: &EventEntry) -> &'t EventClaim {
    &table.rules()[entry.rule].events[entry.claim]
}

fn socket(table: &Table, claim: &EventClaim) -> Option<usize> {
    let mut sockets = table.config().sockets.iter();
    sockets.position(|socket| socket.id == claim.socket)
}

fn namespace<'t>(table: &'t Table, claim: &EventClaim) -> Option<&'t Namespace> {
    table
        .events()
        .namespace(socket(table, claim)?, &claim.namespace)
}

/// What is claimed, or for `*` a name that no rule has.
fn some_name(table: &Table, claim: &EventClaim) -> String {
    match (&claim.name, namespace(table, claim)) {
        (Some(name), _) => name.clone(),
        (None, Some(namespace)) => namespace.other_name(),
        (None, None) => String::new(),
    }
}
