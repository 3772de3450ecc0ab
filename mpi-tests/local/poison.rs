//! Tasks that take down their pool, and pools that are stopped, on a single rank.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Farm, poison, processes};

/// A task that kills its pool fails, all others finish, and no start runs it again.
#[test]
fn a_task_kills_its_pool() {
    poison::kills_its_pool(Farm::local);
}

/// A task that stops its pool does not hold up the farm.
#[test]
fn a_task_stops_its_pool() {
    poison::stops_its_pool(Farm::local);
}

/// Nor does a pool that is stopped from outside; nothing of its tasks is left.
#[test]
fn a_pool_is_stopped() {
    poison::is_stopped(Farm::local, 0);
}

/// A pool that is stopped cannot notice that its farm was killed: its nursery ends it, with everything that it has
/// started.
#[test]
fn a_stopped_pool_does_not_outlive_its_farm() {
    let farm = Farm::local(b"echo >> ran; setsid sleep 600 & sleep 600\n");
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("the task runs", || farm.lines("ran").len() == 1);
    for (_, pool) in processes::pools(running.mark()) {
        processes::signal(pool, Signal::SIGSTOP);
    }
    processes::signal(running.pid(), Signal::SIGKILL);
    // Also looks for processes that are still alive: the nursery waits for the pool for a while.
    running.wait_within(Duration::from_secs(20));
}

/// Crashes count across starts: an interrupted run does not start counting from zero.
#[test]
fn crashes_count_over_starts() {
    let farm = Farm::local(b"echo >> ran; kill -9 $PPID; sleep 600\n");
    for crashes in 1..=2 {
        let mut running = farm.start(&["--crash-limit", "3"]);
        running.wait_until("it has crashed", || {
            let written = farm.workdir().bytes("tasks.tsv");
            written.windows(9).filter(|word| word == b"\tcrashed\t").count() == crashes
        });
        processes::signal(running.pid(), Signal::SIGKILL);
        let outcome = running.wait();
        assert_eq!(outcome.status.unwrap().code(), None, "killed");
    }
    let before = farm.lines("ran").len();
    let outcome = farm.run(&["--crash-limit", "3"]).exits(1);
    assert_eq!((outcome.summary(), farm.lines("ran").len()), ([0, 1, 0], before + 1));
}

/// Invalid values are refused, with advice.
#[test]
fn nonsense_is_refused() {
    let farm = Farm::local(b"true\n");
    for word in ["0", "-1", "many", "1001"] {
        farm.run(&["--crash-limit", word]).refused(&[&format!("--crash-limit {word}"), "from 1 to 1000"]);
    }
}
