//! The values of a JSON object or array as the texts in which they came, so that what is stored and sent on is never
//! printed anew. Nothing here recurses: a message can hold 30,000 levels.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// The texts of the named values, in the order of the names; other keys are ignored. As the original reads it, an array
/// may stand for an object: it holds exactly the named values in their order.
///
/// `None` if `text` is no JSON, or another kind of value, or has one of the names twice.
pub(super) fn fields<'t, const N: usize>(
    text: &'t str,
    names: [&str; N],
) -> Option<[Option<&'t str>; N]> {
    let mut scanner = Scanner { rest: trim(text) };
    let mut found = [None; N];
    if scanner.eat('[') {
        for (index, value) in found.iter_mut().enumerate() {
            if index > 0 && !scanner.eat(',') {
                return None;
            }
            *value = Some(scanner.value::<IgnoredAny>()?.1);
        }
        return (scanner.eat(']') && scanner.rest.is_empty()).then_some(found);
    }
    if !scanner.eat('{') {
        return None;
    }
    let mut first = true;
    while !scanner.eat('}') {
        if !first && !scanner.eat(',') {
            return None;
        }
        first = false;
        let (key, _) = scanner.value::<String>()?;
        if !scanner.eat(':') {
            return None;
        }
        let (_, value) = scanner.value::<IgnoredAny>()?;
        if let Some(index) = names.iter().position(|name| *name == key)
            && found[index].replace(value).is_some()
        {
            return None;
        }
    }
    scanner.rest.is_empty().then_some(found)
}

/// JSON knows fewer blanks than Unicode.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

struct Scanner<'t> {
    rest: &'t str,
}

impl<'t> Scanner<'t> {
    /// Passes over one sign and the blanks before it.
    fn eat(&mut self, sign: char) -> bool {
        let Some(rest) = trim_start(self.rest).strip_prefix(sign) else {
            return false;
        };
        self.rest = rest;
        true
    }

    /// Passes over one value.
    fn value<T: for<'de> Deserialize<'de>>(&mut self) -> Option<(T, &'t str)> {
        let rest = trim_start(self.rest);
        let mut values = Deserializer::from_str(rest).into_iter();
        let value = values.next()?.ok()?;
        let (text, rest) = rest.split_at(values.byte_offset());
        self.rest = rest;
        Some((value, text))
    }
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_texts_that_came() {
        assert_eq!(
            fields(
                " { \"b\" : [ 1 , {\"]\":\"}\\\"\"}],\"x\":1e999,\"\\u0061\":-0 }\n",
                ["a", "b"]
            ),
            Some([Some("-0"), Some("[ 1 , {\"]\":\"}\\\"\"}]")])
        );
        assert_eq!(fields("{}", ["a"]), Some([None]));
        assert_eq!(
            fields("[1.0 , \"a\" ]", ["a", "b"]),
            Some([Some("1.0"), Some("\"a\"")])
        );
    }

    #[test]
    fn what_is_not_json_has_no_fields() {
        let broken = [
            "",
            "1",
            "null",
            "{",
            "{,}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1}x",
            "{\"a\":1}{}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":\"\n\"}",
            "{\"\\ud800\":1}",
            "{\"a\":tru}",
            "\u{feff}{}",
            "\u{a0}{}",
            "{\"a\":1,\"a\":1}",
            "[",
            "[]",
            "[1,]",
            "[1,2]",
            "[1]]",
            "{\"a\":[1}",
        ];
        for text in broken {
            assert_eq!(fields(text, ["a"]), None, "{text}");
        }
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        let text = format!("{{\"a\":{deep}}}");
        assert_eq!(fields(&text, ["a"]), Some([Some(deep.as_str())]));
    }
}
