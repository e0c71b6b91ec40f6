//! The queries of the time card, over SQLite or MariaDB as the scheme of the URL says.
//! What differs between the two drivers stands in `sqlite.rs` and `mariadb.rs`.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use sqlx::pool::PoolOptions;
use sqlx::{MySqlPool, SqlitePool};

use super::value::{Columns, Unprintable, Value};
use super::{mariadb, sqlite};
use strangler::SettingsError;

/// Well below the 2 s that a rule waits: a dead database is then a 500, which says more than a timeout.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

const CONNECTIONS: u32 = 8;

/// The one database of both sides.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite(SqlitePool),
    Mariadb(MySqlPool),
}

/// What one question is in either dialect. Columns are named and ordered as the keys of the answer.
struct Query {
    sqlite: &'static str,
    mariadb: &'static str,
}

// `ic_log.id`, since a bare `id` in ORDER BY would be the `iid` of the answer.
const IC_LOG: Query = Query {
    sqlite: "SELECT iid AS id, date AS datetime, machine_ip FROM ic_log \
             WHERE date >= datetime('now','localtime','-2 days') ORDER BY date ASC, ic_log.id ASC",
    mariadb: "SELECT iid AS id, CAST(date AS CHAR) AS datetime, machine_ip FROM ic_log \
              WHERE date >= NOW() - INTERVAL 2 DAY ORDER BY date ASC, ic_log.id ASC",
};

const FINGER_LOG: Query = Query {
    sqlite: "SELECT id, date AS datetime, machine_ip FROM finger_log \
             WHERE date >= datetime('now','localtime','-2 days') ORDER BY date ASC, id ASC, machine_ip ASC",
    mariadb: "SELECT id, CAST(date AS CHAR) AS datetime, machine_ip FROM finger_log \
              WHERE date >= NOW() - INTERVAL 2 DAY ORDER BY date ASC, id ASC, machine_ip ASC",
};

const DRIVERS: Query = Query {
    sqlite: "SELECT id, name FROM drivers ORDER BY id",
    mariadb: "SELECT id, name FROM drivers ORDER BY id",
};

const DRIVER: Query = Query {
    sqlite: "SELECT id, name FROM drivers WHERE id = ?",
    mariadb: "SELECT id, name FROM drivers WHERE id = ?",
};

/// A card or a finger that was held to a reader.
#[derive(Debug, Serialize)]
pub(super) struct Punch {
    id: Value,
    datetime: Value,
    machine_ip: Value,
}

#[derive(Debug, Serialize)]
pub(super) struct Driver {
    id: Value,
    pub(super) name: Value,
}

/// What is asked for as the id of a driver, with the type that it has in JavaScript: SQL makes a number of a text.
#[derive(Debug)]
pub(super) enum DriverId {
    Text(String),
    Number(f64),
}

