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
use crate::native::http_runtime::HttpRuntime;
use crate::native::js_json::{Object, Value, stringify};
use crate::native::{ClientInfo, Decline, NativeApp, events::extract::RawEvent};

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
    use crate::native::events::tests::{Attached, Leg, Outcome, service};

    fn app() -> NativeApp {
        let database = Database::new("sqlite:missing.db", Path::new("")).unwrap();
        serve(NativeApp::new(), &database)
    }

    #[tokio::test]
    async fn only_new_clients_are_announced() {
        let service = service(app());
        let mut first = Leg::connected(&service, &["/"]).await;
        assert_eq!(first.text().await, r#"42["hello","from server"]"#);
        let mut replayed = Leg::open(&service).await;
        replayed.tickets.attach(
            "/",
            Attached {
                node_id: None,
                replayed: true,
            },
        );
        replayed.connect("/").await;
        let packet = r#"["message",{"status":"delete_ic","ic":"1"}]"#;
        let id = replayed.event("/", "message", "7", packet).await;
        assert_eq!(replayed.outcome().await, (id, Outcome::Done));
        let hello = r#"42["hello","{\"status\":\"delete_ic\",\"ic\":\"1\"}"]"#;
        assert_eq!(replayed.text().await, hello);
        assert_eq!(first.text().await, hello);
    }

    #[tokio::test]
    async fn what_node_would_refuse_is_declined() {
        let mut leg = Leg::connected(&service(app()), &["/"]).await;
        let picture = leg.ticket(
            "/",
            "message",
            r#"["message",{"_placeholder":true,"num":1}]"#,
            vec![b"picture".as_slice().into()],
        );
        leg.write(r#"451-["message",{"_placeholder":true,"num":1}]"#)
            .await;
        leg.attachment(b"picture").await;
        assert_eq!(leg.outcome().await, (picture, Outcome::Declined));
    }

    #[tokio::test]
    async fn a_database_that_is_away_costs_only_the_name() {
        let mut leg = Leg::connected(&service(app()), &["/"]).await;
        assert_eq!(leg.text().await, r#"42["hello","from server"]"#);
        let packet = r#"["message",{"status":"tmp inserted wo pic","data":{"id":1021}}]"#;
        let id = leg.event("/", "message", "", packet).await;
        assert_eq!(
            leg.text().await,
            r#"42["hello","{\"status\":\"tmp inserted wo pic\",\"data\":{\"id\":1021}}"]"#
        );
        assert_eq!(leg.outcome().await, (id, Outcome::Done));
    }
}
