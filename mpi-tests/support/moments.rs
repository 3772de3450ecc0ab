//! Stops at odd moments: before the first task, while MPI starts, in the middle of results. The same holds with and
//! without a launcher, so both targets use these.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Farm, interrupted, processes, stubborn};

/// From the moment at which a rank exists: before it has blocked signals, before MPI is up, before the first task.
const DELAYS_MS: [u64; 7] = [0, 3, 20, 80, 200, 350, 600];

/// A signal at any moment of the start: exit code 3, or the list is complete, or the process or its launcher died of
/// it; in each case, nothing is left, and nothing is lost.
#[track_caller]
pub(crate) fn signal_during_the_start_loses_nothing(make: impl Fn(&[u8]) -> Farm, rank: u32) {
    const COUNT: usize = 12;
    let options = ["--proc", "2"];
    for delay in DELAYS_MS {
        let farm = make(&interrupted::list(COUNT, "; exec sleep 0.1"));
        let mut running = farm.start(&options);
        let mark = running.mark().to_owned();
        let find = || processes::mpi_processes(&mark).into_iter().find(|(number, _)| *number == rank);
        running.wait_until("the rank exists", || find().is_some());
        // It exists, and its progress should vary.
        std::thread::sleep(Duration::from_millis(delay));
        if let Some((_, pid)) = find() {
            processes::signal(pid, Signal::SIGTERM);
        }
        let had_begun = !farm.lines("ran").is_empty();
        let outcome = running.wait();
        let code = outcome.status.unwrap().code();
        let recorded = farm.workdir().recorded().len();
        match code {
            Some(0) => assert_eq!(recorded, COUNT, "exit code 0, {delay} ms"),
            Some(3) => assert!(recorded < COUNT, "exit code 3, {delay} ms"),
            // The rank died of it before it was ready, and nothing was started.
            _ => assert!(!had_begun && recorded == 0, "{:?} after {delay} ms", outcome.status),
        }
        interrupted::completes(&farm, &farm.workdir(), &options, COUNT, 0);
    }
}

/// A stop while results arrive by the hundreds: ended tasks are recorded, except for those of that moment.
#[track_caller]
pub(crate) fn stop_while_results_are_under_way(make: impl Fn(&[u8]) -> Farm, slots: usize, rank: u32) {
    const COUNT: usize = 3000;
    let options = ["--proc", "2"];
    let farm = make(&interrupted::list(COUNT, ""));
    let mut running = farm.start(&options);
    running.wait_until("a third has run", || farm.lines("ran").len() >= COUNT / 3);
    processes::signal(running.rank(rank), Signal::SIGTERM);
    let outcome = running.wait().exits(3);
    let (ran, recorded) = (farm.lines("ran").len(), farm.workdir().recorded().len());
    assert!(recorded < COUNT, "the stop came too late");
    assert!(ran - recorded <= slots, "{ran} tasks ran, {recorded} are recorded, and there are {slots} slots");
    assert_eq!(outcome.summary(), [recorded as u64, 0, (COUNT - recorded) as u64]);
    interrupted::completes(&farm, &farm.workdir(), &options, COUNT, 0);
}

/// `--timeout` before any task can end, and before any task can start.
#[track_caller]
pub(crate) fn timeout_shorter_than_any_task(make: impl Fn(&[u8]) -> Farm) {
    for timeout in ["0.001", "2"] {
        let farm = make(&stubborn::list("echo ID >> ran; test -e go || exec sleep 600", 12));
        let outcome = farm.run(&["--proc", "2", "--timeout", timeout, "--grace", "600"]).exits(3);
        assert_eq!(outcome.summary(), [0, 0, 12], "timeout {timeout}");
        farm.write("go", b"");
        interrupted::completes(&farm, &farm.workdir(), &["--proc", "2"], 12, 0);
    }
}
