//! `Date.parse` of V8: the format of ECMAScript first; what does not fit goes on, token for token, to the older parser,
//! which takes nearly anything that holds a day. V8 is the oracle of `tests/it`.

mod tokens;

use self::tokens::{Token, Tokens, Word};
use super::super::zone::Zone;
use super::{MILLISECONDS_A_DAY, days_from_civil, from_number};

/// `new Date(text)`; nothing for an invalid date.
pub(crate) fn parse(text: &str, zone: &Zone) -> Option<i64> {
    if let Some(time) = usual(text.as_bytes()) {
        return Some(time);
    }
    let mut parser = Parser {
        tokens: Tokens::new(text),
        day: Day::default(),
        time: Time::default(),
        offset: Offset::default(),
    };
    let rest = parser.standard()?;
    parser.legacy(rest)?;
    let day = parser.day.days()?;
    let time = parser.time.milliseconds()?;
    let local = day * MILLISECONDS_A_DAY + time;
    let time = match parser.offset.milliseconds()? {
        Some(offset) => local - offset,
        None => zone.instant(local),
    };
    from_number(time as f64)
}

/// `2025-07-01T10:00:00.000Z`, which is what nearly all lines have.
fn usual(text: &[u8]) -> Option<i64> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let marks = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'.'),
        (23, b'Z'),
    ];
    if marks.iter().any(|&(at, mark)| text[at] != mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to].iter().try_fold(0, |number, digit| {
            let digit = digit.wrapping_sub(b'0');
            (digit < 10).then_some(number * 10 + u32::from(digit))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hours, minutes, seconds) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let milliseconds = number(20, 23)?;
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let days = days_from_civil(i64::from(year), month, day);
    let seconds = i64::from(hours * 3600 + minutes * 60 + seconds);
    Some(days * MILLISECONDS_A_DAY + seconds * 1000 + i64::from(milliseconds))
}

/// An instant for tests.
#[cfg(test)]
pub(crate) fn parse_utc(text: &str) -> i64 {
    let zone = Zone::named("UTC").expect("a bundled zone");
    parse(text, &zone).unwrap_or_else(|| panic!("`{text}` is no date"))
}

struct Parser<'t> {
    tokens: Tokens<'t>,
    day: Day,
    time: Time,
    offset: Offset,
}

