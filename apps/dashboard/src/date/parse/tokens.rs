//! The tokens of a date: numbers, words of which three letters count, signs, blanks and the rest.

use std::iter::Peekable;
use std::str::Chars;

/// A token. What means nothing to anybody is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Number {
        /// Its first nine digits.
        value: i64,
        /// How many it has, zeros in front included.
        digits: usize,
    },
    Word(Word),
    /// 1 or -1.
    Sign(i64),
    Symbol(char),
    Blank,
    Other,
    End,
}

/// A sequence of letters, and of much else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Month(i64),
    /// AM or PM, and the hours that it adds.
    Noon(i64),
    Zone {
        hours: i64,
        is_z: bool,
    },
    TimeSeparator,
    Unknown,
}

/// The most digits of a number that count.
const SIGNIFICANT: usize = 9;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

const ZONES: [(&str, i64); 12] = [
    ("ut", 0),
    ("utc", 0),
    ("z", 0),
    ("gmt", 0),
    ("est", -5),
    ("edt", -4),
    ("cst", -6),
    ("cdt", -5),
    ("mst", -7),
    ("mdt", -6),
    ("pst", -8),
    ("pdt", -7),
];

impl Token {
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Number { .. })
    }

    pub(super) fn has_digits(self, count: usize) -> bool {
        matches!(self, Self::Number { digits, .. } if digits == count)
    }

    /// Its value, 0 for what is no number.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Number { value, .. } => value,
            _ => 0,
        }
    }

    pub(super) fn is_z(self) -> bool {
        matches!(self, Self::Word(Word::Zone { is_z: true, .. }))
    }

    /// The number as digits after a point.
    pub(super) fn milliseconds(self) -> i64 {
        match self {
            Self::Number { value, digits: 1 } => value * 100,
            Self::Number { value, digits: 2 } => value * 10,
            Self::Number { value, digits } => {
                value / 10_i64.pow(digits.clamp(3, SIGNIFICANT) as u32 - 3)
            }
            _ => 0,
        }
    }
}

/// The tokens of a text, one of them known in advance.
pub(super) struct Tokens<'t> {
    letters: Peekable<Chars<'t>>,
    ahead: Token,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        // V8 takes U+0000 for the end.
        let text = text.split('\0').next().unwrap_or_default();
        let mut tokens = Self {
            letters: text.chars().peekable(),
            ahead: Token::End,
        };
        tokens.ahead = tokens.scan();
        tokens
    }

    pub(super) fn peek(&self) -> Token {
        self.ahead
    }

    pub(super) fn next(&mut self) -> Token {
        let next = self.scan();
        std::mem::replace(&mut self.ahead, next)
    }

    /// Takes a symbol, or a sign, if it comes next.
    pub(super) fn skip(&mut self, symbol: char) -> bool {
        let skipped = match symbol {
            '-' => self.ahead == Token::Sign(-1),
            _ => self.ahead == Token::Symbol(symbol),
        };
        if skipped {
            self.next();
        }
        skipped
    }

    fn scan(&mut self) -> Token {
        let Some(&first) = self.letters.peek() else {
            return Token::End;
        };
        if first.is_ascii_digit() {
            return self.scan_number();
        }
        if is_blank(first) {
            while self.letters.next_if(|&letter| is_blank(letter)).is_some() {}
            return Token::Blank;
        }
        if first >= 'A' {
            return Token::Word(self.scan_word());
        }
        if first == '(' {
            self.skip_parentheses();
            return Token::Other;
        }
        self.letters.next();
        match first {
            '+' => Token::Sign(1),
            '-' => Token::Sign(-1),
            ':' | '.' | ')' => Token::Symbol(first),
            _ => Token::Other,
        }
    }

    /// With those inside of it; one that is never closed takes the rest.
    fn skip_parentheses(&mut self) {
        let mut depth = 0;
        for letter in self.letters.by_ref() {
            match letter {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }

    fn scan_number(&mut self) -> Token {
        let (mut value, mut digits, mut significant) = (0, 0, 0);
        while let Some(letter) = self.letters.next_if(char::is_ascii_digit) {
            digits += 1;
            if significant == 0 && letter == '0' {
                continue;
            }
            if significant < SIGNIFICANT {
                value = value * 10 + i64::from(letter as u32 - '0' as u32);
            }
            significant += 1;
        }
        Token::Number { value, digits }
    }

    fn scan_word(&mut self) -> Word {
        let (mut prefix, mut length) = (String::new(), 0);
        while let Some(letter) = self
            .letters
            .next_if(|&letter| letter >= 'A' && !is_blank(letter))
        {
            if length < 3 {
                prefix.push(letter.to_ascii_lowercase());
            }
            // V8 counts units of UTF-16.
            length += letter.len_utf16();
        }
        // Only the names of months may be longer.
        if let Some(month) = MONTHS.iter().position(|&name| name == prefix) {
            return Word::Month(month as i64 + 1);
        }
        if length > 3 {
            return Word::Unknown;
        }
        match prefix.as_str() {
            "am" => Word::Noon(0),
            "pm" => Word::Noon(12),
            "t" => Word::TimeSeparator,
            _ => match ZONES.iter().find(|(name, _)| *name == prefix) {
                Some(&(_, hours)) => Word::Zone {
                    hours,
                    is_z: length == 1,
                },
                None => Word::Unknown,
            },
        }
    }
}

/// White space of JavaScript. The line ends of Unicode belong to words.
fn is_blank(letter: char) -> bool {
    letter == '\u{feff}'
        || (letter.is_whitespace() && !matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}'))
}
