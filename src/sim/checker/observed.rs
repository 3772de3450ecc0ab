//! What the checker has observed of tasks, processes and ranks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::demand::Capacity;
use crate::protocol::StopLevel;
use crate::task::Verdict;

/// Observations of a task.
#[derive(Clone, Default, Debug)]
pub(super) struct Task {
    pub(super) recorded: Option<Verdict>,
    pub(super) handed_to: Option<u32>,
    /// All ranks that may have it: one that was given up and comes back continues what it runs, unnoticed.
    pub(super) holders: BTreeSet<u32>,
    /// The last one was not given up since.
    pub(super) is_its_own: bool,
    /// Its processes that run on living nodes.
    pub(super) running: u32,
    /// It was neither handed out, started nor ended since.
    pub(super) quiet_since: Duration,
    /// How many times it failed by itself.
    pub(super) failures: u16,
    /// How many times it had to be retried through its own fault.
    pub(super) retried: u16,
    /// No rank may get it before.
    pub(super) not_before: Duration,
    /// It crashed, and has not ended by itself since.
    pub(super) is_suspect: bool,
    /// How many times it crashed in this run.
    pub(super) crashes: u16,
    /// This rank must not get it before.
    pub(super) avoids: Option<(u32, Duration)>,
}

/// Observations of a process.
#[derive(Clone, Default, Debug)]
pub(super) struct Run {
    pub(super) id: u32,
    /// Its GPUs, if tasks differ in what they ask for.
    pub(super) gpus: Vec<u32>,
    pub(super) attempt: u16,
    pub(super) terminated_at: Option<Duration>,
    pub(super) killed: bool,
    /// A batch system signaled it together with the farm.
    pub(super) struck: bool,
    pub(super) started: Duration,
    /// It exceeded its time limit.
    pub(super) timed_out: bool,
    /// When its first process ended by itself, leaving others behind.
    pub(super) lingers_since: Option<Duration>,
}

/// Observations of a rank.
#[derive(Clone, Default, Debug)]
pub(super) struct Node {
    pub(super) slots: u32,
    pub(super) capacity: Capacity,
    pub(super) up: bool,
    pub(super) stop: Option<StopLevel>,
    /// A fault affected it in this run, so that less can be expected of it.
    pub(super) troubled: bool,
    pub(super) lost: bool,
    pub(super) runs: BTreeMap<u32, Run>,
    /// Tasks that failed in a row, now and at most.
    pub(super) failed_in_row: (u32, u32),
    /// The farmer sees that tasks fail there quickly, and gives it none for a while.
    pub(super) held_back: bool,
    pub(super) is_aside: bool,
    /// It was handed a task: the farmer knows it.
    pub(super) served: bool,
    pub(super) idle_since: Option<Duration>,
    /// The last limit that it was sent, and when; and the lowest limit that it was ever sent.
    pub(super) limit: Option<(Duration, Duration)>,
    pub(super) limit_min: Option<Duration>,
}

impl Node {
    pub(super) fn failed(&mut self) {
        self.failed_in_row.0 += 1;
        self.failed_in_row.1 = self.failed_in_row.1.max(self.failed_in_row.0);
    }
}
