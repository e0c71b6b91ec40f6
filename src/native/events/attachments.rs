//! The arguments of an event as JavaScript has them, binary attachments in place of their placeholders.

use bytes::Bytes;

use super::RawEvent;
use crate::native::Decline;
use crate::native::js_json::{MAX_DEPTH, ParseError, Value, parse};

/// Arguments that a handler does not get. `?` makes a [`Decline`] of it, which leaves the event to Node: Node takes what is
/// too deep, and closes the connection for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedEvent {
    /// The text is not JSON.
    #[error(transparent)]
    Json(#[from] ParseError),
    /// It is no array that begins with a name.
    #[error("the arguments are no array")]
    NoArray,
    /// A placeholder refers to no attachment.
    #[error("a placeholder refers to no attachment")]
    Attachments,
    /// An argument has more levels than these.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
}

impl From<MalformedEvent> for Decline {
    fn from(error: MalformedEvent) -> Self {
        tracing::debug!(%error, "the arguments are left to node");
        Self
    }
}

impl RawEvent {
    /// The arguments after the name, as a handler in Node gets them. A handler may recurse over them: none has more than
    /// [`MAX_DEPTH`] levels.
    ///
    /// # Errors
    /// Where an argument is deeper, and where Node would close the connection instead. `raw.values()?` declines both.
    pub fn values(&self) -> Result<Vec<Value>, MalformedEvent> {
        self.values_within(MAX_DEPTH)
    }

    /// The same with up to so many levels, for a handler that does not recurse.
    ///
    /// # Errors
    /// As those of [`Self::values`].
    pub fn values_within(&self, levels: usize) -> Result<Vec<Value>, MalformedEvent> {
        // Bytes that are not UTF-8 have come past a WebSocket and a parser; they stand for U+FFFD as anywhere in Node.
        let mut arguments = parse(&String::from_utf8_lossy(&self.arguments))?;
        // They stand in an array themselves.
        if arguments.is_deeper_than(levels.saturating_add(1)) {
            return Err(MalformedEvent::TooDeep(levels));
        }
        // Without attachments a packet is not binary, and nothing in it is a placeholder.
        if !self.attachments.is_empty() {
            put_in_place(&mut arguments, &self.attachments)?;
        }
        let Value::Array(arguments) = arguments else {
            return Err(MalformedEvent::NoArray);
        };
        let mut arguments = Vec::from(arguments).into_iter();
        arguments.next().ok_or(MalformedEvent::NoArray)?;
        Ok(arguments.collect())
    }
}

fn put_in_place(arguments: &mut Value, attachments: &[Bytes]) -> Result<(), MalformedEvent> {
    let mut open = vec![arguments];
    while let Some(value) = open.pop() {
        if matches!(value.get("_placeholder"), Some(Value::Bool(true))) {
            *value = attachment(value, attachments)?;
            continue;
        }
        match value {
            Value::Array(items) => open.extend(items.iter_mut()),
            Value::Object(object) => open.extend(object.values_mut()),
            _ => {}
        }
    }
    Ok(())
}

/// Numbers that are not whole pass the check of Socket.IO's parser, and then name no element of the array.
fn attachment(placeholder: &Value, attachments: &[Bytes]) -> Result<Value, MalformedEvent> {
    let Some(Value::Number(number)) = placeholder.get("num") else {
        return Err(MalformedEvent::Attachments);
    };
    if !(0.0..attachments.len() as f64).contains(number) {
        return Err(MalformedEvent::Attachments);
    }
    if number.fract() != 0.0 {
        return Ok(Value::Undefined);
    }
    Ok(Value::Buffer(attachments[*number as usize].clone()))
}

