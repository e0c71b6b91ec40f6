//! Decides which side gets a message of a socket. Immutable, never performs I/O: a part of the table, compiled with it.
//!
//! Precedence does not depend on the order of the file: named events before `*`; then `where` before none, and of two
//! the one that implies the other. What is equal after that is refused by `check`.
//!
//! Native *serves* an event that it registered a handler for, and every message of a WebSocket whose path is one of its
//! GET endpoints. What it does not serve goes to Node, though a rule says native, with one exception: where a rule
//! claims `*` of a namespace without `where` and is wholly native, nothing of that namespace is left over for Node.
//! Native then gets events that it has no handler for as well, and ignores them, as Socket.IO does.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::Method;

use crate::config::{
    Config, EventClaim, EventName, Pointer, Rule, Selector, Socket, SocketKind, To,
};
use crate::routing::argument::Pointers;
use crate::routing::condition::{Test, implied};
use crate::routing::endpoints::Endpoints;
use crate::routing::pattern::PlainPath;
use crate::routing::select::{Value, select};
use crate::routing::table::ALL;
use crate::routing::{LazyArgument, NativeSide, Reason, RequestHead, Side, Table};

/// What the table looks at in a message.
#[derive(Debug, Clone, Copy)]
pub struct EventHead<'m> {
    /// `/` without one, and for a WebSocket.
    pub namespace: &'m str,
    /// The name of the event, or the tag of the message. Empty where there is none: then only `*` claims it.
    pub name: &'m str,
    /// The handshake of the connection.
    pub request: &'m RequestHead<'m>,
    /// What the message says.
    pub argument: &'m LazyArgument<'m>,
}

impl EventRoute<'_> {
    /// Whether the rule says `native only`, and native has no handler: then nobody gets the message.
    pub fn is_refused(&self) -> bool {
        let is_only = self.rule.is_some_and(|(_, rule)| rule.to == To::NativeOnly);
        is_only && self.reason == Reason::NoHandler
    }
}

/// The table's answer.
#[derive(Debug, Clone, Copy)]
pub struct EventRoute<'t> {
    /// The rule and its index in `Table::rules`. `None`: no rule matched.
    pub rule: Option<(usize, &'t Rule)>,
    /// Which of the rule's claims matched.
    pub claim: Option<&'t EventClaim>,
    /// Who gets it.
    pub side: Side,
    /// Why this side.
    pub reason: Reason<'t>,
}

