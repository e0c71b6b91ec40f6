//! Numbers of the whole tree for what each file lists for itself: sessions and models.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::super::index::record::{Record, Session};
use super::super::index::{Project, Snapshot};
use super::super::money::Price;
use strangler::js_json::Text;

/// The numbers, and what they stand for.
#[derive(Debug)]
pub(super) struct Keys {
    /// By file, in the order of the files.
    pub(super) files: Vec<Numbers>,
    records: Vec<Arc<Record>>,
    /// The file and the place in it where each session is found first.
    sessions: Vec<(usize, usize)>,
    is_session: Vec<bool>,
    /// The same for models.
    models: Vec<(usize, usize)>,
    prices: Vec<Price>,
    no_model: Price,
}

/// Those of one file, by the places in its lists.
#[derive(Debug)]
pub(super) struct Numbers {
    /// Equal ones are the same session, the missing one included.
    pub(super) sessions: Vec<u32>,
    pub(super) models: Vec<u32>,
}

impl Keys {
    pub(super) fn of<'s>(snapshot: &'s Snapshot) -> Self {
        let mut known_sessions: HashMap<&Session, u32> = HashMap::new();
        let mut known_models: HashMap<&Text, u32> = HashMap::new();
        let mut sessions = Vec::new();
        let mut models = Vec::new();
        let files = snapshot.records().enumerate().map(|(file, record)| {
            let session = |(place, session): (usize, &'s Session)| {
                let mut fresh = || {
                    sessions.push((file, place));
                    (sessions.len() - 1) as u32
                };
                match session {
                    // No object is like another.
                    Session::Other(_) => fresh(),
                    _ => *known_sessions.entry(session).or_insert_with(fresh),
                }
            };
            let model = |(place, model): (usize, &'s Text)| {
                *known_models.entry(model).or_insert_with(|| {
                    models.push((file, place));
                    (models.len() - 1) as u32
                })
            };
            Numbers {
                sessions: record.sessions.iter().enumerate().map(session).collect(),
                models: record.models.iter().enumerate().map(model).collect(),
            }
        });
        let files = files.collect();
        let records: Vec<_> = snapshot.records().cloned().collect();
        let is_session = sessions
            .iter()
            .map(|&(file, place)| records[file].sessions[place].is_truthy());
        let prices = models
            .iter()
            .map(|&(file, place)| Price::of(Some(&records[file].models[place])));
        Self {
            files,
            is_session: is_session.collect(),
            prices: prices.collect(),
            records,
            sessions,
            models,
            no_model: Price::of(None),
        }
    }

    /// Each project with the numbers of its files.
    pub(super) fn by_project<'k>(
        &'k self,
        snapshot: &'k Snapshot,
    ) -> impl Iterator<Item = (&'k Project, &'k [Numbers])> {
        let mut rest = self.files.as_slice();
        snapshot.projects.iter().map(move |project| {
            let (numbers, others) = rest.split_at(project.records.len());
            rest = others;
            (project, numbers)
        })
    }

    /// The price of a token of this model, or of none.
    pub(super) fn price(&self, model: Option<usize>) -> Price {
        model.map_or(self.no_model, |model| self.prices[model])
    }

    /// Whether a session counts.
    pub(super) fn is_session(&self, session: u32) -> bool {
        self.is_session[session as usize]
    }

    /// The session of a number.
    pub(super) fn session(&self, session: u32) -> &Session {
        let (file, place) = self.sessions[session as usize];
        &self.records[file].sessions[place]
    }

    /// The model of a number.
    pub(super) fn model(&self, model: usize) -> &Text {
        let (file, place) = self.models[model];
        &self.records[file].models[place]
    }
}
