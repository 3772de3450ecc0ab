//! Which workers have too many or too few tasks, without a walk over all of them.
//!
//! Owns what is derived from the worker table. Never decides anything.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::task::Rank;

/// What is derived from one worker.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Keys {
    pub(super) is_idle: bool,
    /// How many tasks it can be asked to give back.
    pub(super) queued: Option<u32>,
    pub(super) paused_until: Option<Duration>,
    pub(super) is_expected: bool,
    pub(super) is_open: bool,
    pub(super) is_able: bool,
    pub(super) is_aside: bool,
}

/// What is derived from all workers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Index {
    /// Workers with free slots that take tasks.
    pub(super) idle: BTreeSet<Rank>,
    /// Active workers with waiting tasks and no Recall to answer, by the number of tasks.
    pub(super) queued: BTreeSet<(u32, Rank)>,
    /// Workers that take no tasks for a while, by the end of that time.
    pub(super) paused: BTreeSet<(Duration, Rank)>,
    /// How many have not said Hello.
    pub(super) expected: u32,
    /// How many are expected or active.
    pub(super) open: u32,
    /// How many are active and have slots.
    pub(super) able: u32,
    /// How many of these are set aside.
    pub(super) aside: u32,
}

impl Index {
    /// Of workers with these keys, by rank.
    pub(super) fn of(workers: impl Iterator<Item = Keys>) -> Self {
        let mut index = Self::default();
        (0..).map(Rank).zip(workers).for_each(|(rank, keys)| index.change(rank, Keys::default(), keys));
        index
    }

    /// A worker has changed.
    pub(super) fn change(&mut self, rank: Rank, before: Keys, after: Keys) {
        replace(&mut self.idle, before.is_idle.then_some(rank), after.is_idle.then_some(rank));
        let with_rank = |queued| (queued, rank);
        replace(&mut self.queued, before.queued.map(with_rank), after.queued.map(with_rank));
        let with_rank = |until| (until, rank);
        replace(&mut self.paused, before.paused_until.map(with_rank), after.paused_until.map(with_rank));
        count(&mut self.expected, before.is_expected, after.is_expected);
        count(&mut self.open, before.is_open, after.is_open);
        count(&mut self.able, before.is_able, after.is_able);
        count(&mut self.aside, before.is_aside, after.is_aside);
    }
}

fn replace<K: Ord>(set: &mut BTreeSet<K>, before: Option<K>, after: Option<K>) {
    if before != after {
        before.map(|key| set.remove(&key));
        after.map(|key| set.insert(key));
    }
}

fn count(total: &mut u32, before: bool, after: bool) {
    *total = *total + u32::from(after) - u32::from(before);
}
