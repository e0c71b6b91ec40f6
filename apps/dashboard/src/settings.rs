//! The keys of `[native]` after `app = "dashboard"`.

use std::path::{Component, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::Compat;
use super::zone::Zone;
use strangler::{Settings as Native, SettingsError};

/// What the application was told, with the original's defaults.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Where `.claude` and `Library` are.
    pub(super) home: PathBuf,
    pub(super) compat: Compat,
    pub(super) environment: Environment,
    /// `TZ`
    pub(super) zone: Zone,
    /// Who may ask from a page of another origin.
    pub(super) origins: Vec<String>,
    pub(super) rate_limit: usize,
    pub(super) rate_window: Duration,
    pub(super) rate_by: RateBy,
    /// Whether paths that it does not serve are answered, too: with 404, as the original would.
    pub(super) alone: bool,
}

/// `NODE_ENV`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Environment {
    Unset,
    Production,
    /// Errors show their text.
    Development,
}

/// Who shares a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RateBy {
    /// Requests of one client's address.
    Address,
    /// All requests, as in the original behind a proxy.
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    home: Option<String>,
    compat: Option<String>,
    environment: Option<String>,
    time_zone: Option<String>,
    origins: Option<Vec<String>>,
    rate_limit: Option<usize>,
    rate_window: Option<String>,
    rate_by: Option<String>,
    #[serde(default)]
    alone: bool,
}

impl Settings {
    pub(super) fn read(native: &Native) -> Result<Self, SettingsError> {
        let keys: Keys = native.parse()?;
        let compat = match keys.compat.as_deref() {
            None => Compat::Intended,
            Some("exact") => Compat::Exact,
            Some(_) => {
                return Err(SettingsError::new(
                    "compat",
                    "it must be `exact`, or left out",
                ));
            }
        };
        let environment = match keys.environment.as_deref() {
            None => Environment::Unset,
            Some("production") => Environment::Production,
            Some("development") => Environment::Development,
            Some(_) => {
                return Err(SettingsError::new(
                    "environment",
                    "it must be `production` or `development`, or left out",
                ));
            }
        };
        let rate_by = match (keys.rate_by.as_deref(), compat) {
            (Some("address"), _) | (None, Compat::Intended) => RateBy::Address,
            (Some("all"), _) | (None, Compat::Exact) => RateBy::All,
            (Some(_), _) => {
                return Err(SettingsError::new(
                    "rate_by",
                    "it must be `address` or `all`",
                ));
            }
        };
        let rate_limit = keys.rate_limit.unwrap_or(1000);
        if rate_limit == 0 {
            return Err(SettingsError::new("rate_limit", "it must be 1 or more"));
        }
        Ok(Self {
            home: home(keys.home, native)?,
            compat,
            environment,
            zone: zone(keys.time_zone.as_deref())?,
            origins: keys.origins.unwrap_or_else(|| origins(environment)),
            rate_limit,
            rate_window: duration(keys.rate_window.as_deref().unwrap_or("15m"))?,
            rate_by,
            alone: keys.alone,
        })
    }
}

fn home(key: Option<String>, native: &Native) -> Result<PathBuf, SettingsError> {
    let home = match key {
        Some(home) => PathBuf::from(home),
        None => std::env::var_os("HOME").unwrap_or_default().into(),
    };
    if home.as_os_str().is_empty() {
        return Err(SettingsError::new(
            "home",
            "the folder that holds `.claude` is missing, as in `home = \"/home/me\"`, and so is $HOME",
        ));
    }
    let home = std::path::absolute(native.folder().join(home))
        .map_err(|error| SettingsError::new("home", error.to_string()))?;
    // As `path.join` does, so that answers show the paths that Node shows.
    let mut plain = PathBuf::new();
    for component in home.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            _ => plain.push(component),
        }
    }
    Ok(plain)
}

fn zone(key: Option<&str>) -> Result<Zone, SettingsError> {
    let Some(name) = key else {
        return Ok(Zone::from_environment());
    };
    Zone::named(name).ok_or_else(|| {
        SettingsError::new(
            "time_zone",
            "it must be a name of the IANA database, as in `Asia/Tokyo`",
        )
    })
}

/// Those of the original.
fn origins(environment: Environment) -> Vec<String> {
    let development = "http://localhost:30000".to_owned();
    let production = "http://localhost:30001".to_owned();
    match environment {
        Environment::Production => vec![production],
        Environment::Development | Environment::Unset => vec![development, production],
    }
}

fn duration(text: &str) -> Result<Duration, SettingsError> {
    let units: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    units
        .into_iter()
        .find_map(|(unit, milliseconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number
                .checked_mul(milliseconds)
                .filter(|&product| product > 0)
        })
        .map(Duration::from_millis)
        .ok_or_else(|| {
            SettingsError::new(
                "rate_window",
                "it must be a time above zero in `ms`, `s`, `m` or `h`, as in `15m`",
            )
        })
}
