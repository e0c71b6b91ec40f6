//! Reads and adds up what changed before anybody asks. Questions are answered rightly without it, only later: they look
//! for themselves.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, EventKind, ModifyKind};
use notify::{Config, ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};

/// So long a writer must have paused. Within a step of the clock of files, a change may leave no trace.
const QUIET: Duration = Duration::from_millis(50);

/// So long one is waited for that does not pause.
const LONGEST: Duration = Duration::from_secs(1);

/// Between two attempts to follow a folder.
const RETRY: Duration = Duration::from_secs(1);

/// What follows one folder, as long as this lives.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Following(Follower),
    /// The machine allows no more watches.
    Impossible,
}

#[derive(Debug)]
struct Follower {
    begun: Instant,
    /// The folder, or the owner, is gone.
    has_ended: Arc<AtomicBool>,
    /// One notice that has not been taken is as good as many.
    bell: SyncSender<()>,
    thread: JoinHandle<notify::Result<()>>,
}

impl Ahead {
    /// Has `look` called now, and after changes below the folder from now on, while it answers `true`. Where there is no
    /// such folder nothing happens: ask again at the next question. Does not block.
    pub(super) fn follow(&self, folder: &Path, look: impl Fn() -> bool + Send + 'static) {
        let Ok(mut state) = self.0.try_lock() else {
            return;
        };
        match &*state {
            State::Impossible => return,
            State::Following(follower)
                if !follower.thread.is_finished() || follower.begun.elapsed() < RETRY =>
            {
                return;
            }
            State::Idle | State::Following(_) => {}
        }
        if let State::Following(follower) = std::mem::take(&mut *state) {
            let error = match follower.thread.join() {
                Ok(Ok(())) => None,
                // A folder that went away meanwhile.
                Ok(Err(error)) if matches!(error.kind, ErrorKind::PathNotFound) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked".to_owned()),
            };
            if let Some(error) = error {
                let folder = folder.display();
                tracing::warn!(%error, "changes below {folder} are read when somebody asks, not before");
                *state = State::Impossible;
                return;
            }
        }
        *state = begin(folder.to_owned(), look);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let state = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Following(follower) = state {
            follower.has_ended.store(true, Ordering::SeqCst);
            let _ = follower.bell.try_send(());
        }
    }
}

fn begin(folder: PathBuf, look: impl Fn() -> bool + Send + 'static) -> State {
    let has_ended = Arc::new(AtomicBool::new(false));
    let (bell, notices) = sync_channel(1);
    let (ended, ring) = (Arc::clone(&has_ended), bell.clone());
    let thread = thread::Builder::new().name("dashboard-ahead".to_owned());
    match thread.spawn(move || follow(&folder, &ended, &ring, &notices, look)) {
        Ok(thread) => State::Following(Follower {
            begun: Instant::now(),
            has_ended,
            bell,
            thread,
        }),
        Err(_) => State::Impossible,
    }
}

/// Until it has ended.
fn follow(
    folder: &Path,
    has_ended: &Arc<AtomicBool>,
    bell: &SyncSender<()>,
    notices: &Receiver<()>,
    look: impl Fn() -> bool,
) -> notify::Result<()> {
    // Events name the real path.
    let Ok(folder) = folder.canonicalize() else {
        return Ok(());
    };
    let (ended, ring, root) = (Arc::clone(has_ended), bell.clone(), folder.clone());
    let handle = move |event: notify::Result<Event>| {
        if event.as_ref().is_ok_and(is_read) {
            return;
        }
        if event.is_ok_and(|event| takes_away(&event, &root)) {
            ended.store(true, Ordering::SeqCst);
        }
        let _ = ring.try_send(());
    };
    // A link may lead to any number of folders.
    let config = Config::default().with_follow_symlinks(false);
    let mut watcher = RecommendedWatcher::new(handle, config)?;
    watcher.watch(&folder, RecursiveMode::Recursive)?;
    while look() && !has_ended.load(Ordering::SeqCst) {
        wait(notices);
    }
    Ok(())
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

/// Until something has changed, and then nothing for a while.
fn wait(notices: &Receiver<()>) {
    let end = match notices.recv() {
        Ok(()) => Instant::now() + LONGEST,
        Err(_) => return,
    };
    while Instant::now() < end && notices.recv_timeout(QUIET).is_ok() {}
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{Sender, TryRecvError, channel};

    use tempfile::TempDir;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn follow(ahead: &Ahead, folder: &Path, bell: &Sender<()>) {
        let bell = bell.clone();
        ahead.follow(folder, move || bell.send(()).is_ok());
    }

    /// Asks as questions do, one after the other.
    fn until_it_looks(ahead: &Ahead, folder: &Path, bell: &Sender<()>, looks: &Receiver<()>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            follow(ahead, folder, bell);
            if looks.recv_timeout(QUIET).is_ok() {
                return;
            }
            assert!(Instant::now() < deadline, "nobody looks");
        }
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
        until_it_looks(&ahead, &folder, &bell, &looks);
        let file = folder.join("one/file");
        fs::write(&file, "x").unwrap();
        looks.recv_timeout(PATIENCE).unwrap();
        fs::create_dir(folder.join("two")).unwrap();
        looks.recv_timeout(PATIENCE).unwrap();
        fs::write(folder.join("two/file"), "x").unwrap();
        looks.recv_timeout(PATIENCE).unwrap();
        while looks.recv_timeout(QUIET * 4).is_ok() {}
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
        looks.recv_timeout(PATIENCE).unwrap();
        fs::remove_dir(&folder).unwrap();
        looks.recv_timeout(PATIENCE).unwrap();
        fs::create_dir(&folder).unwrap();
        until_it_looks(&ahead, &folder, &bell, &looks);
    }

    #[test]
    fn it_ends_with_its_owner() {
        struct Owner(Ahead);
        let home = TempDir::new().unwrap();
        let (bell, looks) = channel();
        let owner = Arc::new(Owner(Ahead::default()));
        let weak = Arc::downgrade(&owner);
        owner.0.follow(home.path(), move || {
            bell.send(()).is_ok() && weak.strong_count() > 0
        });
        looks.recv_timeout(PATIENCE).unwrap();
        drop(owner);
        // Once more, and then the closure and its end of the channel are gone.
        while looks.recv_timeout(PATIENCE).is_ok() {}
        assert_eq!(looks.try_recv(), Err(TryRecvError::Disconnected));
    }
}
