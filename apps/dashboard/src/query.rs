//! Query strings as Express 4 hands them to its routes: parsed by `qs` 6.13 with `allowPrototypes`, which is the oracle
//! of `tests/it`. Repeated keys make lists, `a[]=` and `a[0]=` too, `a[b]=` makes maps.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::answer::Thrown;
use super::number::to_number;

/// `parameterLimit`: what comes after so many is not looked at.
const PAIRS: usize = 1000;
/// `depth`: what stands deeper is one key, brackets and all.
const DEPTH: usize = 5;
/// `arrayLimit`: higher indexes make a map of the list.
const LAST_INDEX: usize = 20;

/// `req.query`
#[derive(Debug, Default)]
pub(super) struct Query(IndexMap<String, Value>);

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<Self>),
    /// The order of its keys is that of their first assignment, which is JavaScript's for all but array indexes.
    Map(IndexMap<String, Self>),
    /// What `a[b]=1&a=c` gives to `c`. Only inside of maps.
    True,
}

impl Query {
    /// Parses what follows the `?`.
    pub(super) fn parse(raw: Option<&str>) -> Self {
        let mut root = Node::Map(IndexMap::new());
        for (key, value) in pairs(raw.unwrap_or_default()) {
            if !key.is_empty() {
                root = merge(root, chain(&key, value));
            }
        }
        match root {
            Node::Map(map) => Self(compact_map(map)),
            // The root is a map, and what is merged into a map leaves one.
            _ => Self::default(),
        }
    }

    /// `req.query[name]`
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl Value {
    /// Whether `if (value)` holds.
    pub(super) fn is_truthy(&self) -> bool {
        !matches!(self, Self::Text(text) if text.is_empty())
    }

    /// `String(value)`
    ///
    /// # Errors
    /// For a map with a key `toString`, which is then no function.
    pub(super) fn to_text(&self) -> Result<Cow<'_, str>, Thrown> {
        Ok(match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::True => Cow::Borrowed("true"),
            Self::Map(map) if map.contains_key("toString") => {
                return Err(Thrown::new("Cannot convert object to primitive value"));
            }
            Self::Map(_) => Cow::Borrowed("[object Object]"),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::to_text).collect::<Result<_, _>>()?;
                Cow::Owned(items.join(","))
            }
        })
    }

    /// `Number(value)`
    ///
    /// # Errors
    /// As for `to_text`.
    pub(super) fn to_number(&self) -> Result<f64, Thrown> {
        match self {
            Self::True => Ok(1.0),
            _ => self.to_text().map(|text| to_number(&text)),
        }
    }
}

/// A value that is being put together: lists still have holes.
enum Node {
    Text(String),
    True,
    List(Vec<Option<Self>>),
    Map(IndexMap<String, Self>),
}

/// The pairs with equal keys joined, in the order of `Object.keys`: array indexes come first.
fn pairs(raw: &str) -> impl Iterator<Item = (String, Node)> {
    let mut all: IndexMap<String, Node> = IndexMap::new();
    for part in unbracket(raw).split('&').take(PAIRS) {
        let equals = match part.find("]=") {
            Some(bracket) => Some(bracket + 1),
            None => part.find('='),
        };
        let (key, value) = match equals {
            Some(at) => (decode(&part[..at]), decode(&part[at + 1..])),
            None => (decode(part), String::new()),
        };
        put(&mut all, key, Node::Text(value), concat);
    }
    let mut indexed = BTreeMap::new();
    all.retain(|key, node| match array_index(key) {
        Some(index) => {
            indexed.insert(index, (key.clone(), mem::replace(node, Node::True)));
            false
        }
        None => true,
    });
    indexed.into_values().chain(all)
}

/// Sets a key, or joins what it has with what is new.
fn put(
    map: &mut IndexMap<String, Node>,
    key: String,
    value: Node,
    join: impl Fn(Node, Node) -> Node,
) {
    match map.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(value);
        }
        Entry::Occupied(mut entry) => {
            let known = mem::replace(entry.get_mut(), Node::True);
            entry.insert(join(known, value));
        }
    }
}

/// Brackets may be escaped, which is undone before anything is split.
fn unbracket(raw: &str) -> Cow<'_, str> {
    if !raw.contains("%5") {
        return Cow::Borrowed(raw);
    }
    let raw = raw.replace("%5B", "[").replace("%5b", "[");
    Cow::Owned(raw.replace("%5D", "]").replace("%5d", "]"))
}

/// `decodeURIComponent` with `+` for the blank; what that throws at stays as it is.
fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode(&text).unwrap_or(text)
}

