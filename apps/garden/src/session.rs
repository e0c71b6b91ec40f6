//! One connection: a message after the other, its keep-alive, and what the user's other devices push.

use std::error::Error;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use bytes::Bytes;
use time::OffsetDateTime;
use tokio::select;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::Garden;
use super::database::Failure;
use super::devices::Device;
use super::message::{self, ClientMessage, GameState};

/// What a client may say at once.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// Up to here a message that is too long is read, so that the connection need not be reset and the client learns why.
const READ_LIMIT: usize = 256 * 1024;

/// Connections are many and mostly silent; the library would hold 128 KiB for each.
const READ_BUFFER: usize = 4 * 1024;

/// How long a client may take to end a connection that is being closed; as `ws` does.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// When a silent client is asked, and given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeepAlive {
    pub(super) ping_interval: Duration,
    /// Who has sent no frame for longer is gone at the next ping.
    pub(super) client_timeout: Duration,
}

/// Accepts the handshake. No sub-protocol is ever chosen.
pub(super) fn start(upgrade: WebSocketUpgrade, garden: Garden, user: Option<String>) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_frame_size(READ_LIMIT)
        .max_message_size(READ_LIMIT)
        .on_upgrade(async move |socket| {
            let device = user.map(|user| garden.devices.join(user));
            Session { socket, device }.run(&garden).await;
        })
}

struct Session {
    socket: WebSocket,
    /// None for somebody whom nobody knows.
    device: Option<Device>,
}

impl Session {
    async fn run(mut self, garden: &Garden) {
        let KeepAlive {
            ping_interval,
            client_timeout,
        } = garden.keep_alive;
        let mut heard = Instant::now();
        let mut ticks = interval_at(heard + ping_interval, ping_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let said = select! {
                received = self.socket.recv() => {
                    let message = match received {
                        Some(Ok(message)) => message,
                        Some(Err(error)) => return self.fail(&error).await,
                        None => return,
                    };
                    heard = Instant::now();
                    match message {
                        Message::Text(text) if text.len() <= MESSAGE_LIMIT => {
                            Message::Text(answer(garden, self.device.as_ref(), &text).await)
                        }
                        Message::Binary(bytes) if bytes.len() <= MESSAGE_LIMIT => {
                            Message::Text(Utf8Bytes::from_static(message::BINARY_NOT_SUPPORTED))
                        }
                        Message::Text(_) | Message::Binary(_) => {
                            return self.close(close_code::SIZE).await;
                        }
                        // The library has answered a ping, and answers a close when it is asked for more.
                        Message::Ping(_) | Message::Pong(_) => continue,
                        Message::Close(_) => return self.drain().await,
                    }
                }
                text = pushed(self.device.as_mut()) => Message::Text(text),
                _ = ticks.tick() => {
                    // Without a close frame, so that the client sees an abnormal end and reconnects.
                    if heard.elapsed() > client_timeout {
                        return;
                    }
                    Message::Ping(Bytes::new())
                }
            };
            // Who does not read is not heard either while this waits.
            match timeout(client_timeout, self.socket.send(said)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Ends a connection whose client broke the protocol, with the code that `ws` gives.
    async fn fail(self, error: &axum::Error) {
        // axum hides the library's type; its texts begin with the kind.
        let text = error.to_string();
        let code = if text.starts_with("Space limit exceeded") {
            close_code::SIZE
        } else if text.starts_with("UTF-8 encoding error") {
            close_code::INVALID
        } else if text.starts_with("WebSocket protocol error") {
            close_code::PROTOCOL
        } else {
            return;
        };
        self.close(code).await;
    }

    async fn close(mut self, code: u16) {
        let frame = Message::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::default(),
        }));
        if let Ok(Ok(())) = timeout(CLOSE_TIMEOUT, self.socket.send(frame)).await {
            self.drain().await;
        }
    }

    /// Reads what still comes: a connection with unread bytes would be reset, and the close frame be lost with it.
    async fn drain(mut self) {
        drop(self.device.take());
        let rest = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = timeout(CLOSE_TIMEOUT, rest).await;
    }
}

/// One answer a message: first what it means, then who asks, then the deed.
async fn answer(garden: &Garden, device: Option<&Device>, text: &str) -> Utf8Bytes {
    let Some(received) = ClientMessage::parse(text) else {
        return Utf8Bytes::from_static(message::INVALID_FORMAT);
    };
    let done = match (received, device) {
        (ClientMessage::Heartbeat, _) => return Utf8Bytes::from_static(message::HEARTBEAT),
        (_, None) => return Utf8Bytes::from_static(message::AUTH_REQUIRED),
        (ClientMessage::GetState, Some(device)) => get_state(garden, device).await,
        (ClientMessage::CreateCelestialBody { body_type, body }, Some(device)) => {
            create(garden, device, &body_type, &body).await
        }
        (ClientMessage::SaveGame(state), Some(device)) => save(garden, device, &state).await,
    };
    done.unwrap_or_else(|error| {
        let cause = error.source().map(ToString::to_string);
        tracing::error!(%error, cause, "a message of the game is answered with an error");
        Utf8Bytes::from_static(message::INTERNAL_ERROR)
    })
}

async fn get_state(garden: &Garden, device: &Device) -> Result<Utf8Bytes, Failure> {
    let state = garden.database.load(&device.user).await?;
    Ok(message::state_update(&state, OffsetDateTime::now_utc()).into())
}

async fn create(
    garden: &Garden,
    device: &Device,
    body_type: &str,
    body: &str,
) -> Result<Utf8Bytes, Failure> {
    let state = garden.database.append(&device.user, body).await?;
    tell_others(device, &state);
    Ok(message::body_created(body_type).into())
}

async fn save(garden: &Garden, device: &Device, state: &GameState) -> Result<Utf8Bytes, Failure> {
    garden.database.save(&device.user, state).await?;
    tell_others(device, state);
    Ok(Utf8Bytes::from_static(message::GAME_SAVED))
}

fn tell_others(device: &Device, state: &GameState) {
    if device.has_others() {
        device.push(message::state_update(state, OffsetDateTime::now_utc()).into());
    }
}

async fn pushed(device: Option<&mut Device>) -> Utf8Bytes {
    match device {
        Some(device) => device.pushed().await,
        None => std::future::pending().await,
    }
}
