//! What the files of `.claude/projects` say: each is read once, in parallel with others, and again only where it changed.
//! `tree` lists them, `file` reads one, `scan` finds the wanted fields of a line, `record` holds what remains of it.
//!
//! There is no cache with a time to live: each question compares the size and the times of all files, which takes less
//! than a millisecond for 400 files. That also holds on file systems that tell watchers nothing.

mod file;
pub(super) mod record;
mod scan;
mod tree;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use self::file::Buffer;
pub(super) use self::file::File;
use self::tree::Folder;
use super::zone::Zone;

/// The index of one tree. Questions block, on the disk and on one another.
#[derive(Debug)]
pub(super) struct Index {
    projects: PathBuf,
    zone: Zone,
    /// How many comparisons have begun.
    begun: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the last comparison found, and its number.
    last: Option<(usize, Arc<Snapshot>)>,
}

/// All projects at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) projects: Vec<Project>,
}

/// One folder.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) name: String,
    pub(super) path: PathBuf,
    names: Vec<OsString>,
    /// In the order of their names.
    pub(super) files: Vec<Arc<File>>,
}

impl Index {
    pub(super) fn new(projects: PathBuf, zone: Zone) -> Self {
        Self {
            projects,
            zone,
            begun: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// The tree as it is now: the same snapshot as before if nothing changed. Those who ask while a comparison runs share
    /// the next one.
    ///
    /// # Errors
    /// Where any part of the tree cannot be read.
    pub(super) fn now(&self) -> io::Result<Arc<Snapshot>> {
        let asked = self.begun.load(Ordering::SeqCst);
        let mut state = self.state();
        if let Some((number, snapshot)) = &state.last
            && *number > asked
        {
            return Ok(Arc::clone(snapshot));
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let known = match &state.last {
            Some((_, known)) => Arc::clone(known),
            None => Arc::default(),
        };
        // A file may be removed between the listing and its turn.
        let found = match self.compare(&known) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.compare(&known),
            found => found,
        };
        let snapshot = found?;
        state.last = Some((number, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// A panic of another question left the last snapshot as it was.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compare(&self, known: &Arc<Snapshot>) -> io::Result<Arc<Snapshot>> {
        let folders = tree::list(&self.projects)?;
        if known.is_current(&folders) {
            return Ok(Arc::clone(known));
        }
        self.read(folders, known).map(Arc::new)
    }

    /// Reads what is new, on as many threads as there are cores.
    fn read(&self, folders: Vec<Folder>, known: &Snapshot) -> io::Result<Snapshot> {
        let mut read: Vec<Vec<Option<Arc<File>>>> = Vec::new();
        let mut tasks = Vec::new();
        let by_name: HashMap<&str, &Project> = known
            .projects
            .iter()
            .map(|project| (project.name.as_str(), project))
            .collect();
        for (project, folder) in folders.iter().enumerate() {
            let known = by_name.get(folder.name.as_str());
            let mut files = Vec::with_capacity(folder.files.len());
            for (place, (name, stamp)) in folder.files.iter().enumerate() {
                let known = known.and_then(|known| known.file(name));
                let current = known.filter(|known| known.is_current(*stamp));
                if current.is_none() {
                    let path = folder.path.join(name);
                    tasks.push((project, place, path, known));
                }
                files.push(current.cloned());
            }
            read.push(files);
        }

        let threads = thread::available_parallelism().map_or(1, usize::from);
        // One file is read here; a thread costs as much.
        let threads = threads.min(tasks.len().div_ceil(2));
        let next = AtomicUsize::new(0);
        let work = || -> io::Result<Vec<(usize, usize, File)>> {
            let mut buffer = Buffer::default();
            let mut done = Vec::new();
            while let Some((project, place, path, known)) =
                tasks.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let known = known.map(Arc::as_ref);
                let file = File::read(path, known, &self.zone, &mut buffer)?;
                done.push((*project, *place, file));
            }
            Ok(done)
        };
        let done: Vec<_> = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut done = vec![work()];
            done.extend(others.into_iter().map(|other| {
                let panicked = |_| Err(io::Error::other("a reader of the index panicked"));
                other.join().unwrap_or_else(panicked)
            }));
            done
        });
        for done in done {
            for (project, place, file) in done? {
                read[project][place] = Some(Arc::new(file));
            }
        }

        let projects = folders
            .into_iter()
            .zip(read)
            .map(|(folder, files)| Project {
                name: folder.name,
                path: folder.path,
                names: folder.files.into_iter().map(|(name, _)| name).collect(),
                files: files.into_iter().flatten().collect(),
            });
        Ok(Snapshot {
            projects: projects.collect(),
        })
    }
}

impl Snapshot {
    fn is_current(&self, folders: &[Folder]) -> bool {
        self.projects.len() == folders.len()
            && self.projects.iter().zip(folders).all(|(project, folder)| {
                project.name == folder.name
                    && project.names.len() == folder.files.len()
                    && project
                        .names
                        .iter()
                        .zip(&project.files)
                        .zip(&folder.files)
                        .all(|((known, file), (name, stamp))| {
                            known == name && file.is_current(*stamp)
                        })
            })
    }

    /// All files, in the order in which Node adds them up.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<File>> {
        self.projects.iter().flat_map(|project| &project.files)
    }
}

impl Project {
    fn file(&self, name: &OsString) -> Option<&Arc<File>> {
        let place = self.names.binary_search(name).ok()?;
        self.files.get(place)
    }
}

#[cfg(test)]
mod tests;
