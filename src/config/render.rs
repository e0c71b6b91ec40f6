//! Prints diagnostics for people, as rustc does. Long lines are cut, and nothing of the file can steer the terminal.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::config::Span;
use crate::config::diagnostic::{Diagnostic, Severity, push_printable};
use crate::config::source::Source;

/// Columns of an excerpt.
const WIDTH: usize = 160;

/// Characters that are underlined at most.
const UNDERLINED: usize = 80;

/// Characters of a line that are looked at on either side of the place.
const CONTEXT: usize = 400;

/// Diagnostics that are printed at most.
const PRINTED: usize = 100;

/// All diagnostics, sorted by place, a blank line between two of them, each line ended. Empty for none.
pub fn render(source: &Source, diagnostics: &[Diagnostic], coloured: bool) -> String {
    let renderer = if coloured {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.term_width(WIDTH);
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| order(diagnostic));
    let mut output = String::new();
    for (number, diagnostic) in sorted.iter().take(PRINTED).enumerate() {
        if number > 0 {
            output.push('\n');
        }
        for line in render_one(source, diagnostic, &renderer).lines() {
            output.push_str(line.trim_end());
            output.push('\n');
        }
    }
    if sorted.len() > PRINTED {
        output.push_str(&format!("\n… and {} more\n", sorted.len() - PRINTED));
    }
    output
}

/// `1 error, 2 warnings`, or `no problems`. Notes are not counted.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    };
    let parts: Vec<String> = [
        (count(Severity::Error), "error"),
        (count(Severity::Warning), "warning"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}{}", if number == 1 { "" } else { "s" }))
    .collect();
    if parts.is_empty() {
        "no problems".to_owned()
    } else {
        parts.join(", ")
    }
}

/// What has no place comes first; at one place the worst comes first.
pub(super) fn order(diagnostic: &Diagnostic) -> (Option<usize>, Severity, &'static str) {
    (
        diagnostic.span.as_ref().map(|span| span.start),
        diagnostic.severity,
        diagnostic.code.as_str(),
    )
}

fn render_one(source: &Source, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let path = printable(&source.path.display().to_string());
    let title = level
        .primary_title(printable(&diagnostic.message))
        .id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    let mut columns = None;
    if let Some(span) = &diagnostic.span {
        let excerpt = Excerpt::new(&source.text, span);
        let line = source.position(span.start).line;
        columns = Some((excerpt.column + excerpt.skipped, excerpt.column, line));
        let mut annotation = AnnotationKind::Primary.span(excerpt.marked);
        if !diagnostic.label.is_empty() {
            annotation = annotation.label(printable(&diagnostic.label));
        }
        let snippet = Snippet::source(excerpt.text)
            .line_start(line)
            .path(path.clone())
            .annotation(annotation);
        group = group.element(snippet);
    } else {
        group = group.element(Origin::path(path.clone()));
    }
    if let Some(help) = &diagnostic.help {
        let lines: Vec<String> = help.lines().map(printable).collect();
        group = group.element(Level::HELP.message(lines.join("\n")));
    }
    let text = renderer.render(&[group]);
    // The renderer counts columns in the excerpt that it was given, which may begin in the middle of the line.
    match columns {
        Some((actual, shown, line)) if actual != shown => text.replacen(
            &format!("{path}:{line}:{shown}"),
            &format!("{path}:{line}:{actual}"),
            1,
        ),
        _ => text,
    }
}

fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len());
    text.chars()
        .for_each(|character| push_printable(&mut printed, character));
    printed
}

/// The part of one line around a place.
struct Excerpt {
    /// One line, without anything that moves the cursor.
    text: String,
    /// The place, in bytes of `text`.
    marked: Span,
    /// Characters of the line that stand before `text`.
    skipped: usize,
    /// Of the place in `text`, from 1.
    column: usize,
}

impl Excerpt {
    fn new(text: &str, span: &Span) -> Self {
        let start = floor(text, span.start);
        let mut line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        if text[line_start..line_end].starts_with('\u{feff}') {
            line_start += '\u{feff}'.len_utf8();
        }
        let line_end = line_start + text[line_start..line_end].trim_end_matches('\r').len();
        let start = start.clamp(line_start, line_end);
        // Only the first line of a longer place is marked.
        let end = floor(text, span.end).clamp(start, line_end);

        let before: Vec<char> = text[line_start..start]
            .chars()
            .rev()
            .take(CONTEXT)
            .collect();
        let skipped = text[line_start..start].chars().count() - before.len();
        let mut shown: String = before.iter().rev().copied().map(cell).collect();
        let marked_start = shown.len();
        shown.extend(text[start..end].chars().take(UNDERLINED).map(cell));
        let marked = marked_start..shown.len();
        let marked_characters = text[start..end].chars().take(UNDERLINED).count();
        shown.extend(
            text[start..line_end]
                .chars()
                .skip(marked_characters)
                .take(CONTEXT)
                .map(cell),
        );
        Self {
            text: shown,
            marked,
            skipped,
            column: before.len() + 1,
        }
    }
}

