//! Reads and adds up what changed before anybody asks. Questions are answered rightly without it, only later: they look
//! for themselves.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

/// So long a writer must have paused. Within a step of the clock of files, a change may leave no trace.
const QUIET: Duration = Duration::from_millis(50);

/// So long one is waited for that does not pause.
const LONGEST: Duration = Duration::from_secs(1);

/// What follows one folder.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Following {
        /// The thread ends with it, or when the folder is gone.
        _watcher: RecommendedWatcher,
        thread: JoinHandle<()>,
    },
    /// The machine allows no more watches.
    Impossible,
}

impl Ahead {
    /// Has `look` called after changes below the folder, from now on.
    pub(super) fn follow(&self, folder: &Path, look: impl Fn() + Send + 'static) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_begun = match &*state {
            State::Idle => false,
            State::Following { thread, .. } => !thread.is_finished(),
            State::Impossible => true,
        };
        if is_begun || !folder.is_dir() {
            return;
        }
        *state = begin(folder, look).unwrap_or_else(|error| {
            let folder = folder.display();
            tracing::warn!(%error, "changes below {folder} are read when somebody asks, not before");
            State::Impossible
        });
    }
}

fn begin(folder: &Path, look: impl Fn() + Send + 'static) -> notify::Result<State> {
    // One notice that has not been taken is as good as many.
    let (bell, notices) = sync_channel(1);
    let mut bell = Some(bell);
    let root = folder.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if let Some(bell) = &bell
            && !event.as_ref().is_ok_and(is_read)
        {
            let _ = bell.try_send(());
        }
        if event.is_ok_and(|event| takes_away(&event, &root)) {
            bell = None;
        }
    })?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    let name = "dashboard-ahead".to_owned();
    let work = move || {
        while wait(&notices) {
            look();
        }
    };
    let thread = thread::Builder::new().name(name).spawn(work)?;
    Ok(State::Following {
        _watcher: watcher,
        thread,
    })
}

/// Reading opens files, also here.
fn is_read(event: &Event) -> bool {
    matches!(event.kind, EventKind::Access(AccessKind::Open(_)))
}

/// Whether the folder has no longer its name.
fn takes_away(event: &Event, folder: &Path) -> bool {
    let is_of_names = matches!(
        event.kind,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
    );
    is_of_names && event.paths.first().is_some_and(|path| path == folder)
}

/// Until something has changed, and then nothing for a while. `false` if there will be nothing more.
fn wait(notices: &Receiver<()>) -> bool {
    if notices.recv().is_err() {
        return false;
    }
    let end = Instant::now() + LONGEST;
    while Instant::now() < end && notices.recv_timeout(QUIET).is_ok() {}
    true
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{Sender, channel};

    use tempfile::TempDir;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn follow(ahead: &Ahead, folder: &Path, bell: &Sender<()>) {
        let bell = bell.clone();
        ahead.follow(folder, move || bell.send(()).expect("the test listens"));
    }

    #[test]
    fn changes_are_looked_at_unasked() {
        let home = TempDir::new().unwrap();
        let folder = home.path().join("projects");
        let ahead = Ahead::default();
        let (bell, looks) = channel();
        // Nothing to follow yet.
        follow(&ahead, &folder, &bell);
        fs::create_dir_all(folder.join("one")).unwrap();
        follow(&ahead, &folder, &bell);
        let file = folder.join("one/file");
        fs::write(&file, "x").unwrap();
        looks.recv_timeout(PATIENCE).unwrap();
        fs::create_dir(folder.join("two")).unwrap();
        looks.recv_timeout(PATIENCE).unwrap();
        fs::write(folder.join("two/file"), "x").unwrap();
        looks.recv_timeout(PATIENCE).unwrap();
        // Reading is no change.
        fs::read(&file).unwrap();
        assert!(looks.recv_timeout(QUIET * 4).is_err());
    }

    #[test]
    fn a_folder_that_comes_back_is_followed_again() {
        let home = TempDir::new().unwrap();
        let folder = home.path().join("projects");
        fs::create_dir(&folder).unwrap();
        let ahead = Ahead::default();
        let (bell, looks) = channel();
        follow(&ahead, &folder, &bell);
        fs::remove_dir(&folder).unwrap();
        looks.recv_timeout(PATIENCE).unwrap();
        fs::create_dir(&folder).unwrap();
        let deadline = Instant::now() + PATIENCE;
        // The thread takes a moment to end.
        loop {
            follow(&ahead, &folder, &bell);
            fs::write(folder.join("file"), "x").unwrap();
            if looks.recv_timeout(QUIET * 2).is_ok() {
                break;
            }
            assert!(Instant::now() < deadline, "nobody looks");
        }
    }
}
