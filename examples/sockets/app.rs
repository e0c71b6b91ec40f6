//! Socket.IO handlers that do what tests/legacy/sockets/events.js does, for the namespaces `/` and `/custom`. What only
//! a whole server can do (closing a connection, refusing with data, dynamic namespaces) stays with Node.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use strangler::{ClientInfo, NativeApp, Settings, SettingsError};

use super::values::{Item, Items};

const ASK_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn build(settings: &Settings) -> Result<NativeApp, SettingsError> {
    let () = settings.parse::<NoKeys>().map(|NoKeys {}| ())?;
    Ok(["/", "/custom"].into_iter().fold(NativeApp::new(), serve))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

fn serve(app: NativeApp, namespace: &'static str) -> NativeApp {
    app.on_connect(namespace, greet)
        .on_event(namespace, "message", message)
        .on_event(namespace, "message-with-ack", message_with_ack)
        .on_event(namespace, "side", side)
        .on_event(namespace, "silent", async |_: SocketRef| {})
        .on_event(namespace, "whoami", whoami)
        .on_event(namespace, "join", join)
        .on_event(namespace, "leave", leave)
        .on_event(namespace, "tell", tell)
        .on_event(namespace, "tell-others", tell_others)
        .on_event(namespace, "tell-all", tell_all)
        .on_event(namespace, "ask", ask)
        .on_event(namespace, "burst", burst)
        .on_event(namespace, "big", big)
        .on_event(namespace, "big-binary", big_binary)
        .on_event(namespace, "kick", async |socket: SocketRef| {
            socket.disconnect().ok();
        })
        .on_event(namespace, "throw", throw)
}

async fn throw(_: SocketRef) {
    panic!("on purpose");
}

/// A client that was there before this side was attached has been greeted.
pub(crate) async fn greet(socket: SocketRef, TryData(auth): TryData<Value>) {
    if !ClientInfo::of(&socket).is_some_and(|client| client.replayed) {
        let auth = auth.unwrap_or_else(|_| json!({}));
        socket.emit("auth", &auth).ok();
    }
}

pub(crate) async fn message(socket: SocketRef, Data(items): Data<Items>) {
    socket.emit("message-back", &items).ok();
}

pub(crate) async fn message_with_ack(Data(items): Data<Items>, reply: AckSender) {
    reply.send(&items).ok();
}

/// Says who answers, so that a client can tell the sides apart.
async fn side(socket: SocketRef, Data(Items(mut items)): Data<Items>) {
    items.insert(0, Item::Text("native".to_owned()));
    socket.emit("side-back", &Items(items)).ok();
}

/// By Node's id where there is one, as the client knows itself.
async fn whoami(socket: SocketRef, client: ClientInfo, reply: AckSender) {
    let id = client.node_id.unwrap_or_else(|| socket.id.to_string());
    let rooms: Vec<String> = socket.rooms().iter().map(ToString::to_string).collect();
    let answer = json!({ "id": id, "namespace": socket.ns(), "recovered": false, "rooms": rooms });
    reply.send(&answer).ok();
}

async fn join(socket: SocketRef, Data(room): Data<String>, reply: AckSender) {
    socket.join(room);
    reply.send(&Items::default()).ok();
}

async fn leave(socket: SocketRef, Data(room): Data<String>, reply: AckSender) {
    socket.leave(room);
    reply.send(&Items::default()).ok();
}

async fn tell(socket: SocketRef, Data(Items(mut items)): Data<Items>) {
    if !items.is_empty()
        && let Item::Text(room) = items.remove(0)
    {
        socket.within(room).emit("told", &Items(items)).await.ok();
    }
}

async fn tell_others(socket: SocketRef, Data(items): Data<Items>) {
    socket.broadcast().emit("told", &items).await.ok();
}

pub(crate) async fn tell_all(io: SocketIo, socket: SocketRef, Data(items): Data<Items>) {
    let Some(everybody) = io.of(socket.ns()) else {
        return;
    };
    everybody.emit("told", &items).await.ok();
}

async fn ask(socket: SocketRef, Data(items): Data<Items>) {
    let question = socket.timeout(ASK_TIMEOUT);
    let Ok(answer) = question.emit_with_ack::<_, Item>("question", &items) else {
        return;
    };
    match answer.await {
        Ok(answer) => socket.emit("replied", &answer).ok(),
        Err(_) => socket.emit("unanswered", "operation has timed out").ok(),
    };
}

async fn burst(socket: SocketRef, Data(count): Data<u32>) {
    for number in 0..count {
        socket.emit("numbered", &number).ok();
    }
}

async fn big(socket: SocketRef, Data(count): Data<usize>) {
    socket.emit("big-back", &"x".repeat(count)).ok();
}

async fn big_binary(socket: SocketRef, Data(count): Data<usize>) {
    let data = Item::Bytes(Bytes::from(vec![0xe9; count]));
    socket.emit("big-back", &data).ok();
}
