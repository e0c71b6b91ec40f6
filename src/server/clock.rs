//! The `Date` of answers that come without one. hyper's own stands still after the clock of the system was put back, until
//! the old time comes again.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// Writes the date once a second, for one thread.
#[derive(Debug)]
pub(super) struct Clock(Mutex<(u64, HeaderValue)>);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Mutex::new((0, written(0))))
    }

    /// The time of the system as a date of HTTP (RFC 9110 §5.6.7).
    pub(super) fn date(&self) -> HeaderValue {
        self.date_at(SystemTime::now())
    }

    fn date_at(&self, now: SystemTime) -> HeaderValue {
        let second = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != second {
            *last = (second, written(second));
        }
        last.1.clone()
    }
}

fn written(second: u64) -> HeaderValue {
    let second = i64::try_from(second).ok();
    let time = second.and_then(|second| Timestamp::from_second(second).ok());
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&time.unwrap_or_default());
    date.ok()
        .and_then(|date| HeaderValue::try_from(date).ok())
        .unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_date_follows_the_clock_both_ways() {
        let clock = Clock::new();
        let noon = UNIX_EPOCH + Duration::from_secs(1_796_126_400);
        for (time, date) in [
            (noon, "Tue, 01 Dec 2026 12:00:00 GMT"),
            (
                noon + Duration::from_millis(999),
                "Tue, 01 Dec 2026 12:00:00 GMT",
            ),
            (
                noon + Duration::from_secs(1),
                "Tue, 01 Dec 2026 12:00:01 GMT",
            ),
            (
                noon - Duration::from_secs(3600),
                "Tue, 01 Dec 2026 11:00:00 GMT",
            ),
            (UNIX_EPOCH, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (
                UNIX_EPOCH - Duration::from_secs(1),
                "Thu, 01 Jan 1970 00:00:00 GMT",
            ),
        ] {
            assert_eq!(clock.date_at(time), date);
        }
    }
}
