//! `Content-Length` (RFC 9110 §8.6): one plain number or none, towards either side and towards the client. Two parsers
//! that read a length differently see different messages.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};

/// A length that is no number, or several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content-length is not one number")]
pub(crate) struct BadLength;

/// The length that a message declares. One that is said twice, or with zeros before it, becomes one plain field.
///
/// # Errors
/// For anything but one number.
pub(crate) fn settle_length(headers: &mut HeaderMap) -> Result<Option<u64>, BadLength> {
    let mut lines = headers.get_all(CONTENT_LENGTH).into_iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    let is_plain = !first.as_bytes().starts_with(b"0") || first.len() == 1;
    if is_plain
        && lines.next().is_none()
        && let Some(length) = number(first.as_bytes())
    {
        return Ok(Some(length));
    }
    let mut settled = None;
    let lines = headers.get_all(CONTENT_LENGTH).into_iter();
    for member in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let length = number(member.trim_ascii()).ok_or(BadLength)?;
        if settled.replace(length).is_some_and(|other| other != length) {
            return Err(BadLength);
        }
    }
    let length = settled.ok_or(BadLength)?;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(Some(length))
}

/// Digits only: `u64::from_str` takes a sign.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(lines: &[&'static str]) -> Result<Option<u64>, BadLength> {
        let values = lines.iter().map(|line| HeaderValue::from_static(line));
        let mut headers: HeaderMap = values.map(|value| (CONTENT_LENGTH, value)).collect();
        let length = settle_length(&mut headers)?;
        let left: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
        let wanted: Vec<_> = length.map(HeaderValue::from).into_iter().collect();
        assert_eq!(left, wanted.iter().collect::<Vec<_>>(), "{lines:?}");
        Ok(length)
    }

    #[test]
    fn a_length_is_one_plain_number() {
        assert_eq!(settle(&[]), Ok(None));
        for lines in [
            &["2"][..],
            &["002"],
            &["2", "2"],
            &["2, 2"],
            &["2,2 ,\t2", "02"],
        ] {
            assert_eq!(settle(lines), Ok(Some(2)), "{lines:?}");
        }
        assert_eq!(settle(&["0"]), Ok(Some(0)));
        assert_eq!(settle(&["18446744073709551615"]), Ok(Some(u64::MAX)));
    }

    #[test]
    fn all_else_is_refused() {
        for lines in [
            &[""][..],
            &["2", ""],
            &["2", "3"],
            &["2, 3"],
            &["2,"],
            &["+2"],
            &["-2"],
            &["0x2"],
            &["2 2"],
            &["2.0"],
            &["two"],
            &["18446744073709551616"],
        ] {
            assert_eq!(settle(lines), Err(BadLength), "{lines:?}");
        }
    }
}
