//! The dashboard over the usage that Claude Code leaves in `~/.claude`.

mod answer;
mod body;
mod iso;
mod limiter;
mod logs;
mod number;
mod page;
mod query;
mod route;

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
