//! What a change of `routes.toml` does: for `check OLD NEW`, and for the log at a reload. Where things stand in the
//! file makes no difference.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::{Config, Rule, Socket, To};

/// `Display` gives one line, such as `projects: native 5% → native; hourly: new, node`; `{:#}` gives one line for each
/// change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Diff {
    /// `force = "node"` came (`true`) or went.
    pub force_node: Option<bool>,
    /// New rules.
    pub added: Vec<(String, To)>,
    /// Rules that are gone.
    pub removed: Vec<(String, To)>,
    /// Rules with another side or other keys, in the order of the new file.
    pub changed: Vec<Changed>,
    /// Other keys that changed, such as `node.url` or `socket.readers`.
    pub settings: Vec<String>,
    /// Keys among the changed ones that take effect at the next start only.
    pub restart_pending: Vec<&'static str>,
}

/// A rule that is in both files.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Of the rule.
    pub id: String,
    /// Where `to` changed: from, to.
    pub to: Option<(To, To)>,
    /// Which other keys changed.
    pub keys: Vec<&'static str>,
}

/// Compares two configurations.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let missing = |rules: &[Rule], others: &[Rule]| -> Vec<(String, To)> {
        let missing = rules.iter().filter(|rule| find(others, rule).is_none());
        missing.map(|rule| (rule.id.clone(), rule.to)).collect()
    };
    let changed = new
        .rules
        .iter()
        .filter_map(|rule| changed(find(&old.rules, rule)?, rule));
    Diff {
        force_node: (old.force_node != new.force_node).then_some(new.force_node),
        added: missing(&new.rules, &old.rules),
        removed: missing(&old.rules, &new.rules),
        changed: changed.collect(),
        settings: settings(old, new),
        restart_pending: restart_pending(old, new),
    }
}

impl Diff {
    /// Whether both files mean the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One for each change.
    pub fn lines(&self) -> Vec<String> {
        let force = self.force_node.map(|force| {
            let says = if force {
                "everything goes to Node"
            } else {
                "the rules decide again"
            };
            format!("force: {says}")
        });
        let changed = self.changed.iter().map(Changed::to_string);
        let added = self
            .added
            .iter()
            .map(|(id, to)| format!("{id}: new, {}", to));
        let removed = self
            .removed
            .iter()
            .map(|(id, to)| format!("{id}: removed, was {}", to));
        let settings = self.settings.iter().map(|key| format!("{key}: changed"));
        let pending = self
            .restart_pending
            .iter()
            .map(|key| format!("{key}: restart pending"));
        force
            .into_iter()
            .chain(changed)
            .chain(added)
            .chain(removed)
            .chain(settings)
            .chain(pending)
            .collect()
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no change");
        }
        f.write_str(&self.lines().join(if f.alternate() { "\n" } else { "; " }))
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.id)?;
        if let Some((old, new)) = self.to {
            write!(f, "{} → {}", old, new)?;
        }
        match (self.to, self.keys.is_empty()) {
            (_, true) => Ok(()),
            (Some(_), false) => write!(f, ", {} changed", self.keys.join(", ")),
            (None, false) => write!(f, "{} changed", self.keys.join(", ")),
        }
    }
}

fn find<'r>(rules: &'r [Rule], rule: &Rule) -> Option<&'r Rule> {
    rules.iter().find(|other| other.id == rule.id)
}

fn changed(old: &Rule, new: &Rule) -> Option<Changed> {
    let claims = |rule: &Rule| -> Vec<_> {
        rule.claims
            .iter()
            .map(|claim| (claim.method.clone(), claim.pattern.clone()))
            .collect()
    };
    let conditions = |rule: &Rule| -> Vec<_> {
        rule.conditions
            .iter()
            .map(|entry| (entry.selector.clone(), entry.values.clone()))
            .collect()
    };
    let keys = [
        ("http", claims(old) != claims(new)),
        ("where", conditions(old) != conditions(new)),
        ("safe", old.safe != new.safe),
        ("timeout", old.timeout != new.timeout),
        ("sticky", old.sticky != new.sticky),
        ("breaker", old.breaker != new.breaker),
    ];
    let keys: Vec<_> = keys
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect();
    let to = (old.to != new.to).then_some((old.to, new.to));
    (to.is_some() || !keys.is_empty()).then(|| Changed {
        id: new.id.clone(),
        to,
        keys,
    })
}

