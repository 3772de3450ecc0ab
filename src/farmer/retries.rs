//! What happens to a task that has failed: it is recorded or retried.
//!
//! Owns the rules of `--retries`. A failure that the node caused ([`super::black_holes`]), a lost rank, and an
//! interruption are not failures of the task: they cost an attempt number at most, and no retry.

use std::time::Duration;

use super::{Actions, Cause, Farmer, Record, TaskState};
use crate::task::{Rank, TaskResult};

/// Pause before the first retry of a task; it doubles with each further one.
pub(super) const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// No pause is longer than this.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The pause after this many failures (at least one).
fn pause(failures: u16) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << (failures.saturating_sub(1)).min(10)).min(PAUSE_MAX)
}

impl Farmer {
    /// Takes a final result: the task is recorded or retried, or was recorded before.
    pub(super) fn record(&mut self, now: Duration, rank: Rank, result: TaskResult, actions: &mut Actions) {
        self.doubts.given_back.remove(&result.id);
        // The task has ended by itself: whatever its pool died of, it was not this task.
        if self.tasks.crashes(result.id) > 0 {
            self.tasks.set_crashes(result.id, 0);
        }
        let cause = Cause::of(&result);
        let is_open = !matches!(self.tasks.state(result.id), Some(TaskState::Finished | TaskState::Failed) | None);
        if cause != Cause::Finished && is_open && self.settings.rules.may_retry(&result) {
            let failures = self.tasks.failures(result.id).saturating_add(1);
            if failures <= self.settings.rules.retries {
                self.retry(now, rank, result, failures, actions);
                return;
            }
        }
        if self.tasks.record(result.id, cause.verdict()) {
            if cause == Cause::Finished {
                self.lengths.add(result.duration_us);
            }
            actions.records.push(Record { rank, result, cause, is_last: true });
        } else {
            self.stale_results += 1;
        }
    }

    /// Gives the task a further attempt, after a pause, preferably elsewhere.
    fn retry(&mut self, now: Duration, rank: Rank, result: TaskResult, failures: u16, actions: &mut Actions) {
        let pause = pause(failures);
        let elsewhere = self.others_take_tasks(rank).then_some((rank, now + pause * 2));
        // A rank that was given up may report a task that is with others by now: that attempt continues.
        let is_own = self.tasks.owner(result.id) == Some(rank);
        self.tasks.fail(result.id, is_own.then_some((now + pause, elsewhere)));
        let cause = Cause::of(&result);
        actions.records.push(Record { rank, result, cause, is_last: false });
    }

    /// Whether a task that this rank should not have can run elsewhere.
    fn others_take_tasks(&self, rank: Rank) -> bool {
        let takes = |rank| self.workers.get(rank).is_some_and(|worker| worker.is_able() && !worker.is_aside());
        // Those that have not joined yet will do so soon, or are not waited for long.
        let all = self.workers.able() - self.workers.aside() + self.workers.expected();
        all > u32::from(takes(rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pauses double, up to a limit.
    #[test]
    fn pauses_double() {
        let seconds = [1, 2, 3, 6, 7, 100, u16::MAX].map(|failures| pause(failures).as_secs());
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60]);
    }
}
