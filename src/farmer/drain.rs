//! A farm that starts nothing more and lets running tasks end: after too many failures, or when no time is left for a
//! further task.
//!
//! Owns both reasons. The workers carry it out: at [`StopLevel::Drain`], they give back what has not started and stop when
//! their last task has ended.

use std::time::Duration;

use super::{Actions, Farmer, HaltAt, HaltWhen, StopCause};
use crate::protocol::StopLevel;

/// A percentage of failures counts only from this many failures on.
pub(super) const HALT_FAILED_MIN: u32 = 3;

/// This many finished tasks are enough to estimate how long the next one takes.
pub(super) const LENGTHS_MIN: u64 = 20;

/// Until when tasks may be started.
#[derive(Default, Debug)]
pub(super) struct Fit {
    /// How long a task is expected to take.
    task_time: Duration,
    /// Nothing is started after this time.
    until: Option<Duration>,
    /// That time has come.
    is_over: bool,
    /// The estimate is updated when this many tasks have finished.
    update_at: u64,
}

impl Farmer {
    /// When the last task may be started, if there is such a time and it has not come yet.
    pub(super) fn next_cutoff(&self) -> Option<Duration> {
        self.fit.until.filter(|_| !self.fit.is_over && !self.is_ending())
    }

    /// A task time that the user has given counts from the start.
    pub(super) fn set_task_time(&mut self) {
        if let (Some(timeout_at), Some(task_time)) = (self.settings.timeout_at, self.settings.rules.task_time) {
            // 0: tasks are started until the very end.
            self.fit.until = Some(timeout_at.saturating_sub(task_time));
            self.fit.task_time = task_time;
        }
    }

    /// Tasks have finished: nine out of ten took no longer than the next one is expected to take.
    pub(super) fn learn_task_time(&mut self) {
        let Some(timeout_at) = self.settings.timeout_at.filter(|_| self.settings.rules.task_time.is_none()) else {
            return;
        };
        let known = self.lengths.count();
        if known >= LENGTHS_MIN.max(self.fit.update_at) {
            self.fit.update_at = self.lengths.next_look();
            self.fit.task_time = Duration::from_micros(self.lengths.percentile_us(90));
            self.fit.until = Some(timeout_at.saturating_sub(self.fit.task_time));
            self.fit.is_over = false;
        }
    }

    /// Checks what prevents further tasks: failures and time.
    pub(super) fn check_drain(&mut self, now: Duration, actions: &mut Actions) {
        // At the end of the list, nothing more will become known about the cause of a failure.
        if !self.ends_tasks() && self.tasks.remaining() <= self.doubts.count() {
            self.record_all_doubts(now, actions);
        }
        self.check_halt(now, actions);
        self.fit.is_over = self.fit.until.is_some_and(|until| now >= until);
        let is_late = self.fit.is_over && !self.is_ending();
        let waits = || self.tasks.pending() > 0 || self.tasks.next_due().is_some();
        if is_late && (waits() || self.workers.longest_queue().is_some()) {
            let cause = StopCause::NoTimeLeft { task_time: self.fit.task_time };
            self.request_stop(now, StopLevel::Drain, cause, actions);
        }
    }

    /// Ends the farm if enough tasks have failed.
    fn check_halt(&mut self, now: Duration, actions: &mut Actions) {
        let Some(halt) = self.settings.rules.halt.filter(|_| !self.ends_tasks()) else { return };
        if let HaltAt::Count(count) = halt.at
            && self.failed_in_this_run() + self.doubts.count() >= count
        {
            // A user who wants to stop at the first failures does not want to wait for verdicts on them.
            self.record_all_doubts(now, actions);
        }
        if !self.has_failed_enough() || self.tasks.remaining() == 0 {
            return;
        }
        // The end waits for no verdict; these are failures too.
        self.record_all_doubts(now, actions);
        let cause = StopCause::Halt { failed: self.failed_in_this_run() };
        let level = match halt.when {
            HaltWhen::Soon => StopLevel::Drain,
            HaltWhen::Now => StopLevel::Terminate,
        };
        self.request_stop(now, level, cause, actions);
    }

    /// Whether there are enough failures to end the farm.
    fn has_failed_enough(&self) -> bool {
        let Some(halt) = self.settings.rules.halt else { return false };
        let failed = self.failed_in_this_run();
        let ended = u64::from(failed) + self.lengths.count();
        match halt.at {
            HaltAt::Count(count) => failed >= count,
            HaltAt::Percent(percent) => {
                failed >= HALT_FAILED_MIN && u64::from(failed) * 100 >= u64::from(percent) * ended
            }
        }
    }

    fn failed_in_this_run(&self) -> u32 {
        self.tasks.failed().saturating_sub(self.failed_before)
    }
}
