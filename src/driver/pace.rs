//! How long an MPI process may wait before it looks for messages again.
//!
//! MPI has no descriptor to wait on, so its messages are found by looking. Looking costs CPU time that belongs to
//! tasks, waiting costs latency; for the measured costs, see docs/performance.md, "Idle ranks".

use std::time::Duration;

/// After traffic, look again immediately for this long: an answer is probably near.
const SPIN: Duration = Duration::from_micros(30);

/// Then wait a quarter of the quiet time so far, from here …
const PAUSE_MIN: Duration = Duration::from_micros(50);

/// … to here: half a percent of a core.
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// After this much quiet, nothing is expected anymore.
const QUIET: Duration = Duration::from_secs(2);

/// The pause after that: a quarter percent of a core.
const PAUSE_QUIET: Duration = Duration::from_millis(20);

/// The pace of one loop.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last_traffic: Duration,
}

impl Pace {
    /// Something was sent or received.
    pub(crate) fn on_traffic(&mut self, now: Duration) {
        self.last_traffic = now;
    }

    /// The longest wait from now on.
    pub(crate) fn pause(&self, now: Duration) -> Duration {
        let quiet = now.saturating_sub(self.last_traffic);
        if quiet < SPIN {
            Duration::ZERO
        } else if quiet < QUIET {
            (quiet / 4).clamp(PAUSE_MIN, PAUSE_MAX)
        } else {
            PAUSE_QUIET
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Busy in traffic, cheap in quiet.
    #[test]
    fn the_pause_grows_with_the_quiet() {
        let mut pace = Pace::default();
        let start = Duration::from_secs(9);
        pace.on_traffic(start);
        let pauses: Vec<_> = [0, 50, 1_000, 20_000, 1_000_000, 3_000_000]
            .iter()
            .map(|us| pace.pause(start + Duration::from_micros(*us)))
            .collect();
        assert!(pauses.is_sorted());
        assert_eq!((pauses[0], pauses[4], pauses[5]), (Duration::ZERO, PAUSE_MAX, PAUSE_QUIET));
    }
}
