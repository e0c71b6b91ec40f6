//! GET /api/v2/hourly: local hours of days of UTC.

use http::StatusCode;
use serde::Serialize;

use super::super::answer::Answer;
use super::super::date::{MILLISECONDS_A_DAY, day_text};
use super::super::query::{Query, Value};
use super::super::zone::Clock;
use super::sum;
use super::totals::{Buckets, Distinct, Sums};
use super::view::View;

const HOURS: usize = 24;
const MILLISECONDS_AN_HOUR: i64 = 3_600_000;

/// Which days count.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filter {
    date: Day,
    start: Day,
    end: Day,
}

#[derive(Debug, Clone, PartialEq)]
enum Day {
    Any,
    /// Units of UTF-16.
    Text(Vec<u16>),
    /// A list is never `===` a text, while `<` makes a text of it, and Node's cache too.
    Never(String),
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Hour {
    hour: usize,
    input_tokens: f64,
    output_tokens: f64,
    cached_tokens: f64,
    total_tokens: f64,
    cost: f64,
    sessions: usize,
    requests: u64,
    avg_cost_per_request: f64,
    avg_tokens_per_request: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cell<'d> {
    date: &'d str,
    hour: usize,
    input_tokens: f64,
    output_tokens: f64,
    cached_tokens: f64,
    total_tokens: f64,
    cost: f64,
    requests: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'d> {
    hourly_data: Vec<Hour>,
    heatmap_data: Vec<Cell<'d>>,
    statistics: Option<Statistics>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    total_cost: f64,
    total_tokens: f64,
    total_requests: f64,
    avg_cost_per_hour: f64,
    avg_tokens_per_hour: f64,
    avg_requests_per_hour: f64,
    peak_cost_hour: CostPeak,
    peak_token_hour: TokenPeak,
    peak_request_hour: RequestPeak,
    morning_usage: f64,
    afternoon_usage: f64,
    evening_usage: f64,
    night_usage: f64,
}

#[derive(Serialize)]
struct CostPeak {
    hour: usize,
    cost: f64,
    percentage: f64,
}

#[derive(Serialize)]
struct TokenPeak {
    hour: usize,
    tokens: f64,
    percentage: f64,
}

#[derive(Serialize)]
struct RequestPeak {
    hour: usize,
    requests: u64,
    percentage: f64,
}

#[derive(Default, Clone)]
struct Bucket {
    sums: Sums,
    requests: u64,
}

impl Filter {
    /// # Errors
    /// The 500 for what has no text to compare with.
    pub(super) fn parse(query: &Query) -> Result<Self, Answer> {
        let date = match query.get("date").filter(|value| value.is_truthy()) {
            None => Day::Any,
            Some(Value::Text(text)) => Day::Text(text.encode_utf16().collect()),
            Some(other) => match other.to_text() {
                Ok(text) => Day::Never(text.into_owned()),
                Err(_) => return Err(failure()),
            },
        };
        let bound = |name| match query.get(name).filter(|value| value.is_truthy()) {
            None => Ok(Day::Any),
            Some(value) => match value.to_text() {
                Ok(text) => Ok(Day::Text(text.encode_utf16().collect())),
                Err(_) => Err(failure()),
            },
        };
        Ok(Self {
            date,
            start: bound("startDate")?,
            end: bound("endDate")?,
        })
    }

    /// What Node's cache knows the answer by: `all` is no date, and a list is as the text of its items.
    pub(super) fn key(&self) -> String {
        let text = |day: &Day, absent: &str| match day {
            Day::Any => absent.to_owned(),
            Day::Text(text) => String::from_utf16_lossy(text),
            Day::Never(text) => text.clone(),
        };
        format!(
            "{:?} {:?} {:?}",
            text(&self.date, "all"),
            text(&self.start, ""),
            text(&self.end, "")
        )
    }

