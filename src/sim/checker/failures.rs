//! What users request for failures: retries, time limits, and a correct `tasks.tsv`.

use std::time::Duration;

use super::{Checker, Node, Run};
use crate::farmer::{Cause, HaltAt, Record, StopCause, TaskLimit};
use crate::task::{Outcome, TaskResult, Verdict};
use crate::worker::LINGER;

impl Checker {
    pub(super) fn is_worth_a_retry(&self, result: &TaskResult) -> bool {
        let Some(codes) = &self.rules.retry_exit else { return true };
        match &result.outcome {
            _ if result.timed_out => codes.contains(124),
            Outcome::Exited(code) => codes.contains(*code),
            Outcome::Signaled(signal) => codes.contains(128 + signal),
            Outcome::NotStarted(_) | Outcome::Unkept { .. } => false,
        }
    }

    /// The task is retried through its own fault: as often as requested, after a pause, and elsewhere first.
    fn retried(&mut self, now: Duration, rank: u32, result: &TaskResult) {
        let id = result.id.0;
        let worth = self.is_worth_a_retry(result);
        self.must(worth, || format!("task {id} is retried after {:?}, contrary to the settings", result.outcome));
        let knows = |(node, other): (&Node, u32)| other != rank && node.served && !node.lost && !node.is_aside;
        let elsewhere = self.nodes.iter().zip(0..).any(knows);
        let task = &mut self.tasks[id as usize];
        task.retried += 1;
        let (retried, retries) = (task.retried, self.rules.retries);
        if task.handed_to == Some(rank) && task.is_its_own {
            let pause = Duration::from_secs(1 << (retried - 1).min(6)).min(Duration::from_secs(60));
            task.not_before = now + pause;
            task.avoids = elsewhere.then_some((rank, now + pause * 2));
            task.quiet_since = task.quiet_since.max(now + pause * 2);
        }
        self.must(retried <= retries, || {
            format!("task {id} is retried for the {retried}th time, {retries} retries are allowed")
        });
    }

    /// A line of `tasks.tsv`: an attempt has ended, and the stated reason must be true.
    pub(crate) fn attempt_over(&mut self, now: Duration, rank: u32, record: &Record) {
        let (result, cause) = (&record.result, record.cause);
        if cause == Cause::Finished {
            let at = self.finished_us.partition_point(|&us| us < result.duration_us);
            self.finished_us.insert(at, result.duration_us);
        }
        self.failed += u32::from(record.verdict() == Some(Verdict::Failed));
        let place = (result.id.0, rank, result.slot, result.attempt.0);
        let outcomes = self.ends.get(&place);
        let own_end = outcomes.is_some_and(|outcomes| outcomes.contains(&result.outcome));
        let node = &self.nodes[rank as usize];
        // Otherwise a failure is, or may be, the node's fault.
        let own_fault = !node.lost && !node.is_aside;
        let (is_true, ended) = match cause {
            Cause::Finished => (own_end && result.outcome == Outcome::Exited(0), true),
            Cause::Failed | Cause::Unkept => (own_end && result.outcome != Outcome::Exited(0), true),
            Cause::Timeout => (result.timed_out && self.timeouts.contains(&place), true),
            Cause::Interrupted => (self.over.contains(&place) && node.stop.is_some(), true),
            Cause::Lost | Cause::Crashed => (node.lost, false),
        };
        if cause.is_own_end() {
            self.tasks[result.id.0 as usize].is_suspect = false;
        }
        if ended {
            self.tasks[result.id.0 as usize].holders.remove(&rank);
        }
        self.must(is_true, || format!("rank {rank}: an attempt is reported as {cause:?}, but is not: {result:?}"));
        if matches!(cause, Cause::Failed | Cause::Timeout | Cause::Unkept) && !record.is_last && own_fault {
            self.retried(now, rank, result);
        } else if cause == Cause::Failed && !record.is_last && self.nodes[rank as usize].is_aside {
            // The farmer records a failure there that was not judged in time as the task's own.
            let task = &mut self.tasks[result.id.0 as usize];
            let pause = Duration::from_secs(1 << task.failures.min(6)).min(Duration::from_secs(60));
            task.quiet_since = task.quiet_since.max(now + pause * 2);
        }
        self.must(!record.is_last || cause.is_own_end() || cause == Cause::Crashed, || {
            format!("task {} is recorded as {cause:?}", result.id)
        });
        if record.is_last {
            // If it continues all the same, the disk did not accept the record, and its retries are counted from zero.
            self.tasks[result.id.0 as usize].retried = 0;
        }
        let once = !ended || self.told.insert(place);
        self.must(once, || format!("an attempt is reported twice: rank {rank}, {result:?}"));
    }

    /// A task is known to have crashed in an earlier run.
    pub(crate) fn suspected(&mut self, id: u32) {
        self.tasks[id as usize].is_suspect = true;
    }

    /// A task is charged with the loss of its rank: for the `count`th time since it last ended by itself, alone or not.
    /// It is innocent if a different task took the pool down.
    pub(crate) fn crashed(&mut self, record: &Record, count: u16, is_alone: bool, is_innocent: bool) {
        let (id, limit) = (record.result.id.0, self.rules.crash_limit);
        let losses = self.losses;
        let task = &mut self.tasks[id as usize];
        task.crashes += 1;
        task.is_suspect = !record.is_last;
        let crashes = task.crashes;
        self.must(crashes <= losses, || format!("task {id} has crashed {crashes} times in {losses} losses"));
        if record.is_last {
            self.must(count >= limit, || format!("task {id} is recorded after {count} crashes of {limit}"));
            self.must(is_alone, || format!("task {id} is recorded as crashed, and was not alone"));
            self.must(!is_innocent, || format!("task {id} is recorded as crashed for what a different task did"));
        }
    }

