//! Conversations: handshakes, and messages of which most are right, or nearly so. The same in every run, times aside.

use proptest::prelude::Rng;
use proptest::test_runner::{TestRng, TestRunner};

use super::sides::{odd_tokens, token};

/// What some devices say, each after its handshake, one at a time.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) handshakes: Vec<Handshake>,
    /// Which device does what.
    pub(super) steps: Vec<(usize, Step)>,
}

#[derive(Debug, Clone)]
pub(super) struct Handshake {
    pub(super) target: String,
    /// Further lines of the head.
    pub(super) lines: String,
    pub(super) accepted: bool,
    /// Whose device it is if it is accepted.
    pub(super) user: String,
}

/// Each is answered by one event.
#[derive(Debug)]
pub(super) enum Step {
    Text(String),
    /// A text frame that need not hold text.
    Bytes(Vec<u8>),
    Fragments(Vec<Vec<u8>>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Handshake {
    /// A valid one.
    pub(super) fn of(user: &str) -> Self {
        Self::new(
            user,
            &format!("?token={}", token(user)),
            String::new(),
            true,
        )
    }

    fn new(user: &str, query: &str, lines: String, accepted: bool) -> Self {
        Self {
            target: format!("/api/ws{query}"),
            lines,
            accepted,
            user: user.to_owned(),
        }
    }
}

/// Each way to bring a token that is known, right or wrong.
pub(super) fn handshakes(user: &str) -> Vec<Handshake> {
    let good = token(user);
    let header = |value: &str| format!("Authorization: {value}\r\n");
    let bearer = format!("Bearer {good}");
    let mut handshakes = vec![
        Handshake::new(user, &format!("?token={good}"), String::new(), true),
        Handshake::new(
            user,
            &format!("?a=%20&token={good}&token=x"),
            String::new(),
            true,
        ),
        Handshake::new(user, "", header(&bearer), true),
        Handshake::new(user, "?token", header(&bearer), true),
        Handshake::new(user, "?Token=x&atoken=y", header(&bearer), true),
        Handshake::new(user, &format!("?token={good}"), header("Bearer x"), true),
        // What comes first in the order of the rules is taken, also if it is wrong.
        Handshake::new(user, "?token=x", header(&bearer), false),
        Handshake::new(user, "?token=", header(&bearer), false),
        Handshake::new(
            user,
            &format!("?token=x&token={good}"),
            String::new(),
            false,
        ),
        Handshake::new(user, &format!("?to%6ben={good}"), String::new(), false),
        Handshake::new(user, "", String::new(), false),
        Handshake::new(user, "?", String::new(), false),
        Handshake::new(user, "", header(&format!("bearer {good}")), false),
        Handshake::new(user, "", header(&format!("Bearer  {good}")), false),
        Handshake::new(user, "", header("Bearer "), false),
        Handshake::new(user, "", header("Basic Z2FyZGVuZXI6eA=="), false),
    ];
    for (odd, accepted) in odd_tokens(user) {
        handshakes.push(Handshake::new(
            user,
            &format!("?token={odd}"),
            String::new(),
            accepted,
        ));
        handshakes.push(Handshake::new(
            user,
            "",
            header(&format!("Bearer {odd}")),
            accepted,
        ));
    }
    handshakes
}

impl Case {
    /// Two users of their own with several devices, one of which may be refused.
    pub(super) fn of_users(dice: &mut Dice, number: usize, steps: usize) -> Self {
        let mut devices = Vec::new();
        for index in 0..2 + dice.below(4) {
            let user = format!(
                "{number}/{}",
                ["first", "second"][usize::from(index > 0 && dice.one_in(3))]
            );
            devices.push(if dice.one_in(4) {
                let mut all = handshakes(&user);
                all.swap_remove(dice.below(all.len()))
            } else {
                Handshake::of(&user)
            });
        }
        Self::new(dice, devices, steps)
    }

    /// Devices of nobody, some of which bring a token all the same.
    pub(super) fn of_strangers(dice: &mut Dice, steps: usize) -> Self {
        let handshakes = ["", "?token=x", &format!("?token={}", token("gardener"))]
            .map(|query| Handshake::new("", query, String::new(), true));
        Self::new(dice, handshakes.to_vec(), steps)
    }

    fn new(dice: &mut Dice, handshakes: Vec<Handshake>, steps: usize) -> Self {
        let steps = (0..steps)
            .map(|_| (dice.below(handshakes.len()), dice.step()))
            .collect();
        Self { handshakes, steps }
    }
}

/// What happens to be said.
pub(super) struct Dice(TestRng);

impl Dice {
    pub(super) fn new() -> Self {
        Self(TestRunner::deterministic().new_rng())
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u32()).unwrap() % bound
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }

    fn step(&mut self) -> Step {
        match self.below(60) {
            0 => Step::Ping(vec![b'p'; self.below(126)]),
            1 => Step::Binary(self.message().into_bytes()),
            2 => Step::Binary(Vec::new()),
            // 64 KiB are allowed, and not a byte more.
            3 => Step::Text(self.padded(64 * 1024)),
            4 => Step::Text(self.padded(64 * 1024 + 1)),
            5 => Step::Binary(vec![0; 64 * 1024 + self.below(2)]),
            6 => Step::Bytes(b"{\"type\":\"Heartbeat\",\"\xff\":1}".to_vec()),
            7 => Step::Close(match self.below(3) {
                0 => None,
                1 => Some((1000, "Client disconnect".to_owned())),
                _ => Some((4000, "庭".to_owned())),
            }),
            8 | 9 => self.fragments(),
            _ => Step::Text(self.message()),
        }
    }

    /// With blanks at the end.
    fn padded(&mut self, size_bytes: usize) -> String {
        let mut text = self.valid();
        text.push_str(&" ".repeat(size_bytes - text.len()));
        text
    }

    /// Cut anywhere, also within a letter.
    fn fragments(&mut self) -> Step {
        let bytes = self.message().into_bytes();
        let first = self.below(bytes.len() + 1);
        let second = first + self.below(bytes.len() - first + 1);
        Step::Fragments(vec![
            bytes[..first].to_vec(),
            bytes[first..second].to_vec(),
            bytes[second..].to_vec(),
        ])
    }

    fn message(&mut self) -> String {
        let text = self.valid();
        if !self.one_in(6) {
            return text;
        }
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(2) {
            let at = self.below(letters.len());
            match self.below(3) {
                0 => drop(letters.remove(at)),
                1 => letters.insert(at, letters[at]),
                _ => {
                    let letter = self.pick(&[
                        "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "e", "-", "\u{1}", "\u{a0}",
                    ]);
                    letters[at] = letter.chars().next().unwrap();
                }
            }
        }
        letters.into_iter().collect()
    }

    /// In the format, or not by one mistake that somebody may make.
    fn valid(&mut self) -> String {
        let (name, data) = match self.below(8) {
            0 => ("GetState", self.no_data()),
            1 => ("Heartbeat", self.no_data()),
            2..=4 => ("CreateCelestialBody", Some(self.create())),
            5..=6 => ("SaveGame", Some(self.save())),
            _ => (
                self.pick(&[
                    "getState",
                    "Heartbeat ",
                    "",
                    "Authenticate",
                    "EnableCompression",
                    "ＧetState",
                ]),
                self.no_data(),
            ),
        };
        let name = match self.below(30) {
            0 => self.value(2),
            1 => format!(
                "\"\\u00{:02x}{}\"",
                name.bytes().next().unwrap_or(b'?'),
                name.get(1..).unwrap_or("")
            ),
            _ => format!("\"{name}\""),
        };
        if self.one_in(12) {
            let data = data.unwrap_or_else(|| "null".to_owned());
            return match self.below(4) {
                0 => format!("[{name}]"),
                1 => format!("[{name},{data},null]"),
                _ => format!(" [ {name},\n{data} ] "),
            };
        }
        let mut members = vec![("type", name)];
        members.extend(data.map(|data| ("data", data)));
        self.object(members)
    }

    fn no_data(&mut self) -> Option<String> {
        match self.below(5) {
            0 => Some("null".to_owned()),
            1 => Some(self.value(1)),
            _ => None,
        }
    }

    fn create(&mut self) -> String {
        let position = if self.one_in(8) {
            let coordinates: Vec<_> = (0..3 + self.below(8) / 7)
                .map(|_| self.coordinate())
                .collect();
            format!("[{}]", coordinates.join(","))
        } else {
            let coordinates = ["x", "y", "z"].map(|name| (name, self.coordinate()));
            self.object(coordinates.to_vec())
        };
        let body_type = self.string();
        if self.one_in(20) {
            return format!("[{body_type},{position}]");
        }
        let members = vec![("body_type", body_type), ("position", position)];
        self.object(members)
    }

    fn coordinate(&mut self) -> String {
        if self.one_in(30) {
            return self.value(0);
        }
        self.number().to_owned()
    }

    fn save(&mut self) -> String {
        let bodies = match self.below(8) {
            0 => "[ \n]".to_owned(),
            1 => "[]".to_owned(),
            2 => self.value(2),
            _ => format!("[{} , {}]", self.value(2), self.value(1)),
        };
        let members = vec![
            ("resources", self.value(3)),
            ("celestial_bodies", bodies),
            ("research", self.value(2)),
            ("statistics", self.value(2)),
        ];
        let state = if self.one_in(10) {
            let values: Vec<_> = members.into_iter().map(|(_, value)| value).collect();
            format!("[{}]", values.join(","))
        } else {
            self.object(members)
        };
        if self.one_in(20) {
            return format!("[{state}]");
        }
        self.object(vec![("state", state)])
    }

    /// In any order, sometimes with one too many or too few, and with blanks.
    fn object(&mut self, mut members: Vec<(&str, String)>) -> String {
        if self.one_in(40) && !members.is_empty() {
            let member = members[self.below(members.len())].clone();
            members.push(member);
        }
        if self.one_in(40) && !members.is_empty() {
            members.remove(self.below(members.len()));
        }
        if self.one_in(6) {
            let key = self.pick(&[
                "sequence",
                "Type",
                "データ",
                "",
                "__proto__",
                "data ",
                "\\ud83d\\ude9a",
                "\\udc00",
            ]);
            // Half of a pair is no key, which is rare enough.
            if key != "\\udc00" || self.one_in(8) {
                members.push((key, self.value(2)));
            }
        }
        for index in (1..members.len()).rev() {
            members.swap(index, self.below(index + 1));
        }
        let blank = self.pick(&["", "", "", " ", "\n", "\t \r\n"]);
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("{blank}\"{key}\"{blank}:{blank}{value}{blank}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// Any JSON.
    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 7 }) {
            0 => self
                .pick(&["null", "true", "false", "{}", "[]", "[ ]"])
                .to_owned(),
            1 | 2 => self.number().to_owned(),
            3 => self.string(),
            4 => format!("[{},{}]", self.value(depth - 1), self.value(depth - 1)),
            _ => {
                let keys = ["10", "2", "b", "a"].map(|key| (key, self.value(depth - 1)));
                self.object(keys.to_vec())
            }
        }
    }

