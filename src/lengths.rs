//! Lengths of time in microseconds, as they are sent and stored, and how long tasks take, in constant memory.
//!
//! Owns a histogram whose bins grow with the length: a value is accurate to 3 %, whether it is a millisecond or a
//! month. Pure: the farmer core uses it for decisions.

use std::time::Duration;

/// Bins per factor of two, as a power of two.
const FINENESS: u32 = 5;

/// Bins per factor of two.
const PER_OCTAVE: u64 = 1 << FINENESS;

/// No length counts as longer than this many microseconds: 36 years.
const LENGTH_MAX: u64 = 1 << 50;

/// Whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Many lengths, in microseconds.
#[derive(Clone, Default, Debug)]
pub struct Lengths {
    /// The number of lengths in each bin; the list stays short while all lengths are short.
    bins: Vec<u64>,
    count: u64,
    sum_us: u64,
    min_us: u64,
    max_us: u64,
}

/// The bin of a length: exact below 2 × [`PER_OCTAVE`], then [`PER_OCTAVE`] bins per factor of two.
fn bin_of(us: u64) -> usize {
    let shift = us.max(1).ilog2().saturating_sub(FINENESS);
    usize::try_from(u64::from(shift) * PER_OCTAVE + (us >> shift)).expect("below 2,000")
}

/// The shortest length of a bin.
fn start_of(bin: usize) -> u64 {
    let bin = bin as u64;
    let shift = (bin / PER_OCTAVE).saturating_sub(1);
    (bin - shift * PER_OCTAVE) << shift
}

impl Lengths {
    /// Counts one length.
    pub fn add(&mut self, us: u64) {
        self.add_many(us, 1);
    }

    /// Counts several of the same length.
    pub fn add_many(&mut self, us: u64, count: u64) {
        let us = us.min(LENGTH_MAX);
        let bin = bin_of(us);
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += count;
        self.min_us = if self.count == 0 { us } else { self.min_us.min(us) };
        self.max_us = self.max_us.max(us);
        self.count += count;
        self.sum_us = self.sum_us.saturating_add(us.saturating_mul(count));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The shortest, in microseconds; 0 if there is none.
    pub fn min_us(&self) -> u64 {
        self.min_us
    }

    /// The longest, likewise.
    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// The length that this percentage (0 to 100) of all do not exceed, in microseconds, accurate to 3 %; 0 if there
    /// are none.
    pub fn percentile_us(&self, percent: u8) -> u64 {
        let rank = self.count.saturating_mul(percent.into()).div_ceil(100).max(1);
        let mut seen = 0;
        for (us, count) in self.bins() {
            seen += count;
            if seen >= rank {
                return us;
            }
        }
        self.max_us
    }

    /// The number of lengths at which a figure is worth updating: an eighth more. That is so rare that it costs tasks
    /// nothing.
    pub fn next_look(&self) -> u64 {
        self.count + (self.count / 8).max(1)
    }

    /// The bins that are not empty, by length: the middle of each, and how many are in it.
    pub fn bins(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.bins.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, count)| {
            let middle = start_of(bin).midpoint(start_of(bin + 1) - 1);
            (middle.clamp(self.min_us, self.max_us), *count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The figures in the summary of many tasks.
    #[test]
    fn percentiles_are_near() {
        let mut lengths = Lengths::default();
        (1..=10_000).for_each(|ms| lengths.add(ms * 1_000));
        for (percent, expected) in [(50, 5_000_000.0), (95, 9_500_000.0), (0, 1_000.0), (100, 10_000_000.0)] {
            let found = lengths.percentile_us(percent) as f64;
            assert!((found / expected - 1.0).abs() < 0.03, "{percent}: {found}");
        }
        assert_eq!((lengths.min_us(), lengths.max_us(), lengths.count()), (1_000, 10_000_000, 10_000));
        assert_eq!(lengths.sum_us(), 10_000 * 10_001 / 2 * 1_000);
        assert_eq!(Lengths::default().percentile_us(50), 0);
    }

    /// A bin is represented by its middle, but never by more or less than the actual lengths.
    #[test]
    fn a_bin_stands_for_its_middle() {
        let mut lengths = Lengths::default();
        [1, 64, 65, 256, 263, 995].into_iter().for_each(|us| lengths.add(us));
        let bins: Vec<_> = lengths.bins().collect();
        assert_eq!(bins, [(1, 1), (64, 2), (259, 2), (995, 1)]);
    }

    /// Frequent at the start, when an update changes much, and rare later.
    #[test]
    fn looks_become_seldom() {
        let looks = [0, 1, 15, 16, 80_000].map(|count| {
            let mut lengths = Lengths::default();
            lengths.add_many(1, count);
            lengths.next_look()
        });
        assert_eq!(looks, [1, 2, 16, 18, 90_000]);
    }

    proptest! {
        /// Every length has a bin that contains it, and a month-long task costs no more memory than a few thousand
        /// bins.
        #[test]
        fn a_bin_holds_its_lengths(us in 0..LENGTH_MAX) {
            let bin = bin_of(us);
            prop_assert!(start_of(bin) <= us && us < start_of(bin + 1), "{us} in {bin}");
            prop_assert!(bin < 2_000);
            let width = start_of(bin + 1) - start_of(bin);
            prop_assert!(width == 1 || width as f64 <= us as f64 / 31.0);
        }

        /// Promise 5: any lengths, and any number of them.
        #[test]
        fn any_lengths_are_counted(all: Vec<(u64, u32)>, percent: u8) {
            let mut lengths = Lengths::default();
            all.iter().for_each(|&(us, count)| lengths.add_many(us, u64::from(count)));
            prop_assert!((lengths.min_us()..=lengths.max_us()).contains(&lengths.percentile_us(percent)));
        }

        /// Percentiles are those of the sorted lengths, as accurate as the bins allow.
        #[test]
        fn percentiles_are_right(mut all in prop::collection::vec(0_u64..10_000_000, 1..60), percent in 1_u8..=100) {
            let mut lengths = Lengths::default();
            all.iter().for_each(|&us| lengths.add(us));
            all.sort_unstable();
            let expected = all[(all.len() * usize::from(percent)).div_ceil(100) - 1];
            prop_assert!(lengths.percentile_us(percent).abs_diff(expected) * 60 <= expected);
        }
    }
}
