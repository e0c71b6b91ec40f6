//! Path patterns: `/driver/{id}`, `/files/{*rest}`. Rules claim them, native endpoints are registered under them.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// A path pattern. One trailing slash is ignored, as in Express.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// What stands between the slashes; empty for `/`. `Rest` can only be last.
    pub segments: Vec<Segment>,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// ASCII, compared without case, in the file's spelling.
    Literal(String),
    /// `{name}`: one segment, not empty.
    Param(String),
    /// `{*name}`: all that is left, also nothing.
    Rest(String),
}

/// Why a text is not a pattern, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct PatternError {
    /// What is wrong.
    pub problem: PatternProblem,
    /// The bytes of the text that are wrong.
    pub place: Range<usize>,
}

/// What can be wrong with a pattern or with the path of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternProblem {
    /// The text is empty or begins with something else.
    #[error("a path must begin with `/`")]
    NoSlash,
    /// `?`
    #[error("a path cannot contain a query")]
    Query,
    /// `#`
    #[error("a path cannot contain a fragment")]
    Fragment,
    /// `//`
    #[error("a path cannot have an empty segment")]
    EmptySegment,
    /// `.` or `..`, also percent-encoded: clients resolve them before they send a request.
    #[error("a path cannot have the segment `.` or `..`")]
    Dots,
    /// Not `pchar` of RFC 3986, section 3.3.
    #[error("a path cannot contain this character")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("a percent escape needs two hexadecimal digits")]
    Escape,
    /// `:name`
    #[error("a parameter is written in braces")]
    Express,
    /// `*` outside of braces.
    #[error("`*` stands in braces, and last")]
    Star,
    /// Braces that do not enclose a whole segment, or are not closed.
    #[error("a parameter must be a whole segment, in one pair of braces")]
    Braces,
    /// A name that is not `[A-Za-z_][A-Za-z0-9_]*`.
    #[error("the name of a parameter must be `[A-Za-z_][A-Za-z0-9_]*`")]
    Name,
    /// The same name before.
    #[error("two parameters have the same name")]
    SameName,
    /// `{*name}` before the end.
    #[error("`{{*name}}` must be the last segment")]
    RestNotLast,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The first thing that is wrong, from the left.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut segments = Vec::new();
        let mut names = HashSet::new();
        for (start, segment) in split(text)? {
            let place = start..start + segment.len();
            if let Some(Segment::Rest(_)) = segments.last() {
                return Err(PatternError {
                    problem: PatternProblem::RestNotLast,
                    place: start - 1..text.len(),
                });
            }
            let segment = parse_segment(segment, start)?;
            if let Segment::Param(name) | Segment::Rest(name) = &segment
                && !names.insert(name.clone())
            {
                return Err(PatternError {
                    problem: PatternProblem::SameName,
                    place,
                });
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return formatter.write_str("/");
        }
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(formatter, "/{literal}")?,
                Segment::Param(name) => write!(formatter, "/{{{name}}}")?,
                Segment::Rest(name) => write!(formatter, "/{{*{name}}}")?,
            }
        }
        Ok(())
    }
}

/// Holds the path of a socket to the same rules as the literals of a pattern.
pub(super) fn check_path(path: &str) -> Result<(), PatternError> {
    for (start, segment) in split(path)? {
        check_literal(segment, start)?;
    }
    Ok(())
}

/// The segments with the offsets where they begin; none for `/`; a trailing slash is dropped.
fn split(text: &str) -> Result<Vec<(usize, &str)>, PatternError> {
    let error = |problem, place| Err(PatternError { problem, place });
    let Some(rest) = text.strip_prefix('/') else {
        return error(PatternProblem::NoSlash, 0..text.len());
    };
    for (sign, problem) in [
        ('?', PatternProblem::Query),
        ('#', PatternProblem::Fragment),
    ] {
        if let Some(at) = text.find(sign) {
            return error(problem, at..text.len());
        }
    }
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let mut segments = Vec::new();
    let mut start = 1;
    for segment in rest.strip_suffix('/').unwrap_or(rest).split('/') {
        if segment.is_empty() {
            return error(PatternProblem::EmptySegment, start - 1..start + 1);
        }
        segments.push((start, segment));
        start += segment.len() + 1;
    }
    Ok(segments)
}

