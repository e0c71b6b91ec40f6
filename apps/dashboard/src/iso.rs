//! Points in time as JavaScript prints them: `Date.prototype.toISOString`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

const DAY: i64 = 86_400_000;

/// The largest time that a `Date` can be, in milliseconds before or after 1970.
const LAST: f64 = 8.64e15;

/// Milliseconds since 1970 as `2025-07-01T20:00:00.000Z`; nothing for what is no valid `Date`, which JSON shows as
/// `null`.
pub(super) fn iso_text(milliseconds: f64) -> Option<String> {
    if milliseconds.is_nan() || milliseconds.abs() > LAST {
        return None;
    }
    let milliseconds = milliseconds as i64;
    let (days, time) = (milliseconds.div_euclid(DAY), milliseconds.rem_euclid(DAY));
    let (year, month, day) = date(days);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    let (seconds, milliseconds) = (time / 1000, time % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!(
        "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"
    ))
}

/// `stats.mtime.getTime()`, which Node rounds to whole milliseconds.
pub(super) fn modified(metadata: &Metadata) -> f64 {
    let milliseconds = metadata.mtime() as f64 * 1e3 + metadata.mtime_nsec() as f64 / 1e6;
    (milliseconds + 0.5).floor()
}

/// `Date.now()`
pub(super) fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since: Duration| since.as_millis() as f64)
}

/// Year, month and day of the Gregorian calendar. Years begin in March here, so that the day which only some years
/// have is their last.
fn date(days: i64) -> (i64, i64, i64) {
    const FOUR_CENTURIES: i64 = 146_097;
    let days = days + 719_468;
    let (cycle, day) = (
        days.div_euclid(FOUR_CENTURIES),
        days.rem_euclid(FOUR_CENTURIES),
    );
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_by_javascript() {
        for (milliseconds, expected) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (-1.0, "1969-12-31T23:59:59.999Z"),
            (1_751_400_000_000.0, "2025-07-01T20:00:00.000Z"),
            (951_782_400_001.0, "2000-02-29T00:00:00.001Z"),
            (4_107_542_399_999.0, "2100-02-28T23:59:59.999Z"),
            (-62_167_219_200_000.0, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001.0, "-000001-12-31T23:59:59.999Z"),
            (253_402_300_800_000.0, "+010000-01-01T00:00:00.000Z"),
            (LAST, "+275760-09-13T00:00:00.000Z"),
            (-LAST, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(
                iso_text(milliseconds).as_deref(),
                Some(expected),
                "{milliseconds}"
            );
        }
        for milliseconds in [f64::NAN, f64::INFINITY, LAST + 1.0] {
            assert_eq!(iso_text(milliseconds), None);
        }
    }
}
