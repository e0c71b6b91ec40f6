//! The way of log lines to standard error: a bounded buffer, and a thread of its own that writes it. Whoever logs never
//! waits for the reader of the log and never sees an error; lines that are lost are counted.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use prometheus::IntCounter;
use tracing::warn;

/// What may wait for a slow reader. Further lines are dropped, so that the lines that are kept are whole and in order.
const BUFFER_BYTES: usize = 1 << 20;

/// How long the end of the process waits for the last lines.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Where log lines go. Each call of `write` is one line.
#[derive(Debug)]
pub(super) struct Output {
    buffer: Mutex<Buffer>,
    changed: Condvar,
    lost: IntCounter,
}

#[derive(Debug, Default)]
struct Buffer {
    /// Whole lines.
    waiting: Vec<u8>,
    /// The thread works on lines that it has taken out.
    is_writing: bool,
}

impl Output {
    /// Starts the thread that writes to `file`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(file: File, lost: IntCounter) -> io::Result<Arc<Self>> {
        let output = Arc::new(Self {
            buffer: Mutex::default(),
            changed: Condvar::new(),
            lost,
        });
        let own = Arc::clone(&output);
        let run = move || own.run(Writer::new(file));
        thread::Builder::new().name("log".to_owned()).spawn(run)?;
        Ok(output)
    }

    /// Waits until all lines are written or lost, but not for long.
    pub(super) fn finish(&self) {
        let is_busy = |buffer: &mut Buffer| buffer.is_writing || !buffer.waiting.is_empty();
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), FINISH_TIMEOUT, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn run(&self, mut writer: Writer) {
        let mut told = 0;
        loop {
            let lines = self.take();
            let lost = writer.write(&lines);
            self.lost.inc_by(lost);
            // While lines are lost because they cannot be written, one more would be lost as well.
            if lost == 0 && self.lost.get() > told {
                let count = self.lost.get() - told;
                told += count;
                warn!(
                    count,
                    "log lines were lost: the log could not be written, or not as fast"
                );
            }
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    /// All lines that wait, at least one.
    fn take(&self) -> Vec<u8> {
        let is_idle = |buffer: &mut Buffer| buffer.waiting.is_empty();
        let waited = self.changed.wait_while(self.lock(), is_idle);
        let mut buffer = waited.unwrap_or_else(PoisonError::into_inner);
        buffer.is_writing = true;
        // The room of a burst is given back.
        std::mem::take(&mut buffer.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for &Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut buffer = self.lock();
        if buffer.waiting.len() + line.len() > BUFFER_BYTES {
            self.lost.inc();
        } else {
            let was_idle = buffer.waiting.is_empty();
            buffer.waiting.extend_from_slice(line);
            if was_idle {
                self.changed.notify_all();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines to a file that may be full, gone, slow, or set not to block by another process that has it.
#[derive(Debug)]
struct Writer {
    file: File,
    /// The last line that was begun has no end.
    is_torn: bool,
}

impl Writer {
    fn new(file: File) -> Self {
        let is_torn = false;
        Self { file, is_torn }
    }

    /// Writes what can be written. Returns how many lines are lost.
    fn write(&mut self, lines: &[u8]) -> u64 {
        // The rest of a torn line is lost; the next line must not become a part of it.
        if self.is_torn && self.write_all(b"\n").is_err() {
            return count(lines);
        }
        self.is_torn = false;
        let Err(written) = self.write_all(lines) else {
            return 0;
        };
        self.is_torn = written > 0 && lines[written - 1] != b'\n';
        count(&lines[written..])
    }

    /// `Err` has how many bytes were written before an error.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return Err(written),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(),
                Err(_) => return Err(written),
            }
        }
        Ok(())
    }

    /// Waits until the file takes bytes again; an error of the file shows at the next write.
    fn wait(&self) {
        let mut room = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        let _ = poll(&mut room, PollTimeout::NONE);
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("lost", "lost").unwrap()
    }

    #[test]
    fn a_pipe_that_does_not_block_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let lost = counter();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let output = Output::start(file, lost.clone()).unwrap();
        // More than a pipe holds.
        let line = [&[b'a'; 999][..], b"\n"].concat();
        for _ in 0..500 {
            (&*output).write_all(&line).unwrap();
        }
        let mut read = vec![0; 500_000];
        reader.read_exact(&mut read).unwrap();
        assert!(read == line.repeat(500) && lost.get() == 0);
    }

    #[test]
    fn what_nobody_reads_is_bounded_and_counted_and_not_waited_for() {
        let (_reader, writer) = io::pipe().unwrap();
        let lost = counter();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let output = Output::start(file, lost.clone()).unwrap();
        let line = [&[b'a'; 999][..], b"\n"].concat();
        for _ in 0..5000 {
            (&*output).write_all(&line).unwrap();
        }
        // The buffer may be filled twice: the thread holds what it is about to write.
        let kept = 2 * BUFFER_BYTES / 1000 + 66;
        assert!(lost.get() >= 5000 - kept as u64, "{}", lost.get());
        output.finish();
    }
}
