//! Tasks as processes: what runs, what is measured of each, what a failed start means.
//!
//! Owns the end of tasks: output kept, temporary folders removed. Decides nothing: the worker core does.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::context::SpawnContext;
use super::keeping::{Keeping, Outputs, Over};
use super::leftovers::{Holder, Leftovers};
use super::logs::Logs;
use super::start_error::{StartError, is_shortage};
use super::starters::{Failed, Process, Starters};
use super::temp::TempFolders;
use super::turn::{Processes, SpawnError};
use crate::lengths::micros;
use crate::protocol::{Assignment, StopLevel};
use crate::runner::direct::last_words;
use crate::sys::executing::ExecutingTable;
use crate::sys::family::{KILL, TERMINATE};
use crate::sys::memory::OomKills;
use crate::sys::process::{Reap, Reaped, reap, signal_group};
use crate::task::{EXIT_OF_SIGNALS, Outcome, TaskId};
use crate::worker::{Event, Usage};

/// A task whose first process has ended, while others that it has started have not.
#[derive(Debug)]
struct Lingering {
    process: Process,
    /// Its first process; includes the usage of the others once they have ended.
    reaped: Reaped,
}

/// The running tasks of a pool.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// `None` in a pool that was stopped before it was started.
    starters: Option<Starters>,
    executing: Option<ExecutingTable>,
    lingering: HashMap<u32, Lingering>,
    leftovers: Leftovers,
    temp: TempFolders,
    keeping: Keeping,
    has_told_shells: bool,
    /// `None` like `starters`.
    oom_kills: Option<OomKills>,
}

impl Tasks {
    /// Tasks that are started by this many threads; the table records which of them are executing.
    pub(super) fn new(context: SpawnContext, threads: usize, executing: ExecutingTable) -> Result<Self, String> {
        let starters = Starters::new(context, threads).map_err(|error| format!("cannot make an eventfd: {error}"))?;
        let oom_kills = Some(OomKills::from_now());
        Ok(Self { starters: Some(starters), executing: Some(executing), oom_kills, ..Self::default() })
    }

    /// How many tasks a shell has started, and how many there were; once.
    fn take_shells(&mut self) -> Option<(u64, u64)> {
        let is_first = !std::mem::replace(&mut self.has_told_shells, true);
        self.starters.as_ref().filter(|_| is_first).map(|starters| starters.context().shells())
    }

    /// Starts nothing more.
    pub(super) fn start_no_more(&self) {
        self.starters.as_ref().inspect(|starters| starters.start_no_more());
    }

    /// Starts nothing more, and gives up the folders of tasks. Those of tasks that still run must be removed when they
    /// are killed.
    pub(super) fn close(self) -> TempFolders {
        let mut temp = self.temp;
        for folder in self.lingering.into_values().filter_map(|of| of.process.temp) {
            temp.remove(folder);
        }
        for folder in self.starters.into_iter().flat_map(Starters::close) {
            temp.remove(folder);
        }
        temp
    }