    fn number(&mut self) -> &'static str {
        let all = [
            "0",
            "-0",
            "100",
            "-7",
            "1.0",
            "0.1",
            "1.50",
            "1e3",
            "1E-7",
            "-2.5e+3",
            "9007199254740993",
            "1e21",
            "123456789012345678901234567890",
            "1e-400",
            "0e999",
            "4.35",
            "3.0000000000000001",
        ];
        // Beyond what a double can hold, or no JSON.
        let odd = [
            "1e999", "-1e400", "01", "+1", "1.", ".5", "NaN", "0x1", "1e",
        ];
        if self.one_in(60) {
            self.pick(&odd)
        } else {
            self.pick(&all)
        }
    }

    fn string(&mut self) -> String {
        let all = [
            "Planet",
            "",
            "Star \\\"Sol\\\"",
            "a\\\\b\\/c",
            "\\u0000\\u001f\\b\\f\\n\\r\\t",
            "\\u00e9",
            "惑星「庭」",
            "𠮷🚚",
            "\\ud83d\\ude9a",
            "\u{2028}\u{feff}\u{7f}",
            "</script>",
            "か\u{3099}",
            "]}",
            "100%",
        ];
        let odd = [
            "\\ud800",
            "\\ude00\\ud800",
            "\\x41",
            "\\u12",
            "\u{b}",
            "a\\",
        ];
        let text = if self.one_in(60) {
            self.pick(&odd)
        } else {
            self.pick(&all)
        };
        format!("\"{text}\"")
    }
}
