//! Texts that are JSON, or nearly.

use std::fmt::Write;

/// The same documents on every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// A document with white space, escapes, equal keys, array indexes and numbers of every spelling.
pub fn document(random: &mut Random) -> String {
    let mut text = String::new();
    write_value(&mut text, random, 5);
    text
}

/// The same with one character lost, doubled or replaced; mostly no JSON any more.
pub fn spoil(text: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let at = random.below(letters.len());
    match random.below(3) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        _ => {
            letters[at] = random
                .pick(&[
                    "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", "e", ".", "u", "\u{0}",
                    "\u{a0}", " ",
                ])
                .chars()
                .next()
                .unwrap();
        }
    }
    letters.into_iter().collect()
}

fn write_value(text: &mut String, random: &mut Random, depth: usize) {
    blanks(text, random);
    match random.below(if depth == 0 { 7 } else { 12 }) {
        0 => text.push_str(random.pick(&["null", "true", "false"])),
        1..=3 => number(text, random),
        4..=6 => string(text, random),
        7 | 8 => {
            text.push('[');
            for index in 0..random.below(6) {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, random, depth - 1);
            }
            blanks(text, random);
            text.push(']');
        }
        _ => {
            text.push('{');
            for index in 0..random.below(12) {
                if index > 0 {
                    text.push(',');
                }
                blanks(text, random);
                key(text, random);
                blanks(text, random);
                text.push(':');
                write_value(text, random, depth - 1);
            }
            blanks(text, random);
            text.push('}');
        }
    }
    blanks(text, random);
}

fn blanks(text: &mut String, random: &mut Random) {
    if random.below(8) == 0 {
        text.push_str(random.pick(&[" ", "\t", "\n", "\r", " \r\n\t "]));
    }
}

const KEYS: [&str; 22] = [
    "a",
    "b",
    "id",
    "name",
    "status",
    "",
    "0",
    "1",
    "01",
    "-0",
    "-1",
    "1.0",
    "1e3",
    "9",
    "10",
    "4294967294",
    "4294967295",
    "4294967296",
    "__proto__",
    "constructor",
    "toJSON",
    "length",
];

fn key(text: &mut String, random: &mut Random) {
    match random.below(4) {
        0 => string(text, random),
        1 => {
            let _ = write!(text, "\"{}\"", random.below(30));
        }
        _ => {
            let _ = write!(text, "\"{}\"", random.pick(&KEYS));
        }
    }
}

pub fn number(text: &mut String, random: &mut Random) {
    let bits = random.next();
    let double = f64::from_bits(bits);
    let _ = match random.below(9) {
        0 => write!(text, "{}", bits as i64),
        1 => write!(text, "{}", bits >> (bits % 60)),
        2 if double.is_finite() => write!(text, "{double:e}"),
        3 if double.is_finite() => write!(text, "{double:?}"),
        // Around 2^53, where integers begin to be rounded.
        4 => write!(text, "{}", (1 << 53) - 20 + random.below(40)),
        // Few digits, so that halves and the borders of the exponent form occur.
        5 => write!(text, "-{}.{}", random.below(1000), random.below(1000)),
        6 => write!(
            text,
            "{}e{}",
            random.below(10_000),
            random.below(60) as i32 - 30
        ),
        7 => write!(
            text,
            "{}.{}E+{}",
            random.below(10),
            random.next(),
            random.below(330)
        ),
        _ => write!(text, "{}.5", bits >> 11),
    };
    if text.ends_with(|last: char| !last.is_ascii_digit()) {
        text.push_str("-0.0");
    }
}

fn string(text: &mut String, random: &mut Random) {
    text.push('"');
    for _ in 0..random.below(8) {
        match random.below(8) {
            0 => text
                .push_str(random.pick(&["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"])),
            1 => {
                let _ = write!(text, "\\u{:04x}", random.next() as u16);
            }
            2 => {
                let _ = write!(text, "\\u{:04X}", 0xd800 + random.below(0x800));
            }
            3 => {
                let pair = [0xd800 + random.below(0x400), 0xdc00 + random.below(0x400)];
                let _ = write!(text, "\\u{:04x}\\u{:04x}", pair[0], pair[1]);
            }
            4 => {
                let _ = write!(text, "\\u00{:02x}", random.below(0x80));
            }
            5 => text.push_str(random.pick(&[
                "𠮷田",
                "\u{2028}",
                "\u{7f}",
                "か\u{3099}",
                "🚚",
                "\u{feff}",
                "\u{ffff}",
            ])),
            _ => text.push_str(random.pick(&["a", "insert ic_log", "'", "<b>&amp;</b>", " "])),
        }
    }
    text.push('"');
}
