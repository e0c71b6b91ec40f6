//! The sums of a tree, by day, month, model and project. Floating point sums depend on the order of their terms: it is
//! projects and files by name, then lines, one after the other.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::ops::AddAssign;

use super::super::date::{MILLISECONDS_A_DAY, civil_from_days, day_text};
use super::super::index::Snapshot;
use super::super::index::record::{Activity, Moment, Session, Tokens};
use super::super::money::{Price, to_fixed};
use super::super::zone::{Clock, Zone};
use crate::native::js_json::Text;

/// Everything that the lists show.
#[derive(Debug, Default)]
pub(in crate::apps::dashboard) struct Totals {
    /// Ascending.
    pub(in crate::apps::dashboard) days: Vec<Day>,
    /// Ascending.
    pub(in crate::apps::dashboard) months: Vec<Month>,
    /// The most tokens first; of equal ones the one seen first.
    pub(in crate::apps::dashboard) models: Vec<Model>,
    /// By name.
    pub(in crate::apps::dashboard) projects: Vec<ProjectTotals>,
    /// Distinct sessions of all days.
    pub(in crate::apps::dashboard) conversations: u64,
    /// Whether a line with usage has a timestamp that is no date, at which Node throws in some places.
    pub(in crate::apps::dashboard) is_poisoned: bool,
}

/// The amounts of one line, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::apps::dashboard) struct Sums {
    pub(in crate::apps::dashboard) input: f64,
    pub(in crate::apps::dashboard) output: f64,
    pub(in crate::apps::dashboard) cached: f64,
    pub(in crate::apps::dashboard) total: f64,
    pub(in crate::apps::dashboard) cost: f64,
    pub(in crate::apps::dashboard) new_input: f64,
    pub(in crate::apps::dashboard) cache_creation: f64,
    pub(in crate::apps::dashboard) cache_read: f64,
}

#[derive(Debug)]
pub(in crate::apps::dashboard) struct Day {
    /// Counted from 1970.
    pub(in crate::apps::dashboard) number: i64,
    pub(in crate::apps::dashboard) date: String,
    pub(in crate::apps::dashboard) sums: Sums,
    pub(in crate::apps::dashboard) cost: String,
    pub(in crate::apps::dashboard) sessions: u64,
}

#[derive(Debug)]
pub(in crate::apps::dashboard) struct Month {
    pub(in crate::apps::dashboard) month: String,
    pub(in crate::apps::dashboard) sums: Sums,
    pub(in crate::apps::dashboard) cost: String,
    pub(in crate::apps::dashboard) sessions: u64,
    pub(in crate::apps::dashboard) messages: u64,
}

#[derive(Debug)]
pub(in crate::apps::dashboard) struct Model {
    pub(in crate::apps::dashboard) model: Text,
    pub(in crate::apps::dashboard) sums: Sums,
    pub(in crate::apps::dashboard) cost: String,
    pub(in crate::apps::dashboard) messages: u64,
    pub(in crate::apps::dashboard) sessions: u64,
}

#[derive(Debug)]
pub(in crate::apps::dashboard) struct ProjectTotals {
    pub(in crate::apps::dashboard) name: String,
    pub(in crate::apps::dashboard) path: String,
    pub(in crate::apps::dashboard) total_tokens: f64,
    pub(in crate::apps::dashboard) total_cost: String,
    pub(in crate::apps::dashboard) message_count: u64,
    pub(in crate::apps::dashboard) activity: Activity,
}

/// The tables of one file in terms of the whole tree.
#[derive(Debug)]
pub(in crate::apps::dashboard) struct Keys {
    /// The price of each of its models, and last that of no model.
    pub(in crate::apps::dashboard) prices: Vec<Price>,
    models: Vec<usize>,
    /// A number for each session; equal ones are the same session.
    pub(in crate::apps::dashboard) sessions: Vec<u32>,
    is_session: Vec<bool>,
}

/// What is being added up for one day, month or model.
#[derive(Debug, Default)]
struct Bucket {
    sums: Sums,
    messages: u64,
    sessions: Distinct,
}

/// A set that is quick about the value that it got last.
#[derive(Debug, Default)]
struct Distinct {
    last: Option<u32>,
    all: HashSet<u32>,
}

