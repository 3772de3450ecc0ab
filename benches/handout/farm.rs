//! A farm of real cores, with messages that take 1 ms, and tasks that only take time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use taskfarmer::internals::farmer::{Event, Farmer, Record, Settings, TaskTable};
use taskfarmer::internals::worker::{Event as PoolEvent, Usage, Worker};
use taskfarmer::internals::{
    Assignment, Capacity, Class, Demand, Network, Outcome, PROTOCOL_VERSION, PoolTurns, Processes, Rank, SpawnError,
    Storage, TaskId, TaskKind, TaskList, ToFarmer, ToWorker, Turns,
};

/// Of each node, and CPUs.
pub(crate) const SLOTS: u32 = 64;
/// What each node has.
pub(crate) const NODE: Capacity = Capacity { cpus: SLOTS, gpus: 4, memory_mib: 256 << 10 };
const TRIP_NS: u64 = 1_000_000;
/// A farmer's work per message, and per task: core, codec, journal.
pub(crate) const BUSY_NS: u64 = 2_000;
const HEARTBEAT_NS: u64 = 5_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    AtFarmer(u32),
    FarmerWorks,
    AtRank(u32),
    Ends(u32, u32),
    PoolTick(u32),
    Heartbeat(u32),
    FarmerTick,
}

struct Fake {
    lengths: Rc<Vec<u64>>,
    started: Vec<(u32, u64)>,
    running: Vec<u64>,
}

impl Processes for Fake {
    fn spawn(&mut self, now: Duration, slot: u32, task: &Assignment, _: &[u32]) -> Result<(), SpawnError> {
        let length = self.lengths[task.id.0 as usize];
        self.running[slot as usize] = length;
        self.started.push((slot, ns(now) + length));
        Ok(())
    }

    fn terminate(&mut self, _: u32) {}

    fn kill(&mut self, _: u32) {}
}

struct Node {
    pool: PoolTurns<Fake>,
    inbox: VecDeque<ToWorker>,
    outbox: VecDeque<ToFarmer>,
    tick_at: Option<u64>,
    dead: bool,
}

#[derive(Default)]
struct Nowhere {
    written: u32,
}

impl Storage for Nowhere {
    fn record(&mut self, records: &[Record], _: &TaskList) -> Result<(), (Vec<TaskId>, String)> {
        let ended = records.iter().filter(|record| record.is_last).count();
        self.written += u32::try_from(ended).expect("few");
        Ok(())
    }
}

#[derive(Default)]
struct Outgoing(Vec<(u32, ToWorker)>);

impl Network for Outgoing {
    fn send(&mut self, to: Rank, message: &ToWorker) {
        self.0.push((to.0, message.clone()));
    }

    fn start(&mut self, _: Rank) {}

    fn give_up(&mut self, _: Rank) {}
}

/// In nanoseconds.
pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("shorter than 584 years")
}

/// The farm.
pub(crate) struct Bench {
    now: u64,
    queue: BinaryHeap<Reverse<(u64, u64, What)>>,
    count: u64,
    farm: Turns<Nowhere>,
    /// What each message and each task costs the farmer.
    busy_ns: u64,
    farmer_free: u64,
    /// The senders of messages that have arrived and wait for the farmer.
    backlog: VecDeque<u32>,
    tick_at: u64,
    nodes: Vec<Node>,
    outgoing: Outgoing,
}

impl Bench {
    /// Tasks of one class each: `classes` is empty if there is only one.
    pub(crate) fn new(
        nodes: u32,
        busy_ns: u64,
        lengths: &Rc<Vec<u64>>,
        list: &Arc<TaskList>,
        (kinds, classes): (&[Demand], &[Class]),
    ) -> Self {
        let kinds_of_tasks = kinds.iter().map(|&demand| TaskKind { demand, ..TaskKind::default() }).collect();
        let settings = Settings { kinds: kinds_of_tasks, ..Settings::plain(nodes) };
        let table = TaskTable::new(list.len()).with_classes(classes.to_vec(), kinds.len());
        let core = Farmer::new(Duration::ZERO, settings, table);
        let node = || Node {
            pool: PoolTurns::new(
                Worker::new(SLOTS, Duration::ZERO).with_kinds(kinds, &NODE),
                Fake { lengths: Rc::clone(lengths), started: Vec::new(), running: vec![0; SLOTS as usize] },
            ),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            tick_at: None,
            dead: false,
        };
        let mut bench = Self {
            now: 0,
            queue: BinaryHeap::new(),
            count: 0,
            farm: Turns::new(core, Arc::clone(list), Nowhere::default()),
            busy_ns,
            farmer_free: 0,
            backlog: VecDeque::new(),
            tick_at: u64::MAX,
            nodes: (0..nodes).map(|_| node()).collect(),
            outgoing: Outgoing::default(),
        };
        for rank in 0..nodes {
            let (protocol, host, shortage) = (PROTOCOL_VERSION, String::new(), None);
            let hello = ToFarmer::Hello { protocol, host, slots: SLOTS, capacity: NODE, shortage };
            bench.say(rank, hello);
            bench.at(u64::from(rank) * HEARTBEAT_NS / u64::from(nodes), What::Heartbeat(rank));
        }
        bench
    }

