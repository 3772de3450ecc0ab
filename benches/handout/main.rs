//! Hand-out quality: how much longer a farm takes than a list schedule without any delay.
//!
//! ```sh
//! cargo bench --no-default-features --bench handout [-- NODES …]
//! cargo bench --no-default-features --bench handout -- mixed [NODES …]      # tasks that differ in what they ask for
//! ```
//!
//! The real cores, with messages that take 1 ms, and tasks that only take time. The reference is the greedy schedule:
//! each task of the list, in order, goes immediately to the slot that is free first. The last column is the same farm
//! with a farmer that is busy for [`farm::BUSY_NS`] with each message and each task.

mod farm;
mod mixed;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use farm::{BUSY_NS, Bench, SLOTS, ns};
use taskfarmer::internals::{Demand, Lengths, Prng, TaskList, draw_length};

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
    let is_mixed = std::env::args().any(|word| word == "mixed");
    let chosen: Vec<u32> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let nodes = if chosen.is_empty() { vec![1, 64, 1_000, 10_000] } else { chosen };
    if is_mixed {
        return mixed::table(&nodes);
    }
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
    let alike = (&[Demand::default()][..], &[][..]);
    let took = Bench::new(nodes, 0, &times, &list, alike).run(u64::MAX, &[]);
    let busy = Bench::new(nodes, BUSY_NS, &times, &list, alike).run(u64::MAX, &[]);
    let dying: Vec<u32> = (1..nodes).step_by(100).collect();
    let seconds = |ns: u64| ns as f64 / 1e9;
    let with_losses = match dying.is_empty() {
        true => "–".to_owned(),
        false => format!("{:.3}", seconds(Bench::new(nodes, 0, &times, &list, alike).run(best / 2, &dying))),
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
