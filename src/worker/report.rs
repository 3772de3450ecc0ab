//! When results are reported, and what a report has.

use std::time::Duration;

use super::{Action, Worker};
use crate::protocol::ToFarmer;

/// A report is sent immediately when it has this many results.
pub(super) const REPORT_RESULTS_MAX: usize = 256;

impl Worker {
    pub(super) fn report_is_due(&self, now: Duration) -> bool {
        let ended = !self.results.is_empty() || !self.interrupted.is_empty();
        let other = self.recall_answered || self.held_grew || self.pause.is_some();
        let some = ended || !self.returned.is_empty() || other;
        let hungry = self.queue.is_empty() || self.queue.len() < self.low_water;
        // During a stop nothing is queued, so results are not held.
        some && (hungry || self.results.len() >= REPORT_RESULTS_MAX || self.report_due.is_some_and(|at| now >= at))
    }

    pub(super) fn send_report(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.report_due = None;
        self.held_grew = false;
        let age = now.saturating_sub(self.ack_at).as_micros();
        let pause = self.pause.take().map_or(0, |pause| pause.as_millis());
        actions.push(Action::Send(ToFarmer::Report {
            results: std::mem::take(&mut self.results),
            interrupted: std::mem::take(&mut self.interrupted),
            returned: std::mem::take(&mut self.returned),
            ack: self.ack,
            ack_age_us: u64::try_from(age).unwrap_or(u64::MAX),
            undecided: u32::try_from(self.held.len()).unwrap_or(u32::MAX),
            recall_answered: std::mem::take(&mut self.recall_answered),
            pause_ms: u32::try_from(pause).unwrap_or(u32::MAX),
        }));
    }
}