    fn at(&mut self, time: u64, what: What) {
        self.count += 1;
        self.queue.push(Reverse((time, self.count, what)));
    }

    fn say(&mut self, rank: u32, message: ToFarmer) {
        self.nodes[rank as usize].outbox.push_back(message);
        self.at(self.now + TRIP_NS, What::AtFarmer(rank));
    }

    /// Runs until every task is recorded; the nodes of `dying` die at `half`. Returns the time.
    pub(crate) fn run(&mut self, half: u64, dying: &[u32]) -> u64 {
        let tasks = self.farm.core.tasks().total();
        let mut dying = Some(dying).filter(|ranks| !ranks.is_empty());
        while self.farm.storage.written < tasks {
            let Reverse((time, _, what)) = self.queue.pop().expect("somebody has something to do");
            self.now = time;
            if time >= half {
                for &rank in dying.take().unwrap_or(&[]) {
                    self.nodes[rank as usize].dead = true;
                }
            }
            match what {
                What::AtFarmer(rank) => {
                    if self.backlog.is_empty() {
                        self.at(self.farmer_free.max(time), What::FarmerWorks);
                    }
                    self.backlog.push_back(rank);
                }
                What::FarmerWorks => {
                    let rank = self.backlog.pop_front().expect("one per event");
                    let message = self.nodes[rank as usize].outbox.pop_front().expect("one per event");
                    self.farmer(Event::Message(Rank(rank), message));
                    if !self.backlog.is_empty() {
                        self.at(self.farmer_free, What::FarmerWorks);
                    }
                }
                What::FarmerTick => self.farmer(Event::Tick),
                What::AtRank(rank) => {
                    let message = self.nodes[rank as usize].inbox.pop_front().expect("one per event");
                    self.pool(rank, PoolEvent::Message(message));
                }
                What::Ends(rank, slot) => {
                    let node = &self.nodes[rank as usize];
                    let duration_us = node.pool.processes.running[slot as usize] / 1_000;
                    let usage = Usage { duration_us, ..Usage::default() };
                    self.pool(rank, PoolEvent::Ended { slot, outcome: Outcome::Exited(0), usage });
                }
                What::PoolTick(rank) => {
                    self.nodes[rank as usize].tick_at = None;
                    self.pool(rank, PoolEvent::Tick);
                }
                What::Heartbeat(rank) if !self.nodes[rank as usize].dead => {
                    self.say(rank, ToFarmer::Heartbeat);
                    self.at(time + HEARTBEAT_NS, What::Heartbeat(rank));
                }
                What::Heartbeat(_) => {}
            }
        }
        self.now
    }

    fn farmer(&mut self, event: Event) {
        let results = match &event {
            Event::Message(_, ToFarmer::Report { results, .. }) => results.len() as u64,
            _ => 0,
        };
        self.farm.turn(Duration::from_nanos(self.now), event, &mut self.outgoing, &mut Vec::new());
        self.farmer_free = self.now + self.busy_ns * (1 + results);
        for (rank, message) in std::mem::take(&mut self.outgoing.0) {
            if message != ToWorker::Heartbeat {
                self.nodes[rank as usize].inbox.push_back(message);
                self.at(self.farmer_free + TRIP_NS, What::AtRank(rank));
            }
        }
        let deadline = self.farm.core.next_deadline().map_or(u64::MAX, ns);
        if deadline < self.tick_at || self.tick_at <= self.now {
            self.tick_at = deadline;
            self.at(deadline, What::FarmerTick);
        }
    }

    fn pool(&mut self, rank: u32, event: PoolEvent) {
        let now = Duration::from_nanos(self.now);
        let node = &mut self.nodes[rank as usize];
        if node.dead {
            return;
        }
        let mut said = Vec::new();
        node.pool.turn(now, event, &mut said);
        node.pool.flush(now, &mut said);
        let started = std::mem::take(&mut node.pool.processes.started);
        let tick = node.pool.core.next_deadline().map(ns).filter(|&at| node.tick_at.is_none_or(|planned| at < planned));
        node.tick_at = tick.or(node.tick_at);
        started.into_iter().for_each(|(slot, at)| self.at(at, What::Ends(rank, slot)));
        tick.into_iter().for_each(|at| self.at(at, What::PoolTick(rank)));
        said.into_iter().for_each(|message| self.say(rank, message));
    }
}
