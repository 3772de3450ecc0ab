//! What has ended, counted: lengths, the slowest, what failed.
//!
//! Owns the running account of a farm. A task costs it a few additions and no memory; a failure costs a few bytes, up
//! to a limit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::usage::Usage;
use crate::farmer::{Cause, Record};
use crate::lengths::Lengths;
use crate::task::{EXIT_OF_SIGKILL, Outcome, SIGKILL};

/// How many of the slowest tasks a summary lists.
pub(crate) const SLOWEST: usize = 5;

/// Failures that are remembered one by one; further ones are only counted.
const FAILURES_MAX: usize = 20_000;

/// How many of the tasks that left processes behind are named.
const LEFT_BEHIND_TOLD: usize = 3;

/// How a task ended.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    /// It exited with this code.
    Exit(u8),
    /// It died by this signal.
    Signal(u8),
    /// It was ended for having run too long.
    Timeout,
    /// It took its pool or its node down.
    Crashed,
    /// It could not be started: why.
    NotStarted(Box<str>),
    /// It ended, and its output could not be kept: why.
    Unkept(Box<str>),
    /// It failed, and it is not known how.
    Unknown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => f.write_str(&crate::farmer::signal_name(*signal)),
            Self::Timeout => f.write_str("over its time limit"),
            Self::Crashed => f.write_str("crashed (took its pool or node down)"),
            Self::NotStarted(_) => f.write_str("not started"),
            Self::Unkept(_) => f.write_str("output not kept"),
            Self::Unknown => f.write_str("failed"),
        }
    }
}

impl End {
    /// SIGKILL, of the process itself or as reported by a shell that saw its program die (128 + 9). The farm did not
    /// send it: what the farm ends is [`End::Timeout`], or not an end of a task at all.
    pub fn is_kill(&self) -> bool {
        matches!(self, Self::Signal(SIGKILL) | Self::Exit(EXIT_OF_SIGKILL))
    }

    /// A signal that ends a process, of the process itself or as reported by a shell that saw its program die (128 +
    /// number).
    pub fn is_signal(&self) -> bool {
        matches!(self, Self::Signal(_) | Self::Exit(129..=159))
    }
}

/// The end of one task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The task.
    pub id: u32,
    /// Where it ran.
    pub rank: u32,
    /// For how long, in microseconds.
    pub length_us: u64,
    /// How it ended.
    pub end: End,
    /// Largest resident set of any of its processes, in KiB; 0 if that is not known.
    pub max_rss_kib: u64,
}

impl From<&Record> for Ended {
    fn from(record: &Record) -> Self {
        let result = &record.result;
        let end = match &result.outcome {
            // However it responded when it was asked to end.
            _ if result.timed_out => End::Timeout,
            Outcome::Exited(code) => End::Exit(*code),
            Outcome::Signaled(signal) => End::Signal(*signal),
            Outcome::NotStarted(why) => End::NotStarted(why.as_str().into()),
            Outcome::Unkept { reason, .. } => End::Unkept(reason.as_str().into()),
        };
        Self {
            id: result.id.0,
            rank: record.rank.0,
            length_us: result.duration_us,
            end,
            max_rss_kib: result.max_rss_kib,
        }
    }
}

/// A task that took long.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Slow {
    /// For how long, in microseconds.
    pub length_us: u64,
    /// The task.
    pub id: u32,
    /// Where it ran.
    pub rank: u32,
}

/// A task that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The task.
    pub id: u32,
    /// Where it ran, if that is known.
    pub rank: Option<u32>,
    /// How it ended.
    pub end: End,
    /// Largest resident set of any of its processes, in KiB; 0 if that is not known.
    pub max_rss_kib: u64,
}

/// The account.
#[derive(Debug)]
pub struct Tally {
    /// How long tasks took.
    pub lengths: Lengths,
    /// What all attempts have used.
    pub usage: Usage,
    /// How many of the slowest are kept.
    pub slowest_max: usize,
    /// The slowest tasks, with the shortest of them on top.
    slowest: BinaryHeap<Reverse<Slow>>,
    /// The failures that were remembered, in order.
    pub failures: Vec<Failure>,
    /// How many more failed in which way.
    pub further: BTreeMap<End, u64>,
    /// How many have finished.
    pub finished: u64,
    /// How many have failed.
    pub failed: u64,
    /// Those that had left processes behind.
    pub left_behind: LeftBehind,
}

/// Tasks that had left processes behind, which had to be ended.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftBehind {
    /// How many attempts.
    pub count: u64,
    /// The first of them, by task ID.
    pub tasks: Vec<u32>,
}

impl LeftBehind {
    fn add(&mut self, id: u32) {
        self.count += 1;
        if self.tasks.len() < LEFT_BEHIND_TOLD && !self.tasks.contains(&id) {
            self.tasks.push(id);
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new(SLOWEST)
    }
}

impl Tally {
    /// An empty account that keeps this many of the slowest tasks.
    pub fn new(slowest_max: usize) -> Self {
        Self {
            lengths: Lengths::default(),
            usage: Usage::default(),
            slowest_max,
            slowest: BinaryHeap::new(),
            failures: Vec::new(),
            further: BTreeMap::new(),
            finished: 0,
            failed: 0,
            left_behind: LeftBehind::default(),
        }
    }

