//! Sorting as Node's lists do it: with a comparison that never says "equal", only "after" or "before". Values without a
//! difference come out in the reverse of the order in which they were.

use std::cmp::Ordering;

use strangler::js_json::Text;

/// What a row is sorted by.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(super) enum Key {
    Number(f64),
    /// Units of UTF-16, by which JavaScript compares texts.
    Text(Vec<u16>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

impl Key {
    /// `text.toLowerCase()`
    pub(super) fn lower_case(text: &str) -> Self {
        Self::Text(text.to_lowercase().encode_utf16().collect())
    }

    /// The same of a text that may hold half a surrogate, which has no lower case.
    pub(super) fn lower_case_of(text: &Text) -> Self {
        let units = match text.units() {
            Ok(text) => return Self::lower_case(text),
            Err(units) => units,
        };
        let mut lower = Vec::with_capacity(units.len());
        for letter in char::decode_utf16(units.iter().copied()) {
            match letter {
                Ok(letter) => {
                    let mut buffer = [0; 2];
                    for letter in letter.to_lowercase() {
                        lower.extend_from_slice(letter.encode_utf16(&mut buffer));
                    }
                }
                Err(half) => lower.push(half.unpaired_surrogate()),
            }
        }
        Self::Text(lower)
    }
}

/// `rows.sort((a, b) => key(a) > key(b) ? 1 : -1)`, or with `<`.
pub(super) fn sort<T>(rows: Vec<T>, direction: Direction, key: impl Fn(&T) -> Key) -> Vec<T> {
    let mut rows: Vec<(Key, T)> = rows.into_iter().map(|row| (key(&row), row)).collect();
    let is_number = |key: &Key| !matches!(key, Key::Number(number) if number.is_nan());
    if rows.iter().all(|(key, _)| is_number(key)) || rows.len() >= SHORT {
        rows.reverse();
        rows.sort_by(|(first, _), (second, _)| {
            let order = total_order(first, second);
            match direction {
                Direction::Ascending => order,
                Direction::Descending => order.reverse(),
            }
        });
    } else {
        sort_short(&mut rows, |(first, _), (second, _)| {
            let wanted = match direction {
                Direction::Ascending => Ordering::Greater,
                Direction::Descending => Ordering::Less,
            };
            first.partial_cmp(second) == Some(wanted)
        });
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

/// NaN, with which no sorting is defined, is the least.
fn total_order(first: &Key, second: &Key) -> Ordering {
    let is_nan = |key: &Key| matches!(key, Key::Number(number) if number.is_nan());
    first
        .partial_cmp(second)
        .unwrap_or_else(|| is_nan(second).cmp(&is_nan(first)))
}

/// Up to here V8 sorts by one run and insertions.
const SHORT: usize = 64;

/// What V8 does with a comparison that contradicts itself, as NaN makes it do.
fn sort_short<T>(rows: &mut [T], is_after: impl Fn(&T, &T) -> bool) {
    if rows.len() < 2 {
        return;
    }
    // The leading run, which is turned round if it descends.
    let descends = !is_after(&rows[1], &rows[0]);
    let steps = rows.windows(2).skip(1);
    let run = 2 + steps
        .take_while(|pair| is_after(&pair[1], &pair[0]) != descends)
        .count();
    if descends {
        rows[..run].reverse();
    }
    for place in run..rows.len() {
        let (mut left, mut right) = (0, place);
        while left < right {
            let middle = left + (right - left) / 2;
            if is_after(&rows[place], &rows[middle]) {
                left = middle + 1;
            } else {
                right = middle;
            }
        }
        rows[left..=place].rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::oracle::Random;
    use super::super::super::oracle::ask_v8;
    use super::*;

    #[test]
    fn ties_come_out_reversed_in_both_directions() {
        for direction in [Direction::Ascending, Direction::Descending] {
            for count in [2, 3, 63, 64, 200] {
                let rows: Vec<usize> = (0..count).collect();
                let sorted = sort(rows.clone(), direction, |row| Key::Number((row % 3) as f64));
                let mut expected = rows;
                expected.reverse();
                expected.sort_by_key(|row| match direction {
                    Direction::Ascending => row % 3,
                    Direction::Descending => 2 - row % 3,
                });
                assert_eq!(sorted, expected);
            }
        }
    }

    #[test]
    fn the_insertions_of_short_lists_agree_with_the_rule() {
        for count in 2..64_usize {
            let mut rows: Vec<(usize, usize)> =
                (0..count).map(|n| (n * 7919 % 13 % 5, n)).collect();
            let mut expected = rows.clone();
            expected.reverse();
            expected.sort_by_key(|(key, _)| *key);
            sort_short(&mut rows, |first, second| first.0 > second.0);
            assert_eq!(rows, expected);
        }
    }

    #[test]
    fn nan_comes_where_v8_leaves_it() {
        let mut random = Random::new(7);
        let lists: Vec<(Vec<f64>, bool)> = (0..2000)
            .map(|_| {
                let count = random.below(SHORT);
                let number = |random: &mut Random| match random.below(8) {
                    0 => f64::NAN,
                    _ => random.below(20) as f64,
                };
                let numbers = (0..count).map(|_| number(&mut random)).collect();
                (numbers, random.below(2) == 0)
            })
            .collect();
        let questions: Vec<_> = lists
            .iter()
            .map(|(numbers, up)| json!(["sort", numbers, up]))
            .collect();
        for ((numbers, up), answer) in lists.iter().zip(ask_v8("UTC", &questions)) {
            let direction = if *up {
                Direction::Ascending
            } else {
                Direction::Descending
            };
            let places: Vec<usize> = (0..numbers.len()).collect();
            let sorted = sort(places, direction, |place| Key::Number(numbers[*place]));
            assert_eq!(json!(sorted), answer, "{numbers:?} {direction:?}");
        }
    }
}
