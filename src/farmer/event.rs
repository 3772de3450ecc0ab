//! What goes into the farmer core and what comes out of it.
//!
//! Owns the types only; what they lead to is decided in [`super`].

use std::ops::Range;
use std::time::Duration;

use super::{Rules, StopCause};
use crate::protocol::{Attempt, Executing, Outcome, Rank, StopLevel, TaskId, TaskResult, ToFarmer};

/// What the farmer core is told at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Ranks of the farm, rank 0 included.
    pub ranks: u32,
    /// Rank 0 takes no tasks.
    pub farmer_only: bool,
    /// A worker that is silent for longer is lost.
    pub silence_max: Duration,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// What to do with tasks that fail.
    pub rules: Rules,
    /// When `--timeout` is over, on the clock of [`super::Farmer::handle`].
    pub timeout_at: Option<Duration>,
}

/// What can happen to a farmer.
#[derive(Debug)]
pub enum Event {
    /// A worker said something.
    Message(Rank, ToFarmer),
    /// MPI or the socket reports that the link to a worker is broken, or what came over it is no message.
    LinkFailed(Rank, String),
    /// A signal reached rank 0 itself.
    Signal(u8),
    /// Whoever sent this signal is about to kill rank 0: what still runs is to be killed before.
    KilledSoon(u8),
    /// Records did not reach the disk.
    StorageFailed {
        /// The records that were not written, from [`Actions::records`].
        unwritten: Vec<TaskId>,
        /// What, where, what to do.
        reason: String,
    },
    /// [`super::Farmer::next_deadline`] has come, and every message that had come by then was taken in: who is silent
    /// can be told now.
    Tick,
}

/// A message to a worker; the driver adds what the core does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Send {
    /// [`crate::protocol::ToWorker::Assign`] with these of [`Actions::assigned`].
    Assign {
        /// As in the message.
        seq: u32,
        /// Indexes into [`Actions::assigned`].
        tasks: Range<usize>,
    },
    /// [`crate::protocol::ToWorker::Recall`].
    Recall {
        /// As in the message.
        count: u32,
    },
    /// [`crate::protocol::ToWorker::Stop`].
    Stop {
        /// As in the message.
        level: StopLevel,
    },
    /// [`crate::protocol::ToWorker::Limit`].
    Limit {
        /// As in the message.
        us: u64,
    },
    /// [`crate::protocol::ToWorker::Start`], to a rank whose pool died.
    Start,
    /// [`crate::protocol::ToWorker::Heartbeat`].
    Heartbeat,
    /// [`crate::protocol::ToWorker::Rejoin`].
    Rejoin {
        /// As in the message.
        seq: u32,
    },
}

/// Why an attempt of a task is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It exited with code 0.
    Finished,
    /// It ended in any other way.
    Failed,
    /// It ran out of time and was ended. The task has failed.
    Timeout,
    /// It ended, and its output can't be kept. The task has failed, whatever its exit code.
    Unkept,
    /// The farm was stopped.
    Interrupted,
    /// Its rank was lost while it waited there. Of the result only ID and attempt mean something.
    Lost,
    /// Its pool died, or its rank was lost, while it executed or may have: perhaps it is the cause. Start and length are
    /// 0 if they are not known.
    Crashed,
}

/// The word for [`Why::Crashed`]: a resume looks for it.
pub(crate) const CRASHED: &str = "crashed";

impl Why {
    /// The word that users read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Unkept => "unkept",
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
            Self::Crashed => CRASHED,
        }
    }

    /// It came to its end; it was not cut short by a stop or a loss.
    #[must_use]
    pub fn is_own_end(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Timeout | Self::Unkept)
    }

    /// Why an attempt with this result is over, if it was left alone.
    #[must_use]
    pub fn of(result: &TaskResult) -> Self {
        match result.timed_out {
            true => Self::Timeout,
            false if result.outcome.is_success() => Self::Finished,
            false if matches!(result.outcome, Outcome::Unkept { .. }) => Self::Unkept,
            false => Self::Failed,
        }
    }
}

/// An attempt that is over, to be written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it ran.
    pub rank: Rank,
    /// How it went.
    pub result: TaskResult,
    /// Why it is over.
    pub why: Why,
    /// The task has ended with it, and belongs into `finished` or `failed`; else it runs again.
    pub is_last: bool,
}

impl Record {
    /// An attempt that was lost with its rank.
    pub(super) fn lost(rank: Rank, id: TaskId, attempt: Attempt) -> Self {
        let outcome = Outcome::NotStarted(String::new());
        let executing = Executing { id, slot: 0, start_us: 0, duration_us: 0 };
        Self::unfinished(rank, executing, attempt, outcome, Why::Lost)
    }

