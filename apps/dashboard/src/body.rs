//! The JSON body parser of Express 4, which refuses bad bodies before any route is looked for. No endpoint uses a body.

use axum::body::Body;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::answer::Thrown;
use strangler::js_json;

/// `100kb`
const LARGEST: usize = 100 * 1024;

/// Why a request goes no further.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The error handler answers.
    Thrown(Thrown),
    /// Only Node can tell: the body is compressed or in an encoding that is not read here.
    Unknown,
    /// The text is no JSON. Node says in its own words why, which clients see in development.
    NoJson,
}

/// Reads a body that says it is JSON, all others are left alone.
pub(super) async fn check(headers: &HeaderMap, body: Body) -> Result<(), Refused> {
    if body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH) {
        return Ok(());
    }
    let text = |name| {
        headers.get(name).map_or("", |value: &http::HeaderValue| {
            value.to_str().unwrap_or("\u{fffd}")
        })
    };
    let Some(charset) = json_charset(text(CONTENT_TYPE)) else {
        return Ok(());
    };
    if !charset.starts_with("utf-") {
        return Err(unsupported(format!(
            "unsupported charset \"{}\"",
            charset.to_uppercase()
        )));
    }
    match text(CONTENT_ENCODING).to_lowercase().as_str() {
        "" | "identity" => {}
        "gzip" | "deflate" => return Err(Refused::Unknown),
        encoding => {
            return Err(unsupported(format!(
                "unsupported content encoding \"{encoding}\""
            )));
        }
    }
    if charset != "utf-8" {
        return Err(Refused::Unknown);
    }
    let bytes = read(body).await?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // Nothing counts as `{}`. Only what is an array or an object is taken.
    let first = text
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .chars()
        .next();
    if text.is_empty() || (matches!(first, Some('{' | '[')) && js_json::parse(text).is_ok()) {
        Ok(())
    } else {
        Err(Refused::NoJson)
    }
}

fn unsupported(message: String) -> Refused {
    Refused::Thrown(Thrown {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        message,
    })
}

/// A body that is too large is read to its end and thrown away: whoever still sends does not read an answer.
async fn read(mut body: Body) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    let mut is_too_large = false;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Refused::Thrown(Thrown {
                status: StatusCode::BAD_REQUEST,
                message: "request aborted".to_owned(),
            }));
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        is_too_large |= bytes.len() + data.len() > LARGEST;
        if is_too_large {
            bytes.clear();
        } else {
            bytes.extend_from_slice(&data);
        }
    }
    if is_too_large {
        return Err(Refused::Thrown(Thrown {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            message: "request entity too large".to_owned(),
        }));
    }
    Ok(bytes)
}

/// The charset of `application/json`, in lower case; nothing for other types, and where a parameter is malformed.
fn json_charset(content_type: &str) -> Option<String> {
    let (media_type, mut rest) = match content_type.find(';') {
        Some(at) => content_type.split_at(at),
        None => (content_type, ""),
    };
    if !media_type
        .trim_matches(' ')
        .eq_ignore_ascii_case("application/json")
    {
        return None;
    }
    let mut charset = None;
    while !rest.is_empty() {
        let (name, value, after) = parameter(rest)?;
        if name.eq_ignore_ascii_case("charset") {
            charset = Some(value);
        }
        rest = after;
    }
    // Nothing and an empty text are UTF-8.
    let charset = charset.filter(|charset| !charset.is_empty());
    Some(charset.map_or_else(|| "utf-8".to_owned(), |charset| charset.to_lowercase()))
}

/// The next `; name=value`, and what follows.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.strip_prefix(';')?.trim_start_matches(' ');
    let (name, text) = token(text)?;
    let text = text.trim_start_matches(' ').strip_prefix('=')?;
    let text = text.trim_start_matches(' ');
    let (value, text) = match text.strip_prefix('"') {
        Some(text) => quoted(text)?,
        None => token(text).map(|(value, text)| (value.to_owned(), text))?,
    };
    Some((name, value, text.trim_start_matches(' ')))
}

fn token(text: &str) -> Option<(&str, &str)> {
    let belongs =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let length = text.find(|letter| !belongs(letter)).unwrap_or(text.len());
    (length > 0).then(|| text.split_at(length))
}

