//! Quantities with mandatory units: `"250ms"`, `"64KiB"`, `"0.5%"`. Pure text to number, and back for messages.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::Share;

/// A kind of quantity.
#[derive(Debug)]
pub(super) struct Kind {
    /// With its article, for messages.
    pub(super) what: &'static str,
    /// Each unit in the smallest step of the kind.
    units: &'static [(&'static str, u64)],
    /// Tried first when a unit is missing.
    usual: &'static str,
    /// What is wrong with a number that has too many decimals.
    finer: &'static str,
}

/// In nanoseconds.
pub(super) const DURATION: Kind = Kind {
    what: "a duration",
    units: &[
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ],
    usual: "s",
    finer: "it is finer than a nanosecond",
};

/// In bytes.
pub(super) const SIZE: Kind = Kind {
    what: "a size",
    units: &[
        ("B", 1),
        ("KB", 1_000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
    ],
    usual: "B",
    finer: "it is not a whole number of bytes",
};

/// In hundredths of a per cent.
pub(super) const SHARE: Kind = Kind {
    what: "a share",
    units: &[("%", 100)],
    usual: "%",
    finer: "it has more than two decimals",
};

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QuantityError {
    #[error("it does not begin with a number")]
    NoNumber,
    #[error("it has no unit")]
    NoUnit,
    #[error("its unit is unknown")]
    UnknownUnit,
    #[error("{0}")]
    TooPrecise(&'static str),
    #[error("it is too large")]
    TooLarge,
}

impl Kind {
    /// Reads a quantity into the smallest steps of its kind.
    pub(super) fn parse(&self, text: &str) -> Result<u64, QuantityError> {
        let (number, unit) = text.split_at(
            text.find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(text.len()),
        );
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) | Some(("", _)) => return Err(QuantityError::NoNumber),
            Some((whole, fraction)) => (whole, fraction),
            None if number.is_empty() => return Err(QuantityError::NoNumber),
            None => (number, ""),
        };
        if fraction.contains('.') {
            return Err(QuantityError::NoNumber);
        }
        if unit.is_empty() {
            return Err(QuantityError::NoUnit);
        }
        let steps = self
            .units
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(QuantityError::UnknownUnit)?
            .1;
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 {
            return Err(QuantityError::TooPrecise(self.finer));
        }
        let whole: u64 = whole.parse().map_err(|_| QuantityError::TooLarge)?;
        let billionths: u64 = format!("{fraction:0<9}")
            .parse()
            .map_err(|_| QuantityError::NoNumber)?;
        let scaled =
            (u128::from(whole) * 1_000_000_000 + u128::from(billionths)) * u128::from(steps);
        if scaled % 1_000_000_000 != 0 {
            return Err(QuantityError::TooPrecise(self.finer));
        }
        u64::try_from(scaled / 1_000_000_000).map_err(|_| QuantityError::TooLarge)
    }

    /// What to write instead of `text`: only what the key takes, which is within `range`.
    pub(super) fn remedy(
        &self,
        text: &str,
        error: &QuantityError,
        range: &RangeInclusive<u64>,
    ) -> String {
        let number: &str = text
            .trim()
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .unwrap_or_default();
        let unit = text.trim().strip_prefix(number).unwrap_or_default().trim();
        let accepted = |unit: &str| {
            let steps = self.parse(&format!("{number}{unit}"));
            steps.is_ok_and(|steps| range.contains(&steps))
        };
        let known = self.units.iter().map(|(name, _)| *name);
        let written_otherwise = known
            .clone()
            .find(|name| name.eq_ignore_ascii_case(unit))
            .or(match unit {
                "sec" | "secs" | "second" | "seconds" => Some("s"),
                "min" | "mins" | "minute" | "minutes" => Some("m"),
                "hour" | "hours" => Some("h"),
                "k" | "K" => Some("KiB"),
                "M" => Some("MiB"),
                "G" => Some("GiB"),
                _ => None,
            });
        let written_otherwise = written_otherwise.filter(|unit| accepted(unit));
        let missing = || {
            let mut units = std::iter::once(self.usual).chain(known.clone());
            units.find(|unit| accepted(unit))
        };
        match (error, written_otherwise) {
            (QuantityError::NoUnit, _) if unit.is_empty() => match missing() {
                Some(unit) => format!("add the unit: `\"{number}{unit}\"`"),
                None => self.usage(range),
            },
            (QuantityError::UnknownUnit, Some(unit)) => format!("write `\"{number}{unit}\"`"),
            (QuantityError::TooPrecise(_), _) => "use fewer decimals".to_owned(),
            (QuantityError::TooLarge, _) => "use a smaller number".to_owned(),
            _ => self.usage(range),
        }
    }

    /// How a quantity of this kind is written, with an example within `range`.
    pub(super) fn usage(&self, range: &RangeInclusive<u64>) -> String {
        let usual = self.parse(&format!("2{}", self.usual)).unwrap_or_default();
        let example = self.show(usual.clamp(*range.start(), *range.end()));
        let units: Vec<String> = self
            .units
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let known = if units.len() == 1 {
            "the unit is"
        } else {
            "the units are"
        };
        format!(
            "write a number and a unit, such as `\"{example}\"`; {known} {}",
            units.join(", ")
        )
    }

    /// A quantity as a user would write it.
    pub(super) fn show(&self, steps: u64) -> String {
        let unit = self
            .units
            .iter()
            .rev()
            .find(|(_, size)| steps >= *size && steps.is_multiple_of(*size));
        match unit {
            Some((name, size)) => format!("{}{name}", steps / size),
            None => format!(
                "{}{}",
                steps as f64 / self.units[0].1 as f64,
                self.units[0].0
            ),
        }
    }
}

