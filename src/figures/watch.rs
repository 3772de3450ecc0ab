//! A running farm, looked at now and then.
//!
//! Owns what only shows over time: since when tasks have been running, how much slot time there was, how fast tasks
//! end. To be called by a timer, about once a second; nothing in it is done per task.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::estimate::{Situation, time_left};
use super::tally::Tally;
use crate::farmer::{Farmer, Status};
use crate::lengths::{Lengths, micros};
use crate::task::{Rank, TaskId};

/// The rate covers this much time, if enough tasks have ended in it.
const WINDOW: Duration = Duration::from_secs(60);

/// Fewer ends than this are too few for a rate.
const RATE_ENDS_MIN: u64 = 10;

/// A running task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    /// The task.
    pub id: TaskId,
    /// Where.
    pub rank: Rank,
    /// Since when, accurate to about the time between two looks.
    pub since: Duration,
}

/// What has been seen so far.
#[derive(Debug)]
pub struct Watch {
    /// When the run started.
    pub started: Duration,
    looked: Duration,
    /// When a rank last joined.
    joined: Duration,
    /// Slots of all ranks that take part.
    pub slots: u64,
    slot_us: u64,
    /// What is running, by task.
    pub running: Vec<Running>,
    /// How long tasks ran that were lost with their rank, in microseconds: no result will report it. By rank, since a
    /// rank that comes back has its tasks and reports on them.
    lost_us: BTreeMap<Rank, u64>,
    /// How many tasks had ended in this run, at earlier looks.
    ends: VecDeque<(Duration, u64)>,
    /// How long the rest takes, as of the last look.
    pub time_left: Option<Duration>,
}

impl Watch {
    /// The start of a run.
    pub fn new(now: Duration) -> Self {
        Self {
            started: now,
            looked: now,
            joined: now,
            slots: 0,
            slot_us: 0,
            running: Vec::new(),
            lost_us: BTreeMap::new(),
            ends: VecDeque::from([(now, 0)]),
            time_left: None,
        }
    }

    /// A rank has joined with this many slots.
    pub fn joined(&mut self, now: Duration, slots: u32) {
        self.count_slot_time(now);
        self.joined = now;
        self.slots += u64::from(slots);
    }

