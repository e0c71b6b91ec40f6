//! Prices of tokens, and amounts as `toFixed` prints them.

use strangler::js_json::Text;

/// What a token costs, in dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Price {
    pub(super) input: f64,
    pub(super) output: f64,
}

/// Dollars for a million tokens, in and out.
const PRICES: [(&str, f64, f64); 13] = [
    ("claude-3-opus-20240229", 15.0, 75.0),
    ("claude-opus-4-20250514", 15.0, 75.0),
    ("claude-sonnet-4-20250514", 3.0, 15.0),
    ("claude-sonnet-4-5-20250929", 3.0, 15.0),
    ("claude-3-5-sonnet-20241022", 3.0, 15.0),
    ("claude-3-5-sonnet-20240620", 3.0, 15.0),
    ("claude-3-sonnet-20240229", 3.0, 15.0),
    ("claude-haiku-4-5-20251001", 0.25, 1.25),
    ("claude-3-haiku-20240307", 0.25, 1.25),
    ("claude-3-5-haiku-20241022", 1.0, 5.0),
    ("gpt-4", 30.0, 60.0),
    ("gpt-4-turbo", 10.0, 30.0),
    ("gpt-3.5-turbo", 0.5, 1.5),
];

/// What Node finds in its table of prices without having put it there. Such a price is no number.
const INHERITED: [&str; 12] = [
    "constructor",
    "__defineGetter__",
    "__defineSetter__",
    "hasOwnProperty",
    "__lookupGetter__",
    "__lookupSetter__",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toString",
    "valueOf",
    "__proto__",
    "toLocaleString",
];

impl Price {
    /// The price of a model.
    pub(super) fn of(model: Option<&Text>) -> Self {
        const SONNET: Price = Price::per_million(3.0, 15.0);
        let Some(model) = model else { return SONNET };
        let name = model.to_string_lossy();
        if let Some(&(_, input, output)) = PRICES.iter().find(|(known, ..)| *known == name) {
            return Self::per_million(input, output);
        }
        if INHERITED.contains(&&*name) {
            return Self {
                input: f64::NAN,
                output: f64::NAN,
            };
        }
        let name = name.to_lowercase();
        if name.contains("synthetic") || name.starts_with('<') {
            SONNET
        } else if name.contains("opus") {
            Self::per_million(15.0, 75.0)
        } else if name.contains("haiku") {
            if name.contains("4-5") || name.contains("20251001") {
                Self::per_million(0.25, 1.25)
            } else {
                Self::per_million(1.0, 5.0)
            }
        } else {
            SONNET
        }
    }

    const fn per_million(input: f64, output: f64) -> Self {
        Self {
            input: input / 1_000_000.0,
            output: output / 1_000_000.0,
        }
    }
}

/// `number.toFixed(digits)`.
pub(super) fn to_fixed(number: f64, digits: u8) -> String {
    ryu_js::Buffer::new()
        .format_to_fixed(number, digits)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::oracle::Random;
    use super::super::oracle::ask_v8;
    use super::*;

    #[test]
    fn amounts_are_printed_as_by_v8() {
        let mut random = Random::new(4);
        let mut amounts = Vec::new();
        for _ in 0..20_000 {
            let digits = *random.pick(&[2, 4]);
            let bits = random.below(53);
            let units = random.below(1 << bits) as f64;
            // Powers of two bring ties, those of ten nearly.
            let parts = match random.below(3) {
                0 => 2_f64.powi(random.below(40) as i32),
                1 => 10_f64.powi(random.below(12) as i32),
                _ => 1.0 + random.below(999_999) as f64,
            };
            let sign = *random.pick(&[1.0, -1.0]);
            amounts.push((sign * units / parts, digits));
        }
        let questions: Vec<_> = amounts
            .iter()
            .map(|(amount, digits)| json!(["fixed", amount, digits]))
            .collect();
        for ((amount, digits), answer) in amounts.iter().zip(ask_v8("UTC", &questions)) {
            // JSON has no sign for the zero that a division by -1 makes.
            if *amount != 0.0 {
                assert_eq!(to_fixed(*amount, *digits), answer, "{amount}");
            }
        }
    }

    #[test]
    fn ties_go_up() {
        for (number, digits, text) in [
            (0.03125, 4, "0.0313"),
            (0.125, 2, "0.13"),
            (0.625, 2, "0.63"),
            (0.375, 2, "0.38"),
            (1.005, 2, "1.00"),
            (9.995, 2, "9.99"),
            (9.99999, 4, "10.0000"),
            (0.996_093_75, 2, "1.00"),
            (-0.125, 2, "-0.13"),
            (-0.000_01, 4, "-0.0000"),
            (-0.0, 4, "0.0000"),
            (1e21, 2, "1e+21"),
            (123_456_789_012_345_680_000.0, 2, "123456789012345683968.00"),
            (f64::NAN, 4, "NaN"),
            (f64::NEG_INFINITY, 4, "-Infinity"),
        ] {
            assert_eq!(to_fixed(number, digits), text, "{number}");
        }
    }

    #[test]
    fn models_have_the_price_that_node_finds_first() {
        let price = |model: &str| {
            let Price { input, output } = Price::of(Some(&model.into()));
            (
                (input * 1e8).round() / 100.0,
                (output * 1e8).round() / 100.0,
            )
        };
        for (model, expected) in [
            ("gpt-4", (30.0, 60.0)),
            ("GPT-4", (3.0, 15.0)),
            ("<synthetic-opus>", (3.0, 15.0)),
            ("CLAUDE-OPUS-9", (15.0, 75.0)),
            ("opus-haiku", (15.0, 75.0)),
            ("my-haiku-4-5", (0.25, 1.25)),
            ("haiku-20251001", (0.25, 1.25)),
            ("claude-3-haiku-20240307", (0.25, 1.25)),
            ("claude-3-haiku", (1.0, 5.0)),
            ("whatever", (3.0, 15.0)),
        ] {
            assert_eq!(price(model), expected, "{model}");
        }
        assert!(Price::of(Some(&"constructor".into())).input.is_nan());
        assert_eq!(Price::of(None), Price::of(Some(&"sonnet".into())));
    }
}
