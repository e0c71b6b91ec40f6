//! Sessions under clients made up at random.

use std::future::poll_fn;

use futures_util::FutureExt;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::codec::{Packet, Payload};
use super::*;

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(future);
}

/// What a client or its application does next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Poll,
    PollBriefly,
    Post(Vec<u8>),
    BeginPost,
    EndPost(usize),
    BreakPost(usize),
    TooBig(usize),
    Other,
    Connect(usize),
    Frame(usize, u8, Vec<u8>),
    Raw(usize, Vec<u8>),
    Disconnect(usize),
    Sleep(u64),
    Send(usize),
    Hold(bool),
    Close,
}

fn packets() -> impl Strategy<Value = Vec<u8>> {
    let packet = prop_oneof![
        6 => Just("4text".to_owned()),
        4 => Just("3".to_owned()),
        2 => Just("2probe".to_owned()),
        2 => Just("5".to_owned()),
        1 => Just("bAQID".to_owned()),
        1 => "[0-9b\u{1e}ä]{0,3}",
    ];
    vec(packet, 1..4).prop_map(|packets| packets.join("\u{1e}").into_bytes())
}

fn step() -> impl Strategy<Value = Step> {
    let few = || 0..4_usize;
    prop_oneof![
        4 => Just(Step::Poll),
        1 => Just(Step::PollBriefly),
        4 => packets().prop_map(Step::Post),
        1 => vec(any::<u8>(), 0..20).prop_map(Step::Post),
        2 => Just(Step::BeginPost),
        2 => few().prop_map(Step::EndPost),
        1 => few().prop_map(Step::BreakPost),
        1 => few().prop_map(Step::TooBig),
        1 => Just(Step::Other),
        2 => prop_oneof![Just(64), Just(100_000)].prop_map(Step::Connect),
        6 => (few(), Just(0x81), packets()).prop_map(|(at, first, data)| Step::Frame(at, first, data)),
        2 => (few(), prop_oneof![Just(0x82), Just(0x88), Just(0x89), any::<u8>()], packets())
            .prop_map(|(at, first, data)| Step::Frame(at, first, data)),
        1 => (few(), vec(any::<u8>(), 0..20)).prop_map(|(at, bytes)| Step::Raw(at, bytes)),
        1 => few().prop_map(Step::Disconnect),
        3 => prop_oneof![Just(0), 1..200_u64, 1..40_000_u64].prop_map(Step::Sleep),
        4 => prop_oneof![0..50_usize, Just(100_000)].prop_map(Step::Send),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => Just(Step::Close),
    ]
}

