//! Simulated processes: they start, get signals, and end at their planned time.
//!
//! Owns the processes of one node, and a disk for their output, which may be full. What happens to them is recorded, so
//! that the world can plan their ends and the checker can judge.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Error, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use super::plan::{OnTerm, Plan};
use crate::lengths::micros;
use crate::pool::keeping::{Ended, KeepError, Keeping, Outputs, Over};
use crate::pool::turn::{Processes, SpawnError};
use crate::protocol::{Assignment, StopLevel};
use crate::task::{Outcome, TaskId};
use crate::worker::{Event, Usage};

/// From a deadly signal to the end of the process.
const DYING: Duration = Duration::from_micros(300);

/// How long a start takes that fails in a separate thread.
const STARTING: Duration = Duration::from_micros(300);

/// How long a task takes to fail on a broken node.
const FAILING: Duration = Duration::from_millis(5);

/// What happened to a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// It was started, with these GPUs.
    Spawned(Assignment, Vec<u32>),
    /// It can never run.
    Impossible(Assignment),
    /// The node lacked resources to start it.
    Refused(TaskId),
    /// It was sent SIGTERM.
    Terminated,
    /// It was sent SIGKILL.
    Killed,
    /// It received SIGTERM from outside the farm.
    Struck,
    /// Its first process ended, but others that it left did not.
    Lingers,
    /// All of it ended, the first process with this outcome, and its parent knows.
    Ended(Outcome),
}

/// A process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Its task.
    pub task: Assignment,
    /// When it was started.
    pub started: Duration,
    /// When the first process, or what it has left, ends, as planned now.
    pub ends_at: Duration,
    /// How the first process ends, or has ended.
    pub outcome: Outcome,
    /// When what it leaves behind ends, and the effect of SIGTERM on that.
    left: Option<(Duration, OnTerm)>,
    /// The first process has ended.
    lingers: bool,
    asked_to_end: bool,
}

/// The disk for the output of tasks.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Output {
    /// The disk accepts nothing.
    pub full: bool,
    /// All output of a rank goes into one file.
    pub packed: bool,
}

/// The processes of a node.
#[derive(Default, Debug)]
pub(crate) struct Simulated {
    plan: Rc<Plan>,
    /// The time of the current turn.
    pub now: Duration,
    /// Nothing can be started.
    pub refusing: bool,
    /// Tasks that are started fail immediately.
    pub broken: bool,
    /// Where output goes.
    pub output: Output,
    /// The real rules for output that cannot be written.
    pub keeping: Keeping,
    /// What happened since the last call, by slot.
    pub operations: Vec<(u32, Operation)>,
    /// Processes that run, or have ended and were not reaped yet.
    pub slots: BTreeMap<u32, Process>,
    /// Starts that will turn out to be refused: when, and which.
    refused: VecDeque<(Duration, u32, Assignment)>,
    refusals: u64,
}

impl Simulated {
    /// A node on which nothing runs.
    pub(crate) fn new(plan: Rc<Plan>) -> Self {
        Self { plan, ..Self::default() }
    }

    /// When the next start is known to be refused.
    pub(crate) fn next_refusal(&self) -> Option<Duration> {
        self.refused.front().map(|(at, ..)| *at)
    }

    /// The next start that has turned out to be refused by now.
    pub(crate) fn take_refused(&mut self, now: Duration) -> Option<(u32, Assignment)> {
        self.next_refusal().filter(|&at| at <= now)?;
        let (_, slot, task) = self.refused.pop_front()?;
        self.operations.push((slot, Operation::Refused(task.id)));
        Some((slot, task))
    }

    /// Reaps the process of this slot, if it has ended by now; returns the event for the worker core.
    pub(crate) fn reap(&mut self, now: Duration, slot: u32) -> Option<Event> {
        let process = self.slots.get_mut(&slot).filter(|process| process.ends_at <= now)?;
        if let Some((until, _)) = process.left.filter(|&(until, _)| !process.lingers && until > now) {
            (process.lingers, process.ends_at) = (true, until);
            self.operations.push((slot, Operation::Lingers));
            return Some(Event::Lingers(slot));
        }
        let usage = Usage {
            start_us: micros(process.started),
            duration_us: micros(process.ends_at.saturating_sub(process.started)),
            user_us: 0,
            system_us: 0,
            max_rss_kib: 0,
        };
        let process = self.slots.remove(&slot).expect("seen");
        self.operations.push((slot, Operation::Ended(process.outcome.clone())));
        let Process { task, outcome, asked_to_end, .. } = process;
        let over = Over { slot, task, outcome, usage, is_alone: true, asked_to_end };
        Some(self.keeping.keep(now, &self.output, over))
    }

    /// Tries again to write output that waits.
    pub(crate) fn look_after_output(&mut self, now: Duration) -> Vec<Event> {
        self.keeping.look(now, &self.output)
    }

