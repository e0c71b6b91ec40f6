//! What is wrong with a `routes.toml`, as values: collected, never thrown. `render` prints them for people,
//! `Diagnostic::to_json` gives them to programs. The parts that compile the rules add their own.

use serde::Serialize;

use crate::config::Span;
use crate::config::source::Source;

/// One finding in a `routes.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the file can be used.
    pub severity: Severity,
    /// The stable name of the kind of finding.
    pub code: Code,
    /// What is wrong, a lowercase fragment with values in backticks.
    pub message: String,
    /// The exact token; `None` where something is absent or the whole file is meant.
    pub span: Option<Span>,
    /// Stands beside the token; may be empty.
    pub label: String,
    /// The remedy; may have several lines.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused, the last good table stays in force.
    Error,
    /// The file is used, but is probably not what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Diagnostic {
    /// A finding that refuses the file.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A finding that leaves the file usable.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// A remark.
    pub fn note(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    fn new(severity: Severity, code: Code, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            span: None,
            label: String::new(),
            help: None,
        }
    }

    /// Points at a place of the file.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Says something beside that place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do, if that is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// Whether it refuses the file.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The view for programs: lines and columns instead of bytes.
    pub fn to_json(&self, source: &Source) -> DiagnosticJson<'_> {
        let start = self.span.as_ref().map(|span| source.position(span.start));
        let end = self.span.as_ref().map(|span| source.position(span.end));
        DiagnosticJson {
            severity: self.severity.as_str(),
            code: self.code.as_str(),
            message: &self.message,
            file: source.path.display().to_string(),
            line: start.map(|position| position.line),
            column: start.map(|position| position.column),
            end_line: end.map(|position| position.line),
            end_column: end.map(|position| position.column),
            label: &self.label,
            help: self.help.as_deref(),
        }
    }
}

/// A [`Diagnostic`] for programs. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiagnosticJson<'d> {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    /// A [`Code`] as text.
    pub code: &'static str,
    /// What is wrong.
    pub message: &'d str,
    /// The file as it was named.
    pub file: String,
    /// Of the first character.
    pub line: Option<usize>,
    /// Of the first character.
    pub column: Option<usize>,
    /// Of the first character behind it.
    pub end_line: Option<usize>,
    /// Of the first character behind it.
    pub end_column: Option<usize>,
    /// Belongs beside the place.
    pub label: &'d str,
    /// The remedy.
    pub help: Option<&'d str>,
}

/// A value as messages show it: in backticks, without control characters, cut.
pub fn quote(value: &str) -> String {
    const LONGEST: usize = 60;
    let mut quoted = String::from("`");
    for (position, character) in value.chars().enumerate() {
        if position == LONGEST {
            quoted.push('…');
            break;
        }
        push_printable(&mut quoted, character);
    }
    quoted.push('`');
    quoted
}

/// Appends a character so that a terminal or a log line cannot be steered by it.
pub(super) fn push_printable(text: &mut String, character: char) {
    let reorders = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if character.is_control() || reorders || character == '\u{feff}' {
        text.extend(character.escape_unicode());
    } else {
        text.push(character);
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// The kind of a [`Diagnostic`]. The text of a code never changes and is never used again for something else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All codes, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable text, in kebab case.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What the code means, in a sentence or two.
            pub fn summary(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii_start(),)+
                }
            }
        }
    };
}

