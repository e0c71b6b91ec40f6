//! Packets, and payloads of several packets as polling carries them. Never performs I/O.
//!
//! It reads what Node's `engine.io-parser` 5 reads, to its lenient base64.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;

use super::{Limits, Message};

/// What data takes beside itself: it was allocated for it alone, and is counted by references.
const AROUND: usize = 64;

/// Stands between the packets of a payload.
const SEPARATOR: u8 = 0x1e;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Open(Bytes),
    Close,
    Ping(Bytes),
    Pong(Bytes),
    Message(Message),
    Upgrade,
    Noop,
}

/// No packet begins like this.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Packet {
    pub(super) fn open(sid: &str, upgrades: &[&str], limits: &Limits) -> Self {
        /// In Node's order.
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Open<'a> {
            sid: &'a str,
            upgrades: &'a [&'a str],
            ping_interval: u64,
            ping_timeout: u64,
            max_payload: usize,
        }
        let open = serde_json::to_vec(&Open {
            sid,
            upgrades,
            ping_interval: milliseconds(limits.ping_interval),
            ping_timeout: milliseconds(limits.ping_timeout),
            max_payload: limits.max_payload,
        });
        Self::Open(open.expect("text and numbers are JSON").into())
    }

    /// From the text of a WebSocket, or one part of a payload. It must be UTF-8.
    pub(super) fn decode(text: &Bytes) -> Result<Self, Malformed> {
        let data = || text.slice(1..);
        match text.first() {
            Some(b'0') => Ok(Self::Open(data())),
            Some(b'1') => Ok(Self::Close),
            Some(b'2') => Ok(Self::Ping(data())),
            Some(b'3') => Ok(Self::Pong(data())),
            Some(b'4') => Ok(Self::Message(Message::Text(data()))),
            Some(b'5') => Ok(Self::Upgrade),
            Some(b'6') => Ok(Self::Noop),
            Some(b'b') => Ok(Self::Message(Message::Binary(decode_base64(&text[1..])))),
            _ => Err(Malformed),
        }
    }

    /// The type and the data of a packet that is a text; the rest is binary.
    pub(super) fn text(&self) -> Result<(&'static str, &[u8]), &Bytes> {
        match self {
            Self::Open(data) => Ok(("0", data)),
            Self::Close => Ok(("1", &[])),
            Self::Ping(data) => Ok(("2", data)),
            Self::Pong(data) => Ok(("3", data)),
            Self::Message(Message::Text(data)) => Ok(("4", data)),
            Self::Upgrade => Ok(("5", &[])),
            Self::Noop => Ok(("6", &[])),
            Self::Message(Message::Binary(bytes)) => Err(bytes),
        }
    }

    /// Bytes that it takes while it waits. Many very small ones take more than their data.
    pub(super) fn size(&self) -> usize {
        let data = self.text().map_or_else(Bytes::len, |(_, data)| data.len());
        data + size_of::<Self>() + AROUND
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Joins packets to a payload.
pub(super) fn encode_payload(packets: &VecDeque<Packet>) -> Bytes {
    let sizes = packets.iter().map(|packet| match packet.text() {
        Ok((_, data)) => data.len() + 2,
        Err(bytes) => bytes.len().div_ceil(3) * 4 + 2,
    });
    let mut payload = Vec::with_capacity(sizes.sum());
    for packet in packets {
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        match packet.text() {
            Ok((kind, data)) => {
                payload.extend_from_slice(kind.as_bytes());
                payload.extend_from_slice(data);
            }
            Err(bytes) => {
                payload.push(b'b');
                payload.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            }
        }
    }
    payload.into()
}

/// The packets of a payload, one by one, up to the first that is malformed.
#[derive(Debug)]
pub(super) struct Payload {
    rest: Option<Bytes>,
    size: usize,
}

impl Payload {
    /// Bytes that are not given out.
    pub(super) fn bytes(&self) -> usize {
        self.rest.as_ref().map_or(0, Bytes::len)
    }

    pub(super) fn new(body: Bytes) -> Self {
        // Node reads a body as UTF-8 and replaces what is none.
        let body = match String::from_utf8_lossy(&body) {
            Cow::Borrowed(_) => body,
            Cow::Owned(text) => text.into(),
        };
        Self {
            size: body.len(),
            rest: Some(body),
        }
    }
}

impl Iterator for Payload {
    type Item = Result<Packet, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.as_mut()?;
        let part = match rest.iter().position(|byte| *byte == SEPARATOR) {
            Some(end) => {
                let part = rest.split_to(end);
                *rest = rest.slice(1..);
                part
            }
            None => self.rest.take()?,
        };
        // Somebody may keep one small message of a big payload for long.
        let part = if part.len() < self.size / 2 {
            Bytes::copy_from_slice(&part)
        } else {
            part
        };
        let packet = Packet::decode(&part);
        if packet.is_err() {
            self.rest = None;
        }
        Some(packet)
    }
}