impl Sums {
    /// The amounts of a line, added in Node's order.
    pub(in crate::apps::dashboard) fn of(tokens: &Tokens, price: Price) -> Self {
        let input = tokens.new_input + tokens.cache_creation;
        Self {
            input,
            output: tokens.output,
            cached: tokens.cache_read,
            total: input + tokens.cache_read + tokens.output,
            cost: tokens.new_input * price.input
                + tokens.cache_read * price.input * 0.1
                + tokens.cache_creation * price.input
                + tokens.output * price.output,
            new_input: tokens.new_input,
            cache_creation: tokens.cache_creation,
            cache_read: tokens.cache_read,
        }
    }
}

impl AddAssign<&Self> for Sums {
    fn add_assign(&mut self, other: &Self) {
        self.input += other.input;
        self.output += other.output;
        self.cached += other.cached;
        self.total += other.total;
        self.cost += other.cost;
        self.new_input += other.new_input;
        self.cache_creation += other.cache_creation;
        self.cache_read += other.cache_read;
    }
}

impl Distinct {
    fn insert(&mut self, value: u32) {
        if self.last != Some(value) {
            self.last = Some(value);
            self.all.insert(value);
        }
    }

    fn count(&self) -> u64 {
        self.all.len() as u64
    }
}

impl Bucket {
    fn add(&mut self, sums: &Sums, session: Option<u32>) {
        self.sums += sums;
        self.messages += 1;
        if let Some(session) = session {
            self.sessions.insert(session);
        }
    }
}

/// Buckets by key, in the order in which they came, and quick about the one that was asked for last.
#[derive(Debug)]
struct Buckets<K> {
    all: Vec<(K, Bucket)>,
    places: HashMap<K, usize>,
    last: usize,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    fn new() -> Self {
        Self {
            all: Vec::new(),
            places: HashMap::new(),
            last: 0,
        }
    }

    fn get(&mut self, key: K) -> &mut Bucket {
        if self.all.get(self.last).is_none_or(|(last, _)| *last != key) {
            self.last = *self.places.entry(key).or_insert_with(|| {
                self.all.push((key, Bucket::default()));
                self.all.len() - 1
            });
        }
        &mut self.all[self.last].1
    }
}

/// Numbers for what is equal.
#[derive(Debug)]
struct Numbers<T> {
    known: HashMap<T, u32>,
    next: u32,
}

impl<T> Numbers<T> {
    fn new() -> Self {
        Self {
            known: HashMap::new(),
            next: 0,
        }
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }
}

impl<T: Eq + Hash> Numbers<T> {
    fn of(&mut self, value: T) -> u32 {
        let next = self.next;
        let number = *self.known.entry(value).or_insert(next);
        self.next = next.max(number + 1);
        number
    }
}

/// The tables of all files, in their order.
pub(in crate::apps::dashboard) fn keys(snapshot: &Snapshot) -> Vec<Keys> {
    let mut sessions = Numbers::new();
    let mut models = Numbers::new();
    snapshot
        .files()
        .map(|file| {
            let record = &file.record;
            let number = |session| match session {
                // No object is like another.
                &Session::Other(_) => sessions.fresh(),
                session => sessions.of(session),
            };
            let no_model = Price::of(None);
            Keys {
                sessions: record.sessions.iter().map(number).collect(),
                is_session: record.sessions.iter().map(Session::is_truthy).collect(),
                models: record
                    .models
                    .iter()
                    .map(|model| models.of(model) as usize)
                    .collect(),
                prices: record
                    .models
                    .iter()
                    .map(|model| Price::of(Some(model)))
                    .chain([no_model])
                    .collect(),
            }
        })
        .collect()
}

impl Keys {
    /// The price of a line of the file.
    pub(in crate::apps::dashboard) fn price(&self, model: Option<usize>) -> Price {
        let last = self.prices.len() - 1;
        self.prices[model.unwrap_or(last)]
    }

    /// The number of a session that counts.
    pub(in crate::apps::dashboard) fn session(&self, session: usize) -> Option<u32> {
        self.is_session[session].then(|| self.sessions[session])
    }
}

