//! The farmer core: which task goes where, what a result means, when the farm ends.
//!
//! Owns the task table and the worker table of rank 0. Pure: an event goes in with the time, actions come out;
//! no clock, file, process, thread, MPI or random source is named below this folder.
//!
//! Invariant: nothing that a peer sends can make it panic; what does not fit is counted and dropped.
//! Invariant: a task is in [`Actions::records`] with its last attempt at most once per run, unless that record was
//! taken back by [`Event::StorageFailed`].

mod black_holes;
mod book;
mod crashes;
mod doubts;
mod drain;
mod event;
mod handout;
mod index;
mod limits;
mod losses;
mod messages;
mod mixed;
mod queue;
mod retries;
mod rules;
mod state;
mod stop;
mod tasks;
#[cfg(test)]
mod tests;
mod waiting;
mod workers;

use std::collections::BTreeSet;
use std::time::Duration;

pub use event::{Actions, Cause, Event, Record, Send, Settings};
pub(crate) use event::{CRASHED, Note};
pub use rules::Rules;
pub(crate) use rules::{CRASH_LIMIT_DEFAULT, ExitCodes, Halt, HaltAt, HaltWhen, TaskLimit};
pub(crate) use state::Status;
pub(crate) use stop::{End, StopCause, signal_name};
pub(crate) use tasks::TaskState;
pub use tasks::TaskTable;
pub(crate) use workers::{WorkerState, WorkerTable};

use crate::lengths::Lengths;
use crate::protocol::{StopLevel, ToWorker};
use crate::task::{FARMER, Rank, TaskId};
use crashes::Blame;
use doubts::Doubts;
use drain::Fit;
use handout::Room;
use limits::Limits;
use mixed::Mixture;
use stop::{Phase, SignalCount, Stop};

/// How long a worker may take to answer Stop once its tasks should be gone.
pub(crate) const STOP_MARGIN: Duration = Duration::from_secs(10);

/// During a stop the farmer checks the clock at this interval, so that it knows how long it was delayed: suspended, or
/// behind a slow disk. Messages that arrived in that time wait to be read, so it does not count against their senders.
const STOP_TICK: Duration = Duration::from_millis(100);

/// The state of a farm on rank 0.
#[derive(Debug)]
pub struct Farmer {
    settings: Settings,
    tasks: TaskTable,
    workers: WorkerTable,
    started: Duration,
    /// Tasks that were pending at the start.
    first_pending: u32,
    /// The rationed start has ended and idle workers were served.
    spread_over: bool,
    signals: SignalCount,
    phase: Phase,
    fit: Fit,
    /// Tasks that earlier runs have recorded as failed.
    failed_before: u32,
    next_silence_check: Duration,
    /// Which ranks may have room for waiting tasks because of what this event has changed.
    room: Room,
    /// Slots are idle, and not all queues were asked for: when more are asked, and how many tasks were asked for per
    /// idle slot.
    recall_again: Option<(Duration, u32)>,
    /// Silence is counted from this time: before, the farmer itself was delayed.
    listening_since: Duration,
    lost: BTreeSet<Rank>,
    doubts: Doubts,
    /// Of the tasks that have finished in this run.
    lengths: Lengths,
    limits: Limits,
    /// If tasks differ in what they ask for.
    mixture: Option<Box<Mixture>>,
    unreachable: bool,
    stale_results: u64,
}

impl Farmer {
    /// A farm with these tasks, some of them recorded by earlier runs. Every rank was sent Start.
    pub fn new(now: Duration, settings: Settings, tasks: TaskTable) -> Self {
        let mut farmer = Self {
            workers: WorkerTable::new(now, settings.ranks),
            first_pending: tasks.pending(),
            failed_before: tasks.failed(),
            fit: Fit::default(),
            tasks,
            started: now,
            spread_over: false,
            signals: SignalCount::default(),
            phase: Phase::Running,
            room: Room::Unchanged,
            next_silence_check: now + settings.silence_max / 4,
            recall_again: None,
            listening_since: now,
            lost: BTreeSet::new(),
            doubts: Doubts::default(),
            lengths: Lengths::default(),
            limits: Limits::default(),
            mixture: Mixture::new(&settings.kinds, settings.totals),
            unreachable: false,
            stale_results: 0,
            settings,
        };
        farmer.set_task_time();
        farmer
    }

