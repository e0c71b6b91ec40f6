//! The end of a tagged WebSocket. A close frame passes to the other end as any message does, with its code and reason,
//! and so does the answer to it: the proxy says one of its own only where nobody else is there to.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

use super::side::{Side, State};
use super::{Client, End, Tagged};
use crate::bridge::websocket::{Message, WebSocketError};

/// How long the other end may take to answer a close frame; as `ws` waits.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the last bytes may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

const GOING_AWAY: u16 = 1001;
const SERVICE_RESTART: u16 = 1012;

/// What marks the place in the stream of a side where the client broke off.
const MARK: &[u8] = b"strangler: the client is gone";

type Close = Option<(u16, Bytes)>;

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// A close frame of the client, or something that is no frame at all: nothing more comes from it.
    client_has_closed: bool,
    /// The client has a close frame, or it is on its way: nothing more goes to it.
    client_is_told: bool,
    node_is_told: bool,
    native_is_told: bool,
    /// The client's stream has ended.
    client_is_gone: bool,
    /// The client broke the protocol, and is owed this code.
    code: Option<u16>,
    /// Sides that have not yet answered everything that the client said before.
    marks: usize,
    /// One of them is native, whose leg is on its way: the mark comes behind what waits for it.
    mark_waits: bool,
    until: Option<Instant>,
}

impl Closing {
    pub(super) fn has_begun(&self) -> bool {
        self.until.is_some()
    }

    pub(super) fn client_has_closed(&self) -> bool {
        self.client_has_closed
    }

    pub(super) fn client_is_gone(&self) -> bool {
        self.client_is_gone
    }

    pub(super) fn client_is_told(&self) -> bool {
        self.client_is_told
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Whether a pong is the answer to our mark.
    pub(super) fn is_mark(&self, bytes: &[u8]) -> bool {
        self.code.is_some() && bytes == MARK
    }

    fn begin(&mut self, patience: Duration) {
        self.until.get_or_insert_with(|| Instant::now() + patience);
    }
}

impl Tagged {
    pub(super) fn client_closes(&mut self, close: Close) -> Result<(), End> {
        self.closing.client_has_closed = true;
        self.tell_sides(&close);
        if self.closing.client_is_told {
            return Err(End::Closed);
        }
        if !self.node.is_open() && !self.native.is_open() {
            return self.tell_client(close);
        }
        self.closing.begin(CLOSE_TIMEOUT);
        Ok(())
    }

    /// The client's stream has ended without a close frame, and so do those to the sides, behind what it said before. What
    /// they have still to say, it may still hear.
    pub(super) fn client_ends(&mut self) -> Result<(), End> {
        if !self.node.is_open() && !self.native.is_open() {
            return Err(End::Drop);
        }
        self.closing.client_has_closed = true;
        self.closing.client_is_gone = true;
        self.closing.begin(LAST_WORDS);
        Ok(())
    }

    pub(super) fn node_closes(&mut self, close: Close) -> Result<(), End> {
        if self.closing.node_is_told {
            // The answer to the close frame of the client, or of native.
            return self.tell_client(close);
        }
        let snapshot = self.snapshot();
        let needs_node = self.needs_node(&snapshot);
        let code = close.as_ref().map(|(code, _)| *code);
        let stops = matches!(code, Some(GOING_AWAY | SERVICE_RESTART)) && self.resumes(&snapshot);
        if self.closing.has_begun() || (needs_node && !stops) {
            return self.tell_client(close);
        }
        // It is Node that goes, and the client stays.
        if let State::Open(mut leg) = std::mem::replace(&mut self.node.state, State::Absent) {
            leg.socket.queue(&Message::Close(close));
            tokio::spawn(async move {
                let _ = timeout(LAST_WORDS, leg.socket.shutdown()).await;
            });
        }
        if needs_node {
            self.resume(&snapshot);
        }
        Ok(())
    }

    /// Where Node is attached, native may end the connection with an answer, but not before it was asked anything: then
    /// it only refuses a client that Node has accepted.
    pub(super) fn native_closes(&mut self, close: Close) -> Result<(), End> {
        let node_is_open = self.node.is_open();
        if self.closing.native_is_told {
            self.native.state = State::Absent;
            return if node_is_open {
                Ok(())
            } else {
                self.tell_client(close)
            };
        }
        if let Some(trial) = self.trial.take() {
            trial.end(false);
        }
        if !self.native_was_told && !self.node.is_absent() {
            return self.native_declines();
        }
        if let Some(node) = self.node.socket() {
            node.queue(&Message::Close(close.clone()));
            self.closing.node_is_told = true;
        }
        self.tell_client(close)
    }

    /// Passes a close frame of a side on. It is over when the client has said the same.
    fn tell_client(&mut self, close: Close) -> Result<(), End> {
        if !self.closing.client_is_told {
            self.closing.client_is_told = true;
            self.client.queue(&Message::Close(close));
        }
        if self.closing.client_has_closed {
            return Err(End::Closed);
        }
        self.closing.begin(CLOSE_TIMEOUT);
        Ok(())
    }