    /// Readable when [`Self::failed`] has something to report.
    pub(super) fn wakes(&self) -> Option<BorrowedFd<'_>> {
        self.starters.as_ref().and_then(Starters::wakes)
    }

    /// The events of starts that failed later.
    pub(super) fn failed(&mut self) -> Vec<Event> {
        let failed = self.starters.as_ref().map_or(Vec::new(), Starters::take_failed);
        failed.into_iter().map(|failed| self.on_failed(failed)).collect()
    }

    fn on_failed(&mut self, mut failed: Failed) -> Event {
        match self.judge(&mut failed) {
            Some(error) => error.into_event(failed.slot, failed.task),
            // It was called off, because of a stop or a limit.
            None => Event::SpawnRefused { slot: failed.slot, task: failed.task },
        }
    }

    /// When [`Self::look_after_output`] or [`Self::over`] has something to do.
    pub(super) fn next_look(&self) -> Option<Duration> {
        self.starters.as_ref()?;
        let given_up = self.lingering.keys().filter_map(|&slot| self.leftovers.give_up_at(slot));
        let again = self.leftovers.look_again().filter(|_| !self.lingering.is_empty());
        given_up.chain(again).chain(self.keeping.next_look()).min()
    }

    /// Checks output that waits for a place, and output that was kept.
    pub(super) fn look_after_output(&mut self, now: Duration) -> Vec<Event> {
        let logs = self.starters.as_ref().map(|starters| &starters.context().logs);
        logs.map_or(Vec::new(), |logs| self.keeping.look(now, logs))
    }

    /// Why the farm must end; returned once.
    pub(super) fn take_failure(&mut self) -> Option<String> {
        self.keeping.take_failure()
    }

    /// Takes the next child that has ended.
    pub(super) fn reap(&self) -> Reap {
        self.starters.as_ref().map_or_else(|| reap(None), Starters::reap)
    }

    /// What the end of a process means; `None` if it is not a task's first one.
    pub(super) fn on_reaped(&mut self, mut reaped: Reaped, now: Duration) -> Option<Event> {
        let Some(process) = self.starters.as_ref()?.take(reaped.pid) else {
            let of = self.leftovers.on_reaped(reaped.pid).and_then(|slot| self.lingering.get_mut(&slot))?;
            of.reaped.user += reaped.user;
            of.reaped.system += reaped.system;
            of.reaped.max_rss_kib = of.reaped.max_rss_kib.max(reaped.max_rss_kib);
            return None;
        };
        let slot = process.slot;
        if reaped.outcome.is_kill() {
            self.report_oom_kills(process.task.id);
        }
        self.end_as_with_a_shell(&process, &mut reaped);
        self.look(Some(process.holder(reaped.pid)));
        if self.leftovers.are_left(slot) {
            self.lingering.insert(slot, Lingering { process, reaped });
            return Some(Event::Lingers(slot));
        }
        self.end(process, reaped, now)
    }

    /// If a signal killed a program for which a shell would have waited, the shell would have said so and exited. A signal
    /// of the farm would have ended the shell, too.
    fn end_as_with_a_shell(&self, process: &Process, reaped: &mut Reaped) {
        let Outcome::Signaled(signal) = reaped.outcome else { return };
        let Some(starters) = self.starters.as_ref().filter(|_| process.is_waited_for && !process.asked_to_end) else {
            return;
        };
        let (context, task) = (starters.context(), &process.task);
        let text = last_words(&context.shell_name(), &task.command, reaped.pid.as_raw(), signal, reaped.core_dumped);
        // As with a shell, a full disk does not change how the task has ended.
        let _ = context.logs.add(process.slot, task.id.0, &text);
        reaped.outcome = Outcome::Exited(EXIT_OF_SIGNALS.saturating_add(signal));
    }

    /// A task was killed, perhaps because its node is short of memory: then the user should learn this, and where.
    fn report_oom_kills(&mut self, id: TaskId) {
        let kills = self.oom_kills.as_mut().map_or(0, OomKills::new_kills);
        if kills > 0 {
            let times = if kills == 1 { "a process".to_owned() } else { format!("{kills} processes") };
            log::warn!("task {id} was killed; the kernel killed {times} on this node because memory ran out");
        }
    }

    /// The tasks of which nothing is left.
    pub(super) fn over(&mut self, now: Duration) -> Vec<Event> {
        if self.lingering.is_empty() {
            return Vec::new();
        }
        self.look(None);
        for (&slot, of) in &self.lingering {
            if self.leftovers.give_up_at(slot).is_some_and(|at| now >= at) {
                self.leftovers.give_up(slot, of.process.task.id);
            }
        }
        let is_over = |slot: &u32| !self.leftovers.are_left(*slot);
        let over: Vec<u32> = self.lingering.keys().copied().filter(is_over).collect();
        let ended = over.into_iter().filter_map(|slot| self.lingering.remove(&slot));
        ended.collect::<Vec<_>>().into_iter().filter_map(|of| self.end(of.process, of.reaped, now)).collect()
    }

    /// Looks for processes that tasks have left to the pool. `ended`: a task whose first process has just ended.
    fn look(&mut self, ended: Option<Holder>) {
        let Some(starters) = &self.starters else { return };
        let lingering = self.lingering.values().map(|of| of.process.holder(of.reaped.pid));
        self.leftovers.look(
            starters.context(),
            |children| starters.without_leaders(children),
            // Running tasks come first: a process ID may have been reused.
            || starters.holders().into_iter().chain(ended).chain(lingering.clone()).collect(),
        );
    }

    /// A task is over.
    fn end(&mut self, process: Process, reaped: Reaped, now: Duration) -> Option<Event> {
        self.leftovers.forget(process.slot);
        let starters = self.starters.as_ref()?;
        process.temp.into_iter().for_each(|folder| self.temp.remove(folder));
        let SpawnContext { logs, clock, .. } = starters.context();
        let usage = Usage {
            start_us: clock.epoch_us(process.since),
            duration_us: micros(now.saturating_sub(process.since)),
            user_us: micros(reaped.user),
            system_us: micros(reaped.system),
            max_rss_kib: reaped.max_rss_kib,
        };
        let Process { slot, task, asked_to_end, .. } = process;
        let (outcome, is_alone) = (reaped.outcome, self.leftovers.are_all_known());
        let over = Over { slot, task, outcome, usage, is_alone, asked_to_end };
        Some(self.keeping.keep(now, logs, over))
    }

    /// Signals all processes of the task in a slot.
    fn signal(&mut self, slot: u32, signals: &[Signal]) {
        if self.keeping.give_up(slot) {
            return;
        }
        let leader = self.starters.as_ref().and_then(|starters| starters.ask_to_end(slot));
        if leader.is_none() && !self.lingering.contains_key(&slot) {
            return; // It never ran.
        }
        self.look(None);
        // Those outside its group first: after their parent has ended, it is harder to find out which task they belong
        // to.
        let Some(now) = self.starters.as_ref().map(|starters| starters.context().clock.now()) else { return };
        self.leftovers.signal(now, slot, leader, signals);
        if let Some(leader) = leader {
            signal_group(leader, signals);
        }
    }

    /// What a failed start means. `None`: the task was not tried.
    fn judge(&mut self, failed: &mut Failed) -> Option<SpawnError> {
        failed.temp.take().into_iter().for_each(|folder| self.temp.remove(folder));
        let error = failed.error.as_ref()?;
        let SpawnContext { logs, clock, .. } = self.starters.as_ref()?.context();
        if let Some(refusal) = refusal(error, logs, failed.slot) {
            logs.discard(failed.slot);
            return Some(SpawnError::Refused(refusal));
        }
        let usage = Usage { start_us: clock.epoch_us(failed.at), ..Usage::default() };
        let outcome = match error {
            // As a shell reports it.
            StartError::Program(_, Errno::ENOENT) => Outcome::Exited(127),
            StartError::Program(..) => Outcome::Exited(126),
            _ => Outcome::NotStarted(error.to_string()),
        };
        // The log states why.
        let (slot, task) = (failed.slot, failed.task.clone());
        let over = Over { slot, task, outcome, usage, is_alone: true, asked_to_end: false };
        Some(match self.keeping.keep(clock.now(), logs, over) {
            Event::Ended { outcome, usage, .. } => SpawnError::Impossible(outcome, usage),
            _ => SpawnError::OutputWaits,
        })
    }
}

