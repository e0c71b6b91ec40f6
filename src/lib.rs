//! A strangler-fig reverse proxy. It stands in front of a legacy Node.js application and answers each path, and each
//! event of a live connection, either itself, with an ordinary axum and socketioxide application in the same process, or
//! from Node, as `routes.toml` says.
//!
//! A team that moves its own application depends on this crate and writes a `main` of a few lines. It gets the whole
//! command line (`serve`, `check`, `explain`, …) with its own application behind it:
//!
//! ```no_run
//! use axum::Json;
//! use serde::Deserialize;
//! use strangler::{App, NativeApp, Settings, SettingsError, get};
//!
//! /// The keys of `[native]` after `app`.
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Shop {
//!     greeting: String,
//! }
//!
//! fn shop(settings: &Settings) -> Result<NativeApp, SettingsError> {
//!     let shop: Shop = settings.parse()?;
//!     Ok(NativeApp::new().route("/api/hello", get(async move || Json(shop.greeting.clone()))))
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     strangler::main(&[App::new("shop", shop)])
//! }
//! ```
//!
//! with this in `routes.toml`:
//!
//! ```toml
//! [native]
//! app = "shop"
//! greeting = "good morning"
//!
//! [rule]
//! hello = { http = ["GET /api/hello"], to = "native" }
//! ```
//!
//! The code reads in this order: `cli` parses the command, `server` wires everything and holds the way of a request
//! (`server::dispatch`), `live` keeps the table in force, `routing` decides, `config` reads the file, `upstream` is
//! Node, `bridge` joins live channels, `budget` bounds what all clients together may hold, `certificate` reads those of both
//! ends, `native` is the application's side, `admin` and `metrics` show what happens.

mod admin;
mod bridge;
mod budget;
mod certificate;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod config;
mod live;
mod metrics;
mod native;
#[doc(hidden)]
pub mod routing;
pub mod server;
mod telemetry;
mod upstream;

pub use cli::main;
pub use native::events::Event;
pub use native::events::attachments::MalformedEvent;
pub use native::events::extract::{NoClientInfo, RawEvent};
pub use native::events::handler::{EventAnswer, EventHandler, ExtractError, LeaveHandler};
pub use native::express;
pub use native::http_runtime::HttpRuntime;
pub use native::js_json;
pub use native::methods::{Methods, any, delete, get, options, patch, post, put, trace};
pub use native::{
    App, AppCommand, BuildApp, ClientInfo, CommandError, Decline, Deliberate, Endpoint, NativeApp,
    Settings, SettingsError,
};

pub use {axum, clap, http, socketioxide};

/// What the tests of an application need: its event handlers, called as behind the proxy. With the feature `testing`.
#[cfg(feature = "testing")]
pub mod testing {
    pub use crate::native::events::leg::{EventLeg, EventServer};
    pub use crate::native::events::ticket::Outcome;
}
