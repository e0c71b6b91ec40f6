//! Generated frames, valid and broken, to Node's `ws` directly and over the bridge: a client sees the same either way,
//! but for the differences that are listed here.
//!
//! * Fragments of Node reach the client as one message, and those of the client reach Node so.
//! * A length that is not in its shortest form (RFC 6455 §5.2) is refused with 1002; `ws` takes it.
//! * `max_payload` of the socket is a bound of its own.

use proptest::prelude::Rng;
use proptest::test_runner::{TestRng, TestRunner};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::{MIXED, PATH, World};
use crate::support::PATIENCE;
use crate::support::client::connect;
use crate::support::node::read_head;
use crate::support::websocket::handshake;

const CASES: usize = 320;

/// What both bounds are.
const LIMIT: u64 = 64 * 1024 * 1024;

/// What a client does.
#[derive(Debug, Clone)]
struct Case {
    bytes: Vec<u8>,
    /// Where the bytes are cut into writes.
    piece: usize,
}

#[tokio::test]
async fn generated_frames_have_nodes_answers() {
    let world = World::new("max_payload = \"64MiB\"", MIXED).await;
    let mut dice = Dice(TestRunner::deterministic().new_rng());
    let (mut refused, mut closed, mut ended) = (0, 0, 0);
    for number in 0..CASES {
        let case = dice.case(number);
        let direct = async {
            let stream = TcpStream::connect(world.server.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            converse(stream, &case).await
        };
        let bridged = async {
            let stream = connect(world.proxy.address, &world.proxy.tls);
            converse(stream.await.unwrap(), &case).await
        };
        let (direct, bridged) = tokio::join!(direct, bridged);
        assert!(
            bridged == direct,
            "{}\ninstead of\n{}\nfor {}",
            shown(&bridged),
            shown(&direct),
            shown(&[case.bytes])
        );
        match direct.last().map(Vec::as_slice) {
            Some([0x88, 0x03, 0xea | 0xef | 0xf1]) => refused += 1,
            Some([0x88, ..]) => closed += 1,
            _ => ended += 1,
        }
    }
    assert!(
        refused > 100 && closed > 60 && ended > 20,
        "{refused} {closed} {ended}"
    );
}

/// The first byte and the payload of every frame that a client gets, up to the end of the stream.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, case: &Case) -> Vec<Vec<u8>> {
    stream.write_all(&handshake(PATH, "")).await.unwrap();
    // Hundreds of them share the machine with all other tests.
    let head = timeout(3 * PATIENCE, read_head(&mut stream)).await.unwrap();
    assert!(head.unwrap().starts_with("HTTP/1.1 101 "));
    for piece in case.bytes.chunks(case.piece) {
        // Who is refused may be closed before the rest is said.
        if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    let mut frames = Vec::new();
    while let Some(frame) = timeout(PATIENCE, next(&mut stream))
        .await
        .unwrap_or_else(|_| panic!("no end after {frames:?} of {case:?}"))
    {
        let is_close = frame[0] == 0x88;
        frames.push(frame);
        if is_close {
            let _ = stream.shutdown().await;
        }
    }
    frames
}

async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let first = stream.read_u8().await.ok()?;
    let length = match stream.read_u8().await.ok()? {
        126 => u64::from(stream.read_u16().await.ok()?),
        127 => stream.read_u64().await.ok()?,
        length => u64::from(length),
    };
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut frame).await.ok()?;
    frame.insert(0, first);
    Some(frame)
}

/// The beginning of each.
fn shown(frames: &[Vec<u8>]) -> String {
    let shown = frames
        .iter()
        .map(|frame| format!("{} {:02x?}", frame.len(), &frame[..frame.len().min(200)]));
    shown.collect::<Vec<_>>().join("\n")
}

