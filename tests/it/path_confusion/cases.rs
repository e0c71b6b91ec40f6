//! Routes, and requests that are meant to confuse them; the same in every run.

use std::collections::BTreeSet;

/// A rule's claim, the native endpoint for it, and paths that match.
pub(crate) const ROUTES: [(&str, &str, &[&str]); 13] = [
    ("GET /", "GET /", &["/"]),
    ("GET /a", "GET /a", &["/a"]),
    ("/a/b/", "POST /a/b/", &["/a/b"]),
    (
        "GET /api/driver/{id}",
        "GET /api/driver/{id}",
        &["/api/driver/7", "/api/driver/a%2Fb"],
    ),
    ("POST /Api/New", "POST /Api/New", &["/api/new"]),
    (
        "GET /api/v2/projects/{name}",
        "GET /api/v2/projects/{name}/",
        &["/api/v2/projects/o'k%20&(x)"],
    ),
    ("GET /{x}/b/{y}", "GET /{x}/b/{y}", &["/1/b/2", "/b/b/b"]),
    ("GET /{x}", "GET /{x}", &["/x", "/%E2%82%AC"]),
    (
        "GET /files/{*path}",
        "GET /files/{*path}",
        &["/files", "/files/", "/files/a/b.txt", "/files/%5C/c/"],
    ),
    (
        "/v1/{id}/{*rest}",
        "GET /v1/{id}/{*rest}",
        &["/v1/7", "/v1/7/x", "/v1/7/x/"],
    ),
    ("GET /{*rest}", "GET /{*rest}", &["/", "/any/thing"]),
    ("GET /robots.txt", "GET /robots.txt", &["/robots.txt"]),
    (
        "GET /a-b_c~d/{id}",
        "GET /a-b_c~d/{id}",
        &["/a-b_c~d/x;y=1,2", "/A-B_C~D/@:+$!*"],
    ),
];

/// Put in at every slash, at the begin of a segment, and at the end.
const INSERTED: &[&str] = &[
    "/",
    "//",
    "/./",
    "/../",
    "/.",
    "/..",
    "/%2e/",
    "/%2E%2e/",
    "/.%2e",
    "%2f",
    "%2F",
    "%5c",
    "%5C",
    "\\",
    "%00",
    "%0a",
    "%0D",
    "%1f",
    "%20",
    "%7f",
    ";x",
    ";x=1/",
    "%3b",
    "%25",
    "%252e",
    "%252f",
    "%2",
    "%",
    "%zz",
    "%u0061",
    "%c0%af",
    "%c0%ae",
    "%e0%80%af",
    "%ff",
    "%80",
    "%e2%82",
    "%ed%a0%80",
    "%f4%90%80%80",
    "%C3%A9",
    "%EF%BC%8F",
    "%E2%84%AA",
    "\u{e9}",
    "\u{ff}",
    "\u{c3}\u{a9}",
    "?",
    "?a=/b",
    "?/../",
    "#",
    "#/x",
    "?#",
    "%23",
    "%3f",
    "+",
    "*",
    "'",
    "\"",
    "|",
    "^",
    "`",
    "{",
    "}",
    "<",
    "[",
    "]",
    ":",
    "@",
    "&",
    "=",
    "~",
    " ",
    "\t",
    "\u{a0}",
    "%41",
    "%61",
    ".json",
    "...",
];

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// One question to the judge. Each character of the target is one byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) route: usize,
    pub(crate) method: &'static str,
    pub(crate) target: String,
}

impl Case {
    /// What Express is asked for. hyper cuts off `#` and what follows, so that Node behind the proxy never sees it.
    /// The `#` itself makes no difference to Express but where a parameter has `'`, see `is_plain_literal`.
    pub(crate) fn judged(&self) -> &str {
        match self.target.find('#') {
            Some(at) if self.target[..at].contains('\'') => &self.target[..at],
            Some(at) => &self.target[..=at],
            None => &self.target,
        }
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut random = Random(0x5eed_cafe);
    let mut cases = BTreeSet::new();
    for (route, (claim, _, paths)) in ROUTES.iter().enumerate() {
        let own = if claim.starts_with("POST") {
            "POST"
        } else {
            "GET"
        };
        for path in *paths {
            for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE"] {
                cases.insert(Case {
                    route,
                    method,
                    target: (*path).to_owned(),
                });
            }
            for change in [
                respell, absolute, upper, slashed, shorter, longer, double, encode,
            ] {
                cases.insert(Case {
                    route,
                    method: own,
                    target: change(path, &mut random),
                });
            }
            for inserted in INSERTED {
                let target = insert(path, inserted, &mut random);
                // At a `#` Express leaves the path to Node's URL parser.
                for target in [format!("{target}#x"), target] {
                    cases.insert(Case {
                        route,
                        method: own,
                        target,
                    });
                }
            }
            for _ in 0..40 {
                let (one, other) = (random.pick(INSERTED), random.pick(INSERTED));
                let target = insert(&insert(path, one, &mut random), other, &mut random);
                let method = random.pick(&["GET", "HEAD", "POST", own]);
                cases.insert(Case {
                    route,
                    method,
                    target: respell(&target, &mut random),
                });
            }
        }
    }
    for target in [
        "*", "", "a", "x:y", "//", "///", "/%", "http://", "host:80", "?", "#", "/?", "/#", "/\\",
        "\\",
    ] {
        (0..ROUTES.len()).for_each(|route| {
            cases.insert(Case {
                route,
                method: "GET",
                target: target.to_owned(),
            });
        });
    }
    cases.into_iter().collect()
}

/// Puts it before or after a slash, or at the end.
fn insert(path: &str, inserted: &str, random: &mut Random) -> String {
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    let at = match random.below(3) {
        0 => path.len(),
        1 => random.pick(&slashes),
        _ => random.pick(&slashes) + 1,
    };
    format!("{}{inserted}{}", &path[..at], &path[at..])
}

fn respell(path: &str, random: &mut Random) -> String {
    let flip = |letter: char| {
        if letter.is_ascii_lowercase() {
            letter.to_ascii_uppercase()
        } else {
            letter
        }
    };
    path.chars()
        .map(|letter| {
            if random.below(4) == 0 {
                flip(letter)
            } else {
                letter
            }
        })
        .collect()
}

fn upper(path: &str, _: &mut Random) -> String {
    path.to_ascii_uppercase()
}

fn absolute(path: &str, random: &mut Random) -> String {
    format!(
        "{}{path}",
        random.pick(&[
            "http://host",
            "HTTP://HOST:80",
            "https://user@host",
            "ws://[::1]:1"
        ])
    )
}

fn slashed(path: &str, _: &mut Random) -> String {
    format!("{path}/")
}

fn shorter(path: &str, _: &mut Random) -> String {
    path.rsplit_once('/')
        .map_or("", |(front, _)| front)
        .to_owned()
}

fn longer(path: &str, _: &mut Random) -> String {
    format!("{path}/x/y")
}

fn double(path: &str, _: &mut Random) -> String {
    path.replace('/', "//")
}

/// One letter as an escape.
fn encode(path: &str, random: &mut Random) -> String {
    let letters: Vec<usize> = path
        .match_indices(|c: char| c.is_ascii_alphanumeric())
        .map(|(at, _)| at)
        .collect();
    if letters.is_empty() {
        return path.to_owned();
    }
    let at = random.pick(&letters);
    format!(
        "{}%{:02x}{}",
        &path[..at],
        path.as_bytes()[at],
        &path[at + 1..]
    )
}
