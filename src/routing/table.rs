//! Decides which side answers a request; `events` does the same for messages. Immutable, never performs I/O: one table per generation of `routes.toml`.
//!
//! Precedence does not depend on the order of the file: a socket owns its path; then patterns, compared from the left
//! (see `tree`); then a listed method before none; then `where` before none, and of two the one that implies the
//! other. What is equal after that is refused by `check`.

use http::Method;

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::{Claim, Config, Rule, Segment, Share, Socket, SocketKind, SocketMode, To};
use crate::routing::condition::{Test, implied};
use crate::routing::endpoints::{Endpoints, serves};
use crate::routing::events::Events;
use crate::routing::pattern::{PlainPath, is_plain_literal};
use crate::routing::readings::{is_same_in_some_reading, matches_in_some_reading};
use crate::routing::select::select;
use crate::routing::tree::Tree;
use crate::routing::{NativeSide, RequestHead, Side, check};

/// 100 %.
pub(crate) const ALL: Share = Share(10_000);

/// All rules, compiled.
#[derive(Debug)]
pub struct Table {
    config: Config,
    generation: u64,
    claims: Tree<Entry>,
    /// `where` of each rule, in the order of `config.rules`.
    tests: Vec<Vec<Test>>,
    endpoints: Endpoints,
    events: Events,
}

/// Where a claim stands in `config.rules`, with what a lookup needs of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) rule: usize,
    pub(crate) claim: usize,
    /// `None`: all methods.
    pub(crate) method: Option<Method>,
}

impl Entry {
    pub(crate) fn admits(&self, method: &Method) -> bool {
        self.method.as_ref().is_none_or(|own| serves(own, method))
    }
}

/// The table's answer.
#[derive(Debug)]
pub struct Route<'t> {
    /// The rule and its index in `Table::rules`. `None`: no rule matched, or a socket owns the path.
    pub rule: Option<(usize, &'t Rule)>,
    /// Which of the rule's claims matched.
    pub claim: Option<&'t Claim>,
    /// Who answers.
    pub side: Side,
    /// Why this side.
    pub reason: Reason<'t>,
    /// For native: the path in the endpoint's spelling, where it differs from the one that came.
    pub native_path: Option<String>,
}

/// Why a request goes to its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'t> {
    /// `force = "node"`.
    Forced,
    /// The socket of this id owns the path.
    Socket(&'t str),
    /// No rule matched.
    Rest,
    /// The path has more than one reading, see `PlainPath`, or the query is not ASCII.
    Ambiguous,
    /// The rule says so.
    Rule,
    /// The rule says a share.
    Share {
        /// Whether this client is in it; one without the sticky value is not.
        inside: bool,
    },
    /// The rule says native, which has no endpoint for this method and path.
    NoEndpoint,
    /// The rule says native, which has no handler for this event.
    NoHandler,
}

