//! The sums of a tree, by day, month, model and project, each on its own: after a change nobody waits for what he did not
//! ask for. Floating point sums depend on the order of their terms: it is projects and files by name, then lines, one
//! after the other.

use std::hash::Hash;
use std::ops::AddAssign;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::super::date::{MILLISECONDS_A_DAY, civil_from_days, day_text};
use super::super::index::Snapshot;
use super::super::index::record::{Activity, Moment, Record, Tokens};
use super::super::money::{Price, to_fixed};
use super::super::zone::{Clock, Zone};
use super::keys::{Keys, Numbers};
use strangler::js_json::Text;

/// The amounts of one line, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) input: f64,
    pub(crate) output: f64,
    pub(crate) cached: f64,
    pub(crate) total: f64,
    pub(crate) cost: f64,
    pub(crate) new_input: f64,
    pub(crate) cache_creation: f64,
    pub(crate) cache_read: f64,
}

#[derive(Debug)]
pub(crate) struct Day {
    /// Counted from 1970.
    pub(crate) number: i64,
    pub(crate) date: String,
    pub(crate) sums: Sums,
    pub(crate) cost: String,
    pub(crate) sessions: u64,
}

#[derive(Debug)]
pub(crate) struct Month {
    pub(crate) month: String,
    pub(crate) sums: Sums,
    pub(crate) cost: String,
    pub(crate) sessions: u64,
    pub(crate) messages: u64,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) model: Text,
    pub(crate) sums: Sums,
    pub(crate) cost: String,
    pub(crate) messages: u64,
    pub(crate) sessions: u64,
}

#[derive(Debug)]
pub(crate) struct ProjectTotals {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) total_tokens: f64,
    pub(crate) total_cost: String,
    pub(crate) message_count: u64,
    pub(crate) activity: Activity,
}

/// What is being added up for one day, month or model.
#[derive(Debug, Default)]
struct Bucket {
    sums: Sums,
    messages: u64,
    sessions: Distinct,
}

/// Numbers to be counted once each, as a list of their runs: mostly shorter than a set, and at most as long as the lines are
/// many.
#[derive(Debug, Default, Clone)]
pub(super) struct Distinct(Vec<u32>);

impl Sums {
    /// The amounts of a line, added in Node's order.
    pub(crate) fn of(tokens: &Tokens, price: Price) -> Self {
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
    pub(super) fn insert(&mut self, value: u32) {
        if self.0.last() != Some(&value) {
            self.0.push(value);
        }
    }

    pub(super) fn count(mut self) -> usize {
        self.0.sort_unstable();
        self.0.dedup();
        self.0.len()
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
pub(super) struct Buckets<K, B> {
    pub(super) all: Vec<(K, B)>,
    places: HashMap<K, usize>,
    last: usize,
}

impl<K: Copy + Eq + Hash, B: Default> Buckets<K, B> {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            places: HashMap::new(),
            last: 0,
        }
    }

    pub(super) fn get(&mut self, key: K) -> &mut B {
        if self.all.get(self.last).is_none_or(|(last, _)| *last != key) {
            self.last = *self.places.entry(key).or_insert_with(|| {
                self.all.push((key, B::default()));
                self.all.len() - 1
            });
        }
        &mut self.all[self.last].1
    }
}

/// A line that is added up.
struct Line {
    /// Milliseconds since 1970; nothing where the line does not say.
    time: Option<i64>,
    sums: Sums,
    /// One that counts.
    session: Option<u32>,
    model: Option<usize>,
}

/// The lines of some files with usage. Those whose timestamp is no date count nowhere.
fn lines<'r>(
    records: impl Iterator<Item = (&'r Arc<Record>, &'r Numbers)>,
    keys: &Keys,
) -> impl Iterator<Item = Line> {
    records.flat_map(move |(record, numbers)| {
        record.uses().filter_map(move |line| {
            let time = match line.moment {
                Moment::Invalid => return None,
                Moment::None => None,
                Moment::At(time) => Some(time),
            };
            let model = line.model.map(|model| numbers.models[model] as usize);
            let session = numbers.sessions[line.session];
            Some(Line {
                time,
                sums: Sums::of(&line.tokens, keys.price(model)),
                session: keys.is_session(session).then_some(session),
                model,
            })
        })
    })
}

