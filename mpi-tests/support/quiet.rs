//! Farms that have nothing to report for a long time: no rank is lost, nothing is given up.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{End, Farm, processes};

/// Longer than any rank may be silent.
const QUIET: Duration = Duration::from_secs(40);

/// Three tasks that are silent for that long, one for each rank of a small farm with one slot per rank.
pub(crate) const LIST: &[u8] = b"sleep 40\nsleep 40\nsleep 40\n";

/// Tasks that ignore SIGTERM for that long and end by themselves.
pub(crate) const STUBBORN: &[u8] = b"trap '' TERM; echo $PROC_NUMBER >> ran; sleep 40; exit 7\n\
    trap '' TERM; echo $PROC_NUMBER >> ran; sleep 40; exit 7\n\
    trap '' TERM; echo $PROC_NUMBER >> ran; sleep 40; exit 7\n";

/// Runs [`LIST`]: every task finishes in its first attempt, and no rank is reported as lost.
#[track_caller]
pub(crate) fn long_task_is_waited_for(farm: &Farm) {
    let outcome = farm.run(&["--proc", "3"]).exits(0);
    assert!(!outcome.stderr_text().contains("lost"), "a rank was lost");
    assert_eq!(outcome.summary(), [3, 0, 0]);
    for (id, event) in farm.workdir().timeline().by_task() {
        assert_eq!((event.end, event.attempt), (End::Exit(0), 1), "task {id}");
        assert!(event.duration() >= QUIET, "task {id}: {event:?}");
    }
}

/// Stops [`STUBBORN`] with a grace period that is longer than its tasks: all of them end by themselves.
#[track_caller]
pub(crate) fn long_grace_period_is_honoured(farm: &Farm, signaled_rank: u32) {
    let mut running = farm.start(&["--proc", "3", "--grace", "600"]);
    running.wait_until("all tasks run", || farm.lines("ran").len() == 3);
    processes::signal(running.rank(signaled_rank), Signal::SIGTERM);
    let outcome = running.wait();
    assert!(!outcome.stderr_text().contains("lost"), "a rank was lost");
    assert!(outcome.elapsed >= QUIET, "ended before its tasks");
    // It does not wait for longer than its tasks take: the grace period is longer than the test may take.
    assert_eq!(outcome.exits(3).summary()[0], 0, "finished");
}
