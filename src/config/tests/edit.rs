//! Small changes to a file, as a careless editor or a writer that is not done makes them.

use proptest::prelude::*;

/// One change to a file.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    DeleteLine(usize),
    RepeatLine(usize, usize),
    Replace(usize, char),
    Insert(usize, String),
    Delete(usize, usize),
}

pub(super) fn any_edit() -> impl Strategy<Value = Edit> {
    let pieces = prop::sample::select(vec![
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        "#",
        "\n",
        "\r\n",
        "env:",
        "env:DATABASE_URL",
        "\"\"\"",
        "[[",
        ".",
        "-1",
        "1e999",
        "99999999999999999999",
        "0x",
        "nan",
        "2024-01-01",
        "[rule]\n",
        "[rule.x]\n",
        "shadow = true\n",
        "native 5%",
        "\u{feff}",
        "\u{1b}",
        "é",
        "%",
        "/../",
        "{*x}",
        "where = {}\n",
        "0",
    ]);
    prop_oneof![
        any::<usize>().prop_map(Edit::DeleteLine),
        any::<(usize, usize)>().prop_map(|(from, to)| Edit::RepeatLine(from, to)),
        any::<(usize, char)>().prop_map(|(at, character)| Edit::Replace(at, character)),
        (any::<usize>(), pieces).prop_map(|(at, piece)| Edit::Insert(at, piece.to_owned())),
        (any::<usize>(), 0..20_usize).prop_map(|(at, length)| Edit::Delete(at, length)),
    ]
}

impl Edit {
    /// The text after the change; places wrap around.
    pub(super) fn apply(&self, text: &str) -> String {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let characters: Vec<char> = text.chars().collect();
        let line = |at: usize| at % lines.len().max(1);
        let place = |at: usize| at % (characters.len() + 1);
        match self {
            Self::DeleteLine(at) => lines
                .iter()
                .enumerate()
                .filter(|(number, _)| *number != line(*at))
                .map(|(_, line)| *line)
                .collect(),
            Self::RepeatLine(from, to) => {
                let mut lines = lines.clone();
                if !lines.is_empty() {
                    lines.insert(line(*to), lines[line(*from)]);
                }
                lines.concat()
            }
            Self::Replace(at, with) => {
                let replaced = characters.iter().enumerate();
                replaced
                    .map(|(number, character)| {
                        if number == place(*at) {
                            *with
                        } else {
                            *character
                        }
                    })
                    .collect()
            }
            Self::Insert(at, piece) => {
                let (before, after) = characters.split_at(place(*at));
                before
                    .iter()
                    .copied()
                    .chain(piece.chars())
                    .chain(after.iter().copied())
                    .collect()
            }
            Self::Delete(at, length) => {
                let (before, after) = characters.split_at(place(*at));
                before.iter().chain(after.iter().skip(*length)).collect()
            }
        }
    }
}
