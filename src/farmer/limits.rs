//! `--task-timeout`: how long a task may run.
//!
//! Owns the limit and which limit the workers know. The clock is the worker core's, which ends tasks that exceed it.

use std::time::Duration;

use super::{Actions, Farmer, Send, TaskLimit};
use crate::lengths::micros;
use crate::protocol::ToWorker;
use crate::task::Rank;

/// A percentage of the median applies once this many tasks have finished, and at least as many as there are slots: the
/// first ones to end are the short ones.
pub(super) const KNOWN_MIN: u64 = 10;

/// A limit that follows the median is never below this.
pub(super) const LIMIT_MIN: Duration = Duration::from_secs(1);

/// What the workers know.
#[derive(Default, Debug)]
pub(super) struct Limits {
    /// In microseconds; 0: none.
    sent_us: u64,
    /// The median is computed again when this many tasks have finished.
    pub(super) update_at: u64,
}

impl Farmer {
    /// Sends the limit to a worker that has joined, or was not heard from for a while.
    pub(super) fn send_limit(&mut self, rank: Rank, actions: &mut Actions) {
        if let Some(TaskLimit::Fixed(limit)) = self.settings.rules.task_limit {
            self.limits.sent_us = micros(limit);
        }
        if self.limits.sent_us > 0 {
            actions.send(rank, ToWorker::Limit { us: self.limits.sent_us });
        }
    }

    /// Tasks have finished: a limit that follows their median may have changed.
    pub(super) fn follow_median(&mut self, actions: &mut Actions) {
        let Some(TaskLimit::Percent(percent)) = self.settings.rules.task_limit else { return };
        let known = self.lengths.count();
        if known < KNOWN_MIN.max(self.limits.update_at) {
            return;
        }
        self.limits.update_at = self.lengths.next_look();
        let slots: u64 = self.workers.iter().map(|(_, worker)| u64::from(worker.book.slots())).sum();
        if known < slots && self.limits.sent_us == 0 {
            return;
        }
        let us = (self.lengths.percentile_us(50).saturating_mul(u64::from(percent)) / 100).max(micros(LIMIT_MIN));
        if us != self.limits.sent_us {
            self.limits.sent_us = us;
            let open = self.workers.iter().filter(|(_, worker)| worker.is_able());
            actions.sends.extend(open.map(|(rank, _)| (rank, Send::Message(ToWorker::Limit { us }))));
        }
    }
}
