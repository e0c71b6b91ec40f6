//! `page` and `limit` of the list endpoints, and the object that says where a page stands.

use serde::Serialize;

use super::answer::{Answer, Thrown};
use super::number::parse_int;
use super::query::{Query, Value};

/// A page that was asked for. Both numbers are whole or infinite, and at least 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Page {
    number: f64,
    limit: f64,
}

/// The `pagination` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pagination {
    current_page: f64,
    total_pages: f64,
    total_items: usize,
    items_per_page: f64,
    has_next: bool,
    has_prev: bool,
}

impl Page {
    /// Reads `page` and `limit`. What is no number, and 0, counts as left out.
    ///
    /// # Errors
    /// The 400 for what is negative, or above `largest`.
    pub(super) fn of(query: &Query, default: u16, largest: u16) -> Result<Self, Answer> {
        let number = integer(query, "page")?.unwrap_or(1.0);
        let limit = integer(query, "limit")?.unwrap_or(f64::from(default));
        if number < 1.0 || limit < 1.0 || limit > f64::from(largest) {
            return Err(Answer::bad_request(
                "Invalid pagination parameters",
                &format!("Page must be >= 1, limit must be between 1 and {largest}"),
            ));
        }
        Ok(Self { number, limit })
    }

    /// The items of this page, of all of them.
    pub(super) fn of_items<T>(self, all: &[T]) -> &[T] {
        // Casts saturate: a page far beyond the end is empty.
        let start = ((self.number - 1.0) * self.limit) as usize;
        let start = start.min(all.len());
        let end = start.saturating_add(self.limit as usize).min(all.len());
        &all[start..end]
    }

    /// Where this page stands among so many items.
    pub(super) fn pagination(self, total: usize) -> Pagination {
        let items = total as f64;
        Pagination {
            current_page: self.number,
            total_pages: (items / self.limit).ceil(),
            total_items: total,
            items_per_page: self.limit,
            has_next: self.number * self.limit < items,
            has_prev: self.number > 1.0,
        }
    }
}

/// `parseInt(query[name]) || undefined`
fn integer(query: &Query, name: &str) -> Result<Option<f64>, Thrown> {
    let text = query.get(name).map(Value::to_text).transpose()?;
    let number = text.map(|text| parse_int(&text));
    Ok(number.filter(|number| *number != 0.0 && !number.is_nan()))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn page(query: &str) -> Result<Page, Answer> {
        Page::of(&Query::parse(Some(query)), 50, 1000)
    }

    #[test]
    fn only_negative_numbers_and_large_limits_are_refused() {
        for (query, number, limit) in [
            ("", 1.0, 50.0),
            ("page=0&limit=0", 1.0, 50.0),
            ("page=&limit=x", 1.0, 50.0),
            ("page=2abc&limit=1.9", 2.0, 1.0),
            ("page=0x2&limit=1e9", 2.0, 1.0),
            ("limit=1&limit=3", 1.0, 1.0),
            ("limit[]=7&page[a]=2", 1.0, 7.0),
            ("page=+3&limit=1000", 3.0, 1000.0),
        ] {
            assert_eq!(page(query), Ok(Page { number, limit }), "{query}");
        }
        let refusal = Answer::bad_request(
            "Invalid pagination parameters",
            "Page must be >= 1, limit must be between 1 and 1000",
        );
        for query in ["page=-1", "limit=-1", "limit=1001", "page=-0x1"] {
            assert_eq!(page(query), Err(refusal.clone()), "{query}");
        }
        let thrown = page("page[toString]=1").unwrap_err();
        assert!(
            matches!(thrown, Answer::Thrown(Thrown { status, .. }) if status == StatusCode::INTERNAL_SERVER_ERROR)
        );
    }

    #[test]
    fn pages_say_where_they_stand() {
        let text = |page: Page, total| {
            let items: Vec<usize> = (0..total).collect();
            let body = (page.of_items(&items), page.pagination(total));
            String::from_utf8(strangler::express::json_text(&body).unwrap()).unwrap()
        };
        assert_eq!(
            text(page("page=2&limit=3").unwrap(), 7),
            r#"[[3,4,5],{"currentPage":2,"totalPages":3,"totalItems":7,"itemsPerPage":3,"hasNext":true,"hasPrev":true}]"#
        );
        assert_eq!(
            text(page("").unwrap(), 0),
            r#"[[],{"currentPage":1,"totalPages":0,"totalItems":0,"itemsPerPage":50,"hasNext":false,"hasPrev":false}]"#
        );
        let far = format!("page={}", "9".repeat(400));
        assert_eq!(
            text(page(&far).unwrap(), 1),
            r#"[[],{"currentPage":null,"totalPages":1,"totalItems":1,"itemsPerPage":50,"hasNext":false,"hasPrev":true}]"#
        );
        assert_eq!(
            text(page("page=1000000000000000000000000").unwrap(), 1),
            r#"[[],{"currentPage":1e+24,"totalPages":1,"totalItems":1,"itemsPerPage":50,"hasNext":false,"hasPrev":true}]"#
        );
    }
}