    /// A batch system sends SIGTERM to everything.
    pub(crate) fn strike(&mut self) {
        for slot in self.slots.keys().copied().collect::<Vec<_>>() {
            self.signal(slot, Operation::Struck, react_to_term);
        }
    }

    /// The farm asks a process to end.
    fn end(&mut self, slot: u32, operation: Operation, react: impl FnOnce(&Plan, &mut Process, Duration)) {
        if !self.keeping.give_up(slot) {
            self.slots.get_mut(&slot).into_iter().for_each(|process| process.asked_to_end = true);
            self.signal(slot, operation, react);
        }
    }

    fn signal(&mut self, slot: u32, operation: Operation, react: impl FnOnce(&Plan, &mut Process, Duration)) {
        let now = self.now;
        let Some(process) = self.slots.get_mut(&slot) else { return };
        // A process that has ended and was not reaped yet does not react to a signal, but what it has left does.
        let is_left = operation != Operation::Struck && process.left.is_some_and(|(until, _)| until > now);
        if process.ends_at > now || is_left {
            react(&self.plan, process, now);
            self.operations.push((slot, operation));
        }
    }
}

fn react_to_term(plan: &Plan, process: &mut Process, now: Duration) {
    if let Some((until, on_term)) = &mut process.left {
        *until = match on_term {
            OnTerm::Deaf => *until,
            OnTerm::Dies => now + DYING,
            OnTerm::Saves(time) => now + *time,
        }
        .min(*until);
    }
    match plan.of(process.task.id).on_term {
        _ if process.lingers => process.ends_at = process.left.map_or(now, |(until, _)| until),
        OnTerm::Deaf => {}
        OnTerm::Dies => process.end_within(now, DYING, Outcome::Signaled(15)),
        OnTerm::Saves(time) => process.end_within(now, time, Outcome::Exited(0)),
    }
}

impl Process {
    /// Its first process ends sooner than planned.
    fn end_within(&mut self, now: Duration, after: Duration, outcome: Outcome) {
        if now + after < self.ends_at {
            self.ends_at = now + after;
            self.outcome = outcome;
        }
    }
}

impl Outputs for Output {
    fn keep(&self, _slot: u32, _is_alone: bool, _end: &Ended<'_>) -> Result<(), KeepError> {
        if self.full { Err(KeepError { path: "logs".into(), source: ErrorKind::StorageFull.into() }) } else { Ok(()) }
    }

    fn is_packed(&self) -> bool {
        self.packed
    }

    fn check(&self) -> Result<(), KeepError> {
        Ok(())
    }

    fn is_ours(&self, _error: &Error, _slot: u32) -> bool {
        true
    }

    fn discard(&self, _slot: u32) {}
}

impl Processes for Simulated {
    fn spawn(&mut self, now: Duration, slot: u32, task: &Assignment, gpus: &[u32]) -> Result<(), SpawnError> {
        if self.refusing {
            // A pool with few slots notices it immediately, one with many later: here every second start.
            self.refusals += 1;
            if self.refusals.is_multiple_of(2) {
                self.refused.push_back((now + STARTING, slot, task.clone()));
                return Ok(());
            }
            self.operations.push((slot, Operation::Refused(task.id)));
            return Err(SpawnError::Refused("simulated".to_owned()));
        }
        let behaviour = self.plan.of(task.id);
        let outcome = behaviour.outcome_of(task.attempt.0);
        if let Outcome::NotStarted(_) = outcome {
            self.operations.push((slot, Operation::Impossible(task.clone())));
            return Err(SpawnError::Impossible(outcome, Usage::default()));
        }
        let (length, outcome) = match self.broken {
            true => (FAILING, Outcome::Exited(1)),
            false => (behaviour.length, outcome),
        };
        let process = Process {
            task: task.clone(),
            started: now,
            ends_at: now + length,
            outcome,
            left: behaviour.leaves.map(|(longer, on_term)| (now + length + longer, on_term)),
            lingers: false,
            asked_to_end: false,
        };
        assert!(self.slots.insert(slot, process).is_none(), "slot {slot} is taken");
        self.operations.push((slot, Operation::Spawned(task.clone(), gpus.to_vec())));
        Ok(())
    }

    fn terminate(&mut self, slot: u32) {
        self.end(slot, Operation::Terminated, react_to_term);
    }

    fn kill(&mut self, slot: u32) {
        self.end(slot, Operation::Killed, |_, process, now| {
            if let Some((until, _)) = &mut process.left {
                *until = (now + DYING).min(*until);
            }
            match process.lingers {
                true => process.ends_at = process.ends_at.min(now + DYING),
                false => process.end_within(now, DYING, Outcome::Signaled(9)),
            }
        });
    }

    fn stop(&mut self, level: StopLevel) {
        self.keeping.stop(level);
    }
}