impl Table {
    /// Decides. `socket` is an index of `config().sockets`. Allocates only to look into the message, which happens at
    /// most once and only if a rule that claims the event asks for it, and for selected values that need decoding.
    pub fn event(&self, socket: usize, head: &EventHead<'_>) -> EventRoute<'_> {
        let matched = self
            .events()
            .find(socket, head.namespace, head.name, |entry| {
                let holds = |test: &Test| {
                    self.events()
                        .select(&test.selector, head)
                        .is_some_and(|value| test.accepts(&value))
                };
                self.tests(entry.rule).iter().all(holds)
            });
        let answer = |side, reason| EventRoute {
            rule: matched.map(|entry| (entry.rule, &self.rules()[entry.rule])),
            claim: matched.map(|entry| &self.rules()[entry.rule].events[entry.claim]),
            side,
            reason,
        };
        if self.config().force_node {
            return answer(Side::Node, Reason::Forced);
        }
        let Some(entry) = matched else {
            return answer(Side::Node, Reason::Rest);
        };
        let rule = &self.rules()[entry.rule];
        let reason = match rule.to {
            To::Node => return answer(Side::Node, Reason::Rule),
            To::NativeOnly | To::Native(ALL) => Reason::Rule,
            To::Native(share) => {
                let value = self.events().select(&rule.sticky, head);
                let inside = value.is_some_and(|value| value.bucket() < share.0);
                if !inside {
                    return answer(Side::Node, Reason::Share { inside });
                }
                Reason::Share { inside }
            }
        };
        if self.events().gets(socket, head.namespace, head.name) {
            answer(Side::Native, reason)
        } else {
            answer(Side::Node, Reason::NoHandler)
        }
    }

    /// Whether native has a handler for an event. Where all of a namespace is native, what has none is ignored, as
    /// Socket.IO ignores it.
    pub(crate) fn is_handled(&self, socket: usize, namespace: &str, name: &str) -> bool {
        self.events()
            .namespace(socket, namespace)
            .is_some_and(|namespace| namespace.served.has(name))
    }

    /// Whether a message of this namespace can go to Node: unless a rule with `*` and without `where` is wholly native
    /// for it, and so is every other rule that claims something of it. What native hands back (declined, failed) is
    /// not counted.
    pub fn needs_node(&self, socket: usize, namespace: &str) -> bool {
        let Some(namespace) = self.events().namespace(socket, namespace) else {
            return true;
        };
        let mut entries = namespace.entries();
        let all_native = entries.all(|entry| is_wholly_native(self.rules()[entry.rule].to));
        self.config().force_node || !namespace.rest_is_native || !all_native
    }

    /// Whether some rule says `native only` for messages of a socket. What the proxy cannot read must not reach Node then.
    pub fn has_boundary(&self, socket: usize) -> bool {
        self.has_rule(socket, |to| to == To::NativeOnly)
    }

    /// Whether some rule says `native`, in any form, for messages of a socket.
    pub fn claims_for_native(&self, socket: usize) -> bool {
        self.has_rule(socket, |to| to != To::Node)
    }

    fn has_rule(&self, socket: usize, is: impl Fn(To) -> bool) -> bool {
        let known = self.events().sockets.get(socket);
        let mut namespaces = known
            .into_iter()
            .flat_map(|known| known.namespaces.values());
        let mut has = || {
            namespaces.any(|namespace| {
                let mut entries = namespace.entries();
                entries.any(|entry| is(self.rules()[entry.rule].to))
            })
        };
        !self.config().force_node && has()
    }

    /// Whether some rule says `native`, in any form, for messages of a namespace.
    pub fn claims_namespace_for_native(&self, socket: usize, namespace: &str) -> bool {
        let namespace = self.events().namespace(socket, namespace);
        let mut entries = namespace.into_iter().flat_map(Namespace::entries);
        !self.config().force_node && entries.any(|entry| self.rules()[entry.rule].to != To::Node)
    }

    /// Whether a message of this namespace can go to native.
    pub fn uses_native(&self, socket: usize, namespace: &str) -> bool {
        let Some(namespace) = self.events().namespace(socket, namespace) else {
            return false;
        };
        let mut entries = namespace.entries();
        let goes = entries.any(|entry| {
            let rule = &self.rules()[entry.rule];
            let is_native = match rule.to {
                To::Node => false,
                To::Native(share) => share.0 > 0,
                To::NativeOnly => true,
            };
            is_native && namespace.gets_some(&rule.events[entry.claim])
        });
        !self.config().force_node && goes
    }

    /// The namespaces of a socket of which rules claim something, in alphabetical order.
    pub fn namespaces(&self, socket: usize) -> Vec<&str> {
        let known = self.events().sockets.get(socket);
        let names = known.into_iter().flat_map(|known| known.namespaces.keys());
        let mut names: Vec<&str> = names.map(|name| &**name).collect();
        names.sort_unstable();
        names
    }

    /// Whether native sends a message that Node sends too, so that Node's copy alone passes while its leg lives.
    pub fn once(
        &self,
        socket: usize,
        namespace: &str,
        name: &str,
        argument: &LazyArgument<'_>,
    ) -> bool {
        let pointers = &self.events().pointers;
        let holds = |test: &Test| match &test.selector {
            Selector::Pointer(pointer) => argument
                .get(pointers, pointer)
                .is_some_and(|value| test.accepts(&value)),
            _ => false,
        };
        let once = self.events().sockets.get(socket).map(|known| &known.once);
        once.into_iter().flatten().any(|(event, tests)| {
            event.namespace == namespace && event.name == name && tests.iter().all(holds)
        })
    }

    /// Whether anything in a namespace, or in any, is said once.
    pub fn greets(&self, socket: usize, namespace: Option<&str>) -> bool {
        let once = self.events().sockets.get(socket).map(|known| &known.once);
        once.into_iter()
            .flatten()
            .any(|(event, _)| namespace.is_none_or(|namespace| event.namespace == namespace))
    }

    /// The tag of a WebSocket message, which is the `name` of its head; `None` where it is no string.
    pub fn tag<'m>(&self, socket: usize, message: &LazyArgument<'m>) -> Option<Cow<'m, str>> {
        let tag = self.config().sockets.get(socket)?.tag.as_ref()?;
        message.text(&self.events().pointers, tag)
    }
}

