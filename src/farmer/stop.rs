//! How a farm ends: why, at which level, and with which exit code.
//!
//! Owns the stop ladder and the verdict. Never sends anything itself: [`super::Farmer`] does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::demand::Demand;
use crate::exit_code::ExitCode;
use crate::protocol::StopLevel;
use crate::task::{Rank, TaskId};

/// Why a farm stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StopCause {
    /// Every task is recorded.
    AllDone,
    /// A rank received this signal.
    Signal {
        /// Which rank.
        rank: Rank,
        /// Which signal.
        signal: u8,
    },
    /// `--timeout` has expired.
    Timeout,
    /// This many tasks have failed in this run, the limit that `--halt` sets.
    Halt {
        /// How many.
        failed: u32,
    },
    /// The time limit is so near that a further task would not end in time.
    NoTimeLeft {
        /// How long a task is expected to take.
        task_time: Duration,
    },
    /// No worker is left that can run tasks.
    NoWorkers,
    /// No worker has room for even one task.
    NoRoom {
        /// One of them.
        rank: Rank,
        /// Its node.
        host: String,
        /// What it lacks.
        shortage: String,
    },
    /// Only tasks are left for which no remaining rank has room.
    RoomLost {
        /// How many.
        tasks: u32,
        /// The first of them.
        first: TaskId,
        /// What it asks for.
        demand: Demand,
    },
    /// The workdir cannot be written.
    FarmFailed(String),
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllDone => write!(f, "all tasks are done"),
            Self::Signal { rank, signal } => write!(f, "{} on rank {rank}", signal_name(*signal)),
            Self::Timeout => write!(f, "the time limit is reached"),
            Self::Halt { failed: 1 } => write!(f, "a task has failed (--halt)"),
            Self::Halt { failed } => write!(f, "{failed} tasks have failed (--halt)"),
            Self::NoTimeLeft { task_time } => {
                write!(f, "no time is left for a further task of {:.1} s", task_time.as_secs_f64())
            }
            Self::NoWorkers => write!(f, "no worker is left that can run tasks"),
            Self::NoRoom { rank, host, shortage } => write!(
                f,
                "no rank has room for a task: on rank {rank} ({host}), {shortage}\n  \
                 ask for less, or give the ranks more: taskfarmer-mpi help resources"
            ),
            Self::RoomLost { tasks: 1, first, demand } => {
                write!(f, "task {first} asks for {demand}, and no rank that is left has room for it")
            }
            Self::RoomLost { tasks, first, demand } => write!(
                f,
                "no rank that is left has room for {tasks} tasks, such as task {first}, which asks for {demand}"
            ),
            Self::FarmFailed(reason) => write!(f, "{reason}"),
        }
    }
}

impl StopCause {
    /// Whether the farm failed, instead of having done what it was asked to do.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::NoWorkers | Self::NoRoom { .. } | Self::FarmFailed(_))
    }
}

/// `SIGTERM` for 15, and `signal 99` for a signal without a name.
pub(crate) fn signal_name(signal: u8) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    match NAMES.get(usize::from(signal).wrapping_sub(1)) {
        Some(name) => format!("SIG{name}"),
        None => format!("signal {signal}"),
    }
}

/// What the farm is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// It hands out tasks.
    Running,
    /// It hands out nothing more.
    Stopping(Stop),
    /// Every worker has stopped or is lost.
    Ended(Stop),
}

impl Phase {
    /// The stop, from its first request on.
    pub(super) fn stop(&self) -> Option<&Stop> {
        match self {
            Self::Running => None,
            Self::Stopping(stop) | Self::Ended(stop) => Some(stop),
        }
    }

    /// A stop is over.
    pub(super) fn end(&mut self) {
        if let Self::Stopping(stop) = self {
            *self = Self::Ended(stop.clone());
        }
    }
}

/// A stop in progress.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub(super) level: StopLevel,
    /// The first cause, unless the workdir cannot be written later: the user must be notified of that.
    pub(super) cause: StopCause,
    /// When the next level is due, unless tasks run that may end.
    pub(super) escalate_at: Duration,
    /// When the farmer next checks the clock.
    pub(super) check_at: Duration,
}

/// Two signals on one rank within this time count as one: Open MPI's mpirun forwards some twice.
const SIGNAL_APART: Duration = Duration::from_millis(400);

/// Signals so far. A batch system signals every rank at the same time; that is one request to stop, not many.
#[derive(Debug, Default)]
pub(super) struct SignalCount {
    by_rank: BTreeMap<Rank, (u32, Duration)>,
}

impl SignalCount {
    /// Counts a signal and returns the level that it requests: the first on any rank terminates, a second on the same
    /// rank kills.
    pub(super) fn count(&mut self, now: Duration, rank: Rank) -> StopLevel {
        let (count, last) = self.by_rank.entry(rank).or_insert((0, Duration::ZERO));
        if *count == 0 || now.saturating_sub(*last) >= SIGNAL_APART {
            *count += 1;
            *last = now;
        }
        if *count >= 2 { StopLevel::Kill } else { StopLevel::Terminate }
    }
}

