//! The REST answers and the events of the attendance time card, over the database that its Node.js original goes on
//! using. Bodies, headers and packets equal the original's byte for byte; what cannot be made equal is declined.

mod database;
mod events;
mod mariadb;
mod sqlite;
mod value;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use self::database::{Database, Driver, DriverId, Failure, Punch};
use strangler::express::{self, Json};
use strangler::{App, Decline, NativeApp, Settings, SettingsError, get};

/// The application, for `strangler::main`.
pub const APP: App = App::new("timecard", app);

/// The keys of `[native]` after `app`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default = "default_database")]
    database: String,
}

/// The same as the original's.
fn default_database() -> String {
    "sqlite:data/timecard.db".to_owned()
}

/// The application. It connects at its first request.
fn app(settings: &Settings) -> Result<NativeApp, SettingsError> {
    let keys: Keys = settings.parse()?;
    let database = Database::new(&keys.database, settings.folder())?;
    let app = NativeApp::new()
        .route("/api/ic_log", get(ic_log))
        .route("/api/finger_log", get(finger_log))
        .route("/api/drivers", get(drivers))
        .route("/api/driver/{id}", get(driver))
        .layer(from_fn(express::send));
    Ok(events::serve(app, &database).with_state(database))
}

async fn ic_log(State(database): State<Database>) -> Result<Json<Vec<Punch>>, Failure> {
    database.ic_log().await.map(Json)
}

async fn finger_log(State(database): State<Database>) -> Result<Json<Vec<Punch>>, Failure> {
    database.finger_log().await.map(Json)
}

async fn drivers(State(database): State<Database>) -> Result<Json<Vec<Driver>>, Failure> {
    database.drivers().await.map(Json)
}

/// Node binds whatever text the path holds and lets SQL make a number of it, which SQLite and MariaDB do differently
/// (`1.0`, `0x1`, `1 `, `1abc`). Only ids about which there is no doubt are answered here.
async fn driver(
    State(database): State<Database>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Some(id) = id.ok().and_then(|Path(text)| DriverId::parse(text)) else {
        return Ok(Decline.into_response());
    };
    Ok(match database.driver(&id).await? {
        Some(driver) => Json(driver).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(Missing {
                error: "driver not found",
            }),
        )
            .into_response(),
    })
}

#[derive(Serialize)]
struct Missing {
    error: &'static str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Query { database, source } => {
                tracing::error!(%database, error = %source, "the timecard database gave no answer");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            Self::Unprintable(value) => {
                tracing::debug!(%value, "left to Node");
                Decline.into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn build(text: &str) -> Result<NativeApp, SettingsError> {
        app(&Settings::new(
            text.parse().expect("a TOML table"),
            PathBuf::from("/srv/timecard"),
        ))
    }

    fn refusal(text: &str) -> SettingsError {
        build(text)
            .err()
            .unwrap_or_else(|| panic!("`{text}` is accepted"))
    }

    // Deliberately without a runtime: `strangler check` builds the application, too.
    #[test]
    fn builds_without_a_database() {
        for text in [
            "",
            "database = 'sqlite:other.db'",
            "database = 'mysql://user:secret@127.0.0.1:1/db'",
        ] {
            let app = build(text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
            let paths: Vec<_> = app
                .endpoints()
                .iter()
                .map(|endpoint| endpoint.path.as_str())
                .collect();
            assert_eq!(
                paths,
                [
                    "/api/ic_log",
                    "/api/finger_log",
                    "/api/drivers",
                    "/api/driver/{id}"
                ]
            );
            let names: Vec<_> = app.events().iter().map(|event| event.name).collect();
            assert_eq!(names, ["message"]);
        }
    }

    #[test]
    fn refusals_name_the_key_and_the_remedy_but_no_password() {
        let cases = [
            (
                "database = 'postgres://user:secret@host/db'",
                "`sqlite:PATH` or `mysql://USER:PASSWORD@HOST:PORT/NAME`",
            ),
            (
                "database = ''",
                "`sqlite:PATH` or `mysql://USER:PASSWORD@HOST:PORT/NAME`",
            ),
            (
                "database = 'sqlite:'",
                "the path after `sqlite:` is missing",
            ),
            (
                "database = 'mysql://user:secret@host'",
                "the name of the database is missing",
            ),
            (
                "database = 'mysql://user:secret@host:port/db'",
                "it is no URL",
            ),
            (
                "database = 'mysql://user:secret@host/db?ssl-mode=required'",
                "without TLS",
            ),
        ];
        for (text, message) in cases {
            let error = refusal(text);
            assert_eq!(error.key.as_deref(), Some("database"), "{text}");
            assert!(error.message.contains(message), "{text}: {error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
        assert!(refusal("databse = 'sqlite:x'").message.contains("databse"));
    }
}
