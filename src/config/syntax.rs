//! TOML text to a tree with places, and what is wrong with the text in words that say what to do. The parser goes on
//! after a mistake; what it makes of the rest of a list that is not closed is noise, and is left out here.

mod duplicate;
mod mistake;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::Span;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::source::Source;

/// More mistakes than this are not described.
const MOST_MISTAKES: usize = 100;

/// What the text is.
pub(super) struct Document<'a> {
    /// The tree, as far as it could be read.
    pub(super) root: DeTable<'a>,
    /// What is wrong with the text.
    pub(super) problems: Vec<Diagnostic>,
    /// Everything before this byte was read right; `None` if the text is TOML, but for keys that stand twice.
    pub(super) sound_until: Option<usize>,
}

/// Reads the text.
pub(super) fn read(source: &Source) -> Document<'_> {
    let text = &*source.text;
    let (root, errors) = DeTable::parse_recoverable(text);
    let root = root.into_inner();
    let (twice, mut mistakes): (Vec<_>, Vec<_>) = errors
        .iter()
        .map(|error| (error.span().unwrap_or(0..0), error.message()))
        .partition(|(_, message)| *message == "duplicate key");
    let mut problems: Vec<_> = twice
        .into_iter()
        .take(MOST_MISTAKES)
        .map(|(span, _)| duplicate::describe(source, &root, span))
        .collect();

    mistakes.sort_by_key(|(span, message)| (span.start, mistake::rank(message)));
    let sound_until = mistakes
        .first()
        .map(|(span, _)| line_start(text, span.start));
    let mut line_end = None;
    for (span, message) in mistakes.into_iter().take(MOST_MISTAKES) {
        // The first one of a line tends to be the cause of the others.
        if line_end.is_none_or(|end| span.start > end) {
            problems.push(mistake::describe(text, span.start, message));
            let rest = text.get(span.start..).unwrap_or_default();
            line_end = Some(span.start + rest.find('\n').unwrap_or(rest.len()));
        }
        if mistake::loses_structure(message) {
            break;
        }
    }
    if problems.is_empty() {
        problems.extend(unfinished(text, &root));
    }
    // A header that is refused is reported again when its table ends.
    problems.dedup();
    Document {
        root,
        problems,
        sound_until,
    }
}

fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1)
}

/// Whether the place of a table is its header, `[table]`.
pub(super) fn is_header(text: &str, span: &Span) -> bool {
    let start = line_start(text, span.start);
    let before = text.get(start..span.start).unwrap_or_default();
    before.trim_start_matches('\u{feff}').trim().is_empty()
        && text
            .get(span.start..)
            .is_some_and(|rest| rest.starts_with('['))
}

/// A number or an empty string as the very last thing of a file could be the beginning of a longer one, in a file that
/// is being written. Everything else that is cut is not TOML, or lacks a key.
fn unfinished(text: &str, root: &DeTable<'_>) -> Option<Diagnostic> {
    let value = last_value(root, text.len())?;
    let suspicious = match value.get_ref() {
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => true,
        DeValue::String(string) => string.is_empty(),
        _ => false,
    };
    suspicious.then(|| {
        Diagnostic::error(
            Code::Unfinished,
            "the file ends right after a value that may be cut off",
        )
        .at(value.span())
        .label("is this all of it?")
        .help("end the file with a newline")
    })
}