/// `decodeURIComponent`: nothing where it throws a `URIError`.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        bytes.push((digit(0)? << 4 | digit(1)?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// `a[b][]` with its value: `{a: {b: [value]}}`. Text between brackets and after them counts for nothing.
fn chain(key: &str, value: Node) -> Node {
    let mut keys = Vec::new();
    let first = brackets(key, 0);
    let parent = &key[..first.map_or(key.len(), |(start, _)| start)];
    if !parent.is_empty() {
        keys.push(Cow::Borrowed(parent));
    }
    let mut next = first;
    for _ in 0..DEPTH {
        let Some((start, end)) = next else { break };
        keys.push(Cow::Borrowed(&key[start..end]));
        next = brackets(key, end);
    }
    if let Some((start, _)) = next {
        keys.push(Cow::Owned(format!("[{}]", &key[start..])));
    }
    keys.iter().rev().fold(value, |leaf, key| hang(key, leaf))
}

/// The next `[` that a `]` closes without a bracket between them.
fn brackets(key: &str, from: usize) -> Option<(usize, usize)> {
    let mut open = None;
    for (at, byte) in key.bytes().enumerate().skip(from) {
        match (byte, open) {
            (b'[', _) => open = Some(at),
            (b']', Some(start)) => return Some((start, at + 1)),
            _ => {}
        }
    }
    None
}

fn hang(key: &str, leaf: Node) -> Node {
    if key == "[]" {
        return match leaf {
            Node::List(items) => Node::List(items),
            leaf => Node::List(vec![Some(leaf)]),
        };
    }
    let inner = key
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(index) = inner.and_then(array_index)
        && let index = index as usize
        && index <= LAST_INDEX
    {
        let mut items: Vec<Option<Node>> = Vec::new();
        items.resize_with(index, || None);
        items.push(Some(leaf));
        return Node::List(items);
    }
    let key = inner.unwrap_or(key);
    let mut map = IndexMap::new();
    if key != "__proto__" {
        map.insert(key.to_owned(), leaf);
    }
    Node::Map(map)
}

/// `utils.merge`. What was there is replaced by nothing that comes later.
fn merge(target: Node, source: Node) -> Node {
    match (target, source) {
        (target, Node::Text(text)) if text.is_empty() => target,
        (target @ Node::List(_), source @ (Node::Text(_) | Node::True)) => concat(target, source),
        (Node::Map(mut map), Node::Text(text)) => {
            if text != "__proto__" {
                map.insert(text, Node::True);
            }
            Node::Map(map)
        }
        (target @ (Node::Text(_) | Node::True), source) => concat(target, source),
        // No source has it: it only ever comes from the arm above.
        (target @ Node::Map(_), Node::True) => target,
        (Node::List(target), Node::List(source)) => Node::List(merge_lists(target, source)),
        (Node::List(items), Node::Map(source)) => Node::Map(merge_maps(by_index(items), source)),
        (Node::Map(map), Node::List(items)) => Node::Map(merge_maps(map, by_index(items))),
        (Node::Map(map), Node::Map(source)) => Node::Map(merge_maps(map, source)),
    }
}

/// `[].concat(a, b)`
fn concat(first: Node, second: Node) -> Node {
    let mut all = match first {
        Node::List(items) => items,
        other => vec![Some(other)],
    };
    match second {
        Node::List(items) => all.extend(items),
        other => all.push(Some(other)),
    }
    Node::List(all)
}

fn merge_lists(mut target: Vec<Option<Node>>, source: Vec<Option<Node>>) -> Vec<Option<Node>> {
    for (index, item) in source.into_iter().enumerate() {
        let Some(item) = item else { continue };
        if index >= target.len() {
            target.resize_with(index + 1, || None);
        }
        let is_object = |node: &Node| matches!(node, Node::List(_) | Node::Map(_));
        target[index] = match target[index].take() {
            None => Some(item),
            Some(known) if is_object(&known) && is_object(&item) => Some(merge(known, item)),
            Some(known) => {
                target.push(Some(item));
                Some(known)
            }
        };
    }
    target
}

fn merge_maps(
    mut target: IndexMap<String, Node>,
    source: IndexMap<String, Node>,
) -> IndexMap<String, Node> {
    for (key, value) in source {
        put(&mut target, key, value, merge);
    }
    target
}

fn by_index(items: Vec<Option<Node>>) -> IndexMap<String, Node> {
    let items = items.into_iter().enumerate();
    items
        .filter_map(|(index, item)| Some((index.to_string(), item?)))
        .collect()
}

/// Closes the holes.
fn compact(node: Node) -> Value {
    match node {
        Node::Text(text) => Value::Text(text),
        Node::True => Value::True,
        Node::List(items) => Value::List(items.into_iter().flatten().map(compact).collect()),
        Node::Map(map) => Value::Map(compact_map(map)),
    }
}

