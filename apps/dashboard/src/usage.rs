//! The usage endpoints: what the index holds, added up and shown as Node shows it.
//! `view` holds the sums of one state of the tree, `totals` makes them, with the numbers of `keys`; the others are the
//! endpoints.

mod daily;
mod hourly;
mod keys;
mod models;
mod monthly;
mod projects;
mod sort;
pub(super) mod totals;
mod trap;
mod view;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use self::trap::Trap;
pub(super) use self::view::{Detail, View};
use super::Compat;
use super::ahead::Ahead;
use super::answer::{Answer, Thrown};
use super::index::Index;
use super::money::to_fixed;
use super::query::Query;
use super::zone::Zone;

/// The usage of one tree. Clones share the index.
#[derive(Debug, Clone)]
pub(super) struct Usage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    projects: PathBuf,
    index: Index,
    ahead: Ahead,
    zone: Zone,
    compat: Compat,
    /// Of the last snapshot.
    view: Mutex<Option<Arc<View>>>,
    hours_trap: Trap<daily::Hours>,
    hourly_trap: Trap<hourly::Filter>,
}

/// What the summary shows of the usage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    pub(super) total_messages: u64,
    pub(super) total_conversations: u64,
    pub(super) total_tokens: f64,
    pub(super) total_cost: String,
}

impl Usage {
    /// `projects` is the folder of the projects' folders. Nothing is read before the first question.
    pub(super) fn new(projects: PathBuf, zone: Zone, compat: Compat) -> Self {
        Self(Arc::new(Shared {
            index: Index::new(projects.clone(), zone.clone()),
            projects,
            ahead: Ahead::default(),
            zone,
            compat,
            view: Mutex::default(),
            hours_trap: Trap::default(),
            hourly_trap: Trap::default(),
        }))
    }

    /// From now on changes are read before somebody asks.
    pub(super) fn look_ahead(&self) {
        let shared = Arc::downgrade(&self.0);
        self.0.ahead.follow(&self.0.projects, move || {
            let Some(shared) = shared.upgrade() else {
                return false;
            };
            // Whoever asks hears of an error.
            if let Ok(view) = shared.view() {
                view.add_up();
            }
            true
        });
    }

    /// GET /api/v2/daily
    pub(super) async fn daily(&self, query: &Query) -> Answer {
        let filter = match daily::Filter::parse(query, &self.0.zone) {
            Ok(filter) => filter,
            Err(answer) => return answer,
        };
        self.answer(move |shared, view| {
            let mut filter = filter;
            if shared.compat == Compat::Exact {
                let fails = |hours: &daily::Hours| hours.are_given() && view.is_poisoned();
                filter.hours = shared.hours_trap.first(filter.key(), filter.hours, fails);
            }
            daily::list(view, &filter)
        })
        .await
    }

    /// GET /api/v2/daily/{date}
    pub(super) async fn day(&self, date: &str) -> Answer {
        if let Err(answer) = daily::check_date(date, &self.0.zone) {
            return answer;
        }
        let date = date.to_owned();
        self.answer(move |_, view| daily::one(view, &date)).await
    }

    /// GET /api/v2/monthly
    pub(super) async fn monthly(&self, query: &Query) -> Answer {
        match monthly::Filter::parse(query) {
            Ok(filter) => {
                self.answer(move |_, view| monthly::list(view, &filter))
                    .await
            }
            Err(answer) => answer,
        }
    }

    /// GET /api/v2/monthly/{month}
    pub(super) async fn month(&self, month: &str) -> Answer {
        if let Err(answer) = monthly::check_month(month) {
            return answer;
        }
        let month = month.to_owned();
        self.answer(move |_, view| monthly::one(view, &month)).await
    }

    /// GET /api/v2/models
    pub(super) async fn models(&self, query: &Query) -> Answer {
        match models::order(query) {
            Ok(order) => self.answer(move |_, view| models::list(view, &order)).await,
            Err(answer) => answer,
        }
    }

    /// GET /api/v2/projects
    pub(super) async fn projects(&self, query: &Query) -> Answer {
        match projects::Filter::parse(query) {
            Ok(filter) => {
                self.answer(move |_, view| projects::list(view, &filter))
                    .await
            }
            Err(answer) => answer,
        }
    }

