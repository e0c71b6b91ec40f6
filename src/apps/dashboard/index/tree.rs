//! Which files there are, and what their metadata say. Names come in the order of their bytes, which is the order in which
//! Node reads folders.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::file::Stamp;

/// The folder of a project.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) files: Vec<(OsString, Stamp)>,
}

/// All projects. Nothing where there is no folder of projects.
///
/// # Errors
/// Where something cannot be read, dangling links among them: Node gives up on everything then.
pub(super) fn list(projects: &Path) -> io::Result<Vec<Folder>> {
    let entries = match fs::read_dir(projects) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !metadata(&entry)?.is_dir() {
            continue;
        }
        // Node asks for such a folder by another name than it has, and does not find it.
        let name = entry.file_name().into_string().map_err(|name| {
            let message = format!("`{}` is not UTF-8", name.display());
            io::Error::new(io::ErrorKind::NotFound, message)
        })?;
        let path = entry.path();
        let files = files(&path)?;
        folders.push(Folder { name, path, files });
    }
    folders.sort_unstable_by(|first, second| first.name.cmp(&second.name));
    Ok(folders)
}

fn files(folder: &Path) -> io::Result<Vec<(OsString, Stamp)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !is_log(&name) {
            continue;
        }
        let metadata = metadata(&entry)?;
        // Told now rather than after all others have been read.
        if !metadata.is_file() {
            let message = format!("`{}` is no regular file", entry.path().display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        files.push((name, Stamp::of(&metadata)));
    }
    files.sort_unstable_by(|(first, _), (second, _)| first.cmp(second));
    Ok(files)
}

fn is_log(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".jsonl")
}

/// Of what a link points to. That of the entry itself is found without a walk along its path.
fn metadata(entry: &DirEntry) -> io::Result<Metadata> {
    let metadata = entry.metadata()?;
    if metadata.is_symlink() {
        return fs::metadata(entry.path());
    }
    Ok(metadata)
}
