//! `JSON.parse`. Open arrays and objects are on a stack of their own, so depth is bounded by the text alone.

use super::{Array, Object, Text, Value};

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}")]
pub struct ParseError {
    /// Where, in bytes from the start.
    pub at: usize,
}

/// Reads a text as `JSON.parse` does.
///
/// # Errors
/// Where that throws a `SyntaxError`.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    let mut parser = Parser { text, at: 0 };
    // The items of all open arrays; each becomes a `Vec` of the right size in the end.
    let mut items = Vec::new();
    let mut open = Vec::new();
    'value: loop {
        parser.skip_blanks();
        let mut value = match parser.peek() {
            Some(b'{') => {
                parser.at += 1;
                parser.skip_blanks();
                if parser.take(b'}') {
                    Value::Object(Object::default())
                } else {
                    let key = parser.key()?;
                    let object = Object::default();
                    open.push(Open::Object { object, key });
                    continue;
                }
            }
            Some(b'[') => {
                parser.at += 1;
                parser.skip_blanks();
                if parser.take(b']') {
                    Value::Array(Array::default())
                } else {
                    let first = items.len();
                    open.push(Open::Array { first });
                    continue;
                }
            }
            _ => parser.scalar()?,
        };
        // The value is whole; so may be what it ends.
        loop {
            parser.skip_blanks();
            match open.pop() {
                None if parser.at == text.len() => return Ok(value),
                None => return Err(parser.error()),
                Some(Open::Array { first }) => {
                    items.push(value);
                    if parser.take(b',') {
                        open.push(Open::Array { first });
                        continue 'value;
                    }
                    parser.expect(b']')?;
                    value = Value::Array(items.split_off(first).into());
                }
                Some(Open::Object { mut object, key }) => {
                    object.insert(key, value);
                    if parser.take(b',') {
                        parser.skip_blanks();
                        let key = parser.key()?;
                        open.push(Open::Object { object, key });
                        continue 'value;
                    }
                    parser.expect(b'}')?;
                    value = Value::Object(object);
                }
            }
        }
    }
}

enum Open {
    /// Its items begin here.
    Array { first: usize },
    /// The value of `key` comes next.
    Object { object: Object, key: Text },
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn error(&self) -> ParseError {
        ParseError { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, byte: u8) -> Result<(), ParseError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    fn skip_blanks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Returns how many.
    fn skip(&mut self, skipped: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest
            .iter()
            .position(|&byte| !skipped(byte))
            .unwrap_or(rest.len());
        self.at += count;
        count
    }

    fn scalar(&mut self) -> Result<Value, ParseError> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(Value::String)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.error()),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, ParseError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.error());
        }
        self.at += word.len();
        Ok(value)
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<Text, ParseError> {
        self.expect(b'"')?;
        let key = self.string()?;
        self.skip_blanks();
        self.expect(b':')?;
        Ok(key)
    }

    fn number(&mut self) -> Result<f64, ParseError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        // Rust rounds as JavaScript does, and takes what is too large for infinite.
        let number = self.text[start..self.at].parse();
        number.map_err(|_| ParseError { at: start })
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), ParseError> {
        match self.skip(|byte| byte.is_ascii_digit()) {
            0 => Err(self.error()),
            _ => Ok(()),
        }
    }

    /// The rest of a string, after its first quote.
    fn string(&mut self) -> Result<Text, ParseError> {
        let mut text = Text::default();
        loop {
            let plain = self.plain();
            if self.take(b'"') {
                // Most strings are one plain run, which is copied once.
                if text.is_empty() {
                    return Ok(plain.into());
                }
                text.push_str(plain);
                return Ok(text);
            }
            text.push_str(plain);
            self.expect(b'\\')?;
            self.escape(&mut text)?;
        }
    }

    fn plain(&mut self) -> &'t str {
        let start = self.at;
        self.skip(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        &self.text[start..self.at]
    }

    /// After the backslash.
    fn escape(&mut self, text: &mut Text) -> Result<(), ParseError> {
        let letter = self.peek().ok_or_else(|| self.error())?;
        let meant = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unit(text);
            }
            _ => return Err(self.error()),
        };
        self.at += 1;
        text.push(meant);
        Ok(())
    }

    /// Four digits, and those of the other half of a pair if it follows.
    fn unit(&mut self, text: &mut Text) -> Result<(), ParseError> {
        let unit = self.hexadecimal()?;
        if let Some(letter) = char::from_u32(u32::from(unit)) {
            text.push(letter);
            return Ok(());
        }
        let before = self.at;
        if self.take(b'\\') && self.take(b'u') {
            let next = self.hexadecimal()?;
            if let Some(Ok(letter)) = char::decode_utf16([unit, next]).next() {
                text.push(letter);
                return Ok(());
            }
        }
        // What follows has a meaning of its own.
        self.at = before;
        text.push_lone_surrogate(unit);
        Ok(())
    }

    fn hexadecimal(&mut self) -> Result<u16, ParseError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.ok_or_else(|| self.error())?;
        let mut unit = 0;
        for &digit in digits {
            let digit = char::from(digit).to_digit(16).ok_or_else(|| self.error())?;
            unit = unit << 4 | digit;
        }
        self.at += 4;
        Ok(unit as u16)
    }
}