impl Table {
    /// Compiles a configuration against what the native application serves (`None`: there is none in this process).
    ///
    /// # Errors
    /// Everything found, if any of it is an error; else the warnings and notes come with the table.
    pub fn compile(
        config: Config,
        generation: u64,
        native: Option<NativeSide<'_>>,
    ) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let tests: Vec<_> = config
            .rules
            .iter()
            .map(|rule| Test::all(&rule.conditions))
            .collect();
        let endpoints = Endpoints::new(native, &mut diagnostics);
        let events = Events::new(&config, &tests, &endpoints, native);
        let mut claims = Tree::new(true);
        for (rule, claim) in all_claims(&config) {
            let Claim {
                method, pattern, ..
            } = &config.rules[rule].claims[claim];
            // `check` says that the others never match.
            if pattern.segments.iter().all(is_plain_literal) {
                claims.leaf(pattern).push(Entry {
                    rule,
                    claim,
                    method: method.clone(),
                });
            }
        }
        let mut table = Self {
            config,
            generation,
            claims,
            tests,
            endpoints,
            events,
        };
        table.sort();
        check::check(&table, native, &mut diagnostics);
        if diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
        {
            return Err(diagnostics);
        }
        Ok((table, diagnostics))
    }

    /// What it was compiled from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// In the order of the file, which is the order of the indices in `Route::rule`.
    pub fn rules(&self) -> &[Rule] {
        &self.config.rules
    }

    /// One more at each load.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// False where nothing that the rules claim can reach Node: every rule `native only`, one of them claims
    /// `/{*rest}` with all methods, and no namespace of a socket that rules know needs it. What has no endpoint or an
    /// ambiguous path then has nobody to answer it.
    pub fn is_node_needed(&self) -> bool {
        let native_only = self
            .config
            .rules
            .iter()
            .all(|rule| rule.to == To::NativeOnly);
        let claims_all = |(rule, claim): (usize, usize)| {
            let Rule {
                conditions, claims, ..
            } = &self.config.rules[rule];
            let Claim {
                method, pattern, ..
            } = &claims[claim];
            conditions.is_empty()
                && method.is_none()
                && matches!(pattern.segments[..], [Segment::Rest(_)])
        };
        let socket_needs = |socket: usize| {
            let namespaces = self.namespaces(socket);
            let mut all = namespaces.iter();
            namespaces.is_empty() || all.any(|namespace| self.needs_node(socket, namespace))
        };
        self.config.force_node
            || (0..self.config.sockets.len()).any(socket_needs)
            || !native_only
            || !all_claims(&self.config).any(claims_all)
    }

    /// Decides. Allocates only for `native_path` and for selected values that need decoding.
    pub fn route(&self, request: &RequestHead<'_>) -> Route<'_> {
        let raw = request.uri.path();
        if let Some(socket) = self.socket(raw) {
            return Route::to_node(None, Reason::Socket(&socket.id));
        }
        // Node refuses targets that are not ASCII, also behind the `?`.
        let is_ascii = request.uri.query().is_none_or(str::is_ascii);
        let path = PlainPath::new(raw).filter(|_| is_ascii);
        let entry = path.and_then(|path| {
            self.find(path, |entry| {
                entry.admits(request.method)
                    && self.tests[entry.rule]
                        .iter()
                        .all(|test| test.holds(request))
            })
        });
        let matched = entry.map(|entry| (entry.rule, &self.config.rules[entry.rule], entry.claim));
        if self.config.force_node {
            return Route::to_node(matched, Reason::Forced);
        }
        let Some(path) = path else {
            return Route::to_node(self.in_some_reading(request), Reason::Ambiguous);
        };
        let Some((_, rule, _)) = matched else {
            return Route::to_node(None, Reason::Rest);
        };
        let reason = match rule.to {
            To::Node => return Route::to_node(matched, Reason::Rule),
            To::NativeOnly | To::Native(ALL) => Reason::Rule,
            To::Native(share) => {
                let inside =
                    select(&rule.sticky, request).is_some_and(|value| value.bucket() < share.0);
                if !inside {
                    return Route::to_node(matched, Reason::Share { inside });
                }
                Reason::Share { inside }
            }
        };
        match self.endpoints.find(path, request.method) {
            Some(endpoint) => Route {
                side: Side::Native,
                native_path: endpoint.spelling.apply(path),
                ..Route::to_node(matched, reason)
            },
            None => Route::to_node(matched, Reason::NoEndpoint),
        }
    }

    /// A `native only` claim of a request whose path has more than one reading.
    fn in_some_reading(&self, request: &RequestHead<'_>) -> Option<(usize, &Rule, usize)> {
        let mut claims = all_claims(&self.config).map(|(rule, claim)| {
            let of = &self.config.rules[rule];
            (rule, of, claim)
        });
        claims.find(|(index, rule, claim)| {
            let Claim {
                method, pattern, ..
            } = &rule.claims[*claim];
            rule.to == To::NativeOnly
                && method
                    .as_ref()
                    .is_none_or(|own| serves(own, request.method))
                && self.tests[*index].iter().all(|test| test.holds(request))
                && matches_in_some_reading(&pattern.segments, request.uri.path())
        })
    }

    /// Whether the messages of any WebSocket are looked at.
    pub fn bridges_websockets(&self) -> bool {
        let mut sockets = self.config.sockets.iter();
        sockets
            .any(|socket| socket.kind == SocketKind::WebSocket && socket.mode == SocketMode::Bridge)
    }

    /// Whether somebody behind the proxy may take the path for that of a WebSocket whose messages can be native.
    pub fn is_socket_in_some_reading(&self, raw: &str) -> bool {
        let sockets = self.config.sockets.iter().enumerate();
        let mut bridged = sockets.filter(|(index, socket)| {
            socket.kind == SocketKind::WebSocket
                && socket.mode == SocketMode::Bridge
                && self.claims_for_native(*index)
        });
        bridged.any(|(_, socket)| is_same_in_some_reading(&socket.path, raw))
    }

    /// The socket that owns this path. Case counts, as in `engine.io` and `ws`.
    pub(crate) fn socket(&self, raw: &str) -> Option<&Socket> {
        self.config.sockets.iter().find(|socket| match socket.kind {
            SocketKind::SocketIo => raw.starts_with(&socket.path),
            SocketKind::WebSocket => raw == socket.path,
        })
    }

    /// The most specific claim that `accept` accepts.
    pub(crate) fn find(
        &self,
        path: PlainPath<'_>,
        mut accept: impl FnMut(&Entry) -> bool,
    ) -> Option<&Entry> {
        self.claims
            .find(path, |leaf| leaf.iter().find(|entry| accept(entry)))
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    pub(crate) fn claims(&self) -> &Tree<Entry> {
        &self.claims
    }

    pub(crate) fn claim(&self, entry: &Entry) -> &Claim {
        &self.config.rules[entry.rule].claims[entry.claim]
    }

    pub(crate) fn tests(&self, rule: usize) -> &[Test] {
        &self.tests[rule]
    }

    /// Within a leaf: listed methods first, then by what `where` implies.
    fn sort(&mut self) {
        for leaf in self.claims.leaves_mut() {
            let rules: Vec<_> = leaf.iter().map(|entry| entry.rule).collect();
            leaf.sort_by_cached_key(|entry| {
                let implied = implied(&self.tests, entry.rule, &rules);
                (entry.method.is_none(), std::cmp::Reverse(implied))
            });
        }
    }
}

impl Route<'_> {
    /// Whether the rule says `native only`, and native does not answer: then nobody does.
    pub fn is_refused(&self) -> bool {
        let is_only = self.rule.is_some_and(|(_, rule)| rule.to == To::NativeOnly);
        is_only && self.side == Side::Node && self.reason != Reason::Forced
    }
}

impl<'t> Route<'t> {
    fn to_node(matched: Option<(usize, &'t Rule, usize)>, reason: Reason<'t>) -> Self {
        let rule = matched.map(|(index, rule, _)| (index, rule));
        let claim = matched.map(|(_, rule, claim)| &rule.claims[claim]);
        Self {
            rule,
            claim,
            side: Side::Node,
            reason,
            native_path: None,
        }
    }
}

/// The indices of all claims: of the rule, and of the claim in it.
pub(crate) fn all_claims(config: &Config) -> impl Iterator<Item = (usize, usize)> {
    let claims = |(rule, of): (usize, &Rule)| (0..of.claims.len()).map(move |claim| (rule, claim));
    config.rules.iter().enumerate().flat_map(claims)
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests;
