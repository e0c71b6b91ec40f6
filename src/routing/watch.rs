//! Tells when the content of a file changed, however it was changed: written in place, replaced, removed, linked
//! elsewhere, mounted. Does not look into the content, except to suspect that a writer is not done.
//!
//! Events of inotify (`notices`) say when to look, and a poll looks for what they miss. What was found is reported:
//! - at once, if it came by rename or by a link that points elsewhere, or if a writer closed the file and it looks
//!   complete (`looks_complete`): each flip does;
//! - after a second of quiet, if it was written in place and could be the first half, if its writer keeps the file
//!   open, or if only the poll saw it;
//! - after 250 ms, if the file is empty, gone or unreadable.
//!
//! Nothing is reported twice in a row. What does not load is the user's to judge:
//! ```text
//! let content = watch.changed().await;
//! match load(content) {
//!     Ok(config) => apply(config),
//!     // A writer may be about to mend it.
//!     Err(problems) => if watch.stands(SETTLE).await { report(problems) },
//! }
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

mod completeness;
mod file;
mod notices;

use completeness::{is_blank, looks_complete};
use file::{Seen, WatchedFile};
use notices::{Notices, Trigger};

/// How long a content that cannot be used must stand before it is worth a report.
pub const SETTLE: Duration = Duration::from_millis(250);

/// How long a content that may be half-written must stand.
const QUIET: Duration = Duration::from_secs(1);

/// How often the file is read without any event.
const POLL: Duration = Duration::from_millis(500);

/// The bytes of the file, or why it cannot be read; `FileTooLarge` above 4 MiB.
pub type Content = Result<Vec<u8>, ErrorKind>;

/// Follows one file. All futures of it may be dropped at any time without losing a change.
#[derive(Debug)]
pub struct Watch {
    notices: Arc<Notices>,
    file: Arc<Mutex<WatchedFile>>,
    /// What was reported last.
    reported: Content,
    /// The last two reported contents that were not blank: what a half-written one is compared with. Two, since the
    /// last one may have been a mistake that is taken back.
    complete: [Vec<u8>; 2],
    /// Where the path led at the last look.
    target: Option<PathBuf>,
    /// Found but not yet reported, with the time when it will be, if it stands till then.
    candidate: Option<(Content, Instant)>,
    /// To be reported by the next `changed`.
    next: Option<Content>,
    /// Why to look, until that is done.
    trigger: Option<Trigger>,
    /// When a writer that has not closed the file since last wrote to it.
    written: Option<Instant>,
    poll_at: Instant,
}

/// Begins to watch. `loaded` is the content that is known already: `changed` returns at once if the file holds
/// something else.
pub fn watch(path: &Path, loaded: Vec<u8>) -> Watch {
    let notices = Arc::new(Notices::default());
    let file = WatchedFile::new(path, &notices);
    Watch::new(notices, file, loaded)
}

impl Watch {
    fn new(notices: Arc<Notices>, file: WatchedFile, loaded: Vec<u8>) -> Self {
        Self {
            notices,
            file: Arc::new(Mutex::new(file)),
            reported: Ok(loaded.clone()),
            complete: [loaded, Vec::new()],
            target: None,
            candidate: None,
            next: None,
            trigger: Some(Trigger::Closed),
            written: None,
            poll_at: Instant::now() + POLL,
        }
    }

    /// Waits for another content.
    pub async fn changed(&mut self) -> Content {
        loop {
            if let Some(content) = self.next.take() {
                return content;
            }
            self.step(None).await;
        }
    }

    /// Whether the content last reported stands for this long, and nothing else is about to come. If not, `changed`
    /// gives what came instead.
    pub async fn stands(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            if self.next.is_some() {
                return false;
            }
            let calm = self.candidate.is_none() && self.written.is_none() && self.trigger.is_none();
            if calm && Instant::now() >= end {
                return true;
            }
            self.step(Some(end)).await;
        }
    }

    /// Looks at the file if there is a reason to, else waits for one, or until `end`.
    async fn step(&mut self, end: Option<Instant>) {
        self.absorb();
        if self.trigger.is_none() {
            let due = self.candidate.as_ref().map(|(_, due)| *due);
            let quiet = self.written.map(|written| written + QUIET);
            // A poll would catch a writer in the middle, and half a file is worse than a late one.
            let look_at =
                quiet.unwrap_or_else(|| due.map_or(self.poll_at, |due| due.min(self.poll_at)));
            let end = end.filter(|end| *end > Instant::now());
            tokio::select! {
                () = self.notices.come() => return,
                () = sleep_until(end.map_or(look_at, |end| end.min(look_at))) => {}
            }
            if Instant::now() < look_at {
                return;
            }
            // The writer that is still there has been quiet for as long as is asked of any.
            self.trigger = Some(if self.written.is_some() {
                Trigger::Whole
            } else {
                Trigger::Poll
            });
        }
        let stale = self.notices.take_stale();
        let file = Arc::clone(&self.file);
        let look = tokio::task::spawn_blocking(move || {
            file.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .look(stale)
        });
        let seen = look.await;
        let trigger = self.trigger.take();
        self.poll_at = Instant::now() + POLL;
        self.written = None;
        if let (Ok(seen), Some(trigger)) = (seen, trigger) {
            self.judge(seen, trigger);
        }
    }

    /// Takes what inotify told since.
    fn absorb(&mut self) {
        let news = self.notices.take();
        if news.closed {
            self.written = None;
        }
        if news.modified {
            (self.written, self.trigger, self.candidate) = (Some(Instant::now()), None, None);
        } else if self.written.is_none() {
            self.trigger = news.trigger.or(self.trigger);
        }
    }

    /// Whether a content that was written in place looks complete.
    fn resembles(&self, bytes: &[u8]) -> bool {
        self.complete
            .iter()
            .any(|known| looks_complete(known, bytes))
    }

    fn judge(&mut self, seen: Seen, trigger: Trigger) {
        let Seen { content, target } = seen;
        let leads_elsewhere = target.is_some() && self.target.is_some() && target != self.target;
        self.target = target.or(self.target.take());
        if content == self.reported {
            self.candidate = None;
            return;
        }
        let delay = match (&content, trigger) {
            (Err(_), _) => SETTLE,
            (Ok(bytes), _) if is_blank(bytes) => SETTLE,
            (Ok(_), Trigger::Whole) => Duration::ZERO,
            (Ok(_), _) if leads_elsewhere => Duration::ZERO,
            (Ok(bytes), Trigger::Closed) if self.resembles(bytes) => Duration::ZERO,
            (Ok(_), Trigger::Closed | Trigger::Poll) => QUIET,
        };
        let now = Instant::now();
        let due = match self.candidate.take() {
            Some((known, due)) if known == content => due.min(now + delay),
            _ => now + delay,
        };
        if due > now {
            self.candidate = Some((content, due));
            return;
        }
        if let Ok(bytes) = &content
            && !is_blank(bytes)
        {
            self.complete.swap(0, 1);
            self.complete[0].clone_from(bytes);
        }
        self.reported.clone_from(&content);
        self.next = Some(content);
    }
}

#[cfg(test)]
mod tests;
