//! The farmer core: which task goes where, what a result means, when the farm ends.
//!
//! Owns the task table and the worker table of rank 0. Pure: an event goes in with the time, actions come out;
//! no clock, file, process, thread, MPI or random source is named below this folder.
//!
//! Invariant: nothing that a peer sends can make it panic; what does not fit is counted and dropped.
//! Invariant: a task is in [`Actions::records`] at most once per run.

mod handout;
mod stop;
mod tasks;
#[cfg(test)]
mod tests;
mod workers;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

pub use stop::{End, StopCause, signal_name};
pub use tasks::{TaskState, TaskTable};
pub use workers::{Status, WorkerState, WorkerTable};

use crate::protocol::{Attempt, PROTOCOL_VERSION, Rank, StopLevel, TaskId, TaskResult, ToFarmer};
use stop::{SignalCount, Stop};

/// How long a worker may take to answer Stop once its tasks should be gone.
const STOP_MARGIN: Duration = Duration::from_secs(10);

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
    /// When `--timeout` is over, on the clock of [`Farmer::handle`].
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
    /// Records did not reach the disk.
    StorageFailed {
        /// The records that were not written, from [`Actions::records`].
        unwritten: Vec<TaskId>,
        /// What, where, what to do.
        reason: String,
    },
    /// [`Farmer::next_deadline`] has come.
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
        /// As in the message.
        skip_finalize: bool,
    },
    /// [`crate::protocol::ToWorker::Heartbeat`].
    Heartbeat,
}

