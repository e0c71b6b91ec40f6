//! Node, the legacy application: who it is (`Target`), how it is reached and recognised (`connect`), its pooled
//! connections (`pool`) and those that belong to one client (`login`), the way of one request to it (`forward`,
//! `headers`, `length`), what Node learns of its client (`hop`, `forwarded`), and the process itself (`process`). The
//! `breaker` decides when the other side, native, is left alone for a while.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod breaker;
pub(crate) mod connect;
pub(crate) mod forward;
mod forwarded;
pub(crate) mod headers;
pub(crate) mod health;
pub(crate) mod hop;
pub(crate) mod length;
pub(crate) mod login;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod websocket;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::certificate::{Mark, mark};
use crate::config::{self, Trust};

pub(crate) use connect::TargetError;

/// Node as one table sees it. A reload that changes `[node]` makes a new one, and connections to the old one are not
/// used again.
#[derive(Debug)]
pub(crate) struct Target {
    /// The `[node]` table.
    pub settings: config::Node,
    /// For `https`: how to check it, and the name to ask for.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// What the file of `ca` or `pin` looked like when it was read.
    mark: Mark,
    /// `scheme://host:port` as a `Location` of Node's would spell it, without and with a default port.
    origins: Vec<String>,
}

impl Target {
    /// Reads the CA or the pinned certificate.
    ///
    /// # Errors
    /// When such a file cannot be read or holds no certificate.
    pub(crate) fn new(settings: config::Node) -> Result<Arc<Self>, TargetError> {
        let mark = trust_mark(&settings);
        let tls = connect::connector(&settings)?;
        let url = &settings.url;
        let scheme = if url.https { "https" } else { "http" };
        let host = if url.host.contains(':') {
            format!("[{}]", url.host)
        } else {
            url.host.clone()
        };
        let mut origins = vec![format!("{scheme}://{host}:{}", url.port)];
        if url.port == if url.https { 443 } else { 80 } {
            origins.push(format!("{scheme}://{host}"));
        }
        Ok(Arc::new(Self {
            tls,
            origins,
            settings,
            mark,
        }))
    }

    /// Whether a table with this `[node]` may go on with it: neither the keys nor the file that they name changed.
    pub(crate) fn is_still(&self, settings: &config::Node) -> bool {
        self.settings == *settings && self.mark == trust_mark(settings)
    }
}

fn trust_mark(settings: &config::Node) -> Mark {
    match &settings.trust {
        Trust::Ca(path) | Trust::Pin(path) => mark(path),
        Trust::Plain | Trust::Insecure => None,
    }
}
