//! `strangler process`: what a native application makes of its data, for a Node that computes its answers from it.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;

use crate::apps;

/// The applications that have data to process.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Processor {
    /// The usage that Claude Code leaves in `.claude`.
    Dashboard,
}

pub(super) fn process(processor: Processor, home: &Path) -> anyhow::Result<()> {
    let text = match processor {
        Processor::Dashboard => apps::process_dashboard(home),
    };
    let text = text.with_context(|| format!("cannot process `{}`", home.display()))?;
    match io::stdout().write_all(&text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
