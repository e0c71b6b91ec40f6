//! One pass over a JSON text (RFC 8259, as strict as `JSON.parse`) that notes where wanted scalars stand.

use std::borrow::Cow;

use crate::routing::argument::{Pointers, Root};

/// What stands at a step of a pointer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, `null` or an object: no scalar.
    #[default]
    Nothing,
    /// An array. JavaScript makes a text of it where it needs one: `["a"]` finds the member `a`.
    List,
    /// Between the quotes.
    Text {
        start: usize,
        end: usize,
        escaped: bool,
    },
    Number {
        start: usize,
        end: usize,
    },
    Bool(bool),
}

/// By step; `None` if the text is not JSON.
pub(crate) fn scan(text: &[u8], root: Root, pointers: &Pointers) -> Option<Vec<Found>> {
    let mut scan = Scan {
        text,
        at: 0,
        pointers,
        found: vec![Found::Nothing; pointers.len()],
    };
    match root {
        Root::Message => scan.value(0)?,
        Root::FirstArgument => scan.first_argument()?,
    }
    scan.white();
    (scan.at == text.len()).then_some(scan.found)
}

/// What a string says, from between its quotes. `None` if it has half a surrogate pair.
pub(crate) fn text(raw: &[u8], escaped: bool) -> Option<Cow<'_, str>> {
    let raw = std::str::from_utf8(raw).ok()?;
    if !escaped {
        return Some(Cow::Borrowed(raw));
    }
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        decoded.push_str(&rest[..at]);
        let letter = *rest.as_bytes().get(at + 1)?;
        rest = &rest[at + 2..];
        decoded.push(match letter {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = code_unit(&mut rest)?;
                let code = match unit {
                    0xd800..0xdc00 => {
                        rest = rest.strip_prefix("\\u")?;
                        let low = code_unit(&mut rest)?;
                        if !(0xdc00..0xe000).contains(&low) {
                            return None;
                        }
                        0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => unit,
                };
                char::from_u32(code)?
            }
            other => char::from(other),
        });
    }
    decoded.push_str(rest);
    Some(Cow::Owned(decoded))
}

/// Takes four hexadecimal digits off.
fn code_unit(rest: &mut &str) -> Option<u32> {
    let (digits, behind) = rest.split_at_checked(4)?;
    *rest = behind;
    u32::from_str_radix(digits, 16).ok()
}

struct Scan<'s> {
    text: &'s [u8],
    at: usize,
    pointers: &'s Pointers,
    found: Vec<Found>,
}

impl Scan<'_> {
    /// `["name", argument, …]`
    fn first_argument(&mut self) -> Option<()> {
        self.white();
        self.expect(b'[')?;
        self.skip()?;
        let mut is_first = true;
        loop {
            self.white();
            match self.next()? {
                b',' if is_first => self.value(0)?,
                b',' => self.skip()?,
                b']' => return Some(()),
                _ => return None,
            }
            is_first = false;
        }
    }

    /// A value that a pointer passes through or ends at. Recursive, but never deeper than the longest pointer.
    fn value(&mut self, step: usize) -> Option<()> {
        self.white();
        match self.peek()? {
            b'{' if !self.pointers.is_leaf(step) => self.object(step),
            b'[' if !self.pointers.is_leaf(step) => self.array(step),
            bracket @ (b'{' | b'[') => {
                if bracket == b'[' {
                    self.found[step] = Found::List;
                }
                self.skip()
            }
            _ => {
                self.found[step] = self.scalar()?;
                Some(())
            }
        }
    }

    fn object(&mut self, step: usize) -> Option<()> {
        self.expect(b'{')?;
        self.white();
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            self.white();
            let (start, end, escaped) = self.string()?;
            self.white();
            self.expect(b':')?;
            let child = match escaped {
                false => std::str::from_utf8(&self.text[start..end])
                    .ok()
                    .and_then(|name| self.pointers.member(step, name)),
                true => text(&self.text[start..end], true)
                    .and_then(|name| self.pointers.member(step, &name)),
            };
            self.member(child)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn array(&mut self, step: usize) -> Option<()> {
        self.expect(b'[')?;
        self.white();
        if self.eat(b']') {
            return Some(());
        }
        for index in 0.. {
            self.member(self.pointers.item(step, index))?;
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
        None
    }

    /// One value of an object or array, and the space behind it.
    fn member(&mut self, child: Option<usize>) -> Option<()> {
        match child {
            Some(child) => {
                // An earlier member of the same name counts no more.
                self.forget(child);
                self.value(child)?;
            }
            None => self.skip()?,
        }
        self.white();
        Some(())
    }

    fn forget(&mut self, step: usize) {
        self.found[step] = Found::Nothing;
        let pointers = self.pointers;
        for (_, inner) in &pointers.steps[step].names {
            self.forget(*inner);
        }
    }

    /// Any value, to any depth.
    fn skip(&mut self) -> Option<()> {
        // For each open container, whether it is an object.
        let mut open = Vec::new();
        loop {
            self.white();
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    let is_object = bracket == b'{';
                    self.at += 1;
                    self.white();
                    if !self.eat(if is_object { b'}' } else { b']' }) {
                        open.push(is_object);
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                _ => {
                    self.scalar()?;
                }
            }
            loop {
                let Some(&is_object) = open.last() else {
                    return Some(());
                };
                self.white();
                match (self.next()?, is_object) {
                    (b',', true) => {
                        self.name()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => {
                        open.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// The name of a member, with its colon.
    fn name(&mut self) -> Option<()> {
        self.white();
        self.string()?;
        self.white();
        self.expect(b':')
    }

    fn scalar(&mut self) -> Option<Found> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                let (start, end, escaped) = self.string()?;
                Some(Found::Text {
                    start,
                    end,
                    escaped,
                })
            }
            b't' => self.word(b"true").map(|()| Found::Bool(true)),
            b'f' => self.word(b"false").map(|()| Found::Bool(false)),
            b'n' => self.word(b"null").map(|()| Found::Nothing),
            _ => {
                self.number()?;
                Some(Found::Number {
                    start,
                    end: self.at,
                })
            }
        }
    }

    /// What stands between the quotes, and whether it has escapes.
    fn string(&mut self) -> Option<(usize, usize, bool)> {
        let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            // Pictures are long strings; a block at a time is several times as fast as a byte.
            while let Some(block) = self.text.get(self.at..self.at + 32)
                && !block
                    .iter()
                    .fold(false, |any, byte| any | is_special(*byte))
            {
                self.at += 32;
            }
            match self.next()? {
                b'"' => return Some((start, self.at - 1, escaped)),
                b'\\' => {
                    escaped = true;
                    match self.next()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            for _ in 0..4 {
                                self.next().filter(u8::is_ascii_hexdigit)?;
                            }
                        }
                        _ => return None,
                    }
                }
                control if control < 0x20 => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Some(())
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let behind = self.text.get(self.at..)?.strip_prefix(word)?;
        self.at = self.text.len() - behind.len();
        Some(())
    }

    fn white(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }
}
