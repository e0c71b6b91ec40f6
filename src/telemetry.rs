//! Logging: where it goes, in which form, and what it never holds. Messages read alone; fields are for searching. No
//! output of `serve` can end the proxy or keep it waiting: `output` says how.

mod limiter;
mod output;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic;
use std::sync::Arc;

use prometheus::IntCounter;
use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use output::Output;

pub(crate) use limiter::LogLimiter;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log of the process. Dropped, it waits for its last lines, but not for a reader that hangs.
#[derive(Debug)]
pub(crate) struct Log(Arc<Output>);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Starts logging to standard error, filtered by `RUST_LOG` (default `info`). Panics become log lines. `lost` counts
/// the lines that nobody gets to read.
///
/// # Errors
/// When the process has no descriptor or no thread left.
pub(crate) fn start(format: LogFormat, lost: IntCounter) -> io::Result<Log> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A descriptor of its own: the lock of `io::stderr` would keep everybody waiting who prints there.
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let output = Output::start(file, lost)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Arc::clone(&output))
        // These would be printed with `eprintln!`, which panics if standard error is gone.
        .log_internal_errors(false)
        .with_timer(SystemTime);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // The hook of the standard library prints, which can block. A panic in a hook ends the process; this one only puts
    // a line into a buffer.
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("no message");
        // The text may quote what a client sent.
        error!(place, "panic: {}", message.escape_debug());
    }));
    Ok(Log(output))
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::OpenOptions;
    use std::process::{Command, Stdio};

    use super::*;

    const CHILD: &str = "STRANGLER_TEST_PANICS";

    /// Issue 9: a panic whose message cannot be printed must not become the end of the process.
    #[test]
    fn a_panic_is_survived_whatever_standard_error_is() {
        if env::var_os(CHILD).is_some() {
            let log = start(LogFormat::Text, IntCounter::new("lost", "lost").unwrap());
            let panics = || std::thread::spawn(|| panic!("on purpose")).join();
            assert!(panics().is_err() && panics().is_err());
            return drop(log.unwrap());
        }
        let (reader, gone) = io::pipe().unwrap();
        drop(reader);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (mut reader, heard) = io::pipe().unwrap();
        for (name, stderr) in [
            ("gone", Stdio::from(gone)),
            ("full", full.into()),
            ("heard", heard.into()),
        ] {
            let status = Command::new(env::current_exe().unwrap())
                .args([
                    "--exact",
                    "telemetry::tests::a_panic_is_survived_whatever_standard_error_is",
                ])
                .env(CHILD, "1")
                .stdout(Stdio::null())
                .stderr(stderr)
                .status();
            assert!(status.unwrap().success(), "{name}");
        }
        let text = io::read_to_string(&mut reader).unwrap();
        assert_eq!(text.matches("panic: on purpose").count(), 2, "{text}");
    }
}
