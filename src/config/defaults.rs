//! `[defaults]`, and the keys that a rule shares with it.

use std::time::Duration;

use crate::config::reader::Table;
use crate::config::selector::{self, Selectors};
use crate::config::server::TIMEOUT;
use crate::config::value::Value;
use crate::config::{Breaker, Selector, Share, keys};

/// What a rule takes where it says nothing.
pub(super) struct Defaults {
    pub(super) timeout: Duration,
    pub(super) sticky: Selector,
    pub(super) breaker: Option<Breaker>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(2),
            sticky: Selector::Address,
            breaker: Some(Breaker::default()),
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: Share(5_000),
            requests: 20,
            window: Duration::from_secs(10),
            probe: Duration::from_secs(5),
        }
    }
}

/// `[defaults]`
pub(super) fn defaults(value: &Value<'_>, table: Table<'_>) -> Defaults {
    let table = table.without_env();
    table.check_keys(&keys::DEFAULTS, "`[defaults]`", Some(&value.header_span()));
    shared(table, &Defaults::default(), Selectors::Http)
}

/// `timeout`, `sticky` and `breaker` of a table.
pub(super) fn shared(table: Table<'_>, otherwise: &Defaults, selectors: Selectors) -> Defaults {
    let timeout = table
        .get("timeout")
        .and_then(|value| value.duration(TIMEOUT.0..=TIMEOUT.1));
    let sticky = table
        .get("sticky")
        .and_then(|value| sticky(&value, selectors));
    let breaker = table
        .get("breaker")
        .and_then(|value| breaker(&value, otherwise.breaker.as_ref()));
    Defaults {
        timeout: timeout.unwrap_or(otherwise.timeout),
        sticky: sticky.unwrap_or_else(|| otherwise.sticky.clone()),
        breaker: breaker.unwrap_or_else(|| otherwise.breaker.clone()),
    }
}

fn sticky(value: &Value<'_>, selectors: Selectors) -> Option<Selector> {
    selector::parse(&value.text_or("write `\"address\"`")?, selectors)
        .map_err(|problem| value.report(problem))
        .ok()
}

/// `false`, or a table whose missing keys are taken from `[defaults]`.
fn breaker(value: &Value<'_>, otherwise: Option<&Breaker>) -> Option<Option<Breaker>> {
    match value.is_boolean() {
        Some(false) => return Some(None),
        Some(true) => {
            return value.wrong_type(
                "`false` or a table",
                "write `breaker = {}` for the default one",
            );
        }
        None => {}
    }
    let table = value.table(
        "breaker = { failures = \"50%\", requests = 20, window = \"10s\", probe = \"5s\" }",
    )?;
    table.check_keys(&keys::BREAKER, "`breaker`", Some(&value.header_span()));
    let default = otherwise.cloned().unwrap_or_default();
    let requests = table
        .get("requests")
        .and_then(|value| value.integer(1..=1_000_000));
    let duration = |key, default| {
        table
            .get(key)
            .and_then(|value| value.duration(TIMEOUT.0..=TIMEOUT.1))
            .unwrap_or(default)
    };
    Some(Some(Breaker {
        failures: table
            .get("failures")
            .and_then(|value| value.share(1..=10_000))
            .unwrap_or(default.failures),
        requests: requests
            .and_then(|requests| u32::try_from(requests).ok())
            .unwrap_or(default.requests),
        window: duration("window", default.window),
        probe: duration("probe", default.probe),
    }))
}
