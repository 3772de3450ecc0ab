//! How many tasks each worker gets, and when queued ones are taken back.
//!
//! Owns the rules of the hand-out. A worker's slots are kept full, with just enough tasks queued that it never waits
//! for a round trip; near the end of the list, tasks that wait for full slots go to idle workers. Suspects, which may
//! take down their pool, go last, to ranks that hold nothing else.

use std::time::Duration;

use super::Farmer;
use super::workers::WorkerState;
use super::{Actions, Send, TaskTable};
use crate::demand::classes::Class;
use crate::protocol::ToWorker;
use crate::task::{Attempt, FARMER, Rank, TaskId};

/// The most tasks that wait at one worker beyond its slots: this bounds what is lost with a node, and the size of a
/// message.
pub(super) const PREFETCH_MAX: u32 = 4096;

/// Round trips that the queue covers. Two, because the measured one is an average; doubled, because a worker reports
/// when its queue is half empty.
pub(super) const ROUND_TRIPS: u64 = 4;

/// A rank that was asked for its queue may be dead. After this time, others are asked.
const RECALL_PATIENCE: Duration = Duration::from_secs(1);

/// The factor by which each further request grows: with hundreds of dead ranks, asking one after the other would take
/// minutes.
const RECALL_GROWTH: u32 = 4;

/// How long the first tasks are rationed while workers are still missing.
pub(super) const SPREAD_MAX: Duration = Duration::from_secs(5);

/// Below this crash limit each suspect runs alone from the start: a loss in a group does not identify the cause.
const GROUP_LIMIT_MIN: u16 = 3;

/// Tasks that should wait at the worker beyond its slots, at the measured rate of its tasks: none for tasks of hours,
/// dozens for tasks of milliseconds.
fn prefetch(worker: &WorkerState) -> u32 {
    if worker.task_us == 0 {
        return 0; // Nothing is known about these tasks yet; a queue of long ones would be hard to recall.
    }
    let needed =
        (ROUND_TRIPS * worker.round_trip_us).saturating_mul(u64::from(worker.book.slots())).div_ceil(worker.task_us);
    u32::try_from(needed).unwrap_or(u32::MAX).min(PREFETCH_MAX)
}

/// Which ranks may have room for tasks that wait.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Room {
    /// No more than before this event.
    #[default]
    Unchanged,
    /// This one: it has joined, or its tasks have ended.
    One(Rank),
    /// Any: tasks have come back, or wait no longer.
    All,
}

impl Room {
    /// This rank, too, may have room.
    pub(super) fn add(&mut self, rank: Rank) {
        *self = match self {
            Self::Unchanged => Self::One(rank),
            Self::One(other) if *other == rank => Self::One(rank),
            Self::One(_) | Self::All => Self::All,
        };
    }
}

impl Farmer {
    /// Hands out what this event allows; the only place that does.
    pub(super) fn hand_out(&mut self, now: Duration, actions: &mut Actions) {
        if self.has_more_to_share() {
            self.room = Room::All;
        }
        let room = std::mem::take(&mut self.room);
        if self.is_ending() {
            self.recall_again = None;
            return;
        }
        match room {
            Room::Unchanged if self.recall_again.is_none_or(|(at, _)| now < at) => return,
            Room::Unchanged => {}
            Room::One(rank) => self.fill(now, rank, actions),
            Room::All => self.fill_idle(now, actions),
        }
        self.serve_reservation(now, actions);
        self.note_shared();
        self.recall(now, actions);
    }

    /// Hands tasks to one worker, as many as it should hold.
    fn fill(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        let Some(worker) = self.workers.get(rank) else { return };
        if !worker.takes_tasks() {
            return;
        }
        if worker.quarantine.is_some() {
            return self.assign_suspects(now, rank, actions);
        }
        if self.mixture.is_some() {
            let share = self.first_share(now).map_or(u32::MAX, |share| share.saturating_sub(worker.book.held()));
            return self.fill_mixed(now, rank, share, actions);
        }
        let pending = self.tasks.ordinary();
        let waiting = prefetch(worker).saturating_sub(worker.book.queued());
        // The last tasks of a list are shared: a task that waits here might be missing elsewhere.
        let fair = pending.saturating_sub(worker.book.free()) / self.workers.len();
        let mut count = worker.book.free() + waiting.min(fair);
        if let Some(share) = self.first_share(now) {
            count = count.min(share.saturating_sub(worker.book.held()));
        }
        self.assign(now, rank, count, actions);
        self.assign_suspects(now, rank, actions);
    }

    /// While workers are still missing at the start of a short list: the most tasks that one may hold, so that the
    /// first workers to join do not get all of them.
    fn first_share(&self, now: Duration) -> Option<u32> {
        if self.workers.expected() == 0 || now >= self.started + SPREAD_MAX {
            return None;
        }
        let takers = self.workers.len() - u32::from(self.settings.farmer_only);
        Some(self.first_pending.div_ceil(takers.max(1)))
    }

    fn assign(&mut self, now: Duration, rank: Rank, count: u32, actions: &mut Actions) {
        let is_trial = self.begin_trial(now, rank);
        let count = if is_trial { count.min(1) } else { count };
        self.hand(now, rank, count, actions, |tasks| tasks.take_next(rank));
    }

