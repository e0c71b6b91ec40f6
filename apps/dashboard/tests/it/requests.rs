//! The native dashboard beside its original, as the proxy serves both: a sample of what `scripts/torture dashboard`
//! compares at length, with the same generated requests.

use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn generated_requests_are_answered_as_by_the_original() {
    let output = Command::new("python3")
        .args(["-m", "torture", "dashboard", "--sample", "--binary"])
        .arg(env!("CARGO_BIN_EXE_dashboard"))
        .env("PYTHONPATH", format!("{ROOT}/scripts/lib"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3 can be started");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
