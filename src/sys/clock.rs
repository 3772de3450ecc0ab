//! The clocks of a process.
//!
//! The cores count time from the start of their process on a clock that never steps; users read times of day.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::lengths::micros;

/// Time since this clock was created, and the corresponding time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    origin_us: u64,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Self {
        Self { origin: Instant::now(), origin_us: micros(since_1970()) }
    }

    /// Time since the start; never goes back.
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Microseconds since 1970 at `now`, as the system clock saw it at the start. If the system clock is set while the
    /// farm runs, the timeline is not affected.
    pub fn epoch_us(&self, now: Duration) -> u64 {
        self.origin_us.saturating_add(micros(now))
    }
}

/// The time of day, as time since 1970; zero if the system clock is set to an earlier time.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// CPU time that this thread has used. It shows what something costs, and not how long other processes or a slow disk
/// delayed it. Zero where the system does not report it.
pub(crate) fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work counts, waiting does not.
    #[test]
    fn cpu_time_is_that_of_work() {
        let start = thread_cpu_time();
        std::thread::sleep(Duration::from_millis(200));
        let waited = thread_cpu_time() - start;
        assert!(waited < Duration::from_millis(100), "{waited:?}");
        while thread_cpu_time() - start < Duration::from_millis(150) {}
    }
}
