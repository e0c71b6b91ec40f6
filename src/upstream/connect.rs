//! Opens a connection to Node: TCP, and TLS with the trust that `[node]` names.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate::in_date;
use crate::config::{self, Trust};
use crate::upstream::Target;

/// A `[node]` table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// The file of `ca` or `pin`.
    #[error("cannot read a certificate from `{}`", .path.display())]
    Certificate {
        /// Where it was looked for.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file of `ca` holds no usable CA.
    #[error("`{}` holds no usable CA certificate", .0.display())]
    NoCa(PathBuf),
    /// `server_name` or the host of `url`.
    #[error("`{0}` is not a name that a certificate can carry")]
    ServerName(String),
}

/// Why no connection to Node came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// TCP.
    #[error("cannot connect to node")]
    Tcp(#[source] io::Error),
    /// TLS, usually a certificate that is not the expected one.
    #[error("the TLS handshake with node failed")]
    Tls(#[source] io::Error),
    /// Neither within `connect_timeout`.
    #[error("node did not accept the connection in time")]
    Timeout,
}

/// A connection to Node.
#[derive(Debug)]
pub(crate) enum NodeStream {
    /// `http`
    Plain(TcpStream),
    /// `https`
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects within `connect_timeout`.
///
/// # Errors
/// When Node refuses, hangs, or is not the one expected.
pub(crate) async fn connect(target: &Target) -> Result<NodeStream, ConnectError> {
    let open = async {
        let url = &target.settings.url;
        let tcp = TcpStream::connect((url.host.as_str(), url.port))
            .await
            .map_err(ConnectError::Tcp)?;
        tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
        SockRef::from(&tcp)
            .set_keepalive(true)
            .map_err(ConnectError::Tcp)?;
        match &target.tls {
            None => Ok(NodeStream::Plain(tcp)),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(ConnectError::Tls)?;
                Ok(NodeStream::Tls(Box::new(stream)))
            }
        }
    };
    timeout(target.settings.connect_timeout, open)
        .await
        .unwrap_or(Err(ConnectError::Timeout))
}

/// The TLS side of `[node]`, `None` for `http`.
pub(super) fn connector(
    node: &config::Node,
) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>, TargetError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match &node.trust {
        Trust::Plain => return Ok(None),
        Trust::Ca(path) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(path)?);
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|_| TargetError::NoCa(path.clone()))?
        }
        Trust::Pin(path) => {
            let leaf = certificates(path)?.into_iter().next();
            let leaf = leaf.ok_or_else(|| TargetError::NoCa(path.clone()))?;
            Arc::new(LeafVerifier {
                pin: Some(leaf),
                provider: Arc::clone(&provider),
            })
        }
        Trust::Insecure => Arc::new(LeafVerifier {
            pin: None,
            provider: Arc::clone(&provider),
        }),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(node.server_name.clone())
        .map_err(|_| TargetError::ServerName(node.server_name.clone()))?;
    Ok(Some((Arc::new(config), name)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TargetError> {
    let failed = |source| TargetError::Certificate {
        path: path.to_owned(),
        source,
    };
    CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// Accepts the one pinned leaf while it is in date, or any leaf where nothing is pinned. The signature of the
/// handshake is checked in both cases: whoever shows a leaf must hold its key.
#[derive(Debug)]
struct LeafVerifier {
    pin: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for LeafVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(pin) = &self.pin else {
            return Ok(ServerCertVerified::assertion());
        };
        if pin.as_ref() != leaf.as_ref() {
            return Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ));
        }
        match in_date(leaf, now.as_secs()) {
            Ok(true) => Ok(ServerCertVerified::assertion()),
            Ok(false) => Err(Error::InvalidCertificate(CertificateError::Expired)),
            Err(_) => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl AsyncRead for NodeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for NodeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