fn parse_segment(segment: &str, start: usize) -> Result<Segment, PatternError> {
    let error = |problem| {
        Err(PatternError {
            problem,
            place: start..start + segment.len(),
        })
    };
    let Some(inner) = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        if segment.contains(['{', '}']) {
            return error(PatternProblem::Braces);
        }
        if segment.starts_with(':') {
            return error(PatternProblem::Express);
        }
        if segment.contains('*') {
            return error(PatternProblem::Star);
        }
        check_literal(segment, start)?;
        return Ok(Segment::Literal(segment.to_owned()));
    };
    if inner.contains(['{', '}']) {
        return error(PatternProblem::Braces);
    }
    let (rest, name) = inner
        .strip_prefix('*')
        .map_or((false, inner), |name| (true, name));
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    if !begins || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return error(PatternProblem::Name);
    }
    Ok(if rest {
        Segment::Rest(name.to_owned())
    } else {
        Segment::Param(name.to_owned())
    })
}

fn check_literal(segment: &str, start: usize) -> Result<(), PatternError> {
    let error = |problem, place: Range<usize>| {
        Err(PatternError {
            problem,
            place: start + place.start..start + place.end,
        })
    };
    if matches!(
        segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
        "." | ".."
    ) {
        return error(PatternProblem::Dots, 0..segment.len());
    }
    for (at, character) in segment.char_indices() {
        if character == '%' {
            let digits = segment.as_bytes().get(at + 1..at + 3);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                let end = segment[at..]
                    .char_indices()
                    .map(|(offset, _)| at + offset)
                    .nth(3);
                return error(PatternProblem::Escape, at..end.unwrap_or(segment.len()));
            }
        } else if !character.is_ascii_alphanumeric() && !"-._~!$&'()*+,;=:@".contains(character) {
            return error(PatternProblem::Character, at..at + character.len_utf8());
        }
    }
    Ok(())
}

