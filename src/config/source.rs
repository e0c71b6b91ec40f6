//! Fetches the text of `routes.toml`, bounded in size, and says in lines and columns where a byte of it stands.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::diagnostic::{Code, Diagnostic, push_printable};

/// Larger files are refused: a `routes.toml` of this size is some other file.
const LARGEST: u64 = 1024 * 1024;

/// A `routes.toml` as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As the user named it; relative paths inside the file start from its folder.
    pub path: PathBuf,
    /// All of it.
    pub text: Arc<str>,
}

/// A place for people: both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Source {
    /// A source that need not exist as a file.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// What is left of a file that could not be read.
    pub fn empty(path: &Path) -> Self {
        Self::new(path, "")
    }

    /// Where a byte stands. An offset beyond the end means the end.
    pub fn position(&self, offset: usize) -> Position {
        position(self.text.as_bytes(), offset)
    }

    /// The folder that relative paths of the file start from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Reads `path`. The error has no span: it is about the file, not about a place in it.
pub fn read(path: &Path) -> Result<Source, Diagnostic> {
    decode(path, read_bounded(path)?)
}

/// The text of `path`, whose content is known already.
pub fn decode(path: &Path, bytes: Vec<u8>) -> Result<Source, Diagnostic> {
    let name = quote_path(path);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Diagnostic::error(
            Code::NotUtf8,
            format!("{name} is UTF-16 from line 1, column 1 on"),
        )
        .help("save the file as UTF-8"));
    }
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        let Position { line, column } = position(&bytes, offset);
        return Err(Diagnostic::error(
            Code::NulByte,
            format!("{name} has a NUL byte in line {line}, column {column}"),
        )
        .help("the file may be half-written; save it again as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let Position { line, column } =
            position(error.as_bytes(), error.utf8_error().valid_up_to());
        Diagnostic::error(
            Code::NotUtf8,
            format!("{name} is not UTF-8 in line {line}, column {column}"),
        )
        .help("save the file as UTF-8")
    })?;
    Ok(Source::new(path, text))
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let failed = |error: io::Error| read_error(path, &error);
    // Asked before opening: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() {
            "a directory"
        } else {
            "a pipe or a device"
        };
        let message = format!("{} is {what}, not a file", quote_path(path));
        return Err(
            Diagnostic::error(Code::NotAFile, message).help("name the `routes.toml` itself")
        );
    }
    let mut bytes = Vec::new();
    // The file may grow between the two calls, so the read is bounded too.
    if metadata.len() <= LARGEST {
        File::open(path)
            .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
    }
    if metadata.len() > LARGEST || bytes.len() as u64 > LARGEST {
        let message = format!("{} is larger than 1 MiB", quote_path(path));
        return Err(
            Diagnostic::error(Code::TooLarge, message).help("check that it is the right file")
        );
    }
    Ok(bytes)
}

fn read_error(path: &Path, error: &io::Error) -> Diagnostic {
    let name = quote_path(path);
    match error.kind() {
        io::ErrorKind::NotFound => {
            Diagnostic::error(Code::NotFound, format!("{name} does not exist"))
                .help("name another file, or check a symlink on the way")
        }
        io::ErrorKind::PermissionDenied => Diagnostic::error(
            Code::PermissionDenied,
            format!("{name} may not be read by this user"),
        )
        .help("give the user that runs strangler read access to the file and its folders"),
        _ => Diagnostic::error(Code::Unreadable, format!("{name} cannot be read: {error}")),
    }
}

/// A path in backticks, whole.
fn quote_path(path: &Path) -> String {
    let mut quoted = String::from("`");
    let name = path.display().to_string();
    name.chars()
        .for_each(|character| push_printable(&mut quoted, character));
    quoted + "`"
}

fn position(bytes: &[u8], offset: usize) -> Position {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let in_line = before.get(line_start..).unwrap_or_default();
    // A byte order mark is not a character that an editor shows.
    let in_line = in_line
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(in_line);
    Position {
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
        // Bytes 10xxxxxx continue a character.
        column: 1 + in_line.iter().filter(|byte| **byte & 0xc0 != 0x80).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str, content: &[u8]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("strangler-source-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let path = folder.join(name);
        fs::write(&path, content).expect("the file is writable");
        path
    }

    #[test]
    fn a_good_file_is_read_whole() {
        let path = scratch("good.toml", b"a = 1\n");
        assert_eq!(read(&path), Ok(Source::new(path, "a = 1\n")));
    }

    #[test]
    fn bad_bytes_are_named_by_line_and_column() {
        let error = read(&scratch("latin1.toml", b"a = 1\n# caf\xe9\n")).expect_err("not UTF-8");
        assert_eq!(error.code, Code::NotUtf8);
        assert!(
            error.message.ends_with("is not UTF-8 in line 2, column 6"),
            "{}",
            error.message
        );
        let error = read(&scratch("nul.toml", b"a = 1\nb\0 = 2\n")).expect_err("a NUL byte");
        assert_eq!(error.code, Code::NulByte);
        assert!(
            error.message.ends_with("in line 2, column 2"),
            "{}",
            error.message
        );
    }

    #[test]
    fn what_is_not_a_readable_file_is_said() {
        let large = scratch("large.toml", &vec![b'#'; 1024 * 1024 + 1]);
        assert_eq!(read(&large).expect_err("too large").code, Code::TooLarge);
        assert!(read(&scratch("largest.toml", &vec![b'#'; 1024 * 1024])).is_ok());
        let folder = large.parent().expect("it is in a folder");
        assert_eq!(read(folder).expect_err("a directory").code, Code::NotAFile);
        assert_eq!(
            read(&folder.join("none.toml")).expect_err("absent").code,
            Code::NotFound
        );
        let through_file = read(&large.join("routes.toml")).expect_err("not a directory");
        assert_eq!(through_file.code, Code::Unreadable);
    }

    #[test]
    fn a_byte_order_mark_has_no_column() {
        assert_eq!(
            Source::new("", "\u{feff}a = 1").position(3),
            Position { line: 1, column: 1 }
        );
        assert_eq!(
            Source::new("", "é = 1\n\n").position(99),
            Position { line: 3, column: 1 }
        );
    }
}
