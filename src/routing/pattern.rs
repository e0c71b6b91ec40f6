//! Compares paths as Express does: raw, without case, one optional trailing slash. Only paths that Express 4 and 5,
//! flat and mounted, Node's URL parser and axum all read in one way take part; the rest is left to Node.

use crate::config::Segment;

/// A request path that has one meaning only.
#[derive(Debug, Clone, Copy)]
pub struct PlainPath<'r> {
    /// Without the first and the trailing slash.
    segments: &'r str,
    pub(crate) trailing_slash: bool,
}

impl<'r> PlainPath<'r> {
    /// `None` for a path that two parsers could read differently, see `is_plain`.
    pub fn new(raw: &'r str) -> Option<Self> {
        if !is_plain(raw) {
            return None;
        }
        let inner = &raw[1..];
        Some(match inner.strip_suffix('/') {
            Some(segments) => Self {
                segments,
                trailing_slash: true,
            },
            None => Self {
                segments: inner,
                trailing_slash: false,
            },
        })
    }

    /// What stands between the slashes, `None` for `/`.
    pub(crate) fn segments(self) -> Option<&'r str> {
        (!self.segments.is_empty()).then_some(self.segments)
    }
}

/// Takes the first segment off; what is left is `None` after the last.
pub(crate) fn split(segments: &str) -> (&str, Option<&str>) {
    // Faster than `split_once` for the few bytes of a segment.
    match segments.bytes().position(|byte| byte == b'/') {
        Some(slash) => (&segments[..slash], Some(&segments[slash + 1..])),
        None => (segments, None),
    }
}

/// Whether a literal is compared with what came. For a target with a `#`, Express asks Node's URL parser, which
/// escapes `'`; that `#` is cut off before this table could know of it. As part of a parameter `'` is let through,
/// since names have it, `encodeURIComponent` leaves it, and no client but an attacker's sends a `#`.
pub(crate) fn is_plain_literal(segment: &Segment) -> bool {
    match segment {
        Segment::Literal(literal) => !literal.contains('\''),
        Segment::Param(_) | Segment::Rest(_) => true,
    }
}

/// Whether everyone reads this path in the same way. Refused are:
/// - what does not begin with `/` (`*`, an authority) and empty segments, which mounted routers count differently;
/// - bytes outside ASCII, control characters (also escaped);
/// - `\`, which Node's URL parser turns into `/`, and what it and browsers escape: `"<>^{|}` and the backtick;
/// - escapes that `decodeURIComponent` throws at: Express answers 400 then, but only for routes with parameters;
/// - `.` and `..` in any spelling, which clients, caches and file handlers resolve and Express does not.
fn is_plain(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    if bytes.first() != Some(&b'/') {
        return false;
    }
    let mut at = 1;
    let (mut characters, mut dots) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        match CLASSES[usize::from(byte)] {
            Class::Plain => at += 1,
            Class::Slash => {
                if is_empty_or_dots(characters, dots) {
                    return false;
                }
                (characters, dots) = (0, 0);
                at += 1;
                continue;
            }
            Class::Dot => {
                dots += 1;
                at += 1;
            }
            Class::Escape => match character(&bytes[at..]) {
                Some((first, length)) if !first.is_ascii_control() => {
                    dots += usize::from(first == b'.');
                    at += length;
                }
                _ => return false,
            },
            Class::Refused => return false,
        }
        characters += 1;
    }
    // Nothing follows the one trailing slash, or the slash that is all.
    characters == 0 || !is_empty_or_dots(characters, dots)
}

fn is_empty_or_dots(characters: usize, dots: usize) -> bool {
    characters == dots && dots <= 2
}

/// What a byte of a path means to `is_plain`.
#[derive(Debug, Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Dot,
    Escape,
    Refused,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Refused; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        classes[byte as usize] = match byte {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b'%' => Class::Escape,
            b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => Class::Refused,
            _ => Class::Plain,
        };
        byte += 1;
    }
    classes
};

/// The character that begins with this escape: its first byte, and how many bytes of the path it takes.
fn character(escapes: &[u8]) -> Option<(u8, usize)> {
    let mut bytes = [0; 4];
    bytes[0] = escape(escapes)?;
    let count = match bytes[0] {
        0..0x80 => return Some((bytes[0], 3)),
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
        0x80..0xc0 => return None,
    };
    for (index, byte) in bytes.iter_mut().enumerate().take(count).skip(1) {
        *byte = escape(escapes.get(index * 3..)?)?;
    }
    std::str::from_utf8(&bytes[..count]).ok()?;
    Some((bytes[0], count * 3))
}

/// The byte that `%XX` stands for.
pub(crate) fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_take_part() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b;x=1",
            "/%61",
            "/a%2Fb",
            "/a%5cb",
            "/a%20b",
            "/%E2%82%AC",
            "/%f0%9f%98%80/x",
            "/...",
            "/.well-known/x",
            "/a..b",
            "/%2e%2e%2e",
            "/a+b:c@d'(!)*,~",
            "/%25",
            "/%252e",
        ] {
            assert!(PlainPath::new(path).is_some(), "{path}");
        }
    }

    #[test]
    fn paths_with_two_readings_do_not() {
        for path in [
            "",
            "*",
            "a",
            "//",
            "//a",
            "/a//",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/..",
            "/../",
            "/%2e",
            "/%2E%2e/a",
            "/.%2e",
            "/a\\b",
            "/\\",
            "/%00",
            "/a%0a",
            "/%1f",
            "/%7F",
            "/%",
            "/%2",
            "/%zz",
            "/%c0%ae",
            "/%ff",
            "/%e2%82",
            "/%e2%82x",
            "/%e2%82%",
            "/%80",
            "/%ed%a0%80",
            "/%f4%90%80%80",
            "/\u{e9}",
            "/a\u{212a}",
        ] {
            assert!(PlainPath::new(path).is_none(), "{path}");
        }
    }
}
