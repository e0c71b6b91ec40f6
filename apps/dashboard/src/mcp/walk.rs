//! Finds the log files in the order of `glob('**/mcp-logs-ide/*.txt')`, on which "first used" and "last used" depend.
//!
//! glob 10 lists a folder backwards, folder by folder and level by level, and takes the folders of one level in the
//! order in which their listings arrive. Node has four threads for that, so this last order is not determined; it is
//! nearly always the one in which they were asked for, which is the one here.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::super::stamp::{self, Now, Stamp};

const FOLDER: &str = "mcp-logs-ide";

/// A folder that is searched or has logs.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Whether folders in it are searched. Those behind a link are not.
    is_searched: bool,
    /// Whether its files are logs.
    has_logs: bool,
    listing: Arc<Listing>,
}

/// What is in a folder, as Node reads it, the last name first.
#[derive(Debug, Default)]
struct Listing {
    /// That of the folder, unless it may change without a trace.
    stamp: Option<Stamp>,
    /// When it was read.
    at: Option<Instant>,
    entries: Vec<(String, fs::FileType)>,
}

/// The folders below one, in the order in which they are found. What cannot be listed is empty. `known` spares the lists of
/// those that are as they were.
pub(super) fn folders(root: &Path, known: &[Folder], now: Now) -> Vec<Folder> {
    let known: HashMap<&Path, &Folder> = known
        .iter()
        .map(|folder| (folder.path.as_path(), folder))
        .collect();
    let folder = |path: PathBuf, is_searched, has_logs| {
        let known = known.get(path.as_path());
        Folder {
            listing: Listing::of(&path, known.map(|known| &known.listing), now),
            path,
            is_searched,
            has_logs,
        }
    };
    let mut folders = Vec::new();
    // glob does not begin at a link.
    if root.is_dir() && !root.is_symlink() {
        folders.push(folder(root.to_owned(), true, false));
    }
    let mut place = 0;
    while let Some(above) = folders.get(place) {
        place += 1;
        if !above.is_searched {
            continue;
        }
        let mut found = Vec::new();
        for (name, kind) in &above.listing.entries {
            let is_searched = kind.is_dir() && !name.starts_with('.');
            let has_logs = name == FOLDER && (kind.is_dir() || kind.is_symlink());
            if is_searched || has_logs {
                found.push(folder(above.path.join(name), is_searched, has_logs));
            }
        }
        folders.append(&mut found);
    }
    folders
}

/// All log files in these folders.
pub(super) fn log_files(folders: &[Folder]) -> impl Iterator<Item = PathBuf> {
    let folders = folders.iter().filter(|folder| folder.has_logs);
    folders.flat_map(|folder| {
        let names = folder.listing.entries.iter().map(|(name, _)| name);
        names
            .filter(|name| name.ends_with(".txt") && !name.starts_with('.'))
            .map(|name| folder.path.join(name))
    })
}

impl Listing {
    fn of(folder: &Path, known: Option<&Arc<Self>>, now: Now) -> Arc<Self> {
        let stamp = fs::metadata(folder).ok();
        let stamp = stamp.map(|metadata| Stamp::of(&metadata));
        let stamp = stamp.filter(|stamp| stamp.is_settled(now));
        if let Some(known) = known
            && stamp.is_some()
            && known.stamp == stamp
            && known.at.is_some_and(|at| at.elapsed() < stamp::TRUSTED)
        {
            return Arc::clone(known);
        }
        Arc::new(Self::read(folder, stamp))
    }

    /// Whatever stands in the way, such as too many open files, may be gone at the next question.
    fn read(folder: &Path, mut stamp: Option<Stamp>) -> Self {
        let Ok(entries) = fs::read_dir(folder) else {
            return Self::default();
        };
        let mut listing = Vec::new();
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
                Ok(found) => listing.push(found),
                Err(_) => stamp = None,
            }
        }
        listing.sort_by(|(a, _), (b, _)| b.cmp(a));
        let entries = listing
            .into_iter()
            .map(|(name, kind)| (name.to_string_lossy().into_owned(), kind));
        Self {
            stamp,
            at: Some(Instant::now()),
            entries: entries.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    use super::super::super::oracle::ask;
    use super::*;

    /// The order within each folder is determined, see above.
    fn by_folder<'p>(paths: impl Iterator<Item = &'p str>) -> BTreeMap<&'p str, Vec<&'p str>> {
        let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for path in paths {
            let (folder, name) = path.rsplit_once('/').unwrap();
            folders.entry(folder).or_default().push(name);
        }
        folders
    }

    fn found(root: &Path) -> Vec<PathBuf> {
        let now = Now::read().unwrap();
        let folders = folders(root, &[], now);
        log_files(&super::folders(root, &folders, now)).collect()
    }

    #[test]
    fn files_are_found_in_the_order_of_glob() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("cache");
        for path in [
            "-work-a/mcp-logs-ide/2025-01.txt",
            "-work-a/mcp-logs-ide/2025-02.txt",
            "-work-a/mcp-logs-ide/B.txt",
            "-work-a/mcp-logs-ide/a.txt",
            "-work-a/mcp-logs-ide/é.txt",
            "-work-a/mcp-logs-ide/.hidden.txt",
            "-work-a/mcp-logs-ide/.txt",
            "-work-a/mcp-logs-ide/a.TXT",
            "-work-a/mcp-logs-ide/a.txt.gz",
            "-work-a/mcp-logs-ide/deeper/x.txt",
            "-work-a/mcp-logs-ide/mcp-logs-ide/y.txt",
            "-work-a/mcp-logs-ide-2/x.txt",
            "-work-b/MCP-logs-ide/x.txt",
            "-work-b/deep/er/mcp-logs-ide/z.txt",
            ".hidden/mcp-logs-ide/x.txt",
            "mcp-logs-ide/top.txt",
            "-work-c/mcp-logs-ide",
            "elsewhere/real/1.txt",
            "elsewhere/real/2.txt",
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir_all(root.join("-work-a/mcp-logs-ide/folder.txt")).unwrap();
        symlink("nowhere", root.join("-work-a/mcp-logs-ide/dangling.txt")).unwrap();
        symlink("-work-a", root.join("-work-link")).unwrap();
        fs::create_dir(root.join("-work-d")).unwrap();
        symlink("../elsewhere/real", root.join("-work-d/mcp-logs-ide")).unwrap();
        symlink("cache", home.path().join("link")).unwrap();

        let roots: Vec<String> = ["cache", "link", "none", "cache/mcp-logs-ide/top.txt"]
            .iter()
            .map(|name| home.path().join(name).to_str().unwrap().to_owned())
            .collect();
        for (root, expected) in roots.iter().zip(ask("glob", &roots)) {
            let expected: Vec<String> = serde_json::from_value(expected).unwrap();
            let ours = found(Path::new(root));
            assert_eq!(
                by_folder(ours.iter().map(|path| path.to_str().unwrap())),
                by_folder(expected.iter().map(String::as_str)),
                "{root}"
            );
        }
        assert_eq!(found(Path::new(&roots[0])).len(), 12);
    }
}
