//! WebSocket frames (RFC 6455 §5) to messages and back, however the bytes are cut. Never performs I/O.
//!
//! It refuses what Node's `ws` refuses, with the same close codes, and beyond it lengths that are not in their shortest
//! form (§5.2). No extension is ever agreed upon, so all reserved bits are errors.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Message, Role};

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Two bytes, a length of eight and a mask of four.
const MAX_HEAD: usize = 14;
/// What one control frame may carry (§5.5).
pub(super) const MAX_CONTROL: usize = 125;

/// What a peer did against the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("reserved bits are set")]
    ReservedBits,
    #[error("unexpected opcode `{0}`")]
    Opcode(u8),
    #[error("the frame must be masked by a client and only by a client")]
    Mask,
    #[error("a control frame is fragmented or too long")]
    Control,
    #[error("a length is not in its shortest form")]
    Length,
    #[error("the close code `{0}` may not be sent")]
    CloseCode(u16),
    #[error("a text is not UTF-8")]
    Utf8,
    #[error("a message is too big")]
    TooBig,
}

impl Violation {
    /// The code to close with (§7.4.1).
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            Self::TooBig => 1009,
            Self::ReservedBits
            | Self::Opcode(_)
            | Self::Mask
            | Self::Control
            | Self::Length
            | Self::CloseCode(_) => 1002,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame whose head is complete and whose payload is not.
#[derive(Debug)]
struct Frame {
    /// That of the first fragment, for a continuation.
    opcode: Opcode,
    last: bool,
    /// Turned so that it starts at the next byte.
    mask: [u8; 4],
    /// Payload bytes still to come.
    rest: usize,
}

/// Joins the bytes of one direction into messages. Between messages it owns no memory but its own few bytes.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Who sends what is decoded here.
    sender: Role,
    max_message: usize,
    head: [u8; MAX_HEAD],
    head_bytes: usize,
    frame: Option<Frame>,
    /// A message of which some fragments are here and the last is not.
    fragmented: Option<Opcode>,
    message: Vec<u8>,
    largest: usize,
    /// Apart from `message`, since control frames come between fragments (§5.4).
    control: Vec<u8>,
    closed: bool,
}

impl Decoder {
    pub(super) fn new(sender: Role, max_message: usize) -> Self {
        Self {
            sender,
            max_message,
            head: [0; MAX_HEAD],
            head_bytes: 0,
            frame: None,
            fragmented: None,
            message: Vec::new(),
            largest: 0,
            control: Vec::new(),
            closed: false,
        }
    }

