//! What remains of a file: one small entry for each line with usage, and a few facts about all lines.

use strangler::js_json::{self, Text, Value};

use super::scan::{Fields, Usage};
use crate::date;
use crate::zone::Zone;

/// The lines of one file, or the first of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    entries: Vec<Entry>,
    /// Counts that are no `u32`: fractional, negative or large ones.
    odd_tokens: Vec<Tokens>,
    /// What `sessionId` said, nearly each value once. Files seldom hold more than one.
    pub(crate) sessions: Vec<Session>,
    /// The models, nearly each once.
    pub(crate) models: Vec<Text>,
    pub(crate) facts: Facts,
}

/// What is known of all lines.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Facts {
    /// The lines that are JSON.
    pub(crate) messages: u64,
    pub(crate) activity: Activity,
}

/// When something happened last, as Node finds it: a first date that is invalid is later than all that follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    #[default]
    Never,
    At(i64),
    Invalid,
}

impl Activity {
    /// Joined with what comes later in the order of lines.
    pub(crate) fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Never, later) => later,
            (Self::At(first), Self::At(second)) => Self::At(first.max(second)),
            (first, _) => first,
        }
    }
}

/// The counts of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tokens {
    pub(crate) new_input: f64,
    pub(crate) cache_creation: f64,
    pub(crate) cache_read: f64,
    pub(crate) output: f64,
}

/// When a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// No `timestamp`, or a falsy one.
    None,
    /// One that is no date.
    Invalid,
    At(i64),
}

/// A line with usage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Use {
    pub(crate) moment: Moment,
    pub(crate) tokens: Tokens,
    /// Its place in `sessions`.
    pub(crate) session: usize,
    /// Its place in `models`; nothing for a falsy one.
    pub(crate) model: Option<usize>,
}

/// A `sessionId`. Node keeps them in a `Set`, in which values of different types are different.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Session {
    Absent,
    Null,
    Bool(bool),
    /// The bits of a number.
    Number(u64),
    Text(Text),
    /// An array or an object, as JSON. Each is one of its own.
    Other(String),
}

impl Session {
    pub(crate) fn is_truthy(&self) -> bool {
        match self {
            Self::Absent | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(bits) => f64::from_bits(*bits) != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Other(_) => true,
        }
    }
}

/// 32 bytes a line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    /// `NO_TIME`, `INVALID_TIME`, or milliseconds, which are far from both.
    time: i64,
    /// In the order of `Tokens`; `[ODD, index, …]` for those that are in `odd_tokens`.
    tokens: [u32; 4],
    session: u32,
    model: u32,
}

const NO_TIME: i64 = i64::MIN;
const INVALID_TIME: i64 = i64::MIN + 1;
const ODD: u32 = u32::MAX;
const NO_MODEL: u32 = u32::MAX;

impl Entry {
    fn unpack(&self, odd_tokens: &[Tokens]) -> Use {
        let tokens = match self.tokens {
            [ODD, index, ..] => odd_tokens[index as usize],
            [new_input, cache_creation, cache_read, output] => Tokens {
                new_input: f64::from(new_input),
                cache_creation: f64::from(cache_creation),
                cache_read: f64::from(cache_read),
                output: f64::from(output),
            },
        };
        Use {
            moment: match self.time {
                NO_TIME => Moment::None,
                INVALID_TIME => Moment::Invalid,
                time => Moment::At(time),
            },
            tokens,
            session: self.session as usize,
            model: (self.model != NO_MODEL).then_some(self.model as usize),
        }
    }
}

/// The lines of many records in the order of time, with numbers instead of the places in their lists.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    entries: Vec<Entry>,
    odd_tokens: Vec<Tokens>,
}

impl Timeline {
    /// Those that have a timestamp; of equal ones, in the order given. What is no date comes last. With each record come
    /// the numbers of its sessions and models.
    pub(crate) fn of<'r>(
        records: impl Iterator<Item = (&'r Record, &'r [u32], &'r [u32])>,
    ) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut odd_tokens = Vec::new();
        for (record, sessions, models) in records {
            let odd_before = odd_tokens.len() as u32;
            odd_tokens.extend_from_slice(&record.odd_tokens);
            let timed = record.entries.iter().filter(|entry| entry.time != NO_TIME);
            entries.extend(timed.map(|entry| {
                let mut entry = *entry;
                entry.session = sessions[entry.session as usize];
                if entry.model != NO_MODEL {
                    entry.model = models[entry.model as usize];
                }
                if let [ODD, index, ..] = &mut entry.tokens {
                    *index += odd_before;
                }
                entry
            }));
        }
        Self {
            entries: sorted(entries),
            odd_tokens,
        }
    }

    pub(crate) fn uses(&self) -> impl DoubleEndedIterator<Item = Use> {
        self.entries
            .iter()
            .map(|entry| entry.unpack(&self.odd_tokens))
    }
}