async fn chaos(steps: Vec<Step>) {
    let running = Running::polling().await;
    let mut answers = Vec::new();
    let mut uploads = Vec::new();
    let mut sockets: Vec<DuplexStream> = Vec::new();
    for step in steps {
        let (answer, answered) = oneshot::channel();
        let (sends, upload) = oneshot::channel();
        // After the end of the session nobody takes a visit or an order, nor reads what is written.
        match step {
            Step::Poll => {
                let _ = running.visits.clone().send(Visit::Poll { answer }).await;
                answers.push(answered);
            }
            Step::PollBriefly => {
                let _ = running.visits.clone().send(Visit::Poll { answer }).await;
            }
            Step::Post(body) => {
                let _ = sends.send(Upload::Whole(body.into()));
                let _ = running
                    .visits
                    .clone()
                    .send(Visit::Post { upload, answer })
                    .await;
                answers.push(answered);
            }
            Step::BeginPost => {
                let _ = running
                    .visits
                    .clone()
                    .send(Visit::Post { upload, answer })
                    .await;
                answers.push(answered);
                uploads.push(sends);
            }
            Step::EndPost(at) if at < uploads.len() => {
                let _ = uploads.remove(at).send(Upload::Whole("4posted".into()));
            }
            Step::BreakPost(at) if at < uploads.len() => drop(uploads.remove(at)),
            Step::TooBig(at) if at < uploads.len() => {
                let _ = uploads.remove(at).send(Upload::TooBig);
            }
            Step::Other => {
                let _ = running.visits.clone().send(Visit::Other { answer }).await;
                answers.push(answered);
            }
            Step::Connect(pipe) => {
                let (near, far) = duplex(pipe);
                let _ = running
                    .visits
                    .clone()
                    .send(Visit::WebSocket(Box::new(near)))
                    .await;
                sockets.push(far);
            }
            Step::Frame(at, first, data) if at < sockets.len() => {
                let length = u8::try_from(data.len()).expect("it is short");
                let frame = [&[first, 0x80 | length, 0, 0, 0, 0], data.as_slice()].concat();
                let _ = sockets[at].write_all(&frame).now_or_never();
            }
            Step::Raw(at, bytes) if at < sockets.len() => {
                let _ = sockets[at].write_all(&bytes).now_or_never();
            }
            Step::Disconnect(at) if at < sockets.len() => drop(sockets.remove(at)),
            Step::Sleep(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
            Step::Send(length) => {
                let text = Message::Text("x".repeat(length).into());
                let _ = running.orders.send(Order::Send(text));
            }
            Step::Hold(hold) => {
                let _ = running.orders.send(Order::Hold(hold));
            }
            Step::Close => {
                let _ = running.orders.send(Order::Close);
            }
            _ => {}
        }
        tokio::task::yield_now().await;
    }
    let _ = running.orders.send(Order::Hold(false));
    // Nobody answers pings from here on.
    timeout(Duration::from_secs(600), running.task)
        .await
        .expect("it ends")
        .expect("no panic");
    for mut answer in answers {
        match answer.try_recv() {
            Ok(Answer {
                status: 200,
                body,
                content_type,
            }) => {
                let whole = Payload::new(body).all(|packet| packet.is_ok());
                assert!(whole || content_type == Some("text/html"));
            }
            Ok(Answer { status, .. }) => assert!([400, 500].contains(&status), "{status}"),
            Err(oneshot::error::TryRecvError::Closed) => {}
            Err(oneshot::error::TryRecvError::Empty) => panic!("a request hangs"),
        }
    }
}

/// A client that does everything right: it polls and posts, upgrades at some time, and numbers what it says.
struct Honest {
    /// When the application says something, in milliseconds.
    down: Vec<u64>,
    up: Vec<u64>,
    upgrade: u64,
    /// Between its last poll and the end of the upgrade.
    pause: u64,
    pipe: usize,
}

impl Honest {
    async fn run(self) {
        let start = Instant::now();
        let at = |milliseconds| sleep_until(start + Duration::from_millis(milliseconds));
        let mut running = Running::polling().await;
        let orders = running.orders.clone();
        let (count_down, count_up) = (self.down.len(), self.up.len());
        let application = async {
            for (number, time) in self.down.into_iter().enumerate() {
                at(time).await;
                let text = Message::Text(number.to_string().into());
                assert!(orders.send(Order::Send(text)).is_ok());
            }
        };
        let (near, far) = duplex(self.pipe);
        let mut socket = WebSocket::new(far, Role::Client, 1 << 20);
        let client = async {
            let mut received = Vec::new();
            let mut says = self.up.iter().enumerate().peekable();
            let mut near = Some(near);
            let mut poll = Some(running.get().await);
            let mut probed = false;
            // Polls until a poll ends after the probe was answered.
            while let Some(answer) = poll.as_mut() {
                let next = says.peek().map_or(u64::MAX / 2, |(_, time)| **time);
                tokio::select! {
                    biased;
                    answer = answer => {
                        let answer = answer.expect("an answer");
                        assert_eq!(answer.status, 200);
                        for packet in Payload::new(answer.body) {
                            match packet.expect("a packet") {
                                Packet::Message(Message::Text(number)) => received.push(text(&number)),
                                Packet::Noop => assert!(probed),
                                Packet::Ping(_) => running.post("3").await,
                                other => panic!("{other:?}"),
                            }
                        }
                        poll = if probed { None } else { Some(running.get().await) };
                    }
                    () = at(next) => {
                        let number = says.next().expect("it was peeked").0;
                        running.post(format!("4{number}")).await;
                    }
                    () = at(self.upgrade), if near.is_some() => {
                        let stream = near.take().expect("it was there");
                        running.visit(Visit::WebSocket(Box::new(stream))).await;
                        send(&mut socket, "2probe").await;
                    }
                    answer = receive_text(&mut socket), if near.is_none() && !probed => {
                        assert_eq!(answer, "3probe");
                        probed = true;
                    }
                }
            }
            sleep(Duration::from_millis(self.pause)).await;
            send(&mut socket, "5").await;
            for (number, time) in says {
                at(*time).await;
                socket.queue(&Frame::Text(format!("4{number}").into()));
            }
            while received.len() < count_down {
                let packet = poll_fn(|context| {
                    let _ = socket.poll_flush(context);
                    socket.poll_next(context)
                });
                let Some(Ok(Frame::Text(packet))) = packet.await else {
                    panic!("no text");
                };
                match text(&packet).split_at(1) {
                    ("4", number) => received.push(number.to_owned()),
                    ("2", "") => socket.queue(&Frame::Text("3".into())),
                    _ => panic!("{packet:?}"),
                }
            }
            socket.flush().await.expect("the session reads");
            received
        };
        let both = async { tokio::join!(application, client) };
        let ((), received) = timeout(Duration::from_secs(60), both)
            .await
            .expect("nothing is lost");
        let numbers = |count: usize| (0..count).map(|number| number.to_string());
        assert_eq!(received, numbers(count_down).collect::<Vec<_>>());
        for number in numbers(count_up) {
            assert_eq!(running.hear_text().await, number);
        }
        send(&mut socket, "4end").await;
        assert_eq!(running.hear_text().await, "end");
    }
}

/// So many moments of a quarter of a second, in order.
fn moments() -> impl Strategy<Value = Vec<u64>> {
    vec(0..250_u64, 0..40).prop_map(|mut moments| {
        moments.sort_unstable();
        moments
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_every_request_is_answered_and_the_session_ends(steps in vec(step(), 0..40)) {
        block_on(chaos(steps));
    }

    #[test]
    fn an_upgrade_neither_loses_nor_doubles_nor_reorders(
        down in moments(),
        up in moments(),
        upgrade in 0..100_u64,
        pause in 0..50_u64,
        pipe in prop_oneof![Just(8_usize), Just(1000)],
    ) {
        block_on(Honest { down, up, upgrade, pause, pipe }.run());
    }
}
