//! One value of a `routes.toml`, read as what its key takes. What it is not is reported; `None` means that it was.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use crate::config::diagnostic::{Code, Diagnostic, quote};
use crate::config::reader::{Reader, Table, Text};
use crate::config::syntax::is_header;
use crate::config::units::{self, DURATION, Kind, QuantityError, SHARE, SIZE};
use crate::config::{Scalar, Share, Span};

/// A longer value is not repeated in a help.
const LONGEST_SUGGESTION: usize = 60;

/// JavaScript and JSON numbers are exact up to here.
const LARGEST_EXACT: i64 = 1 << 53;

/// A value of the file.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    reader: &'a Reader<'a>,
    key: &'a Spanned<DeString<'a>>,
    value: &'a Spanned<DeValue<'a>>,
    env: bool,
}

impl<'a> Value<'a> {
    pub(super) fn new(
        reader: &'a Reader<'a>,
        key: &'a Spanned<DeString<'a>>,
        value: &'a Spanned<DeValue<'a>>,
        env: bool,
    ) -> Self {
        Self {
            reader,
            key,
            value,
            env,
        }
    }

    pub(super) fn span(&self) -> Span {
        self.value.span()
    }

    /// Where its key stands.
    pub(super) fn key_span(&self) -> Span {
        self.key.span()
    }

    /// Where a table is named: its header, or the key of one in braces.
    pub(super) fn header_span(&self) -> Span {
        let span = self.value.span();
        if is_header(&self.reader.source().text, &span) {
            span
        } else {
            self.key_span()
        }
    }

    pub(super) fn report(&self, problem: Diagnostic) {
        self.reader.report(problem);
    }

    /// Reports the value as wrong.
    pub(super) fn refuse<T>(
        &self,
        code: Code,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.report(
            Diagnostic::error(code, message)
                .at(self.span())
                .label(label)
                .help(help),
        );
        None
    }

    /// Reports the value as one of another type.
    pub(super) fn wrong_type<T>(&self, expected: &str, help: impl Into<String>) -> Option<T> {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("{} must be {expected}, not {found}", self.name());
        self.refuse(
            Code::WrongType,
            message,
            format!("expected {expected}"),
            help,
        )
    }

    fn name(&self) -> String {
        quote(self.key.get_ref())
    }

