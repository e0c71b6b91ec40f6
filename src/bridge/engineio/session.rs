//! The state of one client, as Node's `Socket` keeps it: which transport it has, whether another is being probed, what
//! waits to be written, and how all of it ends.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use super::codec::{Packet, Payload};
use super::farewell::{Farewells, Goodbye};
use super::heartbeat::{Beat, Heartbeat};
use super::polling::Polling;
use super::{Answer, Closed, Limits, Message, Refused, Stream, Visit};
use crate::bridge::websocket::{self, WebSocketError};

/// How long a client may take to upgrade.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// While a client upgrades, its poll is ended this often, since it waits for that.
const UPGRADE_POLL: Duration = Duration::from_millis(100);

/// How long a client that does not poll may take to fetch our close packet.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that are encoded ahead of the stream.
const ENCODED_AHEAD: usize = 64 * 1024;

/// Says in a ping and its pong that they are no heartbeat.
const PROBE: &[u8] = b"probe";

type WebSocket = websocket::WebSocket<Box<dyn Stream>>;

/// One client's session. All of it runs inside [`Session::next`] and [`Session::close`].
pub(crate) struct Session {
    limits: Limits,
    mailbox: mpsc::Receiver<Visit>,
    state: State,
    transport: Transport,
    /// A WebSocket that has not said yet that it takes over.
    probe: Option<Box<Probe>>,
    upgraded: bool,
    /// A POST whose packets are being given out.
    posted: Option<Posted>,
    packets: VecDeque<Packet>,
    packets_bytes: usize,
    heartbeat: Heartbeat,
    /// Messages of the client are left where they are.
    held: bool,
    /// What a WebSocket is closed with, when we close it.
    close_code: Option<u16>,
    /// When the client's time for our close packet is over.
    close_at: Option<Instant>,
    farewells: Farewells,
    /// Rings at the first of all these times, or earlier, as it is not set anew for each packet.
    alarm: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// What waits is still written; nothing else is sent or heard.
    Closing,
    Closed(Closed),
}

enum Transport {
    Polling(Polling),
    WebSocket {
        websocket: WebSocket,
        /// It takes no more. What the client has said before may still come.
        broken: bool,
    },
}

struct Probe {
    websocket: WebSocket,
    ends_at: Instant,
    /// When to end a poll, once the client has probed.
    poll_at: Option<Instant>,
}

struct Posted {
    payload: Payload,
    answer: oneshot::Sender<Answer>,
}

impl Session {
    /// A session that begins with a GET, which gets the open packet at once.
    pub(crate) fn polling(
        sid: &str,
        limits: Limits,
        mailbox: mpsc::Receiver<Visit>,
        first: oneshot::Sender<Answer>,
    ) -> Self {
        let mut polling = Polling::default();
        polling.wait(first);
        let open = Packet::open(sid, &["websocket"], &limits);
        // As in Node, a client that is gone by now is left to the heartbeat.
        let _ = polling.write(&[open].into());
        Self::new(limits, mailbox, Transport::Polling(polling))
    }

    /// A session that begins with a WebSocket.
    pub(crate) fn websocket(
        sid: &str,
        limits: Limits,
        mailbox: mpsc::Receiver<Visit>,
        stream: Box<dyn Stream>,
    ) -> Self {
        let transport = Transport::websocket(open_websocket(stream, &limits));
        let mut session = Self::new(limits, mailbox, transport);
        session.push(Packet::open(sid, &[], &limits));
        session
    }

    fn new(limits: Limits, mailbox: mpsc::Receiver<Visit>, transport: Transport) -> Self {
        Self {
            limits,
            mailbox,
            state: State::Open,
            transport,
            probe: None,
            upgraded: false,
            posted: None,
            packets: VecDeque::new(),
            packets_bytes: 0,
            heartbeat: Heartbeat::new(limits, Instant::now()),
            held: false,
            close_code: None,
            close_at: None,
            farewells: Farewells::default(),
            alarm: None,
        }
    }

    /// The client's next message, or why there will be none. Loses nothing when it is dropped. After an error,
    /// [`Session::close`] still brings our last words to the client.
    pub(crate) async fn next(&mut self) -> Result<Message, Closed> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Queues a message. It is written by [`Session::next`].
    pub(crate) fn send(&mut self, message: Message) {
        if self.state == State::Open {
            self.push(Packet::Message(message));
        }
    }

