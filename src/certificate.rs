//! Certificate files: read, checked, and told apart from what they were before.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Certificate and key files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Missing, unreadable, empty or cut.
    #[error("cannot read a {what} from `{}`: {source}", .path.display())]
    Read {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// No certificate in the file.
    #[error("`{}` holds no certificate", .0.display())]
    Empty(PathBuf),
    /// Not X.509.
    #[error("`{}` does not begin with an X.509 certificate", .0.display())]
    Malformed(PathBuf),
    /// The key is not the certificate's.
    #[error("`{}` and `{}` do not belong together", .cert.display(), .key.display())]
    Mismatch {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Out of date.
    #[error("the certificate in `{}` is out of date", .0.display())]
    OutOfDate(PathBuf),
    /// A kind of key that rustls does not sign with.
    #[error("the key in `{}` is of no supported kind", .0.display())]
    Key(PathBuf),
}

impl CertificateError {
    /// Whether the file of the key is the one to look at.
    pub(crate) fn is_about_key(&self) -> bool {
        match self {
            Self::Read { what, .. } => *what == PRIVATE_KEY,
            Self::Key(_) => true,
            Self::Empty(_) | Self::Malformed(_) | Self::Mismatch { .. } | Self::OutOfDate(_) => {
                false
            }
        }
    }
}

/// `what` of an error about the key.
const PRIVATE_KEY: &str = "private key";

/// What a file looks like from outside: inode, length, time of the last change. `None` where there is none.
pub(crate) type Mark = Option<(u64, u64, i64, i64)>;

/// The mark of a file now.
pub(crate) fn mark(path: &Path) -> Mark {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// Reads a chain and its key, which must belong together.
///
/// # Errors
/// When a file cannot be read, or the two do not fit.
pub(crate) fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::Read {
            what,
            path: path.clone(),
            source,
        }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .map_err(failed("certificate", cert))?
        .collect::<Result<_, _>>()
        .map_err(failed("certificate", cert))?;
    let Some(leaf) = chain.first() else {
        return Err(CertificateError::Empty(cert.to_owned()));
    };
    in_date(leaf, 0).map_err(|_| CertificateError::Malformed(cert.to_owned()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(failed(PRIVATE_KEY, key))?;
    let signer = any_supported_type(&private).map_err(|_| CertificateError::Key(key.to_owned()))?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(pair)
        }
        Err(_) => Err(CertificateError::Mismatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        }),
    }
}

/// Refuses a pair whose leaf is out of date.
///
/// # Errors
/// When it is.
pub(crate) fn check_date(path: &Path, pair: &CertifiedKey) -> Result<(), CertificateError> {
    let leaf = pair
        .cert
        .first()
        .ok_or_else(|| CertificateError::Empty(path.to_owned()))?;
    match in_date(leaf, unix_now()) {
        Ok(true) => Ok(()),
        _ => Err(CertificateError::OutOfDate(path.to_owned())),
    }
}

/// Whether a certificate is in date at `now`, in seconds since 1970.
///
/// # Errors
/// When it is not X.509.
pub(crate) fn in_date(
    certificate: &CertificateDer<'_>,
    now: u64,
) -> Result<bool, x509_cert::der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    let validity = certificate.tbs_certificate().validity();
    let from = validity.not_before.to_unix_duration().as_secs();
    let until = validity.not_after.to_unix_duration().as_secs();
    Ok((from..=until).contains(&now))
}

/// Seconds since 1970, now.
#[must_use]
pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