    fn literal(&self) -> &'a str {
        self.reader
            .source()
            .text
            .get(self.span())
            .unwrap_or_default()
    }

    pub(super) fn is_string(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// `true` or `false`, not from a variable.
    pub(super) fn is_boolean(&self) -> Option<bool> {
        self.value.get_ref().as_bool()
    }

    /// A string, of the file or of a variable, where the key takes any.
    pub(super) fn text(&self) -> Option<Text<'a>> {
        let quoted = match self.literal() {
            literal if literal.len() < LONGEST_SUGGESTION => {
                format!("put it in quotes: `\"{literal}\"`")
            }
            _ => "put it in quotes".to_owned(),
        };
        self.text_or(&quoted)
    }

    /// A string, of the file or of a variable; `help` says what to write instead of a number, a boolean or a date.
    pub(super) fn text_or(&self, help: &str) -> Option<Text<'a>> {
        let string = match self.value.get_ref() {
            DeValue::String(string) => string,
            DeValue::Array(_) => {
                return self.wrong_type("a string", "write one string, without brackets");
            }
            DeValue::Table(_) => {
                return self.wrong_type("a string", "write one string, without braces");
            }
            _ => return self.wrong_type("a string", help),
        };
        let text = |text, variable| Text {
            text,
            span: self.span(),
            variable,
            reader: self.reader,
        };
        let Some(name) = string.strip_prefix("env:") else {
            return Some(text(Cow::Borrowed(string), None));
        };
        if !self.env {
            let message = "`env:` does not work in rules and `[defaults]`";
            let help = "what a rule does must be visible in the file; write the value itself";
            return self.refuse(Code::Env, message, "not looked up", help);
        }
        if name.is_empty() || name.contains(['=', '\0']) || name.trim() != name {
            let message = format!("{} is not the name of an environment variable", quote(name));
            return self.refuse(
                Code::Env,
                message,
                "cannot be looked up",
                "write `\"env:NAME\"`",
            );
        }
        if let Some(value) = self.reader.variable(name) {
            return Some(text(Cow::Owned(value), Some(string)));
        }
        let message = format!(
            "the environment variable {} is not set, or is not UTF-8",
            quote(name)
        );
        let help = "set it for the process that runs strangler, or write the value here";
        self.refuse(Code::Env, message, "not set", help)
    }

    /// A string that is not empty, where the key takes any other.
    pub(super) fn filled(&self) -> Option<Text<'a>> {
        self.not_empty(self.text()?)
    }

    /// A string that is not empty; see [`Self::text_or`].
    pub(super) fn filled_or(&self, help: &str) -> Option<Text<'a>> {
        self.not_empty(self.text_or(help)?)
    }

    fn not_empty(&self, text: Text<'a>) -> Option<Text<'a>> {
        if text.as_str().trim().is_empty() {
            let message = format!("{} is empty", self.name());
            return self.refuse(Code::Empty, message, "expected text", "write a value");
        }
        Some(text)
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let expected = "`true` or `false`";
        match self.value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            DeValue::String(string) if string.starts_with("env:") => match self.text()?.as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => self.wrong_type(expected, "set the variable to `true` or `false`"),
            },
            DeValue::String(string) => match string.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => {
                    self.wrong_type(expected, "write `true`, without quotes")
                }
                _ => self.wrong_type(expected, "write `true` or `false`, without quotes"),
            },
            _ => self.wrong_type(expected, "write `true` or `false`"),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = "a whole number";
        let number = match self.value.get_ref() {
            DeValue::Integer(integer) => {
                i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX)
            }
            DeValue::String(string) if string.starts_with("env:") => {
                match self.text()?.as_str().parse() {
                    Ok(number) => number,
                    Err(_) => return self.wrong_type(expected, "set the variable to digits only"),
                }
            }
            DeValue::String(_) => return self.wrong_type(expected, "write digits, without quotes"),
            _ => return self.wrong_type(expected, "write digits only"),
        };
        match u64::try_from(number) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let below = number < i128::from(*range.start());
                self.out_of_range(below, &range.start().to_string(), &range.end().to_string())
            }
        }
    }

    fn out_of_range<T>(&self, below: bool, least: &str, most: &str) -> Option<T> {
        let message = format!("{} must be between {least} and {most}", self.name());
        let (label, help) = if below {
            ("too small", format!("write {least} or more"))
        } else {
            ("too large", format!("write {most} or less"))
        };
        self.refuse(Code::OutOfRange, message, label, help)
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let range = units::nanoseconds(*range.start())..=units::nanoseconds(*range.end());
        self.quantity(&DURATION, range).map(Duration::from_nanos)
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        self.quantity(&SIZE, range)
    }

    pub(super) fn share(&self, range: RangeInclusive<u64>) -> Option<Share> {
        self.quantity(&SHARE, range).and_then(units::share)
    }

    fn quantity(&self, kind: &Kind, range: RangeInclusive<u64>) -> Option<u64> {
        let label = format!("not {}", kind.what);
        if matches!(
            self.value.get_ref(),
            DeValue::Integer(_) | DeValue::Float(_)
        ) {
            let help = kind.remedy(self.literal(), &QuantityError::NoUnit, &range);
            return self.refuse(
                Code::Unit,
                format!("{} needs a unit", self.name()),
                label,
                help,
            );
        }
        let text = self.text_or(&kind.usage(&range))?;
        match kind.parse(text.as_str()) {
            Ok(steps) if range.contains(&steps) => Some(steps),
            Ok(steps) => {
                let below = steps < *range.start();
                let show = |steps| format!("`\"{}\"`", kind.show(steps));
                self.out_of_range(below, &show(*range.start()), &show(*range.end()))
            }
            Err(error) => {
                let message = format!("{} is not {}: {error}", text.shown(), kind.what);
                let help = if text.is_secret() {
                    kind.usage(&range)
                } else {
                    kind.remedy(text.as_str(), &error, &range)
                };
                self.refuse(Code::Unit, message, label, help)
            }
        }
    }

    /// The values of a list that is not empty.
    pub(super) fn list(&self, example: &str) -> Option<Vec<Self>> {
        let help = format!("write `{example}`");
        match self.value.get_ref() {
            DeValue::Array(items) if items.is_empty() => {
                let message = format!("{} is an empty list", self.name());
                self.refuse(Code::Empty, message, "expected at least one value", help)
            }
            DeValue::Array(_) => Some(self.one_or_more()),
            _ => self.wrong_type("a list", help),
        }
    }

    /// The values of a list, or the value itself.
    pub(super) fn one_or_more(&self) -> Vec<Self> {
        match self.value.get_ref() {
            DeValue::Array(items) => items.iter().map(|value| Self { value, ..*self }).collect(),
            _ => vec![*self],
        }
    }

    /// A table whose keys are not checked yet.
    pub(super) fn table(&self, example: &str) -> Option<Table<'a>> {
        match self.value.get_ref() {
            DeValue::Table(entries) => Some(Table::new(self.reader, entries, self.env)),
            _ => self.wrong_type("a table", format!("write `{example}`")),
        }
    }

    /// What JSON calls a scalar, but for `null`.
    pub(super) fn scalar(&self) -> Option<Scalar> {
        let expected = "a string, a number or a boolean";
        match self.value.get_ref() {
            DeValue::String(_) => self
                .text()
                .map(|text| Scalar::Text(text.as_str().to_owned())),
            DeValue::Boolean(boolean) => Some(Scalar::Bool(*boolean)),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(number) if (-LARGEST_EXACT..=LARGEST_EXACT).contains(&number) => {
                        Some(Scalar::Number(number as f64))
                    }
                    _ => {
                        let message = "JSON numbers are exact up to 2^53 only";
                        let help = "compare with a string, if the claim is one";
                        self.refuse(Code::OutOfRange, message, "may compare wrongly", help)
                    }
                }
            }
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                // Adding zero makes -0.0 the same as 0.0, as it is in JavaScript.
                Ok(number) if number.is_finite() => Some(Scalar::Number(number + 0.0)),
                _ => self.refuse(
                    Code::OutOfRange,
                    "JSON has no such number",
                    "can never match",
                    "use a finite number",
                ),
            },
            DeValue::Datetime(_) => self.wrong_type(
                expected,
                format!("put it in quotes: `\"{}\"`", self.literal()),
            ),
            DeValue::Array(_) | DeValue::Table(_) => {
                self.wrong_type(expected, "only scalars are compared")
            }
        }
    }

    /// Whatever it is, with `env:` resolved at any depth.
    pub(super) fn any(&self) -> Option<toml::Value> {
        let too_large = || {
            let message = format!("{} is too large", quote(self.literal()));
            self.refuse(
                Code::OutOfRange,
                message,
                "out of range",
                "use a smaller number, or a string",
            )
        };
        Some(match self.value.get_ref() {
            DeValue::String(_) => toml::Value::String(self.text()?.text.into_owned()),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(integer) => toml::Value::Integer(integer),
                    Err(_) => return too_large(),
                }
            }
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                // A number that is too large is read as infinite; `inf` and `nan` themselves are TOML.
                Ok(number)
                    if number.is_finite()
                        || !self.literal().contains(|c: char| c.is_ascii_digit()) =>
                {
                    toml::Value::Float(number)
                }
                _ => return too_large(),
            },
            DeValue::Boolean(boolean) => toml::Value::Boolean(*boolean),
            DeValue::Datetime(datetime) => toml::Value::Datetime(*datetime),
            // All are read before any is missed, so that each problem is reported.
            DeValue::Array(_) => {
                let items: Vec<_> = self.one_or_more().iter().map(Self::any).collect();
                toml::Value::Array(items.into_iter().collect::<Option<_>>()?)
            }
            DeValue::Table(entries) => {
                let table = Table::new(self.reader, entries, self.env);
                let entries: Vec<_> = table
                    .entries()
                    .map(|(key, value)| Some((key.as_str().to_owned(), value.any()?)))
                    .collect();
                toml::Value::Table(entries.into_iter().collect::<Option<_>>()?)
            }
        })
    }
}
