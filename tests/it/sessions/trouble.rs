//! The native twin of tests/legacy/sockets with what can go wrong in it. The event `trouble` names it in its first
//! argument, and so does `native` in the auth of CONNECT. Where nothing does, `trouble` answers as `side`.

use std::future::pending;

use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use strangler::{App, Decline, NativeApp, Settings, SettingsError};

use crate::support::sockets::SOCKETS_APP;

pub(super) const TROUBLE: App = App {
    name: "trouble",
    build,
};

fn build(settings: &Settings) -> Result<NativeApp, SettingsError> {
    let app = (SOCKETS_APP.build)(settings)?;
    let serve = |app: NativeApp, namespace| {
        app.on_connect(namespace, connected.with(admit))
            .on_event(namespace, "trouble", trouble)
    };
    Ok(["/", "/custom"].into_iter().fold(app, serve))
}

async fn connected(_: SocketRef) {}

async fn admit(_: SocketRef, TryData(auth): TryData<Value>) -> Result<(), &'static str> {
    let auth = auth.unwrap_or_default();
    match auth["native"].as_str() {
        Some("refuse") => Err("not here"),
        Some("panic") => panic!("on purpose"),
        Some("hang") => pending().await,
        _ => Ok(()),
    }
}

async fn trouble(
    socket: SocketRef,
    io: SocketIo,
    Data((what, number)): Data<(String, Value)>,
) -> Result<(), Decline> {
    match what.as_str() {
        "decline" => return Err(Decline),
        "panic" => panic!("on purpose"),
        "hang" => pending().await,
        // Ends each native leg without a word, and leaves nothing that a new one could connect to.
        "close" => io.close().await,
        // As fast as it can, `number` texts of 16 KiB.
        "flood" => {
            let text = "x".repeat(16 << 10);
            for number in 0..number.as_u64().unwrap_or_default() {
                socket.emit("flooded", &json!([number, text])).ok();
            }
        }
        _ => {
            socket.emit("side-back", &("native", what, number)).ok();
        }
    }
    Ok(())
}