    /// Counts a task. Returns whether it is one of the slowest so far.
    pub fn add(&mut self, ended: Ended) -> bool {
        let Ended { id, rank, length_us, end, max_rss_kib } = ended;
        self.lengths.add(length_us);
        let slow = Slow { length_us, id, rank };
        self.slowest.push(Reverse(slow));
        let is_slow = self.slowest.len() <= self.slowest_max || self.slowest.pop() != Some(Reverse(slow));
        if end == End::Exit(0) {
            self.finished += 1;
        } else {
            self.add_failure(Failure { id, rank: Some(rank), end, max_rss_kib });
        }
        is_slow
    }

    /// Counts an attempt from the journal. What it used counts in any case. If the task does not end with it, its
    /// length also counts; if it was ended from outside, not even that.
    pub fn record(&mut self, record: &Record) {
        self.usage.add(record.into());
        if record.result.left_behind {
            self.left_behind.add(record.result.id.0);
        }
        if record.cause == Cause::Crashed {
            // How long it would have taken is not known.
            if record.is_last {
                let (id, rank) = (record.result.id.0, record.rank.0);
                self.add_failure(Failure { id, rank: Some(rank), end: End::Crashed, max_rss_kib: 0 });
            }
        } else if record.verdict().is_some() {
            self.add(record.into());
        } else if record.cause.is_own_end() {
            self.lengths.add(record.result.duration_us);
        }
    }

    /// Counts a failure about which nothing else is known.
    pub fn add_failure(&mut self, failure: Failure) {
        self.failed += 1;
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        } else {
            // Each text would be a kind of its own.
            let end = match failure.end {
                End::NotStarted(_) => End::NotStarted("".into()),
                End::Unkept(_) => End::Unkept("".into()),
                end => end,
            };
            *self.further.entry(end).or_default() += 1;
        }
    }

    /// The slowest, longest first.
    pub fn slowest(&self) -> Vec<Slow> {
        self.slowest.clone().into_sorted_vec().into_iter().map(|Reverse(slow)| slow).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::farmer::Cause;
    use crate::task::{Attempt, Rank, TaskId, TaskResult};

    fn ended(id: u32, length_us: u64, end: End) -> Ended {
        Ended { id, rank: id % 3, length_us, end, max_rss_kib: 0 }
    }

    /// Promise: utilization and usage cover all that ran, also in a farm that was stopped. An attempt that a stop cuts
    /// short, or that is retried, has used its slot, and is not a length of a task; what was lost with its rank says
    /// nothing.
    #[test]
    fn every_attempt_that_ran_has_used_something() {
        let mut tally = Tally::default();
        let result = TaskResult {
            start_us: 5,
            duration_us: 1_000,
            user_us: 30,
            system_us: 12,
            max_rss_kib: 900,
            ..TaskResult::of(TaskId(7), Attempt(1), Outcome::Signaled(15))
        };
        for (cause, is_last) in
            [(Cause::Interrupted, false), (Cause::Lost, false), (Cause::Failed, false), (Cause::Timeout, true)]
        {
            tally.record(&Record { rank: Rank(1), result: result.clone(), cause, is_last });
        }
        assert_eq!(tally.usage, Usage { busy_us: 3_000, cpu_us: 126, peak: Some((900, 7)) });
        assert_eq!((tally.lengths.count(), tally.failed, tally.failures[0].max_rss_kib), (2, 1, 900));
    }

    /// Only a SIGKILL that the farm did not send needs an explanation: a task that ran out of time was killed by the
    /// farm.
    #[test]
    fn a_kill_of_the_farms_own_is_none() {
        let kills = [End::Signal(9), End::Exit(137), End::Signal(15), End::Exit(9), End::Timeout, End::Unknown];
        assert_eq!(kills.map(|end| end.is_kill()), [true, true, false, false, false, false]);
    }

    /// The five slowest, whatever the order in which tasks end.
    #[test]
    fn the_slowest_are_kept() {
        let mut tally = Tally::default();
        (0..1_000).for_each(|id| _ = tally.add(ended(id, u64::from(id * 7 % 1_000), End::Exit(0))));
        let lengths: Vec<u64> = tally.slowest().iter().map(|slow| slow.length_us).collect();
        assert_eq!(lengths, [999, 998, 997, 996, 995]);
        let mut none = Tally::new(0);
        assert!(!none.add(ended(1, 1, End::Exit(0))));
        assert_eq!(none.slowest(), []);
    }

    /// Promise 6: a list whose tasks all fail does not fill the memory, and every failure is counted.
    #[test]
    fn failures_are_bounded() {
        let mut tally = Tally::default();
        let count = FAILURES_MAX as u32 + 10;
        (0..count).for_each(|id| _ = tally.add(ended(id, 1, End::NotStarted(format!("task {id}").into()))));
        assert_eq!((tally.failed, tally.failures.len()), (u64::from(count), FAILURES_MAX));
        assert_eq!(tally.further.values().sum::<u64>(), 10);
        assert_eq!(tally.further.len(), 1);
    }
}
