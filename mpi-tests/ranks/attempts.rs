//! `tasks.tsv` under a launcher: which rank ran what, and what was lost with a rank.

use nix::sys::signal::Signal;

use crate::support::{Farm, attempts, blockers, processes};

/// Tasks that ran on a rank whose pool dies are recorded as crashed, with their times, and again as the next attempt.
#[test]
fn lost_attempts_are_lines() {
    let farm = Farm::mpi(3, &blockers::list(6, 12));
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("every slot is blocked", || blockers::blocked(&farm, 6) == 6);
    let pools = processes::pools(running.mark());
    let pool = pools.iter().find(|(rank, _)| *rank == 1).unwrap_or_else(|| panic!("no pool of rank 1: {pools:?}")).1;
    processes::signal(pool, Signal::SIGKILL);
    // Both that ran there; tasks that waited there, which depends on the measured lengths, are lost.
    running.wait_until("the loss is written", || {
        farm.workdir().bytes("tasks.tsv").windows(9).filter(|word| word == b"\tcrashed\t").count() >= 2
    });
    blockers::let_go(&farm);
    // Those of the other ranks that block already.
    for process in running.processes().iter().filter(|process| process.task().is_some() && !process.is_ours()) {
        processes::signal(process.pid, Signal::SIGSEGV);
    }
    let outcome = running.wait().exits(1);
    let written = farm.workdir().attempts();
    attempts::lie_within(&written, &outcome);
    let crashed = written.iter().filter(|attempt| attempt.why == "crashed");
    assert_eq!(crashed.clone().count(), 2, "what ran, and no more: {written:?}");
    for attempt in crashed.clone() {
        assert_eq!((attempt.rank, attempt.signal), (1, Some(9)), "{attempt:?}");
        assert!(attempt.start.is_some() && attempt.end >= attempt.start, "{attempt:?}");
    }
    let lost = written.iter().filter(|attempt| attempt.why == "lost");
    for attempt in lost.clone() {
        assert_eq!((attempt.rank, attempt.slot, attempt.start, attempt.user), (1, None, None, None), "{attempt:?}");
    }
    for attempt in lost.chain(crashed) {
        let again = &farm.workdir().attempts_by_task()[&attempt.id];
        assert_eq!(again.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1, 2]);
    }
    assert_eq!(farm.workdir().attempts_by_task().len(), 18, "every task");
}

/// The job log of GNU parallel has a line per task, from all ranks.
#[test]
fn a_job_log_has_the_tasks_of_all_ranks() {
    let farm = Farm::mpi(3, "sleep 0.05\n".repeat(40).as_bytes());
    farm.run(&["--proc", "2", "--joblog", "log"]).exits(0);
    let lines = farm.lines("log");
    assert!(lines[0].starts_with("Seq\tHost\tStarttime\t"), "{lines:?}");
    let mut numbers: Vec<u64> =
        lines[1..].iter().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<u64>>());
}
