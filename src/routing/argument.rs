//! The JSON of a message, for rules that look into it: read once, however many rules ask, and not at all if none does.
//! Only what a rule points at is kept, as a place in the text; the rest is passed over, to any depth, without
//! recursion.
//!
//! Values are what `JSON.parse` gives: of two members of one name the last, 36 for `36.0`, escapes decoded. A text that
//! is not JSON has no values at all. Neither has a string with half a surrogate pair, nor is its name found, since no
//! text of `routes.toml` can be equal to it; the other values of that message are not affected. A binary attachment is
//! the placeholder that stands for it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use crate::config::Pointer;
use crate::routing::select::Value;

mod scan;

use scan::{Found, scan};

/// What a message says, not read before it is asked for.
#[derive(Debug)]
pub struct LazyArgument<'m> {
    text: &'m [u8],
    root: Root,
    read: RefCell<Option<Read>>,
}

/// Whether `JSON.parse` accepts a text. `serde_json` refuses half a surrogate pair, and numbers that are infinite to
/// JavaScript.
pub(crate) fn is_json(text: &[u8]) -> bool {
    scan(text, Root::Message, &Pointers::new([])).is_some()
}

/// Where pointers begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// At the second item of an array, whose first one is the name of the event.
    FirstArgument,
    /// At the whole text.
    Message,
}

#[derive(Debug)]
struct Read {
    /// Whose places these are. Held, so that no other set can be taken for it.
    pointers: Arc<Pointers>,
    /// By step of `pointers`; empty if the text is not JSON.
    found: Vec<Found>,
}

impl<'m> LazyArgument<'m> {
    /// The first argument of a Socket.IO event. `arguments` is the array of its packet, with the name first.
    pub fn of_event(arguments: &'m [u8]) -> Self {
        Self::new(arguments, Root::FirstArgument)
    }

    /// The whole of a WebSocket message.
    pub fn of_message(text: &'m [u8]) -> Self {
        Self::new(text, Root::Message)
    }

    fn new(text: &'m [u8], root: Root) -> Self {
        Self {
            text,
            root,
            read: RefCell::new(None),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_read(&self) -> bool {
        self.read.borrow().is_some()
    }

    /// The scalar at this place, `None` where there is none. The pointer must be one of the set.
    pub(crate) fn get(&self, pointers: &Arc<Pointers>, pointer: &Pointer) -> Option<Value<'m>> {
        match self.find(pointers, pointer)? {
            Found::Nothing | Found::List => None,
            Found::Bool(value) => Some(Value::Bool(value)),
            Found::Number { start, end } => std::str::from_utf8(&self.text[start..end])
                .ok()?
                .parse()
                .ok()
                .map(Value::Number),
            Found::Text {
                start,
                end,
                escaped,
            } => scan::text(&self.text[start..end], escaped).map(Value::Text),
        }
    }

    fn find(&self, pointers: &Arc<Pointers>, pointer: &Pointer) -> Option<Found> {
        let step = pointers.step(pointer)?;
        let mut read = self.read.borrow_mut();
        let known = read
            .take()
            .filter(|known| Arc::ptr_eq(&known.pointers, pointers));
        let known = read.insert(known.unwrap_or_else(|| Read {
            pointers: Arc::clone(pointers),
            found: scan(self.text, self.root, pointers).unwrap_or_default(),
        }));
        known.found.get(step).copied()
    }

    /// Whether an array stands at this place.
    pub(crate) fn is_list(&self, pointers: &Arc<Pointers>, pointer: &Pointer) -> bool {
        self.find(pointers, pointer) == Some(Found::List)
    }

    /// As `get`, of a string.
    pub(crate) fn text(&self, pointers: &Arc<Pointers>, pointer: &Pointer) -> Option<Cow<'m, str>> {
        match self.get(pointers, pointer)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Bool(_) | Value::Address(_) => None,
        }
    }
}

/// All places that the rules of a table point at, as a tree of steps.
#[derive(Debug)]
pub(crate) struct Pointers {
    /// The first is the root.
    steps: Vec<Step>,
}

#[derive(Debug, Default)]
struct Step {
    /// Sorted, with where each leads.
    names: Vec<(Box<str>, usize)>,
    /// Those of the names that are the index of an item, sorted by it.
    indices: Vec<(usize, usize)>,
}

impl Pointers {
    pub(crate) fn new<'p>(pointers: impl IntoIterator<Item = &'p Pointer>) -> Self {
        let mut pointers: Vec<&Pointer> = pointers.into_iter().collect();
        pointers.sort_unstable();
        let mut steps = vec![Step::default()];
        for pointer in pointers {
            let mut at = 0;
            for name in pointer.steps() {
                let behind = steps.len();
                let step: &mut Step = &mut steps[at];
                // Sorted as they are, only the last one can be the same.
                at = match step.names.last() {
                    Some((last, leads_to)) if **last == **name => *leads_to,
                    _ => {
                        step.names.push((name.as_str().into(), behind));
                        // Digits without a leading zero, as RFC 6901 says.
                        let index = name.parse().ok();
                        step.indices.extend(
                            index
                                .filter(|index: &usize| index.to_string() == *name)
                                .map(|index| (index, behind)),
                        );
                        steps.push(Step::default());
                        behind
                    }
                };
            }
        }
        steps
            .iter_mut()
            .for_each(|step| step.indices.sort_unstable());
        Self { steps }
    }

    fn step(&self, pointer: &Pointer) -> Option<usize> {
        let mut names = pointer.steps().iter();
        names.try_fold(0, |at, name| self.member(at, name))
    }

    /// The step to the member of this name.
    fn member(&self, at: usize, name: &str) -> Option<usize> {
        let names = &self.steps[at].names;
        let found = names.binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok().map(|found| names[found].1)
    }

    /// The step to an item of an array.
    fn item(&self, at: usize, index: usize) -> Option<usize> {
        let indices = &self.steps[at].indices;
        let found = indices.binary_search_by_key(&index, |(known, _)| *known);
        found.ok().map(|found| indices[found].1)
    }

    fn is_leaf(&self, at: usize) -> bool {
        self.steps[at].names.is_empty()
    }

    fn len(&self) -> usize {
        self.steps.len()
    }
}

#[cfg(test)]
mod tests;