struct Dice(TestRng);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u32()).unwrap() % bound
    }

    fn case(&mut self, number: usize) -> Case {
        let mut bytes = Vec::new();
        for _ in 0..self.below(6) {
            self.message(&mut bytes);
        }
        match self.below(10) {
            0..4 => self.broken(&mut bytes),
            4..8 => {
                let close = self.close(number);
                self.frame(&mut bytes, 0x88, &close);
            }
            8 => {
                // In the middle of something.
                self.frame(&mut bytes, 0x81, b"never finished");
                bytes.truncate(bytes.len() - 1 - self.below(14));
                return self.ending(&bytes);
            }
            _ => return self.ending(&bytes),
        }
        if self.below(3) == 0 {
            // Nobody listens any more.
            self.message(&mut bytes);
        }
        let piece = [1, 7, 100, usize::MAX][self.below(4)].max(bytes.len() / 500);
        Case { bytes, piece }
    }

    /// Ends with a message that makes Node break off.
    fn ending(&mut self, bytes: &[u8]) -> Case {
        let mut all = Vec::new();
        self.frame(&mut all, 0x81, b"first");
        let mut last = Vec::new();
        self.frame(&mut last, 0x81, br#"!{"do":"terminate"}"#);
        all.extend(last);
        all.extend(bytes);
        Case {
            bytes: all,
            piece: usize::MAX,
        }
    }

    /// A frame of a client, under a mask.
    fn frame(&mut self, bytes: &mut Vec<u8>, first: u8, payload: &[u8]) {
        bytes.push(first);
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        let mask = self.0.next_u32().to_be_bytes();
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
    }

    fn text(&mut self) -> Vec<u8> {
        let piece = ["", "a", "é", "規則", "🚚", r#"{"type":"o"}"#, "\u{0}"][self.below(7)];
        piece.repeat(self.below(40)).into_bytes()
    }

    fn control(&mut self, bytes: &mut Vec<u8>) {
        let payload: Vec<u8> = (0..self.below(126))
            .map(|byte| byte.to_le_bytes()[0])
            .collect();
        let kind = [0x89, 0x8a][self.below(2)];
        self.frame(bytes, kind, &payload);
    }

    fn message(&mut self, bytes: &mut Vec<u8>) {
        match self.below(6) {
            0 => self.control(bytes),
            1 => {
                let size = [0, 1, 125, 126, 1000, 65_535, 65_536][self.below(7)];
                self.frame(bytes, 0x82, &vec![0xfe; size]);
            }
            2 | 3 => {
                let text = self.text();
                self.frame(bytes, 0x81, &text);
            }
            _ => {
                let (mut first, mut rest) = (self.below(2) + 1, self.text());
                while first > 0 || !rest.is_empty() {
                    let part: Vec<u8> = rest.drain(..self.below(rest.len() + 1)).collect();
                    let last = rest.is_empty();
                    let head = u8::try_from(first).unwrap() | if last { 0x80 } else { 0 };
                    first = 0;
                    self.frame(bytes, head, &part);
                    if !last && self.below(3) == 0 {
                        self.control(bytes);
                    }
                    if last {
                        break;
                    }
                }
            }
        }
    }

    /// Every code that there is, over all cases, and some that are none.
    fn close(&mut self, number: usize) -> Vec<u8> {
        if self.below(8) == 0 {
            return Vec::new();
        }
        let code = match self.below(3) {
            0 => 1000 + number % 16,
            1 => 3000 + self.below(2000),
            _ => [
                0, 999, 1016, 1100, 1999, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65_535,
            ][self.below(13)],
        };
        let mut payload = u16::try_from(code).unwrap().to_be_bytes().to_vec();
        let reason = self.text();
        payload.extend(&reason[..reason.len().min(self.below(124))]);
        if self.below(4) > 0 {
            // Otherwise it may be cut within a character.
            let valid = std::str::from_utf8(&payload[2..])
                .map_or_else(|error| error.valid_up_to(), str::len);
            payload.truncate(2 + valid);
        }
        payload
    }

    fn broken(&mut self, bytes: &mut Vec<u8>) {
        let reserved = [0x40, 0x20, 0x10, 0x70][self.below(4)];
        let kind = [1, 2, 8, 9, 10][self.below(5)];
        let control = [0x88, 0x89, 0x8a][self.below(3)];
        match self.below(12) {
            0 => self.frame(bytes, 0x80 | reserved | kind, b"x"),
            1 => {
                let opcode = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15][self.below(10)];
                self.frame(bytes, 0x80 | opcode, b"x");
            }
            // No mask.
            2 => bytes.extend([0x80 | kind, 2, b'x', b'y']),
            3 => self.frame(bytes, 0x80, b"of nothing"),
            4 => {
                self.frame(bytes, 0x01, b"begun");
                self.control(bytes);
                self.frame(bytes, 0x81, b"again");
            }
            5 => self.frame(bytes, control & !0x80, b"x"),
            6 => self.frame(bytes, control, &[b'x'; 126]),
            7 => self.frame(bytes, 0x88, b"x"),
            8 => {
                let wrong =
                    [&b"\xff"[..], b"\xc3", b"a\xed\xa0\x80", b"\xf4\x90\x80\x80"][self.below(4)];
                self.frame(bytes, 0x81, wrong);
            }
            9 => {
                // Each half is wrong in a way of its own, and so is the whole.
                self.frame(bytes, 0x01, b"\xe8\xa6");
                self.control(bytes);
                self.frame(bytes, 0x80, b"a");
            }
            10 => {
                // Only announced.
                let size = [LIMIT + 1, 1 << 40, 1 << 53, u64::MAX][self.below(4)];
                bytes.extend([0x82, 0xff]);
                bytes.extend(size.to_be_bytes());
                bytes.extend([0; 4]);
            }
            _ => {
                self.frame(bytes, 0x02, b"half of what");
                bytes.extend([0x80, 0xff]);
                bytes.extend((LIMIT - 1).to_be_bytes());
                bytes.extend([0; 4]);
            }
        }
    }
}

