//! The recorded handlers, without their types, and how each new socket gets them.

use std::any::Any;
use std::fmt;
use std::fmt::Display;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use socketioxide::SocketIo;
use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::{ConnectHandler, DisconnectHandler, MessageHandler, Value};
use socketioxide::socket::{DisconnectReason, Socket};

use super::Event;
use super::handler::{EventHandler, LeaveHandler};
use super::ticket::{Claimed, Outcome, Tickets};

/// All handlers of an application.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    events: Vec<Event>,
    namespaces: Vec<Namespace>,
}

/// The handlers of one namespace, in the order of registration.
#[derive(Clone)]
struct Namespace {
    path: &'static str,
    connect: Vec<Arc<dyn Connecting>>,
    events: Vec<Arc<dyn Serving>>,
    leave: Vec<Arc<dyn Leaving>>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Namespace")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Registry {
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The namespaces with a handler that runs when a client connects.
    pub(super) fn connects(&self) -> impl Iterator<Item = &'static str> {
        let greeting = |known: &&Namespace| !known.connect.is_empty();
        self.namespaces
            .iter()
            .filter(greeting)
            .map(|known| known.path)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    pub(super) fn on_connect<H, T>(&mut self, namespace: &'static str, handler: H)
    where
        H: ConnectHandler<LocalAdapter, T>,
        T: Send + Sync + 'static,
    {
        let handler = Typed::new(handler);
        self.namespace(namespace).connect.push(Arc::new(handler));
    }

    pub(super) fn on_event<H: EventHandler<T>, T: 'static>(&mut self, event: Event, handler: H) {
        let handler = Typed::new(handler);
        self.events.push(event);
        self.namespace(event.namespace)
            .events
            .push(Arc::new(Served { event, handler }));
    }

    pub(super) fn on_disconnect<H: LeaveHandler<T>, T: 'static>(
        &mut self,
        namespace: &'static str,
        handler: H,
    ) {
        let handler = Typed::new(handler);
        self.namespace(namespace).leave.push(Arc::new(handler));
    }

    /// # Panics
    /// Where both serve an event.
    pub(crate) fn merge(&mut self, other: Self) {
        for event in &other.events {
            assert!(
                !self.events.contains(event),
                "`{}` of `{}` is served twice",
                event.name,
                event.namespace
            );
        }
        self.events.extend(other.events);
        for theirs in other.namespaces {
            let ours = self.namespace(theirs.path);
            ours.connect.extend(theirs.connect);
            ours.events.extend(theirs.events);
            ours.leave.extend(theirs.leave);
        }
    }

    fn namespace(&mut self, path: &'static str) -> &mut Namespace {
        let known = self.namespaces.iter().position(|known| known.path == path);
        let index = known.unwrap_or_else(|| {
            self.namespaces.push(Namespace {
                path,
                connect: Vec::new(),
                events: Vec::new(),
                leave: Vec::new(),
            });
            self.namespaces.len() - 1
        });
        &mut self.namespaces[index]
    }

    /// Opens the namespaces. `/` is there in any case, as in Node: without it `SocketIo::emit` panics.
    pub(crate) fn install(mut self, io: &SocketIo) {
        self.namespace("/");
        for namespace in self.namespaces {
            io.ns(namespace.path, Installed(Arc::new(namespace)));
        }
    }
}

/// A handler, and the `T` that tells the implementations of its trait apart.
struct Typed<H, T> {
    handler: H,
    marker: PhantomData<fn() -> T>,
}

impl<H, T> Typed<H, T> {
    fn new(handler: H) -> Self {
        Self {
            handler,
            marker: PhantomData,
        }
    }
}

type Admission<'a> = Pin<Box<dyn Future<Output = Result<(), Box<dyn Display + Send>>> + Send + 'a>>;

trait Connecting: Send + Sync {
    fn admit<'a>(&'a self, socket: Arc<Socket>, auth: &'a Option<Value>) -> Admission<'a>;
    fn connect(&self, socket: Arc<Socket>, auth: Option<Value>);
}

impl<H, T> Connecting for Typed<H, T>
where
    H: ConnectHandler<LocalAdapter, T>,
    T: Send + Sync + 'static,
{
    fn admit<'a>(&'a self, socket: Arc<Socket>, auth: &'a Option<Value>) -> Admission<'a> {
        self.handler.call_middleware(socket, auth)
    }

    fn connect(&self, socket: Arc<Socket>, auth: Option<Value>) {
        self.handler.call(socket, auth);
    }
}

/// The one connect handler that socketioxide knows of a namespace.
#[derive(Clone)]
struct Installed(Arc<Namespace>);

