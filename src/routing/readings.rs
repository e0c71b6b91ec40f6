//! The ways in which somebody behind the proxy may read a path that is not plain: URL parsers resolve dots and turn
//! `\` into `/`, routers that are mounted skip empty segments, middleware decodes escapes. `native only` is a boundary,
//! so a request that is such a path in any of these readings does not reach Node.

use std::borrow::Cow;

use crate::config::Segment;
use crate::routing::pattern::escape;

/// Whether a pattern matches the path in some reading. Answers yes too often rather than too rarely.
pub(crate) fn matches_in_some_reading(pattern: &[Segment], raw: &str) -> bool {
    let plain = Cow::Borrowed(raw.as_bytes());
    [plain, Cow::Owned(decode(raw))].iter().any(|path| {
        let all = segments(path);
        matches(pattern, &resolve(&all)) || matches(pattern, &all)
    })
}

/// Whether two paths are the same in some reading.
pub(crate) fn is_same_in_some_reading(path: &str, raw: &str) -> bool {
    let literals = path.split('/').filter(|segment| !segment.is_empty());
    let literals: Vec<_> = literals
        .map(|segment| Segment::Literal(segment.to_owned()))
        .collect();
    matches_in_some_reading(&literals, raw)
}

fn decode(raw: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        match escape(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

/// Without empty ones, and without control characters and spaces around them, which parsers cut off.
fn segments(path: &[u8]) -> Vec<&[u8]> {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let path = &path[..end.unwrap_or(path.len())];
    let is_blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let trim = |segment: &'_ [u8]| -> (usize, usize) {
        let start = segment.iter().position(|byte| !is_blank(byte));
        let end = segment.iter().rposition(|byte| !is_blank(byte));
        (
            start.unwrap_or(segment.len()),
            end.map_or(segment.len(), |end| end + 1),
        )
    };
    path.split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| {
            let (start, end) = trim(segment);
            &segment[start..end]
        })
        .filter(|segment| !segment.is_empty())
        .collect()
}

fn resolve<'p>(segments: &[&'p [u8]]) -> Vec<&'p [u8]> {
    let mut resolved = Vec::with_capacity(segments.len());
    for segment in segments {
        match *segment {
            b"." => {}
            b".." => drop(resolved.pop()),
            segment => resolved.push(segment),
        }
    }
    resolved
}

fn matches(pattern: &[Segment], path: &[&[u8]]) -> bool {
    match (pattern, path) {
        ([Segment::Rest(_), ..], _) | ([], []) => true,
        ([Segment::Literal(literal), pattern @ ..], [segment, path @ ..]) => {
            literal.as_bytes().eq_ignore_ascii_case(segment) && matches(pattern, path)
        }
        ([Segment::Param(_), pattern @ ..], [_, path @ ..]) => matches(pattern, path),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    fn reads(pattern: &str, raw: &str) -> bool {
        matches_in_some_reading(&Pattern::parse(pattern).unwrap().segments, raw)
    }

    #[test]
    fn odd_spellings_of_a_path_are_that_path() {
        for raw in [
            "/api/secret",
            "/API//secret/",
            "//api/secret",
            "/api/./secret",
            "/x/../api/secret",
            "/x/%2e%2E/api/secret",
            "/api\\secret",
            "\\api/secret",
            "/api%5csecret",
            "/api/secret%00",
            "/api/secret%0a/",
            "/api/%73ecret//",
            "/api/secret%23x",
            "/api%2fsecret//",
        ] {
            assert!(reads("/api/secret", raw), "{raw}");
        }
        for raw in ["/api//other", "/api//secret/x", "/", "//", "*", ""] {
            assert!(!reads("/api/secret", raw), "{raw}");
        }
        assert!(reads("/api/{id}", "/api//%zz"));
        assert!(reads("/api/{id}", "/api/.."));
        assert!(reads("/{*rest}", "//"));
        assert!(is_same_in_some_reading("/api/ws", "/API/ws/"));
        assert!(!is_same_in_some_reading("/api/ws", "/api/wss"));
    }
}
