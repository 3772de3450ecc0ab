//! Random farms: as many seeds as CI has time for.

use super::{SEED_VARIABLE, try_seed};

/// Seeds per test; `TASKFARMER_SEEDS` overrides the number.
fn seeds() -> u64 {
    std::env::var("TASKFARMER_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

fn run(from: u64) {
    if let Some(seed) = std::env::var(SEED_VARIABLE).ok().and_then(|text| text.parse().ok()) {
        let result = try_seed(seed, from == 0);
        assert!(result.is_ok(), "{}", result.unwrap_err());
        return;
    }
    for seed in from..from + seeds() {
        let result = try_seed(seed, false);
        assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

/// Promises 1 to 5, whatever fails in whatever order: the first half of CI's seeds.
#[test]
fn random_farms_keep_their_promises() {
    run(0);
}

/// The second half, so that two cores have work.
#[test]
fn more_random_farms_keep_their_promises() {
    run(1_000_000);
}
