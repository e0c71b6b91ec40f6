//! The native time card beside its original: both are real servers over one database, and every answer must be the
//! same, byte for byte.

mod database;
mod events;
mod express;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use strangler::{NativeApp, Settings};

use self::database::{
    Folder, MARIADB_NASTY_ROWS, SQLITE_NASTY_ROWS, SQLITE_UNTYPED_ROWS, TestDatabase,
};
use self::wire::{Answer, NodeServer, ask, serve};

const ENDPOINTS: [&str; 4] = [
    "/api/ic_log",
    "/api/finger_log",
    "/api/drivers",
    "/api/driver/1021",
];

#[tokio::test]
async fn sqlite_answers_are_the_originals() {
    let both = Both::over_sqlite(None).await;
    both.compare_seeded().await;
    both.write(SQLITE_NASTY_ROWS).await;
    both.compare_seeded().await;
    both.compare_window().await;
}

/// Without column types SQLite keeps whatever type it is given.
#[tokio::test]
async fn sqlite_columns_without_types_are_the_originals() {
    let both = Both::over_sqlite(Some(
        "CREATE TABLE drivers (id, name); CREATE TABLE finger_log (date, machine_ip, id, message);
         CREATE TABLE ic_log (id INTEGER PRIMARY KEY, type, detail, date, iid, machine_ip);",
    ))
    .await;
    both.write(SQLITE_NASTY_ROWS).await;
    both.write(SQLITE_UNTYPED_ROWS).await;
    both.compare_seeded().await;
}

#[tokio::test]
async fn mariadb_answers_are_the_originals() {
    let both = Both::over_mariadb(None).await;
    both.compare_seeded().await;
    both.write(MARIADB_NASTY_ROWS).await;
    both.compare_seeded().await;
    both.compare_window().await;
    both.remove().await;
}

