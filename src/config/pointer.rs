//! JSON pointers (RFC 6901), such as `/data/id`: pure text.

use std::fmt;

/// More steps than this would be a mistake, and each is a frame of the walk through a message.
const LONGEST: usize = 32;

/// Where a value stands in a JSON document. Without steps it is the whole document.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer {
    steps: Vec<String>,
}

/// Why a text is not a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It is not empty and begins with something else.
    #[error("a pointer begins with `/`")]
    NoSlash,
    /// `~` without `0` or `1`.
    #[error("`~` stands before `0` or `1` only")]
    Escape,
    /// More than 32 steps.
    #[error("a pointer has at most {LONGEST} steps")]
    TooLong,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// Where the text is none.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let mut parts = text.split('/');
        if parts.next() != Some("") {
            return Err(PointerError::NoSlash);
        }
        let steps: Vec<String> = parts.map(unescape).collect::<Result<_, _>>()?;
        if steps.len() > LONGEST {
            return Err(PointerError::TooLong);
        }
        Ok(Self { steps })
    }

    /// Names of members or indices of items, from the outside.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

/// Of one step: `~1` is `/`, `~0` is `~`.
fn unescape(step: &str) -> Result<String, PointerError> {
    let mut parts = step.split('~');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (letter, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return Err(PointerError::Escape),
        };
        plain.push(letter);
        plain.push_str(rest);
    }
    Ok(plain)
}

/// As it was written.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "/{}", step.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_those_of_rfc_6901() {
        let steps = |text: &str| Pointer::parse(text).map(|pointer| pointer.steps);
        assert_eq!(steps(""), Ok(vec![]));
        assert_eq!(steps("/"), Ok(vec![String::new()]));
        assert_eq!(steps("/a//0"), Ok(vec!["a".into(), "".into(), "0".into()]));
        assert_eq!(steps("/a~1b~0/~01"), Ok(vec!["a/b~".into(), "~1".into()]));
        assert_eq!(steps("a"), Err(PointerError::NoSlash));
        assert_eq!(steps("#/a"), Err(PointerError::NoSlash));
        for text in ["/~", "/~2", "/a~", "/~~0"] {
            assert_eq!(steps(text), Err(PointerError::Escape), "{text}");
        }
        assert!(Pointer::parse(&"/a".repeat(LONGEST)).is_ok());
        assert_eq!(steps(&"/a".repeat(LONGEST + 1)), Err(PointerError::TooLong));
    }

    #[test]
    fn pointers_are_written_as_they_were_read() {
        for text in ["", "/", "/status", "/a~1b~0/~01/0"] {
            assert_eq!(
                Pointer::parse(text)
                    .map(|pointer| pointer.to_string())
                    .as_deref(),
                Ok(text)
            );
        }
    }
}
