//! The clocks of a process.
//!
//! The cores count time from the start of their process on a clock that never steps; users read times of day.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since this clock was made, and the time of day that belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    origin_us: u64,
}

impl Clock {
    /// Starts at zero.
    #[must_use]
    pub fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_us: micros(since_1970) }
    }

    /// Time since the start; never goes back.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Microseconds since 1970 at `now`, as the system clock saw it at the start. A clock that is set while the
    /// farm runs does not bend the timeline.
    #[must_use]
    pub fn epoch_us(&self, now: Duration) -> u64 {
        self.origin_us.saturating_add(micros(now))
    }
}

/// Whole microseconds.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
