//! The handlers of one path by method, recorded. axum's own `MethodRouter` does not show its methods.

use std::convert::Infallible;
use std::fmt;

use axum::handler::Handler;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, Route};
use http::{Method, Request};
use tower::{Layer, Service};

/// What [`any`] and [`NativeApp::fallback`](crate::NativeApp::fallback) serve. A GET handler serves HEAD as well.
pub(crate) const ALL: [Method; 7] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
];

/// The handlers of a path, for [`NativeApp::route`](crate::NativeApp::route).
///
/// ```
/// use strangler::{NativeApp, get};
///
/// let app: NativeApp = NativeApp::new().route("/items", get(async || "all").post(async || "made"));
/// assert_eq!(app.endpoints().len(), 2);
/// ```
#[derive(Clone)]
pub struct Methods<S = ()> {
    pub(crate) router: MethodRouter<S>,
    pub(crate) methods: Vec<Method>,
}

impl<S> fmt::Debug for Methods<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Methods").field(&self.methods).finish()
    }
}

macro_rules! functions {
    ($($name:ident $method:ident;)*) => {
        $(
            #[doc = concat!("Serves ", stringify!($method), " with an axum handler.")]
            pub fn $name<H, T, S>(handler: H) -> Methods<S>
            where
                H: Handler<T, S>,
                T: 'static,
                S: Clone + Send + Sync + 'static,
            {
                Methods::new().$name(handler)
            }
        )*

        impl<S: Clone + Send + Sync + 'static> Methods<S> {
            $(
                #[doc = concat!("Serves ", stringify!($method), " as well.")]
                #[must_use]
                pub fn $name<H: Handler<T, S>, T: 'static>(self, handler: H) -> Self {
                    self.on(&[Method::$method], MethodFilter::$method, handler)
                }
            )*
        }
    };
}

functions! {
    get GET;
    post POST;
    put PUT;
    patch PATCH;
    delete DELETE;
    options OPTIONS;
    trace TRACE;
}

/// Serves every method with an axum handler.
pub fn any<H, T, S>(handler: H) -> Methods<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    let filter = MethodFilter::GET
        .or(MethodFilter::POST)
        .or(MethodFilter::PUT)
        .or(MethodFilter::PATCH)
        .or(MethodFilter::DELETE)
        .or(MethodFilter::OPTIONS)
        .or(MethodFilter::TRACE);
    Methods::new().on(&ALL, filter, handler)
}

impl<S: Clone + Send + Sync + 'static> Methods<S> {
    fn new() -> Self {
        Self {
            router: MethodRouter::new(),
            methods: Vec::new(),
        }
    }

    fn on<H: Handler<T, S>, T: 'static>(
        mut self,
        methods: &[Method],
        filter: MethodFilter,
        handler: H,
    ) -> Self {
        self.router = self.router.on(filter, handler);
        self.methods.extend_from_slice(methods);
        self
    }

    /// Wraps the handlers so far in a tower layer.
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
}