/// The rest of a quoted text.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::oracle::{Random, ask};
    use super::*;

    async fn checked(content_type: &str, body: impl Into<Body>) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        check(&headers, body.into()).await
    }

    fn status(result: Result<(), Refused>) -> Option<u16> {
        match result {
            Err(Refused::Thrown(thrown)) => Some(thrown.status.as_u16()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn generated_bodies_are_refused_as_by_express() {
        let types = [
            "application/json",
            "application/json",
            "Application/JSON",
            " application/json ",
            "text/json",
            "json",
            ";",
            "; charset=utf-8",
            ";charset=UTF-8",
            "; charset=utf8",
            "; charset=\"utf-8\"",
            "; charset=\"u\\tf-8\"",
            "; charset=latin1",
            "; charset=",
            "; charset",
            "; a=b",
            " ; a = \"x;y\" ",
            "; Charset=utf-8",
            ", x",
            "\t",
        ];
        let encodings = ["", "", "", "identity", "Identity", "br", "x"];
        let texts = [
            "{",
            "}",
            "{}",
            "[",
            "]",
            "[]",
            "1",
            "\"x\"",
            " ",
            "\n",
            "null",
            ",",
            "{\"a\":1}",
            "\u{ef}\u{bb}\u{bf}",
            "\u{ff}",
            "\u{a0}",
            "x",
        ];
        let mut random = Random::new(5);
        let mut some = |from: &[&str], most: usize| -> String {
            let count = random.below(most + 1);
            (0..count).map(|_| *random.pick(from)).collect()
        };
        let questions: Vec<_> = (0..10_000)
            .map(|_| {
                let content_type = some(&types[..5], 1) + &some(&types, 2);
                let (encoding, text) = (some(&encodings, 1), some(&texts, 4));
                (
                    json!({"content-type": content_type, "content-encoding": encoding}),
                    text,
                )
            })
            .collect();
        let mut refused = 0;
        for (question, expected) in questions.iter().zip(ask("body", &questions)) {
            let (fields, text) = question;
            let bytes: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
            let mut headers = HeaderMap::from_iter([(CONTENT_LENGTH, bytes.len().into())]);
            for name in [CONTENT_TYPE, CONTENT_ENCODING] {
                let value = fields[name.as_str()].as_str().unwrap();
                headers.insert(name, value.parse().unwrap());
            }
            let ours = match check(&headers, bytes.into()).await {
                Ok(()) => json!(null),
                Err(Refused::Thrown(thrown)) => json!(thrown.status.as_u16()),
                Err(Refused::NoJson) => json!(400),
                // Two charsets glued together have a name that only Node can look up.
                Err(Refused::Unknown) => continue,
            };
            assert_eq!(ours, expected, "{question:?}");
            refused += usize::from(!ours.is_null());
        }
        assert!((1000..9000).contains(&refused), "{refused}");
    }

    #[tokio::test]
    async fn only_arrays_and_objects_are_json() {
        for text in ["{}", " \t\r\n[1]", "\u{feff}{}", "{\"a\":\"\u{fffd}\"}", ""] {
            assert_eq!(
                checked("application/json", text.to_owned()).await,
                Ok(()),
                "{text:?}"
            );
        }
        for text in ["\"x\"", "1", "null", "{", "[1,]", " ", "{}x", "\u{a0}{}"] {
            assert_eq!(
                checked("application/json", text.to_owned()).await,
                Err(Refused::NoJson),
                "{text:?}"
            );
        }
        assert_eq!(
            checked("application/json", &b"{\"a\":\"\xff\"}"[..]).await,
            Ok(())
        );
    }

    #[tokio::test]
    async fn only_what_says_that_it_is_json_is_read() {
        for content_type in [
            "",
            "text/plain",
            "application/jsonx",
            "application/ld+json",
            "application/json; charset",
            "application/json; charset=utf-8;",
            "application/json; a=\"",
            "application/json, text/plain",
        ] {
            assert_eq!(checked(content_type, "x").await, Ok(()), "{content_type}");
        }
        for content_type in [
            "Application/JSON",
            " application/json ",
            "application/json;charset=UTF-8",
            "application/json ; a = b ; charset = \"u\\tf-8\"",
            "application/json; charset=\"\"",
        ] {
            assert_eq!(
                checked(content_type, "x").await,
                Err(Refused::NoJson),
                "{content_type}"
            );
        }
    }

    #[tokio::test]
    async fn other_encodings_are_refused_or_left_to_node() {
        for charset in ["latin1", "utf8", "\"x y\""] {
            let content_type = format!("application/json; charset={charset}");
            assert_eq!(
                status(checked(&content_type, "{}").await),
                Some(415),
                "{charset}"
            );
        }
        assert_eq!(
            checked("application/json; charset=utf-16", "{}").await,
            Err(Refused::Unknown)
        );
        let encoded = |encoding: &'static str| async move {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
            headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
            check(&headers, Body::from("{}")).await
        };
        assert_eq!(encoded("Identity").await, Ok(()));
        assert_eq!(encoded("GZIP").await, Err(Refused::Unknown));
        assert_eq!(status(encoded("br").await), Some(415));
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_too_large() {
        let body = |length: usize| format!("[{}]", " ".repeat(length - 2));
        assert_eq!(checked("application/json", body(LARGEST)).await, Ok(()));
        let refused = checked("application/json", body(LARGEST + 1)).await;
        assert_eq!(status(refused), Some(413));
    }

    #[tokio::test]
    async fn requests_without_a_body_are_not_looked_at() {
        assert_eq!(
            checked("application/json; charset=latin1", Body::empty()).await,
            Ok(())
        );
    }
}
