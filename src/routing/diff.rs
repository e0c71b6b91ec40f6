//! What a change of `routes.toml` does: for `check OLD NEW`, and for the log at a reload. Where things stand in the
//! file makes no difference.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::{Condition, Config, Rule, Scalar, Selector, Socket, SocketMode, To};

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
    /// Sockets that came, went or have other keys, in the order of the new file.
    pub sockets: Vec<ChangedSocket>,
    /// Other keys that changed, such as `node.url`.
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

/// A socket that is not the same in both files.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedSocket {
    /// Of the socket.
    pub id: String,
    /// Its `mode` in the old and in the new file, `None` where it is not there. Decides new connections only.
    pub mode: (Option<SocketMode>, Option<SocketMode>),
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
        sockets: sockets(&old.sockets, &new.sockets),
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
        let sockets = self.sockets.iter().map(ChangedSocket::to_string);
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
            .chain(sockets)
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

impl fmt::Display for ChangedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket.{}: ", self.id)?;
        match self.mode {
            (None, Some(mode)) => return write!(f, "new, {mode}"),
            (Some(mode), None) => return write!(f, "removed, was {mode}"),
            (Some(old), Some(new)) if old != new => {
                write!(f, "{old} → {new} for new connections")?;
                if !self.keys.is_empty() {
                    f.write_str(", ")?;
                }
            }
            _ => {}
        }
        if self.keys.is_empty() {
            return Ok(());
        }
        write!(f, "{} changed", self.keys.join(", "))
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
    let events = |rule: &Rule| -> Vec<_> {
        let claims = rule.events.iter();
        claims
            .map(|claim| (claim.socket.clone(), claim.to_string()))
            .collect()
    };
    let keys = [
        ("http", claims(old) != claims(new)),
        ("events", events(old) != events(new)),
        (
            "where",
            conditions(&old.conditions) != conditions(&new.conditions),
        ),
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
        ("node.health", node.health != new.node.health),
        ("limits", *limits != new.limits),
    ];
    let keys = keys
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| key.to_owned());
    keys.collect()
}

/// Without the places.
fn conditions(conditions: &[Condition]) -> Vec<(&Selector, &[Scalar])> {
    let entries = conditions.iter();
    entries
        .map(|entry| (&entry.selector, entry.values.as_slice()))
        .collect()
}

fn sockets(old: &[Socket], new: &[Socket]) -> Vec<ChangedSocket> {
    let find = |sockets: &[Socket], id: &str| sockets.iter().position(|socket| socket.id == id);
    let changed = new.iter().filter_map(|socket| match find(old, &socket.id) {
        Some(at) => changed_socket(&old[at], socket),
        None => Some(ChangedSocket {
            id: socket.id.clone(),
            mode: (None, Some(socket.mode)),
            keys: Vec::new(),
        }),
    });
    let gone = old.iter().filter(|socket| find(new, &socket.id).is_none());
    let gone = gone.map(|socket| ChangedSocket {
        id: socket.id.clone(),
        mode: (Some(socket.mode), None),
        keys: Vec::new(),
    });
    changed.chain(gone).collect()
}

fn changed_socket(old: &Socket, new: &Socket) -> Option<ChangedSocket> {
    let once = |socket: &Socket| -> Vec<String> {
        let entries = socket.once.iter();
        entries
            .map(|once| format!("{} {:?}", once.event, conditions(&once.conditions)))
            .collect()
    };
    let keys = [
        ("kind", old.kind != new.kind),
        ("path", old.path != new.path),
        ("node_loss", old.node_loss != new.node_loss),
        ("flips", old.flips != new.flips),
        ("once", once(old) != once(new)),
        ("tag", old.tag != new.tag),
        ("ping_interval", old.ping_interval != new.ping_interval),
        ("ping_timeout", old.ping_timeout != new.ping_timeout),
        ("max_payload", old.max_payload != new.max_payload),
        ("queue", old.queue != new.queue),
        ("cors_origin", old.cors_origin != new.cors_origin),
        ("resume_timeout", old.resume_timeout != new.resume_timeout),
        ("max_waiting", old.max_waiting != new.max_waiting),
    ];
    let keys: Vec<_> = keys
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect();
    (old.mode != new.mode || !keys.is_empty()).then(|| ChangedSocket {
        id: new.id.clone(),
        mode: (Some(old.mode), Some(new.mode)),
        keys,
    })
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
    use crate::config::{EventName, Native, NodeLoss, Once, Share, SocketKind};
    use crate::routing::fixture::{
        NATIVE, bridged, config, event_rule, header, pointer, rule, socket,
    };

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
            socket.game: new, tunnel\n\
            node.url: changed\n\
            server.listen: restart pending\n\
            admin.listen: restart pending\n\
            native.app: restart pending\n\
            node.command: restart pending";
        assert_eq!(format!("{:#}", diff(&old, &new)), expected);
    }

    #[test]
    fn what_changes_for_messages_has_its_line() {
        let with = |rules: Vec<Rule>, sockets: Vec<Socket>| Config {
            sockets,
            ..config(rules)
        };
        let io = |id: &str| socket(id, SocketKind::SocketIo, "/socket.io/");
        let cards = |to: To| event_rule("cards", &["readers message"], to);
        let old = with(
            vec![cards(To::Native(Share(1000))).when(pointer("/status"), &["delete_ic"])],
            vec![io("readers"), socket("game", SocketKind::WebSocket, "/ws")],
        );
        let mut readers = bridged("readers", SocketKind::SocketIo, "/socket.io/");
        readers.node_loss = NodeLoss::Resume;
        readers.once = vec![Once {
            event: EventName::parse("hello", SocketKind::SocketIo).unwrap(),
            conditions: Vec::new(),
            span: 0..5,
        }];
        let more = event_rule("cards", &["readers message", "readers chat"], NATIVE);
        let new = with(
            vec![more.when(pointer("/status"), &["delete_ic"])],
            vec![readers.clone()],
        );
        let expected = "\
            cards: native 10% → native, events changed\n\
            socket.readers: tunnel → bridge for new connections, node_loss, once changed\n\
            socket.game: removed, was tunnel";
        assert_eq!(format!("{:#}", diff(&old, &new)), expected);
        // Where things stand makes no difference.
        let mut moved = new.clone();
        moved.sockets[0].once[0].span = 7..9;
        moved.sockets[0].path_span = 3..4;
        moved.rules[0].events[0].span = 3..4;
        assert!(diff(&new, &moved).is_empty());
        moved.sockets[0].queue += 1;
        assert_eq!(
            diff(&new, &moved).to_string(),
            "socket.readers: queue changed"
        );
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