/// The days, ascending, of the whole tree or of one project; and how many sessions they have together.
pub(super) fn days(snapshot: &Snapshot, keys: &Keys, only: Option<&str>) -> (Vec<Day>, u64) {
    let mut buckets: Buckets<i64, Bucket> = Buckets::new();
    let mut all = Distinct::default();
    let projects = keys.by_project(snapshot);
    projects
        .filter(|(project, _)| only.is_none_or(|only| only == project.name))
        .flat_map(|(project, numbers)| lines(project.records.iter().zip(numbers), keys))
        .for_each(|line| {
            let Some(time) = line.time else { return };
            let day = time.div_euclid(MILLISECONDS_A_DAY);
            buckets.get(day).add(&line.sums, line.session);
            if let Some(session) = line.session {
                all.insert(session);
            }
        });
    let days = buckets.all.into_iter().map(|(number, bucket)| Day {
        number,
        date: day_text(number),
        cost: to_fixed(bucket.sums.cost, 4),
        sessions: bucket.sessions.count() as u64,
        sums: bucket.sums,
    });
    let mut days: Vec<_> = days.collect();
    days.sort_by_key(|day| day.number);
    (days, all.count() as u64)
}

/// The months, ascending.
pub(super) fn months(snapshot: &Snapshot, keys: &Keys, zone: &Zone) -> Vec<Month> {
    let mut clock = Clock::new(zone);
    let mut buckets: Buckets<(i64, u32), Bucket> = Buckets::new();
    let mut last = (i64::MIN, (0, 0));
    lines(snapshot.records().zip(&keys.files), keys).for_each(|line| {
        let Some(time) = line.time else { return };
        let day = clock.local(time).div_euclid(MILLISECONDS_A_DAY);
        if day != last.0 {
            let (year, month, _) = civil_from_days(day);
            last = (day, (year, month));
        }
        buckets.get(last.1).add(&line.sums, line.session);
    });
    let months = buckets
        .all
        .into_iter()
        .map(|((year, month), bucket)| Month {
            month: format!("{year}-{month:02}"),
            cost: to_fixed(bucket.sums.cost, 4),
            sessions: bucket.sessions.count() as u64,
            messages: bucket.messages,
            sums: bucket.sums,
        });
    let mut months: Vec<_> = months.collect();
    months.sort_by(|first, second| first.month.cmp(&second.month));
    months
}

/// The models: the most tokens first, of equal ones the one seen first.
pub(super) fn models(snapshot: &Snapshot, keys: &Keys) -> Vec<Model> {
    let mut buckets: Buckets<usize, Bucket> = Buckets::new();
    lines(snapshot.records().zip(&keys.files), keys).for_each(|line| {
        if let Some(model) = line.model {
            buckets.get(model).add(&line.sums, line.session);
        }
    });
    let models = buckets.all.into_iter().map(|(number, bucket)| Model {
        model: keys.model(number).clone(),
        cost: to_fixed(bucket.sums.cost, 4),
        messages: bucket.messages,
        sessions: bucket.sessions.count() as u64,
        sums: bucket.sums,
    });
    let mut models: Vec<_> = models.collect();
    models.sort_by(|first, second| descending(first.sums.total, second.sums.total));
    models
}

/// The projects by name.
pub(super) fn projects(snapshot: &Snapshot, keys: &Keys) -> Vec<ProjectTotals> {
    let projects = keys.by_project(snapshot).map(|(project, numbers)| {
        let (mut total_tokens, mut total_cost) = (0.0, 0.0);
        lines(project.records.iter().zip(numbers), keys).for_each(|line| {
            total_tokens += line.sums.total;
            total_cost += line.sums.cost;
        });
        let facts = || project.records.iter().map(|record| record.facts);
        ProjectTotals {
            name: project.name.clone(),
            path: project.path.to_string_lossy().into_owned(),
            total_tokens,
            total_cost: to_fixed(total_cost, 4),
            message_count: facts().map(|facts| facts.messages).sum(),
            activity: facts().fold(Activity::default(), |activity, facts| {
                activity.then(facts.activity)
            }),
        }
    });
    projects.collect()
}

/// `(a, b) => b - a`; what cannot be compared is equal.
pub(crate) fn descending(first: f64, second: f64) -> std::cmp::Ordering {
    second
        .partial_cmp(&first)
        .unwrap_or(std::cmp::Ordering::Equal)
}
