//! The native side: an ordinary axum and socketioxide application, and the recorder that knows what it serves.
//! Nothing here knows of the proxy; `runtime` runs an application apart from the threads that accept connections.

pub(crate) mod events;
pub mod express;
pub(crate) mod http_runtime;
pub mod js_json;
pub(crate) mod runtime;

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, Route, on};
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use socketioxide::SocketIo;
use tower::{Layer, Service};

use self::events::Registry;

/// A native application: an `axum::Router` that remembers each method and path it was given, and the handlers of
/// Socket.IO events.
///
/// The record is what lets `strangler check` say that no native endpoint serves a rule, and what keeps requests that
/// the application does not serve on Node.
///
/// ```
/// use axum::Json;
/// use axum::extract::{Path, State};
/// use strangler::NativeApp;
///
/// #[derive(Clone)]
/// struct Stock(std::sync::Arc<Vec<String>>);
///
/// async fn items(State(stock): State<Stock>) -> Json<Vec<String>> {
///     Json(stock.0.to_vec())
/// }
///
/// async fn item(State(stock): State<Stock>, Path(n): Path<usize>) -> Result<String, strangler::Decline> {
///     stock.0.get(n).cloned().ok_or(strangler::Decline)
/// }
///
/// let app: NativeApp = NativeApp::new()
///     .get("/api/items", items)
///     .get("/api/items/{n}", item)
///     .with_state(Stock(std::sync::Arc::new(vec!["anvil".into()])));
/// assert_eq!(app.endpoints().len(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct NativeApp<S = ()> {
    router: Router<S>,
    endpoints: Vec<Endpoint>,
    registry: Registry,
    keeps_state_in_memory: bool,
}

/// One method and path that a native application serves. A GET endpoint also serves HEAD, as in axum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path in axum's spelling, such as `/api/driver/{id}`.
    pub path: String,
}

impl<S: Clone + Send + Sync + 'static> NativeApp<S> {
    /// An application that serves nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            router: Router::new(),
            endpoints: Vec::new(),
            registry: Registry::default(),
            keeps_state_in_memory: false,
        }
    }

    /// Serves GET and HEAD of `path` with an axum handler.
    #[must_use]
    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.serve(Method::GET, MethodFilter::GET, path, handler)
    }

    /// Serves POST of `path`.
    #[must_use]
    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.serve(Method::POST, MethodFilter::POST, path, handler)
    }

    /// Serves PUT of `path`.
    #[must_use]
    pub fn put<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.serve(Method::PUT, MethodFilter::PUT, path, handler)
    }

    /// Serves PATCH of `path`.
    #[must_use]
    pub fn patch<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.serve(Method::PATCH, MethodFilter::PATCH, path, handler)
    }

    /// Serves DELETE of `path`.
    #[must_use]
    pub fn delete<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.serve(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    /// Serves OPTIONS of `path`.
    #[must_use]
    pub fn options<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.serve(Method::OPTIONS, MethodFilter::OPTIONS, path, handler)
    }

    fn serve<H: Handler<T, S>, T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &str,
        handler: H,
    ) -> Self {
        self.router = self.router.route(path, on(filter, handler));
        self.endpoints.push(Endpoint {
            method,
            path: path.to_owned(),
        });
        self
    }

    /// Wraps every endpoint so far in a tower layer.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request<axum::body::Body>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<axum::body::Body>>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request<axum::body::Body>>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request<axum::body::Body>>>::Future: Send + 'static,
    {
        self.router = self.router.layer(layer);
        self
    }

    /// Says that answers depend on state inside this process that Node does not see. A percentage would then show two
    /// worlds to the clients, so `check` refuses it.
    #[must_use]
    pub fn keeps_state_in_memory(mut self) -> Self {
        self.keeps_state_in_memory = true;
        self
    }

    /// Gives the HTTP handlers their state. Handlers of events have what they captured.
    #[must_use]
    pub fn with_state<S2>(self, state: S) -> NativeApp<S2> {
        NativeApp {
            router: self.router.with_state(state),
            endpoints: self.endpoints,
            registry: self.registry,
            keeps_state_in_memory: self.keeps_state_in_memory,
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Default for NativeApp<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> NativeApp<S> {
    /// What it serves, in the order of registration.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether `keeps_state_in_memory` was said.
    #[must_use]
    pub fn has_state_in_memory(&self) -> bool {
        self.keeps_state_in_memory
    }
}

impl NativeApp {
    /// The plain router, with Socket.IO below `/socket.io/` if there are events, as one would deploy it alone once Node
    /// is gone.
    pub fn into_router(self) -> Router {
        if self.registry.is_empty() {
            return self.router;
        }
        let (layer, io) = SocketIo::builder()
            .max_payload(NODE_MAX_PAYLOAD)
            .build_layer();
        self.registry.install(&io);
        self.router.layer(layer)
    }
}

/// Bytes of one message; socketioxide would take a tenth.
const NODE_MAX_PAYLOAD: u64 = 1_000_000;

/// A native application that a program offers, by the name that `native.app` uses.
#[derive(Debug, Clone, Copy)]
pub struct App {
    /// What `native.app` says.
    pub name: &'static str,
    /// Builds it.
    pub build: BuildApp,
    commands: [Option<AppCommand>; MOST_COMMANDS],
}

/// An array has room for all of them where a constant cannot allocate.
const MOST_COMMANDS: usize = 8;

impl App {
    /// An application without commands of its own.
    #[must_use]
    pub const fn new(name: &'static str, build: BuildApp) -> Self {
        Self {
            name,
            build,
            commands: [None; MOST_COMMANDS],
        }
    }

    /// With a command beside `serve`, `check` and the others.
    ///
    /// # Panics
    /// With more than eight of them; in a constant this is an error of the compiler.
    #[must_use]
    pub const fn command(mut self, command: AppCommand) -> Self {
        let mut index = 0;
        while self.commands[index].is_some() {
            index += 1;
        }
        self.commands[index] = Some(command);
        self
    }

    pub(crate) fn commands(&self) -> impl Iterator<Item = AppCommand> {
        self.commands.into_iter().flatten()
    }
}

/// A command that an application adds to the command line.
///
/// ```
/// use strangler::clap::{Arg, ArgMatches, Command};
/// use strangler::{App, AppCommand, CommandError, NativeApp};
///
/// fn describe() -> Command {
///     Command::new("greet").about("Say hello").arg(Arg::new("name").required(true))
/// }
///
/// fn greet(arguments: &ArgMatches) -> Result<(), CommandError> {
///     let name = arguments.get_one::<String>("name").ok_or("nobody to greet")?;
///     println!("hello, {name}");
///     Ok(())
/// }
///
/// const SHOP: App = App::new("shop", |_| Ok(NativeApp::new())).command(AppCommand::new(describe, greet));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AppCommand {
    describe: fn() -> clap::Command,
    run: fn(&clap::ArgMatches) -> Result<(), CommandError>,
}

/// Why a command failed. The program prints it after its own name and ends with 1.
pub type CommandError = Box<dyn std::error::Error + Send + Sync>;

impl AppCommand {
    /// What the user may type, and what happens then.
    #[must_use]
    pub const fn new(
        describe: fn() -> clap::Command,
        run: fn(&clap::ArgMatches) -> Result<(), CommandError>,
    ) -> Self {
        Self { describe, run }
    }

    pub(crate) fn describe(self) -> clap::Command {
        (self.describe)()
    }

    pub(crate) fn run(self, arguments: &clap::ArgMatches) -> Result<(), CommandError> {
        (self.run)(arguments)
    }
}

/// Builds a native application from its settings. It must not block or connect: `strangler check` calls it too.
pub type BuildApp = fn(&Settings) -> Result<NativeApp, SettingsError>;

/// The keys of `[native]` after `app`, `env:` references already resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    values: toml::Table,
    folder: PathBuf,
}

