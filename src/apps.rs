//! The native applications of this repository, one folder each. They import nothing of the proxy but `native`.

mod timecard;

use crate::native::App;

/// All of them.
pub const ALL: &[App] = &[App {
    name: "timecard",
    build: timecard::app,
}];