    /// Hands suspects to a rank that holds nothing else, if only suspects are waiting. Those of one crash run in a
    /// small group, so that the innocent, often a whole rank of them, are cleared soon. All others run alone: if one of
    /// them is lost again, it is identified.
    pub(super) fn assign_suspects(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        let Some(worker) = self.workers.get(rank) else { return };
        let Some(is_alone) = self.tasks.next_suspect_is_alone() else { return };
        if self.ordinary_tasks_wait() || !worker.takes_tasks() {
            return;
        }
        let may_start = self.may_start_alone(worker);
        let has_room = |class: Class| may_start.get(class.0 as usize).is_none_or(|may_start| *may_start);
        let room = match worker.quarantine {
            // A task that must be alone waits until the group has ended.
            Some(most) if !is_alone => most.saturating_sub(worker.book.held()),
            None if worker.book.held() > 0 => return,
            None if is_alone || self.settings.rules.crash_limit < GROUP_LIMIT_MIN => 1,
            // It is not known how many of them have room together.
            None if self.mixture.is_some() => 1,
            None => worker.book.slots().isqrt(),
            Some(_) => return,
        };
        self.hand(now, rank, room, actions, |tasks| {
            let is_next = tasks.next_suspect_is_alone() == Some(is_alone);
            is_next.then(|| tasks.take_suspect(rank, has_room)).flatten()
        });
        self.workers.update(rank, |worker| worker.quarantine = worker.quarantine.or(Some(room)));
    }

    /// Sends a worker up to `count` tasks, which `take` selects for it.
    pub(super) fn hand(
        &mut self,
        now: Duration,
        rank: Rank,
        count: u32,
        actions: &mut Actions,
        mut take: impl FnMut(&mut TaskTable) -> Option<TaskId>,
    ) {
        let first = actions.assigned.len();
        for _ in 0..count {
            let Some(id) = take(&mut self.tasks) else { break };
            let attempt = self.tasks.attempt(id);
            // It came back from being lost with tasks that had gone to others since; now they are its own again.
            let runs_it =
                attempt > Attempt(1) && self.workers.get(rank).is_some_and(|worker| worker.book.tasks().contains(&id));
            if !runs_it {
                actions.assigned.push((id, attempt));
            }
        }
        let handed = &actions.assigned[first..];
        if handed.is_empty() {
            return;
        }
        let tasks = &self.tasks;
        let seq = self.workers.update(rank, |worker| {
            worker.hand(now, handed.iter().map(|&(id, _)| (id, tasks.class(id))));
            worker.next_seq(now)
        });
        actions.sends.push((rank, Send::Assign { seq, tasks: first..actions.assigned.len() }));
    }

    /// Serves every worker with a free slot.
    fn fill_idle(&mut self, now: Duration, actions: &mut Actions) {
        // A round leaves tasks over if some workers had room for less than their share.
        let mut pending = self.tasks.pending() + 1;
        while self.tasks.pending() < pending {
            pending = self.tasks.pending();
            self.fill_idle_once(now, actions);
        }
    }

    fn fill_idle_once(&mut self, now: Duration, actions: &mut Actions) {
        let mut next = FARMER;
        while self.tasks.pending() > 0
            && let Some(rank) = self.workers.idle_from(next)
        {
            let free = self.workers.get(rank).map_or(0, |worker| worker.book.free());
            let share = self.tasks.ordinary().div_ceil(u32::try_from(self.workers.idle_count()).unwrap_or(u32::MAX));
            let limit = match self.first_share(now) {
                Some(limit) => limit.saturating_sub(self.workers.get(rank).map_or(0, |worker| worker.book.held())),
                None => u32::MAX,
            };
            let count = free.min(share.max(1)).min(limit);
            if self.mixture.is_some() {
                self.fill_mixed(now, rank, count, actions);
            } else {
                self.assign(now, rank, count, actions);
                self.assign_suspects(now, rank, actions);
            }
            next = Rank(rank.0 + 1);
        }
    }

    /// Near the end, when nothing is left to hand out and slots are idle: asks the workers with the longest queues for
    /// tasks.
    fn recall(&mut self, now: Duration, actions: &mut Actions) {
        let again = self.recall_again.take();
        // A task that only other ranks may have does not help the idle ones. Nor does one that fits on none of them.
        if self.mixture.is_none() && self.ordinary_tasks_wait() {
            return;
        }
        let mut idle_slots: u32 = 0;
        let mut idle = Vec::new();
        let mut from = FARMER;
        while let Some(rank) = self.workers.idle_from(from)
            && idle_slots < PREFETCH_MAX
        {
            idle_slots += self.workers.get(rank).map_or(0, |worker| worker.book.free());
            if self.mixture.is_some() {
                idle.push(rank);
            }
            from = Rank(rank.0 + 1);
        }
        // Tasks that were already asked for are not counted: the ranks that were asked may be dead. Each is asked once
        // at a time.
        let (again_at, reach) = match again {
            Some((at, reach)) if at > now => (at, reach),
            Some((_, reach)) => (now + RECALL_PATIENCE, reach.saturating_mul(RECALL_GROWTH)),
            None => (now + RECALL_PATIENCE, 1),
        };
        let mut wanted = idle_slots.saturating_mul(reach);
        while wanted > 0
            && let Some((rank, queued)) = self.longest_queue_for(&idle)
        {
            // Half of a long queue, so that the next idle slot does not have to wait for a Recall as well.
            let count = queued.min(wanted.max(queued / 2));
            self.workers.update(rank, WorkerState::ask_back);
            actions.send(rank, ToWorker::Recall { count });
            wanted = wanted.saturating_sub(count);
        }
        if idle_slots > 0 && self.longest_queue_for(&idle).is_some() {
            self.recall_again = Some((again_at, reach));
        }
    }
}
