//! The cache key of Node's daily list, which holds hour 0, and what is no number, as if no hour were given: of two
//! requests that differ in no more than this, the first one decides for five minutes whether hours are filtered.
//! Reproduced with `compat = "exact"` alone. Answers themselves are not cached.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::daily::{Filter, Hours};

/// How long Node keeps an answer.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);

/// Node keeps all of them; clients choose the keys.
const LARGEST: usize = 10_000;

/// What the first of equal keys asked for.
#[derive(Debug, Default)]
pub(super) struct Trap(Mutex<HashMap<String, First>>);

#[derive(Debug)]
struct First {
    hours: Hours,
    at: Instant,
}

impl Trap {
    /// The filter of the first request that Node takes for the same. One that fails is not remembered.
    pub(super) fn first(&self, filter: Filter, fails: impl Fn(&Filter) -> bool) -> Filter {
        self.first_at(filter, fails, Instant::now())
    }

    fn first_at(
        &self,
        mut filter: Filter,
        fails: impl Fn(&Filter) -> bool,
        now: Instant,
    ) -> Filter {
        let key = key(&filter);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_alive = |first: &First| now.duration_since(first.at) <= TIME_TO_LIVE;
        if let Some(first) = known.get(&key).filter(|first| is_alive(first)) {
            filter.hours = first.hours;
            return filter;
        }
        if fails(&filter) {
            return filter;
        }
        if known.len() >= LARGEST {
            known.retain(|_, first| is_alive(first));
        }
        if known.len() >= LARGEST
            && let Some(oldest) = known.iter().min_by_key(|(_, first)| first.at)
        {
            let oldest = oldest.0.clone();
            known.remove(&oldest);
        }
        let hours = filter.hours;
        known.insert(key, First { hours, at: now });
        filter
    }
}

fn key(filter: &Filter) -> String {
    let Filter {
        page,
        start,
        end,
        hours,
    } = filter;
    let hour = |hour: Option<f64>| hour.filter(|hour| *hour != 0.0 && !hour.is_nan());
    // `Debug` of a text is unambiguous.
    format!(
        "{page:?} {:?} {:?} {:?} {:?}",
        start.text,
        end.text,
        hour(hours.start),
        hour(hours.end)
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::query::Query;
    use super::super::super::zone::Zone;
    use super::*;

    fn filter(query: &str) -> Filter {
        let zone = Zone::named("UTC").expect("a bundled zone");
        Filter::parse(&Query::parse(Some(query)), &zone).expect("good parameters")
    }

    fn are_filtered(trap: &Trap, query: &str, now: Instant) -> bool {
        let first = trap.first_at(filter(query), |_| false, now);
        first.hours.are_given()
    }

    #[test]
    fn the_first_decides_for_five_minutes() {
        let (trap, now) = (Trap::default(), Instant::now());
        assert!(!are_filtered(&trap, "", now));
        assert!(!are_filtered(&trap, "startHour=0", now));
        assert!(!are_filtered(&trap, "startHour=x&endHour=0", now));
        assert!(are_filtered(&trap, "startHour=1", now));
        assert!(are_filtered(&trap, "endHour=0&limit=8", now));
        assert!(are_filtered(&trap, "limit=8abc", now));
        let later = now + TIME_TO_LIVE + Duration::from_millis(1);
        assert!(are_filtered(&trap, "startHour=0", later));
        assert!(are_filtered(&trap, "", later));
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let (trap, now) = (Trap::default(), Instant::now());
        let fails = |filter: &Filter| filter.hours.are_given();
        let first = trap.first_at(filter("startHour=0"), fails, now);
        assert!(first.hours.are_given());
        assert!(!are_filtered(&trap, "", now));
        let second = trap.first_at(filter("startHour=0"), fails, now);
        assert!(!second.hours.are_given());
    }

    #[test]
    fn it_does_not_grow_beyond_its_bound() {
        let (trap, now) = (Trap::default(), Instant::now());
        for number in 0..LARGEST + 50 {
            let at = now + Duration::from_millis(number as u64);
            are_filtered(&trap, &format!("startDate={number}"), at);
        }
        assert_eq!(trap.0.lock().unwrap().len(), LARGEST);
    }
}
