//! Reads `tasks.tsv` as strictly as its format is promised.

use std::collections::BTreeMap;

use super::{Outcome, Workdir};

pub(crate) const HEADER: &str =
    "id\tattempt\trank\thost\tslot\tstart\tend\texit\tsignal\tuser\tsystem\tmax_rss_kib\twhy\tcommand";

/// A line of `tasks.tsv`: one attempt of a task.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) attempt: u64,
    pub(crate) rank: u64,
    pub(crate) host: String,
    /// `None`, like all times, for an attempt that was lost.
    pub(crate) slot: Option<u64>,
    pub(crate) start: Option<f64>,
    pub(crate) end: Option<f64>,
    pub(crate) exit: Option<u8>,
    pub(crate) signal: Option<u8>,
    pub(crate) user: Option<f64>,
    pub(crate) system: Option<f64>,
    pub(crate) max_rss_kib: Option<u64>,
    pub(crate) why: String,
    pub(crate) command: String,
}

impl Attempt {
    /// Attempt, why, and exit code or signal.
    pub(crate) fn short(&self) -> (u64, &str, Option<u8>, Option<u8>) {
        (self.attempt, &self.why, self.exit, self.signal)
    }
}

impl Workdir {
    /// All attempts, in the order in which they were written.
    #[track_caller]
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        let bytes = self.bytes("tasks.tsv");
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\n').unwrap_or_else(|| panic!("tasks.tsv has no end:\n{text}"));
        let mut lines = text.split('\n');
        assert_eq!(lines.next(), Some(HEADER), "the first line of tasks.tsv");
        lines.map(|line| parsed(line).unwrap_or_else(|| panic!("not an attempt: {line:?}"))).collect()
    }

    /// The attempts of each task.
    #[track_caller]
    pub(crate) fn attempts_by_task(&self) -> BTreeMap<u64, Vec<Attempt>> {
        let mut tasks: BTreeMap<u64, Vec<Attempt>> = BTreeMap::new();
        for attempt in self.attempts() {
            tasks.entry(attempt.id).or_default().push(attempt);
        }
        tasks
    }
}

fn parsed(line: &str) -> Option<Attempt> {
    let columns: Vec<&str> = line.splitn(14, '\t').collect();
    let [id, attempt, rank, host, slot, start, end, exit, signal, user, system, max_rss_kib, why, command] =
        columns[..]
    else {
        return None;
    };
    let seconds = |text: &str| match text.split_once('.') {
        Some((whole, rest)) if !whole.is_empty() && rest.len() == 6 => Some(Some(text.parse().ok()?)),
        _ => text.is_empty().then_some(None),
    };
    fn number<N: std::str::FromStr>(text: &str) -> Option<Option<N>> {
        if text.is_empty() { Some(None) } else { Some(Some(text.parse().ok()?)) }
    }
    Some(Attempt {
        id: id.parse().ok()?,
        attempt: attempt.parse().ok()?,
        rank: rank.parse().ok()?,
        host: host.to_owned(),
        slot: number(slot)?,
        start: seconds(start)?,
        end: seconds(end)?,
        exit: number(exit)?,
        signal: number(signal)?,
        user: seconds(user)?,
        system: seconds(system)?,
        max_rss_kib: number(max_rss_kib)?,
        why: why.to_owned(),
        command: command.to_owned(),
    })
}

/// Makes sure that times of attempts are within a run.
#[track_caller]
pub(crate) fn lie_within(attempts: &[Attempt], outcome: &Outcome) {
    let seconds = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let (from, to) = (seconds(outcome.started) - 0.001, seconds(outcome.ended) + 0.001);
    for attempt in attempts {
        let (Some(start), Some(end)) = (attempt.start, attempt.end) else { continue };
        assert!(from <= start && start <= end && end <= to, "outside of the run, from {from} to {to}: {attempt:?}");
    }
}