    fn tell_sides(&mut self, close: &Close) {
        let message = Message::Close(close.clone());
        if let Some(node) = self.node.socket()
            && !std::mem::replace(&mut self.closing.node_is_told, true)
        {
            node.queue(&message);
        }
        if let Some(native) = self.native.socket()
            && !std::mem::replace(&mut self.closing.native_is_told, true)
        {
            native.queue(&message);
        }
    }

    /// The client says what is no frame, or what it may not say: it is told why, behind the answers to what it said
    /// before. Node sees a client that broke off, and need not survive its frames.
    pub(super) fn refuse_client(&mut self, error: &WebSocketError) -> Result<(), End> {
        let Some(code) = error.close_code() else {
            return Err(End::Drop);
        };
        self.count_refused("malformed");
        self.closing.client_has_closed = true;
        self.closing.code = Some(code);
        // A server answers pings in the order of what it reads (§5.5.2: as soon as is practical).
        let mark = Message::Ping(Bytes::from_static(MARK));
        if let Some(node) = self.node.socket() {
            node.queue(&mark);
            self.closing.marks += 1;
        }
        if let Some(native) = self.native.socket() {
            native.queue(&mark);
            self.closing.marks += 1;
        } else if self.native.is_opening() && self.native.waiting_bytes() > 0 {
            self.closing.mark_waits = true;
            self.closing.marks += 1;
        }
        self.closing.begin(LAST_WORDS);
        self.check_marks()
    }

    /// The leg to native is there, or will not be.
    pub(super) fn mark_native(&mut self) -> Result<(), End> {
        if !std::mem::take(&mut self.closing.mark_waits) {
            return Ok(());
        }
        match self.native.socket() {
            Some(native) => native.queue(&Message::Ping(Bytes::from_static(MARK))),
            None => self.mark_passed()?,
        }
        Ok(())
    }

    pub(super) fn mark_passed(&mut self) -> Result<(), End> {
        self.closing.marks = self.closing.marks.saturating_sub(1);
        self.check_marks()
    }

    fn check_marks(&mut self) -> Result<(), End> {
        match self.closing.code {
            Some(code) if self.closing.marks == 0 => self.tell_client(Some((code, Bytes::new()))),
            _ => Ok(()),
        }
    }

    pub(super) fn side_lost_while_closing(&mut self) -> Result<(), End> {
        if self.closing.code.is_some() {
            return self.mark_passed();
        }
        let nobody_answers = !self.node.is_open() && !self.native.is_open();
        if nobody_answers && !self.closing.client_is_told {
            // It went without an answer, as the client shall see.
            return Err(End::Drop);
        }
        Ok(())
    }

    pub(super) fn closing_overdue(&mut self) -> Result<(), End> {
        match self.closing.code {
            Some(code) => self.tell_client(Some((code, Bytes::new()))),
            None => Err(End::Drop),
        }
    }

    /// The proxy stops.
    pub(super) fn go_away(&mut self) -> Result<(), End> {
        let close = Some((GOING_AWAY, Bytes::new()));
        self.tell_sides(&close);
        self.tell_client(close)?;
        Err(End::Closed)
    }

    /// Writes what is left to be written, and ends the client's stream: with a close frame on it, as servers do, once
    /// the client has answered (§7.1.1).
    pub(super) async fn finish(self, end: End) {
        let Self {
            mut client,
            mut node,
            mut native,
            closing,
            mut stop,
            ..
        } = self;
        let sides = async move {
            let flushed = async { tokio::join!(flush_side(&mut node), flush_side(&mut native)) };
            let _ = timeout(LAST_WORDS, flushed).await;
        };
        let client = async move {
            if end == End::Drop {
                let _ = timeout(LAST_WORDS, client.flush()).await;
                return;
            }
            tokio::select! {
                () = part(&mut client, closing.client_has_closed) => {}
                () = sleep(CLOSE_TIMEOUT) => {}
                () = async {
                    // An error says that there is nobody left who could stop.
                    let _ = stop.wait_for(|stop| *stop).await;
                    sleep(LAST_WORDS).await;
                } => {}
            }
        };
        tokio::join!(sides, client);
    }
}

/// Waits for the client's answer to a close frame, and for it to end its stream after ours.
async fn part(client: &mut Client, has_closed: bool) {
    let mut waits = client.flush().await.is_ok() && !has_closed;
    while waits {
        let next = client.next().await;
        waits = matches!(next, Some(Ok(message)) if !matches!(message, Message::Close(_)));
    }
    client.shutdown().await;
    // A stream with unread bytes would be reset, and the close frame be lost with it.
    poll_fn(|context| client.poll_drain(context)).await;
}

/// A side gets what the client said before it left, also where the leg is only on its way.
async fn flush_side<S, E>(side: &mut Side<S, E>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if side.waiting_bytes() > 0
        && let State::Opening(task) = &mut side.state
        && let Ok(Ok(leg)) = task.await
    {
        side.open(leg);
    }
    side.flush().await;
}
