//! GET /api/v2/daily and /api/v2/daily/{date}.

use serde::Serialize;

use super::super::answer::{Answer, Thrown};
use super::super::date::{self, MILLISECONDS_A_DAY, day_text};
use super::super::number::parse_int;
use super::super::page::{Page, Pagination};
use super::super::query::{Query, Value};
use super::super::zone::{Clock, Zone};
use super::totals::{Day, Distinct, Sums};
use super::view::View;

const MILLISECONDS_AN_HOUR: i64 = 3_600_000;

/// Which days are asked for.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) page: Page,
    pub(super) start: Bound,
    pub(super) end: Bound,
    pub(super) hours: Hours,
}

/// `startDate` or `endDate`
#[derive(Debug, Clone, Default)]
pub(super) struct Bound {
    /// As it was given.
    pub(super) text: String,
    /// Nothing for what is no date: it bounds nothing.
    time: Option<i64>,
}

/// `startHour` and `endHour`. NaN is within no bounds, and beyond none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hours {
    pub(super) start: Option<f64>,
    pub(super) end: Option<f64>,
}

/// A day in the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row<'t> {
    date: &'t str,
    input_tokens: f64,
    output_tokens: f64,
    cached_tokens: f64,
    total_tokens: f64,
    cost: &'t str,
    sessions: u64,
    new_input_tokens: f64,
    cache_creation_tokens: f64,
    cache_read_tokens: f64,
}

/// A day of which only some hours count.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FilteredRow {
    date: String,
    input_tokens: f64,
    output_tokens: f64,
    cached_tokens: f64,
    total_tokens: f64,
    cost: f64,
    new_input_tokens: f64,
    cache_creation_tokens: f64,
    cache_read_tokens: f64,
    session_count: usize,
}

#[derive(Serialize)]
struct List<R> {
    data: Vec<R>,
    pagination: Pagination,
}

impl Filter {
    /// # Errors
    /// The 400 for what is out of range.
    pub(super) fn parse(query: &Query, zone: &Zone) -> Result<Self, Answer> {
        // All are read before any is checked: what cannot be read throws, also beside a page that is refused.
        let hours = Hours {
            start: hour(query, "startHour")?,
            end: hour(query, "endHour")?,
        };
        let page = Page::of(query, 50, 1000)?;
        #[expect(
            clippy::manual_range_contains,
            reason = "NaN is not within the range, and passes"
        )]
        let is_outside = |hour: Option<f64>| hour.is_some_and(|hour| hour < 0.0 || hour > 23.0);
        if is_outside(hours.start) || is_outside(hours.end) {
            return Err(Answer::bad_request(
                "Invalid time range",
                "Hours must be between 0 and 23",
            ));
        }
        Ok(Self {
            page,
            start: Bound::parse(query, "startDate", zone)?,
            end: Bound::parse(query, "endDate", zone)?,
            hours,
        })
    }

    /// Node compares the beginning of a day, in UTC, with the moments.
    fn has_day(&self, number: i64) -> bool {
        let begin = number * MILLISECONDS_A_DAY;
        self.start.time.is_none_or(|start| begin >= start)
            && self.end.time.is_none_or(|end| begin <= end)
    }

    /// What Node's cache knows the answer by: hour 0, and what is no number, are as if no hour were given, and the date
    /// `all` as if there were none.
    pub(super) fn key(&self) -> String {
        let Self {
            page,
            start,
            end,
            hours,
        } = self;
        let hour = |hour: Option<f64>| hour.filter(|hour| *hour != 0.0 && !hour.is_nan());
        let date = |bound: &Bound| match bound.text.as_str() {
            "" => "all".to_owned(),
            text => text.to_owned(),
        };
        // `Debug` of a text is unambiguous.
        format!(
            "{page:?} {:?} {:?} {:?} {:?}",
            date(start),
            date(end),
            hour(hours.start),
            hour(hours.end)
        )
    }
}

impl Bound {
    fn parse(query: &Query, name: &str, zone: &Zone) -> Result<Self, Thrown> {
        let Some(value) = query.get(name).filter(|value| value.is_truthy()) else {
            return Ok(Self::default());
        };
        let text = value.to_text()?.into_owned();
        let time = date::parse(&text, zone);
        Ok(Self { text, time })
    }
}

impl Hours {
    pub(super) fn are_given(self) -> bool {
        self.start.is_some() || self.end.is_some()
    }

