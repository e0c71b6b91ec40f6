//! SQLite, whose columns hold values of any type, and how the original's driver (libsql) hands them to JavaScript.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow};
use sqlx::{ConnectOptions, Decode, Row, Sqlite, TypeInfo, ValueRef};

use super::database::refused;
use super::value::{Columns, Unprintable, Value};
use strangler::SettingsError;

/// As the original opens it, but for one thing: a missing file is an error, since Node creates and fills it.
pub(super) fn options(path: &str, folder: &Path) -> Result<SqliteConnectOptions, SettingsError> {
    if path.is_empty() {
        return Err(refused(
            "the path after `sqlite:` is missing, as in `sqlite:data/timecard.db`",
        ));
    }
    Ok(SqliteConnectOptions::new()
        .filename(folder.join(path))
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging())
}

impl Columns for SqliteRow {
    fn value(&self, column: &'static str) -> Result<Value, Unprintable> {
        let unprintable = |what| Unprintable { column, what };
        let value = self
            .try_get_raw(column)
            .map_err(|_| unprintable("nothing"))?;
        if value.is_null() {
            return Ok(Value::Null);
        }
        let read = match value.type_info().name() {
            "INTEGER" => <i64 as Decode<Sqlite>>::decode(value).map(Value::Integer),
            "REAL" => <f64 as Decode<Sqlite>>::decode(value).map(Value::Real),
            "TEXT" => <&str as Decode<Sqlite>>::decode(value)
                .map(|text| Value::Text(until_nul(text).to_owned())),
            _ => return Err(unprintable("bytes")),
        };
        read.map_err(|_| unprintable("text that is not UTF-8"))
    }
}

/// libsql reads text as a C string.
fn until_nul(text: &str) -> &str {
    text.split_once('\0').map_or(text, |(start, _)| start)
}
