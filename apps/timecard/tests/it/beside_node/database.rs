//! The databases of the tests, and rows that are hard to print.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::mysql::MySqlConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, MySqlPool, SqlitePool};

/// A database of one test, to which only the test writes.
pub(super) enum TestDatabase {
    Sqlite(SqlitePool),
    Mariadb { pool: MySqlPool, name: String },
}

impl TestDatabase {
    /// A new file.
    pub(super) async fn sqlite(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true);
        Self::Sqlite(
            SqlitePool::connect_with(options)
                .await
                .expect("a new SQLite file"),
        )
    }

    /// A new database on the server that `scripts/test` starts, and its URL.
    pub(super) async fn mariadb() -> (Self, String) {
        let server = std::env::var("TEST_MYSQL_URL")
            .unwrap_or_else(|_| panic!("TEST_MYSQL_URL is not set: run ./scripts/test"));
        let (before, first) = server.rsplit_once('/').expect("a URL with a database");
        let name = unique("timecard_native");
        let server = Self::Mariadb {
            pool: connect(&server).await,
            name: first.to_owned(),
        };
        server.write(&format!("CREATE DATABASE {name}")).await;
        let url = format!("{before}/{name}");
        (
            Self::Mariadb {
                pool: connect(&url).await,
                name,
            },
            url,
        )
    }

    pub(super) async fn write(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop),
            Self::Mariadb { pool, .. } => sqlx::raw_sql(sql).execute(pool).await.map(drop),
        }
        .expect("SQL of the test");
    }

    /// The moment that leaves the window of the logs in `second` seconds.
    pub(super) fn border(&self, second: i32) -> String {
        match self {
            Self::Sqlite(_) => {
                format!("datetime('now', 'localtime', '-2 days', '{second:+} seconds')")
            }
            Self::Mariadb { .. } => format!("NOW() - INTERVAL 2 DAY + INTERVAL {second} SECOND"),
        }
    }

    /// A file goes with its folder.
    pub(super) async fn remove(self) {
        if let Self::Mariadb { name, .. } = &self {
            self.write(&format!("DROP DATABASE {name}")).await;
        }
    }
}

/// With sessions in the zone of the server, as the original has them. That must not be UTC, sqlx's default: `NOW()` would
/// be the same in both, and the window of the logs not be tested.
async fn connect(url: &str) -> MySqlPool {
    let options: MySqlConnectOptions = url.parse().expect("TEST_MYSQL_URL is a URL");
    let pool = MySqlPool::connect_with(options.timezone(None))
        .await
        .expect("the MariaDB of the tests");
    let hours: i64 = sqlx::query_scalar("SELECT TIMESTAMPDIFF(HOUR, UTC_TIMESTAMP(), NOW())")
        .fetch_one(&pool)
        .await
        .expect("the time of the server");
    assert_ne!(
        hours, 0,
        "MariaDB needs --default-time-zone=+09:00 for this test"
    );
    pool
}