fn last_value<'t, 'a>(table: &'t DeTable<'a>, end: usize) -> Option<&'t Spanned<DeValue<'a>>> {
    table.iter().find_map(|(_, value)| match value.get_ref() {
        DeValue::Table(inner) => last_value(inner, end),
        DeValue::Array(items) => items
            .iter()
            .filter_map(|item| item.get_ref().as_table())
            .find_map(|inner| last_value(inner, end)),
        _ => (value.span().end == end).then_some(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(String, String)> {
        let source = Source::new("routes.toml", text);
        let place = |problem: &Diagnostic| {
            problem
                .span
                .clone()
                .and_then(|span| text.get(span))
                .map(str::to_owned)
        };
        let problems = read(&source).problems;
        problems
            .iter()
            .map(|problem| (problem.message.clone(), place(problem).unwrap_or_default()))
            .collect()
    }

    #[test]
    fn each_mistake_is_said_in_words_at_its_place() {
        let cases = [
            ("a = \n", "a value is missing", ""),
            ("a = natve\n", "a string must be quoted", "natve"),
            (
                "a = 127.0.0.1:80 # x\n",
                "a string must be quoted",
                "127.0.0.1:80",
            ),
            ("a = 2s\n", "a string must be quoted", "2s"),
            (
                "a = True\n",
                "`true` and `false` are written in lower case",
                "True",
            ),
            ("a = yes\n", "this is not a value of TOML", "yes"),
            ("a = 007\n", "this is not a number of TOML", "007"),
            ("a = \"x\nb = 1\n", "a string is not closed", "x"),
            ("a = \"x", "a string is not closed", "x"),
            ("a = \"\"\"x\n", "a string is not closed", "x"),
            (
                "a = \"\u{1}\"\n",
                "a string contains a control character",
                "\u{1}",
            ),
            ("a = \"\\q\"\n", "an unknown escape in a string", "q"),
            ("[a\nb = 1\n", "this header is not closed", ""),
            ("a = [1, 2\nb = 1\nc = 2\n", "this list is not closed", "2"),
            (
                "a = [\"x\", \"y\"\nb = \"z\"\n",
                "this list is not closed",
                "\"",
            ),
            (
                "a = ['x' 'y']\n",
                "two values of a list without a comma between them",
                "'",
            ),
            (
                "a = {b = 1\nc = 2\n",
                "this table in braces is not closed",
                "1",
            ),
            ("a: 1\n", "a key cannot contain this character", ":"),
            (
                "a = 1 b = 2\n",
                "something stands behind the end of a value",
                "b = 2",
            ),
            (
                "a = 'x' b = 2\n",
                "something stands behind the end of a value",
                "b = 2",
            ),
            ("a b\n", "a key has no value", "b"),
            ("[]\n", "a key or a header is empty", "]"),
            (
                "<<<<<<< HEAD\n",
                "a merge has left a conflict here",
                "<<<<<<< HEAD",
            ),
            (
                "{ \"a\": 1 }\n",
                "a line is neither `key = value` nor `[table]`",
                "{ \"a\": 1 }",
            ),
        ];
        for (text, message, place) in cases {
            let found = problems(text);
            assert_eq!(found, [(message.to_owned(), place.to_owned())], "{text}");
        }
    }

    #[test]
    fn the_first_of_two_is_named() {
        let labels = |text: &str| -> Vec<String> {
            let source = Source::new("routes.toml", text);
            read(&source)
                .problems
                .into_iter()
                .map(|problem| problem.label)
                .collect()
        };
        assert_eq!(
            labels("a = 1\nb = { a = 2 }\na = 3\n"),
            ["already in line 1"]
        );
        assert_eq!(
            labels("[x]\n[y] # one\na = 1\n[z]\n[y]\na = 1\n"),
            ["already in line 2", "already in line 3"]
        );
        assert_eq!(
            labels("x = [\n { a = 1 },\n { a = 1,\n a = 2 },\n]\n"),
            ["already in line 3"]
        );
    }

    #[test]
    fn a_value_that_may_be_cut_is_refused() {
        assert_eq!(problems("a = 12").len(), 1);
        assert_eq!(problems("[a.b]\nc = ''").len(), 1);
        for whole in [
            "a = 12\n",
            "a = 'x'",
            "a = [1]",
            "a = { b = 1 }",
            "a = true",
            "a = 12 # x",
        ] {
            assert_eq!(problems(whole), [], "{whole}");
        }
    }

    #[test]
    fn a_large_file_full_of_mistakes_is_described_in_time() {
        for unit in [
            "a=\n",
            "a=1\n",
            "[a]\n",
            "=",
            "a=b,",
            "[",
            "[[a]]\n",
            "\"",
            "a.",
            "{a=1,a=1},",
        ] {
            let text = unit.repeat(200_000 / unit.len());
            assert!(
                read(&Source::new("routes.toml", text)).problems.len() <= 2 * MOST_MISTAKES,
                "{unit}"
            );
        }
    }
}