    fn has(&self, date: &str) -> bool {
        let date: Vec<u16> = date.encode_utf16().collect();
        let is = |day: &Day, test: fn(&[u16], &[u16]) -> bool| match day {
            Day::Any => true,
            Day::Text(text) => test(&date, text),
            Day::Never(_) => false,
        };
        is(&self.date, |date, wanted| date == wanted)
            && is(&self.start, |date, start| date >= start)
            && is(&self.end, |date, end| date <= end)
    }
}

/// 500, as this endpoint says it.
pub(super) fn failure() -> Answer {
    #[derive(Serialize)]
    struct Failure {
        error: &'static str,
    }
    Answer::with_status(
        StatusCode::INTERNAL_SERVER_ERROR,
        &Failure {
            error: "Failed to fetch hourly usage data",
        },
    )
}

/// The whole answer, kept for a while.
pub(super) fn show(view: &View, filter: &Filter) -> Answer {
    view.kept()
        .get(format!("hourly {filter:?}"), || show_anew(view, filter))
}

/// Whether there is an answer that Node would keep.
pub(super) fn has_data(view: &View) -> bool {
    !view.is_poisoned() && view.has_days()
}

fn show_anew(view: &View, filter: &Filter) -> Answer {
    if view.is_poisoned() {
        return failure();
    }
    if !view.has_days() {
        return Answer::json(&Body {
            hourly_data: Vec::new(),
            heatmap_data: Vec::new(),
            statistics: None,
        });
    }
    let mut hours = vec![Bucket::default(); HOURS];
    let mut sessions: Vec<Distinct> = Vec::new();
    sessions.resize_with(HOURS, Distinct::default);
    // The wanted days so far, and by their places in this list what their hours add up to.
    let mut days: Vec<String> = Vec::new();
    let mut cells: Buckets<(usize, usize), Bucket> = Buckets::new();
    let mut last = (i64::MIN, false);
    let mut clock = Clock::new(view.zone());
    for detail in view.details() {
        let Some(time) = detail.time else { continue };
        let day = time.div_euclid(MILLISECONDS_A_DAY);
        if day != last.0 {
            let date = day_text(day);
            last = (day, filter.has(&date));
            if last.1 {
                days.push(date);
            }
        }
        if !last.1 {
            continue;
        }
        let local = clock.local(time).rem_euclid(MILLISECONDS_A_DAY);
        let hour = (local / MILLISECONDS_AN_HOUR) as usize;
        let sums = without_nan(&detail.sums);
        hours[hour].add(&sums);
        cells.get((days.len() - 1, hour)).add(&sums);
        // The missing one counts as well.
        sessions[hour].insert(detail.session);
    }
    let hours: Vec<Hour> = hours
        .iter()
        .zip(sessions)
        .enumerate()
        .map(|(hour, (bucket, sessions))| bucket.hour(hour, sessions))
        .collect();
    let mut cells = cells.all;
    cells.sort_unstable_by_key(|(place, _)| *place);
    let cells = cells
        .into_iter()
        .map(|((day, hour), bucket)| bucket.cell(&days[day], hour));
    Answer::json(&Body {
        heatmap_data: cells.collect(),
        statistics: Some(Statistics::of(&hours)),
        hourly_data: hours,
    })
}

/// What is no number counts as 0 here, unlike in the days' sums.
fn without_nan(sums: &Sums) -> Sums {
    let or_zero = |number: f64| if number.is_nan() { 0.0 } else { number };
    Sums {
        input: or_zero(sums.input),
        output: or_zero(sums.output),
        cached: or_zero(sums.cached),
        total: or_zero(sums.total),
        cost: or_zero(sums.cost),
        ..*sums
    }
}

impl Bucket {
    fn add(&mut self, sums: &Sums) {
        self.sums += sums;
        self.requests += 1;
    }

    fn hour(&self, hour: usize, sessions: Distinct) -> Hour {
        let per_request = |amount: f64| match self.requests {
            0 => 0.0,
            requests => amount / requests as f64,
        };
        Hour {
            hour,
            input_tokens: self.sums.input,
            output_tokens: self.sums.output,
            cached_tokens: self.sums.cached,
            total_tokens: self.sums.total,
            cost: self.sums.cost,
            sessions: sessions.count(),
            requests: self.requests,
            avg_cost_per_request: per_request(self.sums.cost),
            avg_tokens_per_request: per_request(self.sums.total),
        }
    }

    fn cell<'d>(&self, date: &'d str, hour: usize) -> Cell<'d> {
        Cell {
            date,
            hour,
            input_tokens: self.sums.input,
            output_tokens: self.sums.output,
            cached_tokens: self.sums.cached,
            total_tokens: self.sums.total,
            cost: self.sums.cost,
            requests: self.requests,
        }
    }
}

impl Statistics {
    fn of(hours: &[Hour]) -> Self {
        let total_cost = sum(hours.iter().map(|hour| hour.cost));
        let total_tokens = sum(hours.iter().map(|hour| hour.total_tokens));
        let total_requests = sum(hours.iter().map(|hour| hour.requests as f64));
        let cost = first_peak(hours, |hour| hour.cost);
        let tokens = first_peak(hours, |hour| hour.total_tokens);
        let requests = first_peak(hours, |hour| hour.requests as f64);
        let costs = |from: usize| sum(hours[from..from + 6].iter().map(|hour| hour.cost));
        Self {
            total_cost,
            total_tokens,
            total_requests,
            avg_cost_per_hour: total_cost / HOURS as f64,
            avg_tokens_per_hour: total_tokens / HOURS as f64,
            avg_requests_per_hour: total_requests / HOURS as f64,
            peak_cost_hour: CostPeak {
                hour: cost.hour,
                cost: cost.cost,
                percentage: cost.cost / total_cost * 100.0,
            },
            peak_token_hour: TokenPeak {
                hour: tokens.hour,
                tokens: tokens.total_tokens,
                percentage: tokens.total_tokens / total_tokens * 100.0,
            },
            peak_request_hour: RequestPeak {
                hour: requests.hour,
                requests: requests.requests,
                percentage: requests.requests as f64 / total_requests * 100.0,
            },
            morning_usage: costs(6),
            afternoon_usage: costs(12),
            evening_usage: costs(18),
            night_usage: costs(0),
        }
    }
}

/// The first of the largest.
fn first_peak(hours: &[Hour], amount: impl Fn(&Hour) -> f64) -> &Hour {
    let mut hours = hours.iter();
    let first = hours.next().expect("a day has hours");
    hours.fold(first, |largest, hour| {
        if amount(hour) > amount(largest) {
            hour
        } else {
            largest
        }
    })
}
