//! The state of each task: pending, assigned, or recorded.
//!
//! Owns the state of tasks by ID, and which ones wait, by class. Never holds their text: 5 bytes per task, and 6 more
//! if tasks differ in what they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::queue::Queue;
use super::waiting::{Waiting, Woken};
use crate::demand::classes::Class;
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
    /// What each task asks for; empty if all ask for the same.
    classes: Vec<Class>,
    /// By class, and at least one.
    queues: Vec<Queue>,
    /// Pending tasks that are suspected of having taken down their pool or rank: they are not in a queue, and go last.
    /// Those that must be alone come after the others.
    suspects: BTreeSet<(bool, TaskId)>,
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
    pub fn new(total: u32) -> Self {
        Self {
            states: vec![TaskState::Pending; total as usize],
            owners: vec![Rank(0); total as usize],
            classes: Vec::new(),
            queues: vec![Queue::of_all(total)],
            suspects: BTreeSet::new(),
            waiting: Waiting::default(),
            tries: BTreeMap::new(),
            pending: total,
            finished: 0,
            failed: 0,
        }
    }

    /// These tasks differ in what they ask for: by task, the number of its demand, of which there are `kinds`. To be
    /// called before any task is handed out.
    pub fn with_classes(mut self, classes: Vec<Class>, kinds: usize) -> Self {
        if classes.is_empty() {
            return self;
        }
        assert_eq!(classes.len(), self.states.len(), "a class for each task");
        let pending = |&(id, _): &(TaskId, Class)| self.states[id.0 as usize] == TaskState::Pending;
        self.queues = Queue::by_class((0..).map(TaskId).zip(classes.iter().copied()).filter(pending), kinds);
        self.classes = classes;
        self
    }

    /// What a task asks for.
    pub fn class(&self, id: TaskId) -> Class {
        self.classes.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// All classes.
    pub(super) fn all_classes(&self) -> impl Iterator<Item = Class> + use<> {
        (0..u16::try_from(self.queues.len()).expect("numbered by u16")).map(Class)
    }

    /// How many tasks of a class wait to be handed out, and how many are assigned.
    pub(super) fn of_class(&self, class: Class) -> (u32, u32) {
        let queue = &self.queues[class.0 as usize];
        (queue.pending, queue.assigned)
    }

    /// How many tasks of a class wait to be handed out and are not suspects.
    pub(super) fn ordinary_of(&self, class: Class) -> u32 {
        let suspects = self.suspects.iter().filter(|&&(_, id)| self.class(id) == class).count();
        self.of_class(class).0 - u32::try_from(suspects).expect("at most len")
    }

    /// Whether a task of this class may still have to run.
    pub(super) fn is_open(&self, class: Class) -> bool {
        let delayed = || self.unrecorded().any(|id| self.class(id) == class);
        self.of_class(class) != (0, 0) || delayed()
    }

    /// Whether the task is not recorded.
    pub(super) fn is_unrecorded(&self, id: TaskId) -> bool {
        !matches!(self.state(id), Some(TaskState::Finished | TaskState::Failed) | None)
    }

    /// How many tasks there are.
    pub fn total(&self) -> u32 {
        u32::try_from(self.states.len()).expect("made from a u32")
    }

    /// How many wait to be handed out.
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// How many of these are suspects.
    pub fn suspects(&self) -> u32 {
        u32::try_from(self.suspects.len()).expect("at most len")
    }

    /// How many wait to be handed out and are not suspects.
    pub fn ordinary(&self) -> u32 {
        self.pending - self.suspects()
    }

    /// How many are in `finished`.
    pub fn finished(&self) -> u32 {
        self.finished
    }

    /// How many are in `failed`.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// How many are not recorded.
    pub fn remaining(&self) -> u32 {
        self.total() - self.finished - self.failed
    }

    /// The state of a task; `None` if the list has no such ID.
    pub fn state(&self, id: TaskId) -> Option<TaskState> {
        self.states.get(id.0 as usize).copied()
    }

    /// The worker that an assigned task was last handed to.
    pub fn owner(&self, id: TaskId) -> Option<Rank> {
        (self.state(id)? == TaskState::Assigned).then(|| self.owners[id.0 as usize])
    }

    /// The number of the current attempt of the task, or of the next one if it is not running.
    pub fn attempt(&self, id: TaskId) -> Attempt {
        self.tries.get(&id).map_or(Attempt(1), |tries| tries.attempt)
    }

    /// How many attempts of an open task have failed through its own fault in this run.
    pub fn failures(&self, id: TaskId) -> u16 {
        self.tries.get(&id).map_or(0, |tries| tries.failures)
    }

    /// How many times an open task was executing when its pool died or its rank was lost, since it last ended by
    /// itself.
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
            if before == 0 && !self.queue_of(id).returned.remove(&id) {
                self.waiting.forget(id);
            }
            self.queue(id);
        }
    }

    /// Puts a pending task into its queue.
    fn queue(&mut self, id: TaskId) {
        match self.crashes(id) {
            0 => self.queue_of(id).put_back(id),
            crashes => _ = self.suspects.insert((crashes >= ALONE_FROM, id)),
        }
    }

    fn queue_of(&mut self, id: TaskId) -> &mut Queue {
        let class = self.class(id);
        &mut self.queues[class.0 as usize]
    }

    /// The only place where a task begins or ceases to wait, or to be assigned.
    fn enter(&mut self, id: TaskId, state: TaskState) {
        let class = self.class(id).0 as usize;
        let before = std::mem::replace(&mut self.states[id.0 as usize], state);
        let queue = &mut self.queues[class];
        match before {
            TaskState::Pending => (self.pending, queue.pending) = (self.pending - 1, queue.pending - 1),
            TaskState::Assigned => queue.assigned -= 1,
            TaskState::Delayed => {}
            TaskState::Finished => self.finished -= 1,
            TaskState::Failed => self.failed -= 1,
        }
        match state {
            TaskState::Pending => (self.pending, queue.pending) = (self.pending + 1, queue.pending + 1),
            TaskState::Assigned => queue.assigned += 1,
            TaskState::Delayed => {}
            TaskState::Finished => self.finished += 1,
            TaskState::Failed => self.failed += 1,
        }
    }

    /// Whether the next suspect must be alone on its rank; `None` if there is none.
    pub fn next_suspect_is_alone(&self) -> Option<bool> {
        self.suspects.first().map(|&(alone, _)| alone)
    }

    /// Hands the next suspect to `worker`, of those whose class has room there.
    pub fn take_suspect(&mut self, worker: Rank, has_room: impl Fn(Class) -> bool) -> Option<TaskId> {
        let &next = self.suspects.iter().find(|&&(_, id)| has_room(self.class(id)))?;
        self.suspects.remove(&next);
        Some(self.hand_out(next.1, worker))
    }

    fn hand_out(&mut self, id: TaskId, worker: Rank) -> TaskId {
        self.enter(id, TaskState::Assigned);
        self.owners[id.0 as usize] = worker;
        id
    }

    /// How many of the pending tasks are withheld from one rank.
    pub fn restricted(&self) -> u32 {
        self.waiting.ready()
    }

    /// When [`Self::wake`] is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.next_due()
    }

    /// Releases tasks whose pause has ended; returns whether there were any.
    pub fn wake(&mut self, now: Duration) -> bool {
        let mut some = false;
        while let Some((id, woken)) = self.waiting.wake(now) {
            some = true;
            if woken != Woken::Last {
                self.enter(id, TaskState::Pending);
            }
            if woken != Woken::Others {
                self.queue_of(id).put_back(id);
            }
        }
        some
    }

    fn tries(&mut self, id: TaskId) -> &mut Tries {
        self.tries.entry(id).or_insert(Tries { attempt: Attempt(1), failures: 0, crashes: 0 })
    }

    /// Hands the first pending task of the list to `worker`; never a suspect. For lists of one class.
    pub fn take_next(&mut self, worker: Rank) -> Option<TaskId> {
        self.take_of(Class::default(), worker)
    }

    /// The same for a class.
    pub fn take_of(&mut self, class: Class, worker: Rank) -> Option<TaskId> {
        if self.waiting.ready() == 0 && self.queues[class.0 as usize].returned.is_empty() {
            // The usual case: the next one of the list.
            let id = self.first_new(class)?;
            self.queues[class.0 as usize].skip();
            return Some(self.hand_out(id, worker));
        }
        let id = self.first_of(class, Some(worker))?;
        let queue = &mut self.queues[class.0 as usize];
        if !queue.take(id) {
            self.waiting.forget(id);
        }
        Some(self.hand_out(id, worker))
    }

    /// The first task of a class that this rank may have; of those that any rank may have, if it is `None`.
    pub(super) fn first_of(&mut self, class: Class, worker: Option<Rank>) -> Option<TaskId> {
        let returned = self.queues[class.0 as usize].returned.first().copied();
        let is_of_class = |id| self.class(id) == class;
        let waits = worker.and_then(|worker| self.waiting.first_for(worker, returned, is_of_class));
        if let Some(id) = waits.or(returned) {
            return Some(id);
        }
        self.first_new(class)
    }

    /// The first task of a class that was never handed out.
    fn first_new(&mut self, class: Class) -> Option<TaskId> {
        loop {
            let id = self.queues[class.0 as usize].next()?;
            if self.states[id.0 as usize] == TaskState::Pending && !self.is_suspect(id) {
                return Some(id);
            }
            self.queues[class.0 as usize].skip();
        }
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
            self.enter(id, TaskState::Delayed);
            self.waiting.add(id, until, avoids);
        }
    }

    /// Gives a waiting task to a worker that already runs it; has no effect on any other.
    pub fn adopt(&mut self, id: TaskId, worker: Rank) {
        // A task that was never handed out cannot be running anywhere.
        if self.state(id) == Some(TaskState::Pending)
            && (self.queue_of(id).is_behind(id) || self.attempt(id) > Attempt(1))
        {
            self.take_out(id);
            self.hand_out(id, worker);
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
        let state = match verdict {
            Verdict::Finished => TaskState::Finished,
            Verdict::Failed => TaskState::Failed,
        };
        self.enter(id, state);
        if !self.tries.is_empty() {
            self.tries.remove(&id);
        }
        true
    }

    /// Removes a pending task from its queue.
    fn take_out(&mut self, id: TaskId) {
        let is_suspect = self.suspects.remove(&(self.crashes(id) >= ALONE_FROM, id));
        if !is_suspect && !self.queue_of(id).returned.remove(&id) {
            self.waiting.forget(id);
        }
    }

    /// Takes back a record that did not reach the disk.
    pub fn unrecord(&mut self, id: TaskId) {
        if matches!(self.state(id), Some(TaskState::Finished | TaskState::Failed)) {
            self.wait_again(id);
        }
    }

    fn wait_again(&mut self, id: TaskId) {
        self.enter(id, TaskState::Pending);
        self.queue(id);
    }

    /// IDs of all tasks that are not recorded, ascending: the content of `toprocess`.
    pub fn unrecorded(&self) -> impl Iterator<Item = TaskId> + '_ {
        (0..self.total()).map(TaskId).filter(|&id| self.is_unrecorded(id))
    }

    /// The state of every task, by ID.
    pub fn snapshot(&self) -> Vec<TaskState> {
        self.states.clone()
    }
}

mod check;
#[cfg(test)]
mod tests;
