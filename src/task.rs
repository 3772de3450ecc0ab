//! What the whole program speaks of: a task, a rank, an attempt, how it ended.
//!
//! Owns these nouns, which everything else may use and which use nothing. [`crate::protocol`] sends them, so their bytes
//! are part of a message.

use std::fmt;

use bincode::{Decode, Encode};

/// The 0-based place of a task among the kept lines of its list. Users see it as `ID` in the workdir.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct TaskId(pub u32);

/// An MPI rank; 0 is the farmer's, and the only one without a launcher.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Rank(pub u32);

/// The rank that owns the workdir and the tasklist.
pub(crate) const FARMER: Rank = Rank(0);

/// The number of this attempt of a task within one run of the farm; the first is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Attempt(pub u16);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// More slots than this on one rank are a mistake, whatever their source.
pub(crate) const SLOTS_MAX: u32 = 100_000;

/// The signal that cannot be caught. The system's out-of-memory killer sends it.
pub(crate) const SIGKILL: u8 = 9;

/// What a shell adds to the number of the signal that has killed its program, for its own exit code.
pub(crate) const EXIT_OF_SIGNALS: u8 = 128;

/// The exit code of a shell whose program died of SIGKILL.
pub(crate) const EXIT_OF_SIGKILL: u8 = EXIT_OF_SIGNALS + SIGKILL;

/// How one attempt of a task ended.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Outcome {
    /// Its process exited with this code, 0 to 255.
    Exited(u8),
    /// Its process died by this signal.
    Signaled(u8),
    /// It never ran, and never will on any node: the reason, for the user.
    NotStarted(String),
    /// Its process has ended, but its output cannot be kept because something else has the name of its log: it has
    /// failed, whatever its exit code.
    Unkept {
        /// Its exit code, if it did not die by a signal.
        exit: Option<u8>,
        /// The signal that it died by.
        signal: Option<u8>,
        /// The reason, for the user.
        reason: String,
    },
}

impl Outcome {
    /// Whether this is the success of a process, if nothing interfered.
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }

    /// SIGKILL, of the process itself or as reported by a shell that saw its program die.
    pub fn is_kill(&self) -> bool {
        matches!(self, Self::Signaled(SIGKILL) | Self::Exited(EXIT_OF_SIGKILL))
    }

    /// The exit code of its process, if it had one.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::Unkept { exit, .. } => *exit,
            Self::Signaled(_) | Self::NotStarted(_) => None,
        }
    }

    /// The signal that its process died by, if it did.
    pub fn signal(&self) -> Option<u8> {
        match self {
            Self::Signaled(signal) => Some(*signal),
            Self::Unkept { signal, .. } => *signal,
            Self::Exited(_) | Self::NotStarted(_) => None,
        }
    }

    /// Why it never ran, or why its output cannot be kept.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::NotStarted(reason) | Self::Unkept { reason, .. } => Some(reason),
            Self::Exited(_) | Self::Signaled(_) => None,
        }
    }

    /// The same end for a task whose output cannot be kept. One that never ran has no output.
    pub fn unkept(self, reason: String) -> Self {
        match self {
            Self::NotStarted(_) => self,
            _ => Self::Unkept { exit: self.exit_code(), signal: self.signal(), reason },
        }
    }
}

/// One attempt of a task that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct TaskResult {
    /// The task.
    pub id: TaskId,
    /// The number of this attempt.
    pub attempt: Attempt,
    /// The slot it ran in, from 0.
    pub slot: u32,
    /// When it got its slot, in microseconds since 1970, by the clock of its node.
    pub start_us: u64,
    /// How long it had the slot, until all its processes were gone, in microseconds, by a clock that never steps.
    pub duration_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// It had exceeded its limit ([`Limit`](crate::protocol::ToWorker::Limit)) and was asked to end: it has failed, whatever its exit code.
    pub timed_out: bool,
    /// When its first process had ended, others that it had started remained and had to be ended.
    pub left_behind: bool,
    /// User CPU time of the task and the children that it waited for, in microseconds.
    pub user_us: u64,
    /// System CPU time, likewise.
    pub system_us: u64,
    /// Largest resident set of any one of its processes, in KiB.
    pub max_rss_kib: u64,
}

/// A task that was executing when its pool died.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Executing {
    /// The task.
    pub id: TaskId,
    /// The slot it ran in, from 0.
    pub slot: u32,
    /// When it got its slot, in microseconds since 1970, by the clock of its node.
    pub start_us: u64,
    /// How long it had the slot, in microseconds.
    pub duration_us: u64,
}

impl TaskResult {
    /// An attempt of which only the end is known: it ran in the first slot, at no time, and used nothing.
    pub fn of(id: TaskId, attempt: Attempt, outcome: Outcome) -> Self {
        Self {
            id,
            attempt,
            slot: 0,
            start_us: 0,
            duration_us: 0,
            outcome,
            timed_out: false,
            left_behind: false,
            user_us: 0,
            system_us: 0,
            max_rss_kib: 0,
        }
    }

    /// Whether the task has succeeded.
    pub fn is_success(&self) -> bool {
        self.outcome.is_success() && !self.timed_out
    }
}

/// What a task's last attempt has decided: the file that it is recorded in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It has succeeded.
    Finished,
    /// It has failed, in whatever way.
    Failed,
}