impl Parser<'_> {
    /// `[±yy]yyyy[-MM[-DD]][THH:mm[:ss[.sss]][Z|±hh:mm]]`. Gives the first token that does not fit, with which the older
    /// parser goes on; nothing where the text cannot be any date.
    fn standard(&mut self) -> Option<Token> {
        let first = self.tokens.peek();
        if let Token::Sign(sign) = first {
            self.tokens.next();
            if !self.tokens.peek().has_digits(6) {
                return Some(first);
            }
            let year = self.tokens.next().number();
            if sign < 0 && year == 0 {
                return Some(first);
            }
            self.day.add(sign * year);
        } else if first.has_digits(4) {
            self.day.add(self.tokens.next().number());
        } else {
            return Some(self.tokens.next());
        }
        for last in [12, 31] {
            if !self.tokens.skip('-') {
                break;
            }
            let part = self.tokens.peek();
            if !part.has_digits(2) || !(1..=last).contains(&part.number()) {
                return Some(self.tokens.next());
            }
            self.day.add(self.tokens.next().number());
        }
        if self.tokens.peek() == Token::Word(Word::TimeSeparator) {
            self.tokens.next();
            self.standard_time()?;
        } else if self.tokens.peek() != Token::End {
            return Some(self.tokens.next());
        }
        // A day alone is one of UTC, a time is local.
        if self.offset.is_empty() && self.time.is_empty() {
            self.offset.set(0);
        }
        self.day.is_standard = true;
        Some(Token::End)
    }

    /// After a `T` there is no way back.
    fn standard_time(&mut self) -> Option<()> {
        let hour = self.two_digits(24)?;
        let last = |last| if hour == 24 { 0 } else { last };
        self.time.add(hour);
        if !self.tokens.skip(':') {
            return None;
        }
        let minute = self.two_digits(last(59))?;
        self.time.add(minute);
        if self.tokens.skip(':') {
            let second = self.two_digits(last(59))?;
            self.time.add(second);
            if self.tokens.skip('.') {
                let fraction = self.tokens.next();
                if !fraction.is_number() || (hour == 24 && fraction.number() > 0) {
                    return None;
                }
                self.time.add(fraction.milliseconds());
            }
        }
        if self.tokens.peek().is_z() {
            self.tokens.next();
            self.offset.set(0);
        } else if let Token::Sign(sign) = self.tokens.peek() {
            self.tokens.next();
            self.offset.sign = Some(sign);
            let (hours, minutes) = if self.tokens.peek().has_digits(4) {
                let both = self.tokens.next().number();
                (both / 100, both % 100)
            } else {
                let hours = self.two_digits(23)?;
                if !self.tokens.skip(':') {
                    return None;
                }
                (hours, self.two_digits(59)?)
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            (self.offset.hours, self.offset.minutes) = (Some(hours), Some(minutes));
        }
        (self.tokens.peek() == Token::End).then_some(())
    }

    fn two_digits(&mut self, last: i64) -> Option<i64> {
        let token = self.tokens.peek();
        if !token.has_digits(2) || token.number() > last {
            return None;
        }
        self.tokens.next();
        Some(token.number())
    }

    fn legacy(&mut self, first: Token) -> Option<()> {
        let mut has_number = !self.day.is_empty();
        let mut token = first;
        while token != Token::End {
            match token {
                Token::Number { .. } => {
                    has_number = true;
                    self.number(token)?;
                }
                Token::Word(word) => self.word(word, has_number)?,
                Token::Sign(sign) if self.offset.is_utc() || !self.time.is_empty() => {
                    has_number = true;
                    self.signed_offset(sign)?;
                }
                Token::Sign(_) | Token::Symbol(')') if has_number => return None,
                _ => {}
            }
            token = self.tokens.next();
        }
        Some(())
    }

    fn number(&mut self, token: Token) -> Option<()> {
        let number = token.number();
        if self.tokens.skip(':') {
            if self.tokens.skip(':') {
                if !self.time.is_empty() {
                    return None;
                }
                self.time.add(number);
                self.time.add(0);
            } else {
                if !self.time.add(number) {
                    return None;
                }
                if self.tokens.peek() == Token::Symbol('.') {
                    self.tokens.next();
                }
            }
        } else if self.tokens.skip('.') && self.time.expects(number) {
            self.time.add(number);
            if !self.tokens.peek().is_number() {
                return None;
            }
            let milliseconds = self.tokens.next().milliseconds();
            self.time.add_last(milliseconds);
        } else if self.offset.expects(number) {
            self.offset.minutes = Some(number);
        } else if self.time.expects(number) {
            self.time.add_last(number);
            let next = self.tokens.peek();
            let may_follow = matches!(next, Token::End | Token::Blank | Token::Sign(_));
            if !may_follow && !next.is_z() {
                return None;
            }
        } else {
            if !self.day.add(number) {
                return None;
            }
            self.tokens.skip('-');
        }
        Some(())
    }

    fn word(&mut self, word: Word, has_number: bool) -> Option<()> {
        match word {
            Word::Noon(hours) if !self.time.is_empty() => self.time.half = Some(hours),
            Word::Month(month) => {
                self.day.named_month = Some(month);
                self.tokens.skip('-');
            }
            Word::Zone { hours, .. } if has_number => self.offset.set(hours),
            // Before the first number anything may stand, if it stands apart.
            _ if has_number || self.tokens.peek().is_number() => return None,
            _ => {}
        }
        Some(())
    }

    fn signed_offset(&mut self, sign: i64) -> Option<()> {
        self.offset.sign = Some(sign);
        let (number, digits) = match self.tokens.peek() {
            Token::Number { value, digits } => {
                self.tokens.next();
                (value, digits)
            }
            _ => (0, 0),
        };
        let (hours, minutes) = if self.tokens.peek() == Token::Symbol(':') {
            (number, None)
        } else {
            match digits {
                1 | 2 => (number, Some(0)),
                3 | 4 => (number / 100, Some(number % 100)),
                _ => return None,
            }
        };
        (self.offset.hours, self.offset.minutes) = (Some(hours), minutes);
        Some(())
    }
}