fn settings(old: &Config, new: &Config) -> Vec<String> {
    let (server, node, limits) = (&old.server, &old.node, &old.limits);
    let keys = [
        ("server.cert", server.cert != new.server.cert),
        ("server.key", server.key != new.server.key),
        ("server.drain", server.drain != new.server.drain),
        (
            "server.trusted_proxies",
            server.trusted_proxies != new.server.trusted_proxies,
        ),
        (
            "server.side_header",
            server.side_header != new.server.side_header,
        ),
        ("node.url", node.url != new.node.url),
        // `ca`, `pin` or `insecure`.
        ("node's certificate check", node.trust != new.node.trust),
        ("node.server_name", node.server_name != new.node.server_name),
        (
            "node.connect_timeout",
            node.connect_timeout != new.node.connect_timeout,
        ),
        (
            "node.response_timeout",
            node.response_timeout != new.node.response_timeout,
        ),
        ("node.max_waiting", node.max_waiting != new.node.max_waiting),
        ("limits", *limits != new.limits),
    ];
    let keys = keys
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| key.to_owned());
    let same = |one: &&Socket, other: &Socket| {
        (&one.id, one.kind, &one.path) == (&other.id, other.kind, &other.path)
    };
    let changed = |sockets: &[Socket], others: &[Socket]| -> Vec<String> {
        let changed = sockets
            .iter()
            .filter(|one| !others.iter().any(|other| same(one, other)));
        changed
            .map(|socket| format!("socket.{}", socket.id))
            .collect()
    };
    let mut sockets = changed(&old.sockets, &new.sockets);
    sockets.extend(changed(&new.sockets, &old.sockets));
    sockets.sort();
    sockets.dedup();
    keys.chain(sockets).collect()
}

fn restart_pending(old: &Config, new: &Config) -> Vec<&'static str> {
    let app = |config: &Config| config.native.as_ref().map(|native| native.app.clone());
    let native = |config: &Config| -> Option<BTreeMap<String, toml::Value>> {
        let settings = config.native.as_ref()?.settings.iter();
        Some(
            settings
                .map(|(key, value, _)| (key.clone(), value.clone()))
                .collect(),
        )
    };
    let keys = [
        ("server.listen", old.server.listen != new.server.listen),
        ("admin.listen", old.admin != new.admin),
        ("native.app", app(old) != app(new)),
        ("native", app(old) == app(new) && native(old) != native(new)),
        ("node.command", old.node.command != new.node.command),
    ];
    keys.into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Native, Share, SocketKind};
    use crate::routing::fixture::{NATIVE, config, header, rule, socket};

    #[test]
    fn a_flip_is_one_line() {
        let old = config(vec![rule("projects", &["GET /p"], To::Native(Share(500)))]);
        let new = config(vec![rule("projects", &["GET /p"], NATIVE)]);
        assert_eq!(diff(&old, &new).to_string(), "projects: native 5% → native");
    }

    #[test]
    fn what_means_the_same_is_no_change() {
        let [a, b] = ["a", "b"].map(|id| rule(id, &["GET /p"], To::Node));
        let diff = diff(&config(vec![a.clone(), b.clone()]), &config(vec![b, a]));
        assert!(diff.is_empty());
        assert_eq!(diff.to_string(), "no change");
    }

    #[test]
    fn every_change_has_its_line() {
        let old = config(vec![
            rule("kept", &["GET /a"], To::Native(Share(25))),
            rule("gone", &["GET /b"], To::NativeOnly),
        ]);
        let mut kept = rule("kept", &["GET /a", "GET /c"], To::Node).when(header("x-a"), &["1"]);
        kept.timeout = Duration::from_secs(9);
        let mut new = config(vec![kept, rule("more", &["GET /d"], NATIVE)]);
        new.force_node = true;
        new.node.url.port += 1;
        new.sockets = vec![socket("game", SocketKind::WebSocket, "/ws")];
        new.server.listen.set_port(1);
        new.admin = Some(new.server.listen);
        new.node.command = vec!["node".to_owned()];
        new.native = Some(Native {
            app: "x".to_owned(),
            app_span: 0..0,
            settings: Vec::new(),
        });
        let expected = "\
            force: everything goes to Node\n\
            kept: native 0.25% → node, http, where, timeout changed\n\
            more: new, native\n\
            gone: removed, was native only\n\
            node.url: changed\n\
            socket.game: changed\n\
            server.listen: restart pending\n\
            admin.listen: restart pending\n\
            native.app: restart pending\n\
            node.command: restart pending";
        assert_eq!(format!("{:#}", diff(&old, &new)), expected);
    }

    #[test]
    fn settings_of_the_application_wait_for_a_restart() {
        let with = |value: i64| {
            let mut config = config(Vec::new());
            let settings = vec![("size".to_owned(), toml::Value::from(value), 0..0)];
            config.native = Some(Native {
                app: "x".to_owned(),
                app_span: 0..0,
                settings,
            });
            config
        };
        assert_eq!(
            diff(&with(1), &with(2)).to_string(),
            "native: restart pending"
        );
        assert!(diff(&with(1), &with(1)).is_empty());
    }
}