/// Decodes as Node's `Buffer` does: both alphabets, up to the first `=`, and whatever is not base64 is skipped.
fn decode_base64(text: &[u8]) -> Bytes {
    if let Ok(bytes) = STANDARD.decode(text) {
        return bytes.into();
    }
    let text = String::from_utf8_lossy(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for unit in text.encode_utf16() {
        // Of a wide character, Node looks at the low byte only.
        let value = match unit.to_be_bytes()[1] {
            letter @ b'A'..=b'Z' => letter - b'A',
            letter @ b'a'..=b'z' => letter - b'a' + 26,
            digit @ b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    match count {
        2 => bytes.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
        3 => bytes.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
        _ => {}
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn decode(payload: &'static str) -> Vec<Result<Packet, Malformed>> {
        Payload::new(payload.into()).collect()
    }

    #[test]
    fn the_open_packet_is_nodes() {
        let limits = Limits {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1_000_000,
        };
        let open = Packet::open("lv_VI97HAXpY6yYWAAAC", &["websocket"], &limits);
        let expected = concat!(
            r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"#,
            r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert_eq!(encode_payload(&[open].into()), expected);
    }

    #[test]
    fn a_payload_ends_at_its_first_malformed_packet() {
        let text = |text: &'static str| Ok(Packet::Message(Message::Text(text.into())));
        assert_eq!(
            decode("4a\u{1e}4\u{1e}6"),
            [text("a"), text(""), Ok(Packet::Noop)]
        );
        assert_eq!(decode("4a\u{1e}x\u{1e}4b"), [text("a"), Err(Malformed)]);
        assert_eq!(decode(""), [Err(Malformed)]);
        assert_eq!(decode("\u{1e}\u{1e}"), [Err(Malformed)]);
        assert_eq!(decode("4a\u{1e}"), [text("a"), Err(Malformed)]);
        assert_eq!(decode("7"), [Err(Malformed)]);
        assert_eq!(
            decode("2probe\u{1e}5"),
            [Ok(Packet::Ping("probe".into())), Ok(Packet::Upgrade)]
        );
    }

    #[test]
    fn a_body_that_is_not_utf8_is_read_as_node_reads_it() {
        let packets: Vec<_> =
            Payload::new(Bytes::from_static(b"4a\xff\x1e4\xe2\x82\x1e4b")).collect();
        let text = |text: &'static str| Ok(Packet::Message(Message::Text(text.into())));
        assert_eq!(packets, [text("a\u{fffd}"), text("\u{fffd}"), text("b")]);
    }

    #[test]
    fn base64_is_as_lenient_as_nodes() {
        // From `Buffer.from(text, "base64").toString("hex")` of Node 20.
        let cases = [
            ("", ""),
            ("Y", ""),
            ("YQ", "61"),
            ("YQ=", "61"),
            ("YQ==", "61"),
            ("YWI", "6162"),
            ("YWJj", "616263"),
            ("YQ==YQ==", "61"),
            ("YQ=Y", "61"),
            ("Y=Q=", ""),
            ("====", ""),
            ("=YQ", ""),
            ("YQ===", "61"),
            ("Y\nQ=\n=", "61"),
            ("a$b", "69"),
            ("$$$$", ""),
            ("A$A$A$A$", "000000"),
            ("-_+/", "fbffbf"),
            ("YQé==", "61"),
            ("YW\u{0}Jj", "616263"),
            ("YWJjZ", "616263"),
            ("YWJjZA", "61626364"),
            ("YWJjZA==xxxx", "61626364"),
            ("%%%%YWJj", "616263"),
            ("YWJjZGVm=ZGVm", "616263646566"),
            ("A=AA", ""),
            ("AA=A", "00"),
            ("AB", "00"),
            ("ABC", "0010"),
            ("QUJD\u{2028}RA==", "41424344"),
            ("QU\u{fffd}JD", "414243"),
            ("b64", "6fae"),
            ("abÿcd", "69b71d"),
            ("abŁcd", "69b01c"),
            ("a b c d e f g h i j", "69b71d79f8218a"),
        ];
        for (text, hex) in cases {
            let decoded: String = decode_base64(text.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(decoded, hex, "{text:?}");
        }
    }

    fn packet() -> impl Strategy<Value = Packet> {
        prop_oneof![
            "[a-zäß→🚚\"{}]{0,30}".prop_map(|text| Packet::Message(Message::Text(text.into()))),
            vec(any::<u8>(), 0..50)
                .prop_map(|bytes| Packet::Message(Message::Binary(bytes.into()))),
            Just(Packet::Close),
            Just(Packet::Ping(Bytes::new())),
            Just(Packet::Pong("probe".into())),
            Just(Packet::Upgrade),
            Just(Packet::Noop),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn payloads_come_back(packets in vec(packet(), 1..20)) {
            let packets = VecDeque::from(packets);
            let decoded: Result<VecDeque<_>, _> = Payload::new(encode_payload(&packets)).collect();
            prop_assert_eq!(decoded, Ok(packets));
        }

        #[test]
        fn any_body_ends(body in vec(prop_oneof![any::<u8>(), Just(SEPARATOR), Just(b'4'), Just(b'b')], 0..100)) {
            let parts = body.iter().filter(|byte| **byte == SEPARATOR).count() + 1;
            let packets: Vec<_> = Payload::new(body.into()).collect();
            prop_assert!((1..=parts).contains(&packets.len()));
            prop_assert!(packets[..packets.len() - 1].iter().all(Result::is_ok));
        }
    }
}
