//! Tasks that take their pool down, and pools that are stopped, on a single rank.

use crate::support::{Farm, poison, processes};

use nix::sys::signal::Signal;

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

/// Nor does somebody who stops it from outside; nothing of its tasks is left.
#[test]
fn a_pool_is_stopped() {
    poison::is_stopped(Farm::local, 0);
}

/// Crashes count over starts: one that is interrupted does not begin to count anew.
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

/// Nonsense is refused, with what to type instead.
#[test]
fn nonsense_is_refused() {
    let farm = Farm::local(b"true\n");
    for word in ["0", "-1", "many", "1001"] {
        farm.run(&["--crash-limit", word]).refused(&[&format!("--crash-limit {word}"), "from 1 to 1000"]);
    }
}