/// One printable character for each character, so that columns stay.
fn cell(character: char) -> char {
    match character {
        '\t' => ' ',
        other => {
            let mut escaped = String::new();
            push_printable(&mut escaped, other);
            if escaped.len() == other.len_utf8() {
                other
            } else {
                '\u{fffd}'
            }
        }
    }
}

/// The nearest boundary of a character at or below an offset.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::Code;

    fn unknown_side(text: &str, value: &str) -> (Source, Diagnostic) {
        let source = Source::new("routes.toml", text);
        let start = text.find(value).expect("the value is in the text");
        let diagnostic = Diagnostic::error(Code::UnknownSide, "unknown side `natve`")
            .at(start..start + value.len())
            .label("not `native` or `node`")
            .help("did you mean `native`?");
        (source, diagnostic)
    }

    #[test]
    fn it_looks_like_rustc() {
        let (source, diagnostic) =
            unknown_side("[rule.a]\nhttp = [\"/\"]\nto = \"natve\"\n", "\"natve\"");
        let expected = "\
error[unknown-side]: unknown side `natve`
 --> routes.toml:3:6
  |
3 | to = \"natve\"
  |      ^^^^^^^ not `native` or `node`
  |
  = help: did you mean `native`?
";
        assert_eq!(render(&source, &[diagnostic], false), expected);
    }

    #[test]
    fn a_long_line_is_cut_and_keeps_its_column() {
        let text = format!(
            "x = [{} \"natve\", {}]\n",
            "1, ".repeat(5000),
            "2, ".repeat(5000)
        );
        let (source, diagnostic) = unknown_side(&text, "\"natve\"");
        let output = render(&source, &[diagnostic], false);
        assert!(output.contains("--> routes.toml:1:15007"), "{output}");
        assert!(
            output.lines().all(|line| line.chars().count() < 220),
            "{output}"
        );
    }

    #[test]
    fn a_huge_place_is_marked_by_its_beginning() {
        let text = format!(
            "x = \"{}\"\ny = \"\"\"\n{}\"\"\"\n",
            "z".repeat(9000),
            "line\n".repeat(900)
        );
        let source = Source::new("routes.toml", text.as_str());
        let long = Diagnostic::error(Code::UnknownSide, "long").at(4..9006);
        let tall = Diagnostic::error(Code::UnknownSide, "tall").at(9011..text.len());
        let output = render(&source, &[tall, long], false);
        assert!(output.len() < 2000, "{output}");
        assert!(output.find("long") < output.find("tall"), "{output}");
    }

    #[test]
    fn control_characters_are_harmless() {
        let (source, mut diagnostic) =
            unknown_side("to = \"\u{1b}[2Jnatve\" # \u{202e}\r\n", "natve");
        diagnostic.message = "a\u{1b}[31mb".into();
        diagnostic.help = Some("c\u{7}\nd".into());
        let output = render(&source, &[diagnostic], false);
        assert!(
            !output.contains(|character: char| character.is_control() && character != '\n'),
            "{output:?}"
        );
        assert!(
            output.contains("a\\u{1b}[31mb") && output.contains("c\\u{7}\n"),
            "{output}"
        );
    }

    #[test]
    fn any_place_can_be_rendered() {
        let source = Source::new("routes.toml", "\u{feff}é\n\r\n\u{1f980}x\n");
        for start in 0..30 {
            for end in 0..30 {
                let diagnostic = Diagnostic::note(Code::Syntax, "here")
                    .at(start..end)
                    .label("label");
                assert!(render(&source, &[diagnostic], true).contains("here"));
            }
        }
    }

    #[test]
    fn the_summary_counts() {
        let error = Diagnostic::error(Code::Syntax, "");
        let warning = Diagnostic::warning(Code::Duplicate, "");
        assert_eq!(
            summary(&[error.clone(), warning.clone(), warning.clone()]),
            "1 error, 2 warnings"
        );
        assert_eq!(summary(&[error.clone(), error]), "2 errors");
        assert_eq!(
            summary(&[Diagnostic::note(Code::Unserved, "")]),
            "no problems"
        );
    }
}
