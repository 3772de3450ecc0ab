//! Stops at odd moments: see `support::moments`.

use crate::support::{Farm, moments};

fn farm(list: &[u8]) -> Farm {
    Farm::mpi(3, list)
}

/// SIGTERM before the first task, and while MPI starts, to the farmer.
#[test]
fn signal_during_the_start_loses_nothing() {
    moments::signal_during_the_start_loses_nothing(farm, 0);
}

/// The same with a signal to a different rank.
#[test]
fn signal_to_a_relay_during_the_start_loses_nothing() {
    moments::signal_during_the_start_loses_nothing(farm, 1);
}

/// A stop in the middle of thousands of results loses none of them.
#[test]
fn stop_while_results_are_under_way() {
    moments::stop_while_results_are_under_way(farm, 6, 1);
}

/// A time limit that is shorter than any task, or than the start.
#[test]
fn timeout_shorter_than_any_task() {
    moments::timeout_shorter_than_any_task(farm);
}
