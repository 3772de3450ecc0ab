//! Input and output of the farmer core.
//!
//! Owns only the types; [`super`] decides what they lead to.

use std::ops::Range;
use std::time::Duration;

use super::{Rules, StopCause};
use crate::demand::classes::Kind;
use crate::demand::list::Counts;
use crate::protocol::{StopLevel, ToFarmer, ToWorker};
use crate::task::{Attempt, Executing, Outcome, Rank, SIGKILL, TaskId, TaskResult, Verdict};

/// Parameters of the farmer core.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Ranks of the farm, rank 0 included.
    pub ranks: u32,
    /// Rank 0 takes no tasks.
    pub farmer_only: bool,
    /// A worker that is silent for longer than this is lost.
    pub silence_max: Duration,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// What to do with tasks that fail.
    pub rules: Rules,
    /// What tasks ask for, by class; at least one. The task table has the class of each task.
    pub kinds: Vec<Kind>,
    /// How much there is of each thing that the farm shares out.
    pub totals: Counts,
    /// When `--timeout` expires, on the clock of [`super::Farmer::handle`].
    pub timeout_at: Option<Duration>,
}

impl Settings {
    /// For a farm of this many ranks that does what it does by default. For tests and benches.
    pub fn plain(ranks: u32) -> Self {
        Self {
            ranks,
            farmer_only: false,
            silence_max: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            rules: Rules::default(),
            timeout_at: None,
            kinds: vec![Kind::default()],
            totals: Counts::default(),
        }
    }
}

/// Input of the farmer core.
#[derive(Debug)]
pub enum Event {
    /// A message from a worker.
    Message(Rank, ToFarmer),
    /// MPI or the socket reports that the link to a worker is broken, or that it carried something that is not a
    /// message.
    LinkFailed(Rank, String),
    /// A signal reached rank 0 itself.
    Signal(u8),
    /// The sender of this signal is about to kill rank 0: running tasks must be killed first.
    KilledSoon(u8),
    /// Records did not reach the disk.
    StorageFailed {
        /// The records that were not written, from [`Actions::records`].
        unwritten: Vec<TaskId>,
        /// What failed, where, and what to do about it.
        reason: String,
    },
    /// [`super::Farmer::next_deadline`] has come, and every message that had arrived by then was taken in, so it is
    /// known which ranks are silent.
    Tick,
}

/// A message to a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Send {
    /// [`ToWorker::Assign`] with these of [`Actions::assigned`]; the driver adds their commands.
    Assign {
        /// As in the message.
        seq: u32,
        /// Indexes into [`Actions::assigned`].
        tasks: Range<usize>,
    },
    /// [`ToWorker::Start`], to a rank whose pool died; the driver knows its content.
    Start,
    /// Any other message.
    Message(ToWorker),
}

/// Why an attempt of a task has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// It exited with code 0.
    Finished,
    /// It ended in any other way.
    Failed,
    /// It exceeded its time limit and was ended. The task has failed.
    Timeout,
    /// It ended, but its output could not be kept. The task has failed, whatever its exit code.
    Unkept,
    /// The farm was stopped.
    Interrupted,
    /// Its rank was lost while it waited there. Only ID and attempt of the result are meaningful.
    Lost,
    /// Its pool died, or its rank was lost, while it was executing or may have been: it may be the cause. Start and
    /// length are 0 if they are unknown.
    Crashed,
}

/// The word for [`Cause::Crashed`]: a resume looks for it.
pub(crate) const CRASHED: &str = "crashed";

impl Cause {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Finished, Self::Failed, Self::Timeout, Self::Unkept, Self::Interrupted, Self::Lost, Self::Crashed];

    /// The word that users see.
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

    /// The cause with this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.word() == word)
    }

    /// Whether it ended by itself instead of being cut short by a stop or a loss.
    pub fn is_own_end(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Timeout | Self::Unkept)
    }

    /// What this decides if the task does not run again.
    pub fn verdict(self) -> Verdict {
        if self == Self::Finished { Verdict::Finished } else { Verdict::Failed }
    }

    /// Why an attempt with this result has ended, if nothing interfered.
    pub fn of(result: &TaskResult) -> Self {
        match result.timed_out {
            true => Self::Timeout,
            false if result.outcome.is_success() => Self::Finished,
            false if matches!(result.outcome, Outcome::Unkept { .. }) => Self::Unkept,
            false => Self::Failed,
        }
    }
}

