//! The worker core: slots, the local queue, time limits, the kill ladder.
//!
//! Owns what one pool process knows of its tasks, on every rank. Pure, like the farmer core: an event goes in with the
//! time, actions come out. It knows slots, not processes.
//!
//! Invariant: every task that was assigned is reported once, as a result or as returned, unless the process dies.

mod event;
mod limit;
mod report;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use event::Action;
pub use event::{Event, Usage};

use crate::demand::classes::Class;
use crate::demand::room::Room;
use crate::demand::{Capacity, Demand};
use crate::protocol::{Assignment, StopLevel, ToFarmer, ToWorker};
use crate::task::{Attempt, EXIT_OF_SIGNALS, Outcome, TaskId, TaskResult};

/// The result of a task that died by a signal that a batch system sends to tasks and ranks alike is held for this time:
/// if a stop follows, it was an interruption and not a failure.
const HOLD: Duration = Duration::from_secs(1);

/// What remains of a task when its first process has ended may take this long to end by itself: for example, a
/// compressor at the end of a pipe that nothing waits for still has output to write.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// Results are held for this time so that several travel together while the queue still has tasks. After a crash, their
/// tasks run again.
const REPORT_DELAY: Duration = Duration::from_millis(50);

/// Pauses after a refused spawn, doubling; after the last one, the tasks go elsewhere.
const REFUSED_PAUSE_FIRST: Duration = Duration::from_millis(50);
const REFUSED_TRIES_MAX: u32 = 6;

/// How long a node that refuses to start processes gets no tasks.
const REFUSED_PAUSE_FARMER: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Running {
    id: TaskId,
    attempt: Attempt,
    class: Class,
    /// Its GPUs, if tasks differ in what they ask for.
    gpus: Vec<u32>,
    /// The worker ended it: however it exits, it must run again.
    interrupted: bool,
    /// The worker ended it because it exceeded its limit: it has failed.
    timed_out: bool,
    /// Its process has ended; its output has no place yet.
    is_over: bool,
    started: Duration,
    /// Its first process has ended by itself; what remains is asked to end at this time.
    terminate_at: Option<Duration>,
    kill_at: Option<Duration>,
    /// What remained of it had to be ended.
    left_behind: bool,
}

/// The state of one rank's pool.
#[derive(Debug)]
pub struct Worker {
    grace: Duration,
    /// How long a task may run.
    limit: Option<Duration>,
    /// There was a limit, or a task left processes behind: tasks may be ending although there is no stop.
    may_end_some: bool,
    /// When the last turn ended.
    seen: Duration,
    slots: Vec<Option<Running>>,
    free: Vec<u32>,
    /// What is free besides slots, if tasks differ in what they ask for.
    room: Option<Room>,
    /// What tasks ask for, by class.
    kinds: Vec<Demand>,
    queue: VecDeque<Assignment>,
    /// Half of what was queued after the last Assign: when fewer tasks wait, the farmer must be notified.
    low_water: usize,
    stop: Option<StopLevel>,
    held: VecDeque<(Duration, TaskResult)>,
    /// The farmer does not know yet that the number of held verdicts grew: a slot is free.
    held_grew: bool,
    results: Vec<TaskResult>,
    interrupted: Vec<TaskResult>,
    returned: Vec<TaskId>,
    report_due: Option<Duration>,
    recall_answered: bool,
    pause: Option<Duration>,
    ack: u32,
    ack_at: Duration,
    refused: u32,
    retry_at: Option<Duration>,
    stopped: bool,
}

impl Worker {
    /// A pool with this many slots.
    pub fn new(slots: u32, grace: Duration) -> Self {
        Self {
            grace,
            limit: None,
            may_end_some: false,
            seen: Duration::ZERO,
            slots: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            room: None,
            kinds: Vec::new(),
            queue: VecDeque::new(),
            low_water: 0,
            stop: None,
            held: VecDeque::new(),
            held_grew: false,
            results: Vec::new(),
            interrupted: Vec::new(),
            returned: Vec::new(),
            report_due: None,
            recall_answered: false,
            pause: None,
            ack: 0,
            ack_at: Duration::ZERO,
            refused: 0,
            retry_at: None,
            stopped: false,
        }
    }

    /// Tasks differ in what they ask for, and the rank has this.
    pub fn with_kinds(self, kinds: &[Demand], capacity: &Capacity) -> Self {
        match kinds {
            [_, _, ..] => Self { room: Some(Room::of(capacity, kinds)), kinds: kinds.to_vec(), ..self },
            _ => self,
        }
    }