/// By time, those of equal times as they were.
fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    let time = |entry: &Entry| match entry.time {
        INVALID_TIME => i64::MAX,
        time => time,
    };
    let first = entries.iter().map(time).min().unwrap_or_default();
    let last = entries.iter().map(time).max().unwrap_or_default();
    let bits = usize::BITS - entries.len().leading_zeros();
    if last.abs_diff(first).leading_zeros() < bits {
        entries.sort_by_key(time);
        return entries;
    }
    // Time and place fit into one number, and numbers are sorted several times as quickly as entries.
    let order = entries.iter().enumerate();
    let mut order: Vec<u64> = order
        .map(|(place, entry)| time(entry).abs_diff(first) << bits | place as u64)
        .collect();
    order.sort_unstable();
    let place = |key: &u64| (key & ((1 << bits) - 1)) as usize;
    order.iter().map(|key| entries[place(key)]).collect()
}

/// How much of a record there was at some line, to get back to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    entries: usize,
    odd_tokens: usize,
    sessions: usize,
    models: usize,
    facts: Facts,
}

impl Record {
    /// The lines with usage, in their order.
    pub(crate) fn uses(&self) -> impl ExactSizeIterator<Item = Use> {
        self.entries
            .iter()
            .map(|entry| entry.unpack(&self.odd_tokens))
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            entries: self.entries.len(),
            odd_tokens: self.odd_tokens.len(),
            sessions: self.sessions.len(),
            models: self.models.len(),
            facts: self.facts,
        }
    }

    pub(super) fn go_back(&mut self, mark: Mark) {
        self.entries.truncate(mark.entries);
        self.odd_tokens.truncate(mark.odd_tokens);
        self.sessions.truncate(mark.sessions);
        self.models.truncate(mark.models);
        self.facts = mark.facts;
    }

    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.odd_tokens.shrink_to_fit();
        self.sessions.shrink_to_fit();
        self.models.shrink_to_fit();
    }

    /// A line as most are.
    pub(super) fn add(&mut self, fields: &Fields<'_>, zone: &Zone) {
        self.facts.messages += 1;
        let moment = match fields.timestamp {
            None | Some([]) => Moment::None,
            Some(text) => moment(date::parse(&String::from_utf8_lossy(text), zone)),
        };
        self.note(moment);
        let Some(usage) = fields.usage else { return };
        let session = match fields.session {
            None => self.session(Session::Absent),
            Some(text) => {
                let is_known =
                    |known: &Session| matches!(known, Session::Text(known) if is(known, text));
                find_recent(&self.sessions, is_known)
                    .unwrap_or_else(|| self.session(Session::Text(decoded(text))))
            }
        };
        let model = match fields.model {
            None | Some([]) => None,
            Some(name) => {
                let known = find_recent(&self.models, |known| is(known, name));
                Some(known.unwrap_or_else(|| self.model(decoded(name))))
            }
        };
        self.push(moment, usage, session, model);
    }

    /// A line about which the quick pass is not sure.
    pub(super) fn add_unusual(&mut self, line: &[u8], zone: &Zone) {
        // A text of blanks alone is no JSON either.
        let Ok(line) = js_json::parse(&String::from_utf8_lossy(line)) else {
            return;
        };
        self.facts.messages += 1;
        let moment = match line.get("timestamp") {
            Some(timestamp) if timestamp.is_truthy() => moment(instant(timestamp, zone)),
            _ => Moment::None,
        };
        self.note(moment);
        let message = line.get("message");
        let usage = message.and_then(|message| message.get("usage"));
        let Some(usage) = usage.filter(|usage| usage.is_truthy()) else {
            return;
        };
        let model = match message.and_then(|message| message.get("model")) {
            Some(Value::String(name)) if !name.is_empty() => Some(name.clone()),
            // Its price is looked up by `model.toLowerCase()`, which throws: the line counts no further.
            Some(model) if model.is_truthy() => return,
            _ => None,
        };
        let tokens = |key| usage.get(key).map_or(0.0, count);
        let usage = Usage {
            input: tokens("input_tokens"),
            cache_creation: tokens("cache_creation_input_tokens"),
            cache_read: tokens("cache_read_input_tokens"),
            output: tokens("output_tokens"),
        };
        let session = self.session(session(line.get("sessionId")));
        let model = model.map(|name| self.model(name));
        self.push(moment, usage, session, model);
    }

    fn note(&mut self, moment: Moment) {
        let activity = match moment {
            Moment::None => Activity::Never,
            Moment::Invalid => Activity::Invalid,
            Moment::At(time) => Activity::At(time),
        };
        self.facts.activity = self.facts.activity.then(activity);
    }

    fn session(&mut self, session: Session) -> usize {
        let known = match &session {
            // `{}` never equals `{}`.
            Session::Other(_) => None,
            session => find_recent(&self.sessions, |known| known == session),
        };
        known.unwrap_or_else(|| {
            self.sessions.push(session);
            self.sessions.len() - 1
        })
    }

    fn model(&mut self, name: Text) -> usize {
        let known = find_recent(&self.models, |known| *known == name);
        known.unwrap_or_else(|| {
            self.models.push(name);
            self.models.len() - 1
        })
    }

    fn push(&mut self, moment: Moment, usage: Usage, session: usize, model: Option<usize>) {
        let time = match moment {
            Moment::None => NO_TIME,
            Moment::Invalid => INVALID_TIME,
            Moment::At(time) => time,
        };
        let counts = [
            usage.input,
            usage.cache_creation,
            usage.cache_read,
            usage.output,
        ];
        let packed = counts.map(|count| count as u32);
        let is_odd = |(count, packed): (&f64, &u32)| *packed == ODD || f64::from(*packed) != *count;
        let tokens = if counts.iter().zip(&packed).any(is_odd) {
            self.odd_tokens.push(Tokens {
                new_input: usage.input,
                cache_creation: usage.cache_creation,
                cache_read: usage.cache_read,
                output: usage.output,
            });
            [ODD, (self.odd_tokens.len() - 1) as u32, 0, 0]
        } else {
            packed
        };
        self.entries.push(Entry {
            time,
            tokens,
            session: session as u32,
            model: model.map_or(NO_MODEL, |model| model as u32),
        });
    }
}

