//! One JSONL file: read once, and again from where it ended when it grew.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memchr::memrchr;

use super::record::{Mark, Record};
use super::scan::{Line, Lines, PADDING};
use crate::stamp::{Now, Stamp};
use crate::zone::Zone;

/// What is known of a file.
#[derive(Debug, Clone)]
pub(super) struct File {
    stamp: Stamp,
    is_settled: bool,
    /// All its lines, the last one also where no line feed ends it.
    pub(super) record: Arc<Record>,
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
        let now = Now::read()?;
        let mut file = fs::File::open(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        let grown = match known {
            Some(known) if known.may_have_grown_to(&stamp) => {
                let hash = known.hash_before_end(&mut file, buffer)?;
                (hash.is_some() && hash == known.before_end).then_some(known)
            }
            _ => None,
        };
        let mut reading = match grown {
            Some(known) => Reading::on(known),
            None => Reading::default(),
        };
        file.seek(SeekFrom::Start(reading.end))?;
        reading.read(&mut file, zone, buffer)?;
        reading.record.shrink();
        let Reading {
            record,
            end,
            at_end,
        } = reading;
        // Equal ones stay the same, so that nobody adds up again what did not change.
        let record = match known {
            Some(known) if *known.record == record => Arc::clone(&known.record),
            _ => Arc::new(record),
        };
        let mut read = Self {
            stamp,
            is_settled: stamp.is_settled(now),
            record,
            end,
            at_end,
            before_end: None,
        };
        read.before_end = read.hash_before_end(&mut file, buffer)?;
        Ok(read)
    }

    fn may_have_grown_to(&self, stamp: &Stamp) -> bool {
        stamp.device == self.stamp.device
            && stamp.inode == self.stamp.inode
            && stamp.size > self.stamp.size
            && self.end > 0
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

/// A file that is being read.
#[derive(Debug, Default)]
struct Reading {
    record: Record,
    end: u64,
    at_end: Mark,
}

impl Reading {
    /// From where a file ended.
    fn on(known: &File) -> Self {
        let mut record = Record::clone(&known.record);
        record.go_back(known.at_end);
        Self {
            record,
            end: known.end,
            at_end: known.at_end,
        }
    }

    /// From `end` to the end of the file.
    fn read(&mut self, file: &mut fs::File, zone: &Zone, buffer: &mut Buffer) -> io::Result<()> {
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
