//! Which files there are, and what their metadata say. Names come in the order of their bytes, which is the order in which
//! Node reads folders.
//!
//! Folders are listed again where their own times say so, and once a second; files are asked one by one, each time.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};

use crate::stamp::{self, Now, Stamp};

/// All projects, as they are found.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// What is in the folder of projects.
    names: Arc<Names>,
    pub(super) folders: Vec<Folder>,
}

/// The folder of a project.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Its transcripts.
    pub(super) names: Arc<Names>,
    /// Those of the files, in the order of the names.
    pub(super) stamps: Vec<Stamp>,
}

/// The names in a folder, in the order of their bytes.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The folder's; nothing for one that was not there.
    stamp: Option<Stamp>,
    is_settled: bool,
    /// When they were read.
    at: Option<Instant>,
    all: Vec<OsString>,
}

impl Tree {
    /// Looks at all of it; `known` spares it the lists of folders that are as they were. Nothing where there is no folder of
    /// projects.
    ///
    /// # Errors
    /// Where something cannot be read, dangling links among them: Node gives up on everything then.
    pub(super) fn look(projects: &Path, known: &Self) -> io::Result<Self> {
        let root = match open(nix::fcntl::AT_FDCWD, projects) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let names = Names::of(&root, projects, &known.names, |_| true)?;
        let mut folders = Vec::with_capacity(known.folders.len());
        for name in names.iter() {
            let folder = match open(&root, Path::new(name)) {
                Ok(folder) => folder,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    // Also said of a link whose path leads through a file, which dangles.
                    fstatat(&root, name.as_os_str(), AtFlags::empty())?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Node asks for such a folder by another name than it has, and does not find it.
            let name = name.to_str().ok_or_else(|| {
                let message = format!("`{}` is not UTF-8", name.display());
                io::Error::new(io::ErrorKind::NotFound, message)
            })?;
            let known = known.place(name).map(|place| &known.folders[place]);
            folders.push(Folder::look(name, projects.join(name), &folder, known)?);
        }
        Ok(Self { names, folders })
    }

    /// The place of the folder of this name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.folders
            .binary_search_by(|folder| folder.name.as_str().cmp(name))
            .ok()
    }

    /// Whether the same files are in the same folders, whatever they say.
    pub(super) fn has_names_of(&self, other: &Self) -> bool {
        self.folders.len() == other.folders.len()
            && self.folders.iter().zip(&other.folders).all(|(one, other)| {
                one.name == other.name
                    && (Arc::ptr_eq(&one.names, &other.names) || one.names.all == other.names.all)
            })
    }
}

impl Folder {
    fn look(name: &str, path: PathBuf, folder: &OwnedFd, known: Option<&Self>) -> io::Result<Self> {
        let nothing = Arc::default();
        let known = known.map_or(&nothing, |known| &known.names);
        let names = Names::of(folder, &path, known, |name| {
            name.as_bytes().ends_with(b".jsonl")
        })?;
        let mut stamps = Vec::with_capacity(names.all.len());
        for name in names.iter() {
            let found = fstatat(folder, name.as_os_str(), AtFlags::empty())?;
            // Told now rather than after all others have been read.
            if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
                let message = format!("`{}` is no regular file", path.join(name).display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            stamps.push(Stamp::of_stat(&found));
        }
        Ok(Self {
            name: name.to_owned(),
            path,
            names,
            stamps,
        })
    }
}

impl Names {
    /// Those in a folder that are wanted: the known ones, unless its times have changed since.
    fn of(
        folder: &OwnedFd,
        path: &Path,
        known: &Arc<Self>,
        is_wanted: impl Fn(&OsStr) -> bool,
    ) -> io::Result<Arc<Self>> {
        let now = Now::read()?;
        let stamp = Stamp::of_stat(&fstat(folder)?);
        let is_fresh = known.at.is_some_and(|at| at.elapsed() < stamp::TRUSTED);
        if is_fresh && known.is_settled && known.stamp == Some(stamp) {
            return Ok(Arc::clone(known));
        }
        let mut all = Vec::new();
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name();
            if is_wanted(&name) {
                all.push(name);
            }
        }
        all.sort_unstable();
        Ok(Arc::new(Self {
            stamp: Some(stamp),
            is_settled: stamp.is_settled(now),
            at: Some(Instant::now()),
            all,
        }))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &OsString> {
        self.all.iter()
    }

    /// The place of a name, which is often the one where it stands elsewhere.
    pub(super) fn find(&self, likely: usize, name: &OsString) -> Option<usize> {
        if self.all.get(likely) == Some(name) {
            return Some(likely);
        }
        self.all.binary_search(name).ok()
    }
}

/// Opens a folder, also behind a link.
fn open(parent: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(openat(parent, path, flags, Mode::empty())?)
}
