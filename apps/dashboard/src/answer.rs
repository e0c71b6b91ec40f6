//! What an endpoint answers, before the middleware has its say.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use strangler::express;

/// The answer of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A status and a body of JSON text.
    Json(StatusCode, Bytes),
    /// Express' error handler answers.
    Thrown(Thrown),
    /// What Node answers where it fails as native did here. Perhaps Node does not.
    Failed(Box<Self>),
}

/// What a handler of Express threw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thrown {
    pub(super) status: StatusCode,
    /// The text of the error, which clients see in development only.
    pub(super) message: String,
}

/// Answers that take long to make, by some key, for as long as what they were made of. The page of the dashboard asks for
/// few different ones, again and again.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<VecDeque<(String, Answer)>>);

/// How many are kept, of up to some 200 KB each.
const KEPT: usize = 8;

impl Kept {
    /// The one that was made for this key, or the one that is made now.
    pub(super) fn get(&self, key: String, make: impl FnOnce() -> Answer) -> Answer {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = lock().iter().find(|(known, _)| *known == key) {
            return answer.clone();
        }
        let answer = make();
        let mut kept = lock();
        kept.truncate(KEPT - 1);
        kept.push_front((key, answer.clone()));
        answer
    }
}

impl Answer {
    /// 200 with what `JSON.stringify` makes of the value.
    pub(super) fn json(body: &impl Serialize) -> Self {
        Self::with_status(StatusCode::OK, body)
    }

    /// `res.status(status).json(body)`
    pub(super) fn with_status(status: StatusCode, body: &impl Serialize) -> Self {
        match express::json_text(body) {
            Ok(text) => Self::Json(status, text.into()),
            Err(error) => Thrown::new(error.to_string()).failed(),
        }
    }

    /// A status and the two texts that most errors have.
    pub(super) fn error(status: StatusCode, error: &str, message: &str) -> Self {
        #[derive(Serialize)]
        struct Body<'b> {
            error: &'b str,
            message: &'b str,
        }
        Self::with_status(status, &Body { error, message })
    }

    /// The same with 400, for a parameter that does not do.
    pub(super) fn bad_request(error: &str, message: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, error, message)
    }

    /// The same with 404.
    pub(super) fn not_found(error: &str, message: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, error, message)
    }
}

impl Thrown {
    /// An error without a status of its own.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: message.into(),
        }
    }

    /// Where it was native that failed.
    pub(super) fn failed(self) -> Answer {
        Answer::Failed(Box::new(self.into()))
    }
}

impl From<Thrown> for Answer {
    fn from(thrown: Thrown) -> Self {
        Self::Thrown(thrown)
    }
}