/// The documentation of the original names few types, so the real ones may be wider.
#[tokio::test]
async fn mariadb_columns_of_other_types_are_the_originals() {
    let both = Both::over_mariadb(
        Some("CREATE TABLE drivers (id BIGINT UNSIGNED PRIMARY KEY, name CHAR(80) CHARACTER SET utf8mb4);
         CREATE TABLE finger_log (date TIMESTAMP(3) NULL, machine_ip VARCHAR(40), id SMALLINT, message LONGTEXT);
         CREATE TABLE ic_log (id INTEGER AUTO_INCREMENT PRIMARY KEY, type TEXT, detail TEXT, date DATETIME(6),
             iid DOUBLE, machine_ip VARCHAR(40) CHARACTER SET latin1);"),
    )
    .await;
    both.write(
        "INSERT INTO ic_log (date, iid, machine_ip) VALUES (NOW() - INTERVAL 100000 MICROSECOND, 1.5, 'caf\u{e9}'),
             (NOW(6), 1e21, NULL), (NOW(), -1e-7, ''), (NOW(), 36, '');
         INSERT INTO drivers (id, name) VALUES (9007199254740991, 'the greatest');",
    )
    .await;
    both.compare_seeded().await;
    both.remove().await;
}

#[tokio::test]
async fn unprintable_values_are_left_to_node() {
    let cases = [
        (
            "/api/drivers",
            "INSERT INTO drivers (id, name) VALUES (77, x'ff00')",
        ),
        (
            "/api/driver/78",
            "INSERT INTO drivers (id, name) VALUES (78, CAST(x'ff41' AS TEXT))",
        ),
        (
            "/api/finger_log",
            "INSERT INTO finger_log (date, id) VALUES (datetime('now', 'localtime'), x'00')",
        ),
        (
            "/api/ic_log",
            "INSERT INTO ic_log (date, machine_ip) VALUES (x'ffff', '')",
        ),
    ];
    let both = Both::over_sqlite(None).await;
    for (path, row) in cases {
        assert_ne!(
            ask(both.native, "GET", path, "").await.status,
            501,
            "{path}"
        );
        both.write(row).await;
        assert_eq!(
            ask(both.native, "GET", path, "").await.status,
            501,
            "{path}"
        );
    }
}

#[tokio::test]
async fn odd_ids_are_left_to_node() {
    let both = Both::over_sqlite(None).await;
    let odd = [
        "01021",
        "1021.0",
        "+1021",
        "-1",
        "%201021",
        "1021%20",
        "1e3",
        "0x1",
        "abc",
        "9007199254740992",
        "%ff",
        "%",
    ];
    for id in odd {
        let answer = ask(both.native, "GET", &format!("/api/driver/{id}"), "").await;
        assert_eq!(answer.status, 501, "{id}");
    }
}

#[tokio::test]
async fn a_missing_file_is_an_error_and_stays_missing() {
    let folder = Folder::new();
    let (native, _server) = serve(native("sqlite:missing.db", &folder.0)).await;
    for path in ENDPOINTS {
        assert_eq!(ask(native, "GET", path, "").await.status, 500, "{path}");
    }
    assert!(!folder.0.join("missing.db").exists());

    // Node creates and fills it; the same native application then answers.
    let node = original(&format!("sqlite:{}", folder.0.join("missing.db").display())).await;
    for path in ENDPOINTS {
        assert_eq!(
            ask(native, "GET", path, "").await,
            ask(node.address, "GET", path, "").await,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_dead_mariadb_is_an_error_well_before_the_timeout_of_a_rule() {
    let unused = wire::unused_address().await;
    let (native, _server) = serve(native(
        &format!("mysql://user:secret@{unused}/db"),
        Path::new(""),
    ))
    .await;
    let begin = Instant::now();
    assert_eq!(ask(native, "GET", "/api/drivers", "").await.status, 500);
    assert!(
        begin.elapsed() < Duration::from_millis(1800),
        "{:?}",
        begin.elapsed()
    );
}

/// The original, the native application, and the database of both.
struct Both {
    node: NodeServer,
    native: SocketAddr,
    database: TestDatabase,
    _server: wire::Serving,
    _folder: Folder,
}

impl Both {
    /// `tables` are created before the original could.
    async fn over_sqlite(tables: Option<&str>) -> Self {
        let folder = Folder::new();
        let file = folder.0.join("timecard.db");
        let database = TestDatabase::sqlite(&file).await;
        // The native side gets a relative path.
        let urls = [
            format!("sqlite:{}", file.display()),
            "sqlite:timecard.db".to_owned(),
        ];
        Self::start(database, tables, urls, folder).await
    }

    async fn over_mariadb(tables: Option<&str>) -> Self {
        let (database, url) = TestDatabase::mariadb().await;
        Self::start(database, tables, [url.clone(), url], Folder::new()).await
    }

    async fn start(
        database: TestDatabase,
        tables: Option<&str>,
        urls: [String; 2],
        folder: Folder,
    ) -> Self {
        if let Some(tables) = tables {
            database.write(tables).await;
        }
        let node = original(&urls[0]).await;
        let (native, server) = serve(native(&urls[1], &folder.0)).await;
        Self {
            node,
            native,
            database,
            _server: server,
            _folder: folder,
        }
    }

    async fn write(&self, sql: &str) {
        self.database.write(sql).await;
    }

    /// Everything whose answer does not change while it is compared.
    async fn compare_seeded(&self) {
        for path in ENDPOINTS {
            let answer = self.compare("GET", path, "").await;
            assert_eq!(answer.status, 200, "{path}");
            self.compare("HEAD", path, "").await;
            self.compare("GET", &format!("{path}?x=1"), "").await;
            let tag = answer.header("etag").expect("an ETag");
            let strong = &tag[2..];
            for known in [
                tag,
                strong,
                &format!("\"x\", {tag}"),
                &format!("W/{tag}"),
                "*",
            ] {
                let header = format!("If-None-Match: {known}\r\n");
                for method in ["GET", "HEAD"] {
                    let answer = self.compare(method, path, &header).await;
                    assert_eq!(answer.status, 304, "{known}");
                }
                let headers = format!("{header}Cache-Control: no-cache\r\n");
                assert_eq!(self.compare("GET", path, &headers).await.status, 200);
            }
            for unknown in ["\"x\"", "W/\"x\"", "*, \"x\"", ""] {
                let header = format!("If-None-Match: {unknown}\r\n");
                assert_eq!(self.compare("GET", path, &header).await.status, 200);
            }
        }
        for id in [
            "0",
            "1",
            "9",
            "10",
            "20",
            "21",
            "30",
            "1022",
            "1030",
            "2147483647",
            "9007199254740991",
            "%31",
        ] {
            self.compare("GET", &format!("/api/driver/{id}"), "").await;
        }
        for id in ["2", "99999", "2147483648", "9007199254740990"] {
            let path = format!("/api/driver/{id}");
            assert_eq!(
                self.compare("GET", &path, "").await.text(),
                r#"{"error":"driver not found"}"#
            );
            assert_eq!(
                self.compare("HEAD", &path, "If-None-Match: *\r\n")
                    .await
                    .status,
                404
            );
        }
    }

    async fn compare(&self, method: &str, path: &str, headers: &str) -> Answer {
        let native = ask(self.native, method, path, headers).await;
        let node = ask(self.node.address, method, path, headers).await;
        assert_eq!(native, node, "{method} {path} {headers}");
        native
    }

    /// A row for each second around the border of the window, so that one leaves with every second. Answers count only
    /// when the native ones before and after Node's are the same, since then no second began in between.
    async fn compare_window(&self) {
        for second in -5..60 {
            let moment = self.database.border(second);
            self.write(&format!(
                "INSERT INTO ic_log (date, iid) VALUES ({moment}, '{second}')"
            ))
            .await;
            self.write(&format!(
                "INSERT INTO finger_log (date, id) VALUES ({moment}, {second})"
            ))
            .await;
        }
        for path in ["/api/ic_log", "/api/finger_log"] {
            let mut seen = Vec::new();
            let deadline = Instant::now() + Duration::from_secs(30);
            while seen.len() < 2 {
                assert!(Instant::now() < deadline, "no quiet second");
                let before = ask(self.native, "GET", path, "").await;
                let node = ask(self.node.address, "GET", path, "").await;
                let after = ask(self.native, "GET", path, "").await;
                if before == after {
                    assert_eq!(before, node, "{path}");
                    seen.push(before.text());
                    seen.dedup();
                }
            }
        }
    }

    async fn remove(self) {
        self.database.remove().await;
    }
}

async fn original(database: &str) -> NodeServer {
    let environment = [
        ("PORT", "0"),
        ("HOST", "127.0.0.1"),
        ("DATABASE_URL", database),
    ];
    NodeServer::start(&["server.js"], &environment).await
}

fn native(database: &str, folder: &Path) -> axum::Router {
    let mut keys = toml::Table::new();
    keys.insert("database".to_owned(), database.into());
    (timecard::APP.build)(&Settings::new(keys, folder.to_owned()))
        .map(NativeApp::into_router)
        .expect("good settings")
}