    /// Handles one event. Call it for every event, and at [`Self::next_deadline`].
    ///
    /// First the event and the time change the tables, then it is decided whether the farm ends, and only then is
    /// anything handed out, once.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Actions) {
        if let Phase::Stopping(stop) = &mut self.phase {
            stop.escalate_at += now.saturating_sub(stop.check_at);
            stop.check_at = now + STOP_TICK;
        }
        // Before anything is handed out: these failures may end the farm.
        self.record_overdue_doubts(now, actions);
        match event {
            Event::Message(rank, message) if self.workers.get(rank).is_some() => {
                self.on_message(now, rank, message, actions)
            }
            Event::LinkFailed(rank, reason) if self.workers.get(rank).is_some() => {
                self.lose(rank, Status::Lost, reason, &Blame::Unknown, actions);
            }
            Event::Message(rank, _) | Event::LinkFailed(rank, _) => actions.notes.push(Note::Odd(rank, "no such rank")),
            Event::Signal(signal) => self.on_signal(now, FARMER, signal, actions),
            Event::KilledSoon(signal) => {
                self.request_stop(now, StopLevel::Kill, StopCause::Signal { rank: FARMER, signal }, actions);
            }
            Event::StorageFailed { unwritten, reason } => {
                for id in unwritten {
                    self.tasks.unrecord(id);
                }
                self.request_stop(now, StopLevel::Terminate, StopCause::FarmFailed(reason), actions);
            }
            Event::Tick => self.check_silence(now, actions),
        }
        self.check_time(now, actions);
        self.check_drain(now, actions);
        self.check_classes(now, actions);
        self.hand_out(now, actions);
        self.check_end(now, actions);
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        if matches!(self.phase, Phase::Ended(_)) {
            return None;
        }
        let spread = (!self.spread_over).then_some(self.started + handout::SPREAD_MAX);
        let timeout = self.settings.timeout_at.filter(|_| !self.ends_tasks());
        let stopping = self.phase.stop().map(|stop| stop.check_at);
        let due =
            [self.next_pause_end(), self.doubts.next_due(), self.tasks.next_due(), self.recall_again.map(|(at, _)| at)];
        let cutoff = self.next_cutoff();
        [Some(self.next_silence_check), spread, timeout, cutoff, stopping].into_iter().chain(due).flatten().min()
    }

    /// The end, once it is reached: workers have nothing left, or are lost.
    pub fn end(&self) -> Option<End> {
        let Phase::Ended(stop) = &self.phase else { return None };
        // A worker may have come back with the last results.
        let was_in_vain = matches!(stop.cause, StopCause::NoTimeLeft { .. } | StopCause::NoWorkers);
        let all_done = was_in_vain && self.tasks.remaining() == 0;
        Some(End {
            cause: if all_done { StopCause::AllDone } else { stop.cause.clone() },
            finished: self.tasks.finished(),
            failed: self.tasks.failed(),
            remaining: self.tasks.remaining(),
            lost: self.lost.iter().copied().collect(),
            unreachable: self.unreachable,
            stale_results: self.stale_results,
        })
    }

    /// The tasks and their states.
    pub fn tasks(&self) -> &TaskTable {
        &self.tasks
    }

    /// The workers and what they hold.
    pub fn workers(&self) -> &WorkerTable {
        &self.workers
    }

    /// The level of the stop, if the farm is stopping.
    pub fn stop_level(&self) -> Option<StopLevel> {
        self.phase.stop().map(|stop| stop.level)
    }

    /// Whether nothing is handed out anymore.
    fn is_ending(&self) -> bool {
        self.phase.stop().is_some()
    }

    /// Whether running tasks are ended, too.
    fn ends_tasks(&self) -> bool {
        self.stop_level() > Some(StopLevel::Drain)
    }

    /// Cross-checks all tables. For tests and the simulator.
    ///
    /// # Panics
    /// If they contradict each other.
    pub fn check_invariants(&self) {
        self.tasks.check_invariants();
        self.workers.check_invariants();
        self.doubts.check_invariants();
        for id in (0..self.tasks.total()).map(TaskId) {
            let Some(owner) = self.tasks.owner(id) else { continue };
            let worker = self.workers.get(owner).expect("an owner is a rank");
            let held = worker.book.tasks().contains(&id) || self.doubts.holds(owner, id);
            assert!(held, "task {id} is assigned to rank {owner}, which does not hold it");
            assert!(worker.status() == Status::Active, "task {id} is assigned to {:?} rank {owner}", worker.status());
        }
        self.workers.iter().for_each(|(_, worker)| worker.book.check_invariants(|id| self.tasks.class(id)));
    }

    fn request_stop(&mut self, now: Duration, level: StopLevel, cause: StopCause, actions: &mut Actions) {
        self.record_all_doubts(now, actions);
        let escalate_at = match level {
            StopLevel::Terminate => now + self.settings.grace + STOP_MARGIN,
            StopLevel::Drain | StopLevel::Kill => now + STOP_MARGIN,
        };
        match &mut self.phase {
            Phase::Running => {
                let cause = cause.clone();
                self.phase = Phase::Stopping(Stop { level, cause, escalate_at, check_at: now + STOP_TICK });
            }
            Phase::Stopping(stop) | Phase::Ended(stop) => {
                // A failing disk is worse than any other cause.
                let is_of_the_disk = |cause: &StopCause| matches!(cause, StopCause::FarmFailed(_));
                if is_of_the_disk(&cause) && !is_of_the_disk(&stop.cause) {
                    stop.cause = cause.clone();
                }
                if level <= stop.level {
                    return;
                }
                (stop.level, stop.escalate_at) = (level, escalate_at);
            }
        }
        actions.notes.push(Note::Stopping(level, cause));
        for (rank, worker) in self.workers.iter() {
            if worker.status().is_open() {
                actions.send(rank, ToWorker::Stop { level });
            }
        }
    }

    fn next_pause_end(&self) -> Option<Duration> {
        self.workers.paused().first().map(|&(until, _)| until)
    }

    fn check_time(&mut self, now: Duration, actions: &mut Actions) {
        if !self.spread_over && (self.workers.expected() == 0 || now >= self.started + handout::SPREAD_MAX) {
            self.spread_over = true;
            self.room = Room::All;
        }
        while let Some(&(until, rank)) = self.workers.paused().first()
            && until <= now
        {
            self.workers.update(rank, |worker| worker.pause(None));
            self.on_pause_over(now, rank, actions);
            self.room.add(rank);
        }
        if self.tasks.next_due().is_some_and(|at| now >= at) && self.tasks.wake(now) {
            self.room = Room::All;
        }
        if !self.ends_tasks() && self.settings.timeout_at.is_some_and(|at| now >= at) {
            self.request_stop(now, StopLevel::Terminate, StopCause::Timeout, actions);
        }
        self.escalate(now, actions);
        self.check_doubts(now, actions);
    }

    /// A stop has taken too long: raises its level, and at last gives up those that do not answer.
    fn escalate(&mut self, now: Duration, actions: &mut Actions) {
        let Phase::Stopping(stop) = &mut self.phase else { return };
        if now < stop.escalate_at {
            return;
        }
        match stop.level {
            // Running tasks may end, unless all are recorded and they run in vain. A rank that is gone is noticed by its
            // silence.
            StopLevel::Drain
                if self.tasks.remaining() > 0 && self.workers.iter().any(|(_, worker)| worker.is_busy()) =>
            {
                stop.escalate_at = now + STOP_MARGIN;
            }
            StopLevel::Drain | StopLevel::Terminate => {
                let cause = stop.cause.clone();
                self.request_stop(now, StopLevel::Kill, cause, actions);
            }
            StopLevel::Kill => self.lose_where(actions, "it does not answer the stop", |_, _| true),
        }
    }

    fn check_end(&mut self, now: Duration, actions: &mut Actions) {
        // Each rank sends something while it stops: the walk over all of them is not repeated.
        let is_known = self.phase.stop().is_some_and(|stop| stop.cause == StopCause::AllDone);
        if self.tasks.remaining() == 0 && !self.ends_tasks() && !is_known {
            // A worker that holds a task now runs it a second time, in vain.
            let spare = self.workers.iter().any(|(_, worker)| worker.is_busy());
            let level = if spare { StopLevel::Terminate } else { StopLevel::Drain };
            self.request_stop(now, level, StopCause::AllDone, actions);
        } else if !self.is_ending() && !self.can_work() {
            let cause = self.no_room().unwrap_or(StopCause::NoWorkers);
            self.request_stop(now, StopLevel::Kill, cause, actions);
        }
        if self.workers.open() == 0 {
            self.phase.end();
        }
    }

    /// Why no worker has slots, if none was lost: then it is a matter of what was asked for.
    fn no_room(&self) -> Option<StopCause> {
        if self.mixture.is_some() {
            let takes_none = |rank| self.settings.farmer_only && rank == FARMER;
            let is_known = self.workers.iter().all(|(rank, worker)| worker.shortage.is_some() || takes_none(rank));
            let first = self.tasks.unrecorded().next().filter(|_| is_known && self.lost.is_empty());
            return first.map(|id| self.no_room_for(self.tasks.class(id)));
        }
        let short = |(rank, worker): (Rank, &WorkerState)| {
            Some(StopCause::NoRoom { rank, host: worker.host.clone(), shortage: worker.shortage.clone()? })
        };
        self.lost.is_empty().then(|| self.workers.iter().find_map(short)).flatten()
    }

    /// Whether there are workers with slots, or ranks that may become such.
    fn can_work(&self) -> bool {
        let farmer_expected = self.workers.get(FARMER).is_some_and(|worker| worker.status() == Status::Expected);
        let never = u32::from(self.settings.farmer_only && farmer_expected);
        self.workers.able() > 0 || self.workers.expected() > never
    }
}
