//! The saved games, one row a player, in the file that the original makes and goes on using.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{ConnectOptions, SqlitePool};

use super::message::GameState;
use strangler::SettingsError;

/// SQLite lets one connection write at a time; more of them only read.
const CONNECTIONS: u32 = 4;

/// Longer than the busy timeout, so that a busy file is named as the cause.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

const LOAD: &str =
    "SELECT resources, celestial_bodies, research, statistics FROM game_states WHERE user_id = ?";

const SAVE: &str = "INSERT INTO game_states (user_id, resources, celestial_bodies, research, statistics) \
     VALUES (?, ?, ?, ?, ?) \
     ON CONFLICT (user_id) DO UPDATE SET resources = excluded.resources, \
         celestial_bodies = excluded.celestial_bodies, research = excluded.research, statistics = excluded.statistics";

/// One statement, so that bodies which two sides create at once are both kept. An empty array is always `[]`.
const APPEND: &str = "INSERT INTO game_states (user_id, resources, celestial_bodies, research, statistics) \
     VALUES (?, '{}', '[' || ? || ']', '{}', '{}') \
     ON CONFLICT (user_id) DO UPDATE SET celestial_bodies = \
         CASE celestial_bodies WHEN '[]' THEN excluded.celestial_bodies \
         ELSE substr(celestial_bodies, 1, length(celestial_bodies) - 1) || ',' || \
             substr(excluded.celestial_bodies, 2) END \
     RETURNING resources, celestial_bodies, research, statistics";

#[derive(Debug, Clone)]
pub(super) struct Database(SqlitePool);

/// The database is away, or does not know the table.
#[derive(Debug, thiserror::Error)]
#[error("`{database}` gave no answer")]
pub(super) struct Failure {
    database: String,
    source: sqlx::Error,
}

type Row = (String, String, String, String);

impl Database {
    /// A pool that connects when it is first used. A relative path starts from `folder`; a missing file is an error,
    /// since Node makes it.
    pub(super) fn new(url: &str, folder: &Path) -> Result<Self, SettingsError> {
        let path = url
            .strip_prefix("sqlite:")
            .filter(|path| !path.is_empty())
            .ok_or_else(|| SettingsError::new("database", "it must be `sqlite:PATH`"))?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join(path))
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        // Connections are kept for good: sqlx ages them by a task that it spawns when the pool is made, and there need
        // not be a runtime yet.
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        Ok(Self(pool))
    }

    pub(super) async fn load(&self, user: &str) -> Result<GameState, Failure> {
        let row: Option<Row> = sqlx::query_as(LOAD)
            .bind(user)
            .fetch_optional(&self.0)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(row.map(GameState::from).unwrap_or_default())
    }

    pub(super) async fn save(&self, user: &str, state: &GameState) -> Result<(), Failure> {
        sqlx::query(SAVE)
            .bind(user)
            .bind(&state.resources)
            .bind(&state.celestial_bodies)
            .bind(&state.research)
            .bind(&state.statistics)
            .execute(&self.0)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// Puts a body at the end of the celestial bodies; the state with it.
    pub(super) async fn append(&self, user: &str, body: &str) -> Result<GameState, Failure> {
        let row: Row = sqlx::query_as(APPEND)
            .bind(user)
            .bind(body)
            .fetch_one(&self.0)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(row.into())
    }

    fn failed(&self, source: sqlx::Error) -> Failure {
        Failure {
            database: self.to_string(),
            source,
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.0.connect_options();
        write!(formatter, "sqlite:{}", options.get_filename().display())
    }
}

impl From<Row> for GameState {
    fn from((resources, celestial_bodies, research, statistics): Row) -> Self {
        Self {
            resources,
            celestial_bodies,
            research,
            statistics,
        }
    }
}
