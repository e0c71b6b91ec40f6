//! Strings of JavaScript.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

/// A string of JavaScript: UTF-16 in which a surrogate may stand alone. Ordinary ones are plain Rust strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Utf8(String),
    /// Only if there is a lone surrogate, so that equal strings are of the same kind.
    Utf16(Vec<u16>),
}

impl Text {
    /// The text; nothing if it holds a lone surrogate.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Kind::Utf8(text) => Some(text),
            Kind::Utf16(_) => None,
        }
    }

    /// The text as Node encodes it in UTF-8: a lone surrogate becomes U+FFFD.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        match &self.0 {
            Kind::Utf8(text) => Cow::Borrowed(text),
            Kind::Utf16(units) => Cow::Owned(String::from_utf16_lossy(units)),
        }
    }

    /// Whether it is `""`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_str().is_some_and(str::is_empty)
    }

    /// The string as Rust has it.
    ///
    /// # Errors
    /// Its UTF-16 units, where one of them is a lone surrogate.
    pub fn units(&self) -> Result<&str, &[u16]> {
        match &self.0 {
            Kind::Utf8(text) => Ok(text),
            Kind::Utf16(units) => Err(units),
        }
    }

    pub(super) fn push_str(&mut self, more: &str) {
        match &mut self.0 {
            Kind::Utf8(text) => text.push_str(more),
            Kind::Utf16(units) => units.extend(more.encode_utf16()),
        }
    }

    pub(super) fn push(&mut self, letter: char) {
        self.push_str(letter.encode_utf8(&mut [0; 4]));
    }

    /// The other half must not be beside it.
    pub(super) fn push_lone_surrogate(&mut self, unit: u16) {
        match &mut self.0 {
            Kind::Utf8(text) => {
                let units = text.encode_utf16().chain([unit]);
                self.0 = Kind::Utf16(units.collect());
            }
            Kind::Utf16(units) => units.push(unit),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self(Kind::Utf8(String::new()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Kind::Utf8(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

/// As that of a `str`, by which maps look for keys.
impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Kind::Utf8(text) => text.as_str().hash(state),
            Kind::Utf16(units) => units.hash(state),
        }
    }
}
