//! A farm that starts nothing more and lets running tasks end: after too many failures, or when no time is left for
//! another task.
//!
//! Owns both reasons, and the wait for what runs. The workers are only told to stop when nothing runs any more: a
//! stop that is not answered within seconds becomes a kill.

use std::time::Duration;

use super::{Actions, Farmer, HaltAt, HaltWhen, Note, Send, StopCause};
use crate::protocol::StopLevel;

/// A percentage of failures counts from so many failures on.
pub(super) const HALT_FAILED_MIN: u32 = 3;

/// The lengths of so many tasks tell how long the next one takes.
pub(super) const LENGTHS_MIN: u64 = 20;

/// Until when a task may be started.
#[derive(Default, Debug)]
pub(super) struct Fit {
    /// How long a task is expected to take.
    task_time: Duration,
    /// After this nothing is started.
    until: Option<Duration>,
    /// That time has come.
    is_over: bool,
    /// The lengths are looked at again when so many tasks have finished.
    look_at: u64,
}

impl Farmer {
    /// Tasks may be handed out.
    pub(super) fn hands_out(&self, now: Duration) -> bool {
        let in_time = self.fit.until.is_none_or(|until| now < until);
        in_time && !self.is_ending() && !self.has_failed_enough()
    }

    /// Nothing will be handed out any more.
    pub(super) fn is_ending(&self) -> bool {
        self.stop.is_some() || self.drain.is_some()
    }

    /// When the last task may be started, if that is to come.
    pub(super) fn next_cutoff(&self) -> Option<Duration> {
        self.fit.until.filter(|_| !self.fit.is_over && !self.is_ending())
    }

    /// A time for tasks that was given counts from the start.
    pub(super) fn set_task_time(&mut self) {
        if let (Some(timeout_at), Some(task_time)) = (self.settings.timeout_at, self.settings.rules.task_time) {
            // 0: tasks are started to the very end.
            self.fit.until = Some(timeout_at.saturating_sub(task_time));
            self.fit.task_time = task_time;
        }
    }

    /// Tasks have finished: nine of ten were no longer than the next one is expected to be.
    pub(super) fn learn_task_time(&mut self) {
        let Some(timeout_at) = self.settings.timeout_at.filter(|_| self.settings.rules.task_time.is_none()) else {
            return;
        };
        let known = self.lengths.count();
        if known >= LENGTHS_MIN.max(self.fit.look_at) {
            self.fit.look_at = self.lengths.next_look();
            self.fit.task_time = Duration::from_micros(self.lengths.percentile_us(90));
            self.fit.until = Some(timeout_at.saturating_sub(self.fit.task_time));
            self.fit.is_over = false;
        }
    }

    /// What speaks against further tasks: failures, and the time.
    pub(super) fn check_drain(&mut self, now: Duration, actions: &mut Actions) {
        // At the end of the list nothing more will be known of whose fault a failure is.
        if self.stop.is_none() && self.tasks.remaining() <= self.doubts.count() {
            self.record_all_doubts(now, actions);
        }
        self.check_halt(now, actions);
        self.fit.is_over = self.fit.until.is_some_and(|until| now >= until);
        let is_late = self.fit.is_over && !self.is_ending();
        let waits = || self.tasks.pending() > 0 || self.tasks.next_due().is_some();
        if is_late && (waits() || self.workers.longest_queue().is_some()) {
            self.begin_drain(now, StopCause::NoTimeLeft { task_time: self.fit.task_time }, actions);
        }
        if let Some(cause) = self.drain.clone().filter(|_| self.stop.is_none()) {
            self.recall_all(actions);
            if self.workers.busy() == 0 {
                self.request_stop(now, StopLevel::Drain, cause, actions);
            }
        }
    }

    /// Ends the farm if enough tasks have failed.
    pub(super) fn check_halt(&mut self, now: Duration, actions: &mut Actions) {
        let Some(halt) = self.settings.rules.halt.filter(|_| self.stop.is_none()) else { return };
        if let HaltAt::Count(count) = halt.at
            && self.failed_in_this_run() + self.doubts.count() >= count
        {
            // Whoever wants to stop at the first failures does not want to wait for a judgement on them.
            self.record_all_doubts(now, actions);
        }
        if !self.has_failed_enough() || self.tasks.remaining() == 0 {
            return;
        }
        // An end waits for no judgement; they are failures too.
        self.record_all_doubts(now, actions);
        let cause = StopCause::Halt { failed: self.failed_in_this_run() };
        match halt.when {
            HaltWhen::Soon => self.begin_drain(now, cause, actions),
            HaltWhen::Now => self.request_stop(now, StopLevel::Terminate, cause, actions),
        }
    }

    /// There are as many failures as end the farm.
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

    fn begin_drain(&mut self, now: Duration, cause: StopCause, actions: &mut Actions) {
        if self.is_ending() {
            return;
        }
        self.drain = Some(cause.clone());
        self.record_all_doubts(now, actions);
        actions.notes.push(Note::Draining(cause));
    }

    /// Takes back what waits in front of full slots.
    fn recall_all(&mut self, actions: &mut Actions) {
        while let Some((rank, _)) = self.workers.longest_queue() {
            let count = self.workers.update(rank, |worker| {
                let held = worker.held();
                worker.ask_back(held);
                held
            });
            actions.sends.push((rank, Send::Recall { count }));
        }
    }

    /// Why the farm stops, if it has been draining for a reason of its own.
    pub(super) fn first_cause(&self, cause: StopCause) -> StopCause {
        match (&self.drain, &cause) {
            (None, _) | (_, StopCause::FarmFailed(_)) => cause,
            (Some(first), _) => first.clone(),
        }
    }
}
