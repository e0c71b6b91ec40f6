//! The native applications of this repository, one folder each. They import nothing of the proxy but `native`.

mod dashboard;
mod garden;
mod timecard;

pub(crate) use self::dashboard::process as process_dashboard;
use crate::native::App;

/// All of them.
pub const ALL: &[App] = &[
    App {
        name: "dashboard",
        build: dashboard::app,
    },
    App {
        name: "garden",
        build: garden::app,
    },
    App {
        name: "timecard",
        build: timecard::app,
    },
];