impl Table {
    /// The tag of a WebSocket message as JavaScript finds a member by it: numbers and booleans as their text, empty
    /// where there is none. `None` for an array, whose text may be any.
    pub fn loose_tag<'m>(&self, socket: usize, message: &LazyArgument<'m>) -> Option<Cow<'m, str>> {
        let pointers = &self.events().pointers;
        let Some(tag) = self.config().sockets.get(socket)?.tag.as_ref() else {
            return Some(Cow::Borrowed(""));
        };
        Some(match message.get(pointers, tag) {
            Some(Value::Text(text)) => text,
            Some(Value::Number(number)) => ryu_js::Buffer::new().format(number).to_owned().into(),
            Some(Value::Bool(value)) => value.to_string().into(),
            Some(Value::Address(_)) | None => {
                return (!message.is_list(pointers, tag)).then_some(Cow::Borrowed(""));
            }
        })
    }
}

/// The event rules of all sockets.
#[derive(Debug)]
pub(crate) struct Events {
    /// In the order of the configuration.
    sockets: Vec<SocketEvents>,
    pointers: Arc<Pointers>,
}

#[derive(Debug, Default)]
struct SocketEvents {
    namespaces: HashMap<Box<str>, Namespace>,
    once: Vec<(EventName, Vec<Test>)>,
}

/// What rules claim in a namespace, each list in the order of precedence.
#[derive(Debug, Default)]
pub(crate) struct Namespace {
    names: HashMap<Box<str>, Vec<EventEntry>>,
    /// Of `*`.
    any: Vec<EventEntry>,
    served: Served,
    /// A rule with `*` and without `where` is wholly native.
    pub(crate) rest_is_native: bool,
}

/// Where a claim stands in `config.rules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventEntry {
    pub(crate) rule: usize,
    pub(crate) claim: usize,
}

/// What native has handlers for.
#[derive(Debug)]
pub(crate) enum Served {
    All,
    Names(HashSet<Box<str>>),
}

impl Default for Served {
    fn default() -> Self {
        Self::Names(HashSet::new())
    }
}

impl Served {
    fn new(
        socket: &Socket,
        namespace: &str,
        endpoints: &Endpoints,
        native: Option<NativeSide<'_>>,
    ) -> Self {
        match socket.kind {
            SocketKind::SocketIo => {
                let all = native.map_or(&[][..], |native| native.events).iter();
                let own = all.filter(|event| event.namespace == namespace);
                Self::Names(own.map(|event| event.name.as_str().into()).collect())
            }
            SocketKind::WebSocket => {
                let path = PlainPath::new(&socket.path);
                match path.and_then(|path| endpoints.find(path, &Method::GET)) {
                    Some(_) => Self::All,
                    None => Self::default(),
                }
            }
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(name),
        }
    }

    /// Whether it has anything that is claimed.
    pub(crate) fn has_some(&self, claim: &EventClaim) -> bool {
        match (self, &claim.name) {
            (_, Some(name)) => self.has(name),
            (Self::All, None) => true,
            (Self::Names(names), None) => !names.is_empty(),
        }
    }

    /// In alphabetical order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = match self {
            Self::All => Vec::new(),
            Self::Names(names) => names.iter().map(|name| &**name).collect(),
        };
        names.sort_unstable();
        names
    }
}

