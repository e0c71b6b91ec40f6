//! Which keys each table of `routes.toml` has: data for the reader, and for the test that holds the schema to it.

/// The keys of one kind of table.
#[derive(Debug)]
pub(super) struct Keys {
    /// As messages name the table.
    pub(super) table: &'static str,
    /// Where `routes.schema.json` describes the table, a JSON pointer; read by its test.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "only the test of the schema looks there")
    )]
    pub(super) schema: &'static str,
    /// What must be there, with an example.
    pub(super) required: &'static [(&'static str, &'static str)],
    /// What may be there.
    pub(super) optional: &'static [&'static str],
    /// What is planned; refused, with that reason.
    pub(super) later: &'static [&'static str],
    /// Other keys belong to someone else, who checks them.
    pub(super) open: bool,
}

impl Keys {
    /// All keys that can be used.
    pub(super) fn usable(&self) -> impl Iterator<Item = &'static str> {
        self.required
            .iter()
            .map(|(key, _)| *key)
            .chain(self.optional.iter().copied())
    }
}

pub(super) const FILE: Keys = Keys {
    table: "the file",
    schema: "",
    required: &[
        (
            "server",
            "[server]\nlisten = \"0.0.0.0:3050\"\ncert = \"certs/server.pem\"\nkey = \"certs/server-key.pem\"",
        ),
        ("node", "[node]\nurl = \"http://127.0.0.1:3051\""),
    ],
    optional: &[
        "force", "admin", "native", "defaults", "limits", "socket", "rule",
    ],
    later: &[],
    open: false,
};

pub(super) const SERVER: Keys = Keys {
    table: "`[server]`",
    schema: "/properties/server",
    required: &[
        ("listen", "listen = \"0.0.0.0:3050\""),
        ("cert", "cert = \"certs/server.pem\""),
        ("key", "key = \"certs/server-key.pem\""),
    ],
    optional: &["drain", "trusted_proxies", "side_header"],
    later: &[],
    open: false,
};

pub(super) const ADMIN: Keys = Keys {
    table: "`[admin]`",
    schema: "/properties/admin",
    required: &[("listen", "listen = \"127.0.0.1:3060\"")],
    optional: &[],
    later: &[],
    open: false,
};

pub(super) const NODE: Keys = Keys {
    table: "`[node]`",
    schema: "/properties/node",
    required: &[("url", "url = \"http://127.0.0.1:3051\"")],
    optional: &[
        "ca",
        "pin",
        "insecure",
        "server_name",
        "command",
        "connect_timeout",
        "response_timeout",
        "max_waiting",
        "health",
    ],
    later: &[],
    open: false,
};

pub(super) const HEALTH: Keys = Keys {
    table: "`health`",
    schema: "/properties/node/properties/health",
    required: &[],
    optional: &["path", "interval", "timeout"],
    later: &[],
    open: false,
};

pub(super) const NATIVE: Keys = Keys {
    table: "`[native]`",
    schema: "/properties/native",
    required: &[("app", "app = \"timecard\"")],
    optional: &[],
    later: &[],
    open: true,
};

pub(super) const DEFAULTS: Keys = Keys {
    table: "`[defaults]`",
    schema: "/properties/defaults",
    required: &[],
    optional: &["timeout", "sticky", "breaker"],
    later: &["ignore", "gate", "guard", "shadow"],
    open: false,
};

pub(super) const LIMITS: Keys = Keys {
    table: "`[limits]`",
    schema: "/properties/limits",
    required: &[],
    optional: &[
        "handshake_timeout",
        "header_timeout",
        "idle_timeout",
        "head",
        "body",
        "min_rate",
        "replay",
        "streams",
        "connections",
        "connections_per_address",
        "node_requests",
        "legs_per_address",
        "unconnected_sessions",
        "memory",
    ],
    later: &[],
    open: false,
};

pub(super) const SOCKET: Keys = Keys {
    table: "a socket",
    schema: "/$defs/socket",
    required: &[
        ("kind", "kind = \"socket.io\""),
        ("path", "path = \"/socket.io/\""),
    ],
    optional: &[
        "mode",
        "node_loss",
        "flips",
        "once",
        "tag",
        "ping_interval",
        "ping_timeout",
        "max_payload",
        "queue",
        "cors_origin",
        "resume_timeout",
        "max_waiting",
    ],
    later: &[],
    open: false,
};

