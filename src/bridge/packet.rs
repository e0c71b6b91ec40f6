//! The head of a Socket.IO 5 packet: what the bridge reads of a message before it passes it on as it came. The rules are
//! those of `decodeString` in socket.io-parser 4, so that nothing is read otherwise here than at Node.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::routing::is_json;

/// Attachments of one packet, as socket.io-parser bounds them.
const MOST_ATTACHMENTS: usize = 10;

/// Added to the ids under which native asks for acknowledgements, so that they never meet Node's.
const NATIVE_ACKS: u64 = 1 << 30;

/// From here on JavaScript's numbers skip some, so that Node answers under another id than it was asked with.
const EXACT_IDS: u64 = 1 << 53;

/// Names that no event may have (socket.io-parser, `RESERVED_EVENTS`).
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// What a packet is for. `Event` and `Ack` carry binary attachments or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
}

/// A packet that no Socket.IO server accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the packet is malformed")]
pub(crate) struct Malformed;

/// The text of a packet and where its parts stand in it.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) text: Bytes,
    pub(crate) kind: Kind,
    /// Binary messages that follow and belong to it.
    pub(crate) attachments: usize,
    /// Empty where the text names none, which means `/`.
    namespace: Range<usize>,
    id: Range<usize>,
}

impl Packet {
    /// Reads the head; the payload is left unread.
    ///
    /// # Errors
    /// Where socket.io-parser would throw before it reads the payload.
    pub(crate) fn parse(text: Bytes) -> Result<Self, Malformed> {
        let (kind, binary) = match text.first().ok_or(Malformed)? {
            b'0' => (Kind::Connect, false),
            b'1' => (Kind::Disconnect, false),
            b'2' => (Kind::Event, false),
            b'3' => (Kind::Ack, false),
            b'4' => (Kind::ConnectError, false),
            b'5' => (Kind::Event, true),
            b'6' => (Kind::Ack, true),
            _ => return Err(Malformed),
        };
        let mut at = 1;
        let mut attachments = 0;
        if binary {
            let digits = digits(&text, at);
            attachments = number(&text[digits.clone()])
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| (1..=MOST_ATTACHMENTS).contains(count))
                .ok_or(Malformed)?;
            if text.get(digits.end) != Some(&b'-') {
                return Err(Malformed);
            }
            at = digits.end + 1;
        }
        let mut namespace = at..at;
        if text.get(at) == Some(&b'/') {
            let rest = &text[at..];
            let length = rest.iter().position(|byte| *byte == b',');
            namespace = at..at + length.unwrap_or(rest.len());
            at = (namespace.end + 1).min(text.len());
        }
        let id = id_digits(&text, at);
        Ok(Self {
            text,
            kind,
            attachments,
            namespace,
            id,
        })
    }

    /// `/` or as it stands in the text.
    pub(crate) fn namespace(&self) -> &str {
        if self.namespace.is_empty() {
            return "/";
        }
        self.part(self.namespace.clone())
    }

    /// The id under which an acknowledgement is asked for or given.
    pub(crate) fn id(&self) -> Option<u64> {
        number(&self.text[self.id.clone()])
    }

    /// Whether the id is one to JavaScript only, which takes blanks for digits, and rounds what is beyond its integers.
    pub(crate) fn has_odd_id(&self) -> bool {
        !self.id.is_empty() && self.id().is_none_or(|id| id > EXACT_IDS)
    }

    /// Everything behind the head: JSON, or nothing.
    pub(crate) fn payload(&self) -> &str {
        self.part(self.id.end..self.text.len())
    }

    /// True if the proxy surely reads this event as Node does. Reads all of it.
    pub(crate) fn is_plain(&self) -> bool {
        self.name().is_some() && self.is_valid() && !self.has_odd_id()
    }

    /// The name that Node's listeners have for an event without a plain one: a number is its text in JavaScript, and a
    /// text that Rust has no string for is equal to no name in `routes.toml`. `None` if Node would not find a name either.
    pub(crate) fn odd_name(&self) -> Option<String> {
        if !self.is_valid() {
            return None;
        }
        let list = self.payload().trim_ascii_start().strip_prefix('[')?;
        let list = list.trim_ascii_start();
        if list.starts_with('"') {
            return Some(char::REPLACEMENT_CHARACTER.to_string());
        }
        let end =
            list.find(|letter: char| !matches!(letter, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let number: f64 = list[..end?].parse().ok()?;
        Some(ryu_js::Buffer::new().format(number).to_owned())
    }

    /// The name of an event; `None` where the payload does not begin with a text, as Node's parser wants it.
    pub(crate) fn name(&self) -> Option<Cow<'_, str>> {
        let (name, _) = self.name_and_rest()?;
        Some(name)
    }

    /// The arguments of an event behind its name, such as `{"a":1},2]`; empty where there are none.
    pub(crate) fn arguments(&self) -> &str {
        self.name_and_rest().map_or("", |(_, rest)| rest)
    }

    fn name_and_rest(&self) -> Option<(Cow<'_, str>, &str)> {
        let list = self.payload().trim_ascii_start().strip_prefix('[')?;
        let list = list.trim_ascii_start();
        let mut values = serde_json::Deserializer::from_str(list).into_iter::<NameOf<'_>>();
        let name = values.next()?.ok()?.0;
        let rest = list[values.byte_offset()..].trim_ascii_start();
        match rest.as_bytes().first()? {
            b',' => Some((name, rest[1..].trim_ascii_start())),
            b']' => Some((name, "")),
            _ => None,
        }
    }

    /// The same event with its name spelled out, where JSON escapes it: socketioxide does not read escaped names.
    pub(crate) fn with_plain_name(&self) -> Option<Self> {
        let (name, rest) = self.name_and_rest()?;
        let Cow::Owned(name) = name else { return None };
        let name = serde_json::Value::from(name).to_string();
        let mut text = self.text[..self.id.end].to_vec();
        text.push(b'[');
        text.extend_from_slice(name.as_bytes());
        text.push(if rest.is_empty() { b']' } else { b',' });
        text.extend_from_slice(rest.as_bytes());
        Self::parse(text.into()).ok()
    }

    /// Whether Node's parser accepts the payload. Reads all of it.
    pub(crate) fn is_valid(&self) -> bool {
        let payload = self.payload();
        let first = payload.trim_ascii_start().bytes().next();
        if payload.is_empty() {
            return true;
        }
        if !is_json(payload.as_bytes()) {
            // `tryParse` gives `false`, which is no valid payload of anything.
            return false;
        }
        match self.kind {
            Kind::Connect => first == Some(b'{'),
            Kind::Disconnect => false,
            Kind::ConnectError => matches!(first, Some(b'{' | b'"')),
            Kind::Ack => first == Some(b'['),
            Kind::Event => match self.name() {
                Some(name) => !RESERVED.contains(&&*name),
                // A number may stand where the name stands, and a text that Rust has no string for.
                None => payload
                    .trim_ascii_start()
                    .strip_prefix('[')
                    .and_then(|list| list.trim_ascii_start().bytes().next())
                    .is_some_and(|byte| matches!(byte, b'-' | b'"') || byte.is_ascii_digit()),
            },
        }
    }

    /// The same with the id of an acknowledgement that native asks for moved out of Node's range.
    pub(crate) fn with_native_id(&self) -> Bytes {
        match self.id() {
            Some(id) => self.with_id(id.saturating_add(NATIVE_ACKS)),
            None => self.text.clone(),
        }
    }

    /// The client's answer as native expects it; `None` where it answers Node.
    pub(crate) fn for_native(&self) -> Option<Bytes> {
        let id = self.id()?.checked_sub(NATIVE_ACKS)?;
        Some(self.with_id(id))
    }

    fn with_id(&self, id: u64) -> Bytes {
        let id = id.to_string();
        let mut text = Vec::with_capacity(self.text.len() + id.len());
        text.extend_from_slice(&self.text[..self.id.start]);
        text.extend_from_slice(id.as_bytes());
        text.extend_from_slice(&self.text[self.id.end..]);
        text.into()
    }

    fn part(&self, range: Range<usize>) -> &str {
        // Messages are checked to be UTF-8 when they are read, and the borders are ASCII.
        std::str::from_utf8(&self.text[range]).unwrap_or_default()
    }
}

