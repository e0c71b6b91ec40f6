//! The public certificate: loaded, checked, and exchanged under running connections when its files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::certificate::{CertificateError, Mark, check_date, mark, read};
use crate::live::Live;
use crate::metrics::Metrics;

/// How often the files are looked at. A new certificate is served well within 2 s.
const POLL: Duration = Duration::from_millis(500);

/// The certificate that new handshakes get.
#[derive(Debug)]
pub(super) struct Certificates {
    current: ArcSwap<CertifiedKey>,
    /// What the files looked like before they were first read.
    first: Files,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificates {
    /// At the start an out-of-date certificate is used: clients that do not check must not be locked out.
    pub(super) fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, CertificateError> {
        let first = Files::at(cert, key);
        let pair = read(cert, key)?;
        if let Err(error) = check_date(cert, &pair) {
            error!(%error, "clients that check certificates will refuse this one");
        }
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(pair),
            first,
        }))
    }

    /// Exchanges the certificate when its files change, and keeps the old one where the new files are no good.
    pub(super) async fn follow(self: Arc<Self>, live: Arc<Live>, metrics: Arc<Metrics>) {
        let mut seen = self.first.clone();
        let mut suspect: Option<Files> = None;
        let mut reported: Option<Files> = None;
        let mut tick = interval(POLL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let files = Files::of(&live);
            if files == seen || reported.as_ref() == Some(&files) {
                continue;
            }
            let loaded = read(&files.cert, &files.key)
                .and_then(|pair| check_date(&files.cert, &pair).map(|()| pair));
            match loaded {
                Ok(pair) => {
                    self.current.store(Arc::new(pair));
                    metrics.certificates.with_label_values(&["ok"]).inc();
                    info!(cert = %files.cert.display(), "new certificate in use");
                    (seen, suspect, reported) = (files, None, None);
                }
                // Certificate and key are two files: between the two writes they do not match. Only what stays is said.
                Err(_) if suspect.as_ref() != Some(&files) => suspect = Some(files),
                Err(error) => {
                    metrics.certificates.with_label_values(&["refused"]).inc();
                    error!(%error, "the new certificate is refused, the old one stays in use");
                    reported = Some(files);
                }
            }
        }
    }
}

/// What the files look like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    marks: [Mark; 2],
}

impl Files {
    /// Of the table in force.
    fn of(live: &Live) -> Self {
        let snapshot = live.load();
        let server = &snapshot.table.config().server;
        Self::at(&server.cert, &server.key)
    }

    fn at(cert: &Path, key: &Path) -> Self {
        Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            marks: [cert, key].map(mark),
        }
    }
}

/// TLS 1.2 and 1.3, HTTP/2 or HTTP/1.1 by ALPN.
pub(super) fn server_config(certificates: Arc<Certificates>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    match rustls::crypto::ring::Ticketer::new() {
        Ok(ticketer) => config.ticketer = ticketer,
        Err(error) => warn!(%error, "TLS sessions are resumed from memory only"),
    }
    Arc::new(config)
}
