//! What progress costs rank 0: per task that ends, and per update, once a second.
//!
//! ```sh
//! cargo bench --no-default-features --bench figures
//! ```
//!
//! Measured by the thread's CPU clock; nothing is written.

use std::hint::black_box;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use taskfarmer::internals::farmer::{Actions, Cause, Event, Farmer, Record, Settings, TaskTable};
use taskfarmer::internals::{Attempt, Outcome, Rank, Tally, TaskId, TaskResult, ToFarmer, Watch};

const TASKS: u32 = 10_000_000;
const LOOKS: u32 = 20;

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

/// The end of a task; lengths are spread over three orders of magnitude.
fn record(id: u32) -> Record {
    let duration_us = u64::from(id.wrapping_mul(2_654_435_761) % 1_000_000) + 1_000;
    let result = TaskResult { duration_us, ..TaskResult::of(TaskId(id), Attempt(1), Outcome::Exited(0)) };
    Record { rank: Rank(id % 64), result, cause: Cause::Finished, is_last: true }
}

fn main() {
    let mut tally = Tally::default();
    let mut spent = Duration::ZERO;
    for chunk in 0..TASKS / 1_000 {
        let records: Vec<Record> = (chunk * 1_000..(chunk + 1) * 1_000).map(record).collect();
        let start = cpu_time();
        black_box(&records).iter().for_each(|record| tally.record(record));
        spent += cpu_time() - start;
    }
    println!("per task:                        {:8.4} µs", spent.as_secs_f64() * 1e6 / f64::from(TASKS));
    for (nodes, slots) in [(1, 8), (64, 128), (1_000, 128), (10_000, 64)] {
        let spent = look(nodes, slots, &tally) / LOOKS;
        println!("per look, {nodes:6} nodes × {slots:3} slots: {:8.3} ms", spent.as_secs_f64() * 1e3);
    }
}

/// Updates the figures of a farm whose slots are full.
fn look(nodes: u32, slots: u32, tally: &Tally) -> Duration {
    let settings = Settings::plain(nodes);
    let mut farmer = Farmer::new(Duration::ZERO, settings, TaskTable::new(TASKS));
    let mut actions = Actions::default();
    for rank in (0..nodes).map(Rank) {
        actions.clear();
        let hello = ToFarmer::plain_hello(String::new(), slots);
        farmer.handle(Duration::ZERO, Event::Message(rank, hello), &mut actions);
    }
    let mut watch = Watch::new(Duration::ZERO);
    let mut spent = Duration::ZERO;
    for second in 1..=LOOKS {
        let start = cpu_time();
        watch.look(Duration::from_secs(second.into()), &farmer, tally);
        spent += cpu_time() - start;
    }
    assert!(watch.running.len() as u64 > u64::from(nodes), "slots are full");
    assert!(watch.time_left.is_some());
    spent
}