    /// Handles one event. After the last event of a turn, call [`Self::flush`].
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Message(message) => self.on_message(now, message, actions),
            Event::SpawnRefused { slot, task } => self.on_refused(now, slot, task),
            Event::Lingers(slot) => self.on_lingers(now, slot),
            Event::OutputWaits { slot } => self.on_output_waits(now, slot),
            Event::Ended { slot, outcome, usage } => self.on_ended(now, slot, outcome, usage),
            // Only here: the events of tasks that have ended by now were handled before, and these did not exceed their
            // limit.
            Event::Tick => self.check_limit(now, actions),
        }
        self.check_time(now, actions);
        self.start_queued(now, actions);
    }

    /// Ends a turn: sends what has accumulated, if it is time to.
    pub fn flush(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.seen = now;
        if self.report_is_due(now) {
            self.send_report(now, actions);
        }
        if self.stop.is_some() && !self.stopped && self.held.is_empty() && self.running() == 0 {
            self.stopped = true;
            actions.push(Action::Send(ToFarmer::Stopped));
        }
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Duration> {
        let on_their_way = self.slots.iter().flatten().filter(|_| self.stop.is_some() || self.may_end_some);
        let kill = on_their_way.flat_map(|running| [running.terminate_at, running.kill_at]).flatten().min();
        let limit = self.next_limit();
        let held = self.held.front().map(|(until, _)| *until);
        [kill, limit, held, self.report_due, self.retry_at].into_iter().flatten().min()
    }

    /// Whether the last task is gone and the farmer was notified. Nothing happens here anymore.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether the farm has ordered it to kill running tasks.
    pub fn is_killed(&self) -> bool {
        self.stop == Some(StopLevel::Kill)
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many tasks wait for a slot.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    fn on_message(&mut self, now: Duration, message: ToWorker, actions: &mut Vec<Action>) {
        match message {
            ToWorker::Assign { seq, tasks } => {
                self.ack = seq;
                self.ack_at = now;
                self.queue.extend(tasks);
                if self.stop.is_some() {
                    self.return_queue(now);
                } else {
                    self.start_queued(now, actions);
                    self.low_water = self.queue.len() / 2;
                }
            }
            ToWorker::Recall { count } => {
                for _ in 0..count {
                    let Some(task) = self.queue.pop_back() else { break };
                    self.returned.push(task.id);
                }
                self.recall_answered = true;
                self.report_due = Some(now);
            }
            ToWorker::Stop { level } => self.on_stop(now, level, actions),
            ToWorker::Rejoin { seq } => self.on_rejoin(now, seq, actions),
            ToWorker::Limit { us } => {
                self.limit = (us > 0).then(|| Duration::from_micros(us));
                self.may_end_some |= us > 0;
                // A task that exceeds the new limit did not exceed it while this process was suspended.
                self.seen = now;
            }
            ToWorker::Start(_) | ToWorker::Heartbeat | ToWorker::Leave { .. } => {}
        }
    }

    fn on_stop(&mut self, now: Duration, level: StopLevel, actions: &mut Vec<Action>) {
        if self.stop >= Some(level) {
            return;
        }
        self.stop = Some(level);
        self.return_queue(now);
        if level == StopLevel::Drain {
            return;
        }
        // These died by a signal, and now the stop has come: it had the same cause.
        if !self.held.is_empty() {
            self.interrupted.extend(self.held.drain(..).map(|(_, result)| result));
            self.report_due = Some(now);
        }
        for (slot, running) in (0..).zip(&mut self.slots) {
            let Some(running) = running else { continue };
            // A task whose first process has ended by itself gets its verdict when what remains has had its time: until
            // then, its last output may still be missing. Without its output, it has to run again.
            let has_ended = running.timed_out || running.left_behind;
            running.interrupted |= !has_ended || running.is_over;
            running.terminate_at = None;
            if level == StopLevel::Kill {
                running.kill_at = None;
                actions.push(Action::Kill(slot));
            } else if running.kill_at.is_none() {
                running.kill_at = Some(now + self.grace);
                actions.push(Action::Terminate(slot));
            }
        }
    }

    /// The farmer had given up this rank: its waiting tasks are with others, its running ones continue.
    fn on_rejoin(&mut self, now: Duration, seq: u32, actions: &mut Vec<Action>) {
        self.queue.clear();
        self.low_water = 0;
        self.retry_at = None;
        self.ack = seq;
        self.ack_at = now;
        // First, so that nothing is both reported and held.
        self.send_report(now, actions);
        let running = self.slots.iter().flatten().map(|running| running.id);
        let tasks = running.chain(self.held.iter().map(|(_, result)| result.id)).collect();
        actions.push(Action::Send(ToFarmer::Holds { seq, tasks }));
    }

    fn return_queue(&mut self, now: Duration) {
        self.retry_at = None;
        if !self.queue.is_empty() {
            self.returned.extend(self.queue.drain(..).map(|task| task.id));
            self.report_due = Some(now);
        }
    }

    fn on_refused(&mut self, now: Duration, slot: u32, task: Assignment) {
        self.vacate(slot);
        self.queue.push_front(task);
        if self.stop.is_some() || self.pause.is_some() {
            self.return_queue(now);
            return;
        }
        if self.retry_at.is_some() {
            return; // Refused together with the one before: that counts as one try.
        }
        self.refused += 1;
        if self.refused >= REFUSED_TRIES_MAX {
            self.refused = 0;
            self.pause = Some(REFUSED_PAUSE_FARMER);
            self.return_queue(now);
        } else {
            self.retry_at = Some(now + REFUSED_PAUSE_FIRST * 2_u32.pow(self.refused - 1));
        }
    }

    /// A task that was asked to end has the rest of its grace period, and so do the processes that it started.
    fn on_lingers(&mut self, now: Duration, slot: u32) {
        let Some(Some(running)) = self.slots.get_mut(slot as usize) else { return };
        if !running.interrupted && !running.timed_out {
            running.terminate_at = Some(now + LINGER);
            self.may_end_some = true;
        }
    }

    /// Any further task would have no place for its output either.
    fn on_output_waits(&mut self, now: Duration, slot: u32) {
        if let Some(Some(running)) = self.slots.get_mut(slot as usize) {
            running.is_over = true;
            (running.terminate_at, running.kill_at) = (None, None);
        }
        self.pause = Some(REFUSED_PAUSE_FARMER);
        self.return_queue(now);
    }

    fn on_ended(&mut self, now: Duration, slot: u32, outcome: Outcome, usage: Usage) {
        let Some(running) = self.vacate(slot) else { return };
        self.refused = 0;
        let result = TaskResult {
            id: running.id,
            attempt: running.attempt,
            slot,
            start_us: usage.start_us,
            duration_us: usage.duration_us,
            outcome,
            timed_out: running.timed_out,
            left_behind: running.left_behind,
            user_us: usage.user_us,
            system_us: usage.system_us,
            max_rss_kib: usage.max_rss_kib,
        };
        // When the farm stops, the pool does not wait for a disk. That must not count against the task, however it
        // ended.
        let is_given_up = self.stop >= Some(StopLevel::Terminate) && matches!(result.outcome, Outcome::Unkept { .. });
        if running.interrupted || is_given_up {
            self.interrupted.push(result);
            self.report_due = Some(now);
        } else if looks_interrupted(&result.outcome) && !result.timed_out && !result.left_behind {
            self.held.push_back((now + HOLD, result));
            self.held_grew = true;
        } else {
            self.push_result(now, result);
        }
    }

    fn push_result(&mut self, now: Duration, result: TaskResult) {
        self.results.push(result);
        self.report_due = self.report_due.or(Some(now + REPORT_DELAY));
    }

    fn vacate(&mut self, slot: u32) -> Option<Running> {
        let running = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        if let Some(room) = &mut self.room {
            room.give_back(&demand_of(&self.kinds, running.class), &running.gpus);
        }
        Some(running)
    }

    fn start_queued(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        while let Some(task) = self.queue.front()
            && let Some(&slot) = self.free.last()
        {
            // In order: the farmer decides what goes first.
            let gpus = match &mut self.room {
                None => Vec::new(),
                Some(room) => match room.take(&demand_of(&self.kinds, task.class)) {
                    Some(gpus) => gpus,
                    None => return,
                },
            };
            let task = self.queue.pop_front().expect("seen");
            self.free.pop();
            let running = Running {
                id: task.id,
                attempt: task.attempt,
                class: task.class,
                gpus: gpus.clone(),
                interrupted: false,
                timed_out: false,
                is_over: false,
                started: now,
                terminate_at: None,
                kill_at: None,
                left_behind: false,
            };
            self.slots[slot as usize] = Some(running);
            actions.push(Action::Spawn { slot, task, gpus });
        }
    }

    fn check_time(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while let Some((until, _)) = self.held.front()
            && *until <= now
        {
            let (_, result) = self.held.pop_front().expect("seen");
            self.push_result(now, result);
        }
        if self.stop.is_none() && !self.may_end_some {
            return; // Nothing else sets a time to end a task; this avoids a walk over all slots per event.
        }
        let is_due = |at: &mut Option<Duration>| at.take_if(|at| now >= *at).is_some();
        for (slot, running) in (0..).zip(&mut self.slots) {
            let Some(running) = running else { continue };
            if is_due(&mut running.terminate_at) {
                running.left_behind = true;
                running.kill_at = Some(now + self.grace);
                actions.push(Action::Terminate(slot));
            }
            if is_due(&mut running.kill_at) {
                actions.push(Action::Kill(slot));
            }
        }
    }
}

/// What a class asks for; an unknown one, from a peer, asks for nothing.
fn demand_of(kinds: &[Demand], class: Class) -> Demand {
    kinds.get(class.0 as usize).copied().unwrap_or_default()
}

/// Whether a death may have been caused by a batch system that ends the job. A shell exits with 128 + signal when the
/// program that it ran in the foreground was killed.
fn looks_interrupted(outcome: &Outcome) -> bool {
    const INT: u8 = 2;
    const KILL: u8 = 9;
    const USR1: u8 = 10;
    const TERM: u8 = 15;
    let by_code = || outcome.exit_code().map(|code| code.wrapping_sub(EXIT_OF_SIGNALS));
    matches!(outcome.signal().or_else(by_code), Some(INT | KILL | USR1 | TERM))
}
