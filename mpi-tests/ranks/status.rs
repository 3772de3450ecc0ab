//! `taskfarmer-mpi status` beside a farm of many ranks.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;

use crate::support::status::{json, text};
use crate::support::{Farm, blockers, processes};

const RANKS: u32 = 64;

/// A farm of 64 ranks at work: all ranks, all slots and all running tasks are shown, without MPI and without disturbing
/// the farm.
#[test]
fn farm_of_64_ranks_is_shown() {
    let (quick, blocked) = (200, RANKS as usize);
    let farm = Farm::mpi(RANKS, &blockers::list(quick, blocked + 10)).time_limit(300);
    let mut running = farm.start(&["--proc", "1", "--grace", "5"]);
    running.wait_until("a blocker runs on each rank, and status.json says so", || {
        blockers::blocked(&farm, quick) == blocked && json(&farm, 0)["running"] == blocked
    });
    let shown = text(&farm, 0, &["tasks.txt_workdir"]);
    assert!(shown.contains("200 of 274 tasks done (72%); 64 running on 64 slots"), "{shown}");
    let counts = "200 finished, 0 failed, 74 remaining\nlongest running: task ";
    assert!(shown.contains(counts) && shown.contains("\n64 ranks, 64 slots\n"), "{shown}");
    let list = text(&farm, 0, &["tasks.txt_workdir", "--running"]);
    let ranks: BTreeSet<&str> = list.lines().map(|line| line.split('\t').nth(3).unwrap()).collect();
    assert_eq!((list.lines().count(), ranks.len()), (blocked, blocked), "one on each rank:\n{list}");
    processes::signal(running.rank(0), Signal::SIGINT);
    running.wait().exits(3);
    assert_eq!(json(&farm, 0)["state"], "ended");
}
