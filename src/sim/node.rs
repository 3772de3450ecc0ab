//! A simulated rank: a relay that passes frames on, and a pool with the real worker core.
//!
//! Owns the pool's loop in the order of the real one: messages, failed starts, ended processes, the clock, and then
//! sending. The relay core is the real one.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::plan::{Plan, Poison};
use super::processes::{Operation, Output, Process, Simulated};
use crate::demand::Capacity;
use crate::lengths::micros;
use crate::pool::orders::{self, Prepared};
use crate::pool::turn::Turns;
use crate::protocol::{ToFarmer, ToWorker, WorkerConfig, codec};
use crate::relay::Relay;
use crate::task::Executing;
use crate::worker::Event;

/// A pool process.
#[derive(Debug)]
pub(crate) enum Pool {
    /// Waits for Start.
    Forked,
    /// Running.
    Up(Box<Turns<Simulated>>),
    /// Ended normally.
    Ended,
    /// Killed, or ended because the other end of its socket was gone.
    Dead,
}

/// A rank.
#[derive(Debug)]
pub(crate) struct Node {
    /// The pool.
    pub pool: Pool,
    /// The MPI process is running.
    pub relay_up: bool,
    /// The MPI process hangs.
    pub relay_hung: bool,
    /// The pool process hangs.
    pub pool_hung: bool,
    /// Since when, or since when its relay can notice.
    pub hung_since: Duration,
    /// How its pool died, until its relay reports it.
    pub loss: Option<ToFarmer>,
    /// Its pool died, and the next Start makes a new one.
    pub can_restart: bool,
    /// The last pool that died was taken down by a task.
    pub was_poisoned: bool,
    /// What the MPI process decides.
    pub relay: Relay,
    /// When the pool's next deadline is planned.
    pub wake_at: Option<Duration>,
    /// The node cannot start processes.
    pub refusing: bool,
    /// Tasks that are started fail immediately.
    pub broken: bool,
    /// The disk for the output of its tasks.
    pub output: Output,
    /// It reports that it cannot run tasks.
    pub unfit: bool,
    /// What the pool has yet to read.
    pub inbox: VecDeque<Vec<u8>>,
    /// What the relay has yet to pass on.
    pub outbox: VecDeque<ToFarmer>,
    capacity: Capacity,
    plan: Rc<Plan>,
}

impl orders::Node for Node {
    type Processes = Simulated;

    fn prepare(&mut self, now: Duration, config: &WorkerConfig) -> Result<Prepared<Simulated>, String> {
        if self.unfit {
            return Err("simulated".to_owned());
        }
        let mut processes = orders::Node::none(self);
        (processes.now, processes.output) = (now, self.output);
        (processes.refusing, processes.broken) = (self.refusing, self.broken);
        let capacity = self.capacity;
        let slots = config.slots.on(&capacity, &config.kinds);
        let shortage = slots.err().map(|shortage| shortage.to_string());
        Ok(Prepared { processes, slots: slots.unwrap_or(0), capacity, shortage, host: "node".to_owned() })
    }

    fn none(&self) -> Simulated {
        Simulated::new(Rc::clone(&self.plan))
    }
}

impl Node {
    /// A rank that has just been started.
    pub(crate) fn new(now: Duration, capacity: Capacity, unfit: bool, plan: Rc<Plan>) -> Self {
        Self {
            pool: Pool::Forked,
            relay_up: true,
            relay_hung: false,
            pool_hung: false,
            hung_since: now,
            loss: None,
            can_restart: false,
            was_poisoned: false,
            relay: Relay::new(now),
            wake_at: None,
            refusing: false,
            broken: false,
            output: Output::default(),
            unfit,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            capacity,
            plan,
        }
    }

    /// Whether the pool is alive and not hung.
    pub(crate) fn works(&self) -> bool {
        !self.pool_hung && matches!(self.pool, Pool::Forked | Pool::Up(_))
    }

