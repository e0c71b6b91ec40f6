//! The wanted fields of a line, found in one pass that also decides whether the line is JSON: text is looked at 64 bytes
//! at a time, and nothing is copied or built.
//!
//! What is unusual, and what is no JSON, is left to `js_json`. The pass works on bytes, since UTF-8 that is malformed, and
//! becomes U+FFFD in Node, changes nothing of the structure. Of the libraries, simd-json builds a tape of all that a line
//! holds, which takes several times as long, and sonic-rs neither checks escapes nor bounds its recursion.

use std::ops::Range;

use memchr::memchr;
use wide::u8x16;

/// How many bytes must follow the line feed that ends the last line, so that blocks can be read whole.
pub(super) const PADDING: usize = BLOCK;

const BLOCK: usize = 64;
const LANES: usize = 16;

/// What a line says. Texts are without escapes, and not yet decoded.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields<'t> {
    pub(super) timestamp: Option<&'t [u8]>,
    pub(super) session: Option<&'t [u8]>,
    pub(super) model: Option<&'t [u8]>,
    pub(super) usage: Option<Usage>,
}

/// `message.usage`
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    pub(super) input: f64,
    pub(super) cache_creation: f64,
    pub(super) cache_read: f64,
    pub(super) output: f64,
}

/// A line without its line feed.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'t> {
    Usual(Fields<'t>),
    /// Perhaps JSON, perhaps not.
    Unusual(&'t [u8]),
}

/// The lines of a text whose last byte before the padding is a line feed.
pub(super) struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    end: usize,
}

impl<'t> Lines<'t> {
    /// `text[lines]` ends with a line feed, and `PADDING` bytes follow it.
    pub(super) fn new(text: &'t [u8], lines: Range<usize>) -> Self {
        debug_assert!(lines.is_empty() || text[lines.end - 1] == b'\n');
        debug_assert!(lines.end + PADDING <= text.len());
        Self {
            text,
            at: lines.start,
            end: lines.end,
        }
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = Line<'t>;

    fn next(&mut self) -> Option<Line<'t>> {
        if self.at >= self.end {
            return None;
        }
        let start = self.at;
        let mut cursor = Cursor {
            text: self.text,
            at: start,
        };
        // A line feed is allowed nowhere inside of a line, so that none of this goes beyond the one that ends it.
        if let Some(fields) = cursor.line() {
            self.at = cursor.at;
            return Some(Line::Usual(fields));
        }
        let rest = &self.text[start..self.end];
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        self.at = start + length + 1;
        Some(Line::Unusual(&rest[..length]))
    }
}

struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

/// A string between its quotes.
struct Quoted<'t> {
    text: &'t [u8],
    has_escapes: bool,
}

impl<'t> Cursor<'t> {
    /// An object and the line feed. `None` also where the line is merely unusual.
    fn line(&mut self) -> Option<Fields<'t>> {
        let mut fields = Fields::default();
        if self.token()? != b'{' {
            return None;
        }
        self.members(|cursor, key| {
            match key {
                b"timestamp" => fields.timestamp = Some(cursor.plain_string()?),
                b"sessionId" => fields.session = Some(cursor.plain_string()?),
                b"message" => {
                    // Of equal keys the last one counts, as a whole.
                    (fields.model, fields.usage) = cursor.message()?;
                }
                _ => cursor.skip_value()?,
            }
            Some(())
        })?;
        while matches!(self.peek()?, b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
        self.take(b'\n').then_some(fields)
    }

    fn message(&mut self) -> Option<(Option<&'t [u8]>, Option<Usage>)> {
        let (mut model, mut usage) = (None, None);
        if self.first()? != b'{' {
            self.skip_value()?;
            return Some((None, None));
        }
        self.at += 1;
        self.members(|cursor, key| {
            match key {
                b"model" => model = Some(cursor.plain_string()?),
                b"usage" => usage = Some(cursor.usage()?),
                _ => cursor.skip_value()?,
            }
            Some(())
        })?;
        Some((model, usage))
    }

