//! `strangler certs`: a development CA and a server certificate for the names that are given.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// The CA is known by this name, so that a later run can sign with the key alone.
const CA_NAME: &str = "strangler development CA";
/// The longest that browsers accept.
const SERVER_DAYS: i64 = 397;
const CA_DAYS: i64 = 3650;

pub(super) fn certs(folder: &Path, names: &[String]) -> anyhow::Result<()> {
    let made = create(folder, names)?;
    super::print(&made)
}

/// Writes `ca.pem`, `ca-key.pem`, `server.pem` and `server-key.pem`. A CA that is there signs again, since somebody may
/// trust it already. Returns what to tell the user.
///
/// # Errors
/// When a name is no name, or a file cannot be read or written.
pub fn create(folder: &Path, names: &[String]) -> anyhow::Result<String> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let (ca_path, ca_key_path) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
    let ca_params = ca_params()?;
    let reused = match (ca_path.exists(), ca_key_path.exists()) {
        (true, true) => true,
        (false, false) => false,
        _ => bail!(
            "only one of `{}` and `{}` is there",
            ca_path.display(),
            ca_key_path.display()
        ),
    };
    let ca_key = if reused {
        let pem = fs::read_to_string(&ca_key_path)
            .with_context(|| format!("cannot read `{}`", ca_key_path.display()))?;
        KeyPair::from_pem(&pem)
            .with_context(|| format!("`{}` holds no key", ca_key_path.display()))?
    } else {
        let key = KeyPair::generate()?;
        write(&ca_path, &ca_params.self_signed(&key)?.pem(), 0o644)?;
        write(&ca_key_path, &key.serialize_pem(), 0o600)?;
        key
    };
    let issuer = Issuer::new(ca_params, ca_key);
    let key = KeyPair::generate()?;
    let server = server_params(names)?
        .signed_by(&key, &issuer)
        .context("cannot sign the server certificate")?;
    write(&folder.join("server.pem"), &server.pem(), 0o644)?;
    write(&folder.join("server-key.pem"), &key.serialize_pem(), 0o600)?;
    let ca = if reused {
        "signed by the CA that was there"
    } else {
        "with a new CA"
    };
    Ok(format!(
        "{}: server.pem for {}, {ca}; valid for {SERVER_DAYS} days\n",
        folder.display(),
        names.join(", ")
    ))
}

fn ca_params() -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, CA_DAYS);
    Ok(params)
}

fn server_params(names: &[String]) -> anyhow::Result<CertificateParams> {
    let mut params =
        CertificateParams::new(names).context("a certificate cannot carry such a name")?;
    let first = names.first().context("a certificate needs a name")?;
    params
        .distinguished_name
        .push(DnType::CommonName, first.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, SERVER_DAYS);
    Ok(params)
}

/// From yesterday on, for clients whose clock is behind.
fn valid_for(params: &mut CertificateParams, days: i64) {
    let yesterday = OffsetDateTime::now_utc() - Duration::DAY;
    params.not_before = yesterday;
    params.not_after = yesterday + Duration::days(days);
}

/// Renamed into place, since a running proxy re-reads the file when it changes.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let temporary = path.with_extension("pem.new");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    written.with_context(|| format!("cannot write `{}`", path.display()))
}
