//! Turns what the TOML parser says into what someone who edits a `routes.toml` should do.

use crate::config::Span;
use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::syntax::line_start;

/// Whether what follows was probably not read as it was meant.
pub(super) fn loses_structure(message: &str) -> bool {
    [
        "unclosed",
        "missing comma",
        "unexpected `",
        "invalid multi-line",
        "invalid key-value pair",
        "missing opening",
    ]
    .iter()
    .any(|beginning| message.starts_with(beginning))
}

/// Of several mistakes at one place, the first is the cause.
pub(super) fn rank(message: &str) -> usize {
    match message {
        message if message.contains("string,") => 0,
        message if loses_structure(message) => 1,
        _ => 2,
    }
}

/// Describes one mistake. `message` is the parser's.
pub(super) fn describe(text: &str, start: usize, message: &str) -> Diagnostic {
    let line = text
        .get(line_start(text, start)..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let rest = text
        .get(start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let whole = start..start + without_comment(rest).len();
    let here = start..start + rest.chars().next().map_or(0, char::len_utf8);
    let error = |message: &str| Diagnostic::error(Code::Syntax, message);
    let is = |beginnings: &[&str]| {
        beginnings
            .iter()
            .any(|beginning| message.starts_with(beginning))
    };

    if ["<<<<<<<", "=======", ">>>>>>>"]
        .iter()
        .any(|marker| line.starts_with(marker))
    {
        let start = line_start(text, start);
        return error("a merge has left a conflict here")
            .at(start..start + line.len())
            .label("a conflict marker")
            .help(
                "decide for one side, and remove the lines with `<<<<<<<`, `=======` and `>>>>>>>`",
            );
    }
    if is(&["unclosed table"]) {
        return error("this header is not closed")
            .at(start..start)
            .label("expected `]`")
            .help("end it with `]`");
    }
    if is(&["missing comma", "unclosed"]) {
        return not_closed(text, start, message);
    }
    if is(&[
        "string values must be quoted",
        "invalid float",
        "invalid boolean",
        "invalid integer",
        "invalid datetime",
    ]) || is(&[
        "unexpected leading zero",
        "`_` may only go between digits",
        "invalid exponent",
    ]) {
        return bad_value(text, start, message);
    }
    if is(&["key with no value"]) {
        let yaml = text
            .get(..start)
            .is_some_and(|before| before.trim_end().ends_with(':'))
            || rest.starts_with(':');
        let help = if yaml {
            "TOML writes `key = value`"
        } else {
            "write `key = value`; a comment begins with `#`"
        };
        return error("a key has no value")
            .at(here)
            .label("expected `=`")
            .help(help);
    }
    if is(&["unexpected key or value"]) {
        return two_on_a_line(whole);
    }
    if is(&["missing escaped value"]) || message.contains("escape") {
        return error("an unknown escape in a string")
            .at(here)
            .label("not an escape of TOML")
            .help("write `\\\\` for a backslash, or put the string in single quotes");
    }
    if is(&[
        "invalid basic string",
        "invalid literal string",
        "invalid multi-line",
    ]) {
        let Some(character) = rest.chars().next().filter(|character| *character != '\r') else {
            return error("a string is not closed")
                .at(end_of_previous(text, start))
                .label("expected a closing quote after this")
                .help("strings begin and end with the same quote, on one line");
        };
        let number = u32::from(character);
        return error("a string contains a control character")
            .at(here)
            .label(format!("U+{number:04X}"))
            .help(format!(
                "remove it, or write `\\u{number:04x}` in double quotes"
            ));
    }
    if is(&["unquoted keys cannot be empty"]) {
        return error("a key or a header is empty")
            .at(here)
            .label("expected a name")
            .help("write `key = value` or `[table]`");
    }
    if is(&["invalid unquoted key"]) {
        let help = match rest.starts_with(':') {
            true => "TOML writes `key = value`",
            false => "keys are letters, digits, `-` and `_`; others stand in quotes",
        };
        return error("a key cannot contain this character")
            .at(here)
            .label("not part of a key")
            .help(help);
    }
    if is(&["invalid key-value pair"]) {
        return error("a line is neither `key = value` nor `[table]`")
            .at(whole)
            .label("expected a key")
            .help("routes.toml is TOML, not JSON or YAML");
    }
    error(&message.replace(", expected", "; expected"))
        .at(here)
        .label("not TOML")
        .help("a line is `key = value`, `[table]` or `# comment`")
}

fn two_on_a_line(second: Span) -> Diagnostic {
    Diagnostic::error(Code::Syntax, "something stands behind the end of a value")
        .at(second)
        .label("expected the end of the line")
        .help("write one `key = value` on each line")
}

/// A list or a table in braces that goes on where it should not.
fn not_closed(text: &str, start: usize, message: &str) -> Diagnostic {
    let (what, bracket) = if message.contains("array") {
        ("list", "]")
    } else {
        ("table in braces", "}")
    };
    let error = |message: String| Diagnostic::error(Code::Syntax, message);
    let rest = text.get(start..).unwrap_or_default();
    let before = text.get(..start).unwrap_or_default();
    let on_next_line = before
        .get(before.trim_end().len()..)
        .is_some_and(|space| space.contains('\n'));
    if message.starts_with("missing comma") && !(on_next_line && begins_statement(rest)) {
        return error(format!(
            "two values of a {what} without a comma between them"
        ))
        .at(start..start + rest.chars().next().map_or(0, char::len_utf8))
        .label("expected `,` before this")
        .help(format!(
            "put a comma between them, or close the {what} with `{bracket}`"
        ));
    }
    error(format!("this {what} is not closed"))
        .at(end_of_previous(text, start))
        .label(format!("expected `,` or `{bracket}` after this"))
        .help(format!("close it with `{bracket}`"))
}

/// A bare word, or a number with something behind it.
fn bad_value(text: &str, start: usize, message: &str) -> Diagnostic {
    // The parser may point into the middle of the word.
    let before = text.get(..start).unwrap_or_default();
    let word_start = before
        .char_indices()
        .rev()
        .take_while(|(_, character)| !character.is_whitespace() && !"=[{,\"'".contains(*character))
        .last()
        .map_or(start, |(at, _)| at);
    let word = without_comment(
        text.get(word_start..)
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default(),
    );
    let word = word
        .split([',', ']', '}', '"', '\''])
        .next()
        .unwrap_or_default()
        .trim_end();
    let span = word_start..word_start + word.len();
    let error = |message: &str| Diagnostic::error(Code::Syntax, message);
    let digits = word
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'_' || byte == b'.' || byte == b'e');
    if let Some((value, behind)) = word
        .split_once(' ')
        .filter(|(_, behind)| begins_statement(behind))
    {
        let behind = word_start + value.len() + 1..word_start + value.len() + 1 + behind.len();
        return two_on_a_line(behind);
    }
    match word.to_ascii_lowercase().as_str() {
        "" => error("a value is missing")
            .at(span)
            .label("expected a value")
            .help("write a number, `true`, `false`, or a string in quotes"),
        lower @ ("true" | "false") => error("`true` and `false` are written in lower case")
            .at(span)
            .label("not a value of TOML")
            .help(format!("write `{lower}`")),
        "yes" | "on" | "no" | "off" | "null" | "none" | "nil" => {
            error("this is not a value of TOML")
                .at(span)
                .label("expected another value")
                .help("write `true` or `false`, put it in quotes, or remove the key")
        }
        _ if digits && word.matches('.').count() < 2 => error("this is not a number of TOML")
            .at(span)
            .label(message.split(", expected").next().unwrap_or_default())
            .help("write it without leading zeros, with digits on both sides of `.` and `_`"),
        _ => error("a string must be quoted")
            .at(span)
            .label("expected quotes around this")
            .help(quoted(word)),
    }
}

/// How a bare word is written as a string.
fn quoted(word: &str) -> String {
    // One that is cut or escaped in the message cannot be copied from it.
    if quote(word).len() != word.len() + 2 {
        return "put it in quotes".to_owned();
    }
    let quote = if word.contains('\\') { '\'' } else { '"' };
    format!("write `{quote}{word}{quote}`")
}

/// Whether a line looks like `key =` or `[table]` rather than like a value of a list.
fn begins_statement(rest: &str) -> bool {
    let line = rest.lines().next().unwrap_or_default().trim_start();
    let after_key =
        line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_.\"'".contains(c));
    line.starts_with('[')
        || (after_key.len() < line.len() && after_key.trim_start().starts_with('='))
}

/// The last character that is not white space before a place.
fn end_of_previous(text: &str, start: usize) -> Span {
    let before = text.get(..start).unwrap_or_default().trim_end();
    before.char_indices().next_back().map_or(0, |(at, _)| at)..before.len()
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim_end()
}