/// A packet without payload for a namespace, such as `1/admin,`.
pub(crate) fn bare(kind: u8, namespace: &str) -> Bytes {
    with_payload(kind, namespace, "")
}

/// A packet with a payload for a namespace, such as `0/admin,{"token":1}`.
pub(crate) fn with_payload(kind: u8, namespace: &str, payload: &str) -> Bytes {
    let mut text = vec![kind];
    if namespace != "/" {
        text.extend_from_slice(namespace.as_bytes());
        text.push(b',');
    }
    text.extend_from_slice(payload.as_bytes());
    text.into()
}

struct NameOf<'n>(Cow<'n, str>);

impl<'de: 'n, 'n> serde::Deserialize<'de> for NameOf<'n> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(name))
            }
            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(name.to_owned()))
            }
        }
        deserializer.deserialize_str(Visitor).map(Self)
    }
}

fn digits(text: &[u8], from: usize) -> Range<usize> {
    let count = text[from..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    from..from + count
}

/// `Number(" ") == " "` holds in JavaScript, so that socket.io-parser takes blanks for a part of the id.
fn id_digits(text: &[u8], from: usize) -> Range<usize> {
    let count = text[from..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace())
        .count();
    from..from + count
}

/// `None` for no digits, and for a number beyond 64 bits, which no server gave out.
fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Packet {
        Packet::parse(Bytes::from_static(text.as_bytes())).expect(text)
    }

    #[test]
    fn heads_are_read_as_the_protocol_writes_them() {
        let packet = parse(r#"51-/admin,456["a\u0062",{"_placeholder":true,"num":0}]"#);
        assert_eq!(packet.kind, Kind::Event);
        assert_eq!(packet.attachments, 1);
        assert_eq!(packet.namespace(), "/admin");
        assert_eq!(packet.id(), Some(456));
        assert_eq!(packet.name().as_deref(), Some("ab"));
        assert_eq!(packet.arguments(), r#"{"_placeholder":true,"num":0}]"#);

        let packet = parse(r#"2["message"]"#);
        assert_eq!((packet.namespace(), packet.id()), ("/", None));
        assert_eq!(packet.name().as_deref(), Some("message"));
        assert_eq!(packet.arguments(), "");

        let packet = parse(r#"2/a,7["\u0061b",1]"#).with_plain_name();
        assert_eq!(packet.expect("plain").text, r#"2/a,7["ab",1]"#);
        assert!(parse(r#"2["ab"]"#).with_plain_name().is_none());

        let packet = parse("0/admin");
        assert_eq!((packet.kind, packet.namespace()), (Kind::Connect, "/admin"));
        assert_eq!(packet.payload(), "");
    }

    #[test]
    fn what_the_parser_of_node_refuses_is_refused() {
        for text in [
            "",
            "7",
            "9[]",
            "5",
            "5-[]",
            "50-[\"a\"]",
            "511-[\"a\"]",
            "51[\"a\"]",
            "5x-[]",
        ] {
            assert!(
                Packet::parse(Bytes::copy_from_slice(text.as_bytes())).is_err(),
                "{text}"
            );
        }
        for text in [
            "2{}",
            "2[]",
            "2[null]",
            "2[\"connect\"]",
            "2[\"a\"",
            "0[]",
            "0\"x\"",
            "1{}",
            "3{}",
            "2x",
        ] {
            assert!(!parse(text).is_valid(), "{text}");
        }
        for text in [
            "2[\"a\"]",
            "2[5]",
            "0",
            "0{}",
            "1",
            "4\"x\"",
            "3[]",
            "2",
            "2[\"\\ud800\"]",
        ] {
            assert!(parse(text).is_valid(), "{text}");
        }
    }

    #[test]
    fn ids_that_only_javascript_has_are_odd() {
        for odd in ["2 ", "2 1", "29007199254740993", "21180591620717411303424"] {
            let text = format!("{odd}[\"x\"]");
            assert!(Packet::parse(text.into()).expect(odd).has_odd_id(), "{odd}");
        }
        for plain in ["2", "20", "2007", "29007199254740992"] {
            let text = format!("{plain}[\"x\"]");
            assert!(
                !Packet::parse(text.into()).expect(plain).has_odd_id(),
                "{plain}"
            );
        }
    }

    #[test]
    fn names_that_only_javascript_has_are_found() {
        for (text, name) in [
            ("2[5]", "5"),
            ("2[ 5.0 ,1]", "5"),
            ("27[-1e3]", "-1000"),
            ("2[1e400]", "Infinity"),
            ("2[\"\\ud800\"]", "\u{fffd}"),
        ] {
            let packet = parse(text);
            assert_eq!(packet.name(), None, "{text}");
            assert_eq!(packet.odd_name().as_deref(), Some(name), "{text}");
            assert!(!packet.is_plain(), "{text}");
        }
        for text in ["2{}", "2[null]", "2[]", "2\u{a0}1[\"a\"]", "2[[\"a\"]]"] {
            assert_eq!(parse(text).odd_name(), None, "{text}");
        }
    }

    #[test]
    fn ids_of_native_are_moved_and_moved_back() {
        let event = parse(r#"2/a,7["x"]"#);
        let moved = event.with_native_id();
        assert_eq!(moved, format!(r#"2/a,{}["x"]"#, 7 + (1 << 30)));
        let answer = Packet::parse(Bytes::from(format!("3/a,{}[1]", 7 + (1 << 30)))).expect("ack");
        assert_eq!(answer.for_native().expect("native"), "3/a,7[1]");
        assert_eq!(parse("37[1]").for_native(), None);
        assert_eq!(parse("3-1[1]").for_native(), None);
        assert_eq!(parse(r#"2["x"]"#).with_native_id(), r#"2["x"]"#);
    }
}