impl Settings {
    /// `folder` is where `routes.toml` stands.
    #[must_use]
    pub fn new(values: toml::Table, folder: PathBuf) -> Self {
        Self { values, folder }
    }

    /// The keys as a type of the application, which should refuse unknown ones (`#[serde(deny_unknown_fields)]`).
    ///
    /// # Errors
    /// Where a key is missing, unknown or of another type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        toml::Value::Table(self.values.clone())
            .try_into()
            .map_err(|error: toml::de::Error| {
                let message = error.message().to_owned();
                let key = self
                    .values
                    .keys()
                    .find(|key| message.contains(&format!("`{key}`")))
                    .cloned();
                SettingsError { key, message }
            })
    }

    /// The folder of `routes.toml`, to which relative paths in it refer.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// A setting of `[native]` that the application does not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    /// The key at fault, where one can be named.
    pub key: Option<String>,
    /// What is wrong and how it should be, a lowercase fragment.
    pub message: String,
}

impl SettingsError {
    /// An error about one key.
    #[must_use]
    pub fn new(key: &str, message: impl Into<String>) -> Self {
        Self {
            key: Some(key.to_owned()),
            message: message.into(),
        }
    }
}

/// Answered by a handler that leaves this request to Node. Only before any side effect: Node gets the request again,
/// whatever its method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decline;

impl IntoResponse for Decline {
    /// Seen by a client only where no Node is left to answer.
    fn into_response(self) -> Response {
        let mut response = StatusCode::NOT_IMPLEMENTED.into_response();
        response.extensions_mut().insert(Self);
        response
    }
}

/// An extension of a response with a status of 5xx that is what Node answers as well: the client gets it, and it says
/// nothing of the health of native. Without it Node is asked, where the request may be repeated.
///
/// ```
/// use axum::Extension;
/// use axum::http::StatusCode;
/// use strangler::Deliberate;
///
/// async fn closed() -> (StatusCode, Extension<Deliberate>, &'static str) {
///     (StatusCode::SERVICE_UNAVAILABLE, Extension(Deliberate), "closed until Monday")
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(closed));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deliberate;

/// What the proxy knows of the client: a request extension (`axum::Extension<ClientInfo>`), and an extractor of event
/// handlers. Optional: an application that runs alone does not find it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The client's address, after trusted proxies.
    pub address: IpAddr,
    /// Events: what `socket.id` is in Node and in the client, where a Node is attached.
    pub node_id: Option<String>,
    /// Events: the client was connected before the native side was attached to it, so that it has met `on_connect` of
    /// Node, or of this application, already.
    pub replayed: bool,
}

impl ClientInfo {
    /// A client of which only the address is known.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self {
            address,
            node_id: None,
            replayed: false,
        }
    }
}