    /// An attempt that was killed with its pool or its rank.
    pub(super) fn crashed(rank: Rank, executing: Executing, attempt: Attempt) -> Self {
        // Of whatever the pool died: who clears up behind it kills its tasks.
        Self::unfinished(rank, executing, attempt, Outcome::Signaled(9), Why::Crashed)
    }

    fn unfinished(rank: Rank, executing: Executing, attempt: Attempt, outcome: Outcome, why: Why) -> Self {
        let Executing { id, slot, start_us, duration_us } = executing;
        let result = TaskResult {
            id,
            attempt,
            slot,
            start_us,
            duration_us,
            outcome,
            timed_out: false,
            left_behind: false,
            user_us: 0,
            system_us: 0,
            max_rss_kib: 0,
        };
        Self { rank, result, why, is_last: false }
    }

    /// Whether it is known when and where it ran.
    pub(crate) fn has_times(&self) -> bool {
        match self.why {
            Why::Lost => false,
            Why::Crashed => self.result.start_us > 0,
            Why::Finished | Why::Failed | Why::Timeout | Why::Unkept | Why::Interrupted => true,
        }
    }

    /// Whether the task belongs into `finished` (`true`), into `failed`, or into none of them yet.
    #[must_use]
    pub fn verdict(&self) -> Option<bool> {
        self.is_last.then_some(self.why == Why::Finished)
    }
}

/// What users and logs should hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A worker said Hello.
    Joined(Rank),
    /// A worker was given up.
    Lost {
        /// Which.
        rank: Rank,
        /// Why.
        reason: String,
        /// How many tasks it held; others get them, if there are any.
        tasks: u32,
    },
    /// The pool of a rank died, and the rank gets a new one.
    PoolDied {
        /// Which rank.
        rank: Rank,
        /// How.
        reason: String,
        /// How many tasks the rank held; they wait again.
        tasks: u32,
    },
    /// Tasks executed when their pool died or their rank was lost: they are suspected of it, and run again last.
    Suspected {
        /// Where.
        rank: Rank,
        /// The tasks.
        ids: Vec<TaskId>,
    },
    /// A task is recorded as failed: alone on its rank, it was lost once too often.
    Crashed {
        /// Which task.
        id: TaskId,
        /// Where it was lost last.
        rank: Rank,
        /// How often it was lost while it executed, in earlier runs too.
        crashes: u16,
    },
    /// A worker that had been given up spoke again.
    CameBack(Rank),
    /// A node refuses to start processes.
    Paused(Rank),
    /// Tasks fail at once on a rank; it waits until it is known whether they do elsewhere.
    Watched(Rank),
    /// Tasks fail at once on a rank and do well elsewhere.
    SetAside {
        /// Which.
        rank: Rank,
        /// How many tasks failed there in a row; others get them.
        tasks: u32,
        /// For how long.
        time: Duration,
    },
    /// A rank that was watched or set aside gets tasks as before.
    Trusted(Rank),
    /// A message that makes no sense here.
    Odd(Rank, &'static str),
    /// No task is started any more; running ones may end.
    Draining(StopCause),
    /// The farm begins to stop, or stops harder than before.
    Stopping(StopLevel, StopCause),
    /// A log record of a worker.
    Log {
        /// Whose.
        rank: Rank,
        /// `log::Level` as a number.
        level: u8,
        /// The text.
        text: String,
    },
}

/// What is to be done, in field order: `records` are written before anything is sent.
#[derive(Default, Debug)]
pub struct Actions {
    /// For timeline, `tasks.tsv`, `finished` and `failed`, in this order.
    pub records: Vec<Record>,
    /// The tasks that [`Send::Assign`] speaks of.
    pub assigned: Vec<(TaskId, Attempt)>,
    /// To whom what.
    pub sends: Vec<(Rank, Send)>,
    /// For the user.
    pub notes: Vec<Note>,
}

impl Actions {
    /// Empties all, keeping the memory for the next turn.
    pub fn clear(&mut self) {
        self.records.clear();
        self.assigned.clear();
        self.sends.clear();
        self.notes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what came to an end by itself goes into `finished` or `failed`.
    #[test]
    fn an_end_from_outside_is_none() {
        let all = [Why::Finished, Why::Failed, Why::Unkept, Why::Interrupted, Why::Lost, Why::Crashed];
        assert_eq!(all.map(Why::is_own_end), [true, true, true, false, false, false]);
    }
}
