//! The log files as they are now: each is read once, and again when it changes.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::answer::Kept;
use super::super::iso::{modified, now};
use super::super::stamp::{Now, Stamp};
use super::super::zone::Zone;
use super::log::Log;
use super::walk::{self, Folder};

/// The log files below a folder. Questions block.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    zone: Zone,
    known: Mutex<Known>,
}

/// What the last look found.
#[derive(Debug, Default)]
struct Known {
    folders: Vec<Folder>,
    logs: Arc<Logs>,
}

/// What all files say at one moment.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// In the order in which the original reads them.
    pub(super) files: Vec<LogFile>,
    /// Answers that were made of them.
    pub(super) kept: Kept,
}

/// One log file as it was when it was last looked at.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    /// Nothing for one that is not there.
    stamp: Option<Stamp>,
    is_settled: bool,
    /// Milliseconds since 1970: when it changed, or when it was first found to be unreadable.
    pub(super) time: f64,
    pub(super) size: u64,
    /// `Err` is what Node says of a file that it cannot read.
    pub(super) log: Result<Arc<Log>, String>,
}

impl Files {
    pub(super) fn new(root: PathBuf, zone: Zone) -> Self {
        Self {
            root,
            zone,
            known: Mutex::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The files as they are now: the same as before if nothing changed.
    ///
    /// # Errors
    /// Where there is no clock.
    pub(super) fn now(&self) -> io::Result<Arc<Logs>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Now::read()?;
        known.folders = walk::folders(&self.root, &known.folders, now);
        let found: Vec<_> = walk::log_files(&known.folders)
            .map(|path| {
                let metadata = fs::metadata(&path);
                (path, metadata)
            })
            .collect();
        let is_same = found.len() == known.logs.files.len()
            && found
                .iter()
                .zip(&known.logs.files)
                .all(|((path, metadata), file)| file.path == *path && file.is_current(metadata));
        if !is_same {
            let by_path: HashMap<&Path, &LogFile> = known
                .logs
                .files
                .iter()
                .map(|file| (file.path.as_path(), file))
                .collect();
            let files = found.into_iter().map(|(path, metadata)| {
                let known = by_path.get(path.as_path()).copied();
                match known.filter(|known| known.is_current(&metadata)) {
                    Some(file) => file.clone(),
                    None => LogFile::read(path, &metadata, &self.zone, now).after(known),
                }
            });
            known.logs = Arc::new(Logs {
                files: files.collect(),
                kept: Kept::default(),
            });
        }
        Ok(Arc::clone(&known.logs))
    }
}

impl LogFile {
    /// Whether it is as it was when it was read.
    fn is_current(&self, metadata: &io::Result<Metadata>) -> bool {
        self.is_settled && self.stamp == metadata.as_ref().ok().map(Stamp::of)
    }

    fn read(path: PathBuf, metadata: &io::Result<Metadata>, zone: &Zone, at: Now) -> Self {
        let log = match metadata {
            Ok(metadata) => read(&path, metadata, zone),
            Err(error) => Err(node_error(error, &format!("stat '{}'", path.display()))),
        };
        let (time, size) = match (&log, metadata) {
            (Ok(_), Ok(metadata)) => (modified(metadata), metadata.len()),
            _ => (now(), 0),
        };
        let stamp = metadata.as_ref().ok().map(Stamp::of);
        Self {
            path,
            is_settled: stamp.is_none_or(|stamp| stamp.is_settled(at)),
            stamp,
            time,
            size,
            log: log.map(Arc::new),
        }
    }

    /// One that is still unreadable keeps the time at which that was found out.
    fn after(mut self, known: Option<&Self>) -> Self {
        let error = |file: &Self| file.log.as_ref().err().cloned();
        if let Some(known) = known
            && self.log.is_err()
            && error(&self) == error(known)
        {
            self.time = known.time;
        }
        self
    }
}

fn read(path: &Path, metadata: &Metadata, zone: &Zone) -> Result<Log, String> {
    if metadata.is_dir() {
        return Err("EISDIR: illegal operation on a directory, read".to_owned());
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Log::read(path, &String::from_utf8_lossy(&bytes), zone)),
        Err(error) => Err(node_error(&error, &format!("open '{}'", path.display()))),
    }
}

/// An error as Node words it.
fn node_error(error: &io::Error, call: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("ENOENT: no such file or directory, {call}"),
        io::ErrorKind::PermissionDenied => format!("EACCES: permission denied, {call}"),
        _ => format!("{error}, {call}"),
    }
}
