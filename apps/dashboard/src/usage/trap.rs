//! The cache keys of Node, which hold some questions to be the same that are not: of two such requests the first one
//! decides for five minutes what both are answered. In the daily list hour 0, and what is no number, count as no hour;
//! in the hourly one `all` counts as no date, and a list as the text of its items.
//! Reproduced with `compat = "exact"` alone. Answers themselves are not cached.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long Node keeps an answer.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);

/// Node keeps all of them; clients choose the keys.
const LARGEST: usize = 10_000;

/// What the first of equal keys asked for.
#[derive(Debug)]
pub(super) struct Trap<T>(Mutex<HashMap<String, First<T>>>);

#[derive(Debug)]
struct First<T> {
    asked: T,
    at: Instant,
}

impl<T> Default for Trap<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Trap<T> {
    /// What the first request asked for that Node takes for the same. One that fails is not remembered.
    pub(super) fn first(&self, key: String, asked: T, fails: impl Fn(&T) -> bool) -> T {
        self.first_at(key, asked, fails, Instant::now())
    }

    fn first_at(&self, key: String, asked: T, fails: impl Fn(&T) -> bool, now: Instant) -> T {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_alive = |first: &First<T>| now.duration_since(first.at) <= TIME_TO_LIVE;
        if let Some(first) = known.get(&key).filter(|first| is_alive(first)) {
            return first.asked.clone();
        }
        if fails(&asked) {
            return asked;
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
        let first = First {
            asked: asked.clone(),
            at: now,
        };
        known.insert(key, first);
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::query::Query;
    use super::super::super::zone::Zone;
    use super::super::daily::{Filter, Hours};
    use super::*;

    fn filter(query: &str) -> Filter {
        let zone = Zone::named("UTC").expect("a bundled zone");
        Filter::parse(&Query::parse(Some(query)), &zone).expect("good parameters")
    }

    fn are_filtered(trap: &Trap<Hours>, query: &str, now: Instant) -> bool {
        let filter = filter(query);
        let first = trap.first_at(filter.key(), filter.hours, |_| false, now);
        first.are_given()
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
        assert!(!are_filtered(&trap, "endDate=all&startHour=0", now));
        let later = now + TIME_TO_LIVE + Duration::from_millis(1);
        assert!(are_filtered(&trap, "startHour=0", later));
        assert!(are_filtered(&trap, "", later));
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let (trap, now) = (Trap::default(), Instant::now());
        let first = || {
            let filter = filter("startHour=0");
            trap.first_at(
                filter.key(),
                filter.hours,
                |hours: &Hours| hours.are_given(),
                now,
            )
        };
        assert!(first().are_given());
        assert!(!are_filtered(&trap, "", now));
        assert!(!first().are_given());
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
