//! The state of each task: pending, assigned, or recorded.
//!
//! Owns the state of tasks by ID. Never holds their text: 5 bytes per task.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::waiting::{Waiting, Woken};
use crate::task::{Attempt, Rank, TaskId, Verdict};

/// The state of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Waits to be handed out.
    Pending,
    /// Handed out to a worker, which has not reported it yet.
    Assigned,
    /// Has failed, and is retried after a pause.
    Delayed,
    /// Recorded in `finished`.
    Finished,
    /// Recorded in `failed`.
    Failed,
}

/// How often an open task has been tried.
#[derive(Clone, Copy, Debug)]
struct Tries {
    /// The number of the next attempt.
    attempt: Attempt,
    /// Attempts that have failed through the task's own fault.
    failures: u16,
    /// How many times it was executing when its pool died or its rank was lost, since it last ended by itself. In
    /// earlier runs too.
    crashes: u16,
}

/// Suspects with this many crashes or more run alone.
const ALONE_FROM: u16 = 2;

/// All tasks of a list.
#[derive(Debug)]
pub struct TaskTable {
    states: Vec<TaskState>,
    /// The worker to which an assigned task was handed; otherwise meaningless.
    owners: Vec<Rank>,
    /// Tasks below `next` that wait again.
    returned: BTreeSet<TaskId>,
    /// Pending tasks that are suspected of having taken down their pool or rank: they are not in `returned`, and go
    /// last. Those that must be alone come after the others.
    suspects: BTreeSet<(bool, TaskId)>,
    /// All tasks from here on were never handed out, except for suspects.
    next: u32,
    /// Tasks that have failed and are retried.
    waiting: Waiting,
    /// Open tasks whose first attempt was lost or has failed; nearly always empty.
    tries: BTreeMap<TaskId, Tries>,
    pending: u32,
    finished: u32,
    failed: u32,
}

impl TaskTable {
    /// `total` tasks, all pending.
    #[must_use]
    pub fn new(total: u32) -> Self {
        Self {
            states: vec![TaskState::Pending; total as usize],
            owners: vec![Rank(0); total as usize],
            returned: BTreeSet::new(),
            suspects: BTreeSet::new(),
            next: 0,
            waiting: Waiting::default(),
            tries: BTreeMap::new(),
            pending: total,
            finished: 0,
            failed: 0,
        }
    }

    /// How many tasks there are.
    #[must_use]
    pub fn total(&self) -> u32 {
        u32::try_from(self.states.len()).expect("made from a u32")
    }

    /// How many wait to be handed out.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// How many of these are suspects.
    #[must_use]
    pub fn suspects(&self) -> u32 {
        u32::try_from(self.suspects.len()).expect("at most len")
    }

    /// How many wait to be handed out and are not suspects.
    #[must_use]
    pub fn ordinary(&self) -> u32 {
        self.pending - self.suspects()
    }

    /// How many are in `finished`.
    #[must_use]
    pub fn finished(&self) -> u32 {
        self.finished
    }

