//! The dashboard over the usage that Claude Code leaves in `~/.claude`.

mod answer;
mod iso;
mod number;
mod page;
mod query;

#[cfg(test)]
mod oracle;

/// What to do where Node's answer is a bug that hurts its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compat {
    /// The right thing.
    Intended,
    /// What Node does.
    Exact,
}
