//! Stops in the middle, on any rank: exit code 3, nothing lost, and the next run completes the list.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;

use crate::support::{Farm, Mpi, blockers, processes};

const RANKS: u32 = 3;
const SLOTS: usize = 2;
const QUICK: usize = 10;
const BLOCKERS: usize = 20;
const COUNT: usize = QUICK + BLOCKERS;

fn farm() -> Farm {
    Farm::mpi(RANKS, &blockers::list(QUICK, BLOCKERS))
}

/// Sends a signal to a rank's MPI process once all slots of all ranks are blocked.
#[track_caller]
fn signal_stops_the_farm(rank: u32, signal: Signal) {
    // The tasks end when asked to: the grace period, which is longer than the test may take, is not waited for.
    let options = ["--proc", "2", "--grace", "600"];
    let farm = farm();
    let mut running = farm.start(&options);
    let slots = RANKS as usize * SLOTS;
    running.wait_until("every slot is blocked", || blockers::blocked(&farm, QUICK) == slots);
    processes::signal(running.rank(rank), signal);
    let outcome = running.wait().exits(3);
    let recorded = blockers::is_stopped_in_order(&farm, COUNT);
    assert_eq!(outcome.summary(), [recorded.len() as u64, 0, (COUNT - recorded.len()) as u64]);
    assert_eq!(farm.workdir().timeline().by_task().len(), recorded.len(), "valid, with the completed tasks");
    blockers::is_completed_by_the_next_run(&farm, COUNT, &options, &recorded);
}

/// SIGINT at the farmer.
#[test]
fn sigint_at_rank_0() {
    signal_stops_the_farm(0, Signal::SIGINT);
}

/// SIGTERM at the farmer.
#[test]
fn sigterm_at_rank_0() {
    signal_stops_the_farm(0, Signal::SIGTERM);
}

/// SIGUSR1 at the farmer.
#[test]
fn sigusr1_at_rank_0() {
    signal_stops_the_farm(0, Signal::SIGUSR1);
}

/// SIGINT at a worker.
#[test]
fn sigint_at_a_worker() {
    signal_stops_the_farm(1, Signal::SIGINT);
}

/// SIGTERM at a worker.
#[test]
fn sigterm_at_a_worker() {
    signal_stops_the_farm(2, Signal::SIGTERM);
}

/// SIGUSR1 at a worker.
#[test]
fn sigusr1_at_a_worker() {
    signal_stops_the_farm(1, Signal::SIGUSR1);
}

/// SIGTERM to the launcher, which Open MPI's follows up with SIGKILL within a second: the farm closes its files in that
/// time, whatever its tasks are doing. Other launchers let tasks save their state. The launcher's exit code is not a
/// success, although MPICH 4.0's is occasionally 0.
#[test]
fn sigterm_at_the_launcher() {
    const SAVES: &str = "trap 'sleep 2; echo >> saved; exit 1' TERM; echo >> ran; while :; do sleep 0.05; done\n";
    let farm = Farm::mpi(RANKS, SAVES.repeat(COUNT).as_bytes());
    let mut running = farm.start(&["--proc", "2", "--grace", "60"]);
    let slots = RANKS as usize * SLOTS;
    running.wait_until("every slot is taken", || farm.lines("ran").len() == slots);
    processes::signal(running.pid(), Signal::SIGTERM);
    let outcome = running.wait();
    if Mpi::of_program() != Mpi::Mpich {
        assert_ne!(outcome.status.unwrap().code(), Some(0));
    }
    outcome.was_own_code(3);
    assert_eq!(farm.workdir().toprocess().len(), COUNT);
    assert!(farm.workdir().recorded().is_empty());
    let saved = if Mpi::of_program() == Mpi::OpenMpi { 0 } else { slots };
    assert_eq!(farm.lines("saved").len(), saved, "tasks that had their grace period");
}

/// A batch system signals all processes: ranks and tasks. Tasks that die of it are interrupted, not failed.
#[test]
fn signal_to_everybody_fails_no_task() {
    let options = ["--proc", "2", "--grace", "5"];
    let farm = farm();
    let mut running = farm.start(&options);
    let slots = RANKS as usize * SLOTS;
    running.wait_until("every slot is blocked", || blockers::blocked(&farm, QUICK) == slots);
    // Tasks first: their deaths are known before the cause.
    let (ranks, others): (Vec<_>, Vec<_>) = running.processes().into_iter().partition(processes::Process::is_ours);
    let is_task = |process: &&processes::Process| process.variable("TASKFARMER_TASK_ID").is_some();
    for process in others.iter().filter(is_task).chain(&ranks) {
        processes::signal(process.pid, Signal::SIGTERM);
    }
    // Both MPI processes and pools were signaled; the summary is checked by the next two.
    let outcome = running.wait().exits(3);
    assert_eq!(outcome.summary()[1], 0, "failed");
    let recorded = blockers::is_stopped_in_order(&farm, COUNT);
    blockers::is_completed_by_the_next_run(&farm, COUNT, &options, &recorded);
}

/// `--timeout`: exit code 3, then the next run completes the list.
#[test]
fn timeout_stops_and_the_next_run_completes() {
    let options = ["--proc", "2", "--timeout", "2", "--grace", "600"];
    let farm = farm();
    let outcome = farm.run(&options).exits(3);
    let recorded = blockers::is_stopped_in_order(&farm, COUNT);
    assert_eq!(recorded, (0..QUICK as u64).collect::<BTreeSet<u64>>(), "the quick tasks are recorded");
    assert_eq!(outcome.summary(), [QUICK as u64, 0, BLOCKERS as u64]);
    blockers::is_completed_by_the_next_run(&farm, COUNT, &["--proc", "2"], &recorded);
}

/// After SIGKILL of everything but tasks and launcher, pools end their tasks; the next run completes the list.
#[test]
fn sigkill_of_the_farmer_loses_nothing() {
    let options = ["--proc", "2"];
    let farm = farm();
    let mut running = farm.start(&options);
    let slots = RANKS as usize * SLOTS;
    running.wait_until("every slot is blocked", || blockers::blocked(&farm, QUICK) == slots);
    processes::signal(running.rank(0), Signal::SIGKILL);
    // Also looks for processes that are still alive. The exit code is the launcher's, and MPICH's can be 0.
    let outcome = running.wait();
    if Mpi::of_program() != Mpi::Mpich {
        assert_ne!(outcome.status.unwrap().code(), Some(0));
    }
    outcome.was_own_code(4);
    let recorded = farm.workdir().recorded();
    farm.workdir().open_timeline().by_task();
    blockers::is_completed_by_the_next_run(&farm, COUNT, &options, &recorded);
}
