//! The end of a farm: signals, the grace period, SIGKILL. Nothing outlives it, and nothing is lost.
//!
//! Every run of these tests ends with a check for processes that it left behind; see `support::running`.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;

use crate::support::{Farm, blockers, processes};

const QUICK: usize = 10;
const BLOCKERS: usize = 12;
const COUNT: usize = QUICK + BLOCKERS;

/// Starts quick tasks and blockers, waits until all slots are blocked, sends a signal.
#[track_caller]
fn stops_in_order(signal: Signal) {
    let options = ["--proc", "4", "--grace", "5"];
    let farm = Farm::local(&blockers::list(QUICK, BLOCKERS));
    let mut running = farm.start(&options);
    running.wait_until("four blockers run", || blockers::blocked(&farm, QUICK) == 4);
    processes::signal(running.pid(), signal);
    let outcome = running.wait().exits(3);
    let recorded = blockers::is_stopped_in_order(&farm, COUNT);
    assert_eq!(outcome.summary(), [recorded.len() as u64, 0, (COUNT - recorded.len()) as u64]);
    assert_eq!(farm.workdir().timeline().by_task().len(), recorded.len(), "valid, with the completed tasks");
    blockers::is_completed_by_the_next_run(&farm, COUNT, &options, &recorded);
}

/// Ctrl-C: exit code 3, running tasks go back to `toprocess`, the next run completes the list.
#[test]
fn sigint_stops_in_order() {
    stops_in_order(Signal::SIGINT);
}

/// scancel: the same.
#[test]
fn sigterm_stops_in_order() {
    stops_in_order(Signal::SIGTERM);
}

/// "The job is about to end": the same.
#[test]
fn sigusr1_stops_in_order() {
    stops_in_order(Signal::SIGUSR1);
}

/// A task has the grace period to end after SIGTERM; one that ends well within it is recorded or runs again, but is
/// never lost.
#[test]
fn task_may_clean_up_within_the_grace_period() {
    let farm = Farm::local(b"trap 'echo cleaned >> cleaned; exit 1' TERM; echo >> ran; while :; do sleep 0.05; done\n");
    // Longer than the test may take: the farm does not wait for the grace period to pass.
    let mut running = farm.start(&["--grace", "600"]);
    running.wait_until("the task runs", || farm.lines("ran").len() == 1);
    processes::signal(running.pid(), Signal::SIGTERM);
    let outcome = running.wait().exits(3);
    assert_eq!(farm.lines("cleaned"), ["cleaned"]);
    assert_eq!(outcome.summary(), [0, 0, 1], "an interruption, no failure");
}

/// A task that ignores SIGTERM is killed after the grace period.
#[test]
fn stubborn_task_is_killed_after_the_grace_period() {
    let farm = Farm::local(b"trap '' TERM; echo >> ran; while :; do sleep 1; done\n");
    let mut running = farm.start(&["--grace", "1"]);
    running.wait_until("the task runs", || farm.lines("ran").len() == 1);
    processes::signal(running.pid(), Signal::SIGTERM);
    assert_eq!(running.wait().exits(3).summary(), [0, 0, 1]);
}

/// A second signal kills immediately, however long the grace period.
#[test]
fn second_signal_kills() {
    // Once it is asked to end, the task writes every 50 ms that it is still there.
    let task = b"trap 'told=yes' TERM; echo >> ran; while :; do test -n \"$told\" && echo >> told; sleep 0.05; done\n";
    let farm = Farm::local(task);
    // Longer than the test may take.
    let mut running = farm.start(&["--grace", "600"]);
    running.wait_until("the task runs", || farm.lines("ran").len() == 1);
    processes::signal(running.pid(), Signal::SIGINT);
    // Signals at the same moment may count as one: launchers forward some twice.
    running.wait_until("a second has passed since the task was told", || farm.lines("told").len() >= 20);
    processes::signal(running.pid(), Signal::SIGINT);
    assert_eq!(running.wait().exits(3).summary(), [0, 0, 1]);
}