#[tokio::test]
async fn a_length_that_is_longer_than_it_needs_to_be_is_refused() {
    let world = World::new("", MIXED).await;
    let case = Case {
        bytes: [
            &[0x81, 0x80 | 126, 0, 1, 0, 0, 0, 0, b'x'][..],
            &[0x88, 0x80, 0, 0, 0, 0],
        ]
        .concat(),
        piece: usize::MAX,
    };
    let direct = TcpStream::connect(world.server.address).await.unwrap();
    assert_eq!(converse(direct, &case).await, [&b"\x81x"[..], b"\x88"]);
    let bridged = connect(world.proxy.address, &world.proxy.tls)
        .await
        .unwrap();
    assert_eq!(converse(bridged, &case).await, [b"\x88\x03\xea"]);
}

/// A client that only ends its half of the stream still hears what it is owed.
#[tokio::test]
async fn half_closes_have_nodes_answers() {
    let world = World::new("", MIXED).await;
    let mut dice = Dice(TestRunner::deterministic().new_rng());
    for number in 0..40 {
        let mut bytes = Vec::new();
        for _ in 0..=dice.below(6) {
            dice.message(&mut bytes);
        }
        if number % 2 == 0 {
            dice.frame(&mut bytes, 0x81, b"never finished");
            bytes.truncate(bytes.len() - 1 - dice.below(14));
        }
        let mut answers = Vec::new();
        for bridged in [false, true] {
            let frames = if bridged {
                let stream = connect(world.proxy.address, &world.proxy.tls)
                    .await
                    .unwrap();
                half_closed(stream, &bytes).await
            } else {
                let stream = TcpStream::connect(world.server.address).await.unwrap();
                half_closed(stream, &bytes).await
            };
            answers.push(frames);
        }
        assert_eq!(answers[1], answers[0], "{number}: {bytes:?}");
    }
}

async fn half_closed(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> Vec<Vec<u8>> {
    stream.write_all(&handshake(PATH, "")).await.unwrap();
    let head = timeout(PATIENCE, read_head(&mut stream)).await.unwrap();
    assert!(head.unwrap().starts_with("HTTP/1.1 101 "));
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = timeout(PATIENCE, next(&mut stream)).await.unwrap() {
        frames.push(frame);
    }
    frames
}
