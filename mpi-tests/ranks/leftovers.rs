//! Tasks that consist of more than their first process: see `support::leftovers`. Here the next attempt goes to a
//! different rank.

use crate::support::{Farm, leftovers};

fn farm(list: &[u8]) -> Farm {
    Farm::mpi(3, list)
}

/// Promise 4: no line of attempt 2 before the last one of attempt 1, on whatever rank.
#[test]
fn attempts_do_not_overlap() {
    leftovers::attempts_do_not_overlap(farm);
}

/// Everything that a task has started has the whole grace period.
#[test]
fn the_grace_period_is_for_all() {
    leftovers::the_grace_period_is_for_all(farm, 6);
}