impl PatternError {
    /// What stands at the place.
    pub fn label(&self) -> &'static str {
        match self.problem {
            PatternProblem::NoSlash => "expected `/`",
            PatternProblem::Query => "a query",
            PatternProblem::Fragment => "a fragment",
            PatternProblem::EmptySegment => "nothing between two slashes",
            PatternProblem::Dots => "resolved by clients",
            PatternProblem::Character => "not allowed in a path",
            PatternProblem::Escape => "not an escape",
            PatternProblem::Express => "a parameter of Express",
            PatternProblem::Star => "not in braces",
            PatternProblem::Braces => "not a whole segment",
            PatternProblem::Name => "not a name",
            PatternProblem::SameName => "named before",
            PatternProblem::RestNotLast => "behind the rest",
        }
    }

    /// What to write instead, where that can be said. `text` is what was parsed.
    pub fn help(&self, text: &str) -> Option<String> {
        let part = text.get(self.place.clone()).unwrap_or_default();
        let name = |part: &str| {
            let name: String = part
                .chars()
                .map(|character| {
                    if character.is_ascii_alphanumeric() {
                        character
                    } else {
                        '_'
                    }
                })
                .collect();
            let name = match name.trim_matches('_') {
                name if name.starts_with(|first: char| first.is_ascii_alphabetic()) => name,
                _ => "name",
            };
            let taken = |name: &str| {
                text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{*{name}}}"))
            };
            let numbered = (2..).map(|number| format!("{name}{number}"));
            let mut names = std::iter::once(name.to_owned()).chain(numbered);
            names.find(|name| !taken(name)).unwrap_or_default()
        };
        Some(match self.problem {
            PatternProblem::NoSlash => match format!("/{}", part.trim_start()) {
                path if Pattern::parse(&path).is_ok() => format!("begin it with a slash: `{path}`"),
                _ => "begin it with a slash".to_owned(),
            },
            PatternProblem::Query => {
                let key = part
                    .trim_start_matches('?')
                    .split(['=', '&'])
                    .next()
                    .unwrap_or_default();
                let plain = !key.is_empty() && !key.contains(['"', '\\', '%', '+']);
                let key = if plain { key } else { "NAME" };
                format!(
                    "leave it out; to route by the query, add `where = {{ \"query:{key}\" = \"…\" }}`"
                )
            }
            PatternProblem::Fragment => "leave it out: browsers do not send it".to_owned(),
            PatternProblem::EmptySegment => "write one slash".to_owned(),
            PatternProblem::Dots => "write the path as it is after resolving them".to_owned(),
            PatternProblem::Character
                if part.is_ascii() && !part.starts_with(|c: char| c.is_control() || c == ' ') =>
            {
                format!(
                    "it must be percent-encoded: `%{:02X}`",
                    part.bytes().next().unwrap_or_default()
                )
            }
            PatternProblem::Character => {
                let encoded: String = part.bytes().map(|byte| format!("%{byte:02X}")).collect();
                format!("percent-encode it: `{encoded}`")
            }
            PatternProblem::Escape => "a percent sign itself is written `%25`".to_owned(),
            PatternProblem::Express => format!("write `{{{}}}`", name(part)),
            PatternProblem::Star => {
                "write `{*rest}` as the last segment for all that is left".to_owned()
            }
            PatternProblem::Braces => {
                "write `/{name}/` for one segment, and take it apart in the handler".to_owned()
            }
            PatternProblem::Name => {
                let star = if part.starts_with("{*") { "*" } else { "" };
                format!("write `{{{star}{}}}`", name(part))
            }
            PatternProblem::SameName => "give one of them another name".to_owned(),
            PatternProblem::RestNotLast => {
                "end the pattern there, or use `{name}` for one segment".to_owned()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_print_as_they_are_written() {
        for text in [
            "/",
            "/a",
            "/api/driver/{id}",
            "/b/{*rest}",
            "/{*all}",
            "/caf%C3%A9/a:b@c;d=(1)!$&'+,~._-",
        ] {
            assert_eq!(
                Pattern::parse(text).map(|pattern| pattern.to_string()),
                Ok(text.to_owned())
            );
        }
        let pattern = Pattern::parse("/A/{id}/").expect("a trailing slash is dropped");
        assert_eq!(
            pattern.segments,
            [Segment::Literal("A".into()), Segment::Param("id".into())]
        );
    }

    #[test]
    fn what_is_no_pattern_says_why_and_where() {
        use PatternProblem::{
            Braces, Character, Dots, EmptySegment, Escape, Express, Fragment, Name, NoSlash, Query,
            RestNotLast, SameName, Star,
        };
        let cases = [
            ("", NoSlash, ""),
            ("api", NoSlash, "api"),
            ("/a?x=1", Query, "?x=1"),
            ("/a#b", Fragment, "#b"),
            ("//", EmptySegment, "//"),
            ("/a//b", EmptySegment, "//"),
            ("/a//", EmptySegment, "//"),
            ("/a/../b", Dots, ".."),
            ("/a/%2E.", Dots, "%2E."),
            ("/a b", Character, " "),
            ("/é", Character, "é"),
            ("/a\\b", Character, "\\"),
            ("/a%2", Escape, "%2"),
            ("/a%é9x", Escape, "%é9"),
            ("/u/:id", Express, ":id"),
            ("/a/*", Star, "*"),
            ("/f-{id}.json", Braces, "f-{id}.json"),
            ("/{a}{b}", Braces, "{a}{b}"),
            ("/{", Braces, "{"),
            ("/{}", Name, "{}"),
            ("/{*}", Name, "{*}"),
            ("/{1a}", Name, "{1a}"),
            ("/{a}/{a}", SameName, "{a}"),
            ("/{*a}/b", RestNotLast, "/b"),
        ];
        for (text, problem, part) in cases {
            let error = Pattern::parse(text).expect_err(text);
            assert_eq!(
                (error.problem, text.get(error.place.clone())),
                (problem, Some(part)),
                "{text}"
            );
            assert!(error.help(text).is_some(), "{text}");
        }
        let express = Pattern::parse("/u/:user-id").expect_err("Express");
        assert_eq!(
            express.help("/u/:user-id").as_deref(),
            Some("write `{user_id}`")
        );
    }
}
