//! Hand-out quality: how much longer a farm takes than a list schedule without any delay.
//!
//! ```sh
//! cargo bench --no-default-features --bench handout [-- NODES …]
//! ```
//!
//! The real cores, with messages that take 1 ms, and tasks that only take time. The reference is the greedy schedule:
//! each task of the list, in order, goes immediately to the slot that is free first. The last column is the same farm
//! with a farmer that is busy for [`BUSY_NS`] with each message and each task.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskfarmer::internals::farmer::{Event, Farmer, Record, Rules, Settings, TaskTable};
use taskfarmer::internals::worker::{Event as PoolEvent, Usage, Worker};
use taskfarmer::internals::{
    Assignment, Lengths, Network, Outcome, PoolTurns, Prng, Processes, Rank, SpawnError, Storage, TaskId, TaskList,
    ToFarmer, ToWorker, Turns, draw_length,
};

const SLOTS: u32 = 64;
const TRIP_NS: u64 = 1_000_000;
/// A farmer's work per message, and per task: core, codec, journal.
const BUSY_NS: u64 = 2_000;
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

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("shorter than 584 years")
}

struct Bench {
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
    fn new(nodes: u32, busy_ns: u64, lengths: &Rc<Vec<u64>>, list: &Arc<TaskList>) -> Self {
        let settings = Settings {
            ranks: nodes,
            farmer_only: false,
            silence_max: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            rules: Rules::default(),
            timeout_at: None,
            kinds: vec![taskfarmer::internals::Demand::default()],
        };
        let core = Farmer::new(Duration::ZERO, settings, TaskTable::new(list.len()));
        let node = || Node {
            pool: PoolTurns::new(
                Worker::new(SLOTS, Duration::ZERO),
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
            let hello = ToFarmer::plain_hello(String::new(), SLOTS);
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
    fn run(&mut self, half: u64, dying: &[u32]) -> u64 {
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

/// The greedy schedule on this many slots, without any delays.
fn greedy(slots: u32, lengths: &[u64]) -> u64 {
    let mut free: BinaryHeap<Reverse<u64>> = (0..slots).map(|_| Reverse(0)).collect();
    let mut end = 0;
    for length in lengths {
        let mut first = free.peek_mut().expect("there are slots");
        first.0 += length;
        end = end.max(first.0);
    }
    end
}

fn main() {
    let chosen: Vec<u32> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let nodes = if chosen.is_empty() { vec![1, 64, 1_000, 10_000] } else { chosen };
    println!("| nodes | lengths | mean | tasks | greedy s | farm s | over greedy | with losses s | busy farmer s |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for nodes in nodes {
        for lengths in [Lengths::Uniform, Lengths::Exponential, Lengths::Bimodal, Lengths::Pareto] {
            for (name, mean_us) in [("10 ms", 10_000), ("1 s", 1_000_000), ("100 s", 100_000_000)] {
                row(nodes, lengths, name, mean_us);
            }
        }
    }
}

fn row(nodes: u32, lengths: Lengths, mean: &str, mean_us: u64) {
    let began = Instant::now();
    let per_slot = if nodes < 1_000 { 20 } else { 5 };
    let tasks = nodes * SLOTS * per_slot;
    let mut prng = Prng::new(u64::from(nodes) ^ mean_us);
    let times: Vec<u64> = (0..tasks).map(|_| ns(draw_length(lengths, mean_us, &mut prng))).collect();
    let longest = *times.iter().max().expect("there are tasks");
    let best = greedy(nodes * SLOTS, &times);
    let times = Rc::new(times);
    let list = Arc::new(TaskList::from_commands((0..tasks).map(|_| &b"x"[..])));
    let took = Bench::new(nodes, 0, &times, &list).run(u64::MAX, &[]);
    let busy = Bench::new(nodes, BUSY_NS, &times, &list).run(u64::MAX, &[]);
    let dying: Vec<u32> = (1..nodes).step_by(100).collect();
    let seconds = |ns: u64| ns as f64 / 1e9;
    let with_losses = match dying.is_empty() {
        true => "–".to_owned(),
        false => format!("{:.3}", seconds(Bench::new(nodes, 0, &times, &list).run(best / 2, &dying))),
    };
    let kept = took as f64 <= best as f64 * 1.01 + longest as f64;
    println!(
        "| {nodes} | {lengths:?} | {mean} | {tasks} | {:.3} | {:.3} | {:+.2} %{} | {with_losses} | {:.3} |",
        seconds(best),
        seconds(took),
        (took as f64 / best as f64 - 1.0) * 100.0,
        if kept { "" } else { ", more than 1 % and a longest task" },
        seconds(busy),
    );
    eprintln!("({:.1} s)", began.elapsed().as_secs_f64());
}
