//! The file behind a path: keeps inotify on everything that leads to it, and reads it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tracing::warn;

use crate::routing::watch::Content;
use crate::routing::watch::notices::{Notices, Paths, Stale};

/// More is refused, so that a mistake cannot fill the memory.
const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// Reads one file and watches it, the directory of its name, and the directory that links lead to.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    notices: Arc<Notices>,
    /// `None`: only the poll is left.
    watcher: Option<RecommendedWatcher>,
    /// What inotify is on: paths without links, and which inode each was.
    watched: Vec<(PathBuf, Inode)>,
}

/// Device and number.
type Inode = (u64, u64);

/// What a look found.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) content: Content,
    /// Where the path leads, without links.
    pub(crate) target: Option<PathBuf>,
}

impl WatchedFile {
    pub(crate) fn new(path: &Path, notices: &Arc<Notices>) -> Self {
        let handler = Arc::clone(notices);
        let watcher = notify::recommended_watcher(move |event| handler.handle(event));
        let watcher = watcher.inspect_err(|error| {
            warn!(%error, "no inotify: changes of {} are found by reading it", path.display());
        });
        Self {
            watcher: watcher.ok(),
            ..Self::unwatched(path, notices)
        }
    }

    /// Without inotify.
    pub(crate) fn unwatched(path: &Path, notices: &Arc<Notices>) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            path,
            notices: Arc::clone(notices),
            watcher: None,
            watched: Vec::new(),
        }
    }

    /// Puts the watches where they belong now, then reads. Blocks.
    pub(crate) fn look(&mut self, stale: Stale) -> Seen {
        let target = fs::canonicalize(&self.path).ok();
        self.rearm(target.as_deref(), stale);
        Seen {
            content: read(&self.path),
            target,
        }
    }

    /// The file itself is watched too, since it may be written to under another name (a hard link, a bind mount).
    fn rearm(&mut self, target: Option<&Path>, stale: Stale) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let directory = self
            .path
            .parent()
            .and_then(|directory| fs::canonicalize(directory).ok());
        let name = directory
            .iter()
            .zip(self.path.file_name())
            .map(|(directory, name)| directory.join(name));
        let directories = directory
            .as_deref()
            .into_iter()
            .chain(target.and_then(Path::parent));
        let directories: Vec<PathBuf> = directories.map(Path::to_owned).collect();
        let mut wanted: Vec<(PathBuf, Inode)> = Vec::new();
        for path in directories.iter().map(PathBuf::as_path).chain(target) {
            let Ok(metadata) = fs::metadata(path) else {
                continue;
            };
            let inode = (metadata.dev(), metadata.ino());
            // Two watches on one inode are one to the kernel, and removing one removes both.
            if wanted.iter().all(|(_, known)| *known != inode) {
                wanted.push((path.to_owned(), inode));
            }
        }
        let own = name.chain(target.map(Path::to_owned)).collect();
        self.notices.set_paths(Paths { own, directories });
        self.watched.retain(|watched| {
            // When an inode goes away, `notify` drops the watch of its path and of all below, though there may be a
            // new one by then, perhaps of the same number.
            let is_stale = stale.directories || (stale.file && target == Some(&watched.0));
            let is_kept = wanted.contains(watched) && !is_stale;
            if !is_kept {
                // It may be gone already, which is what is wanted.
                let _ = watcher.unwatch(&watched.0);
            }
            is_kept
        });
        for wanted in wanted {
            // What fails now is tried again at the next poll.
            if !self.watched.contains(&wanted)
                && watcher
                    .watch(&wanted.0, RecursiveMode::NonRecursive)
                    .is_ok()
            {
                self.watched.push(wanted);
            }
        }
    }
}

fn read(path: &Path) -> Content {
    let read = || {
        // Asked before opening, since opening a pipe would wait for its writer.
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            return Err(ErrorKind::Unsupported.into());
        }
        let mut content = Vec::new();
        File::open(path)?
            .take(MAX_SIZE + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > MAX_SIZE {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(content)
    };
    read().map_err(|error: std::io::Error| error.kind())
}