    /// The farmer sends a rank the time limit of tasks.
    pub(crate) fn limited(&mut self, now: Duration, rank: u32, us: u64) {
        let told = |node: &Node| node.limit.is_some_and(|(limit, _)| limit.as_micros() == u128::from(us));
        let right = match self.rules.task_limit {
            None => false,
            Some(TaskLimit::Fixed(limit)) => limit.as_micros() == u128::from(us),
            // A rank that joins later may be sent the limit that others were sent before.
            Some(TaskLimit::Percent(_)) if self.nodes.iter().any(told) => true,
            Some(TaskLimit::Percent(percent)) => {
                // The farmer is accurate to 2 %, and either of the two middle tasks may count as the median.
                let count = self.finished_us.len();
                let part = |index: usize| self.finished_us.get(index).map_or(0, |&us| us * u64::from(percent) / 100);
                let (low, high) = (part(count.saturating_sub(1) / 2) * 98 / 100, part(count / 2) * 102 / 100 + 1);
                count >= 10 && (low.max(1_000_000)..=high.max(1_000_000)).contains(&us)
            }
        };
        let known = self.finished_us.len();
        self.must(right, || format!("rank {rank} is sent a limit of {us} µs after {known} tasks"));
        let (node, limit) = (&mut self.nodes[rank as usize], Duration::from_micros(us));
        node.limit = Some((limit, now));
        node.limit_min = Some(node.limit_min.map_or(limit, |least| least.min(limit)));
    }

    /// A task on this node that exceeded its limit long ago, and that was not ended.
    pub(super) fn overdue(&self, node: &Node, now: Duration) -> Option<Run> {
        let is_over = |run: &&Run| {
            let due = match (run.lingers_since, node.limit) {
                (Some(since), _) => since + LINGER,
                (None, Some((limit, told_at))) => (run.started + limit).max(told_at),
                (None, None) => return false,
            };
            let is_reported = run.terminated_at.is_some() || run.killed;
            !is_reported && now > due + self.patience
        };
        node.runs.values().find(is_over).cloned()
    }

    /// Whether a task that is started now would end in time, if its time is given.
    pub(super) fn fits(&self, now: Duration) -> bool {
        let task_time = self.rules.task_time.filter(|&time| time > Duration::ZERO);
        task_time.zip(self.timeout_at).is_none_or(|(time, timeout_at)| now + time < timeout_at)
    }

    /// The farmer is dead: waiting tasks are no longer taken back.
    pub(crate) fn farmer_is_gone(&mut self) {
        self.draining_since = None;
    }

    /// The farm starts nothing more: because of failures, or because no time is left.
    pub(crate) fn draining(&mut self, now: Duration, cause: &StopCause) {
        self.draining_since = Some(now);
        match (cause, self.rules.task_time, self.timeout_at) {
            (StopCause::Halt { .. }, _, _) => self.halted(cause),
            (StopCause::RoomLost { tasks, .. }, _, _) => self.room_is_lost(*tasks),
            (StopCause::NoTimeLeft { task_time }, given, Some(timeout_at)) => {
                let known = self.finished_us.len();
                // Nine out of ten are known by then, and a histogram is accurate to 2 %.
                let at_least = |us: &u64| us - us / 50;
                let (shortest, longest) = (
                    self.finished_us.first().map_or(0, at_least),
                    self.finished_us.last().map_or(0, |&us| us + us / 50),
                );
                let right = match given {
                    Some(given) => given == *task_time && given > Duration::ZERO,
                    None => {
                        known >= 20 && (u128::from(shortest)..=u128::from(longest)).contains(&task_time.as_micros())
                    }
                };
                self.must(right, || format!("a task is expected to take {task_time:?} after {known} tasks"));
                self.must(now + *task_time >= timeout_at, || format!("{now:?} is too early to start nothing more"));
            }
            _ => self.report(&format!("no reason to start nothing more: {cause:?}")),
        }
    }

    /// The farm stops; if the cause is failures, there must be enough.
    pub(crate) fn halted(&mut self, cause: &StopCause) {
        self.is_ending = true;
        if let StopCause::Halt { failed } = cause
            && !std::mem::replace(&mut self.is_halted, true)
        {
            let (known, reached) = (self.failed, self.must_end());
            let right = *failed == known && reached;
            self.must(right, || format!("it ends because of {failed} failures, but there are {known}"));
        }
    }

    /// Whether there are enough failures to end the farm.
    fn must_end(&self) -> bool {
        let ended = u64::from(self.failed) + self.finished_us.len() as u64;
        self.rules.halt.is_some_and(|halt| match halt.at {
            HaltAt::Count(count) => self.failed >= count,
            HaltAt::Percent(percent) => self.failed >= 3 && u64::from(self.failed) * 100 >= u64::from(percent) * ended,
        })
    }

    /// After each turn of the farmer.
    pub(crate) fn must_halt(&mut self) {
        let goes_on = self.draining_since.is_none() && !self.is_ending;
        let open = || self.tasks.iter().any(|task| task.recorded.is_none());
        if goes_on && self.must_end() && open() {
            let failed = self.failed;
            self.report(&format!("{failed} tasks have failed, and the farm does not end"));
        }
    }
}