/// Up to three numbers, and what they may mean.
#[derive(Default)]
struct Day {
    parts: [i64; 3],
    count: usize,
    named_month: Option<i64>,
    is_standard: bool,
}

impl Day {
    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, number: i64) -> bool {
        let Some(part) = self.parts.get_mut(self.count) else {
            return false;
        };
        *part = number;
        self.count += 1;
        true
    }

    /// Counted from 1970.
    fn days(&self) -> Option<i64> {
        if self.is_empty() {
            return None;
        }
        let mut parts = self.parts;
        parts[self.count..].fill(1);
        let [first, second, third] = parts;
        let is_day = |number: i64| (1..=31).contains(&number);
        let (mut year, month, day) = match self.named_month {
            None if self.is_standard || !is_day(first) => (first, second, third),
            None => (third, first, second),
            Some(month) if !is_day(first) => (first, month, second),
            Some(month) => (second, month, first),
        };
        if !self.is_standard {
            year += match year {
                0..=49 => 2000,
                50..=99 => 1900,
                _ => 0,
            };
        }
        // Years that are farther away hold no date.
        let is_near = year.abs() < 300_000;
        if !is_near || !(1..=12).contains(&month) || !is_day(day) {
            return None;
        }
        Some(days_from_civil(year, month as u32, day as u32))
    }
}

/// Hour, minute, second and millisecond.
#[derive(Default)]
struct Time {
    parts: [i64; 4],
    count: usize,
    /// What AM and PM add.
    half: Option<i64>,
}

impl Time {
    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, number: i64) -> bool {
        let Some(part) = self.parts.get_mut(self.count) else {
            return false;
        };
        *part = number;
        self.count += 1;
        true
    }

    fn add_last(&mut self, number: i64) {
        self.add(number);
        self.count = self.parts.len();
    }

    fn expects(&self, number: i64) -> bool {
        match self.count {
            1 | 2 => number < 60,
            3 => number < 1000,
            _ => false,
        }
    }

    /// Since midnight.
    fn milliseconds(&self) -> Option<i64> {
        let [mut hour, minute, second, millisecond] = self.parts;
        if let Some(half) = self.half {
            if !(0..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + half;
        }
        let is_time = hour < 24 && minute < 60 && second < 60 && millisecond < 1000;
        if !is_time && self.parts != [24, 0, 0, 0] {
            return None;
        }
        Some(((hour * 60 + minute) * 60 + second) * 1000 + millisecond)
    }
}

/// The distance from UTC, if one was named.
#[derive(Default)]
struct Offset {
    sign: Option<i64>,
    hours: Option<i64>,
    minutes: Option<i64>,
}

impl Offset {
    fn set(&mut self, hours: i64) {
        self.sign = Some(if hours < 0 { -1 } else { 1 });
        (self.hours, self.minutes) = (Some(hours.abs()), Some(0));
    }

    fn is_empty(&self) -> bool {
        self.hours.is_none()
    }

    fn is_utc(&self) -> bool {
        self.hours == Some(0) && self.minutes == Some(0)
    }

    fn expects(&self, number: i64) -> bool {
        self.hours.is_some() && self.minutes.is_none() && number < 60
    }

    /// `Some(None)` without any; nothing for one that is none.
    fn milliseconds(&self) -> Option<Option<i64>> {
        let Some(sign) = self.sign else {
            return Some(None);
        };
        let seconds = self.hours.unwrap_or(0) * 3600 + self.minutes.unwrap_or(0) * 60;
        // A small integer of V8.
        (seconds < 1 << 31).then_some(Some(sign * seconds * 1000))
    }
}

#[cfg(test)]
mod tests;
