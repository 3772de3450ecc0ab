//! What may happen to a process: when it may start, when it may be ended, and what its end means.

use std::time::Duration;

use super::observed::Run;
use super::{Checker, DOUBT_MAX};
use crate::protocol::{Assignment, StopLevel};
use crate::sim::processes::Operation;
use crate::task::Outcome;
use crate::worker::LINGER;

impl Checker {
    /// Something happened to a process.
    pub(crate) fn operation(&mut self, now: Duration, rank: u32, slot: u32, operation: &Operation) {
        let node = &mut self.nodes[rank as usize];
        match operation {
            Operation::Spawned(task, gpus) => {
                self.spawned(now, rank, slot, task, gpus);
                self.check_room(rank, task.id.0, gpus);
            }
            Operation::Impossible(task) => self.could_not_start(now, rank, slot, task),
            Operation::Refused(id) => {
                node.troubled = true;
                self.tasks[id.0 as usize].quiet_since = now;
            }
            Operation::Terminated => self.terminated(now, rank, slot),
            Operation::Struck => {
                if let Some(run) = node.runs.get_mut(&slot) {
                    run.struck |= run.lingers_since.is_none();
                }
            }
            Operation::Lingers => {
                if let Some(run) = node.runs.get_mut(&slot).filter(|run| run.terminated_at.is_none() && !run.killed) {
                    run.lingers_since = Some(now);
                }
            }
            Operation::Killed => {
                let Some(run) = node.runs.get_mut(&slot) else { return };
                run.killed = true;
                let over = run.terminated_at.is_some_and(|at| now >= at + self.grace);
                let asked = over || node.stop == Some(StopLevel::Kill);
                self.must(asked, || format!("rank {rank} kills a task before its grace period is over"));
            }
            Operation::Ended(outcome) => self.exited(now, rank, slot, outcome),
        }
    }

    fn spawned(&mut self, now: Duration, rank: u32, slot: u32, task: &Assignment, gpus: &[u32]) {
        let node = &mut self.nodes[rank as usize];
        let (id, attempt, gpus) = (task.id.0, task.attempt.0, gpus.to_vec());
        let run = Run { id, attempt, gpus, started: now, ..Run::default() };
        let free = node.runs.insert(slot, run).is_none();
        node.idle_since = None; // It is served; how quickly is a matter of measurements.
        // A pool that hung reads tasks and stop at the same time.
        let (slots, stop) = (node.slots, node.stop.filter(|_| !node.troubled));
        self.must(free && slot < slots, || format!("rank {rank} starts two tasks in slot {slot} of {slots}"));
        self.must(stop.is_none(), || format!("rank {rank} starts task {} after a stop", task.id));
        // Tasks that wait there must be taken back.
        let late = self.draining_since.is_some_and(|since| now > since + self.patience);
        let late = late && !self.nodes[rank as usize].troubled;
        self.must(!late, || format!("rank {rank} starts task {} long after nothing more may be started", task.id));
        let of = &self.tasks[task.id.0 as usize];
        let alone = of.running == 0 || of.holders.iter().any(|&rank| self.nodes[rank as usize].troubled);
        self.must(alone, || format!("rank {rank} starts task {} while an attempt of it runs (promise 4)", task.id));
        self.tasks[task.id.0 as usize].running += 1;
        self.tasks[task.id.0 as usize].quiet_since = now;
    }

    fn could_not_start(&mut self, now: Duration, rank: u32, slot: u32, task: &Assignment) {
        self.nodes[rank as usize].failed();
        self.tasks[task.id.0 as usize].failures += 1;
        let place = (task.id.0, rank, slot, task.attempt.0);
        self.over.insert(place);
        self.ends.entry(place).or_default().push(Outcome::NotStarted("no such program".to_owned()));
        self.tasks[task.id.0 as usize].quiet_since = now.max(self.excused_until) + DOUBT_MAX;
    }

    fn terminated(&mut self, now: Duration, rank: u32, slot: u32) {
        let node = &mut self.nodes[rank as usize];
        let mut asked = node.stop >= Some(StopLevel::Terminate);
        if let Some(run) = node.runs.get_mut(&slot) {
            asked |= run.lingers_since.is_some_and(|since| now >= since + LINGER);
            // A task that exceeded its limit still counts as such if a stop follows.
            run.timed_out |= !asked && run.terminated_at.is_none();
            asked |= node.limit_min.is_some_and(|limit| now >= run.started + limit);
            run.terminated_at = run.terminated_at.or(Some(now));
        }
        self.must(asked, || format!("rank {rank} terminates a task within its limit, without a request"));
    }

    fn exited(&mut self, now: Duration, rank: u32, slot: u32, outcome: &Outcome) {
        let node = &mut self.nodes[rank as usize];
        let Some(run) = node.runs.remove(&slot) else { return };
        let place = (run.id, rank, slot, run.attempt);
        self.over.insert(place);
        let task = &mut self.tasks[run.id as usize];
        task.running = task.running.saturating_sub(1);
        task.quiet_since = now;
        // With the stop so near, a death with the same cause is not a failure.
        let excused = node.troubled || now < self.excused_until;
        let no_end = run.struck && may_be_interrupted(outcome) && !excused;
        if run.timed_out {
            task.failures += 1;
            task.quiet_since = now.max(self.excused_until) + DOUBT_MAX;
            self.timeouts.insert(place);
        } else if (run.lingers_since.is_some() || (run.terminated_at.is_none() && !run.killed)) && !no_end {
            if *outcome == Outcome::Exited(0) {
                node.failed_in_row.0 = 0;
            } else {
                node.failed();
                task.failures += 1;
                task.quiet_since = now.max(self.excused_until) + DOUBT_MAX;
            }
            self.ends.entry(place).or_default().push(outcome.clone());
        }
    }
}

/// Whether a signal that a batch system sends to all processes may have caused the death of a task, or its shell
/// reports that. In all other cases the task died by itself, even then.
fn may_be_interrupted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Signaled(2 | 9 | 10 | 15) | Outcome::Exited(130 | 137 | 138 | 143))
}