/// A task's end, to be written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it ran.
    pub rank: Rank,
    /// How it went.
    pub result: TaskResult,
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
        /// How many tasks it held; others get them.
        tasks: u32,
    },
    /// A worker that had been given up spoke again.
    CameBack(Rank),
    /// A node refuses to start processes.
    Paused(Rank),
    /// A message that makes no sense here.
    Odd(Rank, &'static str),
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
    /// For timeline, `finished` and `failed`, in this order.
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

/// What a worker says of its node.
struct Node {
    host: String,
    slots: u32,
    cpus: u32,
}

/// The state of a farm on rank 0.
#[derive(Debug)]
pub struct Farmer {
    settings: Settings,
    tasks: TaskTable,
    workers: WorkerTable,
    started: Duration,
    /// Tasks that waited at the start.
    first_pending: u32,
    /// The rationed start is over and idle workers were served.
    spread_over: bool,
    signals: SignalCount,
    stop: Option<Stop>,
    next_silence_check: Duration,
    lost: BTreeSet<Rank>,
    unreachable: bool,
    stale_results: u64,
    ended: bool,
}

impl Farmer {
    /// A farm with these tasks, some of them recorded by earlier runs. Every rank was sent Start.
    #[must_use]
    pub fn new(now: Duration, settings: Settings, tasks: TaskTable) -> Self {
        Self {
            workers: WorkerTable::new(now, settings.ranks),
            first_pending: tasks.pending(),
            tasks,
            started: now,
            spread_over: false,
            signals: SignalCount::default(),
            stop: None,
            next_silence_check: now + settings.silence_max / 4,
            lost: BTreeSet::new(),
            unreachable: false,
            stale_results: 0,
            ended: false,
            settings,
        }
    }

    /// Takes in one event. Call again whenever there is another, and at [`Self::next_deadline`].
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Actions) {
        match event {
            Event::Message(rank, message) if self.workers.get(rank).is_some() => {
                self.on_message(now, rank, message, actions)
            }
            Event::LinkFailed(rank, reason) if self.workers.get(rank).is_some() => {
                self.lose(rank, Status::Lost, reason, actions);
                self.fill_idle(now, actions);
            }
            Event::Message(rank, _) | Event::LinkFailed(rank, _) => actions.notes.push(Note::Odd(rank, "no such rank")),
            Event::Signal(signal) => self.on_signal(now, crate::protocol::FARMER, signal, actions),
            Event::StorageFailed { unwritten, reason } => {
                for id in unwritten {
                    self.tasks.unrecord(id);
                }
                self.request_stop(now, StopLevel::Terminate, StopCause::FarmFailed(reason), actions);
            }
            Event::Tick => {}
        }
        self.check_time(now, actions);
        self.check_end(now, actions);
    }

    /// When [`Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.ended {
            return None;
        }
        let spread = (!self.spread_over).then_some(self.started + handout::SPREAD_MAX);
        let timeout = self.settings.timeout_at.filter(|_| self.stop.is_none());
        let escalate = self.stop.as_ref().and_then(|stop| stop.escalate_at);
        [Some(self.next_silence_check), spread, timeout, escalate, self.next_pause_end()].into_iter().flatten().min()
    }

    /// The end, once it is reached. Workers have nothing left, or are lost.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        let stop = self.stop.as_ref().filter(|_| self.ended)?;
        Some(End {
            cause: stop.cause.clone(),
            finished: self.tasks.finished(),
            failed: self.tasks.failed(),
            remaining: self.tasks.remaining(),
            lost: self.lost.iter().copied().collect(),
            unreachable: self.unreachable,
            stale_results: self.stale_results,
        })
    }

    /// The tasks and where they stand.
    #[must_use]
    pub fn tasks(&self) -> &TaskTable {
        &self.tasks
    }

    /// The workers and what they hold.
    #[must_use]
    pub fn workers(&self) -> &WorkerTable {
        &self.workers
    }

    /// Cross-checks all tables. For tests and the simulator.
    ///
    /// # Panics
    /// If they contradict each other.
    pub fn check_invariants(&self) {
        self.tasks.check_invariants();
        self.workers.check_invariants();
        for id in (0..self.tasks.total()).map(TaskId) {
            if let Some(owner) = self.tasks.owner(id) {
                let worker = self.workers.get(owner).expect("an owner is a rank");
                assert!(worker.book.contains(&id), "task {id} is assigned to rank {owner}, which does not hold it");
                assert!(
                    matches!(worker.status, Status::Active),
                    "task {id} is assigned to {:?} rank {owner}",
                    worker.status
                );
            }
        }
    }

    fn on_message(&mut self, now: Duration, rank: Rank, message: ToFarmer, actions: &mut Actions) {
        self.workers.update(rank, |worker| worker.heard = now);
        self.welcome_back(rank, &message, actions);
        match message {
            ToFarmer::Hello { protocol, host, slots, cpus } => {
                self.on_hello(now, rank, protocol, Node { host, slots, cpus }, actions);
            }
            ToFarmer::Report { results, returned, ack, ack_age_us, undecided, recall_answered, pause_ms } => {
                let age = Duration::from_micros(ack_age_us);
                let pause = (pause_ms > 0).then(|| now + Duration::from_millis(u64::from(pause_ms)));
                if pause.is_some() {
                    actions.notes.push(Note::Paused(rank));
                }
                self.workers.update(rank, |worker| {
                    worker.acknowledge(now, ack, age);
                    // More than it holds would be nonsense, and would let it have tasks without end.
                    worker.undecided = undecided.min(worker.held());
                    worker.paused_until = pause.or(worker.paused_until);
                    if recall_answered {
                        worker.recalled = None;
                    }
                });
                self.on_report(now, rank, results, &returned, actions);
            }
            ToFarmer::Heartbeat => actions.sends.push((rank, Send::Heartbeat)),
            ToFarmer::Signaled { signal } => self.on_signal(now, rank, signal, actions),
            ToFarmer::Stopped => self.on_stopped(now, rank, actions),
            ToFarmer::PoolLost { reason } | ToFarmer::Unfit { reason } => {
                self.lose(rank, Status::Gone, reason, actions);
                self.fill_idle(now, actions);
            }
            ToFarmer::Log { level, text } => actions.notes.push(Note::Log { rank, level, text }),
        }
    }

    fn on_hello(&mut self, now: Duration, rank: Rank, protocol: u32, node: Node, actions: &mut Actions) {
        if protocol != PROTOCOL_VERSION {
            let reason =
                format!("it speaks protocol version {protocol}, rank 0 speaks {PROTOCOL_VERSION}: another program");
            return self.lose(rank, Status::Gone, reason, actions);
        }
        if !matches!(self.workers.get(rank).map(|worker| worker.status), Some(Status::Expected | Status::Active)) {
            return actions.notes.push(Note::Odd(rank, "Hello from a rank that had ended"));
        }
        self.workers.update(rank, |worker| {
            worker.status = Status::Active;
            worker.host = node.host;
            worker.slots = node.slots;
            worker.cpus = node.cpus;
        });
        actions.notes.push(Note::Joined(rank));
        self.fill(now, rank, actions);
    }

    fn on_report(
        &mut self,
        now: Duration,
        rank: Rank,
        results: Vec<TaskResult>,
        returned: &[TaskId],
        actions: &mut Actions,
    ) {
        let (mut total_us, mut count) = (0_u64, 0);
        for result in results {
            let held = self.workers.update(rank, |worker| remove(&mut worker.book, result.id));
            if held && self.tasks.record(result.id, result.outcome.is_success()) {
                total_us = total_us.saturating_add(result.duration_us);
                count += 1;
                actions.records.push(Record { rank, result });
            } else {
                self.stale_results += 1;
            }
        }
        self.workers.update(rank, |worker| worker.learn_length(total_us, count));
        for &id in returned {
            let held = self.workers.update(rank, |worker| remove(&mut worker.book, id));
            if held && self.tasks.owner(id) == Some(rank) {
                self.tasks.put_back(id, false);
            }
        }
        if returned.is_empty() {
            self.fill(now, rank, actions);
            self.recall(actions);
        } else {
            self.fill_idle(now, actions);
        }
    }

    fn on_signal(&mut self, now: Duration, rank: Rank, signal: u8, actions: &mut Actions) {
        let level = self.signals.count(now, rank);
        self.request_stop(now, level, StopCause::Signal { rank, signal }, actions);
    }

    fn on_stopped(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        if self.stop.is_none() {
            actions.notes.push(Note::Odd(rank, "it stopped without being told to"));
            return self.lose(rank, Status::Gone, "its pool ended too early".to_owned(), actions);
        }
        // Whatever it held and did not report did not happen, as far as we know.
        let book = self.workers.update(rank, |worker| {
            worker.status = Status::Stopped;
            std::mem::take(&mut worker.book)
        });
        self.release(rank, &book, false);
        self.check_end(now, actions);
    }

    /// A rank that had been given up is heard again: it takes part from here on.
    fn welcome_back(&mut self, rank: Rank, message: &ToFarmer, actions: &mut Actions) {
        let worker = self.workers.get(rank).expect("checked by the caller");
        if worker.status != Status::Lost || matches!(message, ToFarmer::PoolLost { .. } | ToFarmer::Unfit { .. }) {
            return;
        }
        let status = if worker.slots == 0 && worker.host.is_empty() { Status::Expected } else { Status::Active };
        if status == Status::Expected && !matches!(message, ToFarmer::Hello { .. }) {
            return; // A heartbeat of a rank whose pool never came up: it is as lost as before.
        }
        self.workers.update(rank, |worker| worker.status = Status::Active);
        actions.notes.push(Note::CameBack(rank));
        if let Some(stop) = &self.stop {
            actions.sends.push((rank, Send::Stop { level: stop.level, skip_finalize: true }));
        }
    }

    /// Gives a worker up. Its tasks go to others with the next attempt number.
    fn lose(&mut self, rank: Rank, status: Status, reason: String, actions: &mut Actions) {
        let worker = self.workers.get(rank).expect("checked by the caller");
        if matches!(worker.status, Status::Stopped | Status::Gone) || worker.status == status {
            return;
        }
        let book = worker.book.clone();
        self.workers.update(rank, |worker| {
            worker.status = status;
            if status == Status::Gone {
                worker.book.clear();
            }
        });
        let tasks = self.release(rank, &book, true);
        self.lost.insert(rank);
        self.unreachable |= status == Status::Lost;
        actions.notes.push(Note::Lost { rank, reason, tasks });
    }

    /// Puts back what a worker was responsible for; tells how much that was.
    fn release(&mut self, rank: Rank, book: &[TaskId], lost: bool) -> u32 {
        let mut count = 0;
        for &id in book {
            if self.tasks.owner(id) == Some(rank) {
                self.tasks.put_back(id, lost);
                count += 1;
            }
        }
        count
    }

    fn request_stop(&mut self, now: Duration, level: StopLevel, cause: StopCause, actions: &mut Actions) {
        let failed = matches!(cause, StopCause::FarmFailed(_));
        match &mut self.stop {
            Some(stop) => {
                if failed && !matches!(stop.cause, StopCause::FarmFailed(_)) {
                    stop.cause = cause.clone();
                }
                if level <= stop.level {
                    return;
                }
                stop.level = level;
            }
            None => self.stop = Some(Stop { level, cause: cause.clone(), escalate_at: None }),
        }
        let stop = self.stop.as_mut().expect("set above");
        stop.escalate_at = match level {
            StopLevel::Drain if self.tasks.remaining() > 0 => None,
            StopLevel::Terminate => Some(now + self.settings.grace + STOP_MARGIN),
            StopLevel::Drain | StopLevel::Kill => Some(now + STOP_MARGIN),
        };
        actions.notes.push(Note::Stopping(level, cause));
        let skip_finalize = self.unreachable;
        for (rank, worker) in self.workers.iter() {
            if worker.status.is_open() {
                actions.sends.push((rank, Send::Stop { level, skip_finalize }));
            }
        }
    }

    fn next_pause_end(&self) -> Option<Duration> {
        self.workers.paused().first().map(|&(until, _)| until)
    }

    fn check_time(&mut self, now: Duration, actions: &mut Actions) {
        if !self.spread_over && (self.workers.expected() == 0 || now >= self.started + handout::SPREAD_MAX) {
            self.spread_over = true;
            self.fill_idle(now, actions);
        }
        while let Some(&(until, rank)) = self.workers.paused().first()
            && until <= now
        {
            self.workers.update(rank, |worker| worker.paused_until = None);
            self.fill(now, rank, actions);
        }
        if self.stop.is_none() && self.settings.timeout_at.is_some_and(|at| now >= at) {
            self.request_stop(now, StopLevel::Terminate, StopCause::Timeout, actions);
        }
        if let Some(stop) = &self.stop
            && stop.escalate_at.is_some_and(|at| now >= at)
        {
            if stop.level < StopLevel::Kill {
                let cause = stop.cause.clone();
                self.request_stop(now, StopLevel::Kill, cause, actions);
            } else {
                self.lose_where(actions, "it does not answer the stop", |_| true);
            }
        }
        if now >= self.next_silence_check {
            self.next_silence_check = now + self.settings.silence_max / 4;
            let limit = self.settings.silence_max;
            let reason = format!("nothing was heard of it for {} s", limit.as_secs());
            if self.lose_where(actions, &reason, |worker| now.saturating_sub(worker.heard) > limit) {
                self.fill_idle(now, actions);
            }
        }
    }

    /// Gives up all workers in play for which `dead` holds; tells whether there was one.
    fn lose_where(&mut self, actions: &mut Actions, reason: &str, dead: impl Fn(&WorkerState) -> bool) -> bool {
        let dead = |worker: &WorkerState| worker.status.is_open() && dead(worker);
        let ranks: Vec<Rank> = self.workers.iter().filter(|(_, worker)| dead(worker)).map(|(rank, _)| rank).collect();
        for &rank in &ranks {
            self.lose(rank, Status::Lost, reason.to_owned(), actions);
        }
        !ranks.is_empty()
    }

    fn check_end(&mut self, now: Duration, actions: &mut Actions) {
        if self.ended {
            return;
        }
        if self.stop.is_none() {
            if self.tasks.remaining() == 0 {
                // A worker that holds a task now runs it a second time, for nothing.
                let spare = self.workers.iter().any(|(_, worker)| worker.status == Status::Active && worker.held() > 0);
                let level = if spare { StopLevel::Terminate } else { StopLevel::Drain };
                self.request_stop(now, level, StopCause::AllDone, actions);
            } else if !self.workers.iter().any(|(rank, worker)| self.can_work(rank, worker)) {
                let reason = "no worker is left that can run tasks".to_owned();
                self.request_stop(now, StopLevel::Kill, StopCause::FarmFailed(reason), actions);
            }
        }
        let Some(stop) = self.stop.as_ref().filter(|_| self.workers.open() == 0) else { return };
        self.ended = true;
        // Ranks without a pool still have an MPI process, which waits to be told that it is over.
        let message = Send::Stop { level: stop.level, skip_finalize: self.unreachable };
        let gone = self.workers.iter().filter(|(_, worker)| worker.status == Status::Gone);
        actions.sends.extend(gone.map(|(rank, _)| (rank, message.clone())));
    }

    fn can_work(&self, rank: Rank, worker: &WorkerState) -> bool {
        match worker.status {
            Status::Expected => !(self.settings.farmer_only && rank == crate::protocol::FARMER),
            Status::Active => worker.slots > 0,
            Status::Stopped | Status::Lost | Status::Gone => false,
        }
    }
}

fn remove(book: &mut Vec<TaskId>, id: TaskId) -> bool {
    // From the front: tasks end roughly in the order in which they were handed out.
    let Some(index) = book.iter().position(|&held| held == id) else { return false };
    book.remove(index);
    true
}
