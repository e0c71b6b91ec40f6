//! The native twin of tests/legacy/sockets with what can go wrong in it. The event `trouble` names it in its first
//! argument, and so does `native` in the auth of CONNECT. Where nothing does, `trouble` answers as `side`.

use std::future::pending;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use strangler::{App, Decline, NativeApp, Settings, SettingsError};
use tokio::sync::Semaphore;

use crate::support::hog::Hog;
use crate::support::sockets::SOCKETS_APP;

pub(super) const TROUBLE: App = App::new("trouble", build);

fn build(settings: &Settings) -> Result<NativeApp, SettingsError> {
    let app = (SOCKETS_APP.build)(settings)?;
    // Closed until somebody says `admit`.
    let gate = Arc::new(Semaphore::new(0));
    let hog = Arc::new(Hog::default());
    let app = hog.served_by(app);
    let serve = |app: NativeApp, namespace| {
        let (door, gate) = (Arc::clone(&gate), Arc::clone(&gate));
        let admit = move |auth| admit(auth, Arc::clone(&door));
        let hog = Arc::clone(&hog);
        let trouble = move |socket, io, event| trouble(socket, io, event, gate, hog);
        app.on_connect(namespace, connected.with(admit))
            .on_event(namespace, "trouble", trouble)
    };
    Ok(["/", "/custom"].into_iter().fold(app, serve))
}

async fn connected(_: SocketRef) {}

async fn admit(TryData(auth): TryData<Value>, gate: Arc<Semaphore>) -> Result<(), &'static str> {
    let auth = auth.unwrap_or_default();
    match auth["native"].as_str() {
        Some("refuse") => Err("not here"),
        Some("panic") => panic!("on purpose"),
        Some("hang") => pending().await,
        Some("wait") => {
            gate.acquire().await.expect("it is never closed").forget();
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn trouble(
    socket: SocketRef,
    io: SocketIo,
    Data((what, number)): Data<(String, Value)>,
    gate: Arc<Semaphore>,
    hog: Arc<Hog>,
) -> Result<(), Decline> {
    match what.as_str() {
        // Lets one client in that waits.
        "admit" => gate.add_permits(1),
        "decline" => return Err(Decline),
        "panic" => panic!("on purpose"),
        "hang" => pending().await,
        "hog" => hog.run(),
        // Ends each native leg without a word, and leaves nothing that a new one could connect to.
        "close" => io.close().await,
        // As fast as it can, `number` events of 16 KiB.
        "flood" => {
            let long = Attachment([7; 16 << 10]);
            for number in 0..number.as_u64().unwrap_or_default() {
                socket.emit("flooded", &(number, &long)).ok();
            }
        }
        _ => {
            socket.emit("side-back", &("native", what, number)).ok();
        }
    }
    Ok(())
}

struct Attachment([u8; 16 << 10]);

impl Serialize for Attachment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}