codes! {
    /// There is no such file.
    NotFound = "not-found",
    /// The file may not be read by this user.
    PermissionDenied = "permission-denied",
    /// A directory, a pipe or a device stands where the file should be.
    NotAFile = "not-a-file",
    /// Reading failed for another reason, which the message gives.
    Unreadable = "unreadable",
    /// The file has bytes that are not UTF-8.
    NotUtf8 = "not-utf8",
    /// The file is larger than 1 MiB.
    TooLarge = "too-large",
    /// The file has a NUL byte, as a half-written file may.
    NulByte = "nul-byte",
    /// The text is not TOML.
    Syntax = "syntax",
    /// A key or a table stands twice.
    DuplicateKey = "duplicate-key",
    /// The file ends right after a value that would still be valid if its end were cut off.
    Unfinished = "unfinished",
    /// The file has so many problems that not all are listed.
    TooMany = "too-many",
    /// A key that does not exist in this table.
    UnknownKey = "unknown-key",
    /// A key that is planned and does not work yet.
    NotAvailable = "not-available",
    /// A table or a key that must be there is not.
    MissingKey = "missing-key",
    /// A value of another type than the key takes.
    WrongType = "wrong-type",
    /// A list, a table or a string that must not be empty.
    Empty = "empty",
    /// An id of a rule or a socket that is not `[a-z0-9-]+`.
    BadId = "bad-id",
    /// None of the values that the key takes.
    UnknownValue = "unknown-value",
    /// `to` is none of `node`, `native`, `native N%`, `native only`.
    UnknownSide = "unknown-side",
    /// A number without a unit, with an unknown unit, or with too many decimals.
    Unit = "unit",
    /// A number, a duration or a size that is too small or too large.
    OutOfRange = "out-of-range",
    /// An environment variable that cannot be used, or `env:` where it does not work.
    Env = "env",
    /// Not an address of the form that the key takes.
    BadAddress = "bad-address",
    /// Not the URL of an origin: `http` or `https`, host and port.
    BadUrl = "bad-url",
    /// Not a host name or a header name.
    BadName = "bad-name",
    /// Not a path or not a pattern.
    BadPath = "bad-path",
    /// Not a method of HTTP.
    BadMethod = "bad-method",
    /// Not a selector.
    BadSelector = "bad-selector",
    /// It is not clear how Node is to be recognised.
    Trust = "trust",
    /// The certificate or the key of the public side cannot be used.
    Certificate = "certificate",
    /// The admin interface would be reachable from outside.
    NotLoopback = "not-loopback",
    /// Two parts of the proxy would use the same address, or Node's address is the proxy's own.
    OwnAddress = "own-address",
    /// A rule is native, and there is no `[native]`.
    NoNative = "no-native",
    /// Two sockets claim the same path.
    Overlap = "overlap",
    /// A key that does nothing beside the value of another one.
    Conflict = "conflict",
    /// A rule names a socket that does not exist.
    UnknownSocket = "unknown-socket",
    /// The same thing twice; the second one changes nothing.
    Duplicate = "duplicate",
    /// Two rules claim the same request or the same message, and neither is more specific.
    Ambiguous = "ambiguous",
    /// Something that can never match.
    Unreachable = "unreachable",
    /// A native rule that no native endpoint and no native event handler serves.
    Unserved = "unserved",
    /// Node and native may both greet a client that connects, and no `once` names a greeting.
    TwoGreetings = "two-greetings",
    /// Clients that neither Node nor the application would have accepted.
    Unguarded = "unguarded",
    /// A share of clients on an application that keeps its state in memory.
    InMemoryShare = "in-memory-share",
    /// A changed key that takes effect at the next start only.
    RestartPending = "restart-pending",
    /// No application of this name is built in.
    UnknownApp = "unknown-app",
    /// A key of `[native]` that the application does not accept.
    AppSetting = "app-setting",
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_in_kebab_case() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} twice");
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{text}"
            );
            assert!(code.summary().ends_with('.'), "{text}: {}", code.summary());
        }
    }

    #[test]
    fn json_counts_lines_and_characters_from_one() {
        let source = Source::new("routes.toml", "a = 1\nß = \"natve\"\n");
        let at = source.text.find("\"natve\"").expect("it is there");
        let diagnostic = Diagnostic::error(Code::UnknownSide, "unknown side `natve`")
            .at(at..at + 7)
            .label("not `native` or `node`")
            .help("did you mean `native`?");
        let json = serde_json::to_value(diagnostic.to_json(&source)).expect("plain data");
        assert_eq!(
            json,
            serde_json::json!({
                "severity": "error", "code": "unknown-side", "message": "unknown side `natve`", "file": "routes.toml",
                "line": 2, "column": 5, "end_line": 2, "end_column": 12,
                "label": "not `native` or `node`", "help": "did you mean `native`?",
            })
        );
    }

    #[test]
    fn quoted_values_are_cut_and_cannot_steer_a_terminal() {
        assert_eq!(
            quote("a\u{1b}[31m\r\n\u{202e}"),
            "`a\\u{1b}[31m\\u{d}\\u{a}\\u{202e}`"
        );
        assert_eq!(quote(&"x".repeat(1000)).chars().count(), 63);
    }
}
