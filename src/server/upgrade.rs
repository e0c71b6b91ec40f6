//! Requests that want to leave HTTP (RFC 9110 §7.8): what was asked, whether Node granted just that, and the tunnel that
//! follows. A tunnel opens only after a valid 101; every other answer passes as it is.

use std::sync::Arc;

use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::request::Parts;
use http::{Response, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

use crate::bridge::tunnel::tunnel;
use crate::budget::waiter::Waiter;
use crate::server::connection::Client;
use crate::upstream::answer::NodeBody;
use crate::upstream::forward::ForwardError;
use crate::upstream::headers::strip_hop_by_hop;
use crate::upstream::websocket::accept_for;

/// An HTTP/1.1 request that wants to switch protocols.
pub(super) fn is_upgrade(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11
        && parts.headers.contains_key(UPGRADE)
        && tokens(&parts.headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// The entries of a list field, over all its lines.
fn tokens<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

/// What a client wants to switch to.
pub(super) struct Upgrade {
    /// In its order of preference.
    protocols: Vec<String>,
    websocket_key: Option<HeaderValue>,
    client: OnUpgrade,
}

impl Upgrade {
    /// `None` for a request that stays HTTP.
    pub(super) fn of(parts: &mut Parts) -> Option<Self> {
        if !is_upgrade(parts) {
            return None;
        }
        Some(Self {
            protocols: tokens(&parts.headers, &UPGRADE)
                .map(str::to_owned)
                .collect(),
            websocket_key: parts.headers.get(SEC_WEBSOCKET_KEY).cloned(),
            client: parts.extensions.remove()?,
        })
    }

    /// Asks Node for the same.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(protocols) = HeaderValue::try_from(self.protocols.join(", ")) {
            headers.insert(UPGRADE, protocols);
        }
    }

    /// Joins client and Node with a tunnel once both have switched, if Node's 101 switches to what was asked.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn join(
        self,
        response: &mut Response<NodeBody>,
        client: &Arc<Client>,
        rule: &str,
    ) -> Result<(), ForwardError> {
        let protocol = self
            .granted(response.headers())
            .ok_or(ForwardError::WrongUpgrade)?;
        let node = hyper::upgrade::on(&mut *response);
        let place = response.body_mut().take_place();
        let headers = response.headers_mut();
        strip_hop_by_hop(headers);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol.clone());

        client.state.became_tunnel();
        let shared = Arc::clone(&client.acceptor.shared);
        let rule = rule.to_owned();
        let seated = client.acceptor.count();
        let waiter = Waiter::new(&shared.budget);
        client.acceptor.tasks.spawn(async move {
            let (client, node) = match tokio::try_join!(self.client, node) {
                Ok((client, node)) => (TokioIo::new(client), TokioIo::new(node)),
                Err(error) => {
                    debug!(%rule, %error, "a tunnel did not open");
                    return;
                }
            };
            let websocket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
            shared.metrics.tunnels.inc();
            tokio::select! {
                () = tunnel(client, node, websocket, Some(&waiter), shared.stop.clone()) => {}
                () = waiter.ended() => debug!(%rule, "a tunnel is ended for the sake of others"),
            }
            shared.metrics.tunnels.dec();
            drop((seated, place));
        });
        Ok(())
    }

    /// The protocol that a 101 switches to, if it was asked for. A WebSocket proves that it read the key (RFC 6455
    /// §4.2.2).
    fn granted(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let granted = headers.get(UPGRADE)?;
        let named = granted.to_str().ok()?;
        let asked = self
            .protocols
            .iter()
            .any(|asked| asked.eq_ignore_ascii_case(named));
        let proven = match &self.websocket_key {
            Some(key) if named.eq_ignore_ascii_case("websocket") => {
                let accept = headers.get(SEC_WEBSOCKET_ACCEPT)?;
                accept.as_bytes() == accept_for(key).as_bytes()
            }
            _ => true,
        };
        (asked && proven).then(|| granted.clone())
    }
}
