//! Finds the log files in the order of `glob('**/mcp-logs-ide/*.txt')`, on which "first used" and "last used" depend.
//!
//! glob 10 lists a folder backwards, folder by folder and level by level, and takes the folders of one level in the
//! order in which their listings arrive. Node has four threads for that, so this last order is not determined; it is
//! nearly always the one in which they were asked for, which is the one here.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

const FOLDER: &str = "mcp-logs-ide";

/// A folder to be listed.
struct Folder {
    path: PathBuf,
    /// Whether folders in it are searched. Those behind a link are not.
    is_searched: bool,
    /// Whether its files are logs.
    has_logs: bool,
}

/// All log files below a folder. What cannot be listed is empty.
pub(super) fn log_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = VecDeque::new();
    // glob does not begin at a link.
    if root.is_dir() && !root.is_symlink() {
        folders.push_back(Folder {
            path: root.to_owned(),
            is_searched: true,
            has_logs: false,
        });
    }
    while let Some(folder) = folders.pop_front() {
        for (name, kind) in listing(&folder.path) {
            let path = folder.path.join(&name);
            if folder.has_logs && name.ends_with(".txt") && !name.starts_with('.') {
                found.push(path.clone());
            }
            let is_searched = folder.is_searched && kind.is_dir() && !name.starts_with('.');
            let has_logs =
                folder.is_searched && name == FOLDER && (kind.is_dir() || kind.is_symlink());
            if is_searched || has_logs {
                folders.push_back(Folder {
                    path,
                    is_searched,
                    has_logs,
                });
            }
        }
    }
    found
}

/// Names as Node reads them, the last one first.
fn listing(folder: &Path) -> Vec<(String, fs::FileType)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut listing: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name(), entry.file_type().ok()?)))
        .collect();
    listing.sort_by(|(a, _), (b, _)| b.cmp(a));
    listing
        .into_iter()
        .map(|(name, kind)| (name.to_string_lossy().into_owned(), kind))
        .collect()
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
            let ours = log_files(Path::new(root));
            assert_eq!(
                by_folder(ours.iter().map(|path| path.to_str().unwrap())),
                by_folder(expected.iter().map(String::as_str)),
                "{root}"
            );
        }
        assert_eq!(log_files(Path::new(&roots[0])).len(), 12);
    }
}
