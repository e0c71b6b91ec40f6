//! MariaDB, with sessions as the original's driver (mysql2) has them, and how that hands values to JavaScript.

use sqlx::mysql::{MySqlConnectOptions, MySqlRow, MySqlSslMode};
use sqlx::{ConnectOptions, Decode, MySql, Row, TypeInfo, ValueRef};

use super::database::refused;
use super::value::{Columns, Unprintable, Value};
use strangler::SettingsError;

/// `url` is `mysql://user:password@host:port/name`.
pub(super) fn options(url: &str) -> Result<MySqlConnectOptions, SettingsError> {
    // The error is left out: it could quote the part of the URL that is wrong.
    let options: MySqlConnectOptions = url.parse().map_err(|_| {
        refused("it is no URL; write `mysql://USER:PASSWORD@HOST:PORT/NAME`, percent-encoded")
    })?;
    if options.get_database().is_none() {
        return Err(refused(
            "the name of the database is missing, as in `mysql://USER:PASSWORD@HOST:PORT/NAME`",
        ));
    }
    if !matches!(
        options.get_ssl_mode(),
        MySqlSslMode::Preferred | MySqlSslMode::Disabled
    ) {
        return Err(refused(
            "the connection is made without TLS; remove `ssl-mode`",
        ));
    }
    // sqlx would set the session to UTC, and NOW() would no longer be the original's.
    Ok(options
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .ssl_mode(MySqlSslMode::Disabled)
        .disable_statement_logging())
}

impl Columns for MySqlRow {
    fn value(&self, column: &'static str) -> Result<Value, Unprintable> {
        let unprintable = |what| Unprintable { column, what };
        let value = self
            .try_get_raw(column)
            .map_err(|_| unprintable("nothing"))?;
        if value.is_null() {
            return Ok(Value::Null);
        }
        let type_info = value.type_info();
        let name = type_info.name();
        let read = match name.strip_suffix(" UNSIGNED").unwrap_or(name) {
            "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
                <i64 as Decode<MySql>>::decode(value).map(Value::Integer)
            }
            "DOUBLE" => <f64 as Decode<MySql>>::decode(value).map(Value::Real),
            "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" => {
                <String as Decode<MySql>>::decode(value).map(Value::Text)
            }
            _ => return Err(unprintable("a type that the original's tables do not have")),
        };
        match read.map_err(|_| unprintable("text that is not UTF-8"))? {
            // mysql2 assembles these from two halves, with a rounding of its own.
            Value::Integer(number) if number.unsigned_abs() >= 1 << 53 => {
                Err(unprintable("an integer beyond 2^53"))
            }
            Value::Text(text) if column == "datetime" => {
                Ok(Value::Text(without_empty_fraction(text)))
            }
            value => Ok(value),
        }
    }
}

/// MariaDB prints `DATETIME(3)` with three decimals always, mysql2 only where they are not all zero.
fn without_empty_fraction(time: String) -> String {
    match time.split_once('.') {
        Some((seconds, fraction)) if fraction.bytes().all(|digit| digit == b'0') => {
            seconds.to_owned()
        }
        _ => time,
    }
}
