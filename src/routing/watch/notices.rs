//! What inotify tells, boiled down to: is a writer at work, and is there a reason to look.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use tokio::sync::Notify;

/// Why to look at the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// It is time to, or something near the file changed.
    Poll,
    /// The file was closed after a write, created, removed, or has other attributes.
    Closed,
    /// The file is complete: another one was renamed to it.
    Whole,
}

/// Filled by the thread of `notify`, emptied by `Watch`; bounded, however much happens.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    news: News,
    stale: Stale,
    paths: Paths,
}

/// What happened since it was last taken.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) trigger: Option<Trigger>,
    /// Someone wrote to the file and has not closed it since.
    pub(crate) modified: bool,
    /// Who wrote earlier has closed it.
    pub(crate) closed: bool,
}

/// Watches that may be on an inode that has lost its name.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Stale {
    pub(crate) file: bool,
    pub(crate) directories: bool,
}

/// How events name what they are about.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// The file: its name in its directory, and what that leads to.
    pub(crate) own: Vec<PathBuf>,
    /// The directories of both.
    pub(crate) directories: Vec<PathBuf>,
}

impl Notices {
    /// Completes when there is something to take, perhaps nothing new.
    pub(crate) async fn come(&self) {
        self.bell.notified().await;
    }

    pub(crate) fn take(&self) -> News {
        std::mem::take(&mut self.lock().news)
    }

    pub(crate) fn take_stale(&self) -> Stale {
        std::mem::take(&mut self.lock().stale)
    }

    pub(crate) fn set_paths(&self, paths: Paths) {
        self.lock().paths = paths;
    }

    /// Called on the thread of `notify`.
    pub(crate) fn handle(&self, event: notify::Result<notify::Event>) {
        // Reading opens the file, also here.
        if event
            .as_ref()
            .is_ok_and(|event| matches!(event.kind, EventKind::Access(AccessKind::Open(_))))
        {
            return;
        }
        let mut state = self.lock();
        let State { news, stale, paths } = &mut *state;
        // The queue of inotify may overflow.
        let event = event.ok().filter(|event| !event.need_rescan());
        let touches = |paths: &[PathBuf], event: &notify::Event| {
            event.paths.iter().any(|path| paths.contains(path))
        };
        match event {
            Some(event) if touches(&paths.own, &event) => handle_own(event.kind, news, stale),
            Some(event) if touches(&paths.directories, &event) => match event.kind {
                EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                    news.trigger.get_or_insert(Trigger::Poll);
                    stale.directories = true;
                }
                _ => return,
            },
            // Links and directories lead to the file, as `..data` does for Kubernetes. Other files do not matter,
            // and there may be a busy database among them.
            Some(event) => match event.kind {
                EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To))
                    if !event.paths.iter().any(|path| is_file(path)) =>
                {
                    news.trigger.get_or_insert(Trigger::Poll);
                }
                _ => return,
            },
            None => {
                news.trigger.get_or_insert(Trigger::Poll);
            }
        }
        drop(state);
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn handle_own(kind: EventKind, news: &mut News, stale: &mut Stale) {
    match kind {
        EventKind::Modify(ModifyKind::Data(_)) => (news.modified, news.trigger) = (true, None),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
            (news.modified, news.closed, news.trigger) = (false, true, Some(Trigger::Closed));
        }
        EventKind::Create(_) => {
            (news.modified, news.closed, news.trigger) = (false, true, Some(Trigger::Closed));
            stale.file = true;
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
            (news.modified, news.closed, news.trigger) = (false, true, Some(Trigger::Whole));
            stale.file = true;
        }
        // A file that a rename replaces is removed after it, which does not make the new one less complete.
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            news.trigger.get_or_insert(Trigger::Closed);
            (news.modified, news.closed, stale.file) = (false, true, true);
        }
        EventKind::Modify(ModifyKind::Metadata(_)) => {
            news.trigger.get_or_insert(Trigger::Closed);
            stale.file = true;
        }
        _ => {}
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}
