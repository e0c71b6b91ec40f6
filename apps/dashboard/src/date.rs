//! Dates of JavaScript: milliseconds since 1970, read from any text that `new Date(text)` reads.
//! `parse` is V8's parser.

mod parse;

pub(super) use self::parse::parse;
#[cfg(test)]
pub(super) use self::parse::parse_utc;

/// There are no leap seconds.
pub(super) const MILLISECONDS_A_DAY: i64 = 86_400_000;

/// 100,000,000 days around 1970: what is farther away is an invalid date.
const LAST: f64 = 8.64e15;

/// `new Date(number)`
pub(super) fn from_number(number: f64) -> Option<i64> {
    // NaN is not within any range.
    (-LAST..=LAST).contains(&number).then_some(number as i64)
}

/// The part before the `T` of `toISOString()`, of a day counted from 1970.
pub(super) fn day_text(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => {
            let sign = if year < 0 { '-' } else { '+' };
            format!("{sign}{:06}-{month:02}-{day:02}", year.unsigned_abs())
        }
    }
}

/// Year, month from 1 and day of a day counted from 1970, in the proleptic Gregorian calendar.
pub(super) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    // Years that begin in March have their leap day at the end.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// The other way round. Days beyond the end of a month count on.
pub(super) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from((month + 9) % 12);
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_one_name() {
        for days in (-800_000..3_000_000).step_by(17) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn days_print_as_in_javascript() {
        for (days, text) in [
            (0, "1970-01-01"),
            (20_270, "2025-07-01"),
            (-1, "1969-12-31"),
            (100_000_000, "+275760-09-13"),
            (-100_000_000, "-271821-04-20"),
        ] {
            assert_eq!(day_text(days), text);
        }
        assert_eq!(from_number(8.64e15 + 1.0), None);
        assert_eq!(from_number(-0.9), Some(0));
        assert_eq!(from_number(f64::NAN), None);
    }
}
