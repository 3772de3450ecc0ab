//! What tasks have used: slots, CPUs, memory.
//!
//! Owns the sum over attempts and how it reads. Every attempt that ran counts, including one that a stop has cut short:
//! it did use this much.

use serde::{Deserialize, Serialize};

use super::words;
use crate::farmer::{Cause, Record};

/// What attempts have used so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// How long they had their slots in total, in microseconds.
    pub busy_us: u64,
    /// CPU time, user and system, in microseconds.
    pub cpu_us: u64,
    /// The largest resident set of any process, in KiB, and its task.
    pub peak: Option<(u64, u32)>,
}

impl Usage {
    /// What one attempt has used: `length_us` and `cpu_us` in microseconds, `max_rss_kib` in KiB (0: not known).
    pub fn of(id: u32, length_us: u64, cpu_us: u64, max_rss_kib: u64) -> Self {
        Self { busy_us: length_us, cpu_us, peak: (max_rss_kib > 0).then_some((max_rss_kib, id)) }
    }

    /// Adds what others have used. Of two equal peaks, the first one is kept.
    pub fn add(&mut self, other: Self) {
        self.busy_us = self.busy_us.saturating_add(other.busy_us);
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        let kib = |peak: Option<(u64, u32)>| peak.map_or(0, |(kib, _)| kib);
        if kib(other.peak) > kib(self.peak) {
            self.peak = other.peak;
        }
    }
}

impl From<&Record> for Usage {
    fn from(record: &Record) -> Self {
        // An attempt that was lost with its rank has used something, but it is not known how much.
        if record.cause == Cause::Lost {
            return Self::default();
        }
        let result = &record.result;
        let cpu_us = result.user_us.saturating_add(result.system_us);
        Self::of(result.id.0, result.duration_us, cpu_us, result.max_rss_kib)
    }
}

/// What attempts of tasks have used, including those that a stop has cut short.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageFigures {
    /// CPU time, user and system, in seconds.
    pub cpu_s: f64,
    /// How long they had their slots in total, in seconds.
    pub busy_s: f64,
    /// The largest resident set of any process, in KiB; 0 if that is not known.
    pub peak_kib: u64,
    /// The task with that peak.
    pub peak_id: Option<u32>,
}

impl From<Usage> for Option<UsageFigures> {
    fn from(usage: Usage) -> Self {
        (usage != Usage::default()).then(|| UsageFigures {
            cpu_s: usage.cpu_us as f64 / 1e6,
            busy_s: usage.busy_us as f64 / 1e6,
            peak_kib: usage.peak.map_or(0, |(kib, _)| kib),
            peak_id: usage.peak.map(|(_, id)| id),
        })
    }
}

impl UsageFigures {
    /// `CPU time: 1:02:03 h, 93.1% of the time that tasks ran; peak memory: 3.1 GiB (task 26)`.
    pub(super) fn line(&self) -> String {
        let mut line = format!("CPU time: {}", words::length(self.cpu_s));
        if self.busy_s > 0.0 {
            line += &format!(", {:.1}% of the time that tasks ran", self.cpu_s / self.busy_s * 100.0);
        }
        if let Some(id) = self.peak_id {
            line += &format!("; peak memory: {} (task {id})", words::memory(self.peak_kib));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums are sums, and the peak is that of the task that reached it first.
    #[test]
    fn use_is_summed_and_the_peak_is_named() {
        let mut usage = Usage::default();
        for (id, kib) in [(3, 0), (4, 900), (5, 2_000), (6, 2_000), (7, 10)] {
            usage.add(Usage::of(id, 1_000, 400, kib));
        }
        assert_eq!(usage, Usage { busy_us: 5_000, cpu_us: 2_000, peak: Some((2_000, 5)) });
        usage.add(Usage::of(8, u64::MAX, u64::MAX, 1));
        assert_eq!((usage.busy_us, usage.cpu_us), (u64::MAX, u64::MAX));
    }
    /// What was used is one line; what is not known is left out of it.
    #[test]
    fn use_is_one_line() {
        let line_of = |usage: Usage| Option::<UsageFigures>::from(usage).map(|usage| usage.line());
        let mut usage = Usage::of(26, 4_000_000_000, 3_724_000_000, 3_250_000);
        let line = "CPU time: 1 h 2 min, 93.1% of the time that tasks ran; peak memory: 3.1 GiB (task 26)";
        assert_eq!(line_of(usage).unwrap(), line);
        (usage.busy_us, usage.peak) = (0, None);
        assert_eq!(line_of(usage).unwrap(), "CPU time: 1 h 2 min");
        assert_eq!(line_of(Usage::default()), None, "nothing is known");
    }
}
