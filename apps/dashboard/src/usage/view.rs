//! One state of the tree: on demand its sums, and its lines in the order of time.

use std::sync::{Arc, OnceLock};

use super::super::answer::Kept;
use super::super::index::Snapshot;
use super::super::index::record::{Moment, Session, Timeline};
use super::super::zone::Zone;
use super::keys::{Keys, Numbers};
use super::totals::{self, Day, Model, Month, ProjectTotals, Sums};

/// A snapshot, and what it adds up to.
#[derive(Debug)]
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
    zone: Zone,
    keys: Keys,
    // Each made at the first question that needs it.
    days: OnceLock<(Vec<Day>, u64)>,
    months: OnceLock<Vec<Month>>,
    models: OnceLock<Vec<Model>>,
    projects: OnceLock<Vec<ProjectTotals>>,
    timeline: OnceLock<Timeline>,
    kept: Kept,
}

/// A line with usage and a timestamp.
#[derive(Debug)]
pub(crate) struct Detail {
    /// Nothing for a timestamp that is no date.
    pub(crate) time: Option<i64>,
    pub(crate) sums: Sums,
    /// Equal ones are the same session, the missing one included.
    pub(crate) session: u32,
}

impl View {
    pub(crate) fn new(snapshot: Arc<Snapshot>, zone: Zone) -> Self {
        let keys = Keys::of(&snapshot);
        Self {
            snapshot,
            zone,
            keys,
            days: OnceLock::new(),
            months: OnceLock::new(),
            models: OnceLock::new(),
            projects: OnceLock::new(),
            timeline: OnceLock::new(),
            kept: Kept::default(),
        }
    }

    pub(crate) fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot)
    }

    /// Ascending.
    pub(crate) fn days(&self) -> &[Day] {
        &self.days_and_sessions().0
    }

    /// How many sessions all days have together.
    pub(crate) fn conversations(&self) -> u64 {
        self.days_and_sessions().1
    }

    fn days_and_sessions(&self) -> &(Vec<Day>, u64) {
        self.days
            .get_or_init(|| totals::days(&self.snapshot, &self.keys, None))
    }

    /// The days of one project alone.
    pub(crate) fn days_of(&self, project: &str) -> Vec<Day> {
        totals::days(&self.snapshot, &self.keys, Some(project)).0
    }

    /// Ascending.
    pub(crate) fn months(&self) -> &[Month] {
        self.months
            .get_or_init(|| totals::months(&self.snapshot, &self.keys, &self.zone))
    }

    /// The most tokens first; of equal ones the one seen first.
    pub(crate) fn models(&self) -> &[Model] {
        self.models
            .get_or_init(|| totals::models(&self.snapshot, &self.keys))
    }

    /// By name.
    pub(crate) fn projects(&self) -> &[ProjectTotals] {
        self.projects
            .get_or_init(|| totals::projects(&self.snapshot, &self.keys))
    }

    /// Whether a line with usage has a timestamp that is no date, at which Node throws in some places.
    pub(crate) fn is_poisoned(&self) -> bool {
        let last = self.timeline().uses().next_back();
        last.is_some_and(|line| line.moment == Moment::Invalid)
    }

    /// Whether a line with usage has a timestamp that is a date.
    pub(crate) fn has_days(&self) -> bool {
        let first = self.timeline().uses().next();
        first.is_some_and(|line| line.moment != Moment::Invalid)
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// What the lists show, before somebody asks.
    pub(super) fn add_up(&self) {
        self.days();
        self.months();
        self.models();
        self.projects();
    }

    /// Answers that were made of it.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The lines with usage and a timestamp by time, those of equal time in the order of files and lines. Those whose
    /// timestamp is no date come last.
    pub(crate) fn details(&self) -> impl Iterator<Item = Detail> {
        self.timeline().uses().map(|line| Detail {
            time: match line.moment {
                Moment::At(time) => Some(time),
                Moment::None | Moment::Invalid => None,
            },
            sums: Sums::of(&line.tokens, self.keys.price(line.model)),
            session: line.session as u32,
        })
    }

    fn timeline(&self) -> &Timeline {
        self.timeline.get_or_init(|| {
            let files = self.snapshot.records().zip(&self.keys.files);
            Timeline::of(files.map(|(record, numbers)| {
                let Numbers { sessions, models } = numbers;
                (&**record, sessions.as_slice(), models.as_slice())
            }))
        })
    }

    /// Whether a session of the lines counts.
    pub(crate) fn is_session(&self, session: u32) -> bool {
        self.keys.is_session(session)
    }

    /// What a line says of its session.
    pub(crate) fn session(&self, session: u32) -> &Session {
        self.keys.session(session)
    }
}
