//! Tasks that differ in what they ask for, against the best of three greedy schedules without any delay.
//!
//! 60 % of the tasks ask for 1 CPU, 30 % for 4, and 10 % for all 64 of a node; one in ten asks for a GPU too; what they
//! ask of memory has a Pareto distribution. The schedules: in the order of the list, where nothing overtakes the first
//! task that waits; the same, but whatever fits may overtake; and the largest tasks first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use taskfarmer::internals::{Class, Demand, Lengths, Prng, TaskList, draw_length};

use super::farm::{Bench, NODE, SLOTS, ns};

/// Mean length of the tasks, in microseconds.
const MEAN_US: u64 = 100_000_000;

/// A list.
struct Tasks {
    kinds: Vec<Demand>,
    classes: Vec<Class>,
    lengths: Vec<u64>,
}

impl Tasks {
    fn draw(count: u32, lengths: Lengths, prng: &mut Prng) -> Self {
        let mut tasks = Self { kinds: Vec::new(), classes: Vec::new(), lengths: Vec::new() };
        for _ in 0..count {
            let cpus = prng.pick(&[1, 1, 1, 1, 1, 1, 4, 4, 4, SLOTS]);
            let gpus = if prng.chance(100) { 1_000 } else { 0 };
            // From 1 GiB on, with exponent 1.1, in powers of two, and at most what a node has.
            let gib = (1.0 - prng.unit()).powf(-1.0 / 1.1).log2().ceil().min(8.0).exp2();
            let demand = Demand { cpus, gpus, memory_mib: (gib as u64) << 10 };
            let known = tasks.kinds.iter().position(|kind| *kind == demand).unwrap_or_else(|| {
                tasks.kinds.push(demand);
                tasks.kinds.len() - 1
            });
            tasks.classes.push(Class(u16::try_from(known).expect("few")));
            tasks.lengths.push(ns(draw_length(lengths, MEAN_US, prng)));
        }
        tasks
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Strict,
    Gaps,
    LargestFirst,
}

/// What is free on a node: CPUs, GPUs, MiB.
#[derive(Clone, Copy)]
struct Free(u32, u32, u64);

impl Free {
    fn take(&mut self, demand: &Demand) -> bool {
        let gpus = demand.gpus / 1_000;
        let fits = demand.cpus <= self.0 && gpus <= self.1 && demand.memory_mib <= self.2;
        if fits {
            *self = Self(self.0 - demand.cpus, self.1 - gpus, self.2 - demand.memory_mib);
        }
        fits
    }

    fn give_back(&mut self, demand: &Demand) {
        *self = Self(self.0 + demand.cpus, self.1 + demand.gpus / 1_000, self.2 + demand.memory_mib);
    }
}

/// How long a greedy schedule takes.
fn greedy(nodes: u32, tasks: &Tasks, order: Order) -> u64 {
    let mut queues = vec![VecDeque::new(); tasks.kinds.len()];
    for (id, class) in tasks.classes.iter().enumerate() {
        queues[class.0 as usize].push_back(id);
    }
    let size = |class: usize| {
        let Demand { cpus, gpus, memory_mib } = tasks.kinds[class];
        let shares = [
            u64::from(cpus) * 1_000 / u64::from(NODE.cpus),
            u64::from(gpus) / u64::from(NODE.gpus),
            memory_mib * 1_000 / NODE.memory_mib,
        ];
        shares.into_iter().max().unwrap_or(0)
    };
    let mut free = vec![Free(NODE.cpus, NODE.gpus, NODE.memory_mib); nodes as usize];
    let mut ends: BinaryHeap<Reverse<(u64, usize, usize)>> = BinaryHeap::new();
    let mut now = 0;
    // Every node is filled at the start, and again whenever a task has ended there; in strict order, all nodes are.
    let mut fill = |now: u64, node: usize, free: &mut [Free], ends: &mut BinaryHeap<_>| {
        let before = ends.len();
        loop {
            let mut heads: Vec<(u64, usize, usize)> = (0..queues.len())
                .filter_map(|class| Some((class, *queues[class].front()?)))
                .map(|(class, id)| (if order == Order::LargestFirst { u64::MAX - size(class) } else { 0 }, id, class))
                .collect();
            heads.sort_unstable();
            if order == Order::Strict {
                heads.truncate(1);
            }
            let Some(&(_, id, class)) = heads.iter().find(|&&(_, _, class)| free[node].take(&tasks.kinds[class]))
            else {
                break;
            };
            queues[class].pop_front();
            ends.push(Reverse((now + tasks.lengths[id], node, id)));
        }
        ends.len() > before
    };
    for node in 0..nodes as usize {
        fill(0, node, &mut free, &mut ends);
    }
    while let Some(Reverse((time, node, id))) = ends.pop() {
        now = time;
        free[node].give_back(&tasks.kinds[tasks.classes[id].0 as usize]);
        if fill(now, node, &mut free, &mut ends) && order == Order::Strict {
            // The next one may fit elsewhere.
            (0..nodes as usize).for_each(|node| _ = fill(now, node, &mut free, &mut ends));
        }
    }
    now
}

/// Prints the table.
pub(crate) fn table(nodes: &[u32]) {
    println!(
        "| nodes | lengths | tasks | strict order s | gaps filled s | largest first s | farm s | over the best | longest task s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for &nodes in nodes {
        for lengths in [Lengths::Uniform, Lengths::Exponential, Lengths::Bimodal, Lengths::Pareto] {
            row(nodes, lengths);
        }
    }
}

fn row(nodes: u32, lengths: Lengths) {
    let began = Instant::now();
    let count = nodes * if nodes < 1_000 { 100 } else { 40 };
    let tasks = Tasks::draw(count, lengths, &mut Prng::new(u64::from(nodes) + 7));
    // Strict order looks at every node after each start: too slow for large farms, and never the best.
    let orders = [Order::Strict, Order::Gaps, Order::LargestFirst];
    let times = orders.map(|order| (order != Order::Strict || nodes <= 64).then(|| greedy(nodes, &tasks, order)));
    let best = times.into_iter().flatten().min().expect("two are always there");
    let longest = tasks.lengths.iter().copied().max().unwrap_or(0);
    let list = Arc::new(TaskList::from_commands((0..count).map(|_| &b"x"[..])));
    let Tasks { kinds, classes, lengths: times_of_tasks } = tasks;
    let took = Bench::new(nodes, 0, &Rc::new(times_of_tasks), &list, (&kinds, &classes)).run(u64::MAX, &[]);
    let seconds = |ns: u64| ns as f64 / 1e9;
    let [strict, gaps, largest] =
        times.map(|time| time.map_or("–".to_owned(), |time| format!("{:.0}", seconds(time))));
    let kept = took as f64 <= best as f64 * 1.05 + longest as f64;
    println!(
        "| {nodes} | {lengths:?} | {count} | {strict} | {gaps} | {largest} | {:.0} | {:+.1} %{} | {:.0} |",
        seconds(took),
        (took as f64 / best as f64 - 1.0) * 100.0,
        if kept { "" } else { ", more than 5 % and a longest task" },
        seconds(longest),
    );
    eprintln!("({:.1} s)", began.elapsed().as_secs_f64());
}
