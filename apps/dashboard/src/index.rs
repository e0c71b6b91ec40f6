//! What the files of `.claude/projects` say: each is read once, in parallel with others, and again only where it changed.
//! `tree` lists them, `file` reads one, `scan` finds the wanted fields of a line, `record` holds what remains of it.
//!
//! There is no cache with a time to live: each question compares the size and the times of all files, which takes less
//! than a millisecond for 400 files. That also holds on file systems that tell watchers nothing.

mod file;
pub(super) mod record;
mod scan;
mod tree;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use self::file::{Buffer, File};
use self::record::Record;
use self::tree::{Folder, Names, Tree};
use super::zone::Zone;

/// The index of one tree. Questions block, on the disk and on one another.
#[derive(Debug)]
pub(super) struct Index {
    projects: PathBuf,
    zone: Zone,
    /// How many looks have begun.
    begun: AtomicUsize,
    state: Mutex<State>,
}

/// What the last look found.
#[derive(Debug, Default)]
struct State {
    /// Its number; 0 before the first.
    number: usize,
    tree: Tree,
    /// By folder, in the order of their names.
    files: Vec<Vec<Arc<File>>>,
    snapshot: Arc<Snapshot>,
}

/// What all projects say at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) projects: Vec<Project>,
}

/// One folder.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// One for each file, in the order of their names.
    pub(super) records: Vec<Arc<Record>>,
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

    /// The tree as it is now: the same snapshot as before if it says the same. Those who ask while another looks share the
    /// next look.
    ///
    /// # Errors
    /// Where any part of the tree cannot be read.
    pub(super) fn now(&self) -> io::Result<Arc<Snapshot>> {
        let asked = self.begun.load(Ordering::SeqCst);
        let mut state = self.state();
        if state.number > asked {
            return Ok(Arc::clone(&state.snapshot));
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        // A file may be removed between the listing and its turn.
        match self.look(&mut state) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.look(&mut state)?,
            looked => looked?,
        }
        state.number = number;
        Ok(Arc::clone(&state.snapshot))
    }

    /// A panic of another question left what it had found before.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, state: &mut State) -> io::Result<()> {
        let tree = Tree::look(&self.projects, &state.tree)?;
        let files = self.read(&tree, state)?;
        let says_the_same = |(one, other): (&Arc<File>, &Arc<File>)| {
            Arc::ptr_eq(one, other) || Arc::ptr_eq(&one.record, &other.record)
        };
        let is_same = tree.has_names_of(&state.tree)
            && files
                .iter()
                .flatten()
                .zip(state.files.iter().flatten())
                .all(says_the_same);
        if !is_same {
            state.snapshot = Arc::new(Snapshot::new(&tree, &files));
        }
        (state.tree, state.files) = (tree, files);
        Ok(())
    }

    /// Reads what is new, on several threads.
    fn read(&self, tree: &Tree, known: &State) -> io::Result<Vec<Vec<Arc<File>>>> {
        let mut files: Vec<Vec<Option<Arc<File>>>> = Vec::with_capacity(tree.folders.len());
        let mut tasks = Vec::new();
        for (project, folder) in tree.folders.iter().enumerate() {
            let known = known.folder(folder);
            let current = folder.names.iter().zip(&folder.stamps).enumerate();
            let current = current.map(|(place, (name, stamp))| {
                let known = known.and_then(|(names, files)| Some(&files[names.find(place, name)?]));
                let current = known.filter(|known| known.is_current(*stamp));
                if current.is_none() {
                    tasks.push((project, place, folder.path.join(name), known));
                }
                current.cloned()
            });
            files.push(current.collect());
        }

        // One core is left to those who ask for something else.
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // One file is read here; a thread costs as much.
        let threads = (cores - 1).clamp(1, tasks.len().div_ceil(2).max(1));
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
                files[project][place] = Some(Arc::new(file));
            }
        }
        let files = files.into_iter();
        Ok(files
            .map(|files| files.into_iter().flatten().collect())
            .collect())
    }
}

impl State {
    /// What is known of a folder.
    fn folder(&self, folder: &Folder) -> Option<(&Names, &[Arc<File>])> {
        let place = self.tree.place(&folder.name)?;
        Some((&self.tree.folders[place].names, &self.files[place]))
    }
}

impl Snapshot {
    fn new(tree: &Tree, files: &[Vec<Arc<File>>]) -> Self {
        let projects = tree
            .folders
            .iter()
            .zip(files)
            .map(|(folder, files)| Project {
                name: folder.name.clone(),
                path: folder.path.clone(),
                records: files.iter().map(|file| Arc::clone(&file.record)).collect(),
            });
        Self {
            projects: projects.collect(),
        }
    }

    /// What all files say, in the order in which Node adds them up.
    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.projects.iter().flat_map(|project| &project.records)
    }
}

#[cfg(test)]
mod tests;
