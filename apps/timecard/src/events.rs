//! The Socket.IO side: a reader sends `message` with one object, and everybody, the sender included, gets `hello` with
//! that object as JSON text, byte for byte as the original makes it.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use socketioxide::SocketIo;
use socketioxide::adapter::Adapter;
use socketioxide::extract::SocketRef;
use socketioxide::handler::{FromMessageParts, Value as Payload};
use socketioxide::socket::Socket;
use tokio::sync::oneshot;

use super::database::{Database, DriverId, Failure};
use strangler::HttpRuntime;
use strangler::js_json::{Object, Value, stringify};
use strangler::{ClientInfo, Decline, NativeApp, RawEvent};

/// Serves the events of `app`.
pub(super) fn serve<S>(app: NativeApp<S>, database: &Database) -> NativeApp<S> {
    let names = Names {
        database: database.clone(),
        runtime: HttpRuntime::current(),
    };
    app.on_connect("/", async |socket: SocketRef, io: SocketIo| {
        // Whoever was there before has heard of itself already.
        if ClientInfo::of(&socket).is_some_and(|client| client.replayed) {
            return;
        }
        say_hello(&io, "from server").await;
    })
    .on_event(
        "/",
        "message",
        async move |mut turn: Turn, io: SocketIo, raw: RawEvent| {
            turn.begin().await;
            message(&names, &io, &raw).await
        },
    )
}

async fn message(names: &Names, io: &SocketIo, raw: &RawEvent) -> Result<(), Decline> {
    // Nothing here recurses over them, so any depth will do, as in Node.
    let arguments = raw.values_within(usize::MAX)?;
    // Further arguments are dropped. A missing one is undefined, of which Socket.IO makes a bare null.
    let mut payload = arguments.into_iter().next().unwrap_or_default();
    prepare(&mut payload, names).await?;
    match stringify(&payload) {
        Some(text) => say_hello(io, &text).await,
        None => say_hello(io, &None::<()>).await,
    }
    Ok(())
}

/// To everybody, as `io.emit` in Node. Whoever is leaving at this moment does not get it.
async fn say_hello<T: Serialize + ?Sized>(io: &SocketIo, what: &T) {
    if let Err(error) = io.emit("hello", what).await {
        tracing::debug!(%error, "somebody did not get a hello");
    }
}

/// Does the server's own work on the payload, in place. Whatever has another shape than the readers send is left alone.
async fn prepare(payload: &mut Value, names: &Names) -> Result<(), Decline> {
    let status = payload.get("status").and_then(Value::as_str);
    match status {
        Some("tmp inserted") => {
            if let Some(data) = payload.get_mut("data") {
                pictures_to_base64(data);
            }
        }
        Some("tmp inserted wo pic") => {
            if let Some(Value::Object(data)) = payload.get_mut("data") {
                names.add(data).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Each direct field that came as a binary attachment carries a picture.
fn pictures_to_base64(data: &mut Value) {
    let encode = |value: &mut Value| {
        if let Value::Buffer(picture) = value {
            *value = STANDARD.encode(picture).into();
        }
    };
    match data {
        Value::Object(fields) => fields.values_mut().for_each(encode),
        Value::Array(items) => items.iter_mut().for_each(encode),
        _ => {}
    }
}

/// Where the names of drivers come from.
#[derive(Debug, Clone)]
struct Names {
    database: Database,
    runtime: HttpRuntime,
}

impl Names {
    /// A name that is there but empty or null counts as missing; its key then keeps its place, whereas a new one comes
    /// last.
    async fn add(&self, data: &mut Object) -> Result<(), Decline> {
        let id = match data.get("id") {
            Some(Value::Number(number)) => DriverId::Number(*number),
            Some(Value::String(text)) => DriverId::Text(text.to_string_lossy().into_owned()),
            _ => return Ok(()),
        };
        if data.get("name").is_some_and(Value::is_truthy) {
            return Ok(());
        }
        let database = self.database.clone();
        let found = self.runtime.run(async move { database.driver(&id).await });
        match found.await {
            Ok(Some(driver)) => data.insert("name", driver.name.into()),
            Ok(None) => {}
            Err(Failure::Unprintable(value)) => {
                tracing::debug!(%value, "left to Node");
                return Err(Decline);
            }
            // The punch matters more than the name, so it is broadcast without it.
            Err(error @ Failure::Query { .. }) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, source, "the name of a driver could not be looked up");
            }
        }
        Ok(())
    }
}

/// The place of a message among those of its socket: it is handled when the one before has been, its lookup included.
/// Other sockets do not wait. Extractors run in the order of arrival, which their handlers need not keep by themselves.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with the handler, which is how the next one learns of its end.
    _end: oneshot::Sender<()>,
}

impl Turn {
    async fn begin(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent; the other end is dropped.
            let _ = before.await;
        }
    }
}

/// The end of the last message of a socket.
#[derive(Debug, Clone, Default)]
struct Last(Arc<Mutex<Option<oneshot::Receiver<()>>>>);

impl<A: Adapter> FromMessageParts<A> for Turn {
    type Error = std::convert::Infallible;

    fn from_message_parts(
        socket: &Arc<Socket<A>>,
        _: &mut Payload,
        _: &Option<i64>,
    ) -> Result<Self, Self::Error> {
        let last: Last = socket.extensions.get().unwrap_or_else(|| {
            let first = Last::default();
            socket.extensions.insert(first.clone());
            first
        });
        let (end, ended) = oneshot::channel();
        let mut last = last.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            before: last.replace(ended),
            _end: end,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use strangler::testing::{EventServer, Outcome};

    fn app() -> NativeApp {
        let database = Database::new("sqlite:missing.db", Path::new("")).unwrap();
        serve(NativeApp::new(), &database)
    }

    #[tokio::test]
    async fn only_new_clients_are_announced() {
        let server = EventServer::new(app());
        let mut first = server.connected(&["/"]).await;
        assert_eq!(first.text().await, r#"42["hello","from server"]"#);
        let mut replayed = server.open().await;
        replayed.was_there_before("/");
        replayed.connect("/").await;
        let packet = r#"["message",{"status":"delete_ic","ic":"1"}]"#;
        assert_eq!(replayed.event("/", packet).await, Outcome::Done);
        let hello = r#"42["hello","{\"status\":\"delete_ic\",\"ic\":\"1\"}"]"#;
        assert_eq!(replayed.text().await, hello);
        assert_eq!(first.text().await, hello);
    }

    #[tokio::test]
    async fn what_node_would_refuse_is_declined() {
        let mut client = EventServer::new(app()).connected(&["/"]).await;
        let packet = r#"["message",{"_placeholder":true,"num":1}]"#;
        let outcome = client.event_with("/", packet, &[b"picture"]).await;
        assert_eq!(outcome, Outcome::Declined);
    }

    #[tokio::test]
    async fn a_database_that_is_away_costs_only_the_name() {
        let mut client = EventServer::new(app()).connected(&["/"]).await;
        assert_eq!(client.text().await, r#"42["hello","from server"]"#);
        let packet = r#"["message",{"status":"tmp inserted wo pic","data":{"id":1021}}]"#;
        assert_eq!(client.event("/", packet).await, Outcome::Done);
        assert_eq!(
            client.text().await,
            r#"42["hello","{\"status\":\"tmp inserted wo pic\",\"data\":{\"id\":1021}}"]"#
        );
    }
}