impl DriverId {
    /// A text which both databases and JavaScript take for the same integer. Decimal digits without leading zeros, up to `Number.MAX_SAFE_INTEGER`, beyond which MariaDB would round.
    pub(super) fn parse(text: String) -> Option<Self> {
        let number: u64 = text.parse().ok()?;
        (number < 1 << 53 && number.to_string() == text).then_some(Self::Text(text))
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The database is away, or does not know the tables.
    #[error("`{database}` gave no answer")]
    Query {
        /// Which one, without user and password.
        database: String,
        source: sqlx::Error,
    },
    /// It holds something that Node would print in a way of its own.
    #[error(transparent)]
    Unprintable(#[from] Unprintable),
}

impl Database {
    /// A pool that connects when it is first used. Relative SQLite paths start from `folder`.
    pub(super) fn new(url: &str, folder: &Path) -> Result<Self, SettingsError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(
                pool().connect_lazy_with(sqlite::options(path, folder)?),
            ));
        }
        if url.starts_with("mysql://") {
            return Ok(Self::Mariadb(
                pool().connect_lazy_with(mariadb::options(url)?),
            ));
        }
        // The URL may hold a password, so the message does not repeat it.
        Err(refused(
            "it must be `sqlite:PATH` or `mysql://USER:PASSWORD@HOST:PORT/NAME`",
        ))
    }

    /// The cards of the last two days. `id` is the text of the employee number, or null for an unregistered card.
    pub(super) async fn ic_log(&self) -> Result<Vec<Punch>, Failure> {
        self.rows(&IC_LOG, None).await
    }

    /// The fingers of the last two days. Here `id` is a number.
    pub(super) async fn finger_log(&self) -> Result<Vec<Punch>, Failure> {
        self.rows(&FINGER_LOG, None).await
    }

    pub(super) async fn drivers(&self) -> Result<Vec<Driver>, Failure> {
        self.rows(&DRIVERS, None).await
    }

    pub(super) async fn driver(&self, id: &DriverId) -> Result<Option<Driver>, Failure> {
        Ok(self.rows(&DRIVER, Some(id)).await?.into_iter().next())
    }

    async fn rows<T: Record>(
        &self,
        query: &Query,
        id: Option<&DriverId>,
    ) -> Result<Vec<T>, Failure> {
        let failed = |source| Failure::Query {
            database: self.to_string(),
            source,
        };
        match self {
            Self::Sqlite(pool) => {
                let query = sqlx::query(query.sqlite);
                let query = match id {
                    None => query,
                    Some(DriverId::Text(text)) => query.bind(text),
                    Some(DriverId::Number(number)) => query.bind(*number),
                };
                read(&query.fetch_all(pool).await.map_err(failed)?)
            }
            Self::Mariadb(pool) => {
                let query = sqlx::query(query.mariadb);
                let query = match id {
                    None => query,
                    Some(DriverId::Text(text)) => query.bind(text),
                    Some(DriverId::Number(number)) => query.bind(*number),
                };
                read(&query.fetch_all(pool).await.map_err(failed)?)
            }
        }
    }
}

/// As operators know it, without user and password.
impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(pool) => write!(
                formatter,
                "sqlite:{}",
                pool.connect_options().get_filename().display()
            ),
            Self::Mariadb(pool) => {
                let options = pool.connect_options();
                let name = options.get_database().unwrap_or_default();
                write!(
                    formatter,
                    "mysql://{}:{}/{name}",
                    options.get_host(),
                    options.get_port()
                )
            }
        }
    }
}

/// Connections are kept for good: sqlx ages them by a task that it spawns when the pool is made, and there need not be
/// a runtime yet. One that has died is noticed before its next use.
fn pool<DB: sqlx::Database>() -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// A refusal of the one setting.
pub(super) fn refused(message: &str) -> SettingsError {
    SettingsError::new("database", message)
}

/// A type that is read from one row.
trait Record: Sized {
    fn read(row: &impl Columns) -> Result<Self, Unprintable>;
}

impl Record for Punch {
    fn read(row: &impl Columns) -> Result<Self, Unprintable> {
        Ok(Self {
            id: row.value("id")?,
            datetime: row.value("datetime")?,
            machine_ip: row.value("machine_ip")?,
        })
    }
}

impl Record for Driver {
    fn read(row: &impl Columns) -> Result<Self, Unprintable> {
        Ok(Self {
            id: row.value("id")?,
            name: row.value("name")?,
        })
    }
}

fn read<T: Record>(rows: &[impl Columns]) -> Result<Vec<T>, Failure> {
    Ok(rows.iter().map(T::read).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_undoubted_ids_are_accepted() {
        for id in ["0", "1", "1021", "9007199254740991"] {
            assert!(DriverId::parse(id.to_owned()).is_some(), "{id}");
        }
        let odd = [
            "",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "1a",
            "١",
            "1\0",
            "9007199254740992",
        ];
        for id in odd {
            assert!(DriverId::parse(id.to_owned()).is_none(), "{id}");
        }
    }

    #[tokio::test]
    async fn the_name_of_a_database_has_no_password() {
        let database = Database::new("mysql://user:secret@db.local:3307/timecard", Path::new(""))
            .expect("a good URL");
        assert_eq!(database.to_string(), "mysql://db.local:3307/timecard");
    }
}
