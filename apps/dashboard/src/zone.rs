//! The local time of the server. The rules come with the program, so that machines without a zone database agree with
//! Node, which brings its own as well.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use super::date::{MILLISECONDS_A_DAY, civil_from_days, days_from_civil};

/// Years repeat after this many days, weekdays and all.
const GREGORIAN_CYCLE: i64 = 146_097 * MILLISECONDS_A_DAY;

/// A time zone with its past and future rules.
#[derive(Debug, Clone)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// The one that `TZ` names, else that of the machine, else UTC.
    pub(crate) fn from_environment() -> Self {
        Self(TimeZone::system())
    }

    /// By its IANA name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// Milliseconds to add to a time of UTC. In years that the library does not know the first rule of all holds, or the
    /// last ones, which repeat.
    pub(super) fn offset(&self, time: i64) -> i64 {
        let near = Timestamp::from_millisecond(time).unwrap_or_else(|_| {
            let near = time.rem_euclid(GREGORIAN_CYCLE) + GREGORIAN_CYCLE;
            match Timestamp::from_millisecond(near) {
                Ok(near) if time > 0 => near,
                _ => Timestamp::MIN,
            }
        });
        i64::from(self.0.to_offset(near).seconds()) * 1000
    }

    /// When the clock shows this. What it skips in spring is an hour later, and of what it shows twice in autumn the
    /// first is meant, as JavaScript has it.
    pub(super) fn instant(&self, local: i64) -> i64 {
        let days = local.div_euclid(MILLISECONDS_A_DAY);
        let (year, month, day) = civil_from_days(days);
        let near = match year {
            ..-9000 => return local - self.offset(local),
            -9000..=9000 => year,
            // The same day of a year that the library knows.
            _ => year.rem_euclid(400) + 2400,
        };
        let moved = (days_from_civil(near, month, day) - days) * MILLISECONDS_A_DAY;
        let date = civil::Date::new(near as i16, month as i8, day as i8);
        let milliseconds = local.rem_euclid(MILLISECONDS_A_DAY);
        let nanoseconds = civil::Time::midnight()
            .checked_add(std::time::Duration::from_millis(milliseconds as u64));
        let (Ok(date), Ok(time)) = (date, nanoseconds) else {
            return local;
        };
        match self.0.to_timestamp(date.to_datetime(time)) {
            Ok(instant) => instant.as_millisecond() - moved,
            Err(_) => local,
        }
    }
}

/// Remembers between which changes of the clock the last time lay: the zones of neighbouring times are the same.
#[derive(Debug)]
pub(super) struct Clock<'z> {
    zone: &'z Zone,
    from: i64,
    until: i64,
    offset: i64,
}

impl<'z> Clock<'z> {
    pub(super) fn new(zone: &'z Zone) -> Self {
        Self {
            zone,
            from: 0,
            until: 0,
            offset: 0,
        }
    }

    /// What the clock shows.
    pub(super) fn local(&mut self, time: i64) -> i64 {
        if !(self.from..self.until).contains(&time) {
            self.look_up(time);
        }
        time + self.offset
    }

    fn look_up(&mut self, time: i64) {
        self.offset = self.zone.offset(time);
        (self.from, self.until) = (time, time + 1);
        if let Ok(instant) = Timestamp::from_millisecond(time) {
            let zone = &self.zone.0;
            // `preceding` begins before its argument, and a change belongs to what follows it.
            let after = Timestamp::from_millisecond(time + 1).unwrap_or(instant);
            let before = zone.preceding(after).next();
            let next = zone.following(instant).next();
            self.from = before.map_or(i64::MIN, |change| change.timestamp().as_millisecond());
            self.until = next.map_or(i64::MAX, |change| change.timestamp().as_millisecond());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::date::parse_utc;

    fn utc(text: &str) -> i64 {
        parse_utc(text)
    }

    #[test]
    fn clocks_agree_with_their_zone() {
        for name in [
            "America/New_York",
            "Asia/Tokyo",
            "UTC",
            "Australia/Lord_Howe",
        ] {
            let zone = Zone::named(name).expect("a bundled zone");
            let mut clock = Clock::new(&zone);
            let mut time = utc("1960-01-01T00:00:00Z");
            while time < utc("2050-01-01T00:00:00Z") {
                assert_eq!(
                    clock.local(time),
                    time + zone.offset(time),
                    "{name} at {time}"
                );
                time += 29 * 3_600_000 + 1;
            }
        }
    }

    #[test]
    fn skipped_times_are_later_and_repeated_ones_the_first() {
        let zone = Zone::named("America/New_York").expect("a bundled zone");
        for (local, instant) in [
            ("2025-03-09T02:30:00Z", "2025-03-09T07:30:00Z"),
            ("2025-11-02T01:30:00Z", "2025-11-02T05:30:00Z"),
            ("2025-11-02T02:00:00Z", "2025-11-02T07:00:00Z"),
            ("+012025-07-01T00:00:00Z", "+012025-07-01T04:00:00Z"),
        ] {
            assert_eq!(zone.instant(utc(local)), utc(instant), "{local}");
        }
    }
}