/// Whether each placeholder names another one of so many attachments. Of any other packet socketioxide makes something else
/// than Node, which closes the connection for most.
pub(crate) fn are_plain(arguments: &str, attachments: usize) -> bool {
    let Ok(arguments) = parse(arguments) else {
        return false;
    };
    let mut placed = vec![false; attachments];
    let mut open = vec![&arguments];
    while let Some(value) = open.pop() {
        if matches!(value.get("_placeholder"), Some(Value::Bool(true))) {
            let Some(Value::Number(number)) = value.get("num") else {
                return false;
            };
            let place = (0..attachments).find(|place| *place as f64 == *number);
            match place {
                Some(place) if !placed[place] => placed[place] = true,
                _ => return false,
            }
            continue;
        }
        match value {
            Value::Array(items) => open.extend(items.iter()),
            Value::Object(object) => open.extend(object.iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::js_json::stringify;

    fn values(
        arguments: &str,
        attachments: &[&'static [u8]],
    ) -> Result<Vec<Value>, MalformedEvent> {
        let event = RawEvent {
            arguments: Bytes::copy_from_slice(arguments.as_bytes()),
            attachments: attachments
                .iter()
                .copied()
                .map(Bytes::from_static)
                .collect(),
        };
        event.values()
    }

    fn first(arguments: &str, attachments: &[&'static [u8]]) -> String {
        let value = values(arguments, attachments).unwrap().swap_remove(0);
        stringify(&value).unwrap_or_else(|| "undefined".to_owned())
    }

    fn placeholder(number: &str) -> String {
        format!("{{\"_placeholder\":true,\"num\":{number}}}")
    }

    #[test]
    fn attachments_take_the_place_of_their_placeholders() {
        let buffers: [&[u8]; 2] = [&[1], &[2, 3]];
        let [one, two] = [
            "{\"type\":\"Buffer\",\"data\":[1]}",
            "{\"type\":\"Buffer\",\"data\":[2,3]}",
        ];
        for (number, expected) in [
            ("0", one),
            ("1", two),
            ("-0", one),
            ("1.0", two),
            ("1e0", two),
        ] {
            let arguments = format!("[\"message\",{}]", placeholder(number));
            assert_eq!(first(&arguments, &buffers), expected, "{number}");
        }
        // Once, twice, deep, with other keys beside it, and never as the value of `_placeholder` alone.
        let arguments = format!(
            "[\"m\",{{\"a\":[{0},{0}],\"b\":{{\"_placeholder\":true,\"x\":{1},\"num\":1}},\"c\":{{\"_placeholder\":1,\"num\":0}}}}]",
            placeholder("0"),
            placeholder("1"),
        );
        assert_eq!(
            first(&arguments, &buffers),
            format!("{{\"a\":[{one},{one}],\"b\":{two},\"c\":{{\"_placeholder\":1,\"num\":0}}}}")
        );
        let halves = format!("[\"m\",{{\"a\":[{0}],\"b\":{0}}}]", placeholder("0.5"));
        assert_eq!(first(&halves, &buffers), "{\"a\":[null]}");
        let half = format!("[\"m\",{}]", placeholder("1.5"));
        assert_eq!(first(&half, &buffers), "undefined");
    }

    #[test]
    fn placeholders_of_no_attachment_are_refused_wherever_they_stand() {
        for number in [
            "-1",
            "2",
            "1e9",
            "-0.5",
            "\"0\"",
            "\"length\"",
            "null",
            "[]",
        ] {
            for around in [["", ""], ["{\"a\":[", "]}"], ["1,", ""]] {
                let placeholder = placeholder(number);
                let arguments = format!("[\"m\",{}{placeholder}{}]", around[0], around[1]);
                let refused = values(&arguments, &[&[], &[]]).err();
                assert_eq!(refused, Some(MalformedEvent::Attachments), "{arguments}");
            }
        }
        assert!(values("[\"m\",{\"_placeholder\":true}]", &[&[]]).is_err());
    }

    #[test]
    fn arguments_are_not_deeper_than_a_recursion_may_go() {
        let nested = |levels| format!("[\"m\",1,{}{}]", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(values(&nested(MAX_DEPTH), &[]).unwrap().len(), 2);
        for levels in [MAX_DEPTH + 1, 1_000_000] {
            let refused = values(&nested(levels), &[]).err();
            assert_eq!(
                refused,
                Some(MalformedEvent::TooDeep(MAX_DEPTH)),
                "{levels}"
            );
        }
        let objects = format!("[\"m\",{}1{}]", "{\"a\":".repeat(129), "}".repeat(129));
        assert_eq!(
            values(&objects, &[]).err(),
            Some(MalformedEvent::TooDeep(MAX_DEPTH))
        );
    }

    #[test]
    fn plain_placeholders_are_those_that_every_library_makes() {
        for (numbers, plain) in [
            (["0", "1"], true),
            (["1", "0"], true),
            (["0", "0"], false),
            (["0", "0.5"], false),
            (["0", "2"], false),
            (["0", "-1"], false),
            (["0", "\"length\""], false),
            (["0", "1e30"], false),
        ] {
            let [one, two] = numbers.map(placeholder);
            let arguments = format!("[\"m\",{{\"a\":[{one}]}},{two}]");
            assert_eq!(are_plain(&arguments, 2), plain, "{arguments}");
        }
        assert!(are_plain("[\"m\",1]", 2));
        assert!(!are_plain("[\"m\",{\"_placeholder\":true}]", 1));
        assert!(!are_plain("[\"m\"", 1));
    }

    #[test]
    fn a_text_packet_has_no_placeholders() {
        let arguments = format!("[\"m\",{}]", placeholder("7"));
        assert_eq!(first(&arguments, &[]), placeholder("7"));
    }

    #[test]
    fn arguments_are_an_array_behind_a_name() {
        assert!(values("[\"m\"]", &[]).unwrap().is_empty());
        assert_eq!(values("[\"m\",1,2]", &[]).unwrap().len(), 2);
        for (arguments, expected) in [
            ("{}", MalformedEvent::NoArray),
            ("[]", MalformedEvent::NoArray),
            ("[\"m\"", MalformedEvent::Json(ParseError { at: 4 })),
        ] {
            assert_eq!(values(arguments, &[]).err(), Some(expected));
        }
    }
}
