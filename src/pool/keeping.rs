//! Output that cannot be written to its place yet.
//!
//! Owns what happens to a task that has ended when `logs/` does not accept its output. If something else has the name
//! of its log, the task has failed. Otherwise it is a problem of the farm: the output stays where it is, the task keeps
//! its slot, and the rank starts nothing more and tries again until the output is written or the farm stops because of
//! it. So no task runs repeatedly on a full disk. Generic over where output goes, and without a clock, like
//! [`super::turn`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::protocol::{Assignment, StopLevel};
use crate::task::Outcome;
use crate::worker::{Event, Usage};

/// Output waits for this long before the farm gives up.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Pause between two tries. Shorter than the pause in which the farmer sends no tasks, so that there is no gap.
const PAUSE: Duration = Duration::from_secs(4);

/// Interval at which a file that holds all output is checked to be in its place.
const CHECK_PAUSE: Duration = Duration::from_secs(1);

/// Output that cannot be kept.
#[derive(Debug, Error)]
#[error("{}: {source}", path.display())]
pub(crate) struct KeepError {
    /// Where.
    pub(crate) path: PathBuf,
    /// The system's error.
    pub(crate) source: io::Error,
}

impl KeepError {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// A task that has ended, for its log.
pub(crate) struct Ended<'a> {
    pub(crate) task: &'a Assignment,
    pub(crate) outcome: &'a Outcome,
    pub(crate) asked_to_end: bool,
    /// Milliseconds since 1970.
    pub(crate) ended_ms: u64,
}

/// Where the output of tasks goes.
pub(crate) trait Outputs {
    /// Writes the output of the task in this slot to its place. `is_alone`: no process is left that may write to the
    /// same file.
    ///
    /// # Errors
    /// If it cannot be written. It can be tried again, or [`Self::discard`]ed.
    fn keep(&self, slot: u32, is_alone: bool, end: &Ended<'_>) -> Result<(), KeepError>;

    /// Whether all tasks write into one file.
    fn is_packed(&self) -> bool;

    /// Whether that file is still where it belongs.
    ///
    /// # Errors
    /// If not: the output could not be found.
    fn check(&self) -> Result<(), KeepError>;

    /// Whether this error is a problem of the node or the farm, and not of the task in this slot.
    fn is_ours(&self, error: &io::Error, slot: u32) -> bool;

    /// Drops what was written in this slot.
    fn discard(&self, slot: u32);
}

/// A task that has ended, and what is reported of it when its output is written.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) slot: u32,
    pub(crate) task: Assignment,
    pub(crate) outcome: Outcome,
    pub(crate) usage: Usage,
    /// No process is left that may write to the same file.
    pub(crate) is_alone: bool,
    pub(crate) asked_to_end: bool,
}

#[derive(Debug)]
struct Waiting {
    over: Over,
    since: Duration,
    next: Duration,
    /// The farm is stopping, and waits only for ends.
    given_up: bool,
}

/// Tasks whose output waits, and whether the output of others is still in its place.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    waiting: Vec<Waiting>,
    checked: Duration,
    check_due: Option<Duration>,
    stopping: Option<StopLevel>,
    /// Why the farm must end.
    failed: Option<String>,
    told: bool,
}

impl Keeping {
    /// Keeps the output of a task; returns the event for the worker core.
    pub(crate) fn keep(&mut self, now: Duration, logs: &impl Outputs, over: Over) -> Event {
        self.decide(now, now, logs, over)
    }