    fn have(self, hour: i64) -> bool {
        let hour = hour as f64;
        !self.start.is_some_and(|start| hour < start) && !self.end.is_some_and(|end| hour > end)
    }
}

/// `parseInt(query[name])`
fn hour(query: &Query, name: &str) -> Result<Option<f64>, Thrown> {
    let value = query.get(name).filter(|value| value.is_truthy());
    let text = value.map(Value::to_text).transpose()?;
    Ok(text.map(|text| parse_int(&text)))
}

/// The list.
pub(super) fn list(view: &View, filter: &Filter) -> Answer {
    if filter.hours.are_given() {
        if view.is_poisoned() {
            return Thrown::new("Invalid time value").into();
        }
        return view
            .kept()
            .get(format!("daily {filter:?}"), || list_of_hours(view, filter));
    }
    let days: Vec<&Day> = view
        .days()
        .iter()
        .filter(|day| filter.has_day(day.number))
        .collect();
    let page = filter.page.of_items(&days).iter();
    Answer::json(&List {
        data: page.map(|day| Row::of(day)).collect(),
        pagination: filter.page.pagination(days.len()),
    })
}

fn list_of_hours(view: &View, filter: &Filter) -> Answer {
    let days = days_of_hours(view, filter);
    let page = filter.page.of_items(&days).iter();
    let row = |day: &DayOfHours| {
        let sums = &day.sums;
        FilteredRow {
            date: day_text(day.number),
            input_tokens: sums.input,
            output_tokens: sums.output,
            cached_tokens: sums.cached,
            total_tokens: sums.total,
            cost: sums.cost,
            new_input_tokens: sums.new_input,
            cache_creation_tokens: sums.cache_creation,
            cache_read_tokens: sums.cache_read,
            session_count: day.sessions.clone().count(),
        }
    };
    Answer::json(&List {
        data: page.map(row).collect(),
        pagination: filter.page.pagination(days.len()),
    })
}

/// Some hours of a day.
struct DayOfHours {
    number: i64,
    sums: Sums,
    sessions: Distinct,
}

/// The days that have something in the wanted hours. They are added up in the order of time.
fn days_of_hours(view: &View, filter: &Filter) -> Vec<DayOfHours> {
    let mut days: Vec<DayOfHours> = Vec::new();
    let mut clock = Clock::new(view.zone());
    let mut last = (i64::MIN, false);
    for detail in view.details() {
        let Some(time) = detail.time else { continue };
        let number = time.div_euclid(MILLISECONDS_A_DAY);
        if number != last.0 {
            last = (number, filter.has_day(number));
        }
        let hour = clock.local(time).rem_euclid(MILLISECONDS_A_DAY) / MILLISECONDS_AN_HOUR;
        if !last.1 || !filter.hours.have(hour) {
            continue;
        }
        if days.last().is_none_or(|day| day.number != number) {
            days.push(DayOfHours {
                number,
                sums: Sums::default(),
                sessions: Distinct::default(),
            });
        }
        let Some(day) = days.last_mut() else { continue };
        day.sums += &detail.sums;
        if view.is_session(detail.session) {
            day.sessions.insert(detail.session);
        }
    }
    days
}

/// The 400 for what JavaScript takes for no date at all.
pub(super) fn check_date(date: &str, zone: &Zone) -> Result<(), Answer> {
    match date::parse(date, zone) {
        Some(_) => Ok(()),
        None => Err(Answer::bad_request(
            "Invalid date format",
            "Date must be in YYYY-MM-DD format",
        )),
    }
}

/// One day.
pub(super) fn one(view: &View, date: &str) -> Answer {
    match view.days().iter().find(|day| day.date == date) {
        Some(day) => Answer::json(&Row::of(day)),
        None => Answer::not_found("Data not found", &format!("No usage data found for {date}")),
    }
}

impl<'t> Row<'t> {
    pub(super) fn of(day: &'t Day) -> Self {
        let Sums {
            input,
            output,
            cached,
            total,
            new_input,
            cache_creation,
            cache_read,
            ..
        } = day.sums;
        Self {
            date: &day.date,
            input_tokens: input,
            output_tokens: output,
            cached_tokens: cached,
            total_tokens: total,
            cost: &day.cost,
            sessions: day.sessions,
            new_input_tokens: new_input,
            cache_creation_tokens: cache_creation,
            cache_read_tokens: cache_read,
        }
    }
}