    /// How many are in `failed`.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// How many are not recorded.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.total() - self.finished - self.failed
    }

    /// The state of a task; `None` if the list has no such ID.
    #[must_use]
    pub fn state(&self, id: TaskId) -> Option<TaskState> {
        self.states.get(id.0 as usize).copied()
    }

    /// The worker that an assigned task was last handed to.
    #[must_use]
    pub fn owner(&self, id: TaskId) -> Option<Rank> {
        (self.state(id)? == TaskState::Assigned).then(|| self.owners[id.0 as usize])
    }

    /// The number of the current attempt of the task, or of the next one if it is not running.
    #[must_use]
    pub fn attempt(&self, id: TaskId) -> Attempt {
        self.tries.get(&id).map_or(Attempt(1), |tries| tries.attempt)
    }

    /// How many attempts of an open task have failed through its own fault in this run.
    #[must_use]
    pub fn failures(&self, id: TaskId) -> u16 {
        self.tries.get(&id).map_or(0, |tries| tries.failures)
    }

    /// How many times an open task was executing when its pool died or its rank was lost, since it last ended by
    /// itself.
    #[must_use]
    pub fn crashes(&self, id: TaskId) -> u16 {
        self.tries.get(&id).map_or(0, |tries| tries.crashes)
    }

    /// Sets that number.
    pub fn set_crashes(&mut self, id: TaskId, crashes: u16) {
        let before = self.crashes(id);
        if before == crashes || id.0 >= self.total() {
            return;
        }
        self.tries(id).crashes = crashes;
        let waits = match before {
            0 => self.state(id) == Some(TaskState::Pending),
            _ => self.suspects.remove(&(before >= ALONE_FROM, id)),
        };
        if waits {
            if before == 0 && !self.returned.remove(&id) {
                self.waiting.forget(id);
            }
            self.queue(id);
        }
    }

    /// Puts a pending task into its queue.
    fn queue(&mut self, id: TaskId) {
        match self.crashes(id) {
            0 if id.0 >= self.next => {}
            0 => _ = self.returned.insert(id),
            crashes => _ = self.suspects.insert((crashes >= ALONE_FROM, id)),
        }
    }

    /// Whether the next suspect must be alone on its rank; `None` if there is none.
    #[must_use]
    pub fn next_suspect_is_alone(&self) -> Option<bool> {
        self.suspects.first().map(|&(alone, _)| alone)
    }

    /// Hands the next suspect to `worker`.
    pub fn take_suspect(&mut self, worker: Rank) -> Option<TaskId> {
        let (_, id) = self.suspects.pop_first()?;
        Some(self.hand_out(id, worker))
    }

    fn hand_out(&mut self, id: TaskId, worker: Rank) -> TaskId {
        self.pending -= 1;
        self.states[id.0 as usize] = TaskState::Assigned;
        self.owners[id.0 as usize] = worker;
        id
    }

    /// How many of the pending tasks are withheld from one rank.
    #[must_use]
    pub fn restricted(&self) -> u32 {
        self.waiting.ready()
    }

    /// When [`Self::wake`] is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.next_due()
    }

    /// Releases tasks whose pause has ended; returns whether there were any.
    pub fn wake(&mut self, now: Duration) -> bool {
        let mut some = false;
        while let Some((id, woken)) = self.waiting.wake(now) {
            some = true;
            if woken != Woken::Last {
                self.states[id.0 as usize] = TaskState::Pending;
                self.pending += 1;
            }
            if woken != Woken::Others {
                self.returned.insert(id);
            }
        }
        some
    }

    fn tries(&mut self, id: TaskId) -> &mut Tries {
        self.tries.entry(id).or_insert(Tries { attempt: Attempt(1), failures: 0, crashes: 0 })
    }

    /// Hands the first pending task of the list to `worker`; never a suspect.
    pub fn take_next(&mut self, worker: Rank) -> Option<TaskId> {
        let first = self.returned.first().copied();
        let id = match self.waiting.take(worker, first).or_else(|| self.returned.pop_first()) {
            Some(id) => id,
            None => {
                while self.state(TaskId(self.next))? != TaskState::Pending || self.is_suspect(TaskId(self.next)) {
                    self.next += 1;
                }
                self.next += 1;
                TaskId(self.next - 1)
            }
        };
        Some(self.hand_out(id, worker))
    }

    fn is_suspect(&self, id: TaskId) -> bool {
        !self.suspects.is_empty() && self.crashes(id) > 0
    }

    /// Puts an assigned task back; has no effect on any other. `lost` costs it an attempt.
    pub fn put_back(&mut self, id: TaskId, lost: bool) {
        if self.state(id) != Some(TaskState::Assigned) {
            return;
        }
        if lost {
            let tries = self.tries(id);
            tries.attempt = Attempt(tries.attempt.0.saturating_add(1));
        }
        self.wait_again(id);
    }

    /// Counts a failure of an open task that is retried. `until`: an assigned task waits until the first time, and for
    /// the rank beside it until the second; otherwise it stays where it is.
    pub(super) fn fail(&mut self, id: TaskId, until: Option<(Duration, Option<(Rank, Duration)>)>) {
        let tries = self.tries(id);
        tries.failures = tries.failures.saturating_add(1);
        if let Some((until, avoids)) = until.filter(|_| self.state(id) == Some(TaskState::Assigned)) {
            let tries = self.tries(id);
            tries.attempt = Attempt(tries.attempt.0.saturating_add(1));
            self.states[id.0 as usize] = TaskState::Delayed;
            self.waiting.add(id, until, avoids);
        }
    }

    /// Gives a waiting task to a worker that already runs it; has no effect on any other.
    pub fn adopt(&mut self, id: TaskId, worker: Rank) {
        // A task that was never handed out cannot be running anywhere.
        let was_handed_out = id.0 < self.next || self.attempt(id) > Attempt(1);
        if self.state(id) == Some(TaskState::Pending) && was_handed_out {
            self.take_out(id);
            self.states[id.0 as usize] = TaskState::Assigned;
            self.owners[id.0 as usize] = worker;
        }
    }

    /// Records the end of a task. Returns `false`, without effect, if it was recorded before or does not exist.
    pub fn record(&mut self, id: TaskId, verdict: Verdict) -> bool {
        match self.state(id) {
            Some(TaskState::Assigned) => {}
            Some(TaskState::Pending) => self.take_out(id),
            Some(TaskState::Delayed) => _ = self.waiting.forget(id),
            Some(TaskState::Finished | TaskState::Failed) | None => return false,
        }
        let (state, count) = match verdict {
            Verdict::Finished => (TaskState::Finished, &mut self.finished),
            Verdict::Failed => (TaskState::Failed, &mut self.failed),
        };
        self.states[id.0 as usize] = state;
        *count += 1;
        if !self.tries.is_empty() {
            self.tries.remove(&id);
        }
        true
    }

    /// Removes a pending task from its queue.
    fn take_out(&mut self, id: TaskId) {
        if !self.returned.remove(&id) && !self.suspects.remove(&(self.crashes(id) >= ALONE_FROM, id)) {
            self.waiting.forget(id);
        }
        self.pending -= 1;
    }

    /// Takes back a record that did not reach the disk.
    pub fn unrecord(&mut self, id: TaskId) {
        match self.state(id) {
            Some(TaskState::Finished) => self.finished -= 1,
            Some(TaskState::Failed) => self.failed -= 1,
            Some(TaskState::Pending | TaskState::Assigned | TaskState::Delayed) | None => return,
        }
        self.wait_again(id);
    }

    fn wait_again(&mut self, id: TaskId) {
        self.states[id.0 as usize] = TaskState::Pending;
        self.pending += 1;
        self.queue(id);
    }

    /// IDs of all tasks that are not recorded, ascending: the content of `toprocess`.
    pub fn unrecorded(&self) -> impl Iterator<Item = TaskId> + '_ {
        (0..self.total())
            .map(TaskId)
            .filter(|id| !matches!(self.states[id.0 as usize], TaskState::Finished | TaskState::Failed))
    }

    /// The state of every task, by ID.
    #[must_use]
    pub fn snapshot(&self) -> Vec<TaskState> {
        self.states.clone()
    }

    /// Cross-checks the counters with the table. For tests and the simulator: visits every task.
    ///
    /// # Panics
    /// If they differ.
    pub fn check_invariants(&self) {
        let count = |state| u32::try_from(self.states.iter().filter(|&&s| s == state).count()).expect("fits");
        assert_eq!(self.pending, count(TaskState::Pending), "pending");
        assert_eq!(self.finished, count(TaskState::Finished), "finished");
        assert_eq!(self.failed, count(TaskState::Failed), "failed");
        for id in &self.returned {
            assert!(id.0 < self.next, "task {id} waits twice");
            assert_eq!(self.state(*id), Some(TaskState::Pending), "task {id}");
        }
        for &(alone, id) in &self.suspects {
            assert_eq!(
                (self.state(id), self.crashes(id) >= ALONE_FROM),
                (Some(TaskState::Pending), alone),
                "task {id}"
            );
            assert!(self.crashes(id) > 0 && !self.returned.contains(&id), "task {id} is not a suspect");
        }
        let ahead = (self.next.min(self.total())..self.total()).map(TaskId);
        let ahead = ahead.filter(|&id| self.state(id) == Some(TaskState::Pending) && !self.is_suspect(id));
        let ready = self.waiting.ready();
        let waits = self.returned.len() + self.suspects.len() + ready as usize + ahead.count();
        assert_eq!(self.pending as usize, waits, "a waiting task would be forgotten");
        let delayed = count(TaskState::Delayed) + ready;
        assert_eq!(self.waiting.len(), delayed as usize, "delayed");
        self.waiting.check_invariants();
    }
}

#[cfg(test)]
mod tests;
