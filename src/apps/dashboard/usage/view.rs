//! One state of the tree: its sums, and on demand its lines in the order of time.

use std::sync::{Arc, OnceLock};

use super::super::index::Snapshot;
use super::super::index::record::{Moment, Session};
use super::super::zone::Zone;
use super::hourly::Shown;
use super::totals::{Keys, Sums, Totals, keys};

/// A snapshot, added up.
#[derive(Debug)]
pub(in crate::apps::dashboard) struct View {
    snapshot: Arc<Snapshot>,
    zone: Zone,
    keys: Vec<Keys>,
    totals: Totals,
    /// Sorted at the first question that needs it.
    timeline: OnceLock<Vec<Place>>,
    hourly: Shown,
}

/// Where a line with usage is found.
#[derive(Debug, Clone, Copy)]
struct Place {
    time: i64,
    file: u32,
    line: u32,
}

/// A line with usage and a timestamp.
#[derive(Debug)]
pub(in crate::apps::dashboard) struct Detail<'v> {
    /// Nothing for a timestamp that is no date.
    pub(in crate::apps::dashboard) time: Option<i64>,
    pub(in crate::apps::dashboard) sums: Sums,
    /// Equal ones are the same session, the missing one included.
    pub(in crate::apps::dashboard) session: u32,
    pub(in crate::apps::dashboard) session_id: &'v Session,
}

impl View {
    pub(in crate::apps::dashboard) fn new(snapshot: Arc<Snapshot>, zone: Zone) -> Self {
        let keys = keys(&snapshot);
        let totals = Totals::new(&snapshot, &keys, &zone, None);
        Self {
            snapshot,
            zone,
            keys,
            totals,
            timeline: OnceLock::new(),
            hourly: Shown::default(),
        }
    }

    pub(in crate::apps::dashboard) fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot)
    }

    pub(in crate::apps::dashboard) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(in crate::apps::dashboard) fn zone(&self) -> &Zone {
        &self.zone
    }

    pub(super) fn hourly(&self) -> &Shown {
        &self.hourly
    }

    /// The sums of one project alone.
    pub(in crate::apps::dashboard) fn totals_of(&self, project: &str) -> Totals {
        Totals::new(&self.snapshot, &self.keys, &self.zone, Some(project))
    }

    /// The lines with usage and a timestamp by time, those of equal time in the order of files and lines. Those whose
    /// timestamp is no date come last.
    pub(in crate::apps::dashboard) fn details(&self) -> impl Iterator<Item = Detail<'_>> {
        let files: Vec<_> = self.snapshot.files().collect();
        let timeline = self.timeline.get_or_init(|| self.sorted());
        timeline.iter().map(move |place| {
            let record = &files[place.file as usize].record;
            let line = record.use_at(place.line as usize);
            let keys = &self.keys[place.file as usize];
            Detail {
                time: match line.moment {
                    Moment::At(time) => Some(time),
                    Moment::None | Moment::Invalid => None,
                },
                sums: Sums::of(&line.tokens, keys.price(line.model)),
                session: keys.sessions[line.session],
                session_id: &record.sessions[line.session],
            }
        })
    }

    fn sorted(&self) -> Vec<Place> {
        let mut timeline = Vec::new();
        for (file, content) in self.snapshot.files().enumerate() {
            for (line, found) in content.record.uses().enumerate() {
                let time = match found.moment {
                    Moment::None => continue,
                    Moment::Invalid => i64::MAX,
                    Moment::At(time) => time,
                };
                timeline.push(Place {
                    time,
                    file: file as u32,
                    line: line as u32,
                });
            }
        }
        timeline.sort_by_key(|place| place.time);
        timeline.shrink_to_fit();
        timeline
    }
}