/// Looks only at the last ones: in a file with a session a line the search would grow with the square of its length, and
/// a value that stands there twice does no harm.
fn find_recent<T>(values: &[T], is_wanted: impl Fn(&T) -> bool) -> Option<usize> {
    const RECENT: usize = 64;
    let skipped = values.len().saturating_sub(RECENT);
    let found = values[skipped..].iter().rposition(is_wanted)?;
    Some(skipped + found)
}

fn moment(instant: Option<i64>) -> Moment {
    instant.map_or(Moment::Invalid, Moment::At)
}

fn decoded(text: &[u8]) -> Text {
    String::from_utf8_lossy(text).into_owned().into()
}

/// Malformed UTF-8 equals nothing here, and is found by its decoded form.
fn is(known: &Text, text: &[u8]) -> bool {
    known.as_str().is_some_and(|known| known.as_bytes() == text)
}

/// `new Date(value)`
fn instant(value: &Value, zone: &Zone) -> Option<i64> {
    match value {
        Value::Number(number) => date::from_number(*number),
        Value::Bool(value) => Some(i64::from(*value)),
        Value::String(text) => date::parse(&text.to_string_lossy(), zone),
        // An array becomes the text of its items. Node would read longer ones, too, of which some are dates.
        Value::Array(items) => match items.as_slice() {
            [Value::String(text)] => date::parse(&text.to_string_lossy(), zone),
            [Value::Number(number)] => date::parse(ryu_js::Buffer::new().format(*number), zone),
            _ => None,
        },
        _ => None,
    }
}

/// `value || 0` as an operand of `+`. Texts, which Node would join instead of adding, count as nothing.
fn count(value: &Value) -> f64 {
    match value {
        Value::Number(number) if *number != 0.0 => *number,
        Value::Bool(true) => 1.0,
        _ => 0.0,
    }
}

fn session(value: Option<&Value>) -> Session {
    match value {
        None | Some(Value::Undefined) => Session::Absent,
        Some(Value::Null) => Session::Null,
        Some(Value::Bool(value)) => Session::Bool(*value),
        // A `Set` takes -0 for 0.
        Some(Value::Number(number)) => Session::Number((*number + 0.0).to_bits()),
        Some(Value::String(text)) => Session::Text(text.clone()),
        Some(other) => Session::Other(js_json::stringify(other).unwrap_or_default()),
    }
}