impl Events {
    pub(crate) fn new(
        config: &Config,
        tests: &[Vec<Test>],
        endpoints: &Endpoints,
        native: Option<NativeSide<'_>>,
    ) -> Self {
        let of_socket = |socket: &Socket| SocketEvents {
            namespaces: HashMap::new(),
            once: socket
                .once
                .iter()
                .map(|once| (once.event.clone(), Test::all(&once.conditions)))
                .collect(),
        };
        let mut sockets: Vec<_> = config.sockets.iter().map(of_socket).collect();
        let ids = config.sockets.iter().enumerate();
        let ids: HashMap<&str, usize> = ids.map(|(at, socket)| (socket.id.as_str(), at)).collect();
        for (rule, of) in config.rules.iter().enumerate() {
            for (claim, event) in of.events.iter().enumerate() {
                let Some(&at) = ids.get(event.socket.as_str()) else {
                    continue;
                };
                let namespaces = &mut sockets[at].namespaces;
                let namespace = namespaces
                    .entry(event.namespace.as_str().into())
                    .or_insert_with(|| Namespace {
                        served: Served::new(
                            &config.sockets[at],
                            &event.namespace,
                            endpoints,
                            native,
                        ),
                        ..Namespace::default()
                    });
                let leaf = match &event.name {
                    Some(name) => namespace.names.entry(name.as_str().into()).or_default(),
                    None => &mut namespace.any,
                };
                leaf.push(EventEntry { rule, claim });
                namespace.rest_is_native |=
                    event.name.is_none() && tests[rule].is_empty() && is_wholly_native(of.to);
            }
        }
        let namespaces = sockets
            .iter_mut()
            .flat_map(|socket| socket.namespaces.values_mut());
        for namespace in namespaces {
            let names = namespace.names.values_mut();
            for leaf in names.chain([&mut namespace.any]) {
                let rules: Vec<_> = leaf.iter().map(|entry| entry.rule).collect();
                leaf.sort_by_cached_key(|entry| Reverse(implied(tests, entry.rule, &rules)));
            }
        }
        Self {
            sockets,
            pointers: Arc::new(Pointers::new(pointers(config))),
        }
    }

    /// The most specific claim that `accept` accepts.
    pub(crate) fn find(
        &self,
        socket: usize,
        namespace: &str,
        name: &str,
        mut accept: impl FnMut(&EventEntry) -> bool,
    ) -> Option<EventEntry> {
        let namespace = self.namespace(socket, namespace)?;
        let named = namespace.names.get(name).into_iter().flatten();
        named
            .chain(&namespace.any)
            .find(|entry| accept(entry))
            .copied()
    }

    /// Something of which a rule claims.
    pub(crate) fn namespace(&self, socket: usize, namespace: &str) -> Option<&Namespace> {
        self.sockets.get(socket)?.namespaces.get(namespace)
    }

    /// The claims of the same thing: of each name, and of `*`.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &[EventEntry]> {
        let namespaces = self
            .sockets
            .iter()
            .flat_map(|known| known.namespaces.values());
        namespaces.flat_map(|namespace| {
            let names = namespace.names.values().map(Vec::as_slice);
            names.chain([namespace.any.as_slice()])
        })
    }

    /// Whether native gets an event that a rule sends there.
    fn gets(&self, socket: usize, namespace: &str, name: &str) -> bool {
        self.namespace(socket, namespace)
            .is_some_and(|namespace| namespace.rest_is_native || namespace.served.has(name))
    }

    /// The value of this message, `None` where it is missing.
    pub(crate) fn select<'m>(
        &self,
        selector: &Selector,
        head: &EventHead<'m>,
    ) -> Option<Value<'m>> {
        match selector {
            Selector::Pointer(pointer) => head.argument.get(&self.pointers, pointer),
            of_handshake => select(of_handshake, head.request),
        }
    }
}

impl Namespace {
    fn entries(&self) -> impl Iterator<Item = &EventEntry> {
        self.names.values().flatten().chain(&self.any)
    }

    pub(crate) fn served(&self) -> &Served {
        &self.served
    }

    fn gets_some(&self, claim: &EventClaim) -> bool {
        self.rest_is_native || self.served.has_some(claim)
    }

    /// A name that no rule claims.
    pub(crate) fn other_name(&self) -> String {
        let mut name = "any-other".to_owned();
        while self.names.contains_key(name.as_str()) {
            name.push('-');
        }
        name
    }
}

/// Whether no client stays on Node.
pub(crate) fn is_wholly_native(to: To) -> bool {
    matches!(to, To::Native(ALL) | To::NativeOnly)
}

/// All that this configuration looks for in messages.
fn pointers(config: &Config) -> impl Iterator<Item = &Pointer> {
    let conditions = config.rules.iter().map(|rule| &rule.conditions).chain(
        config
            .sockets
            .iter()
            .flat_map(|socket| &socket.once)
            .map(|once| &once.conditions),
    );
    let selectors = conditions
        .flatten()
        .map(|condition| &condition.selector)
        .chain(config.rules.iter().map(|rule| &rule.sticky));
    let pointers = selectors.filter_map(|selector| match selector {
        Selector::Pointer(pointer) => Some(pointer),
        _ => None,
    });
    pointers.chain(
        config
            .sockets
            .iter()
            .filter_map(|socket| socket.tag.as_ref()),
    )
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests;
