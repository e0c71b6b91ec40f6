//! The dashboard over the usage that Claude Code leaves in `~/.claude`.

mod answer;
mod body;
mod date;
mod index;
mod iso;
mod limiter;
mod logs;
mod money;
mod number;
mod page;
mod query;
mod route;
mod usage;
mod zone;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod v8;

/// What to do where Node's answer is a bug that hurts its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compat {
    /// The right thing.
    Intended,
    /// What Node does.
    Exact,
}