/// A temporary folder, removed with all that is in it.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(unique("strangler_timecard"));
        std::fs::create_dir(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{name}_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Escapes, numbers and ties. The ids are chosen so that text and numbers sort differently.
pub(super) const SQLITE_NASTY_ROWS: &str = r#"
    INSERT INTO drivers (id, name) VALUES (0, 'nul' || char(0) || 'gone'), (9, ''), (10, NULL), (-5, 'negative'),
        (9007199254740991, 'greatest'), (9007199254740993, 'rounded'), (9223372036854775807, 'last'),
        (20, char(1, 8, 9, 10, 12, 13, 31, 34, 92, 47, 127, 128, 8232, 8233, 65279, 65533, 65535, 119648, 1114111)),
        (21, 'か' || char(12441) || '𠮷🚚 <b>&amp;</b>');
    WITH RECURSIVE moment(at) AS (SELECT datetime('now', 'localtime', '-1 hours'))
    INSERT INTO ic_log (id, date, iid, machine_ip) SELECT column1, at, column2, column3 FROM moment, (VALUES
        (90009, '9', 'b'), (90010, '10', 'a'), (90001, 1021, 172.18), (90002, 1.0, 0.1), (90003, 1e21, -1e-7),
        (90004, NULL, NULL), (90005, '', char(0)), (90006, 9007199254740993, 1.5e300), (90007, '"\/', '𠮷'),
        (90008, 9e999, '1e3'), (90011, -0.0, '-0'));
    INSERT INTO ic_log (date, iid, machine_ip) VALUES (NULL, 'never', ''), ('2', 'long ago', ''), ('9999', 'far', ''),
        ('まだ', 'text', '');
    WITH RECURSIVE moment(at) AS (SELECT datetime('now', 'localtime', '-1 hours'))
    INSERT INTO finger_log (date, machine_ip, id) SELECT at, column1, column2 FROM moment, (VALUES
        ('b', 10), ('a', 10), ('c', 9), (NULL, 9), ('', NULL), ('real', 1.5), ('whole', 2.0), ('huge', 1e300),
        ('text', 'abc'), ('digits', '12'), ('hex', '0x1f'), ('great', 9007199254740993), ('twice', 7), ('twice', 7));
"#;

/// In typed columns these would be text or numbers again.
pub(super) const SQLITE_UNTYPED_ROWS: &str = r#"
    INSERT INTO drivers (id, name) VALUES ('1021', 'text, not the number'), (1.5, 2), (NULL, 9e999), ('', -0.0),
        (30, 30), (31, 1e-7), (32, 123456789012345680000.0), (33, 9223372036854775807), (34, 4.35);
    INSERT INTO ic_log (date, iid, machine_ip) VALUES (datetime('now', 'localtime'), 1021, 1.25),
        (datetime('now', 'localtime'), 1021.0, 0), (5, 'an integer is less than any text', '');
    INSERT INTO finger_log (date, id, machine_ip) VALUES (datetime('now', 'localtime'), '7', 7),
        (5, 1, ''), (1e9, 1, '');
"#;

pub(super) const MARIADB_NASTY_ROWS: &str = r#"
    INSERT INTO drivers (id, name) VALUES (0, CONCAT('nul', CHAR(0), 'stays')), (9, ''), (10, NULL), (-5, 'negative'),
        (2147483647, 'greatest'), (20, CONCAT(CHAR(1, 8, 9, 10, 12, 13, 31, 34, 92, 47, 127 USING utf8mb4),
            CHAR(0xC280, 0xE280A8, 0xE280A9, 0xEFBBBF, 0xEFBFBD, 0xEFBFBF, 0xF09D8DA0 USING utf8mb4))),
        (21, CONCAT('か', CHAR(0xE38299 USING utf8mb4), '𠮷🚚 <b>&amp;</b>'));
    INSERT INTO ic_log (id, date, iid, machine_ip) VALUES (90009, NOW() - INTERVAL 1 HOUR, '9', 'b'),
        (90010, NOW() - INTERVAL 1 HOUR, '10', 'a'), (90001, NOW() - INTERVAL 1 HOUR, 1021, 172.18),
        (90004, NOW() - INTERVAL 1 HOUR, NULL, NULL), (90005, NOW() - INTERVAL 1 HOUR, '', CHAR(0)),
        (90007, NOW() - INTERVAL 1 HOUR, '"\\/', '𠮷'), (90008, NULL, 'never', ''), (90011, '9999-12-31', 'far', ''),
        (90012, '2000-01-01', 'long ago', '');
    INSERT INTO finger_log (date, machine_ip, id) VALUES (NOW(), 'b', 10), (NOW(), 'a', 10),
        (NOW(), 'c', 9), (NOW(), NULL, 9), (NOW(), '', NULL), (NOW(), 'least', -2147483648), (NOW(), 'x', 7),
        (NOW(), 'x', 7);
"#;
