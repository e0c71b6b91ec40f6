//! Walks the tree of a `routes.toml`. Each wrong value is reported where it stands and reading goes on, so that all
//! problems come at once; a `None` from here means that something was reported.

use std::borrow::Cow;
use std::cell::RefCell;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::config::Span;
use crate::config::diagnostic::{Code, Diagnostic, Severity, quote};
use crate::config::keys::{Keys, belongs_to, nearest};
use crate::config::source::Source;
use crate::config::value::Value;

/// More problems than this are not listed.
const MOST_PROBLEMS: usize = 500;

/// Collects what is wrong while a file is read.
pub(super) struct Reader<'a> {
    source: &'a Source,
    variable: &'a dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Diagnostic>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            source,
            variable,
            problems: RefCell::default(),
        }
    }

    pub(super) fn source(&self) -> &'a Source {
        self.source
    }

    /// The value of an environment variable, if it is set and UTF-8.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)
    }

    pub(super) fn report(&self, problem: Diagnostic) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MOST_PROBLEMS {
            problems.push(problem);
            return;
        }
        if problems.len() == MOST_PROBLEMS {
            let message = format!("more than {MOST_PROBLEMS} problems; the others are not listed");
            let cut = Diagnostic::warning(Code::TooMany, message);
            problems.push(cut.help("check that it is the right file"));
        }
        // An error that is not listed refuses the file all the same.
        if let Some(cut) = problems.last_mut().filter(|_| problem.is_error()) {
            cut.severity = Severity::Error;
        }
    }

    pub(super) fn into_problems(self) -> Vec<Diagnostic> {
        self.problems.into_inner()
    }
}

/// A table whose keys are known.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    reader: &'a Reader<'a>,
    entries: &'a DeTable<'a>,
    env: bool,
}

impl<'a> Table<'a> {
    /// Its keys are not checked yet. With `env`, strings may name environment variables.
    pub(super) fn new(reader: &'a Reader<'a>, entries: &'a DeTable<'a>, env: bool) -> Self {
        Self {
            reader,
            entries,
            env,
        }
    }

    /// Reports keys that do not exist, do not work yet, or are missing. `header` is where the table is named.
    pub(super) fn check_keys(&self, keys: &Keys, name: &str, header: Option<&Span>) {
        for (key, _) in self.in_order() {
            if keys.usable().any(|usable| usable == key.get_ref()) {
                continue;
            }
            if keys.later.contains(&key.get_ref().as_ref()) {
                let message = format!("{} is not available yet", quote(key.get_ref()));
                let problem = Diagnostic::error(Code::NotAvailable, message).at(key.span());
                self.reader.report(
                    problem
                        .label("planned for a later version")
                        .help("remove it"),
                );
            } else if !keys.open {
                self.unknown_key(keys, name, key);
            }
        }
        for (key, example) in keys.required {
            if self.entries.contains_key(*key) {
                continue;
            }
            let problem = match header {
                Some(header) => {
                    Diagnostic::error(Code::MissingKey, format!("`{key}` is missing in {name}"))
                        .at(header.clone())
                        .label(format!("needs `{key}`"))
                        .help(format!("add `{example}`"))
                }
                None => {
                    Diagnostic::error(Code::MissingKey, format!("the table `[{key}]` is missing"))
                        .help(format!("add, for example:\n{example}"))
                }
            };
            self.reader.report(problem);
        }
    }

    fn unknown_key(&self, keys: &Keys, name: &str, key: &Spanned<DeString<'_>>) {
        let text = key.get_ref();
        let help = match nearest(text, keys.usable()) {
            Some(near) if self.entries.contains_key(near) => {
                format!("remove it: `{near}` is there already")
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => belongs_to(text).unwrap_or_else(|| {
                let known: Vec<String> = keys.usable().map(|key| format!("`{key}`")).collect();
                format!("the keys are {}", known.join(", "))
            }),
        };
        self.reader
            .report(unknown_key(&quote(text), name, key.span(), help));
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        let (name, value) = self.entries.get_key_value(key)?;
        Some(self.value(name, value))
    }

    /// All keys with their values, in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Text<'a>, Value<'a>)> + use<'a> {
        let table = *self;
        self.in_order().into_iter().map(move |(key, value)| {
            let text = Cow::Borrowed(key.get_ref().as_ref());
            let text = Text {
                text,
                span: key.span(),
                variable: None,
                reader: table.reader,
            };
            (text, table.value(key, value))
        })
    }

    pub(super) fn report(&self, problem: Diagnostic) {
        self.reader.report(problem);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// From here on, `env:` is refused.
    pub(super) fn without_env(self) -> Self {
        Self { env: false, ..self }
    }

    fn value(&self, key: &'a Spanned<DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value::new(self.reader, key, value, self.env)
    }

    fn in_order(&self) -> Vec<(&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }
}

/// A key that a table does not have.
pub(super) fn unknown_key(key: &str, name: &str, span: Span, help: String) -> Diagnostic {
    Diagnostic::error(Code::UnknownKey, format!("unknown key {key} in {name}"))
        .at(span)
        .label("not a key of this table")
        .help(help)
}

/// A string of the file, or of an environment variable.
#[derive(Clone)]
pub(super) struct Text<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) span: Span,
    /// The `env:NAME` that it came from.
    pub(super) variable: Option<&'a str>,
    pub(super) reader: &'a Reader<'a>,
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// As messages may show it: what a variable holds may be secret.
    pub(super) fn shown(&self) -> String {
        quote(self.variable.unwrap_or(&self.text))
    }

    /// Whether the value itself must not be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.variable.is_some()
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Where a part of the text stands, if the file has it as it is.
    pub(super) fn part(&self, part: Span) -> Span {
        let inner = self.span.start + 1..self.span.end.saturating_sub(1);
        if self.variable.is_none()
            && self.reader.source.text.get(inner.clone()) == Some(&*self.text)
        {
            inner.start + part.start..inner.start + part.end
        } else {
            self.span()
        }
    }

    pub(super) fn report(&self, problem: Diagnostic) {
        self.reader.report(problem);
    }
}
