//! The state of one client, as Node's `Socket` keeps it: which transport it has, whether another is being probed, what
//! waits to be written, and how all of it ends.

mod reading;
mod upgrade;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::mpsc;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use self::upgrade::Probe;
use super::codec::{Packet, Payload};
use super::farewell::{Farewells, Goodbye};
use super::heartbeat::{Beat, Heartbeat};
use super::polling::Polling;
use super::transport::{ENCODED_AHEAD, Transport, open_websocket, queue};
use super::{Answer, Closed, Limits, Message, Refused, Stream, Visit};

/// How long a client that does not poll may take to fetch our close packet.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

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

    /// Bytes of the client that are no whole message yet, or not given out.
    pub(crate) fn partial(&self) -> usize {
        let read = match &self.transport {
            Transport::Polling(_) => 0,
            Transport::WebSocket { websocket, .. } => websocket.partial(),
        };
        let posted = self.posted.as_ref();
        read + posted.map_or(0, |posted| posted.payload.bytes())
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
    ///
    /// Until then requests come in as before, and `known` is what lets them find it.
    pub(crate) async fn close<T>(mut self, known: T) {
        self.hold(false);
        // Node reads a POST to its end and answers it, also where one of its packets made somebody close.
        self.answer_posted();
        if self.state == State::Open {
            self.state = State::Closing;
        }
        while self.next().await.is_ok() {}
        drop(known);
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
    pub(crate) async fn go_away<T>(mut self, known: T) {
        self.close_code = Some(1001);
        self.close(known).await;
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
            probe.poll_at = Some(now + upgrade::POLL);
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