    /// Takes bytes from the front up to the end of a message, or all of them. What follows a close frame is thrown away
    /// (§5.5.1). After an error the stream has no meaning any more, and this must not be called again.
    pub(super) fn decode(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, Violation> {
        while !self.closed {
            if self.frame.is_none() {
                self.frame = self.take_head(bytes)?;
            }
            let Some(frame) = &mut self.frame else {
                return Ok(None);
            };
            let payload = if frame.opcode.is_control() {
                &mut self.control
            } else {
                &mut self.message
            };
            let (part, rest) = bytes.split_at(frame.rest.min(bytes.len()));
            *bytes = rest;
            frame.append(part, payload);
            if frame.rest > 0 {
                return Ok(None);
            }
            let (opcode, last) = (frame.opcode, frame.last);
            self.frame = None;
            if let Some(message) = self.complete(opcode, last)? {
                return Ok(Some(message));
            }
        }
        *bytes = &[];
        Ok(None)
    }

    /// Bytes of a message that is not complete.
    pub(super) fn partial(&self) -> usize {
        self.message.len()
    }

    /// Bytes of the largest message that has begun, as far as its frames announced it.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// Gives up what is here of a message.
    pub(super) fn clear(&mut self) {
        self.message = Vec::new();
        self.control = Vec::new();
    }

    fn take_head(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        if !self.fill_head(2, bytes) {
            return Ok(None);
        }
        // Judged before the rest of the head is here, since a peer that is wrong may send no more.
        let (opcode, last) = self.check_start()?;
        let short = self.head[1] & !MASKED;
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.sender == Role::Client { 4 } else { 0 };
        if !self.fill_head(2 + extended + mask, bytes) {
            return Ok(None);
        }
        self.head_bytes = 0;
        let long = self.head[2..2 + extended]
            .iter()
            .fold(0, |length, byte| length << 8 | u64::from(*byte));
        let length = match short {
            126 if long < 126 => return Err(Violation::Length),
            127 if long <= u64::from(u16::MAX) => return Err(Violation::Length),
            126 | 127 => long,
            _ => u64::from(short),
        };
        let length = usize::try_from(length).map_err(|_| Violation::TooBig)?;
        if !opcode.is_control() && length > self.max_message.saturating_sub(self.message.len()) {
            return Err(Violation::TooBig);
        }
        if !opcode.is_control() {
            self.largest = self.largest.max(self.message.len() + length);
        }
        let mut frame = Frame {
            opcode,
            last,
            mask: [0; 4],
            rest: length,
        };
        frame.mask[..mask].copy_from_slice(&self.head[2 + extended..2 + extended + mask]);
        Ok(Some(frame))
    }

    /// True when the head has so many bytes.
    fn fill_head(&mut self, wanted: usize, bytes: &mut &[u8]) -> bool {
        let missing = wanted.saturating_sub(self.head_bytes).min(bytes.len());
        let (part, rest) = bytes.split_at(missing);
        *bytes = rest;
        self.head[self.head_bytes..self.head_bytes + missing].copy_from_slice(part);
        self.head_bytes += missing;
        self.head_bytes >= wanted
    }

    /// Judges the first two bytes of a head.
    fn check_start(&self) -> Result<(Opcode, bool), Violation> {
        let [first, second, ..] = self.head;
        let last = first & FIN != 0;
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let opcode = match (first & 0x0f, self.fragmented) {
            (0, Some(opcode)) => opcode,
            (1, None) => Opcode::Text,
            (2, None) => Opcode::Binary,
            (8, _) => Opcode::Close,
            (9, _) => Opcode::Ping,
            (10, _) => Opcode::Pong,
            (other, _) => return Err(Violation::Opcode(other)),
        };
        let length = usize::from(second & !MASKED);
        if opcode.is_control() && (!last || length > MAX_CONTROL) {
            return Err(Violation::Control);
        }
        if (second & MASKED != 0) != (self.sender == Role::Client) {
            return Err(Violation::Mask);
        }
        Ok((opcode, last))
    }

    /// The message that ended with this frame.
    fn complete(&mut self, opcode: Opcode, last: bool) -> Result<Option<Message>, Violation> {
        if opcode.is_control() {
            let payload = Bytes::from(std::mem::take(&mut self.control));
            return match opcode {
                Opcode::Ping => Ok(Some(Message::Ping(payload))),
                Opcode::Pong => Ok(Some(Message::Pong(payload))),
                _ => {
                    self.closed = true;
                    self.clear();
                    close(&payload).map(|reason| Some(Message::Close(reason)))
                }
            };
        }
        if !last {
            self.fragmented = Some(opcode);
            return Ok(None);
        }
        self.fragmented = None;
        let payload = Bytes::from(std::mem::take(&mut self.message));
        if opcode == Opcode::Binary {
            return Ok(Some(Message::Binary(payload)));
        }
        // Over the whole message: a character may begin in one fragment and end in the next (§5.6).
        std::str::from_utf8(&payload).map_err(|_| Violation::Utf8)?;
        Ok(Some(Message::Text(payload)))
    }
}

impl Frame {
    /// Copies a part of the payload to its end there, unmasked.
    fn append(&mut self, part: &[u8], payload: &mut Vec<u8>) {
        let start = payload.len();
        if payload.capacity() - start < part.len() {
            // At least doubles, so that a message of many parts is not moved for each; but never takes memory for what a
            // frame only announces, nor more than its last frame needs.
            let growth = part.len().max(start);
            payload.reserve_exact(if self.last {
                growth.min(self.rest)
            } else {
                growth
            });
        }
        payload.extend_from_slice(part);
        apply_mask(&mut payload[start..], self.mask);
        self.mask.rotate_left(part.len() % 4);
        self.rest -= part.len();
    }
}

/// The code and reason of a close frame (§5.5.1).
fn close(payload: &Bytes) -> Result<Option<(u16, Bytes)>, Violation> {
    let (code, reason) = match payload.split_first_chunk() {
        Some((code, reason)) => (u16::from_be_bytes(*code), reason),
        None if payload.is_empty() => return Ok(None),
        None => return Err(Violation::Control),
    };
    // 1004 is reserved; 1005 and 1006 stand for what no frame says (§7.4.1); 1012 to 1014 were registered later.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::CloseCode(code));
    }
    std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok(Some((code, payload.slice_ref(reason))))
}

fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    if mask == [0; 4] {
        return;
    }
    let (fours, rest) = bytes.as_chunks_mut::<4>();
    for four in fours {
        *four = (u32::from_ne_bytes(*four) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Writes a message as one frame, masked if there is a mask. The payload of a control frame must have at most
/// [`MAX_CONTROL`] bytes.
pub(super) fn encode(message: &Message, mask: Option<[u8; 4]>, output: &mut BytesMut) {
    match message {
        Message::Text(text) => encode_frame(1, [&[], text], mask, output),
        Message::Binary(bytes) => encode_frame(2, [&[], bytes], mask, output),
        Message::Close(None) => encode_frame(8, [&[], &[]], mask, output),
        Message::Close(Some((code, reason))) => {
            encode_frame(8, [&code.to_be_bytes(), reason], mask, output);
        }
        Message::Ping(payload) => encode_frame(9, [&[], payload], mask, output),
        Message::Pong(payload) => encode_frame(10, [&[], payload], mask, output),
    }
}

/// Writes a text that is `prefix` and `text` as one frame, without putting them together first.
pub(super) fn encode_prefixed(
    prefix: &str,
    text: &[u8],
    mask: Option<[u8; 4]>,
    output: &mut BytesMut,
) {
    encode_frame(1, [prefix.as_bytes(), text], mask, output);
}

fn encode_frame(opcode: u8, parts: [&[u8]; 2], mask: Option<[u8; 4]>, output: &mut BytesMut) {
    let length = parts[0].len() + parts[1].len();
    debug_assert!(
        opcode < 8 || length <= MAX_CONTROL,
        "a control frame is short"
    );
    output.reserve(MAX_HEAD + length);
    output.put_u8(FIN | opcode);
    let mask_bit = if mask.is_some() { MASKED } else { 0 };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => output.put_u8(mask_bit | short),
        (_, Ok(medium)) => {
            output.put_u8(mask_bit | 126);
            output.put_u16(medium);
        }
        _ => {
            output.put_u8(mask_bit | 127);
            output.put_u64(length as u64);
        }
    }
    output.put_slice(mask.as_ref().map_or(&[], |mask| mask.as_slice()));
    let start = output.len();
    output.put_slice(parts[0]);
    output.put_slice(parts[1]);
    apply_mask(&mut output[start..], mask.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Decodes pieces of these sizes, in turn, until all is taken or something is wrong.
    fn decode(
        decoder: &mut Decoder,
        mut bytes: &[u8],
        pieces: &[usize],
    ) -> (Vec<Message>, Option<Violation>) {
        let mut messages = Vec::new();
        for size in pieces.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            let (mut piece, rest) = bytes.split_at((*size).min(bytes.len()));
            bytes = rest;
            while !piece.is_empty() {
                match decoder.decode(&mut piece) {
                    Ok(message) => messages.extend(message),
                    Err(violation) => return (messages, Some(violation)),
                }
            }
        }
        (messages, None)
    }

    /// What a client sends, with a mask of zeros.
    fn violation_of_client(frames: &[u8]) -> Option<u16> {
        let mut decoder = Decoder::new(Role::Client, 70_000);
        let (_, violation) = decode(&mut decoder, frames, &[1]);
        violation.map(Violation::close_code)
    }

    #[test]
    fn the_largest_message_is_known_as_soon_as_it_begins() {
        let mut frame = BytesMut::new();
        encode(&Message::Ping(vec![b'x'; 100].into()), None, &mut frame);
        encode(&Message::Text(vec![b'x'; 70_000].into()), None, &mut frame);
        let mut decoder = Decoder::new(Role::Server, 100_000);
        let (ping, text) = frame.split_at(102);
        decode(&mut decoder, ping, &[1]);
        assert_eq!(decoder.largest(), 0);
        let (begin, rest) = text.split_at(MAX_HEAD);
        assert_eq!(decode(&mut decoder, begin, &[1]).0, []);
        assert_eq!(decoder.largest(), 70_000);
        assert_eq!(decode(&mut decoder, rest, &[1000]).0.len(), 1);
        assert_eq!((decoder.partial(), decoder.largest()), (0, 70_000));
    }

    #[test]
    fn refuses_what_the_protocol_forbids() {
        let cases: [(&str, &[u8], u16); 22] = [
            ("reserved bit 1", &[0xc1, 0x80], 1002),
            ("reserved bit 3", &[0x91, 0x80], 1002),
            ("opcode 3", &[0x83, 0x80], 1002),
            ("opcode 11", &[0x8b, 0x80], 1002),
            ("no mask", &[0x81, 0x00], 1002),
            ("a continuation of nothing", &[0x80, 0x80], 1002),
            (
                "a new message within a message",
                &[0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80],
                1002,
            ),
            ("a fragmented ping", &[0x09, 0x80], 1002),
            ("a ping of 126 bytes", &[0x89, 0xfe], 1002),
            (
                "a close frame of one byte",
                &[0x88, 0x81, 0, 0, 0, 0, 3],
                1002,
            ),
            ("close 999", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe7], 1002),
            ("close 1004", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xec], 1002),
            ("close 1005", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed], 1002),
            ("close 1006", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xee], 1002),
            ("close 1015", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf7], 1002),
            ("close 2999", &[0x88, 0x82, 0, 0, 0, 0, 0x0b, 0xb7], 1002),
            ("close 5000", &[0x88, 0x82, 0, 0, 0, 0, 0x13, 0x88], 1002),
            (
                "a reason that is not UTF-8",
                &[0x88, 0x83, 0, 0, 0, 0, 0x03, 0xe8, 0xff],
                1007,
            ),
            (
                "a text that is not UTF-8",
                &[0x81, 0x81, 0, 0, 0, 0, 0xff],
                1007,
            ),
            ("125 in two bytes", &[0x81, 0xfe, 0, 125, 0, 0, 0, 0], 1002),
            (
                "65535 in eight bytes",
                &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
                1002,
            ),
            (
                "a length of 2^64 - 1",
                &[
                    0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0,
                ],
                1009,
            ),
        ];
        for (what, frames, code) in cases {
            assert_eq!(violation_of_client(frames), Some(code), "{what}");
        }
    }

    #[test]
    fn a_server_must_not_mask() {
        let mut decoder = Decoder::new(Role::Server, 10);
        let result = decoder.decode(&mut [0x81, 0x80].as_slice());
        assert_eq!(result, Err(Violation::Mask));
    }

    #[test]
    fn the_bound_is_on_the_whole_message() {
        let six = [0x02, 0x86, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6];
        let ping = [0x89, 0x86, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6];
        let four = [0x80, 0x84, 0, 0, 0, 0, 1, 2, 3, 4];
        let five = [0x80, 0x85, 0, 0, 0, 0];
        let mut decoder = Decoder::new(Role::Client, 10);
        let fits = [six.as_slice(), &ping, &four].concat();
        let (messages, violation) = decode(&mut decoder, &fits, &[100]);
        assert_eq!(violation, None);
        assert_eq!(messages.len(), 2);
        let over = [six.as_slice(), &ping, &five].concat();
        let (messages, violation) = decode(&mut decoder, &over, &[100]);
        assert_eq!(violation, Some(Violation::TooBig), "before its payload");
        assert_eq!(messages.len(), 1);
    }

    #[test]
    fn nothing_counts_after_a_close_frame() {
        let mut decoder = Decoder::new(Role::Server, 10);
        let bytes = [0x88, 0x02, 0x03, 0xe8, 0xff, 0xff, 0xff];
        let (messages, violation) = decode(&mut decoder, &bytes, &[100]);
        assert_eq!(messages, [Message::Close(Some((1000, Bytes::new())))]);
        assert_eq!(violation, None);
    }

    #[test]
    fn memory_follows_what_came_rather_than_what_was_announced() {
        let mut decoder = Decoder::new(Role::Server, 1 << 30);
        let head = [0x82, 127, 0, 0, 0, 0, 0x3f, 0, 0, 0, 7, 7];
        assert_eq!(decoder.decode(&mut head.as_slice()), Ok(None));
        assert!(decoder.message.capacity() < 100);
    }

    #[test]
    fn a_message_of_many_parts_is_rarely_moved() {
        let mut decoder = Decoder::new(Role::Server, 1 << 20);
        let mut capacities = Vec::new();
        let first = [0x02, 1, 7];
        let next = [0x00, 1, 7];
        assert_eq!(decoder.decode(&mut first.as_slice()), Ok(None));
        for _ in 0..100_000 {
            assert_eq!(decoder.decode(&mut next.as_slice()), Ok(None));
            capacities.push(decoder.message.capacity());
        }
        capacities.dedup();
        assert!(capacities.len() < 20, "{capacities:?}");
    }

    fn message() -> impl Strategy<Value = Message> {
        let bytes = || vec(any::<u8>(), 0..300).prop_map(Bytes::from);
        let control = || vec(any::<u8>(), 0..=125).prop_map(Bytes::from);
        prop_oneof![
            "[aäß→🚚\u{0}]{0,80}".prop_map(|text| Message::Text(text.into())),
            bytes().prop_map(Message::Binary),
            (65_000..67_000_usize).prop_map(|length| Message::Binary(vec![9; length].into())),
            control().prop_map(Message::Ping),
            control().prop_map(Message::Pong),
        ]
    }

    /// One message in fragments of this size, each followed by a ping without payload.
    fn fragments(message: &Message, size: usize, mask: Option<[u8; 4]>) -> BytesMut {
        let mut output = BytesMut::new();
        let (Message::Text(payload) | Message::Binary(payload)) = message else {
            encode(message, mask, &mut output);
            return output;
        };
        let count = payload.len().div_ceil(size).max(1);
        for number in 0..count {
            let end = payload.len().min((number + 1) * size);
            let start = output.len();
            encode(
                &Message::Binary(payload.slice(number * size..end)),
                mask,
                &mut output,
            );
            let opcode = match message {
                _ if number > 0 => 0,
                Message::Text(_) => 1,
                _ => 2,
            };
            let last = number + 1 == count;
            output[start] = if last { FIN | opcode } else { opcode };
            if !last {
                encode(&Message::Ping(Bytes::new()), mask, &mut output);
            }
        }
        output
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn messages_survive_masks_fragments_and_cuts(
            messages in vec(message(), 1..8),
            mask in proptest::option::of(any::<[u8; 4]>()),
            size in 1..400_usize,
            pieces in vec(1..5000_usize, 1..8),
        ) {
            let sender = if mask.is_some() { Role::Client } else { Role::Server };
            let bytes: Vec<u8> = messages.iter().flat_map(|message| fragments(message, size, mask)).collect();
            let mut decoder = Decoder::new(sender, 67_000);
            let (mut decoded, violation) = decode(&mut decoder, &bytes, &pieces);
            prop_assert_eq!(violation, None);
            let added = Message::Ping(Bytes::new());
            decoded.retain(|message| *message != added);
            let sent: Vec<_> = messages.into_iter().filter(|message| *message != added).collect();
            prop_assert_eq!(decoded, sent);
        }

        #[test]
        fn any_bytes_mean_the_same_however_they_are_cut(
            bytes in vec(prop_oneof![any::<u8>(), Just(0x82), Just(0x80), Just(0x01)], 0..60),
            pieces in vec(1..9_usize, 1..8),
            client in any::<bool>(),
        ) {
            let sender = if client { Role::Client } else { Role::Server };
            let at_once = decode(&mut Decoder::new(sender, 1000), &bytes, &[1000]);
            let cut = decode(&mut Decoder::new(sender, 1000), &bytes, &pieces);
            prop_assert_eq!(at_once, cut);
        }
    }
}
