//! Objects, with their keys in the order in which JavaScript lists them.

use std::borrow::Cow;
use std::collections::{BTreeMap, btree_map};
use std::fmt;

use indexmap::{Equivalent, IndexMap, map};

use super::{Text, Value, unload};

/// An object as `JSON.parse` makes it. `__proto__` is a key like any other.
#[derive(Default)]
pub struct Object(Box<Fields>);

#[derive(Default)]
struct Fields {
    /// Keys that are array indexes.
    indexed: BTreeMap<u32, Value>,
    /// All others, in the order of their first insertion.
    named: IndexMap<Text, Value>,
}

impl Equivalent<Text> for str {
    fn equivalent(&self, key: &Text) -> bool {
        key == self
    }
}

impl Object {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match array_index(key) {
            Some(index) => self.0.indexed.get(&index),
            None => self.0.named.get(key),
        }
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        match array_index(key) {
            Some(index) => self.0.indexed.get_mut(&index),
            None => self.0.named.get_mut(key),
        }
    }

    /// What an assignment does: a known key keeps its place, a new one comes last, or among the indexes.
    pub fn insert(&mut self, key: impl Into<Text>, value: Value) {
        let key = key.into();
        match key.as_str().and_then(array_index) {
            Some(index) => self.0.indexed.insert(index, value),
            None => self.0.named.insert(key, value),
        };
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.indexed.len() + self.0.named.len()
    }

    /// Whether it is `{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values, as `Object.entries` lists them.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, Text>, &Value)> {
        let indexed = self.0.indexed.iter();
        indexed
            .map(|(index, value)| (Cow::Owned(Text::from(index.to_string())), value))
            .chain(
                self.0
                    .named
                    .iter()
                    .map(|(key, value)| (Cow::Borrowed(key), value)),
            )
    }

    /// The values in the same order, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let Fields { indexed, named } = &mut *self.0;
        indexed.values_mut().chain(named.values_mut())
    }

    /// What `stringify` walks: the two kinds of keys, one after the other.
    pub(super) fn parts(&self) -> (btree_map::Iter<'_, u32, Value>, map::Iter<'_, Text, Value>) {
        (self.0.indexed.iter(), self.0.named.iter())
    }

    /// Moves the values away; the object is not used again.
    pub(super) fn unload_into(&mut self, values: &mut Vec<Value>) {
        values.extend(std::mem::take(&mut self.0.indexed).into_values());
        values.extend(self.0.named.drain(..).map(|(_, value)| value));
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let mut values = Vec::new();
        self.unload_into(&mut values);
        unload(&mut values);
    }
}

/// The integers from 0 to 2^32 - 2 in their one decimal spelling.
fn array_index(key: &str) -> Option<u32> {
    let digits = key.as_bytes();
    let is_spelled_so = match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 10 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !is_spelled_so {
        return None;
    }
    key.parse().ok().filter(|&index| index < u32::MAX)
}
