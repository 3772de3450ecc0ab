//! What a rank's results reveal about its node, and failures whose cause is not known yet.
//!
//! Owns these tables. Never judges: [`super::black_holes`] does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::task::{Rank, TaskId, TaskResult};

/// After this time a failure is recorded even without a verdict.
pub(super) const DOUBT_MAX: Duration = Duration::from_secs(60);

/// How far a rank is trusted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Stage {
    /// It gets tasks.
    #[default]
    Trusted,
    /// It gets none until more is known of the other ranks.
    Watched,
    /// It gets none for some time.
    Aside,
    /// It got one task as a trial.
    Tried,
}

/// What a rank's results reveal about its node.
#[derive(Clone, Default, Debug)]
pub(super) struct Trust {
    pub(super) stage: Stage,
    /// Tasks that failed quickly since the last one that did not.
    pub(super) streak: u32,
    /// The streak at which the rank is judged.
    pub(super) judge_at: u32,
    pub(super) succeeded: bool,
    /// When the last task that succeeded there ended, by the clock of the node.
    pub(super) last_success_us: u64,
    pub(super) first_handed: Option<Duration>,
    pub(super) watched_until: Duration,
    /// Tasks in a row that failed there and then on a rank where tasks succeed.
    pub(super) refuted: u32,
    pub(super) times_aside: u32,
}

impl Trust {
    pub(super) fn is_aside(&self) -> bool {
        matches!(self.stage, Stage::Aside | Stage::Tried)
    }

    /// Takes in results before they are judged: failures before the last success do not belong to a series.
    pub(super) fn learn(&mut self, results: &[TaskResult]) {
        let ends = results.iter().filter(|result| result.is_success()).map(end_us);
        self.last_success_us = ends.fold(self.last_success_us, u64::max);
    }

    pub(super) fn handed(&mut self, now: Duration) {
        self.first_handed.get_or_insert(now);
    }
}

/// Failures that are not recorded yet because their cause is not known.
#[derive(Default, Debug)]
pub(super) struct Doubts {
    pub(super) by_rank: BTreeMap<Rank, Vec<TaskResult>>,
    /// When they are recorded at the latest.
    pub(super) due: BTreeSet<(Duration, Rank)>,
    count: u32,
    /// Tasks that failed on a rank that was set aside, and that rank. If they fail on a rank where tasks succeed, they
    /// are the cause themselves.
    pub(super) given_back: BTreeMap<TaskId, Rank>,
}

impl Doubts {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Cross-checks the counters. For tests and the simulator.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.count as usize, self.by_rank.values().map(Vec::len).sum::<usize>(), "doubts");
        let due: Vec<Rank> = self.due.iter().map(|&(_, rank)| rank).collect();
        assert_eq!(due.len(), self.by_rank.len(), "each rank with doubts has one deadline: {due:?}");
        assert!(due.iter().all(|rank| self.by_rank.contains_key(rank)), "{due:?}");
    }

    pub(super) fn holds(&self, rank: Rank, id: TaskId) -> bool {
        self.by_rank.get(&rank).is_some_and(|results| results.iter().any(|result| result.id == id))
    }

    /// The tasks.
    pub(super) fn ids(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.by_rank.values().flatten().map(|result| result.id)
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|&(at, _)| at)
    }

    pub(super) fn add(&mut self, now: Duration, rank: Rank, result: TaskResult) {
        let results = self.by_rank.entry(rank).or_default();
        if results.is_empty() {
            self.due.insert((now + DOUBT_MAX, rank));
        }
        results.push(result);
        self.count += 1;
    }

    pub(super) fn take(&mut self, rank: Rank) -> Vec<TaskResult> {
        let results = self.by_rank.remove(&rank).unwrap_or_default();
        if !results.is_empty() {
            self.due.retain(|&(_, other)| other != rank);
        }
        self.count -= u32::try_from(results.len()).expect("counted");
        results
    }
}

/// When a task ended, by the clock of its node.
pub(super) fn end_us(result: &TaskResult) -> u64 {
    result.start_us.saturating_add(result.duration_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The simulator relies on it: contradictory tables do not pass the cross-check.
    #[test]
    fn contradictory_doubts_are_noticed() {
        let falsify: [fn(&mut Doubts); 3] = [
            |doubts| doubts.count += 1,
            |doubts| _ = doubts.due.insert((Duration::ZERO, Rank(1))),
            |doubts| _ = doubts.by_rank.insert(Rank(1), Vec::new()),
        ];
        for falsify in falsify {
            let mut doubts = Doubts::default();
            doubts.check_invariants();
            falsify(&mut doubts);
            assert!(std::panic::catch_unwind(|| doubts.check_invariants()).is_err());
        }
    }
}