/// An attempt that has ended, to be recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it ran.
    pub rank: Rank,
    /// How it ended.
    pub result: TaskResult,
    /// Why it has ended.
    pub cause: Cause,
    /// The task has ended with this attempt and belongs in `finished` or `failed`; otherwise it runs again.
    pub is_last: bool,
}

impl Record {
    /// An attempt that was lost with its rank.
    pub(super) fn lost(rank: Rank, id: TaskId, attempt: Attempt) -> Self {
        let outcome = Outcome::NotStarted(String::new());
        let executing = Executing { id, slot: 0, start_us: 0, duration_us: 0 };
        Self::unfinished(rank, executing, attempt, outcome, Cause::Lost)
    }

    /// An attempt that was killed with its pool or its rank.
    pub(super) fn crashed(rank: Rank, executing: Executing, attempt: Attempt) -> Self {
        // Whatever the pool died of, the process that cleans up after it kills its tasks.
        Self::unfinished(rank, executing, attempt, Outcome::Signaled(SIGKILL), Cause::Crashed)
    }

    fn unfinished(rank: Rank, executing: Executing, attempt: Attempt, outcome: Outcome, cause: Cause) -> Self {
        let Executing { id, slot, start_us, duration_us } = executing;
        let result = TaskResult { slot, start_us, duration_us, ..TaskResult::of(id, attempt, outcome) };
        Self { rank, result, cause, is_last: false }
    }

    /// Whether it is known when and where it ran.
    pub(crate) fn has_times(&self) -> bool {
        match self.cause {
            Cause::Lost => false,
            Cause::Crashed => self.result.start_us > 0,
            Cause::Finished | Cause::Failed | Cause::Timeout | Cause::Unkept | Cause::Interrupted => true,
        }
    }

    /// What this attempt has decided, if it is the last one.
    pub fn verdict(&self) -> Option<Verdict> {
        self.is_last.then(|| self.cause.verdict())
    }
}

/// What users and logs are notified of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A worker has sent Hello.
    Joined(Rank),
    /// A worker was given up.
    Lost {
        /// Which.
        rank: Rank,
        /// Why.
        reason: String,
        /// How many tasks it held; they go to others, if there are any.
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
    /// Tasks were executing when their pool died or their rank was lost: they may be the cause, and run again after all
    /// others.
    Suspected {
        /// Where.
        rank: Rank,
        /// The tasks.
        ids: Vec<TaskId>,
    },
    /// A task is recorded as failed: it ran alone on its rank and has reached the limit of crashes.
    Crashed {
        /// Which task.
        id: TaskId,
        /// Where it was lost last.
        rank: Rank,
        /// How many times it was lost while it was executing, in earlier runs too.
        crashes: u16,
    },
    /// A worker that had been given up responds again.
    CameBack(Rank),
    /// A node refuses to start processes.
    Paused(Rank),
    /// Tasks fail quickly on a rank; it waits until it is known whether they do elsewhere.
    Watched(Rank),
    /// Tasks fail quickly on a rank and succeed elsewhere.
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
    /// A message that makes no sense in this state.
    Odd(Rank, &'static str),
    /// The farm begins to stop, or stops at a higher level.
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

/// What to do, in field order: `records` are written before anything is sent.
#[derive(Default, Debug)]
pub struct Actions {
    /// For timeline, `tasks.tsv`, `finished` and `failed`, in this order.
    pub records: Vec<Record>,
    /// The tasks that [`Send::Assign`] refers to.
    pub assigned: Vec<(TaskId, Attempt)>,
    /// Messages and their destinations.
    pub sends: Vec<(Rank, Send)>,
    /// For the user.
    pub notes: Vec<Note>,
}

impl Actions {
    /// Sends a message to a rank.
    pub(super) fn send(&mut self, rank: Rank, message: ToWorker) {
        self.sends.push((rank, Send::Message(message)));
    }

    /// Empties all fields, keeping the memory for the next turn.
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
    fn an_end_from_outside_does_not_count() {
        let all = [Cause::Finished, Cause::Failed, Cause::Unkept, Cause::Interrupted, Cause::Lost, Cause::Crashed];
        assert_eq!(all.map(Cause::is_own_end), [true, true, true, false, false, false]);
    }
}
