//! Events that Node is to acknowledge, to measure how long that takes.

use std::collections::VecDeque;

use prometheus::Histogram;
use tokio::time::Instant;

use crate::metrics::SideMetrics;

/// An application may never acknowledge; only so many are remembered.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Asked(VecDeque<(u64, Instant, Histogram)>);

impl Asked {
    pub(crate) fn note(&mut self, id: u64, node: &SideMetrics) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((id, Instant::now(), node.event_seconds()));
    }

    pub(crate) fn answered(&mut self, id: u64) {
        let Some(position) = self.0.iter().position(|(asked, _, _)| *asked == id) else {
            return;
        };
        if let Some((_, since, seconds)) = self.0.remove(position) {
            seconds.observe(since.elapsed().as_secs_f64());
        }
    }
}
