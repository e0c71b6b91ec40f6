//! The request that began a client's connection: what rules may look at for as long as it is open, and what Node is told
//! when a leg is opened for it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TE, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};

use crate::bridge::engineio::parameters;
use crate::budget::addresses::Address;
use crate::routing::RequestHead;

/// A client's first request.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) uri: Uri,
    /// As Node gets them: without those of the connection, with those that describe the client. Kept once, for rules
    /// too: an idle client shall not cost two maps.
    pub(crate) headers: HeaderMap,
    pub(crate) address: IpAddr,
    /// Whose legs count together; `None` for a client behind a trusted proxy.
    pub(crate) origin: Option<Arc<Address>>,
}

/// The same headers with their values in a buffer of their own. Those of a request are slices of the buffer that it was
/// read into, which would live as long as they do; with one each, every clone would add to all of them.
pub(crate) fn compact(headers: &HeaderMap) -> HeaderMap {
    let bytes: Vec<u8> = headers
        .values()
        .flat_map(HeaderValue::as_bytes)
        .copied()
        .collect();
    let mut rest = Bytes::from(bytes);
    let mut compact = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(rest.split_to(value.len())) {
            copy.set_sensitive(value.is_sensitive());
            compact.append(name, copy);
        }
    }
    compact
}

impl Handshake {
    /// Of a request with this target and these headers.
    pub(crate) fn new(uri: &Uri, headers: &HeaderMap, address: IpAddr) -> Self {
        let target = uri.to_string();
        Self {
            uri: Uri::try_from(target).unwrap_or_else(|_| uri.clone()),
            headers: compact(headers),
            address,
            origin: None,
        }
    }

    /// Bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        let fields = self.headers.iter();
        let target = self
            .uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len());
        target
            + fields
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum::<usize>()
    }

    /// What the table looks at.
    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &Method::GET,
            uri: &self.uri,
            headers: &self.headers,
            address: self.address,
        }
    }

    /// The request that opens a WebSocket to an Engine.IO server: what was decided on, the transport of the leg, `sid` for
    /// a session that Node has already, and the other parameters of the client. Of those that Engine.IO reads, none of
    /// the client's is left, however it is spelled: of two, Node would make a list, and take the client for an old one.
    pub(crate) fn engine_request(&self, sid: Option<&str>) -> Request<()> {
        let mut query = String::from("EIO=4&transport=websocket");
        if let Some(sid) = sid {
            query.push_str("&sid=");
            query.push_str(sid);
        }
        for (name, parameter) in parameters(self.uri.query().unwrap_or_default()) {
            if !matches!(&*name, "EIO" | "transport" | "sid" | "t" | "j" | "b64") {
                query.push('&');
                query.push_str(parameter);
            }
        }
        let target = format!("{}?{query}", self.uri.path());
        self.request(PathAndQuery::try_from(target).map_or_else(|_| self.uri.clone(), Uri::from))
    }

    /// The request that opens the WebSocket that the client asked for.
    pub(crate) fn websocket_request(&self) -> Request<()> {
        self.request(self.uri.clone())
    }

    fn request(&self, uri: Uri) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        for name in [
            CONNECTION,
            CONTENT_LENGTH,
            CONTENT_TYPE,
            EXPECT,
            SEC_WEBSOCKET_KEY,
            SEC_WEBSOCKET_VERSION,
            TE,
            UPGRADE,
        ] {
            request.headers_mut().remove(name);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_gets_the_query_of_the_client() {
        let handshake = Handshake {
            uri: "/socket.io/?%45IO=4&tr%61nsport=polling&t=abc&si%64=x&token=a%20b&%6a=1&x&b6%34"
                .parse()
                .expect("a target"),
            headers: HeaderMap::new(),
            address: [127, 0, 0, 1].into(),
            origin: None,
        };
        assert_eq!(
            handshake.engine_request(Some("abc")).uri(),
            "/socket.io/?EIO=4&transport=websocket&sid=abc&token=a%20b&x"
        );
    }
}
