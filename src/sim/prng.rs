//! The only source of randomness: a seed gives the same run on every machine, forever.

use std::ops::RangeInclusive;
use std::time::Duration;

/// SplitMix64: eight bytes of state, and good enough for drawing faults.
#[derive(Clone, Default, Debug)]
pub struct Prng(u64);

impl Prng {
    /// A generator that always draws the same after the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A separate generator for one part of the world, so that parts do not affect each other.
    pub fn fork(&mut self) -> Self {
        Self(self.bits())
    }

    /// A number from the range, uniformly distributed.
    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        match (end - start).checked_add(1) {
            Some(count) => start + self.bits() % count,
            None => self.bits(),
        }
    }

    /// As [`Self::range`].
    pub fn range_u32(&mut self, range: RangeInclusive<u32>) -> u32 {
        let (start, end) = range.into_inner();
        u32::try_from(self.range(start.into()..=end.into())).expect("within u32")
    }

    /// A number from the range; each order of magnitude is equally likely.
    pub fn log_range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        let (low, high) = ((start.max(1) as f64).ln(), (end.max(1) as f64).ln());
        ((low + self.unit() * (high - low)).exp() as u64).clamp(start, end)
    }

    /// As [`Self::log_range`], in microseconds.
    pub fn duration(&mut self, us: RangeInclusive<u64>) -> Duration {
        Duration::from_micros(self.log_range(us))
    }

    /// A number from 0 to less than 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that does so in `permille` of 1,000 cases.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.range(0..=999) < u64::from(permille)
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.bits() % from.len() as u64).expect("less than a usize")]
    }
}
