//! How long tasks take: their lengths so far, in constant memory.
//!
//! Owns a histogram of 32 steps per doubling, so that a quantile is right to about 3 %.

/// Steps per doubling, as a power of two.
const STEP_BITS: u32 = 5;
const STEPS: u64 = 1 << STEP_BITS;

/// No length is taken for longer than this many microseconds: twelve days.
const LENGTH_MAX: u64 = 1 << 40;

/// Lengths of tasks.
#[derive(Debug)]
pub struct Lengths {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Lengths {
    fn default() -> Self {
        Self { counts: vec![0; index(LENGTH_MAX) + 1], total: 0 }
    }
}

/// The step of a length: one per microsecond up to `STEPS`, then `STEPS` per doubling.
fn index(us: u64) -> usize {
    let us = us.min(LENGTH_MAX);
    let doublings = (u64::BITS - us.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let step = (us >> doublings) & (STEPS * 2 - 1);
    usize::try_from(u64::from(doublings) * STEPS + step).expect("some hundred")
}

/// The middle of a step.
fn length(index: usize) -> u64 {
    let index = index as u64;
    let doublings = (index / STEPS).saturating_sub(1);
    let step = index - doublings * STEPS;
    (step << doublings) + (1 << doublings) / 2
}

impl Lengths {
    /// Takes in the length of a task, in microseconds.
    pub fn add(&mut self, us: u64) {
        self.counts[index(us)] += 1;
        self.total += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// A length in microseconds that this part of all does not exceed, `part` of `whole`; 0 if there are none.
    #[must_use]
    pub fn quantile(&self, part: u64, whole: u64) -> u64 {
        let rank = (self.total * part).div_ceil(whole);
        let mut seen = 0;
        let found = self.counts.iter().position(|&count| {
            seen += count;
            seen >= rank && seen > 0
        });
        found.map_or(0, length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every length has a step, in order, and its middle is within 2 % of it.
    #[test]
    fn steps_cover_all_lengths() {
        for us in (0..5_000).chain((5..40).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1])) {
            assert!(index(us) <= index(us + 1) && index(us + 1) <= index(us) + 1, "{us}");
            let middle = length(index(us));
            assert!(middle.abs_diff(us) * 60 <= us, "{us} is taken for {middle}");
        }
        assert_eq!(index(u64::MAX), index(LENGTH_MAX));
    }

    /// Nothing is known of no tasks.
    #[test]
    fn no_tasks_have_no_length() {
        assert_eq!((Lengths::default().quantile(1, 2), Lengths::default().count()), (0, 0));
    }

    proptest! {
        /// Quantiles are those of the sorted lengths, as exactly as the steps allow.
        #[test]
        fn quantiles_are_right(lengths in prop::collection::vec(0_u64..10_000_000, 1..60), part in 1_u64..=20) {
            let mut all = Lengths::default();
            lengths.iter().for_each(|&us| all.add(us));
            let mut sorted = lengths;
            sorted.sort_unstable();
            let rank = (sorted.len() as u64 * part).div_ceil(20);
            let expected = sorted[usize::try_from(rank).unwrap() - 1];
            prop_assert!(all.quantile(part, 20).abs_diff(expected) * 60 <= expected);
        }
    }
}
