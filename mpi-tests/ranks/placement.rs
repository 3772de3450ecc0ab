//! Which rank runs what: `--farmer-only`, all slots in use, ranks with nothing to do or to report.

use std::collections::BTreeSet;

use crate::support::{Farm, quiet};

/// With `--farmer-only` rank 0 runs no task, and all others do.
#[test]
fn farmer_only_leaves_rank_0_out() {
    let farm = Farm::mpi(3, "sleep 0.05\necho $TASKFARMER_RANK\n".repeat(30).as_bytes());
    let outcome = farm.run(&["--farmer-only", "--proc", "2"]).exits(0);
    assert_eq!(outcome.summary(), [60, 0, 0]);
    let events = farm.workdir().timeline().by_task();
    assert_eq!(events.len(), 60);
    let ranks: BTreeSet<u64> = events.values().map(|event| event.rank).collect();
    assert_eq!(ranks, BTreeSet::from([1, 2]));
}

/// With one rank, `--farmer-only` would leave no rank to run tasks.
#[test]
fn farmer_only_needs_two_ranks() {
    let farm = Farm::mpi(1, b"echo one\n").time_limit(60);
    let before = farm.everything();
    farm.run(&["--farmer-only"]).refused(&["--farmer-only"]);
    assert_eq!(farm.everything(), before);
}

/// Every slot of every rank is used at the same time: these tasks wait for each other.
#[test]
fn all_slots_run_at_the_same_time() {
    let task = "touch here-$PROC_NUMBER; until [ $(ls here-* | wc -l) -ge 8 ]; do sleep 0.05; done\n";
    let farm = Farm::mpi(4, task.repeat(8).as_bytes()).time_limit(60);
    farm.run(&["--proc", "2"]).exits(0);
    let events = farm.workdir().timeline().by_task();
    let slots: BTreeSet<(u64, u64)> = events.values().map(|event| (event.rank, event.slot)).collect();
    assert_eq!(slots.len(), 8, "{slots:?}");
}

/// A farm with more slots than tasks ends, and so do its ranks without a task.
#[test]
fn more_ranks_than_tasks() {
    let farm = Farm::mpi(8, b"echo one\n").time_limit(60);
    assert_eq!(farm.run(&["--proc", "2"]).exits(0).summary(), [1, 0, 0]);
}

/// Many more ranks than CPUs: a farm of 64 starts, completes 20,000 tasks and ends.
#[test]
fn sixty_four_ranks() {
    let farm = Farm::mpi(64, "echo $PROC_NUMBER\n".repeat(20_000).as_bytes()).time_limit(600);
    assert_eq!(farm.run(&["--proc", "1"]).exits(0).summary(), [20_000, 0, 0]);
    assert_eq!(farm.workdir().recorded().len(), 20_000);
}

/// One farm, one list: no task runs twice, however many ranks there are.
#[test]
fn each_task_runs_once() {
    let farm = Farm::mpi(4, "echo $PROC_NUMBER >> ran\n".repeat(500).as_bytes());
    farm.run(&["--proc", "2"]).exits(0);
    let mut ran: Vec<u64> = farm.lines("ran").iter().map(|line| line.parse().unwrap()).collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..500).collect::<Vec<u64>>());
}

/// A task that runs longer than any silence limit is waited for, on the farmer's rank and on others.
#[test]
fn long_task() {
    quiet::long_task_is_waited_for(&Farm::mpi(3, quiet::LIST));
}

/// A long grace period is honored on every rank.
#[test]
fn long_grace_period() {
    quiet::long_grace_period_is_honoured(&Farm::mpi(3, quiet::STUBBORN), 1);
}
