//! `parseInt`, `parseFloat` and `Number` of a text, as JavaScript has them. V8 is the oracle of `tests/it`.

/// `parseInt(text)`: NaN where no digit leads.
pub(super) fn parse_int(text: &str) -> f64 {
    let text = text.trim_start_matches(is_blank);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let magnitude = match hexadecimal {
        Some(digits) => integer(leading(digits, |byte| byte.is_ascii_hexdigit()), 4),
        // Rust refuses an empty text, and rounds as JavaScript does.
        None => leading(digits, |byte| byte.is_ascii_digit())
            .parse()
            .unwrap_or(f64::NAN),
    };
    sign * magnitude
}

/// `parseFloat(text)`: NaN where no number leads.
pub(super) fn parse_float(text: &str) -> f64 {
    let text = text.trim_start_matches(is_blank);
    decimal(&text[..decimal_length(text)])
}

/// `Number(text)`: the whole text or NaN, and 0 for nothing.
pub(super) fn to_number(text: &str) -> f64 {
    let text = text.trim_matches(is_blank);
    if text.is_empty() {
        return 0.0;
    }
    let (bits, is_digit): (u32, fn(&u8) -> bool) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (4, u8::is_ascii_hexdigit),
        [b'0', b'o' | b'O', ..] => (3, |byte| matches!(byte, b'0'..=b'7')),
        [b'0', b'b' | b'B', ..] => (1, |byte| matches!(byte, b'0' | b'1')),
        _ if decimal_length(text) == text.len() => return decimal(text),
        _ => return f64::NAN,
    };
    let digits = &text[2..];
    if digits.as_bytes().iter().all(is_digit) {
        integer(digits, bits)
    } else {
        f64::NAN
    }
}

/// What JavaScript trims: Unicode's white space without U+0085, and the byte order mark.
pub(super) fn is_blank(letter: char) -> bool {
    letter == '\u{feff}' || (letter.is_whitespace() && letter != '\u{85}')
}

fn leading(text: &str, belongs: impl Fn(u8) -> bool) -> &str {
    let length = text.bytes().take_while(|&byte| belongs(byte)).count();
    &text[..length]
}