    fn usage(&mut self) -> Option<Usage> {
        let mut usage = Usage::default();
        if self.token()? != b'{' {
            return None;
        }
        self.members(|cursor, key| {
            let tokens = match key {
                b"input_tokens" => &mut usage.input,
                b"cache_creation_input_tokens" => &mut usage.cache_creation,
                b"cache_read_input_tokens" => &mut usage.cache_read,
                b"output_tokens" => &mut usage.output,
                _ => return cursor.skip_value(),
            };
            *tokens = cursor.tokens()?;
            Some(())
        })?;
        Some(usage)
    }

    /// The rest of an object, after its brace. `member` reads the value of a key.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &'t [u8]) -> Option<()>) -> Option<()> {
        if self.first()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let key = self.key()?;
            // `"usag\u0065"` is a wanted key, too.
            if key.has_escapes {
                return None;
            }
            member(self, key.text)?;
            match self.token()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A count; `x || 0` makes 0 of `null`.
    fn tokens(&mut self) -> Option<f64> {
        if self.first()? == b'n' {
            self.skip_value()?;
            return Some(0.0);
        }
        let start = self.at;
        let first = self.token()?;
        self.number(first)?;
        let digits = &self.text[start..self.at];
        if digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit) {
            let count = digits
                .iter()
                .fold(0, |count, &digit| count * 10 + u64::from(digit - b'0'));
            return Some(count as f64);
        }
        let number: f64 = str::from_utf8(digits).ok()?.parse().ok()?;
        // -0 || 0 is 0.
        Some(if number == 0.0 { 0.0 } else { number })
    }

    fn plain_string(&mut self) -> Option<&'t [u8]> {
        if self.token()? != b'"' {
            return None;
        }
        let quoted = self.string()?;
        (!quoted.has_escapes).then_some(quoted.text)
    }

    /// Any value. Open containers are the bits of a word; deeper ones are left to the parser that has no such limit.
    fn skip_value(&mut self) -> Option<()> {
        const DEPTH: u32 = u64::BITS;
        let mut is_object: u64 = 0;
        let mut depth = 0;
        loop {
            match self.token()? {
                b'"' => {
                    self.string()?;
                }
                opening @ (b'{' | b'[') => {
                    let closing = opening + 2;
                    if self.first()? == closing {
                        self.at += 1;
                    } else {
                        if depth == DEPTH {
                            return None;
                        }
                        depth += 1;
                        is_object = is_object << 1 | u64::from(opening == b'{');
                        if opening == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                first => self.number(first)?,
            }
            // The value is whole; so may be what it ends.
            loop {
                if depth == 0 {
                    return Some(());
                }
                let in_object = is_object & 1 == 1;
                match self.token()? {
                    b',' => {
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                is_object >>= 1;
                depth -= 1;
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Option<Quoted<'t>> {
        if self.token()? != b'"' {
            return None;
        }
        let key = self.string()?;
        (self.token()? == b':').then_some(key)
    }

    /// The rest of a string, after its first quote.
    #[inline]
    fn string(&mut self) -> Option<Quoted<'t>> {
        let start = self.at;
        // Keys and most values end within the first block.
        let block = u8x16::from(*self.text.get(start..)?.first_chunk()?);
        let special = is_quote(block) | is_backslash(block) | is_control(block);
        let length = special.to_bitmask().trailing_zeros() as usize;
        if length < LANES && self.text[start + length] == b'"' {
            self.at = start + length + 1;
            return Some(Quoted {
                text: &self.text[start..start + length],
                has_escapes: false,
            });
        }
        self.long_string(start)
    }

    /// Looks at whole blocks without a branch for each escape, which would be mispredicted about every other time.
    fn long_string(&mut self, start: usize) -> Option<Quoted<'t>> {
        let mut has_escapes = false;
        // 1 if the first byte of the block is escaped.
        let mut carry = 0;
        let mut at = start;
        loop {
            let block: &[u8; BLOCK] = self.text.get(at..)?.first_chunk()?;
            let quotes = bits(block, is_quote);
            let backslashes = bits(block, is_backslash);
            let (escaped, next_carry) = escaped(backslashes, carry);
            let closing = quotes & !escaped;
            // The bytes before the closing quote, or all.
            let inside = (closing & closing.wrapping_neg()).wrapping_sub(1);
            if has_control(block) && bits(block, is_control) & inside != 0 {
                return None;
            }
            let escaped = escaped & inside;
            if escaped != 0 {
                has_escapes = true;
                let usual = quotes | backslashes | bits(block, is_escape_letter);
                self.check_escapes(at, escaped & !usual)?;
            }
            if closing != 0 {
                let end = at + closing.trailing_zeros() as usize;
                self.at = end + 1;
                return Some(Quoted {
                    text: &self.text[start..end],
                    has_escapes,
                });
            }
            carry = next_carry;
            at += BLOCK;
        }
    }

    /// Whether each marked byte is a slash, or a `u` with four hexadecimal digits.
    fn check_escapes(&self, block: usize, mut marked: u64) -> Option<()> {
        while marked != 0 {
            let at = block + marked.trailing_zeros() as usize;
            match self.text.get(at)? {
                b'/' => {}
                b'u' => {
                    let digits = self.text.get(at + 1..at + 5)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                }
                _ => return None,
            }
            marked &= marked - 1;
        }
        Some(())
    }

    /// The rest of a number, after its first byte.
    fn number(&mut self, first: u8) -> Option<()> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => while self.digit() {},
            _ => return None,
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Some(())
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        if !self.digit() {
            return None;
        }
        while self.digit() {}
        Some(())
    }

    fn digit(&mut self) -> bool {
        let is_digit = self.peek().is_some_and(|byte| byte.is_ascii_digit());
        self.at += usize::from(is_digit);
        is_digit
    }

    fn word(&mut self, rest: &[u8]) -> Option<()> {
        if !self.text[self.at..].starts_with(rest) {
            return None;
        }
        self.at += rest.len();
        Some(())
    }

    /// The next byte that is not blank.
    fn token(&mut self) -> Option<u8> {
        let first = self.first()?;
        self.at += 1;
        Some(first)
    }

    /// The same, not taken.
    fn first(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }
}

/// A bit for each byte.
#[inline]
fn bits(block: &[u8; BLOCK], test: impl Fn(u8x16) -> u8x16) -> u64 {
    let (lanes, _) = block.as_chunks::<LANES>();
    lanes.iter().rev().fold(0, |bits, &lanes| {
        bits << LANES | u64::from(test(u8x16::from(lanes)).to_bitmask())
    })
}

#[inline]
fn is_quote(lanes: u8x16) -> u8x16 {
    lanes.simd_eq(u8x16::splat(b'"'))
}

#[inline]
fn is_backslash(lanes: u8x16) -> u8x16 {
    lanes.simd_eq(u8x16::splat(b'\\'))
}

#[inline]
fn is_control(lanes: u8x16) -> u8x16 {
    lanes.simd_eq(lanes.min(u8x16::splat(0x1f)))
}

/// Whether any byte is one, with less work than finding out which.
#[inline]
fn has_control(block: &[u8; BLOCK]) -> bool {
    let (lanes, _) = block.as_chunks::<LANES>();
    let any = lanes.iter().fold(u8x16::splat(0), |any, &lanes| {
        any | is_control(u8x16::from(lanes))
    });
    any.to_bitmask() != 0
}

/// Letters after a backslash: `b` and `r`, `f` and `n`, which are the same but for one bit, and `t`.
#[inline]
fn is_escape_letter(lanes: u8x16) -> u8x16 {
    (lanes & u8x16::splat(!0x10)).simd_eq(u8x16::splat(b'b'))
        | (lanes & u8x16::splat(!0x08)).simd_eq(u8x16::splat(b'f'))
        | lanes.simd_eq(u8x16::splat(b't'))
}

/// The bytes after backslashes that are not escaped themselves, and whether the first byte of the next block is one: of
/// each run of backslashes every other is escaped, which an addition finds for all runs at once.
#[inline]
fn escaped(backslashes: u64, carry: u64) -> (u64, u64) {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let backslashes = backslashes & !carry;
    let followers = backslashes << 1 | carry;
    let odd_starts = backslashes & !EVEN & !followers;
    let (carried, overflow) = odd_starts.overflowing_add(backslashes);
    ((EVEN ^ (carried << 1)) & followers, u64::from(overflow))
}