impl Totals {
    /// Adds up a whole tree, or one project of it.
    pub(in crate::apps::dashboard) fn new(
        snapshot: &Snapshot,
        keys: &[Keys],
        zone: &Zone,
        only: Option<&str>,
    ) -> Self {
        let mut clock = Clock::new(zone);
        let mut days = Buckets::new();
        let mut months = Buckets::new();
        let mut models = Buckets::new();
        let mut names = HashMap::new();
        let mut conversations = Distinct::default();
        let mut projects = Vec::with_capacity(snapshot.projects.len());
        let mut is_poisoned = false;
        let mut keys = keys.iter();
        for project in &snapshot.projects {
            let keys = keys.by_ref().take(project.files.len());
            if only.is_some_and(|only| only != project.name) {
                keys.for_each(drop);
                continue;
            }
            let (mut total_tokens, mut total_cost) = (0.0, 0.0);
            let mut message_count = 0;
            let mut activity = Activity::default();
            for (file, keys) in project.files.iter().zip(keys) {
                let record = &file.record;
                message_count += record.facts.messages;
                activity = activity.then(record.facts.activity);
                for line in record.uses() {
                    let sums = Sums::of(&line.tokens, keys.price(line.model));
                    let session = keys.session(line.session);
                    match line.moment {
                        Moment::Invalid => {
                            is_poisoned = true;
                            continue;
                        }
                        Moment::None => {}
                        Moment::At(time) => {
                            let day = time.div_euclid(MILLISECONDS_A_DAY);
                            days.get(day).add(&sums, session);
                            let local = clock.local(time).div_euclid(MILLISECONDS_A_DAY);
                            months.get(month_of(local)).add(&sums, session);
                            session
                                .into_iter()
                                .for_each(|one| conversations.insert(one));
                        }
                    }
                    if let Some(model) = line.model {
                        let number = keys.models[model];
                        models.get(number).add(&sums, session);
                        names.entry(number).or_insert(&record.models[model]);
                    }
                    total_tokens += sums.total;
                    total_cost += sums.cost;
                }
            }
            projects.push(ProjectTotals {
                name: project.name.clone(),
                path: project.path.to_string_lossy().into_owned(),
                total_tokens,
                total_cost: to_fixed(total_cost, 4),
                message_count,
                activity,
            });
        }

        let models = models.all.into_iter().map(|(number, bucket)| Model {
            model: names[&number].clone(),
            cost: to_fixed(bucket.sums.cost, 4),
            messages: bucket.messages,
            sessions: bucket.sessions.count(),
            sums: bucket.sums,
        });
        let mut models: Vec<_> = models.collect();
        models.sort_by(|first, second| descending(first.sums.total, second.sums.total));
        Self {
            days: finish_days(days),
            months: finish_months(months),
            models,
            projects,
            conversations: conversations.count(),
            is_poisoned,
        }
    }
}

/// `(a, b) => b - a`; what cannot be compared is equal.
pub(in crate::apps::dashboard) fn descending(first: f64, second: f64) -> std::cmp::Ordering {
    second
        .partial_cmp(&first)
        .unwrap_or(std::cmp::Ordering::Equal)
}

fn finish_days(buckets: Buckets<i64>) -> Vec<Day> {
    let days = buckets.all.into_iter().map(|(number, bucket)| Day {
        number,
        date: day_text(number),
        cost: to_fixed(bucket.sums.cost, 4),
        sessions: bucket.sessions.count(),
        sums: bucket.sums,
    });
    let mut days: Vec<_> = days.collect();
    days.sort_by_key(|day| day.number);
    days
}

fn finish_months(buckets: Buckets<(i64, u32)>) -> Vec<Month> {
    let months = buckets
        .all
        .into_iter()
        .map(|((year, month), bucket)| Month {
            month: format!("{year}-{month:02}"),
            cost: to_fixed(bucket.sums.cost, 4),
            sessions: bucket.sessions.count(),
            messages: bucket.messages,
            sums: bucket.sums,
        });
    let mut months: Vec<_> = months.collect();
    months.sort_by(|first, second| first.month.cmp(&second.month));
    months
}

/// Year and month of a local day.
fn month_of(day: i64) -> (i64, u32) {
    let (year, month, _) = civil_from_days(day);
    (year, month)
}
