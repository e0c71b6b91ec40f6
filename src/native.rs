//! The native side: an ordinary axum and socketioxide application, and the recorder that knows what it serves.
//! Nothing here knows of the proxy; `runtime` runs an application apart from the threads that accept connections.

pub(crate) mod events;
pub mod express;
pub(crate) mod http_runtime;
pub mod js_json;
pub(crate) mod methods;
pub(crate) mod runtime;

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use socketioxide::SocketIo;
use tower::{Layer, Service};

use self::events::Registry;
use self::methods::Methods;

/// A native application: an `axum::Router` that remembers each method and path it was given, and the handlers of
/// Socket.IO events.
///
/// The record is what lets `strangler check` say that no native endpoint serves a rule, and what keeps requests that
/// the application does not serve on Node.
///
/// ```
/// use axum::Json;
/// use axum::extract::{Path, State};
/// use strangler::{NativeApp, get};
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
///     .route("/api/items", get(items))
///     .route("/api/items/{n}", get(item))
///     .with_state(Stock(std::sync::Arc::new(vec!["anvil".into()])));
/// assert_eq!(app.endpoints().len(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct NativeApp<S = ()> {
    router: Router<S>,
    endpoints: Vec<Endpoint>,
    registry: Registry,
    has_fallback: bool,
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
            has_fallback: false,
            keeps_state_in_memory: false,
        }
    }

    /// Serves a path: `route("/items/{id}", get(item).delete(remove))`. Several calls with the same path add up.
    ///
    /// # Panics
    /// As `axum::Router::route` does: for a path that axum does not take, or a method that is served already.
    #[must_use]
    pub fn route(mut self, path: &str, methods: Methods<S>) -> Self {
        self.router = self.router.route(path, methods.router);
        self.record(path, methods.methods);
        self
    }

    /// Serves another application below a prefix. Its `/` is the prefix itself, its events are those of this one too.
    ///
    /// # Panics
    /// As `axum::Router::nest` does, and where both serve an event.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        self.router = self.router.nest(prefix, other.router);
        let inner = other.endpoints.into_iter();
        self.endpoints.extend(inner.map(|endpoint| Endpoint {
            path: match endpoint.path.as_str() {
                "/" => prefix.to_owned(),
                path => format!("{prefix}{path}"),
            },
            method: endpoint.method,
        }));
        self.registry.merge(other.registry);
        self.has_fallback |= other.has_fallback;
        self.keeps_state_in_memory |= other.keeps_state_in_memory;
        self
    }

    /// Serves what another application serves.
    ///
    /// # Panics
    /// Where both serve a method of a path, or an event.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.endpoints.extend(other.endpoints);
        self.registry.merge(other.registry);
        self.has_fallback |= other.has_fallback;
        self.keeps_state_in_memory |= other.keeps_state_in_memory;
        self
    }

    /// Serves all paths that no route serves, recorded as `/` and `/{*rest}` with every method.
    #[must_use]
    pub fn fallback<H: Handler<T, S>, T: 'static>(mut self, handler: H) -> Self {
        self.router = self.router.fallback(handler);
        self.has_fallback = true;
        for path in ["/", "/{*rest}"] {
            self.record(path, methods::ALL.to_vec());
        }
        self
    }

    /// An `axum::Router` that is there already. It does not show its paths, so they are listed, as a rule in routes.toml
    /// names them: `"GET /items/{id}"`, or `"/items"` for every method.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::routing::get;
    /// use strangler::NativeApp;
    ///
    /// let router = Router::new().route("/items", get(async || "all"));
    /// let app: NativeApp = NativeApp::from_router(router, &["GET /items"]);
    /// assert_eq!(app.endpoints()[0].path, "/items");
    /// ```
    ///
    /// # Panics
    /// For an entry that is neither; the message names it.
    #[must_use]
    pub fn from_router(router: Router<S>, paths: &[&str]) -> Self {
        let mut app = Self {
            router,
            ..Self::new()
        };
        for entry in paths {
            let (method, path) = match entry.split_once(' ') {
                Some((method, path)) => (Some(method), path),
                None => (None, *entry),
            };
            assert!(
                path.starts_with('/'),
                "`{entry}` is no path: write `GET /items/{{id}}`, or `/items` for every method"
            );
            let methods = match method {
                None => methods::ALL.to_vec(),
                Some(name) => {
                    let known = methods::ALL.into_iter().find(|method| *method == name);
                    vec![known.unwrap_or_else(|| {
                        panic!("`{name}` of `{entry}` is no method; GET includes HEAD")
                    })]
                }
            };
            app.record(path, methods);
        }
        app
    }

    fn record(&mut self, path: &str, methods: Vec<Method>) {
        self.endpoints
            .extend(methods.into_iter().map(|method| Endpoint {
                method,
                path: path.to_owned(),
            }));
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
            has_fallback: self.has_fallback,
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
    /// The router behind the proxy: it declines what it does not serve. That is asked of it only where axum reads a path
    /// otherwise than the table did; Node then knows better.
    pub(crate) fn declining_router(self) -> Router {
        let router = match self.has_fallback {
            true => self.router,
            false => self.router.fallback(async || Decline),
        };
        router.method_not_allowed_fallback(async || Decline)
    }

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

#[cfg(test)]
mod tests;
