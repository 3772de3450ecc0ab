//! What the user wants to happen when tasks fail.
//!
//! Owns the settings; [`super`] decides what they lead to.

use std::time::Duration;

use crate::task::{Outcome, TaskResult};

/// What the user wants to happen when tasks fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// How many times a failed task is retried.
    pub retries: u16,
    /// Only after these exit codes, if given.
    pub retry_exit: Option<ExitCodes>,
    /// How long a task may run.
    pub task_limit: Option<TaskLimit>,
    /// After how many failures the farm ends.
    pub halt: Option<Halt>,
    /// How long a task is expected to take: none is started that would not end in time. 0: all are started. If not
    /// given, the lengths of finished tasks decide.
    pub task_time: Option<Duration>,
    /// After this many crashes, the last of them alone on its rank, a task has failed. At least 1.
    pub crash_limit: u16,
}

/// The default crash limit.
pub(crate) const CRASH_LIMIT_DEFAULT: u16 = 3;

impl Default for Rules {
    fn default() -> Self {
        let (retries, crash_limit) = (0, CRASH_LIMIT_DEFAULT);
        Self { retries, retry_exit: None, task_limit: None, halt: None, task_time: None, crash_limit }
    }
}

/// When failures end the farm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Halt {
    /// How it ends.
    pub when: HaltWhen,
    /// After how many failures in this run.
    pub at: HaltAt,
}

/// How failures end the farm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltWhen {
    /// Running tasks may end.
    Soon,
    /// Running tasks are ended.
    Now,
}

/// How many failures end the farm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltAt {
    /// This many tasks.
    Count(u32),
    /// This percentage of the tasks that have ended, once a few have failed.
    Percent(u32),
}

/// How long a task may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskLimit {
    /// This long.
    Fixed(Duration),
    /// This percentage of the median of the tasks that have finished.
    Percent(u32),
}

/// A set of exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExitCodes([u64; 4]);

impl ExitCodes {
    /// Whether the code is in the set.
    pub fn contains(&self, code: u8) -> bool {
        self.0[usize::from(code >> 6)] & (1 << (code & 63)) != 0
    }
}

impl FromIterator<u8> for ExitCodes {
    fn from_iter<I: IntoIterator<Item = u8>>(codes: I) -> Self {
        let mut set = Self::default();
        codes.into_iter().for_each(|code| set.0[usize::from(code >> 6)] |= 1 << (code & 63));
        set
    }
}

impl Rules {
    /// Whether a failure like this may be retried at all.
    pub(super) fn may_retry(&self, result: &TaskResult) -> bool {
        let code = match result.outcome {
            // As timeout(1) reports it.
            _ if result.timed_out => Some(124),
            Outcome::Exited(code) => Some(code),
            // As a shell reports it.
            Outcome::Signaled(signal) => Some(signal.saturating_add(128)),
            Outcome::NotStarted(_) | Outcome::Unkept { .. } => None,
        };
        self.retry_exit.is_none_or(|codes| code.is_some_and(|code| codes.contains(code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set contains what was put into it.
    #[test]
    fn a_set_of_exit_codes() {
        let set: ExitCodes = [0, 63, 64, 255].into_iter().collect();
        let held: Vec<u8> = (0..=255).filter(|&code| set.contains(code)).collect();
        assert_eq!(held, [0, 63, 64, 255]);
    }
}