/// How much of the text is a `StrDecimalLiteral`.
fn decimal_length(text: &str) -> usize {
    let digits = |from: usize| leading(&text[from..], |byte| byte.is_ascii_digit()).len();
    let sign = usize::from(text.starts_with(['+', '-']));
    if text[sign..].starts_with("Infinity") {
        return sign + "Infinity".len();
    }
    let whole = digits(sign);
    let mut end = sign + whole;
    if text[end..].starts_with('.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return 0;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return 0;
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

/// Rust reads every such literal, and nothing as an error.
fn decimal(literal: &str) -> f64 {
    literal.parse().unwrap_or(f64::NAN)
}

/// Digits of `bits` bits each, rounded once. NaN for none.
fn integer(digits: &str, bits: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    let digits = digits.trim_start_matches('0');
    // More bits than a double has; of the others only whether they are all zero matters to the rounding.
    let (first, rest) = digits.split_at(digits.len().min(124 / bits as usize));
    let mut value = first
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .fold(0_u128, |value, digit| value << bits | u128::from(digit));
    if rest.bytes().any(|digit| digit != b'0') {
        value = value << 1 | 1;
    } else {
        value <<= 1;
    }
    let scale = i32::try_from(rest.len() as u64 * u64::from(bits)).unwrap_or(i32::MAX);
    value as f64 / 2.0 * 2_f64.powi(scale)
}

#[cfg(test)]
mod tests {
    use super::super::oracle::{Random, ask};
    use super::*;

    #[test]
    fn generated_texts_are_read_as_by_v8() {
        let pieces = [
            "0",
            "1",
            "9",
            "27",
            "123456789",
            "00",
            ".",
            "-",
            "+",
            "e",
            "E",
            "e5",
            "x",
            "0x",
            "0X",
            "0b",
            "0o",
            "f",
            "Infinity",
            "NaN",
            "_",
            " ",
            "\t",
            "\u{a0}",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "abc",
            ",",
            "9007199254740993",
            "FFFFFFFFFFFFF8",
            "10101",
            "4503599627370497.5",
            "308",
            "-324",
        ];
        let mut random = Random::new(3);
        let texts: Vec<String> = (0..20_000)
            .map(|_| {
                let count = random.below(6);
                (0..count).map(|_| *random.pick(&pieces)).collect()
            })
            .collect();
        for (text, expected) in texts.iter().zip(ask("numbers", &texts)) {
            let ours = [parse_int(text), parse_float(text), to_number(text)]
                .map(|number| ryu_js::Buffer::new().format(number).to_owned());
            assert_eq!(serde_json::json!(ours), expected, "{text:?}");
        }
    }

    /// NaN equals NaN here.
    fn assert_same(ours: f64, expected: f64, text: &str) {
        let same = ours == expected || (ours.is_nan() && expected.is_nan());
        assert!(same, "{text:?}: {ours} instead of {expected}");
    }

    #[test]
    fn integers_end_at_the_first_letter_that_is_none() {
        for (text, expected) in [
            ("2abc", 2.0),
            ("1.9", 1.0),
            ("1e9", 1.0),
            ("0x2", 2.0),
            ("-0X1fg", -31.0),
            (" \t\n\u{a0}\u{feff}+7", 7.0),
            ("1,3", 1.0),
            ("-", f64::NAN),
            ("", f64::NAN),
            ("0x", f64::NAN),
            ("\u{85}1", f64::NAN),
            ("- 1", f64::NAN),
            ("Infinity", f64::NAN),
            ("１", f64::NAN),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("0x20000000000001", 9_007_199_254_740_992.0),
            ("0x20000000000003", 9_007_199_254_740_996.0),
            (
                "0x20000000000001000000000000000000000000000001",
                9_007_199_254_740_994.0 * 2_f64.powi(120),
            ),
        ] {
            assert_same(parse_int(text), expected, text);
        }
        assert_eq!(parse_int(&"9".repeat(400)), f64::INFINITY);
        assert_eq!(
            parse_int(&format!("-0x{}", "f".repeat(400))),
            f64::NEG_INFINITY
        );
    }

    #[test]
    fn decimals_end_where_the_literal_ends() {
        for (text, expected) in [
            ("1.5abc", 1.5),
            (" -.5e1x", -5.0),
            ("1e", 1.0),
            ("1e+", 1.0),
            ("5.", 5.0),
            (".", f64::NAN),
            ("-.e1", f64::NAN),
            ("0x10", 0.0),
            ("-Infinityx", f64::NEG_INFINITY),
            ("inf", f64::NAN),
            ("nan", f64::NAN),
            ("1_0", 1.0),
            ("1e400", f64::INFINITY),
        ] {
            assert_same(parse_float(text), expected, text);
        }
    }

    #[test]
    fn numbers_are_all_of_the_text() {
        for (text, expected) in [
            ("", 0.0),
            (" \u{3000}", 0.0),
            (" 2025 ", 2025.0),
            ("2025.5", 2025.5),
            ("02025", 2025.0),
            ("0x7E9", 2025.0),
            ("0b101", 5.0),
            ("0O17", 15.0),
            (
                "0b100000000000000000000000000000000000000000000000000011",
                9_007_199_254_740_996.0,
            ),
            ("2025a", f64::NAN),
            ("-0x1", f64::NAN),
            ("0x", f64::NAN),
            ("0b2", f64::NAN),
            ("2025,2026", f64::NAN),
            ("[object Object]", f64::NAN),
            ("infinity", f64::NAN),
            ("+Infinity", f64::INFINITY),
            ("1_0", f64::NAN),
        ] {
            assert_same(to_number(text), expected, text);
        }
    }
}