/// What tasks leave in the background ends with the farm at the latest, and does not delay it.
#[test]
fn background_children_are_gone_at_the_end() {
    let list = b"sleep 600 & echo left one\n(sleep 600 &) ; echo left another\nnohup sleep 600 > /dev/null & \n\
        sh -c 'sleep 600 & sleep 600 & echo left two'\ntrap '' TERM; sleep 600 & echo left a stubborn one\n";
    let farm = Farm::local(list);
    // The children would stay for longer than the test may take.
    farm.run(&["--proc", "2", "--grace", "2"]).exits(0);
    assert_eq!(farm.workdir().log(0), b"left one\n");
    assert_eq!(farm.workdir().log(4), b"left a stubborn one\n");
}

/// A stop reaches everything that tasks started, not only the direct child.
#[test]
fn whole_process_groups_are_stopped() {
    let farm = Farm::local(b"sh -c 'sleep 600 & echo >> ran; sleep 600; :' & sleep 600 | cat; :\n");
    let mut running = farm.start(&["--grace", "5"]);
    running.wait_until("the task runs", || farm.lines("ran").len() == 1);
    processes::signal(running.pid(), Signal::SIGINT);
    let outcome = running.wait().exits(3);
    assert_eq!(outcome.summary(), [0, 0, 1]);
}

/// After SIGKILL of the farm its tasks die within seconds, the records and the timeline are readable, and the
/// next run completes the list.
#[test]
fn sigkill_loses_nothing() {
    let options = ["--proc", "4"];
    let farm = Farm::local(&blockers::list(QUICK, BLOCKERS));
    let mut running = farm.start(&options);
    running.wait_until("four blockers run", || blockers::blocked(&farm, QUICK) == 4);
    running.wait_until("the quick tasks are recorded", || {
        farm.workdir().bytes("finished").iter().filter(|byte| **byte == b'\n').count() == QUICK
    });
    processes::signal(running.pid(), Signal::SIGKILL);
    // Also looks for tasks that are still alive.
    let outcome = running.wait();
    assert_eq!(outcome.status.unwrap().code(), None, "died by a signal");
    let recorded = farm.workdir().recorded();
    assert_eq!(recorded.len(), QUICK, "recorded before the end");
    let timeline = farm.workdir().open_timeline();
    assert_eq!(timeline.by_task().into_keys().collect::<BTreeSet<u64>>(), recorded);
    blockers::is_completed_by_the_next_run(&farm, COUNT, &options, &recorded);
    assert_eq!(farm.workdir().timeline().by_task().len(), COUNT, "valid again, with the tasks of both runs");
}

/// A second farm on a workdir that is in use is refused and leaves it alone.
#[test]
fn workdir_in_use_is_refused() {
    let farm = Farm::local(&blockers::list(QUICK, BLOCKERS));
    let mut running = farm.start(&["--proc", "4", "--grace", "5"]);
    running.wait_until("four blockers run", || blockers::blocked(&farm, QUICK) == 4);
    farm.run(&["--proc", "4"]).refused(&["tasks.txt_workdir"]);
    processes::signal(running.pid(), Signal::SIGINT);
    running.wait().exits(3);
    let recorded = blockers::is_stopped_in_order(&farm, COUNT);
    assert_eq!(blockers::runs(&farm).len(), recorded.len() + 4, "the second farm started nothing");
}

/// Some daemons start programs that ignore the ends of their children, of which the kernel then says nothing.
#[test]
fn a_parent_that_ignores_sigchld_does_not_matter() {
    let farm =
        Farm::launched_by(["env", "--ignore-signal=CHLD"].map(Into::into).to_vec(), b"true; true\n/bin/true\nexit 3\n");
    assert_eq!(farm.run(&[]).exits(1).summary(), [2, 1, 0]);
}
