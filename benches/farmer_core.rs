//! The farmer core's own cost: CPU time and memory per task, at 10,000 nodes of 64 slots and 10 million tasks.
//!
//! ```sh
//! cargo bench --no-default-features --bench farmer_core
//! ```
//!
//! Only the core is measured: messages are made before the clock starts, and nothing is sent or written.

use std::hint::black_box;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use taskfarmer::internals::farmer::{Actions, Event, Farmer, Send, Settings, TaskTable};
use taskfarmer::internals::{Attempt, Outcome, Rank, TaskId, TaskList, TaskResult, ToFarmer};

const NODES: u32 = 10_000;
const SLOTS: u32 = 64;
const TASKS: u32 = 10_000_000;

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has this line");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}

fn result(id: TaskId) -> TaskResult {
    TaskResult { duration_us: 1_000_000, ..TaskResult::of(id, Attempt(1), Outcome::Exited(0)) }
}

fn main() {
    let before = resident();
    let command = *b"true";
    let list = TaskList::from_commands((0..TASKS).map(|_| command.as_slice()));
    let with_list = resident();
    let table = TaskTable::new(TASKS);
    let with_table = resident();
    let per_task = |bytes: u64| bytes as f64 / f64::from(TASKS);
    let text = u64::from(TASKS) * command.len() as u64;
    println!("{NODES} nodes of {SLOTS} slots, {TASKS} tasks");
    println!("list, beside its text: {:5.1} bytes per task", per_task(with_list - before) - per_task(text));
    println!("task table:            {:5.1} bytes per task", per_task(with_table - with_list));
    drop(list);
    run(table, u32::MAX, "all results of a node in one report");
    run(TaskTable::new(TASKS), 4, "four results per report");
    run(TaskTable::new(TASKS), 1, "one result per report");
}

/// Runs the list; each node reports this many results at a time.
fn run(table: TaskTable, batch: u32, name: &str) {
    let settings = Settings::plain(NODES);
    let mut now = Duration::ZERO;
    let mut farmer = Farmer::new(now, settings, table);
    let mut held: Vec<Vec<TaskId>> = vec![Vec::new(); NODES as usize];
    let mut actions = Actions::default();
    let mut spent = Duration::ZERO;
    let mut messages: Vec<(Rank, ToFarmer)> = (0..NODES)
        .map(|rank| {
            let hello = ToFarmer::plain_hello(String::new(), SLOTS);
            (Rank(rank), hello)
        })
        .collect();
    let mut recorded = 0;
    while !messages.is_empty() {
        now += Duration::from_millis(20);
        for part in messages.chunks_mut(1_000) {
            actions.clear();
            let start = cpu_time();
            for (rank, message) in part {
                let message = std::mem::replace(message, ToFarmer::Heartbeat);
                farmer.handle(now, Event::Message(*rank, message), &mut actions);
            }
            spent += cpu_time() - start;
            recorded += actions.records.len();
            for (rank, send) in &actions.sends {
                if let Send::Assign { tasks, .. } = send {
                    held[rank.0 as usize].extend(actions.assigned[tasks.clone()].iter().map(|(id, _)| *id));
                }
            }
            black_box(&actions);
        }
        messages.clear();
        for (rank, tasks) in (0..).map(Rank).zip(&mut held) {
            let count = tasks.len().min(batch as usize);
            if count > 0 {
                let results = tasks.drain(..count).map(result).collect();
                let report = ToFarmer::Report {
                    results,
                    interrupted: Vec::new(),
                    returned: Vec::new(),
                    ack: 0,
                    ack_age_us: 0,
                    undecided: 0,
                    recall_answered: false,
                    pause_ms: 0,
                };
                messages.push((rank, report));
            }
        }
    }
    assert_eq!(recorded, TASKS as usize, "every task is recorded");
    println!("{name:36} {:6.3} µs of CPU time per task", spent.as_secs_f64() * 1e6 / f64::from(TASKS));
}
