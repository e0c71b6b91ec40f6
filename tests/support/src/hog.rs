//! Native event handlers that keep their thread until somebody asks for an end, which only another thread can hear. They
//! wait instead of computing, which is the same to the runtime and leaves the machine to other tests.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::available_parallelism;
use strangler::get;

use strangler::NativeApp;

use crate::{PATIENCE, TestProxy, eventually};

/// The rule of the endpoints.
pub const HOG: &str = "hog = { http = [\"GET /hogs\", \"GET /hogs/end\"], to = \"native\" }";

#[derive(Debug, Default)]
pub struct Hog {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    ended: bool,
}

impl Hog {
    /// `GET /hogs` says how many run, `GET /hogs/end` ends them.
    pub fn served_by(self: &Arc<Self>, app: NativeApp) -> NativeApp {
        let (seen, ended) = (Arc::clone(self), Arc::clone(self));
        app.route(
            "/hogs",
            get(async move || seen.state.lock().unwrap().running.to_string()),
        )
        .route(
            "/hogs/end",
            get(async move || {
                ended.state.lock().unwrap().ended = true;
                ended.bell.notify_all();
            }),
        )
    }

    /// Does not return before it is ended, or forgotten.
    pub fn run(&self) {
        let mut state = self.state.lock().unwrap();
        state.running += 1;
        let waited = self
            .bell
            .wait_timeout_while(state, 4 * PATIENCE, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.running -= 1;
    }
}

/// Threads that run handlers.
pub fn threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// How many handlers keep their thread.
async fn running(proxy: &TestProxy) -> usize {
    proxy.get("/hogs").await.text().parse().unwrap()
}

/// Waits until one does.
pub async fn begins(proxy: &TestProxy) {
    eventually("the handler keeps its thread", || async {
        running(proxy).await == 1
    })
    .await;
}

/// Gives the thread back, which was kept until now.
pub async fn ends(proxy: &TestProxy) {
    assert_eq!(running(proxy).await, 1, "it ended before");
    proxy.get("/hogs/end").await;
    eventually("the handler ends", || async { running(proxy).await == 0 }).await;
}
