//! Stops at odd moments: see `support::moments`.

use crate::support::{Farm, moments};

/// SIGTERM before the first task.
#[test]
fn signal_during_the_start_loses_nothing() {
    moments::signal_during_the_start_loses_nothing(Farm::local, 0);
}

/// A stop in the middle of thousands of results loses none of them.
#[test]
fn stop_while_results_are_under_way() {
    moments::stop_while_results_are_under_way(Farm::local, 2, 0);
}

/// A time limit that is shorter than any task, or than the start.
#[test]
fn timeout_shorter_than_any_task() {
    moments::timeout_shorter_than_any_task(Farm::local);
}