/// Steps of [`DURATION`].
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Steps of [`SHARE`], where they are at most 100 %.
pub(super) fn share(steps: u64) -> Option<Share> {
    u16::try_from(steps)
        .ok()
        .filter(|hundredths| *hundredths <= 10_000)
        .map(Share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        assert_eq!(DURATION.parse("250ms"), Ok(250_000_000));
        assert_eq!(DURATION.parse("1.5s"), Ok(1_500_000_000));
        assert_eq!(DURATION.parse("5m"), Ok(300_000_000_000));
        assert_eq!(DURATION.parse("0.000000001s"), Ok(1));
        assert_eq!(SIZE.parse("64KiB"), Ok(65_536));
        assert_eq!(SIZE.parse("10MB"), Ok(10_000_000));
        assert_eq!(SIZE.parse("1.5KiB"), Ok(1536));
        assert_eq!(SHARE.parse("0.5%"), Ok(50));
        assert_eq!(SHARE.parse("12.340%"), Ok(1234));
    }

    #[test]
    fn what_is_no_quantity_says_why() {
        use QuantityError::{NoNumber, NoUnit, TooLarge, TooPrecise, UnknownUnit};
        let expected = [
            (&DURATION, "2", NoUnit, "add the unit: `\"2s\"`"),
            (&DURATION, "2 s", UnknownUnit, "write `\"2s\"`"),
            (&DURATION, "2min", UnknownUnit, "write `\"2m\"`"),
            (
                &DURATION,
                "",
                NoNumber,
                "write a number and a unit, such as `\"2s\"`; the units are `ms`, `s`, `m`, `h`",
            ),
            (
                &SIZE,
                "0.5B",
                TooPrecise("it is not a whole number of bytes"),
                "use fewer decimals",
            ),
            (&SIZE, "10k", UnknownUnit, "write `\"10KiB\"`"),
            (&SIZE, "10mb", UnknownUnit, "write `\"10MB\"`"),
            (&SIZE, "99999999999999GiB", TooLarge, "use a smaller number"),
            (
                &SHARE,
                "0.005%",
                TooPrecise("it has more than two decimals"),
                "use fewer decimals",
            ),
            (&SHARE, "5", NoUnit, "add the unit: `\"5%\"`"),
        ];
        for (kind, text, error, remedy) in expected {
            assert_eq!(kind.parse(text), Err(error.clone()), "{text}");
            assert_eq!(kind.remedy(text, &error, &(0..=u64::MAX)), remedy, "{text}");
        }
        for text in [
            "-1s",
            ".5s",
            "1.s",
            "1..2s",
            "1e3s",
            "٣s",
            "1.2.3s",
            "s",
            "99999999999999999999s",
        ] {
            assert!(DURATION.parse(text).is_err(), "{text}");
        }
    }

    /// Issue 9: for `min_rate = 0` the help was a value that was refused.
    #[test]
    fn what_is_suggested_is_within_the_range() {
        const UNITS: &str = "the units are `B`, `KB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`";
        let usage =
            |example: &str| format!("write a number and a unit, such as `\"{example}\"`; {UNITS}");
        let expected = [
            ("0", 1..=1 << 20, usage("2B")),
            ("64", 1..=1 << 20, "add the unit: `\"64B\"`".to_owned()),
            ("16", 4096..=1 << 20, "add the unit: `\"16KB\"`".to_owned()),
            ("0.5", 1..=1 << 20, "add the unit: `\"0.5KB\"`".to_owned()),
            ("-5", 4096..=1 << 20, usage("4KiB")),
            ("0x10", 1..=1 << 20, usage("2B")),
            ("1_000", 1..=1 << 20, usage("2B")),
        ];
        for (text, range, remedy) in expected {
            let error = QuantityError::NoUnit;
            assert_eq!(SIZE.remedy(text, &error, &range), remedy, "{text}");
        }
        let error = QuantityError::UnknownUnit;
        assert_eq!(SIZE.remedy("1k", &error, &(4096..=8192)), usage("4KiB"));
        let day = 1_000_000..=86_400_000_000_000;
        let error = QuantityError::NoUnit;
        assert_eq!(
            DURATION.remedy("100000", &error, &day),
            "add the unit: `\"100000ms\"`"
        );
    }

    #[test]
    fn quantities_are_shown_as_they_are_written() {
        assert_eq!(DURATION.show(1_000_000), "1ms");
        assert_eq!(DURATION.show(86_400_000_000_000), "24h");
        assert_eq!(SIZE.show(4096), "4KiB");
        assert_eq!(SIZE.show(0), "0B");
        assert_eq!(SHARE.show(1), "0.01%");
        assert_eq!(SHARE.show(10_000), "100%");
    }
}
