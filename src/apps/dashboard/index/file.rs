//! One JSONL file: read once, and again from where it ended when it grew.

use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use memchr::memrchr;

use super::record::{Mark, Record};
use super::scan::{Line, Lines, PADDING};
use crate::apps::dashboard::zone::Zone;

/// By what a file is known to be as it was. `ctime` is set by the kernel alone, at each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a change from `now` on would show. Times of files advance in steps of up to 10 ms, and within a step a
    /// file can be overwritten by as many bytes without any trace.
    fn is_settled(&self, now: SystemTime) -> bool {
        const STEP: Duration = Duration::from_millis(40);
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (seconds, nanoseconds) = self.changed;
        let changed = Duration::new(
            seconds.max(0) as u64,
            nanoseconds.clamp(0, 999_999_999) as u32,
        );
        // A clock that was set back must not have files read for ever.
        now.abs_diff(changed) > STEP
    }
}

/// What is known of a file.
#[derive(Debug, Clone)]
pub(in crate::apps::dashboard) struct File {
    stamp: Stamp,
    is_settled: bool,
    /// All its lines, the last one also where no line feed ends it.
    pub(in crate::apps::dashboard) record: Record,
    /// The end of the last whole line, in bytes.
    end: u64,
    /// The record up to there.
    at_end: Mark,
    /// A hash of the bytes before there, by which an append is told from another text.
    before_end: Option<u64>,
}

/// How many bytes before the end are compared.
const COMPARED: usize = 1024;

/// Room for some hundred lines, which stays in the caches of a core.
const ROOM: usize = 256 * 1024;

/// A buffer that is used for many files.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<u8>);

impl File {
    /// Whether it says the same as when it was read.
    pub(super) fn is_current(&self, stamp: Stamp) -> bool {
        self.is_settled && self.stamp == stamp
    }

    /// Reads a file, or what was appended to it since `known`.
    ///
    /// # Errors
    /// Where it cannot be read, or is a folder.
    pub(super) fn read(
        path: &Path,
        known: Option<&Self>,
        zone: &Zone,
        buffer: &mut Buffer,
    ) -> io::Result<Self> {
        let now = SystemTime::now();
        let mut file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no regular file",
            ));
        }
        let stamp = Stamp::of(&metadata);
        let grown = match known {
            Some(known) if known.may_have_grown_to(&stamp) => {
                let hash = known.hash_before_end(&mut file, buffer)?;
                (hash.is_some() && hash == known.before_end).then_some(known)
            }
            _ => None,
        };
        let mut read = match grown {
            Some(known) => {
                let mut read = known.clone();
                read.record.go_back(read.at_end);
                read
            }
            None => Self::empty(stamp),
        };
        (read.stamp, read.is_settled) = (stamp, stamp.is_settled(now));
        file.seek(SeekFrom::Start(read.end))?;
        read.read_on(&mut file, zone, buffer)?;
        read.before_end = read.hash_before_end(&mut file, buffer)?;
        read.record.shrink();
        Ok(read)
    }

    fn empty(stamp: Stamp) -> Self {
        Self {
            stamp,
            is_settled: false,
            record: Record::default(),
            end: 0,
            at_end: Mark::default(),
            before_end: None,
        }
    }

    fn may_have_grown_to(&self, stamp: &Stamp) -> bool {
        stamp.device == self.stamp.device
            && stamp.inode == self.stamp.inode
            && stamp.size > self.stamp.size
            && self.end > 0
    }

    /// From `end` to the end of the file.
    fn read_on(&mut self, file: &mut fs::File, zone: &Zone, buffer: &mut Buffer) -> io::Result<()> {
        let mut filled = 0;
        loop {
            let bytes = buffer.room(filled + 1);
            let last = bytes.len() - PADDING - 1;
            match file.read(&mut bytes[filled..last]) {
                Ok(0) => break,
                Ok(count) => {
                    let unread = filled;
                    filled += count;
                    let Some(feed) = memrchr(b'\n', &bytes[unread..filled]) else {
                        continue;
                    };
                    let whole = unread + feed + 1;
                    self.add(bytes, 0..whole, zone);
                    self.end += whole as u64;
                    self.at_end = self.record.mark();
                    bytes.copy_within(whole..filled, 0);
                    filled -= whole;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled > 0 {
            // Node takes what has no line feed for a line as well.
            let bytes = buffer.room(filled + 1);
            bytes[filled] = b'\n';
            self.add(bytes, 0..filled + 1, zone);
        }
        Ok(())
    }

    fn add(&mut self, text: &[u8], lines: Range<usize>, zone: &Zone) {
        for line in Lines::new(text, lines) {
            match line {
                Line::Usual(fields) => self.record.add(&fields, zone),
                Line::Unusual(line) => self.record.add_unusual(line, zone),
            }
        }
    }

    /// The hash of the last bytes before the end; nothing where the file has been cut meanwhile.
    fn hash_before_end(&self, file: &mut fs::File, buffer: &mut Buffer) -> io::Result<Option<u64>> {
        let length = self.end.min(COMPARED as u64);
        file.seek(SeekFrom::Start(self.end - length))?;
        let bytes = &mut buffer.room(COMPARED)[..length as usize];
        match file.read_exact(bytes) {
            Ok(()) => {
                let mut hasher = DefaultHasher::new();
                hasher.write(bytes);
                Ok(Some(hasher.finish()))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Buffer {
    /// The bytes, with room for so many and what must follow them.
    fn room(&mut self, count: usize) -> &mut [u8] {
        let needed = count + PADDING + 1;
        if self.0.len() < needed {
            self.0.resize(needed.next_power_of_two().max(ROOM), 0);
        }
        &mut self.0
    }
}
