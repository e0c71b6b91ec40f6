//! GET /api/v2/monthly and /api/v2/monthly/{month}.

use serde::Serialize;

use super::super::answer::Answer;
use super::super::page::{Page, Pagination};
use super::super::query::Query;
use super::totals::Month;
use super::view::View;

/// Which months are asked for.
#[derive(Debug)]
pub(super) struct Filter {
    page: Page,
    /// With what a month has to begin.
    year: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'t> {
    month: &'t str,
    input_tokens: f64,
    output_tokens: f64,
    cached_tokens: f64,
    total_tokens: f64,
    cost: &'t str,
    sessions: u64,
    messages: u64,
    new_input_tokens: f64,
    cache_creation_tokens: f64,
    cache_read_tokens: f64,
}

#[derive(Serialize)]
struct List<'t> {
    data: Vec<Row<'t>>,
    pagination: Pagination,
}

impl Filter {
    /// # Errors
    /// The 400 for what is out of range.
    pub(super) fn parse(query: &Query) -> Result<Self, Answer> {
        let page = Page::of(query, 12, 120)?;
        let mut year = String::new();
        if let Some(value) = query.get("year").filter(|value| value.is_truthy()) {
            // `1e3`, `0x7E9` and ` 2025` are numbers, too, though no month begins with them.
            if !(2020.0..=2030.0).contains(&value.to_number()?) {
                return Err(Answer::bad_request(
                    "Invalid year parameter",
                    "Year must be between 2020 and 2030",
                ));
            }
            year = value.to_text()?.into_owned();
        }
        Ok(Self { page, year })
    }
}

/// The list.
pub(super) fn list(view: &View, filter: &Filter) -> Answer {
    let months = view.months().iter();
    let months: Vec<_> = months
        .filter(|month| month.month.starts_with(&filter.year))
        .collect();
    let page = filter.page.of_items(&months).iter();
    Answer::json(&List {
        data: page.map(|month| Row::of(month)).collect(),
        pagination: filter.page.pagination(months.len()),
    })
}

/// The 400 for what is not like `2025-07`.
pub(super) fn check_month(month: &str) -> Result<(), Answer> {
    let is_month = match month.as_bytes() {
        [year @ .., b'-', first, second] => {
            year.len() == 4 && year.iter().chain([first, second]).all(u8::is_ascii_digit)
        }
        _ => false,
    };
    if is_month {
        return Ok(());
    }
    Err(Answer::bad_request(
        "Invalid month format",
        "Month must be in YYYY-MM format",
    ))
}

/// One month.
pub(super) fn one(view: &View, month: &str) -> Answer {
    let months = view.months();
    match months.iter().find(|found| found.month == month) {
        Some(month) => Answer::json(&Row::of(month)),
        None => Answer::not_found(
            "Data not found",
            &format!("No usage data found for {month}"),
        ),
    }
}

impl<'t> Row<'t> {
    fn of(month: &'t Month) -> Self {
        let sums = &month.sums;
        Self {
            month: &month.month,
            input_tokens: sums.input,
            output_tokens: sums.output,
            cached_tokens: sums.cached,
            total_tokens: sums.total,
            cost: &month.cost,
            sessions: month.sessions,
            messages: month.messages,
            new_input_tokens: sums.new_input,
            cache_creation_tokens: sums.cache_creation,
            cache_read_tokens: sums.cache_read,
        }
    }
}
