//! Failed tasks that wait for their next attempt.
//!
//! Owns the times: until when no rank gets such a task, and until when the rank on which it failed does not. Never
//! decides whether there is a next attempt: [`super::retries`] does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::task::{Rank, TaskId};

#[derive(Clone, Copy, Debug)]
struct Wait {
    /// When the next change is due.
    due: Duration,
    /// The rank that gets it later than the others, and when.
    avoids: Option<(Rank, Duration)>,
    /// The others may have it now.
    is_ready: bool,
}

/// The tasks that wait; nearly always none.
#[derive(Default, Debug)]
pub(super) struct Waiting {
    by_task: BTreeMap<TaskId, Wait>,
    due: BTreeSet<(Duration, TaskId)>,
    /// Tasks that all ranks except this one may have.
    elsewhere: BTreeMap<Rank, BTreeSet<TaskId>>,
    ready: u32,
}

impl Waiting {
    /// A task waits until `until` for all ranks, and for longer for the rank in `avoids`.
    pub(super) fn add(&mut self, id: TaskId, until: Duration, avoids: Option<(Rank, Duration)>) {
        self.by_task.insert(id, Wait { due: until, avoids, is_ready: false });
        self.due.insert((until, id));
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|&(at, _)| at)
    }

    /// How many may be handed out, though not to every rank.
    pub(super) fn ready(&self) -> u32 {
        self.ready
    }

    pub(super) fn len(&self) -> usize {
        self.by_task.len()
    }

    /// The next change that is due: a task, and which ranks may have it from now on.
    pub(super) fn wake(&mut self, now: Duration) -> Option<(TaskId, Woken)> {
        let &(_, id) = self.due.first().filter(|&&(at, _)| at <= now)?;
        let wait = self.remove(id)?;
        match wait.avoids {
            Some((rank, at)) if !wait.is_ready && at > now => {
                self.by_task.insert(id, Wait { due: at, is_ready: true, ..wait });
                self.due.insert((at, id));
                self.elsewhere.entry(rank).or_default().insert(id);
                self.ready += 1;
                Some((id, Woken::Others))
            }
            _ if wait.is_ready => Some((id, Woken::Last)),
            _ => Some((id, Woken::All)),
        }
    }

    /// The first task that this rank may have, of those that count, if there is one before `before`.
    pub(super) fn first_for(
        &self,
        rank: Rank,
        before: Option<TaskId>,
        counts: impl Fn(TaskId) -> bool,
    ) -> Option<TaskId> {
        let others = self.elsewhere.iter().filter(|&(&avoided, _)| avoided != rank);
        let id = others.filter_map(|(_, tasks)| tasks.iter().copied().find(|&id| counts(id))).next()?;
        before.is_none_or(|before| id < before).then_some(id)
    }

    /// Removes a task; returns whether it was ready, if it was waiting.
    pub(super) fn forget(&mut self, id: TaskId) -> Option<bool> {
        self.remove(id).map(|wait| wait.is_ready)
    }

    fn remove(&mut self, id: TaskId) -> Option<Wait> {
        let wait = self.by_task.remove(&id)?;
        self.due.remove(&(wait.due, id));
        if let Some((rank, _)) = wait.avoids.filter(|_| wait.is_ready)
            && let Some(tasks) = self.elsewhere.get_mut(&rank)
        {
            tasks.remove(&id);
            if tasks.is_empty() {
                self.elsewhere.remove(&rank);
            }
            self.ready -= 1;
        }
        Some(wait)
    }

    /// Cross-checks the indexes. For tests and the simulator.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.due.len(), self.by_task.len(), "each waiting task has one time");
        assert!(self.by_task.iter().all(|(&id, wait)| self.due.contains(&(wait.due, id))), "waiting tasks");
        let ready = self.by_task.values().filter(|wait| wait.is_ready).count();
        assert_eq!((self.ready as usize, self.elsewhere.values().map(BTreeSet::len).sum()), (ready, ready), "ready");
    }
}

/// Which ranks may have a task from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Woken {
    /// All ranks; before, none.
    All,
    /// All except the one on which it failed.
    Others,
    /// That one too.
    Last,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(waiting: &mut Waiting, rank: Rank, before: Option<TaskId>) -> Option<TaskId> {
        let id = waiting.first_for(rank, before, |_| true)?;
        waiting.forget(id);
        Some(id)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// First the other ranks may have a task, then all; a farmer that is late finds that all may.
    #[test]
    fn a_task_waits_longer_for_the_rank_that_it_avoids() {
        let mut waiting = Waiting::default();
        waiting.add(TaskId(7), secs(1), Some((Rank(2), secs(3))));
        assert_eq!((waiting.wake(secs(0)), waiting.next_due()), (None, Some(secs(1))));
        assert_eq!((waiting.wake(secs(1)), waiting.ready(), waiting.len()), (Some((TaskId(7), Woken::Others)), 1, 1));
        waiting.check_invariants();
        assert_eq!((take(&mut waiting, Rank(2), None), waiting.next_due()), (None, Some(secs(3))));
        assert_eq!((waiting.wake(secs(3)), waiting.ready(), waiting.len()), (Some((TaskId(7), Woken::Last)), 0, 0));
        waiting.add(TaskId(8), secs(4), Some((Rank(2), secs(5))));
        assert_eq!((waiting.wake(secs(5)), waiting.wake(secs(5))), (Some((TaskId(8), Woken::All)), None));
        waiting.check_invariants();
    }

    /// A rank gets the first task of the list that it may have: one of these only if its ID is lower.
    #[test]
    fn the_lower_id_goes_first() {
        let mut waiting = Waiting::default();
        for (id, rank) in [(5, 0), (6, 1)] {
            waiting.add(TaskId(id), secs(1), Some((Rank(rank), secs(9))));
            waiting.wake(secs(1));
        }
        for before in [0, 5] {
            assert_eq!(take(&mut waiting, Rank(2), Some(TaskId(before))), None);
        }
        assert_eq!(take(&mut waiting, Rank(0), Some(TaskId(9))), Some(TaskId(6)), "it is kept from 5");
        assert_eq!(take(&mut waiting, Rank(2), Some(TaskId(6))), Some(TaskId(5)));
        assert_eq!((waiting.len(), waiting.forget(TaskId(5))), (0, None));
    }

    /// The simulator relies on it: an index that was not updated does not pass the cross-check.
    #[test]
    fn a_false_index_is_noticed() {
        let falsify: [fn(&mut Waiting); 3] = [
            |waiting| waiting.ready += 1,
            |waiting| _ = waiting.due.insert((secs(1), TaskId(1))),
            |waiting| _ = waiting.elsewhere.insert(Rank(1), BTreeSet::from([TaskId(1)])),
        ];
        for falsify in falsify {
            let mut waiting = Waiting::default();
            waiting.check_invariants();
            falsify(&mut waiting);
            assert!(std::panic::catch_unwind(|| waiting.check_invariants()).is_err());
        }
    }
}
