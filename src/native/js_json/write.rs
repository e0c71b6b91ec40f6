//! `JSON.stringify`, without its limit of depth.

use std::collections::btree_map;
use std::fmt::Write;
use std::slice;

use bytes::Bytes;
use indexmap::map;

use super::{Text, Value};

/// Writes a value as `JSON.stringify` does; nothing for `undefined`.
///
/// V8 throws a `RangeError` at some thousand levels, where this goes on.
#[must_use]
pub fn stringify(value: &Value) -> Option<String> {
    write(value, None, usize::MAX)
}

/// Writes a value as `JSON.stringify(value, null, spaces)` does; nothing for `undefined`, nor for what gets longer than
/// `longest` bytes: the indentation of deep values grows with the square of their depth. V8 has limits of its own.
#[must_use]
pub fn stringify_indented(value: &Value, spaces: usize, longest: usize) -> Option<String> {
    write(value, Some(spaces), longest)
}

fn write(value: &Value, spaces: Option<usize>, longest: usize) -> Option<String> {
    if matches!(value, Value::Undefined) {
        return None;
    }
    let mut json = String::new();
    let mut open = Vec::new();
    open.extend(begin(&mut json, value));
    while !open.is_empty() && json.len() <= longest {
        let depth = open.len();
        let indent = |depth| spaces.map(|spaces| depth * spaces);
        let [.., parent] = &mut open[..] else { break };
        match parent.next(&mut json, indent(depth)) {
            Some(child) => open.extend(begin(&mut json, child)),
            None => {
                parent.end(&mut json, indent(depth - 1));
                open.pop();
            }
        }
    }
    (json.len() <= longest).then_some(json)
}

/// Writes a value, or only its opening bracket.
fn begin<'v>(json: &mut String, value: &'v Value) -> Option<Open<'v>> {
    match value {
        Value::Undefined | Value::Null => json.push_str("null"),
        Value::Bool(true) => json.push_str("true"),
        Value::Bool(false) => json.push_str("false"),
        Value::Number(number) => write_number(json, *number),
        Value::String(text) => write_text(json, text),
        Value::Buffer(bytes) => write_buffer(json, bytes),
        Value::Array(items) => {
            json.push('[');
            return Some(Open::Array {
                items: items.iter(),
                is_first: true,
            });
        }
        Value::Object(object) => {
            json.push('{');
            let (indexed, named) = object.parts();
            return Some(Open::Object {
                indexed,
                named,
                is_first: true,
            });
        }
    }
    None
}

enum Open<'v> {
    Array {
        items: slice::Iter<'v, Value>,
        is_first: bool,
    },
    Object {
        indexed: btree_map::Iter<'v, u32, Value>,
        named: map::Iter<'v, Text, Value>,
        is_first: bool,
    },
}

impl<'v> Open<'v> {
    /// Writes what stands before the next value.
    fn next(&mut self, json: &mut String, indent: Option<usize>) -> Option<&'v Value> {
        match self {
            Self::Array { items, is_first } => {
                let item = items.next()?;
                separate(json, is_first, indent);
                Some(item)
            }
            Self::Object {
                indexed,
                named,
                is_first,
            } => {
                let is_there = |value: &Value| !matches!(value, Value::Undefined);
                let value = if let Some((index, value)) = indexed.find(|(_, value)| is_there(value))
                {
                    separate(json, is_first, indent);
                    let _ = write!(json, "\"{index}\"");
                    value
                } else {
                    let (key, value) = named.find(|(_, value)| is_there(value))?;
                    separate(json, is_first, indent);
                    write_text(json, key);
                    value
                };
                json.push_str(if indent.is_some() { ": " } else { ":" });
                Some(value)
            }
        }
    }

    /// Writes the closing bracket.
    fn end(&self, json: &mut String, indent: Option<usize>) {
        let (Self::Array { is_first, .. } | Self::Object { is_first, .. }) = self;
        if !is_first {
            break_line(json, indent);
        }
        json.push(match self {
            Self::Array { .. } => ']',
            Self::Object { .. } => '}',
        });
    }
}

fn separate(json: &mut String, is_first: &mut bool, indent: Option<usize>) {
    if !std::mem::take(is_first) {
        json.push(',');
    }
    break_line(json, indent);
}

fn break_line(json: &mut String, indent: Option<usize>) {
    if let Some(blanks) = indent {
        json.push('\n');
        json.extend(std::iter::repeat_n(' ', blanks));
    }
}

/// The digits are those of `express`, which prints what `serde` brings.
fn write_number(json: &mut String, number: f64) {
    if number.is_finite() {
        json.push_str(ryu_js::Buffer::new().format_finite(number));
    } else {
        json.push_str("null");
    }
}

fn write_text(json: &mut String, text: &Text) {
    json.push('"');
    match text.units() {
        Ok(text) => write_escaped(json, text),
        Err(units) => {
            for letter in char::decode_utf16(units.iter().copied()) {
                match letter {
                    Ok(letter) => write_escaped(json, letter.encode_utf8(&mut [0; 4])),
                    Err(lone) => {
                        let _ = write!(json, "\\u{:04x}", lone.unpaired_surrogate());
                    }
                }
            }
        }
    }
    json.push('"');
}

/// Only quotes, backslashes and control characters below U+0020 are escaped; U+007F and U+2028 are not.
fn write_escaped(json: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest
        .bytes()
        .position(|byte| byte < b' ' || byte == b'"' || byte == b'\\')
    {
        json.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            0x8 => json.push_str("\\b"),
            b'\t' => json.push_str("\\t"),
            b'\n' => json.push_str("\\n"),
            0xc => json.push_str("\\f"),
            b'\r' => json.push_str("\\r"),
            control => {
                let _ = write!(json, "\\u{control:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    json.push_str(rest);
}

/// What `Buffer.prototype.toJSON` makes.
fn write_buffer(json: &mut String, bytes: &Bytes) {
    json.push_str("{\"type\":\"Buffer\",\"data\":[");
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        let _ = write!(json, "{byte}");
    }
    json.push_str("]}");
}