    /// Bytes that wait for the client to take them.
    pub(crate) fn queued(&self) -> usize {
        let encoded = match &self.transport {
            Transport::Polling(_) => 0,
            Transport::WebSocket { websocket, .. } => websocket.queued(),
        };
        self.packets_bytes + encoded
    }

    /// While a session is held, [`Session::next`] goes on but takes no message of the client: its WebSocket is not read, and
    /// its POSTs are not answered. So it cannot show either that it lives, and it does not have to.
    pub(crate) fn hold(&mut self, hold: bool) {
        if self.held && !hold {
            self.heartbeat.listen(Instant::now());
        }
        self.held = hold;
    }

    /// Closes the session as `socket.close()` does in Node: what waits is written first, as long as the client shows
    /// that it lives, and then it gets the time that Node gives it to close its end.
    pub(crate) async fn close(mut self) {
        self.hold(false);
        if self.state == State::Open {
            self.state = State::Closing;
        }
        while self.next().await.is_ok() {}
        poll_fn(|context| {
            loop {
                self.farewells.expire(Instant::now());
                if self.farewells.poll(context).is_ready() {
                    return Poll::Ready(());
                }
                ready!(self.poll_alarm(context));
            }
        })
        .await;
    }

    /// The same for a proxy that stops: a WebSocket hears 1001, "going away".
    pub(crate) async fn go_away(mut self) {
        self.close_code = Some(1001);
        self.close().await;
    }

    /// Drops the transport without a word.
    pub(crate) fn discard(self) {
        drop(self);
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        loop {
            let now = Instant::now();
            self.check_clock(now);
            let _ = self.farewells.poll(context);
            self.poll_flush(context, now);
            if let Some(message) = self.next_posted(now) {
                return Poll::Ready(Ok(message));
            }
            if let State::Closed(reason) = self.state {
                return Poll::Ready(Err(reason));
            }
            // Requests are rare, and a client that never pauses must not keep them waiting.
            if self.poll_requests(context, now).is_ready()
                || self.poll_mailbox(context, now).is_ready()
                || self.poll_probe(context, now).is_ready()
            {
                continue;
            }
            match self.poll_websocket(context, now) {
                Poll::Ready(Some(message)) => return Poll::Ready(Ok(message)),
                Poll::Ready(None) => continue,
                Poll::Pending => {}
            }
            ready!(self.poll_alarm(context));
        }
    }
}

/// Time.
impl Session {
    fn check_clock(&mut self, now: Instant) {
        while let Some(beat) = self.heartbeat.beat(now) {
            match beat {
                Beat::Ping if self.state == State::Open => self.push(Packet::Ping(Bytes::new())),
                Beat::Ping => {}
                Beat::Gone if self.held => self.heartbeat.listen(now),
                Beat::Gone => return self.end(Closed::PingTimeout, now),
            }
        }
        if self.close_at.is_some_and(|at| at <= now) {
            return self.end(Closed::ForcedClose, now);
        }
        self.farewells.expire(now);
        let Some(probe) = &mut self.probe else {
            return;
        };
        if probe.ends_at <= now {
            return self.reject_probe(Goodbye::Ours(None), now);
        }
        if probe.poll_at.is_some_and(|at| at <= now) {
            probe.poll_at = Some(now + UPGRADE_POLL);
            if let Transport::Polling(polling) = &mut self.transport
                && polling.write(&[Packet::Noop].into()).is_err()
            {
                self.end(Closed::TransportError, now);
            }
        }
    }

    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let probe = self.probe.as_ref();
        let times = [
            self.heartbeat.at(),
            self.close_at,
            self.farewells.at(),
            probe.map(|probe| probe.ends_at),
            probe.and_then(|probe| probe.poll_at),
        ];
        let Some(at) = times.into_iter().flatten().min() else {
            return Poll::Pending;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() > at || alarm.is_elapsed() {
            alarm.as_mut().reset(at);
        }
        alarm.as_mut().poll(context)
    }
}