    /// The task in this slot must end. Returns `true` if it has, and only its output was waiting.
    pub(crate) fn give_up(&mut self, slot: u32) -> bool {
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.over.slot == slot);
        waiting.map(|waiting| waiting.given_up = true).is_some()
    }

    /// The farm stops: kept output is checked once more, and after each end.
    pub(crate) fn stop(&mut self, level: StopLevel) {
        self.stopping = self.stopping.max(Some(level));
        self.check_due = Some(Duration::ZERO);
    }

    /// When [`Self::look`] has something to do.
    pub(crate) fn next_look(&self) -> Option<Duration> {
        let due = |waiting: &Waiting| if waiting.given_up { Duration::ZERO } else { waiting.next };
        self.waiting.iter().map(due).chain(self.check_due).min()
    }

    /// Does what is due.
    pub(crate) fn look(&mut self, now: Duration, logs: &impl Outputs) -> Vec<Event> {
        if self.check_due.is_some_and(|at| now >= at) {
            self.check(now, logs);
        }
        let mut events = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let Waiting { over, since, next, given_up } = waiting;
            if given_up {
                events.push(ended_without(logs, over, "it could not be written before the farm stopped".to_owned()));
            } else if now >= next {
                events.push(self.decide(now, since, logs, over));
            } else {
                self.waiting.push(Waiting { over, since, next, given_up });
            }
        }
        events
    }

    /// Why the farm must end; returned once.
    pub(crate) fn take_failure(&mut self) -> Option<String> {
        let failed = self.failed.as_ref().filter(|_| !self.told)?;
        self.told = true;
        Some(failed.clone())
    }

    fn decide(&mut self, now: Duration, since: Duration, logs: &impl Outputs, over: Over) -> Event {
        let (slot, usage) = (over.slot, over.usage);
        let ended_ms = usage.start_us.saturating_add(usage.duration_us) / 1_000;
        let end = Ended { task: &over.task, outcome: &over.outcome, asked_to_end: over.asked_to_end, ended_ms };
        let kept = match self.check_before(now, logs) {
            Ok(()) => logs.keep(slot, over.is_alone, &end),
            failed => failed,
        };
        let error = match kept {
            Ok(()) => {
                if logs.is_packed() {
                    let due = if self.stopping.is_some() { now } else { self.checked + CHECK_PAUSE };
                    self.check_due = Some(self.check_due.map_or(due, |at| at.min(due)));
                }
                return Event::Ended { slot, outcome: over.outcome, usage };
            }
            Err(error) => error,
        };
        if !logs.is_packed() && !logs.is_ours(&error.source, slot) {
            return ended_without(logs, over, format!("cannot write its log: {}", error.source));
        }
        if self.stopping >= Some(StopLevel::Terminate) {
            return ended_without(logs, over, error.to_string());
        }
        let id = over.task.id;
        if since == now {
            log::warn!("the output of task {id} cannot be written yet; trying again: {error}");
        }
        if now.saturating_sub(since) >= WAIT_MAX {
            self.fail(&error, &format!("; gave up after {} s", WAIT_MAX.as_secs()));
        }
        self.waiting.push(Waiting { over, since, next: now + PAUSE, given_up: false });
        Event::OutputWaits { slot }
    }

    /// If nothing was checked for a while: so that no more output is put where it cannot be found.
    fn check_before(&mut self, now: Duration, logs: &impl Outputs) -> Result<(), KeepError> {
        if logs.is_packed() && (self.failed.is_some() || now >= self.checked + CHECK_PAUSE) {
            self.checked = now;
            return logs.check().inspect_err(|error| self.fail(error, ""));
        }
        Ok(())
    }

    fn check(&mut self, now: Duration, logs: &impl Outputs) {
        (self.checked, self.check_due) = (now, None);
        if let Err(error) = logs.check() {
            self.fail(&error, "");
        }
    }

    fn fail(&mut self, error: &KeepError, more: &str) {
        self.failed.get_or_insert_with(|| {
            format!(
                "cannot keep the output of its tasks in {error}{more}\n  what was recorded before is safe; free up space, \
                 put back what was moved, or repair the file system, then run the same command again"
            )
        });
    }
}

/// The end of a task whose output is given up.
fn ended_without(logs: &impl Outputs, over: Over, why: String) -> Event {
    logs.discard(over.slot);
    let outcome = over.outcome.unkept(format!("its output cannot be kept: {why}"));
    Event::Ended { slot: over.slot, outcome, usage: over.usage }
}
