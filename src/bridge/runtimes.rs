//! Current-thread runtimes that get their work in turns. Work that is given to one stays there, and keeps its order.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::runtime::Handle;

/// One runtime for each thread of a kind.
#[derive(Debug)]
pub(crate) struct Runtimes {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Runtimes {
    /// Of at least one thread.
    pub(crate) fn new(handles: Vec<Handle>) -> Self {
        Self {
            handles,
            next: AtomicUsize::new(0),
        }
    }

    /// The next one in turn.
    pub(crate) fn next(&self) -> &Handle {
        let next = self.next.fetch_add(1, Relaxed);
        &self.handles[next % self.handles.len()]
    }
}