/// Writing.
impl Session {
    fn push(&mut self, packet: Packet) {
        self.packets_bytes += packet.size();
        self.packets.push_back(packet);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>, now: Instant) {
        match &mut self.transport {
            Transport::Polling(polling) => {
                if polling.is_writable() && !self.packets.is_empty() {
                    let packets = std::mem::take(&mut self.packets);
                    self.packets_bytes = 0;
                    if polling.write(&packets).is_err() {
                        return self.end(Closed::TransportError, now);
                    }
                }
            }
            Transport::WebSocket { websocket, broken } => loop {
                while !*broken
                    && websocket.queued() < ENCODED_AHEAD
                    && let Some(packet) = self.packets.pop_front()
                {
                    self.packets_bytes -= packet.size();
                    queue(websocket, &packet);
                }
                if *broken || self.packets.is_empty() {
                    self.packets = VecDeque::new();
                    self.packets_bytes = 0;
                }
                match websocket.poll_flush(context) {
                    Poll::Ready(Ok(())) if !self.packets.is_empty() => {}
                    Poll::Ready(Err(_)) if !*broken => *broken = true,
                    Poll::Ready(_) | Poll::Pending => break,
                }
            },
        }
        if self.state == State::Closing && self.packets.is_empty() {
            self.close_transport(now);
        }
    }

    /// The end of a close of ours, when nothing waits any more.
    fn close_transport(&mut self, now: Instant) {
        if let Transport::Polling(polling) = &mut self.transport {
            if !polling.is_writable() {
                if !polling.closing {
                    polling.closing = true;
                    self.close_at = Some(now + CLOSE_TIMEOUT);
                }
                return;
            }
            if polling.closing {
                // Node wakes itself with an empty packet to send the one that it had put off.
                let _ = polling.write(&[Packet::Noop, Packet::Close].into());
            }
        }
        self.leave_transport(Some(Goodbye::Ours(self.close_code)), now);
        self.end(Closed::ForcedClose, now);
    }
}

/// Reading.
impl Session {
    /// What a packet of the transport in use means.
    fn receive(&mut self, packet: Packet, now: Instant) -> Option<Message> {
        if self.state != State::Open {
            return None;
        }
        self.heartbeat.heard(now);
        match packet {
            Packet::Message(message) => return Some(message),
            Packet::Pong(_) => self.heartbeat.pong(now),
            // Only servers ping.
            Packet::Ping(_) => self.end(Closed::TransportError, now),
            // Node has no use for these here; a close packet counts in a payload only.
            Packet::Open(_) | Packet::Close | Packet::Upgrade | Packet::Noop => {}
        }
        None
    }

    fn malformed(&mut self, now: Instant) {
        if self.state == State::Open {
            self.end(Closed::ParseError, now);
        }
    }

    fn next_posted(&mut self, now: Instant) -> Option<Message> {
        while !self.held
            && let Some(posted) = &mut self.posted
        {
            match posted.payload.next() {
                Some(Ok(Packet::Close)) => {
                    if let Transport::Polling(polling) = &mut self.transport {
                        // Not a close packet: the client knows.
                        let _ = polling.write(&[Packet::Noop].into());
                    }
                    self.end(Closed::TransportClose, now);
                }
                Some(Ok(packet)) => {
                    if let Some(message) = self.receive(packet, now) {
                        return Some(message);
                    }
                }
                Some(Err(_)) => self.malformed(now),
                None => self.answer_posted(),
            }
        }
        None
    }

    /// A POST is answered alike, whatever its packets did.
    fn answer_posted(&mut self) {
        if let Some(posted) = self.posted.take() {
            // A client that does not wait for this has still sent its packets.
            let _ = posted.answer.send(Answer::ok());
        }
    }

    fn poll_requests(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        let Transport::Polling(polling) = &mut self.transport else {
            return Poll::Pending;
        };
        if self.posted.is_none()
            && let Poll::Ready(upload) = polling.poll_upload(context)
        {
            match upload {
                Ok(body) => {
                    self.posted = Some(Posted {
                        payload: Payload::new(body.bytes),
                        answer: body.answer,
                    });
                }
                Err(_) => self.end(Closed::TransportError, now),
            }
            return Poll::Ready(());
        }
        polling
            .poll_gone(context)
            .map(|_| self.end(Closed::TransportError, now))
    }

