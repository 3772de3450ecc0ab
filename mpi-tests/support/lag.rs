//! How much this machine lags.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(20);

/// Measures, from now on, how much longer than requested it sleeps: on a busy machine everything that waits for a CPU
/// is late by that much, and a time that is promised for a dedicated node must be extended by it.
pub(crate) struct Lag {
    started: Instant,
    late_us: Arc<AtomicU64>,
}

impl Lag {
    pub(crate) fn watch() -> Self {
        let late_us = Arc::new(AtomicU64::new(0));
        let book = Arc::downgrade(&late_us);
        std::thread::spawn(move || {
            // Until the result is no longer needed.
            loop {
                let begin = Instant::now();
                std::thread::sleep(STEP);
                let Some(late_us) = book.upgrade() else { return };
                let late = begin.elapsed().saturating_sub(STEP);
                late_us.fetch_add(u64::try_from(late.as_micros()).unwrap(), Ordering::Relaxed);
            }
        });
        Self { started: Instant::now(), late_us }
    }

    /// Makes sure that no more than this time has passed since the watch began, not counting the lag.
    #[track_caller]
    pub(crate) fn is_within(&self, limit: Duration, what: &str) {
        let (took, late) = (self.started.elapsed(), Duration::from_micros(self.late_us.load(Ordering::Relaxed)));
        println!("{what} took {took:?}; this machine is {late:?} late");
        // Several processes, one after another, may have waited.
        assert!(took < limit + 4 * late, "{what} took {took:?}, with this machine {late:?} late");
    }
}
