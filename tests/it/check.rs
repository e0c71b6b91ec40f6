//! `strangler check` refuses the files that `serve` refuses.

use std::fs;
use std::path::Path;

use crate::life_cycle::output;
use crate::support::certs::Ca;

const ROUTES: &str = r#"
[server]
listen = "127.0.0.1:0"
cert = "server.pem"
key = "server-key.pem"

[node]
url = "https://127.0.0.1:3051"
ca = "ca.pem"
"#;

/// A file that is missing.
const MISSING: Option<&str> = None;

/// Issue 9: `check` passed what `serve` refused.
#[tokio::test]
async fn what_serve_refuses_check_refuses() {
    let ca = Ca::new();
    let (leaf, other) = (ca.leaf(), ca.leaf());
    let (cert, key) = (Some(leaf.cert.as_str()), Some(leaf.key.as_str()));
    let cut = &leaf.cert[..leaf.cert.len() / 2];
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bad_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let authority = Some(ca.pem());
    // Certificate, key and Node's CA; the line that is named, and what is said of it.
    let bad = [
        (
            MISSING,
            key,
            authority,
            4,
            "certificate]: cannot read a certificate from",
        ),
        (Some(""), key, authority, 4, "certificate]: "),
        (Some(cut), key, authority, 4, "certificate]: "),
        (
            Some(garbage),
            key,
            authority,
            4,
            "does not begin with an X.509 certificate",
        ),
        (
            cert,
            MISSING,
            authority,
            5,
            "certificate]: cannot read a private key from",
        ),
        (
            cert,
            Some(""),
            authority,
            5,
            "certificate]: cannot read a private key from",
        ),
        (
            cert,
            Some(leaf.cert.as_str()),
            authority,
            5,
            "cannot read a private key from",
        ),
        (cert, Some(bad_key), authority, 5, "is of no supported kind"),
        (
            cert,
            Some(other.key.as_str()),
            authority,
            4,
            "do not belong together",
        ),
        (
            cert,
            key,
            MISSING,
            9,
            "trust]: cannot read a certificate from",
        ),
        (cert, key, Some(""), 9, "trust]: "),
        (cert, key, Some(cut), 9, "trust]: "),
    ];
    for (cert, key, ca, line, message) in bad {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), cert, key, ca);
        let (good, rules, said) = output(&["check"], folder.path()).await;
        assert!(!good && rules.is_empty(), "{message}: {rules}{said}");
        for text in [
            &*format!("routes.toml:{line}:"),
            message,
            "error[",
            "--no-files",
            "1 error",
        ] {
            assert!(said.contains(text), "{text}: {said}");
        }
        let (good, _, serve) = output(&["serve"], folder.path()).await;
        assert!(
            !good && serve.contains(message.trim_start_matches("certificate]: ")),
            "{serve}"
        );
        let (good, rules, said) = output(&["check", "--no-files"], folder.path()).await;
        assert!(good && said.is_empty(), "{message}: {said}");
        assert!(
            rules.ends_with("routes.toml: 0 rules, no error\n"),
            "{rules}"
        );
    }
}

#[tokio::test]
async fn check_warns_of_a_certificate_that_is_out_of_date() {
    let ca = Ca::new();
    let leaf = ca.expired_leaf();
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        Some(&leaf.cert),
        Some(&leaf.key),
        Some(ca.pem()),
    );
    let (good, _, said) = output(&["check"], folder.path()).await;
    let warning = "warning[certificate]: the certificate in";
    assert!(
        good && said.contains(warning) && said.contains("routes.toml:4:"),
        "{said}"
    );
}

#[tokio::test]
async fn the_files_of_the_old_one_are_not_read() {
    let ca = Ca::new();
    let leaf = ca.leaf();
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        Some(&leaf.cert),
        Some(&leaf.key),
        Some(ca.pem()),
    );
    let old = ROUTES
        .replace("server.pem", "gone.pem")
        .replace("ca.pem", "gone-ca.pem");
    fs::write(folder.path().join("old.toml"), old).unwrap();
    let (good, change, said) = output(&["check", "old.toml", "routes.toml"], folder.path()).await;
    assert!(good && said.is_empty(), "{said}");
    assert!(change.contains("server.cert: changed"), "{change}");
    let back = ["routes.toml", "old.toml"];
    let (good, _, said) = output(&["check", back[0], back[1]], folder.path()).await;
    assert!(
        !good && said.contains("old.toml:4:") && said.contains("2 errors"),
        "{said}"
    );
    let (good, _, said) = output(&["check", "--no-files", back[0], back[1]], folder.path()).await;
    assert!(good && said.is_empty(), "{said}");
    let (good, ..) = output(&["check", "--no-files", "--schema"], folder.path()).await;
    assert!(!good);
}

fn write(folder: &Path, cert: Option<&str>, key: Option<&str>, ca: Option<&str>) {
    let files = [
        ("server.pem", cert),
        ("server-key.pem", key),
        ("ca.pem", ca),
        ("routes.toml", Some(ROUTES)),
    ];
    for (name, content) in files {
        if let Some(content) = content {
            fs::write(folder.join(name), content).unwrap();
        }
    }
}