    fn poll_websocket(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<Option<Message>> {
        let Transport::WebSocket { websocket, .. } = &mut self.transport else {
            return Poll::Pending;
        };
        if self.held {
            return Poll::Pending;
        }
        match ready!(poll_packet(websocket, context)) {
            Heard::Packet(packet) => return Poll::Ready(self.receive(packet, now)),
            Heard::Malformed => self.malformed(now),
            Heard::Goodbye(goodbye) => {
                let reason = match goodbye {
                    Goodbye::Violation(_) => Closed::TransportError,
                    Goodbye::Ours(_) | Goodbye::Theirs(_) => Closed::TransportClose,
                };
                self.leave_transport(Some(goodbye), now);
                self.end(reason, now);
            }
            Heard::End => {
                self.leave_transport(None, now);
                self.end(Closed::TransportClose, now);
            }
        }
        Poll::Ready(None)
    }
}

/// Requests.
impl Session {
    fn poll_mailbox(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        match ready!(self.mailbox.poll_recv(context)) {
            Some(visit) => {
                self.visit(visit, now);
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }

    fn visit(&mut self, visit: Visit, now: Instant) {
        // Whoever does not wait for an answer does not get one.
        match (visit, &mut self.transport) {
            (Visit::WebSocket(stream), _) => self.probe(stream, now),
            (
                Visit::Poll { answer } | Visit::Post { answer, .. } | Visit::Other { answer },
                Transport::WebSocket { .. },
            ) => {
                let _ = answer.send(Refused::BadRequest.answer());
            }
            (Visit::Poll { answer }, Transport::Polling(polling)) => {
                if polling.is_writable() {
                    self.end(Closed::TransportError, now);
                    let _ = answer.send(Answer::empty(400));
                } else {
                    polling.wait(answer);
                }
            }
            (Visit::Post { upload, answer }, Transport::Polling(polling)) => {
                if polling.is_posting() {
                    self.end(Closed::TransportError, now);
                    let _ = answer.send(Answer::empty(400));
                } else {
                    polling.receive(upload, answer);
                }
            }
            (Visit::Other { answer }, Transport::Polling(_)) => {
                let _ = answer.send(Answer::empty(500));
            }
        }
    }
}

/// The upgrade.
impl Session {
    fn probe(&mut self, stream: Box<dyn Stream>, now: Instant) {
        let websocket = open_websocket(stream, &self.limits);
        if self.upgraded || self.probe.is_some() {
            self.farewells.leave(websocket, Goodbye::Ours(None), now);
            return;
        }
        self.probe = Some(Box::new(Probe {
            websocket,
            ends_at: now + UPGRADE_TIMEOUT,
            poll_at: None,
        }));
    }

    fn poll_probe(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        let Some(probe) = &mut self.probe else {
            return Poll::Pending;
        };
        // Reading tells if it broke.
        let _ = probe.websocket.poll_flush(context);
        match ready!(poll_packet(&mut probe.websocket, context)) {
            Heard::Packet(Packet::Ping(data)) if data == PROBE => {
                queue(&mut probe.websocket, &Packet::Pong(data));
                probe.poll_at = Some(now + UPGRADE_POLL);
            }
            Heard::Packet(Packet::Upgrade) => self.upgrade(now),
            Heard::Packet(_) | Heard::Malformed => self.reject_probe(Goodbye::Ours(None), now),
            Heard::Goodbye(goodbye) => self.reject_probe(goodbye, now),
            Heard::End => self.probe = None,
        }
        Poll::Ready(())
    }

    fn reject_probe(&mut self, goodbye: Goodbye, now: Instant) {
        if let Some(probe) = self.probe.take() {
            self.farewells.leave(probe.websocket, goodbye, now);
        }
    }

    /// The probe takes over, with all that waits to be written.
    fn upgrade(&mut self, now: Instant) {
        if let Some(probe) = self.probe.take() {
            self.leave_transport(Some(Goodbye::Ours(None)), now);
            self.transport = Transport::websocket(probe.websocket);
            self.upgraded = true;
            self.close_at = None;
            self.heartbeat.upgraded();
        }
    }
}

/// The end.
impl Session {
    fn end(&mut self, reason: Closed, now: Instant) {
        if matches!(self.state, State::Closed(_)) {
            return;
        }
        self.state = State::Closed(reason);
        self.heartbeat.stop();
        self.packets = VecDeque::new();
        self.packets_bytes = 0;
        self.answer_posted();
        self.leave_transport(Some(Goodbye::Ours(None)), now);
        self.reject_probe(Goodbye::Ours(None), now);
        self.close_at = None;
        self.mailbox.close();
        while let Ok(visit) = self.mailbox.try_recv() {
            match visit {
                Visit::Poll { answer } | Visit::Post { answer, .. } | Visit::Other { answer } => {
                    let _ = answer.send(Refused::UnknownSid.answer());
                }
                Visit::WebSocket(stream) => {
                    let websocket = open_websocket(stream, &self.limits);
                    self.farewells.leave(websocket, Goodbye::Ours(None), now);
                }
            }
        }
    }

    /// Leaves an empty polling transport in its place. Without a goodbye, the client is gone.
    fn leave_transport(&mut self, goodbye: Option<Goodbye>, now: Instant) {
        match std::mem::replace(&mut self.transport, Transport::Polling(Polling::default())) {
            Transport::Polling(mut polling) => {
                // It does not matter any more whether the client hears it.
                let _ = polling.write(&[Packet::Close].into());
            }
            Transport::WebSocket { websocket, .. } => {
                if let Some(goodbye) = goodbye {
                    self.farewells.leave(websocket, goodbye, now);
                }
            }
        }
    }
}

impl Transport {
    fn websocket(websocket: WebSocket) -> Self {
        Self::WebSocket {
            websocket,
            broken: false,
        }
    }
}

fn open_websocket(stream: Box<dyn Stream>, limits: &Limits) -> WebSocket {
    WebSocket::new(stream, websocket::Role::Server, limits.max_payload)
}

fn queue(websocket: &mut WebSocket, packet: &Packet) {
    match packet.text() {
        Ok((kind, data)) => websocket.queue_prefixed(kind, data),
        Err(bytes) => websocket.queue(&websocket::Message::Binary(bytes.clone())),
    }
}

/// What came from a WebSocket.
enum Heard {
    Packet(Packet),
    Malformed,
    /// It is to be left like this.
    Goodbye(Goodbye),
    End,
}

fn poll_packet(websocket: &mut WebSocket, context: &mut Context<'_>) -> Poll<Heard> {
    loop {
        let heard = match ready!(websocket.poll_next(context)) {
            Some(Ok(websocket::Message::Text(text))) => {
                Packet::decode(&text).map_or(Heard::Malformed, Heard::Packet)
            }
            Some(Ok(websocket::Message::Binary(bytes))) => {
                Heard::Packet(Packet::Message(Message::Binary(bytes)))
            }
            Some(Ok(websocket::Message::Ping(payload))) => {
                // A peer that pings and never reads is owed no memory (RFC 6455 §5.5.3 asks for the last pong only).
                if websocket.queued() < ENCODED_AHEAD {
                    websocket.queue(&websocket::Message::Pong(payload));
                }
                let _ = websocket.poll_flush(context);
                continue;
            }
            Some(Ok(websocket::Message::Pong(_))) => continue,
            Some(Ok(websocket::Message::Close(reason))) => Heard::Goodbye(Goodbye::Theirs(reason)),
            Some(Err(WebSocketError::Violation(violation))) => {
                Heard::Goodbye(Goodbye::Violation(violation.close_code()))
            }
            Some(Err(WebSocketError::Stream(_))) | None => Heard::End,
        };
        return Poll::Ready(heard);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_idle_one_is_small() {
        assert!(size_of::<Session>() < 800, "{}", size_of::<Session>());
        let limits = Limits {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1000,
        };
        let (_visits, mailbox) = mpsc::channel(1);
        let (near, mut far) = duplex(1000);
        let mut session = Session::websocket("the-sid", limits, mailbox, Box::new(near));
        session.send(Message::Text("a text".into()));
        let mut written = [0; 100];
        tokio::select! {
            closed = session.next() => panic!("{closed:?}"),
            read = far.read_exact(&mut written) => read.map(drop).expect("two frames"),
        }
        assert_eq!(session.packets.capacity(), 0);
        assert_eq!(session.farewells.at(), None);
    }
}
