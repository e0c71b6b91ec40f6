//! What a request to the path of Engine.IO asks for, and what Node answers to those that it refuses.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;

use super::Answer;

/// More parameters than this Node does not read.
const MAX_PARAMETERS: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransportName {
    Polling,
    WebSocket,
}

/// The parameters that mean something, as Node's `querystring` reads them. Of one that is repeated Node makes an array,
/// which is equal to no text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query<'q> {
    /// `EIO=4`. All else counts as version 3.
    pub(crate) version_4: bool,
    /// Empty if there is none of this name.
    pub(crate) transport: Option<TransportName>,
    /// An empty one is none.
    pub(crate) sid: Option<Cow<'q, str>>,
    /// Polling by script elements.
    pub(crate) jsonp: bool,
}

/// A request that Node would serve, if the session has this transport.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'q> {
    Handshake {
        transport: TransportName,
    },
    Session {
        sid: Cow<'q, str>,
        transport: TransportName,
    },
}

/// The errors of the protocol, with Node's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownTransport,
    UnknownSid,
    BadHandshakeMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
}

impl<'q> Query<'q> {
    pub(crate) fn parse(query: &'q str) -> Self {
        let mut version = Vec::new();
        let mut transport = Vec::new();
        let mut sid = Vec::new();
        let mut j = Vec::new();
        for (name, parameter) in parameters(query) {
            let (_, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let values = match name.as_ref() {
                "EIO" => &mut version,
                "transport" => &mut transport,
                "sid" => &mut sid,
                "j" => &mut j,
                _ => continue,
            };
            values.push(unescape(value));
        }
        let sid = match sid.len() {
            0 | 1 => sid.pop().filter(|sid| !sid.is_empty()),
            _ => Some(sid.join(",").into()),
        };
        Self {
            version_4: version == ["4"],
            transport: match transport.as_slice() {
                [name] if name == "polling" => Some(TransportName::Polling),
                [name] if name == "websocket" => Some(TransportName::WebSocket),
                _ => None,
            },
            sid,
            jsonp: j.len() == 1,
        }
    }

    /// Judges in Node's order (`verify`, then `handshake`). Whether the session has the transport it knows itself.
    /// Node's check of `Origin` has no counterpart: a header value cannot hold what it forbids.
    pub(crate) fn request(
        self,
        method: &Method,
        upgrade: bool,
        is_known: impl FnOnce(&str) -> bool,
    ) -> Result<Request<'q>, Refused> {
        let transport = self.transport.ok_or(Refused::UnknownTransport)?;
        if let Some(sid) = self.sid {
            return if is_known(&sid) {
                Ok(Request::Session { sid, transport })
            } else {
                Err(Refused::UnknownSid)
            };
        }
        if method != Method::GET {
            return Err(Refused::BadHandshakeMethod);
        }
        if transport == TransportName::WebSocket && !upgrade {
            return Err(Refused::BadRequest);
        }
        if !self.version_4 {
            return Err(Refused::UnsupportedVersion);
        }
        Ok(Request::Handshake { transport })
    }
}

/// The parameters that Node reads, each with its name, which may be spelled with escapes.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters.take(MAX_PARAMETERS).map(|parameter| {
        let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
        (unescape(name), parameter)
    })
}

