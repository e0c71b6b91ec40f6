//! A game's WebSocket backend: JSON messages with a `type`, over the database that its Node.js original goes on using.
//! Handshake and texts equal the original's byte for byte; what is no WebSocket handshake is declined.

mod database;
mod devices;
mod json_text;
mod message;
mod session;
mod token;

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;

use self::database::Database;
use self::devices::Devices;
use self::session::KeepAlive;
use self::token::Tokens;
use strangler::{App, Decline, NativeApp, Settings, SettingsError, get};

/// The application, for `strangler::main`.
pub const APP: App = App::new("garden", app);

/// The keys of `[native]` after `app`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default = "default_database")]
    database: String,
    jwt_secret: Option<String>,
    #[serde(default = "default_auth")]
    auth: String,
    #[serde(default = "default_ping_interval")]
    ping_interval: String,
    #[serde(default = "default_client_timeout")]
    client_timeout: String,
}

// The defaults are the original's.

fn default_database() -> String {
    "sqlite:data/garden.db".to_owned()
}

fn default_auth() -> String {
    "intended".to_owned()
}

fn default_ping_interval() -> String {
    "30s".to_owned()
}

fn default_client_timeout() -> String {
    "60s".to_owned()
}

/// What all connections share.
#[derive(Clone)]
struct Garden {
    database: Database,
    auth: Auth,
    devices: Devices,
    keep_alive: KeepAlive,
}

/// Who may connect.
#[derive(Clone)]
enum Auth {
    /// Whoever has a valid token, as its user.
    Intended(Tokens),
    /// Everybody, as nobody: what the original's route table wires up.
    Observed,
}

/// The application. It opens its database at the first message that needs it.
fn app(settings: &Settings) -> Result<NativeApp, SettingsError> {
    let keys: Keys = settings.parse()?;
    let garden = Garden {
        database: Database::new(&keys.database, settings.folder())?,
        auth: auth(&keys)?,
        devices: Devices::default(),
        keep_alive: KeepAlive {
            ping_interval: duration("ping_interval", &keys.ping_interval)?,
            client_timeout: duration("client_timeout", &keys.client_timeout)?,
        },
    };
    Ok(NativeApp::new()
        .route("/api/ws", get(connect))
        .with_state(garden))
}

fn auth(keys: &Keys) -> Result<Auth, SettingsError> {
    match keys.auth.as_str() {
        "intended" => match keys.jwt_secret.as_deref() {
            None | Some("") => Err(SettingsError::new(
                "jwt_secret",
                "the secret that signs the tokens of the players is missing, as in `jwt_secret = \"env:JWT_SECRET\"`",
            )),
            Some(secret) => Ok(Auth::Intended(Tokens::new(secret))),
        },
        "observed" => Ok(Auth::Observed),
        _ => Err(SettingsError::new(
            "auth",
            "it must be `intended` or `observed`",
        )),
    }
}

fn duration(key: &str, text: &str) -> Result<Duration, SettingsError> {
    let duration = if let Some(number) = text.strip_suffix("ms") {
        number.parse().ok().map(Duration::from_millis)
    } else {
        text.strip_suffix('s')
            .and_then(|number| number.parse().ok())
            .map(Duration::from_secs)
    };
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| {
            SettingsError::new(
                key,
                "it must be a time above zero in `s` or `ms`, as in `30s`",
            )
        })
}

/// The handshake. Who is refused gets an ordinary answer in place of an upgrade.
///
/// Answers never depend on what this process remembers, only on the database. Its memory holds the open connections of
/// each user, and a change is pushed to those alone: a device whose connection the proxy holds to Node only, does not
/// learn of what another device changed here, and the other way round. While one rule of a socket is native, each of its
/// clients has a leg to both sides.
async fn connect(
    State(garden): State<Garden>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return Decline.into_response();
    };
    let user = match &garden.auth {
        Auth::Observed => None,
        Auth::Intended(tokens) => {
            let Some(token) = query_token(&uri).or_else(|| bearer_token(&headers)) else {
                return unauthorized(r#"{"error":"認証が必要です"}"#);
            };
            let Some(user) = tokens.user(token) else {
                return unauthorized(r#"{"error":"無効なトークンです"}"#);
            };
            Some(user)
        }
    };
    session::start(upgrade, garden, user)
}

/// The first pair counts, as it came: nothing is percent-decoded.
fn query_token(uri: &Uri) -> Option<&str> {
    uri.query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn unauthorized(body: &'static str) -> Response {
    (
        StatusCode::UNAUTHORIZED,
        [(CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn build(text: &str) -> Result<NativeApp, SettingsError> {
        app(&Settings::new(
            text.parse().expect("a TOML table"),
            PathBuf::from("/srv/garden"),
        ))
    }

    // Deliberately without a runtime: `strangler check` builds the application, too.
    #[test]
    fn builds_without_a_database() {
        for text in [
            "jwt_secret = 'secret'",
            "auth = 'observed'",
            "auth = 'intended'\njwt_secret = 'secret'\ndatabase = 'sqlite:other.db'",
            "auth = 'observed'\nping_interval = '100ms'\nclient_timeout = '2s'",
        ] {
            let app = build(text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
            assert_eq!(app.endpoints().len(), 1);
            assert_eq!(app.endpoints()[0].path, "/api/ws");
            assert!(!app.has_state_in_memory());
        }
    }

    #[test]
    fn refusals_name_the_key_and_the_remedy() {
        let cases = [
            ("", "jwt_secret", "env:JWT_SECRET"),
            ("jwt_secret = ''", "jwt_secret", "env:JWT_SECRET"),
            (
                "auth = 'everybody'",
                "auth",
                "must be `intended` or `observed`",
            ),
            (
                "jwt_secret = 'x'\ndatabase = 'mysql://a@b/c'",
                "database",
                "`sqlite:PATH`",
            ),
            (
                "jwt_secret = 'x'\ndatabase = 'sqlite:'",
                "database",
                "`sqlite:PATH`",
            ),
            (
                "auth = 'observed'\nping_interval = '30'",
                "ping_interval",
                "`30s`",
            ),
            (
                "auth = 'observed'\nping_interval = '-1s'",
                "ping_interval",
                "`30s`",
            ),
            (
                "auth = 'observed'\nclient_timeout = '0s'",
                "client_timeout",
                "`30s`",
            ),
        ];
        for (text, key, message) in cases {
            let error = build(text)
                .err()
                .unwrap_or_else(|| panic!("`{text}` is accepted"));
            assert_eq!(error.key.as_deref(), Some(key), "{text}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
        let error = build("jwtsecret = 'x'").expect_err("an unknown key");
        assert!(error.message.contains("jwtsecret"), "{error}");
    }

    #[test]
    fn tokens_come_from_the_first_pair_as_they_are() {
        let token =
            |target: &'static str| query_token(&Uri::from_static(target)).map(str::to_owned);
        assert_eq!(
            token("/api/ws?a=b&token=x%2Ey&token=z").as_deref(),
            Some("x%2Ey")
        );
        assert_eq!(token("/api/ws?token=").as_deref(), Some(""));
        assert_eq!(token("/api/ws?token=a=b").as_deref(), Some("a=b"));
        assert_eq!(token("/api/ws?token&Token=x&atoken=y"), None);
        assert_eq!(token("/api/ws"), None);
    }
}