pub(super) const ONCE: Keys = Keys {
    table: "an entry of `once`",
    schema: "/$defs/once",
    required: &[("name", "name = \"hello\"")],
    optional: &["where"],
    later: &[],
    open: false,
};

pub(super) const RULE: Keys = Keys {
    table: "a rule",
    schema: "/$defs/rule",
    required: &[("to", "to = \"node\"")],
    // One of the first two is needed.
    optional: &[
        "http", "events", "where", "safe", "timeout", "sticky", "breaker",
    ],
    later: &["shadow", "shadow_unsafe", "gate", "guard", "ignore"],
    open: false,
};

pub(super) const BREAKER: Keys = Keys {
    table: "`breaker`",
    schema: "/$defs/breakerTable",
    required: &[],
    optional: &["failures", "requests", "window", "probe"],
    later: &[],
    open: false,
};

/// All of them.
pub(super) const ALL: [&Keys; 12] = [
    &FILE, &SERVER, &ADMIN, &NODE, &HEALTH, &NATIVE, &DEFAULTS, &LIMITS, &SOCKET, &ONCE, &RULE,
    &BREAKER,
];

/// Where a key belongs that stands in a table that does not have it. `None`: no table has it.
pub(super) fn belongs_to(key: &str) -> Option<String> {
    if key == "force" {
        // Appended to the file, it lands in the last table.
        let place = "write `force = \"node\"` at the top of the file, above the first `[table]`";
        return Some(place.to_owned());
    }
    let has_key = |keys: &&&Keys| keys.usable().any(|usable| usable == key);
    let mut tables: Vec<_> = ALL.iter().filter(has_key).map(|keys| keys.table).collect();
    if tables.len() > 1 {
        // Its keys have names that others have as well, and who looks for one of those seldom means it.
        tables.retain(|table| *table != HEALTH.table);
    }
    (!tables.is_empty()).then(|| format!("it belongs to {}", tables.join(" or ")))
}

/// The candidate that was probably meant.
pub(super) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    /// No candidate is nearly as long; comparing takes time in proportion to the length.
    const LONGEST: usize = 40;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&name, &candidate.to_ascii_lowercase().replace('-', "_")),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            let longest = candidate.len().max(name.len());
            *distance <= (longest / 3).max(1) && *distance < longest
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("natve", ["native", "node"]), Some("native"));
        assert_eq!(
            nearest("Connect-Timeout", NODE.usable()),
            Some("connect_timeout")
        );
        assert_eq!(nearest("to", ["http", "where"]), None);
        assert_eq!(nearest(&"native".repeat(100), ["native"]), None);
    }

    #[test]
    fn the_schema_has_the_same_keys() {
        let schema: Value =
            serde_json::from_str(crate::config::SCHEMA).expect("the schema is JSON");
        for keys in ALL {
            let table = schema.pointer(keys.schema).expect(keys.schema);
            let properties = table["properties"]
                .as_object()
                .expect("a table has properties");
            let described: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
            assert_eq!(described, keys.usable().collect(), "{}", keys.table);
            let required: BTreeSet<&str> = table["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(
                required,
                keys.required.iter().map(|(key, _)| *key).collect(),
                "{}",
                keys.table
            );
            assert_eq!(table["additionalProperties"], keys.open, "{}", keys.table);
            for (key, property) in properties {
                let described = property["description"].is_string();
                assert!(described, "{key} of {} has no description", keys.table);
            }
        }
        // There is no table in the schema that the reader does not know.
        let known: BTreeSet<&str> = ALL.iter().map(|keys| keys.schema).collect();
        let mut found = BTreeSet::new();
        tables(&schema, "", &mut found);
        assert_eq!(
            found.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            known
        );
    }

    /// The places of all closed or described tables.
    fn tables(schema: &Value, place: &str, found: &mut BTreeSet<String>) {
        if schema.get("properties").is_some() && schema.get("type").is_some() {
            found.insert(place.to_owned());
        }
        match schema {
            Value::Object(entries) => {
                for (key, value) in entries {
                    tables(value, &format!("{place}/{key}"), found);
                }
            }
            Value::Array(items) => {
                for (number, value) in items.iter().enumerate() {
                    tables(value, &format!("{place}/{number}"), found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn no_key_is_both_usable_and_planned() {
        for keys in ALL {
            let mut seen = HashSet::new();
            for key in keys.usable().chain(keys.later.iter().copied()) {
                assert!(seen.insert(key), "{key} twice in {}", keys.table);
            }
        }
    }
}