    /// GET /api/v2/projects/{projectName}
    pub(super) async fn project(&self, name: &str) -> Answer {
        let name = name.to_owned();
        self.answer(move |shared, view| projects::one(view, &name, shared.compat))
            .await
    }

    /// GET /api/v2/hourly
    pub(super) async fn hourly(&self, query: &Query) -> Answer {
        let filter = match hourly::Filter::parse(query) {
            Ok(filter) => filter,
            Err(answer) => return answer,
        };
        let show = move |shared: &Shared, view: &View| {
            let filter = match shared.compat {
                Compat::Exact => {
                    let fails = |_: &_| !hourly::has_data(view);
                    shared.hourly_trap.first(filter.key(), filter, fails)
                }
                Compat::Intended => filter,
            };
            hourly::show(view, &filter)
        };
        let unreadable = || Answer::Failed(Box::new(hourly::failure()));
        self.answer_or(unreadable, show).await
    }

    /// What the summary needs.
    ///
    /// # Errors
    /// Where the tree cannot be read.
    pub(super) async fn totals(&self) -> io::Result<Summary> {
        let view = self.view().await?;
        let months = Arc::clone(&view);
        // The summary adds up the days first.
        let months = tokio::task::spawn_blocking(move || months.months().len());
        let summary = tokio::task::spawn_blocking(move || summary(&view));
        let (_, summary) = tokio::join!(months, summary);
        summary.map_err(io::Error::other)
    }

    /// The tree as it is now.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) async fn view(&self) -> io::Result<Arc<View>> {
        let shared = Arc::clone(&self.0);
        let view = tokio::task::spawn_blocking(move || shared.view()).await;
        view.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    async fn answer(&self, show: impl FnOnce(&Shared, &View) -> Answer + Send + 'static) -> Answer {
        // The message of Node's own error, which only development shows.
        let unreadable = || Thrown::new("Failed to process project data").failed();
        self.answer_or(unreadable, show).await
    }

    /// Both the comparison of the tree and the making of an answer may take a while, apart from the runtime.
    async fn answer_or(
        &self,
        unreadable: fn() -> Answer,
        show: impl FnOnce(&Shared, &View) -> Answer + Send + 'static,
    ) -> Answer {
        let shared = Arc::clone(&self.0);
        let answer = tokio::task::spawn_blocking(move || match shared.view() {
            Ok(view) => show(&shared, &view),
            Err(error) => {
                tracing::error!(%error, "the usage of the dashboard cannot be read");
                unreadable()
            }
        });
        answer
            .await
            .unwrap_or_else(|error| Thrown::new(error.to_string()).failed())
    }
}

impl Shared {
    /// The tree as it is now.
    fn view(&self) -> io::Result<Arc<View>> {
        let snapshot = self.index.now()?;
        // One view for all, so that nothing is added up twice.
        let mut known = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = &*known
            && view.is_of(&snapshot)
        {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(View::new(snapshot, self.zone.clone()));
        *known = Some(Arc::clone(&view));
        Ok(view)
    }
}

/// The tree at `projects`, for those who have no runtime.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn view_of(projects: PathBuf, zone: Zone) -> io::Result<View> {
    let snapshot = Index::new(projects, zone.clone()).now()?;
    Ok(View::new(snapshot, zone))
}

fn summary(view: &View) -> Summary {
    let costs = view.days().iter().map(|day| parsed(&day.cost));
    Summary {
        total_messages: view.months().iter().map(|month| month.messages).sum(),
        total_conversations: view.conversations(),
        total_tokens: sum(view.days().iter().map(|day| day.sums.total)),
        total_cost: to_fixed(sum(costs), 2),
    }
}

/// `numbers.reduce((sum, number) => sum + number, 0)`; Rust's own sum begins at -0.
fn sum(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |sum, number| sum + number)
}

/// `parseFloat` of what `to_fixed` printed.
fn parsed(cost: &str) -> f64 {
    super::number::parse_float(cost)
}

#[cfg(test)]
mod tests;