fn compact_map(map: IndexMap<String, Node>) -> IndexMap<String, Value> {
    map.into_iter()
        .map(|(key, node)| (key, compact(node)))
        .collect()
}

/// The integers from 0 to 2^32 - 2 in their one decimal spelling.
fn array_index(key: &str) -> Option<u32> {
    let index: u32 = key.parse().ok().filter(|&index| index < u32::MAX)?;
    let is_spelled_so = key.starts_with(|first: char| first.is_ascii_digit())
        && (key.len() == 1 || !key.starts_with('0'));
    is_spelled_so.then_some(index)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::oracle::{Random, ask};
    use super::*;

    fn json(value: &Value) -> serde_json::Value {
        match value {
            Value::Text(text) => json!(text),
            Value::True => json!(true),
            Value::List(items) => items.iter().map(json).collect(),
            Value::Map(map) => map
                .iter()
                .map(|(key, item)| (key.clone(), json(item)))
                .collect(),
        }
    }

    fn compare(queries: &[String]) {
        for (query, expected) in queries.iter().zip(ask("query", queries)) {
            let Query(parsed) = Query::parse(Some(query));
            assert_eq!(json(&Value::Map(parsed)), expected, "{query}");
        }
    }

    #[test]
    fn generated_queries_are_read_as_by_qs() {
        let pieces = [
            "a",
            "a",
            "b",
            "=",
            "=",
            "=1",
            "=x",
            "&",
            "&",
            "&a=",
            "&a=2",
            "[",
            "]",
            "[]",
            "[]=",
            "[0]",
            "[1]",
            "[20]",
            "[21]",
            "[01]",
            "[a]",
            "[b]",
            "[]]",
            "[[",
            "%5B",
            "%5d",
            "%5b%5D=",
            "+",
            "%20",
            "%",
            "%4",
            "%41",
            "%E0%A4%A",
            "%C3%A9",
            "%F0%9F%98%80",
            "%ED%A0%80",
            "%00",
            "__proto__",
            "[__proto__]",
            "toString",
            "[toString]",
            "0",
            "1",
            "10",
            ".",
            "a[",
            "&a[",
            "&a[b]",
            "&[",
            "%26",
            "%3D",
            ";",
            ",",
            "a[b][c][d][e][f]",
            "[g][h]=",
        ];
        let mut random = Random::new(7);
        let queries: Vec<String> = (0..20_000)
            .map(|_| {
                let count = 1 + random.below(14);
                (0..count).map(|_| *random.pick(&pieces)).collect()
            })
            .collect();
        compare(&queries);
    }

    #[test]
    fn the_limits_are_those_of_qs() {
        let many = |count: usize, part: &dyn Fn(usize) -> String| {
            (0..count).map(part).collect::<Vec<_>>().join("&")
        };
        compare(&[
            many(1001, &|n| format!("k{n}={n}")),
            many(1001, &|_| "a=1".to_owned()),
            many(40, &|n| format!("a[{n}]={n}")),
            many(40, &|n| format!("a[]={n}")),
            many(30, &|n| format!("a[{}]={n}", 29 - n)),
            many(3, &|n| format!("{}=1", "[x]".repeat(4 + n))),
            many(3, &|n| format!("a{}=1", "[0]".repeat(4 + n))),
            String::new(),
        ]);
    }

    #[test]
    fn texts_of_values_are_those_of_javascript() {
        let text = |query: &str| {
            let query = Query::parse(Some(query));
            let text = query
                .get("a")
                .map(|value| value.to_text().map(Cow::into_owned));
            text.expect("a parameter")
        };
        assert_eq!(text("a=1&a=3").as_deref(), Ok("1,3"));
        assert_eq!(
            text("a[]=1&a[]=&a[][]=3&a[][b]=4").as_deref(),
            Ok("1,,3,[object Object]")
        );
        assert_eq!(text("a[b]=1").as_deref(), Ok("[object Object]"));
        let thrown = Err(Thrown::new("Cannot convert object to primitive value"));
        assert_eq!(text("a[toString]=1"), thrown);
        assert_eq!(text("a[0][toString]=1"), thrown);
        assert!(Query::parse(None).get("a").is_none());
    }

    #[test]
    fn only_empty_texts_are_falsy() {
        let query = Query::parse(Some("a=&b=0&c[]=&d[e]="));
        let truthy = |name| query.get(name).is_some_and(Value::is_truthy);
        assert_eq!(["a", "b", "c", "d"].map(truthy), [false, true, true, true]);
    }
}
