//! Sessions as a client sees them, by the rules of the protocol document and by what Node's `engine.io` 6.5.5 was seen to
//! do. The clock is paused: it jumps to the next timer when nobody has anything to do.

mod bounds;
mod closing;
mod fuzz;
mod heartbeat;
mod polling;
mod upgrade;
mod websocket;

use bytes::Bytes;
use futures_channel::mpsc::{Sender, channel};
use futures_util::SinkExt;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::bridge::websocket::{Message as Frame, Role, WebSocket};

const LIMITS: Limits = Limits {
    ping_interval: Duration::from_secs(25),
    ping_timeout: Duration::from_secs(20),
    max_payload: 1_000_000,
};

/// A session in a task of its own, between a test's client and its application.
struct Running {
    visits: Sender<Visit>,
    orders: mpsc::UnboundedSender<Order>,
    heard: mpsc::UnboundedReceiver<Result<Message, Closed>>,
    task: JoinHandle<()>,
}

/// What the application does.
#[derive(Debug)]
enum Order {
    Send(Message),
    Hold(bool),
    Close,
    GoAway,
    Discard,
}

/// Bytes that a client's connection takes without being read.
const PIPE: usize = 256 * 1024;

type Client = WebSocket<DuplexStream>;

impl Running {
    fn new(session: Session, visits: Sender<Visit>) -> Self {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (hears, heard) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(session, ordered, hears));
        Self {
            visits,
            orders,
            heard,
            task,
        }
    }

    /// A session that has begun with a GET.
    async fn polling() -> Self {
        let (visits, mailbox) = channel(64);
        let (first, answer) = oneshot::channel();
        let session = Session::polling("the-sid", LIMITS, mailbox, first);
        let answer = answer.await.expect("the open packet");
        let open = concat!(
            r#"0{"sid":"the-sid","upgrades":["websocket"],"#,
            r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert_eq!(answer, Answer::payload(open.into()));
        Self::new(session, visits)
    }

    /// A session that has begun with a WebSocket.
    async fn websocket() -> (Self, Client) {
        let (visits, mailbox) = channel(64);
        let (near, far) = duplex(PIPE);
        let session = Session::websocket("the-sid", LIMITS, mailbox, Box::new(near));
        let mut client = WebSocket::new(far, Role::Client, 1 << 24);
        let running = Self::new(session, visits);
        let open = concat!(
            r#"0{"sid":"the-sid","upgrades":[],"#,
            r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert_eq!(receive(&mut client).await, Frame::Text(open.into()));
        (running, client)
    }

    async fn visit(&self, visit: Visit) {
        assert!(
            self.visits.clone().send(visit).await.is_ok(),
            "the session is over"
        );
    }

    /// Begins a GET.
    async fn get(&self) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        self.visit(Visit::Poll { answer }).await;
        answered
    }

    /// A whole GET.
    async fn poll(&self) -> String {
        let answer = self.get().await.await.expect("an answer");
        assert_eq!(
            (answer.status, answer.content_type),
            (200, Some("text/plain; charset=UTF-8"))
        );
        text(&answer.body)
    }

    /// Begins a POST whose body is still to come.
    async fn upload(&self) -> (oneshot::Sender<Upload>, oneshot::Receiver<Answer>) {
        let (sends, upload) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        self.visit(Visit::Post { upload, answer }).await;
        (sends, answered)
    }

    /// A whole POST, which is always answered alike.
    async fn post(&self, body: impl Into<Bytes>) {
        let (upload, answer) = self.upload().await;
        upload
            .send(Upload::Whole(body.into()))
            .expect("the session reads it");
        assert_eq!(answer.await.expect("an answer"), Answer::ok());
    }

    async fn connect(&self) -> Client {
        let (near, far) = duplex(PIPE);
        self.visit(Visit::WebSocket(Box::new(near))).await;
        WebSocket::new(far, Role::Client, 1 << 24)
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the session runs");
    }

    fn send(&self, text: &'static str) {
        self.order(Order::Send(Message::Text(text.into())));
    }

    async fn hear(&mut self) -> Result<Message, Closed> {
        self.heard.recv().await.expect("the session runs")
    }

    async fn hear_text(&mut self) -> String {
        match self.hear().await {
            Ok(Message::Text(heard)) => text(&heard),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the end, before which the client says nothing more.
    async fn closed(&mut self) -> Closed {
        self.hear().await.expect_err("no message")
    }

    /// Waits until all goodbyes are said.
    async fn gone(self) {
        self.task.await.expect("no panic");
    }

    /// The session goes on: a message passes.
    async fn assert_open(&mut self) {
        self.post("4still").await;
        assert_eq!(self.hear_text().await, "still");
    }
}

async fn run(
    mut session: Session,
    mut orders: mpsc::UnboundedReceiver<Order>,
    hears: mpsc::UnboundedSender<Result<Message, Closed>>,
) {
    loop {
        tokio::select! {
            biased;
            Some(order) = orders.recv() => match order {
                Order::Send(message) => session.send(message),
                Order::Hold(hold) => session.hold(hold),
                Order::Close => return session.close(()).await,
                Order::GoAway => return session.go_away(()).await,
                Order::Discard => return session.discard(),
            },
            heard = session.next() => {
                let over = heard.is_err();
                // A test that has heard enough does not listen.
                let _ = hears.send(heard);
                if over {
                    return session.close(()).await;
                }
            }
        }
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

async fn send(client: &mut Client, text: &'static str) {
    send_frame(client, &Frame::Text(text.into())).await;
}

async fn send_frame(client: &mut Client, frame: &Frame) {
    client.queue(frame);
    client.flush().await.expect("the session reads");
}

async fn receive(client: &mut Client) -> Frame {
    client.next().await.expect("no end").expect("no error")
}

async fn receive_text(client: &mut Client) -> String {
    match receive(client).await {
        Frame::Text(received) => text(&received),
        other => panic!("{other:?}"),
    }
}

/// The session closes this WebSocket; answers and expects the end of the stream.
async fn expect_close(client: &mut Client, code: Option<u16>) {
    let reason = code.map(|code| (code, Bytes::new()));
    assert_eq!(receive(client).await, Frame::Close(reason.clone()));
    // The session may have closed its end already.
    client.queue(&Frame::Close(reason));
    let _ = client.flush().await;
    assert!(client.next().await.is_none());
}

/// A poll after the end of a session finds nobody; one that was under way is told.
async fn expect_unknown(running: &Running) {
    let (answer, answered) = oneshot::channel();
    if running
        .visits
        .clone()
        .send(Visit::Poll { answer })
        .await
        .is_ok()
    {
        assert_eq!(answered.await, Ok(Refused::UnknownSid.answer()));
    }
}