/// `+` is a space, and an escape that is none stays as it is.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let digit = |at: usize| {
            let digit = after.get(at).copied().map(char::from);
            digit.and_then(|digit| digit.to_digit(16))
        };
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high << 4 | low));
                rest = &after[2..];
            }
            (b'+', _, _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

impl Refused {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSid => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedVersion => 5,
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    pub(crate) fn answer_to(self, upgrade: bool) -> Answer {
        match upgrade {
            true => self.upgrade_answer(),
            false => self.answer(),
        }
    }

    /// To a request without `Upgrade`.
    pub(crate) fn answer(self) -> Answer {
        let (code, message) = (self.code(), self.message());
        Answer {
            status: if self == Self::Forbidden { 403 } else { 400 },
            content_type: Some("application/json"),
            body: format!(r#"{{"code":{code},"message":"{message}"}}"#).into(),
        }
    }

    /// To an upgrade. Node writes this one with `Content-Length` and `Connection: close`.
    pub(crate) fn upgrade_answer(self) -> Answer {
        Answer {
            status: 400,
            content_type: Some("text/html"),
            body: Bytes::from_static(self.message().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of the refusal, or what was understood; the only session is `known`.
    fn judge(method: &str, upgrade: bool, query: &str) -> Result<String, u8> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        Query::parse(query)
            .request(&method, upgrade, |sid| sid == "known")
            .map(|request| match request {
                Request::Handshake { transport } => format!("{transport:?}"),
                Request::Session { sid, transport } => format!("{transport:?} {sid}"),
            })
            .map_err(Refused::code)
    }

    #[test]
    fn requests_are_judged_as_node_judges_them() {
        let polling = || Ok("Polling".to_owned());
        let cases = [
            ("GET", false, "EIO=4&transport=polling", polling()),
            ("GET", false, "EIO=4&transport=polling&sid=", polling()),
            ("GET", false, "EIO=4&transport=polling&sid", polling()),
            ("GET", false, "&&EIO=4&&transport=polling", polling()),
            ("GET", false, "%45IO=4&transport=poll%69ng", polling()),
            ("GET", false, "EIO=4&transport=abc", Err(0)),
            ("GET", false, "EIO=4", Err(0)),
            ("GET", false, "", Err(0)),
            ("GET", false, "EIO=4&transport=webtransport", Err(0)),
            ("GET", false, "EIO=4;transport=polling", Err(0)),
            ("GET", false, "EIO=4&transport=polling?x", Err(0)),
            ("GET", false, "EIO=4&transport=polling+", Err(0)),
            (
                "GET",
                false,
                "EIO=4&transport=polling&transport=polling",
                Err(0),
            ),
            ("POST", false, "EIO=4&transport=abc&sid=known", Err(0)),
            ("GET", false, "EIO=4&transport=polling&sid=abc", Err(1)),
            (
                "GET",
                false,
                "EIO=4&transport=polling&sid=known&sid=known",
                Err(1),
            ),
            ("GET", false, "EIO=4&transport=polling&sid=%zz", Err(1)),
            ("POST", false, "EIO=4&transport=polling", Err(2)),
            ("PUT", false, "EIO=3&transport=polling", Err(2)),
            ("GET", false, "EIO=4&transport=websocket", Err(3)),
            ("GET", false, "EIO=3&transport=websocket", Err(3)),
            ("GET", false, "EIO=3&transport=polling", Err(5)),
            ("GET", false, "transport=polling", Err(5)),
            ("GET", false, "EIO=4&EIO=4&transport=polling", Err(5)),
            ("GET", false, "EIO=4+&transport=polling", Err(5)),
            (
                "GET",
                true,
                "EIO=4&transport=websocket",
                Ok("WebSocket".to_owned()),
            ),
            (
                "DELETE",
                false,
                "transport=polling&sid=%6Bnown",
                Ok("Polling known".to_owned()),
            ),
        ];
        for (method, upgrade, query, expected) in cases {
            assert_eq!(
                judge(method, upgrade, query),
                expected,
                "{method} {upgrade} {query}"
            );
        }
    }

    #[test]
    fn only_so_many_parameters_are_read() {
        let query = |before| format!("{}transport=polling", "a=b&".repeat(before));
        assert!(Query::parse(&query(999)).transport.is_some());
        assert!(Query::parse(&query(1000)).transport.is_none());
    }

    #[test]
    fn scripts_are_told_from_polls() {
        assert!(Query::parse("j=0").jsonp);
        assert!(Query::parse("j=").jsonp);
        assert!(!Query::parse("t=0").jsonp);
        assert!(!Query::parse("j=0&j=1").jsonp);
    }

    #[test]
    fn refusals_are_nodes() {
        let answer = Refused::UnknownSid.answer();
        assert_eq!(answer.status, 400);
        assert_eq!(answer.content_type, Some("application/json"));
        assert_eq!(answer.body, r#"{"code":1,"message":"Session ID unknown"}"#);
        assert_eq!(Refused::Forbidden.answer().status, 403);
        let answer = Refused::UnknownTransport.upgrade_answer();
        assert_eq!(answer.status, 400);
        assert_eq!(answer.content_type, Some("text/html"));
        assert_eq!(answer.body, "Transport unknown");
    }
}
