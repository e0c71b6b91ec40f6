//! By what a file or a folder is known to be as it was.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::stat::FileStat;
use nix::time::{ClockId, clock_gettime};

/// `ctime` is set by the kernel alone, at each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
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

    pub(super) fn of_stat(found: &FileStat) -> Self {
        Self {
            device: found.st_dev,
            inode: found.st_ino,
            size: found.st_size.cast_unsigned(),
            modified: (found.st_mtime, found.st_mtime_nsec),
            changed: (found.st_ctime, found.st_ctime_nsec),
        }
    }

    /// Whether a change from `now` on would show: within a step of the file system's clock, a file can be overwritten by as
    /// many bytes without any trace.
    pub(super) fn is_settled(&self, now: Now) -> bool {
        let (seconds, nanoseconds) = self.changed;
        // Times without a fraction may be those of a file system that knows none.
        let is_coarse = nanoseconds == 0 && now.0 <= seconds + COARSEST;
        // What is far ahead was set by another clock, or this one was set back: a change from now on has another time.
        let is_ahead = seconds > now.0 + COARSEST;
        is_ahead || !is_coarse && now > Now(seconds, nanoseconds)
    }
}

/// So long a list of names is good while its folder looks as it did. Most file systems would let it be good for ever; some
/// remote ones give folders times of another clock, or of none.
pub(super) const TRUSTED: Duration = Duration::from_secs(1);

/// The longest step of a file system, in seconds: that of FAT.
const COARSEST: i64 = 2;

/// Seconds and nanoseconds since 1970 by the clock from which the kernel takes the times of files, which goes forward in
/// steps of up to 10 ms. A file that changes after this moment has this time or a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Now(i64, i64);

impl Now {
    pub(super) fn read() -> io::Result<Self> {
        let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE)?;
        Ok(Self(now.tv_sec(), now.tv_nsec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_before_this_step_is_settled() {
        let is_settled = |changed, now: (i64, i64)| {
            let stamp = Stamp {
                device: 0,
                inode: 0,
                size: 0,
                modified: (0, 0),
                changed,
            };
            stamp.is_settled(Now(now.0, now.1))
        };
        assert!(is_settled((9, 500), (9, 501)));
        assert!(!is_settled((9, 500), (9, 500)));
        assert!(!is_settled((9, 500), (9, 499)));
        assert!(!is_settled((11, 500), (9, 999)));
        assert!(is_settled((12, 500), (9, 999)));
        // Whole seconds.
        assert!(!is_settled((9, 0), (9, 999_999_999)));
        assert!(!is_settled((9, 0), (11, 999_999_999)));
        assert!(is_settled((9, 0), (12, 0)));
    }
}