/// Tells the implementations of this file from socketioxide's own for closures.
struct Recorded<T = ()>(PhantomData<fn() -> T>);

impl ConnectHandler<LocalAdapter, Recorded> for Installed {
    /// Runs before the client learns that it is connected, so no event can come before its handler is there.
    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket>,
        auth: &'a Option<Value>,
    ) -> Admission<'a> {
        for event in &self.0.events {
            Arc::clone(event).serve(&socket);
        }
        if !self.0.leave.is_empty() {
            socket.on_disconnect(self.clone());
        }
        Box::pin(async move {
            for handler in &self.0.connect {
                handler.admit(Arc::clone(&socket), auth).await?;
            }
            Ok(())
        })
    }

    fn call(&self, socket: Arc<Socket>, auth: Option<Value>) {
        for handler in &self.0.connect {
            handler.connect(Arc::clone(&socket), auth.clone());
        }
    }
}

trait Serving: Send + Sync {
    fn serve(self: Arc<Self>, socket: &Socket);
}

/// The handler of one event, shared by all sockets: each of them holds a pointer only.
struct Served<H, T> {
    event: Event,
    handler: Typed<H, T>,
}

impl<H: EventHandler<T>, T: 'static> Serving for Served<H, T> {
    fn serve(self: Arc<Self>, socket: &Socket) {
        socket.on(self.event.name, OnSocket(self));
    }
}

struct OnSocket<H, T>(Arc<Served<H, T>>);

impl<H: EventHandler<T>, T: 'static> MessageHandler<LocalAdapter, Recorded<T>> for OnSocket<H, T> {
    fn call(&self, socket: Arc<Socket>, value: Value, ack_id: Option<i64>) {
        let Served { event, handler } = &*self.0;
        let tickets = Tickets::of(&socket).cloned();
        let text = value.as_str().map_or("", |text| text.as_str());
        let claimed = tickets.as_ref().map_or(Claimed::Nothing, |tickets| {
            tickets.claim(event.namespace, event.name, text)
        });
        if matches!(claimed, Claimed::Withdrawn) {
            return;
        }
        let end = move |outcome| {
            if let Claimed::Ticket(claim) = claimed {
                claim.end(outcome);
            }
        };
        let started = caught(|| handler.handler.clone().start(socket, value, ack_id));
        if let Some(tickets) = tickets {
            tickets.extracted();
        }
        match started {
            Ok(Ok(handler)) => {
                // A panic of the handler unwinds through `end`, which holds the claim.
                tokio::spawn(async move {
                    end(match handler.await {
                        Ok(()) => Outcome::Done,
                        Err(crate::native::Decline) => Outcome::Declined,
                    });
                });
            }
            Ok(Err(error)) => {
                tracing::debug!(namespace = event.namespace, event = event.name, %error, "an event does not fit its handler");
                end(Outcome::Declined);
            }
            Err(Panic) => end(Outcome::Panicked),
        }
    }
}

trait Leaving: Send + Sync {
    fn leave(&self, socket: Arc<Socket>, reason: DisconnectReason, after: Arc<Deferred>);
}

impl<H: LeaveHandler<T>, T: 'static> Leaving for Typed<H, T> {
    fn leave(&self, socket: Arc<Socket>, reason: DisconnectReason, after: Arc<Deferred>) {
        match caught(|| self.handler.clone().start(socket, reason)) {
            Ok(Ok(handler)) => {
                tokio::spawn(async move {
                    let _after = after;
                    handler.await;
                });
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a disconnect does not fit its handler");
            }
            Err(Panic) => {}
        }
    }
}

impl DisconnectHandler<LocalAdapter, Recorded> for Installed {
    fn call_with_defer(
        &self,
        socket: Arc<Socket>,
        reason: DisconnectReason,
        defer: fn(Arc<Socket>),
    ) {
        let after = Arc::new(Deferred {
            socket: Arc::clone(&socket),
            defer,
        });
        for handler in &self.0.leave {
            handler.leave(Arc::clone(&socket), reason, Arc::clone(&after));
        }
    }
}

/// Takes the socket out of its namespace when the last handler has ended, also by a panic: it would otherwise stay for
/// good.
struct Deferred {
    socket: Arc<Socket>,
    defer: fn(Arc<Socket>),
}

impl Drop for Deferred {
    fn drop(&mut self) {
        (self.defer)(Arc::clone(&self.socket));
    }
}

/// The code of an application panicked; the panic hook has said where.
struct Panic;

/// Extractors and closures run on the task that reads the leg, which a panic must not end.
fn caught<R>(run: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_: Box<dyn Any + Send>| Panic)
}
