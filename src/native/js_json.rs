//! JavaScript's JSON, for handlers whose output has to equal `JSON.stringify(JSON.parse(text))` to the byte. V8 is the
//! oracle of the tests.
//! `parse` reads, `write` writes, `serialize` is for other formats, `object` holds keys in JavaScript's order, `text` strings
//! with lone surrogates.
//!
//! What `serde_json` does differently: every number is a double here (`36.0` is `36`, `12345678901234567890` is
//! `12345678901234567000`, `1e400` is infinite and printed as `null`); keys that look like array indexes come first, in
//! ascending order; of equal keys the last value takes the first place; strings may hold half a surrogate pair, which is
//! printed as an escape; and nesting has no limit.
//!
//! ```
//! use strangler::js_json::{parse, stringify};
//!
//! let value = parse(r#"{ "b": 36.0, "1": "\u0041\ud800", "b": -0, "0": 1e400 }"#)?;
//! assert_eq!(stringify(&value).as_deref(), Some(r#"{"0":null,"1":"A\ud800","b":0}"#));
//! # Ok::<(), strangler::js_json::ParseError>(())
//! ```
//!
//! # Depth
//!
//! [`parse`] takes any depth, as `JSON.parse` does, and a message of 1 MB may be half a million levels deep. A function that
//! calls itself for each level of such a value overflows the stack. That is no panic: it ends the process with all
//! connections. So nothing in this module recurses over a value, neither [`stringify()`] nor its drop, and
//! [`Serialize`](serde::Serialize) refuses a value with more than [`MAX_DEPTH`] levels. Before you recurse over a value, ask
//! [`Value::is_deeper_than`]. The values of [`RawEvent::values`](crate::RawEvent::values) never have more levels.

mod object;
mod parse;
mod serialize;
mod text;
mod write;

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;

pub use self::object::Object;
pub use self::parse::{ParseError, parse};
pub use self::text::Text;
pub use self::write::{stringify, stringify_indented};

/// So many arrays and objects may stand in one another where code may recurse over a value. `serde_json` ends there too.
pub const MAX_DEPTH: usize = 128;

/// A value of JavaScript, as JSON and Socket.IO bring it.
///
/// It is neither cloned nor compared, since both would recurse: a message of 1 MB may be half a million levels deep.
#[derive(Default)]
pub enum Value {
    /// Never parsed. An argument that was left out; as a field it is not printed, in an array it is `null`.
    #[default]
    Undefined,
    #[expect(missing_docs, reason = "JSON says it")]
    Null,
    #[expect(missing_docs, reason = "JSON says it")]
    Bool(bool),
    /// Any number, the infinite ones included.
    Number(f64),
    #[expect(missing_docs, reason = "JSON says it")]
    String(Text),
    #[expect(missing_docs, reason = "JSON says it")]
    Array(Array),
    #[expect(missing_docs, reason = "JSON says it")]
    Object(Object),
    /// Never parsed. A binary attachment of Socket.IO, printed as `{"type":"Buffer","data":[…]}`.
    Buffer(Bytes),
}

impl Value {
    /// The field of an object; nothing where this is none, as with `?.`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(object) => object.get(key),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Object(object) => object.get_mut(key),
            _ => None,
        }
    }

    /// The text of a string without lone surrogates.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => text.as_str(),
            _ => None,
        }
    }

    /// Whether more than `levels` arrays and objects stand in one another. It does not recurse.
    ///
    /// ```
    /// use strangler::js_json::{MAX_DEPTH, parse};
    ///
    /// let value = parse(r#"[{"a":[]},1]"#)?;
    /// assert!(value.is_deeper_than(2) && !value.is_deeper_than(3));
    /// let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    /// assert!(parse(&deep)?.is_deeper_than(MAX_DEPTH));
    /// # Ok::<(), strangler::js_json::ParseError>(())
    /// ```
    #[must_use]
    pub fn is_deeper_than(&self, levels: usize) -> bool {
        let mut open = vec![(self, 0)];
        while let Some((value, depth)) = open.pop() {
            let inside = depth + 1;
            match value {
                Self::Array(_) | Self::Object(_) if inside > levels => return true,
                Self::Array(items) => open.extend(items.iter().map(|item| (item, inside))),
                Self::Object(object) => {
                    open.extend(object.iter().map(|(_, value)| (value, inside)));
                }
                _ => {}
            }
        }
        false
    }

    /// Whether `if (value)` holds.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::String(text) => !text.is_empty(),
            Self::Array(_) | Self::Object(_) | Self::Buffer(_) => true,
        }
    }
}

/// As JSON.
impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(stringify(self).as_deref().unwrap_or("undefined"))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

/// The items of an array.
#[derive(Debug, Default)]
pub struct Array(Vec<Value>);

impl From<Vec<Value>> for Array {
    fn from(items: Vec<Value>) -> Self {
        Self(items)
    }
}

impl From<Array> for Vec<Value> {
    fn from(mut array: Array) -> Self {
        mem::take(&mut array.0)
    }
}

impl Deref for Array {
    type Target = Vec<Value>;

    fn deref(&self) -> &Vec<Value> {
        &self.0
    }
}

impl DerefMut for Array {
    fn deref_mut(&mut self) -> &mut Vec<Value> {
        &mut self.0
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        unload(&mut self.0);
    }
}

/// Drops values one by one. Left to the compiler, deep ones would overflow the stack.
fn unload(values: &mut Vec<Value>) {
    while let Some(mut value) = values.pop() {
        match &mut value {
            Value::Array(array) => values.append(&mut array.0),
            Value::Object(object) => object.unload_into(values),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
