//! Tasks that do not end when they are asked to: see `support::stubborn`. Ranks other than the farmer's are signaled.

use nix::sys::signal::Signal;

use crate::support::{Farm, stubborn};

fn farm(list: &[u8]) -> Farm {
    Farm::mpi(3, list)
}

/// Tasks that ignore SIGTERM are killed after the grace period.
#[test]
fn tasks_that_ignore_sigterm_are_killed() {
    stubborn::tasks_that_ignore_sigterm_are_killed(farm, 6, 1);
}

/// A second signal within the grace period kills immediately.
#[test]
fn second_signal_kills_immediately() {
    stubborn::second_signal_kills_immediately(farm, 6, 1);
}

/// A task under SIGSTOP is woken so that it can end.
#[test]
fn stopped_tasks_are_ended() {
    stubborn::stopped_tasks_are_ended(farm, 6, 1);
}

/// SIGTERM to all processes while fifty tasks run: none of them has failed.
#[test]
fn sigterm_to_everybody_fails_none_of_fifty_tasks() {
    stubborn::fifty_tasks_are_interrupted(farm, &["--proc", "17"], 51, Signal::SIGTERM);
}

/// SIGUSR1 to all processes, the early warning of batch systems, which ends most programs: likewise.
#[test]
fn sigusr1_to_everybody_fails_none_of_fifty_tasks() {
    stubborn::fifty_tasks_are_interrupted(farm, &["--proc", "17"], 51, Signal::SIGUSR1);
}

/// Processes that left their task's group and session end with the farm.
#[test]
fn daemons_end_with_their_tasks() {
    stubborn::daemons_end_with_their_tasks(farm);
}

/// They end with a farm that is stopped.
#[test]
fn daemons_end_with_a_stop() {
    stubborn::daemons_end_with_a_stop(farm, 12, 1);
}

/// They end with a farm that is killed.
#[test]
fn daemons_end_with_a_killed_farm() {
    stubborn::daemons_end_with_a_killed_farm(farm, 12);
}

/// Processes that left their task end with their pool when that is killed, and their tasks run again.
#[test]
fn daemons_end_with_a_killed_pool() {
    stubborn::daemons_end_with_a_killed_pool(farm, 12);
}

/// Processes that left their task end with the farm when all nurseries and pools are killed.
#[test]
fn daemons_end_with_a_killed_nursery() {
    stubborn::daemons_end_with_a_killed_nursery(farm, 12);
}

/// They end when MPI processes and pools are killed together.
#[test]
fn daemons_end_with_killed_ranks_and_pools() {
    stubborn::daemons_end_with_killed_ranks_and_pools(farm, 12);
}