    /// Looks at everything.
    pub fn look(&mut self, now: Duration, farm: &Farmer, tally: &Tally) {
        let before = self.count_slot_time(now);
        self.count_lost(before, farm);
        let new = now - before;
        let came_up = self.ends.back().is_some_and(|(look, _)| self.joined >= *look);
        let seen = match &tally.lengths {
            // Most new tasks have started within the last moment, if tasks are shorter than the time between two looks.
            lengths if lengths.count() > 0 => now - new.min(Duration::from_micros(lengths.percentile_us(50))) / 2,
            // A rank that joins gets its first tasks immediately.
            _ if came_up => before,
            _ => now - new / 2,
        };
        let old = std::mem::take(&mut self.running);
        self.slots = 0;
        for (rank, worker) in farm.workers().iter() {
            if matches!(worker.status(), Status::Active | Status::Stopped) {
                self.slots += u64::from(worker.book.slots());
            }
            if worker.status() == Status::Active {
                let running = worker.book.running();
                self.running.extend(worker.book.tasks().iter().take(running as usize).map(|&id| {
                    let known = old.binary_search_by_key(&id, |task| task.id).ok().map(|place| old[place].since);
                    Running { id, rank, since: known.unwrap_or(seen) }
                }));
            }
        }
        self.running.sort_unstable_by_key(|task| task.id);
        self.ends.push_back((now, tally.finished + tally.failed));
        while self.ends.len() > 2 && self.ends.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.ends.pop_front();
        }
        let mut ages = Lengths::default();
        self.running.iter().for_each(|task| ages.add(micros(now - task.since)));
        self.time_left = time_left(Situation {
            ended: &tally.lengths,
            running: &ages,
            waiting: u64::from(farm.tasks().remaining()).saturating_sub(self.running.len() as u64),
            slots: self.slots,
            busy_share: self.utilization(tally).unwrap_or(1.0),
        });
    }

    /// The run has ended: slot time counts to here.
    pub fn close(&mut self, now: Duration, farm: &Farmer) {
        let before = self.count_slot_time(now);
        self.count_lost(before, farm);
        self.running.clear();
        self.time_left = None;
    }

    /// Counts tasks that ran at the previous look and have been lost with their rank since: they are known to have run
    /// until that look.
    fn count_lost(&mut self, before: Duration, farm: &Farmer) {
        // If a pool died, its rank reports how long its tasks had run: that is in the tally.
        let is_lost = |rank| farm.workers().get(rank).is_some_and(|worker| worker.status() == Status::Lost);
        self.lost_us.retain(|&rank, _| is_lost(rank));
        for task in self.running.iter().filter(|task| is_lost(task.rank)) {
            *self.lost_us.entry(task.rank).or_default() += micros(before.saturating_sub(task.since));
        }
    }

    /// Counts slot time. Returns when it was last counted.
    fn count_slot_time(&mut self, now: Duration) -> Duration {
        let before = self.looked;
        self.looked = now.max(before);
        self.slot_us += micros(self.looked - before).saturating_mul(self.slots);
        before
    }

    /// Tasks per second: recently, or in the whole run if few have ended recently.
    pub fn rate(&self) -> f64 {
        let (now, ends) = self.ends.back().copied().unwrap_or((self.started, 0));
        let (at, before) = self.ends.front().copied().unwrap_or((self.started, 0));
        let (at, before) = if ends - before >= RATE_ENDS_MIN { (at, before) } else { (self.started, 0) };
        let time = now.saturating_sub(at).as_secs_f64();
        if time > 0.0 { (ends - before) as f64 / time } else { 0.0 }
    }

    /// The share of slot time in which tasks ran, 0 to 1; none if there was no slot time yet.
    pub fn utilization(&self, tally: &Tally) -> Option<f64> {
        let running: u64 = self.running.iter().map(|task| micros(self.looked.saturating_sub(task.since))).sum();
        let lost: u64 = self.lost_us.values().sum();
        let busy = tally.usage.busy_us.saturating_add(running).saturating_add(lost);
        (self.slot_us > 0).then(|| (busy as f64 / self.slot_us as f64).min(1.0))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::farmer::{Actions, Event, Settings, TaskTable};
    use crate::figures::tally::{End, Ended};
    use crate::protocol::ToFarmer;
    use crate::task::Executing;

    const S: Duration = Duration::from_secs(1);

    /// A farm whose ranks have joined with two slots each.
    pub(crate) fn farm(ranks: u32, tasks: u32) -> Farmer {
        let settings = Settings { grace: S, ..Settings::plain(ranks) };
        let mut farm = Farmer::new(Duration::ZERO, settings, TaskTable::new(tasks));
        for rank in 0..ranks {
            let host = format!("node{rank}");
            say(&mut farm, rank, ToFarmer::plain_hello(host, 2));
        }
        farm
    }

    /// A rank sends it a message, at time 0.
    pub(crate) fn say(farm: &mut Farmer, rank: u32, message: ToFarmer) {
        farm.handle(Duration::ZERO, Event::Message(Rank(rank), message), &mut Actions::default());
    }

    /// Promise: utilization is right from the first look on, when no task has ended yet: ranks get tasks as soon as
    /// they have joined.
    #[test]
    fn the_first_tasks_run_from_the_start() {
        let (tally, farm) = (Tally::default(), farm(1, 2));
        let mut watch = Watch::new(Duration::ZERO);
        watch.look(Duration::ZERO, &farm, &tally);
        let mut watch = Watch { running: Vec::new(), slots: 0, ..watch };
        watch.joined(S, 2);
        watch.look(2 * S, &farm, &tally);
        assert_eq!((watch.running[0].since, watch.utilization(&tally)), (S, Some(1.0)));
    }

    /// Promise: the rate is that of tasks. An attempt that is followed by another one is not the end of a task.
    #[test]
    fn the_rate_is_that_of_tasks() {
        let mut tally = Tally::default();
        (0..40).for_each(|_| tally.lengths.add(1_000));
        let mut watch = Watch::new(Duration::ZERO);
        let farm = farm(1, 100);
        watch.look(10 * S, &farm, &tally);
        assert_eq!(watch.rate(), 0.0, "40 attempts");
        (0..20).for_each(|id| {
            tally.add(Ended { id, rank: 0, length_us: 1_000, end: End::Exit((id % 2) as u8), max_rss_kib: 0 });
        });
        watch.look(20 * S, &farm, &tally);
        assert_eq!(watch.rate(), 1.0, "20 tasks, finished or failed, in 20 s");
    }

    /// The link of a rank breaks.
    fn lose(farm: &mut Farmer, rank: u32) {
        farm.handle(10 * S, Event::LinkFailed(Rank(rank), "x".to_owned()), &mut Actions::default());
    }

    /// Promise: utilization is the share of the slot time in which tasks ran. Those that were lost with their rank ran
    /// too, though no result says for how long.
    #[test]
    fn what_is_lost_with_its_rank_has_run() {
        let tally = Tally::default();
        let mut farm = farm(2, 4);
        let mut watch = Watch::new(Duration::ZERO);
        watch.look(Duration::ZERO, &farm, &tally);
        watch.look(10 * S, &farm, &tally);
        assert_eq!((watch.running.len(), watch.utilization(&tally)), (4, Some(1.0)));
        lose(&mut farm, 1);
        watch.look(10 * S, &farm, &tally);
        assert_eq!((watch.running.len(), watch.utilization(&tally)), (2, Some(1.0)), "two ran for 10 s, and are lost");
        lose(&mut farm, 0);
        watch.close(10 * S, &farm);
        assert_eq!((watch.running.len(), watch.utilization(&tally)), (0, Some(1.0)), "and at the end, all four");
    }

    /// Promise: what has run counts once. The rank whose pool died reports how long its tasks had run, and that is
    /// recorded.
    #[test]
    fn tasks_of_a_dead_pool_count_once() {
        let mut tally = Tally::default();
        let mut farm = farm(1, 4);
        let mut watch = Watch::new(Duration::ZERO);
        watch.look(Duration::ZERO, &farm, &tally);
        watch.look(10 * S, &farm, &tally);
        let executing = watch.running.iter().zip(0..).map(|(task, slot)| Executing {
            id: task.id,
            slot,
            start_us: 0,
            duration_us: 5_000_000,
        });
        let lost = ToFarmer::PoolLost { reason: "x".to_owned(), executing: executing.collect(), can_restart: false };
        let mut actions = Actions::default();
        farm.handle(10 * S, Event::Message(Rank(0), lost), &mut actions);
        actions.records.iter().for_each(|record| tally.record(record));
        watch.close(10 * S, &farm);
        assert_eq!(watch.utilization(&tally), Some(0.5), "{:?}", actions.records);
    }
}
