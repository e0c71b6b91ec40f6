//! Both sides, each a real server, and tokens for them.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::Path;

use axum::serve::ListenerExt;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, SqlitePool};
use strangler::Settings;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::process::{Process, node};

pub(crate) const FIXTURE: &str = "apps/garden/legacy";
pub(crate) const SECRET: &str = "a secret of both sides";

/// A server and its database.
pub(super) struct Side {
    pub(super) address: SocketAddr,
    database: SqlitePool,
}

/// The original and the native one. Dropped, they end.
pub(super) struct Sides {
    node: Side,
    native: Side,
    serving: JoinHandle<std::io::Result<()>>,
    _process: Process,
    _folder: TempDir,
}

impl Sides {
    /// With further variables of the environment, and further settings.
    pub(super) async fn start(environment: &[(&str, &str)], settings: &str) -> Self {
        Self::over("node.db", environment, settings).await
    }

    pub(super) async fn over_one_file() -> Self {
        Self::over("native.db", &[], "").await
    }

    async fn over(node_file: &str, environment: &[(&str, &str)], settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |file: &str| format!("sqlite:{}", folder.path().join(file).display());
        let mut command = node(FIXTURE, "server.js");
        command
            .env("PORT", "0")
            .env("DATABASE_URL", url(node_file))
            .env("JWT_SECRET", SECRET)
            .envs(environment.iter().copied());
        let mut process = Process::start(command);
        let line = process.line().await;
        let (_, node_address) = line.rsplit_once("http://").unwrap();

        let mut seed = node(FIXTURE, "seed.js");
        let seeded = seed.env("DATABASE_URL", url("native.db")).status().await;
        assert!(seeded.unwrap().success());
        let text = format!("database = 'sqlite:native.db'\njwt_secret = '{SECRET}'\n{settings}");
        let settings = Settings::new(text.parse().unwrap(), folder.path().to_owned());
        let router = (garden::APP.build)(&settings).unwrap().into_router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let native_address = listener.local_addr().unwrap();
        // As Node's are; each answer would wait for an acknowledgement otherwise.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let serving = tokio::spawn(axum::serve(listener, router).into_future());

        Self {
            node: Side::new(
                node_address.parse().unwrap(),
                &folder.path().join(node_file),
            )
            .await,
            native: Side::new(native_address, &folder.path().join("native.db")).await,
            serving,
            _process: process,
            _folder: folder,
        }
    }

    pub(super) fn both(&self) -> [&Side; 2] {
        [&self.node, &self.native]
    }
}

impl Drop for Sides {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Side {
    async fn new(address: SocketAddr, file: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file);
        let database = SqlitePool::connect_with(options).await.unwrap();
        Self { address, database }
    }

    pub(super) async fn rows(&self) -> Vec<(String, String, String, String, String)> {
        sqlx::query_as(
            "SELECT user_id, resources, celestial_bodies, research, statistics FROM game_states ORDER BY user_id",
        )
        .fetch_all(&self.database)
        .await
        .unwrap()
    }

    pub(super) async fn write(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&self.database).await.unwrap();
    }
}

/// A valid token.
pub(crate) fn token(user: &str) -> String {
    signed(
        r#"{"alg":"HS256","typ":"JWT"}"#,
        &format!(r#"{{"sub":"{user}","exp":{}}}"#, now() + 3600),
        SECRET,
    )
}

/// One that the fixture prints for the demo.
pub(super) async fn node_token(user: &str) -> String {
    let mut command = node(FIXTURE, "-p");
    command.arg(format!(
        "require('./token').tokenFor('{user}', '{SECRET}', 60)"
    ));
    Process::start(command).line().await
}

/// Tokens that are not as usual, and whether they are valid.
pub(super) fn odd_tokens(user: &str) -> Vec<(String, bool)> {
    let head = r#"{"alg":"HS256","typ":"JWT"}"#;
    let claims = |more: &str| format!(r#"{{"sub":"{user}"{more}}}"#);
    let exp = |exp: i64| claims(&format!(r#","exp":{exp}"#));
    let good = exp(now() + 3600);
    let valid = token(user);
    let (message, signature) = valid.rsplit_once('.').unwrap();
    // The last letter of a 32-byte signature holds two bits that mean nothing.
    let last = signature.chars().last().unwrap();
    let other_last = char::from_u32(last as u32 + 1).unwrap();
    vec![
        (signed(r#"{"alg":"HS256"}"#, &good, SECRET), true),
        (
            signed(r#"{"kid":"7","x":{},"alg":"HS256"}"#, &good, SECRET),
            true,
        ),
        // Within the leeway of 60 s.
        (signed(head, &exp(now() - 30), SECRET), true),
        (
            signed(
                head,
                &claims(&format!(r#","exp":{}.5,"aud":null,"iat":"x""#, now() + 60)),
                SECRET,
            ),
            true,
        ),
        (signed(head, &exp(now() - 3600), SECRET), false),
        (signed(head, &claims(""), SECRET), false),
        (
            signed(head, &claims(r#","exp":"9999999999""#), SECRET),
            false,
        ),
        (signed(head, &claims(r#","exp":-1"#), SECRET), false),
        (signed(head, &claims(r#","exp":null"#), SECRET), false),
        (
            signed(
                head,
                &claims(&format!(r#","exp":{},"aud":"shop""#, now() + 60)),
                SECRET,
            ),
            false,
        ),
        (
            signed(
                head,
                &claims(&format!(r#","exp":{},"aud":["shop"]"#, now() + 60)),
                SECRET,
            ),
            false,
        ),
        (
            signed(head, &format!(r#"{{"exp":{}}}"#, now() + 60), SECRET),
            false,
        ),
        (
            signed(
                head,
                &format!(r#"{{"sub":1,"exp":{}}}"#, now() + 60),
                SECRET,
            ),
            false,
        ),
        (signed(head, "[]", SECRET), false),
        (signed(head, "?", SECRET), false),
        (signed(head, &good, "another secret"), false),
        (signed(r#"{"alg":"HS512"}"#, &good, SECRET), false),
        (signed(r#"{"alg":"none"}"#, &good, SECRET), false),
        (signed(r#"{"alg":"RS256"}"#, &good, SECRET), false),
        (signed(r#"{"typ":"JWT"}"#, &good, SECRET), false),
        (signed("{", &good, SECRET), false),
        (format!("{message}."), false),
        (message.to_owned(), false),
        (format!("{message}.{}", signature.to_lowercase()), false),
        (format!("{valid}="), false),
        (format!("{valid}.x"), false),
        (format!("{}{other_last}", &valid[..valid.len() - 1]), false),
        (valid.replacen('.', "%2E", 1), false),
        (String::new(), false),
        ("?".to_owned(), false),
    ]
}

fn signed(head: &str, claims: &str, secret: &str) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(head.as_bytes()), encode(claims.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = encode(hmac::sign(&key, message.as_bytes()).as_ref());
    format!("{message}.{signature}")
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}