    /// One round of the pool's loop: everything in the inbox, every process that has ended, and the clock. Messages
    /// go to `out`; what happened to processes is returned, by slot.
    pub(crate) fn round(&mut self, now: Duration, out: &mut Vec<ToFarmer>) -> Vec<(u32, Operation)> {
        if let Pool::Up(turns) = &mut self.pool {
            (turns.processes.now, turns.processes.output) = (now, self.output);
            (turns.processes.refusing, turns.processes.broken) = (self.refusing, self.broken);
        }
        while let Some(frame) = self.inbox.pop_front() {
            match codec::decode::<ToWorker>(&frame) {
                Ok(message) => self.on_message(now, message, out),
                Err(error) => out.push(ToFarmer::Unfit { reason: error.to_string() }),
            }
        }
        let Pool::Up(turns) = &mut self.pool else { return Vec::new() };
        while let Some((slot, task)) = turns.processes.take_refused(now) {
            turns.turn(now, Event::SpawnRefused { slot, task }, out);
        }
        let ended: Vec<u32> =
            turns.processes.slots.iter().filter(|(_, process)| process.ends_at <= now).map(|(&slot, _)| slot).collect();
        for slot in ended {
            if let Some(event) = turns.processes.reap(now, slot) {
                turns.turn(now, event, out);
            }
        }
        loop {
            for event in turns.processes.look_after_output(now) {
                turns.turn(now, event, out);
            }
            out.extend(turns.processes.keeping.take_failure().map(|reason| ToFarmer::LogsFailed { reason }));
            turns.turn(now, Event::Tick, out);
            turns.flush(now, out);
            // The real loop does not wait in this case, but starts over.
            if turns.processes.keeping.next_look().is_none_or(|at| at > now) {
                break;
            }
        }
        std::mem::take(&mut turns.processes.operations)
    }

    fn on_message(&mut self, now: Duration, message: ToWorker, out: &mut Vec<ToFarmer>) {
        let mut work = match std::mem::replace(&mut self.pool, Pool::Forked) {
            Pool::Forked => None,
            Pool::Up(turns) => Some(turns),
            over @ (Pool::Ended | Pool::Dead) => {
                self.pool = over;
                return;
            }
        };
        orders::receive(&mut work, now, message, self, out);
        self.pool = work.map_or(Pool::Forked, Pool::Up);
    }

    /// What is executing, and for how long.
    pub(crate) fn executing(&self, now: Duration) -> Vec<Executing> {
        let Pool::Up(turns) = &self.pool else { return Vec::new() };
        let executing = |(&slot, process): (&u32, &Process)| Executing {
            id: process.task.id,
            slot,
            start_us: micros(process.started),
            duration_us: micros(now.saturating_sub(process.started)),
        };
        turns.processes.slots.iter().map(executing).collect()
    }

    /// What a task does to its pool now, if there is such a task.
    pub(crate) fn poison(&self, now: Duration) -> Option<Poison> {
        let Pool::Up(turns) = &self.pool else { return None };
        let acts = |process: &&Process| {
            // If it is asked to end before that time, it does nothing.
            process.ends_at <= now && process.ends_at == process.started + self.plan.of(process.task.id).length
        };
        turns.processes.slots.values().filter(acts).find_map(|process| self.plan.poison.get(&process.task.id).copied())
    }

    /// Whether the last task is gone and the farmer was notified.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(&self.pool, Pool::Up(turns) if turns.core.is_stopped())
    }

    /// When the pool next has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let Pool::Up(turns) = &self.pool else { return None };
        let Turns { core, processes, .. } = &**turns;
        [core.next_deadline(), processes.next_refusal(), processes.keeping.next_look()].into_iter().flatten().min()
    }

    /// When the process in this slot ends, as planned now.
    pub(crate) fn ends_at(&self, slot: u32) -> Option<Duration> {
        let Pool::Up(turns) = &self.pool else { return None };
        turns.processes.slots.get(&slot).map(|process| process.ends_at)
    }

    /// A batch system signals all processes of the node.
    pub(crate) fn strike(&mut self, now: Duration) -> Vec<(u32, Operation)> {
        let Pool::Up(turns) = &mut self.pool else { return Vec::new() };
        turns.processes.now = now;
        turns.processes.strike();
        std::mem::take(&mut turns.processes.operations)
    }

    /// One line for the answer to "why does it not end?".
    pub(crate) fn describe(&self) -> String {
        let pool = match &self.pool {
            Pool::Up(turns) => format!("{} run, {} wait", turns.core.running(), turns.core.queued()),
            other => format!("{other:?}"),
        };
        let (relay, hung) = (self.relay_up, (self.relay_hung, self.pool_hung));
        format!("relay up {relay}, hung {hung:?}, refusing {}, {pool}", self.refusing)
    }
}
