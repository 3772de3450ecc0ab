//! Failures, reported as they happen.
//!
//! Owns how many of them are reported, so that ten thousand failing tasks do not fill a screen or the log of a batch
//! job: a few in a row, then a line now and then for all failures since the last line. The summary groups and explains
//! them.

use std::path::Path;
use std::time::Duration;

use crate::failures::Logs;
use crate::figures::tally::{End, Failure, Tally};
use crate::figures::words;

/// This many are reported in a row.
const ROW_MAX: u32 = 5;

/// After each pause, one more may be reported.
const PAUSE: Duration = Duration::from_secs(10);

/// What was reported, and what may be reported next.
#[derive(Debug)]
pub(super) struct Failures {
    /// The number of failures in the tally at the last look.
    seen: u64,
    /// Failures since the last one that was reported.
    untold: u64,
    allowed: u32,
    /// When the allowance was last updated.
    since: Duration,
}

impl Failures {
    /// The start of a run.
    pub(super) fn new(now: Duration) -> Self {
        Self { seen: 0, untold: 0, allowed: ROW_MAX, since: now }
    }

    /// The lines to print for what has failed since the last look. `workdir` is as the user typed it.
    pub(super) fn look(&mut self, now: Duration, workdir: &Path, tally: &Tally) -> Vec<String> {
        let pauses = u32::try_from((now - self.since).as_secs() / PAUSE.as_secs()).unwrap_or(ROW_MAX);
        self.since += PAUSE * pauses;
        self.allowed = self.allowed.saturating_add(pauses).min(ROW_MAX);
        let new = tally.failed - self.seen;
        let mut lines = Vec::new();
        // For one look only: an index that is written in the meantime is read again.
        let mut logs = Logs::of(workdir);
        if self.untold > 0 {
            self.untold += new;
            if self.allowed > 0 {
                lines.push(format!("{} failed", words::counted(self.untold, "more task")));
                (self.untold, self.allowed) = (0, self.allowed - 1);
            }
        } else if new > 0 {
            // For failures that the tally does not remember one by one, only the number is known.
            let known = tally.failures.iter().skip(usize::try_from(self.seen).unwrap_or(usize::MAX));
            lines.extend(known.take(self.allowed as usize).map(|failure| line(failure, &mut logs)));
            let told = u32::try_from(lines.len()).unwrap_or(self.allowed);
            (self.untold, self.allowed) = (new - u64::from(told), self.allowed - told);
        }
        self.seen = tally.failed;
        lines
    }
}

/// `task 26 failed (exit 1): ValueError: bad; output: w/logs/log_26`.
fn line(failure: &Failure, logs: &mut Logs<'_>) -> String {
    let Failure { id, end, .. } = failure;
    let (said, place) = match end {
        End::NotStarted(why) | End::Unkept(why) => (why.to_string(), String::new()),
        _ => logs.last_line_and_place(*id),
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let place = if place.is_empty() { String::new() } else { format!("; output: {place}") };
    format!("task {id} failed ({end}){said}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(tally: &mut Tally, ids: std::ops::Range<u32>) {
        ids.for_each(|id| tally.add_failure(Failure { id, rank: Some(0), end: End::Exit(3), max_rss_kib: 0 }));
    }

    /// The first failures are reported immediately, with what they wrote and where that is; a flood of them gets a line
    /// now and then.
    #[test]
    fn a_flood_is_a_line_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        std::fs::write(folder.path().join("logs/log_0"), "begin\nValueError: bad\n\n").unwrap();
        let (mut failures, mut tally) = (Failures::new(Duration::ZERO), Tally::default());
        let mut look = |seconds, tally: &Tally| failures.look(Duration::from_secs(seconds), folder.path(), tally);
        assert!(look(1, &tally).is_empty());
        fail(&mut tally, 0..2);
        let place = folder.path().join("logs/log_0");
        let first = format!("task 0 failed (exit 3): ValueError: bad; output: {}", place.display());
        assert_eq!(look(2, &tally), [first, "task 1 failed (exit 3)".to_owned()]);
        fail(&mut tally, 2..30_000);
        assert_eq!(look(3, &tally).len(), 3);
        assert!(look(9, &tally).is_empty());
        assert_eq!(look(10, &tally), ["29,995 more tasks failed"]);
        assert!(look(30, &tally).is_empty());
        fail(&mut tally, 30_000..30_001);
        // The tally does not remember it, but counts it.
        assert!(look(31, &tally).is_empty());
        assert_eq!(look(32, &tally), ["1 more task failed"]);
    }
}