/// The result of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Why it ended.
    pub cause: StopCause,
    /// Tasks in `finished`, earlier runs included.
    pub finished: u32,
    /// Tasks in `failed`, likewise.
    pub failed: u32,
    /// Tasks in neither.
    pub remaining: u32,
    /// Ranks that were lost at some time, in order.
    pub lost: Vec<Rank>,
    /// A rank was given up because it was silent; nothing may wait for it anymore, MPI_Finalize least of all.
    pub unreachable: bool,
    /// Results that came a second time and were dropped.
    pub stale_results: u64,
}

impl End {
    /// Marks the farm as failed while it was ending.
    pub fn fail(&mut self, reason: String) {
        if !matches!(self.cause, StopCause::FarmFailed(_)) {
            self.cause = StopCause::FarmFailed(reason);
        }
    }

    /// The exit code for this end.
    pub fn exit_code(&self) -> ExitCode {
        match self.cause {
            StopCause::FarmFailed(_) | StopCause::NoWorkers => ExitCode::FarmFailed,
            StopCause::NoRoom { .. } => ExitCode::BadInput,
            // A user who asked for that wants to examine the failures, not to resume automatically.
            StopCause::Halt { .. } => ExitCode::TasksFailed,
            _ if self.remaining > 0 => ExitCode::Stopped,
            _ if self.failed > 0 => ExitCode::TasksFailed,
            _ => ExitCode::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second Ctrl-C kills; the same signal on all ranks at the same time does not.
    #[test]
    fn only_a_second_signal_on_the_same_rank_kills() {
        let ms = Duration::from_millis;
        let mut signals = SignalCount::default();
        for rank in 0..4 {
            assert_eq!(signals.count(ms(10), Rank(rank)), StopLevel::Terminate);
        }
        assert_eq!(signals.count(ms(50), Rank(2)), StopLevel::Terminate, "forwarded twice by mpirun");
        assert_eq!(signals.count(ms(1_000), Rank(0)), StopLevel::Kill);
    }

    /// The exit codes of docs/exit-codes.md.
    #[test]
    fn exit_codes_are_as_documented() {
        let end = |cause, failed, remaining| End {
            cause,
            finished: 1,
            failed,
            remaining,
            lost: vec![],
            unreachable: false,
            stale_results: 0,
        };
        let signal = StopCause::Signal { rank: Rank(1), signal: 2 };
        assert_eq!(end(StopCause::AllDone, 0, 0).exit_code(), ExitCode::Success);
        assert_eq!(end(StopCause::AllDone, 2, 0).exit_code(), ExitCode::TasksFailed);
        assert_eq!(end(StopCause::Timeout, 2, 5).exit_code(), ExitCode::Stopped);
        assert_eq!(
            end(StopCause::Halt { failed: 2 }, 2, 5).exit_code(),
            ExitCode::TasksFailed,
            "must not be resumed automatically"
        );
        let late = StopCause::NoTimeLeft { task_time: Duration::from_secs(60) };
        assert_eq!(end(late, 0, 5).exit_code(), ExitCode::Stopped);
        assert_eq!(end(signal, 0, 0).exit_code(), ExitCode::Success, "the signal came too late to stop anything");
        let no_room = StopCause::NoRoom { rank: Rank(0), host: "h".to_owned(), shortage: "s".to_owned() };
        assert_eq!(end(no_room, 0, 5).exit_code(), ExitCode::BadInput);
        assert_eq!(end(StopCause::FarmFailed(String::new()), 0, 0).exit_code(), ExitCode::FarmFailed);
    }

    /// A disk that fails at the very end makes the run fail; the first such cause is the one that is reported.
    #[test]
    fn an_end_can_fail() {
        let cause = StopCause::AllDone;
        let mut end =
            End { cause, finished: 1, failed: 0, remaining: 0, lost: vec![], unreachable: false, stale_results: 0 };
        end.fail("first".to_owned());
        end.fail("second".to_owned());
        assert_eq!((&end.cause, end.exit_code()), (&StopCause::FarmFailed("first".to_owned()), ExitCode::FarmFailed));
    }

    /// What the farm did not do itself is an error; an end that the user or a limit has brought is none.
    #[test]
    fn failures_of_the_farm_are_told_from_stops() {
        let no_room = StopCause::NoRoom { rank: Rank(0), host: "h".to_owned(), shortage: "s".to_owned() };
        for cause in [StopCause::NoWorkers, no_room, StopCause::FarmFailed("no space".to_owned())] {
            assert!(cause.is_failure(), "{cause}");
        }
        for cause in [StopCause::AllDone, StopCause::Timeout, StopCause::Halt { failed: 1 }] {
            assert!(!cause.is_failure(), "{cause}");
        }
    }

    /// How the cause is worded for users.
    #[test]
    fn causes_are_worded_for_users() {
        let signal = StopCause::Signal { rank: Rank(2), signal: 15 };
        let causes = [StopCause::AllDone, signal, StopCause::Timeout, StopCause::FarmFailed("no space".to_owned())];
        let texts = ["all tasks are done", "SIGTERM on rank 2", "the time limit is reached", "no space"];
        assert_eq!(causes.map(|cause| cause.to_string()), texts);
    }

    /// Users know signals by name.
    #[test]
    fn signals_have_names() {
        assert_eq!(
            (signal_name(1), signal_name(15), signal_name(31)),
            ("SIGHUP".into(), "SIGTERM".into(), "SIGSYS".into())
        );
        assert_eq!((signal_name(0), signal_name(64)), ("signal 0".into(), "signal 64".into()));
    }
}