/// What the node is short of, or what is wrong with the folder of logs, if that made a start fail.
fn refusal(error: &StartError, logs: &Logs, slot: u32) -> Option<String> {
    let text = || format!("{}{}", error.place(), error.reason());
    let is_refusal = match error {
        StartError::Log(_, error) => logs.is_ours(error, slot),
        StartError::Temp(_, errno) => is_shortage(*errno) || matches!(errno, Errno::ENOSPC | Errno::EDQUOT),
        StartError::Program(..) | StartError::Input(_) | StartError::Folder(..) => {
            error.errno().is_some_and(is_shortage)
        }
    };
    is_refusal.then(text)
}

impl Processes for Tasks {
    fn spawn(&mut self, now: Duration, slot: u32, task: &Assignment, gpus: &[u32]) -> Result<(), SpawnError> {
        let Some(starters) = &self.starters else {
            return Err(SpawnError::Refused("this pool was never started".to_owned()));
        };
        // Before it starts: the first thing it does may be to kill this process.
        if let Some(executing) = self.executing {
            executing.begin(slot, task.id, starters.context().clock.epoch_us(now));
        }
        starters.context().shares.assign(slot, task.class, gpus);
        match starters.start(now, slot, task) {
            Ok(()) => Ok(()),
            Err(mut failed) => Err(self.judge(&mut failed).expect("it was tried")),
        }
    }

    fn terminate(&mut self, slot: u32) {
        self.signal(slot, &TERMINATE);
    }

    fn is_over(&mut self, slot: u32) {
        if let Some(executing) = self.executing {
            executing.end(slot);
        }
        if let Some(starters) = &self.starters {
            starters.context().shares.give_back(slot);
        }
    }

    fn kill(&mut self, slot: u32) {
        self.signal(slot, &KILL);
    }

    fn stop(&mut self, level: StopLevel) {
        if let Some((shells, all @ 1..)) = self.take_shells() {
            log::info!("{shells} of {all} tasks were started by a shell");
        }
        self.keeping.stop(level);
    }
}
