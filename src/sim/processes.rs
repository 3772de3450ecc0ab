//! Processes that only exist on paper: they start, get signals, and end when their time has come.
//!
//! Owns the processes of one node. What happens to them is noted, for the world to plan their ends and for the checker
//! to judge.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::plan::{OnTerm, Plan};
use crate::lengths::micros;
use crate::pool::turn::{Processes, SpawnError};
use crate::protocol::{Assignment, Attempt, Outcome, TaskId};
use crate::worker::Usage;

/// From a deadly signal to the end of the process.
const DYING: Duration = Duration::from_micros(300);

/// How long a start takes that fails in a thread of its own.
const STARTING: Duration = Duration::from_micros(300);

/// How long a task takes to fail on a broken node.
const FAILING: Duration = Duration::from_millis(5);

/// What happened to a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// It runs.
    Spawned(Assignment),
    /// It can never run.
    Impossible(Assignment),
    /// The node had no means to start it.
    Refused(TaskId),
    /// It was sent SIGTERM.
    Terminated,
    /// It was sent SIGKILL.
    Killed,
    /// It was sent SIGTERM by somebody else.
    Struck,
    /// It ended, and its parent knows.
    Ended(Outcome),
}

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Counts all processes of the node.
    pub number: u64,
    /// Its task.
    pub id: TaskId,
    /// Which try.
    pub attempt: Attempt,
    /// When it was started.
    pub started: Duration,
    /// When it ends, as things stand.
    pub ends_at: Duration,
    /// How it ends then.
    pub outcome: Outcome,
}

/// The processes of a node.
#[derive(Debug)]
pub struct Simulated {
    plan: Rc<Plan>,
    /// The time of the turn that is under way.
    pub now: Duration,
    /// Nothing can be started.
    pub refusing: bool,
    /// What is started fails at once.
    pub broken: bool,
    /// What happened since the last look, by slot.
    pub deeds: Vec<(u32, Deed)>,
    /// What runs, or has ended and was not reaped yet.
    pub slots: BTreeMap<u32, Process>,
    /// Starts that will turn out to be refused: when, and which.
    refused: VecDeque<(Duration, u32, Assignment)>,
    refusals: u64,
    count: u64,
}

impl Simulated {
    /// A node on which nothing runs.
    #[must_use]
    pub fn new(plan: Rc<Plan>) -> Self {
        Self {
            plan,
            now: Duration::ZERO,
            refusing: false,
            broken: false,
            deeds: Vec::new(),
            slots: BTreeMap::new(),
            refused: VecDeque::new(),
            refusals: 0,
            count: 0,
        }
    }

    /// When the next start is known to be refused.
    #[must_use]
    pub fn next_refusal(&self) -> Option<Duration> {
        self.refused.front().map(|(at, ..)| *at)
    }

    /// The next start that has turned out to be refused by now.
    pub fn take_refused(&mut self, now: Duration) -> Option<(u32, Assignment)> {
        self.next_refusal().filter(|&at| at <= now)?;
        let (_, slot, task) = self.refused.pop_front()?;
        self.deeds.push((slot, Deed::Refused(task.id)));
        Some((slot, task))
    }

    /// Takes the process of this slot away, if it has ended by now.
    pub fn reap(&mut self, now: Duration, slot: u32) -> Option<(Outcome, Usage)> {
        let process = self.slots.get(&slot).filter(|process| process.ends_at <= now)?;
        let usage = Usage {
            start_us: micros(process.started),
            duration_us: micros(process.ends_at.saturating_sub(process.started)),
            user_us: 0,
            system_us: 0,
            max_rss_kib: 0,
        };
        let process = self.slots.remove(&slot).expect("seen");
        self.deeds.push((slot, Deed::Ended(process.outcome.clone())));
        Some((process.outcome, usage))
    }

    /// A batch system sends SIGTERM to everything.
    pub fn strike(&mut self) {
        for slot in self.slots.keys().copied().collect::<Vec<_>>() {
            self.signal(slot, Deed::Struck, react_to_term);
        }
    }

    fn signal(&mut self, slot: u32, deed: Deed, react: impl FnOnce(&Plan, &mut Process, Duration)) {
        let now = self.now;
        let Some(process) = self.slots.get_mut(&slot) else { return };
        // A process that has ended and was not reaped yet takes no signal.
        if process.ends_at > now {
            react(&self.plan, process, now);
            self.deeds.push((slot, deed));
        }
    }
}

fn react_to_term(plan: &Plan, process: &mut Process, now: Duration) {
    let (after, outcome) = match plan.of(process.id).on_term {
        OnTerm::Deaf => return,
        OnTerm::Dies => (DYING, Outcome::Signaled(15)),
        OnTerm::Saves(time) => (time, Outcome::Exited(0)),
    };
    if now + after < process.ends_at {
        process.ends_at = now + after;
        process.outcome = outcome;
    }
}

impl Processes for Simulated {
    fn spawn(&mut self, now: Duration, slot: u32, task: &Assignment) -> Result<(), SpawnError> {
        if self.refusing {
            // A pool with few slots knows at once, one with many later: here every second start.
            self.refusals += 1;
            if self.refusals.is_multiple_of(2) {
                self.refused.push_back((now + STARTING, slot, task.clone()));
                return Ok(());
            }
            self.deeds.push((slot, Deed::Refused(task.id)));
            return Err(SpawnError::Refused("simulated".to_owned()));
        }
        let behaviour = self.plan.of(task.id);
        let outcome = behaviour.outcome_of(task.attempt.0);
        if let Outcome::NotStarted(_) = outcome {
            self.deeds.push((slot, Deed::Impossible(task.clone())));
            return Err(SpawnError::Impossible(outcome, Usage::default()));
        }
        let (length, outcome) = match self.broken {
            true => (FAILING, Outcome::Exited(1)),
            false => (behaviour.length, outcome),
        };
        self.count += 1;
        let process = Process {
            number: self.count,
            id: task.id,
            attempt: task.attempt,
            started: now,
            ends_at: now + length,
            outcome,
        };
        assert!(self.slots.insert(slot, process).is_none(), "slot {slot} is taken");
        self.deeds.push((slot, Deed::Spawned(task.clone())));
        Ok(())
    }

    fn terminate(&mut self, slot: u32) {
        self.signal(slot, Deed::Terminated, react_to_term);
    }

    fn kill(&mut self, slot: u32) {
        self.signal(slot, Deed::Killed, |_, process, now| {
            if now + DYING < process.ends_at {
                process.ends_at = now + DYING;
                process.outcome = Outcome::Signaled(9);
            }
        });
    }
}
