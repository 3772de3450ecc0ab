//! Tasks that take down their pool, and pools that are stopped, on several ranks.

use crate::support::{Farm, poison};

fn farm(list: &[u8]) -> Farm {
    Farm::mpi(3, list)
}

/// A task that kills its pool affects no more ranks than necessary: it fails, all others finish, no rank is given up.
#[test]
fn a_task_kills_its_pool() {
    poison::kills_its_pool(farm);
}

/// A task that stops its pool does not hold up the farm, wherever it runs.
#[test]
fn a_task_stops_its_pool() {
    poison::stops_its_pool(farm);
}

/// The pool of a rank is stopped from outside, including that of rank 0.
#[test]
fn a_pool_is_stopped() {
    for rank in [0, 1] {
        poison::is_stopped(farm, rank);
    }
}
