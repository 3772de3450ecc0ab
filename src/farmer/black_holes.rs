//! Nodes on which every task fails immediately: a missing file system, a broken container, a full /tmp. Such a node is
//! always free, so it would take the whole list and fail it.
//!
//! Owns the decision about such nodes; [`super::doubts`] holds the data it is based on. A node that fails many tasks in
//! a row, each within seconds, while tasks succeed on other nodes is *set aside* for a time, and its tasks get a new
//! attempt elsewhere. Then it is tried with one task. The last rank is never set aside, and no rank is if tasks fail
//! everywhere: then the tasks are the cause.

use std::time::Duration;

use super::doubts::{Stage, end_us};
use super::handout::Room;
use super::state::Status;
use super::workers::WorkerState;
use super::{Actions, Cause, Farmer, Note, Record, Send, handout};
use crate::protocol::ToWorker;
use crate::task::{Rank, TaskResult};

/// A task that fails within this time counts as a quick failure.
pub(super) const QUICK: Duration = Duration::from_secs(2);

/// This many failures in a row are suspicious, and at least two per slot.
pub(super) const STREAK_MIN: u32 = 20;

/// A rank with this many failures in a row counts as failing when other ranks are judged.
const STREAK_OF_OTHERS: u32 = 3;

/// A rank that was set aside is trusted again when this many of its tasks fail elsewhere too.
const REFUTED_MAX: u32 = 3;

/// At most this many other ranks are considered for a verdict.
const OTHERS_MAX: usize = 100;

/// A task that is still running after this time is not a quick failure, even if its report is still on the way.
const ALIVE_AFTER: Duration = Duration::from_secs(4);

/// The longest time for which a rank is watched, and the interval at which it is judged meanwhile.
const WATCH_MAX: Duration = Duration::from_secs(6);
const WATCH_STEP: Duration = Duration::from_secs(1);

/// How long a node is set aside the first time; this doubles each time.
const ASIDE_FIRST: Duration = Duration::from_secs(60);

/// It is not set aside for longer than this.
const ASIDE_MAX: Duration = Duration::from_secs(1_800);

/// Whether the node or the tasks caused a series of failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Culprit {
    Node,
    Tasks,
    Open,
}

impl Farmer {
    /// Takes a result that is not recorded yet; returns it if it should be recorded now.
    pub(super) fn judge(
        &mut self,
        now: Duration,
        rank: Rank,
        result: TaskResult,
        actions: &mut Actions,
    ) -> Option<TaskResult> {
        let known = self.second_opinion(now, rank, &result, actions);
        if result.is_success() {
            self.trust_again(now, rank, true, actions);
            return Some(result);
        }
        // Results that were held back arrive late: tasks have succeeded since.
        let early = self.workers.get(rank).is_some_and(|worker| worker.trust.last_success_us > end_us(&result));
        let quick = !early && !result.timed_out && Duration::from_micros(result.duration_us) <= QUICK;
        let alone = self.workers.able() + self.workers.expected() <= 1;
        if known || !quick || alone || self.is_ending() || self.tasks.owner(result.id) != Some(rank) {
            return Some(result);
        }
        let (due, acquitted) = self.workers.update(rank, |worker| {
            let (row, trust) = (STREAK_MIN.max(worker.book.slots().saturating_mul(2)), &mut worker.trust);
            trust.streak = trust.streak.saturating_add(1);
            trust.judge_at = trust.judge_at.max(row);
            (trust.streak >= trust.judge_at, trust.judge_at > row)
        });
        if !due && acquitted {
            return Some(result);
        }
        self.doubts.add(now, rank, result);
        if due {
            self.settle(now, rank, actions);
        }
        None
    }

    /// A task that failed on a rank that was set aside has run on a different one. Returns whether the task is known to
    /// be the cause: it fails on a rank where tasks succeed. If that happens repeatedly, the first rank was not the
    /// cause.
    fn second_opinion(&mut self, now: Duration, rank: Rank, result: &TaskResult, actions: &mut Actions) -> bool {
        let Some(&first) = self.doubts.given_back.get(&result.id).filter(|&&first| first != rank) else { return false };
        let is_good = |worker: &WorkerState| worker.trust.succeeded && worker.trust.streak == 0;
        let success = result.is_success();
        if !success && !self.workers.get(rank).is_some_and(is_good) {
            return false;
        }
        let refuted = self.workers.update(first, |worker| {
            worker.trust.refuted = if success { 0 } else { worker.trust.refuted + 1 };
            worker.trust.is_aside() && worker.trust.refuted >= REFUTED_MAX
        });
        if refuted {
            self.acquit(now, first, actions);
        }
        true
    }

    /// Judges the failures of a rank, if possible.
    fn settle(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        let stage = self.workers.get(rank).map(|worker| worker.trust.stage).unwrap_or_default();
        match self.culprit(now, rank) {
            Culprit::Node if stage == Stage::Aside => {
                self.give_back(rank, actions);
                self.room = Room::All;
            }
            Culprit::Node => self.set_aside(now, rank, actions),
            Culprit::Open if stage == Stage::Trusted => {
                self.workers.update(rank, |worker| {
                    worker.trust.stage = Stage::Watched;
                    worker.trust.watched_until = now + WATCH_MAX;
                    worker.pause_at_least(Some(now + WATCH_STEP));
                });
                actions.notes.push(Note::Watched(rank));
            }
            Culprit::Open => {}
            Culprit::Tasks => self.acquit(now, rank, actions),
        }
    }

    /// The tasks caused the failures, and are assumed to cause the next ones too. If everything fails, examining the
    /// other ranks at each failure would cost too much: the next verdict is due when the series is twice as long.
    fn acquit(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        self.workers.update(rank, |worker| worker.trust.judge_at = worker.trust.streak.saturating_mul(2));
        self.record_doubts(now, rank, actions);
        self.trust_again(now, rank, false, actions);
    }

    /// Decides by how tasks do on the other ranks.
    fn culprit(&self, now: Duration, rank: Rank) -> Culprit {
        let others = self.workers.iter().filter(|&(other, _)| other != rank);
        let starting = now < self.started + handout::SPREAD_MAX;
        let found: Vec<_> = others.filter_map(|(_, worker)| health(now, worker, starting)).take(OTHERS_MAX).collect();
        let count = |what| found.iter().filter(|&&health| health == what).count();
        match (count(Health::Good), count(Health::Bad), count(Health::Unknown)) {
            (good @ 1.., bad, _) if good >= bad => Culprit::Node,
            (_, _, 1..) => Culprit::Open,
            _ => Culprit::Tasks,
        }
    }

    fn set_aside(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        let tasks = self.give_back(rank, actions);
        let (time, queued) = self.workers.update(rank, |worker| {
            let time = ASIDE_FIRST.saturating_mul(1 << worker.trust.times_aside.min(10)).min(ASIDE_MAX);
            (worker.trust.stage, worker.trust.refuted) = (Stage::Aside, 0);
            worker.trust.times_aside += 1;
            worker.pause(Some(now + time));
            let queued = worker.recallable();
            if queued.is_some() {
                worker.ask_back();
            }
            (time, queued)
        });
        actions.notes.push(Note::SetAside { rank, tasks, time });
        actions.sends.extend(queued.map(|count| (rank, Send::Message(ToWorker::Recall { count }))));
        self.room = Room::All;
    }

    /// The failures of a rank count only as attempts; returns how many there are.
    pub(super) fn give_back(&mut self, rank: Rank, actions: &mut Actions) -> u32 {
        let results = self.doubts.take(rank);
        let mut count = 0;
        for result in results {
            if self.tasks.owner(result.id) == Some(rank) {
                // The task ended by itself, whatever made it fail.
                self.tasks.set_crashes(result.id, 0);
                self.tasks.put_back(result.id, true);
                self.doubts.given_back.insert(result.id, rank);
                actions.records.push(Record { rank, result, cause: Cause::Failed, is_last: false });
                count += 1;
            }
        }
        count
    }

    /// Records the failures of a rank as the tasks' own.
    fn record_doubts(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        for result in self.doubts.take(rank) {
            self.record(now, rank, result, actions);
        }
    }

    /// Records all failures that wait for a verdict, when it would come too late.
    pub(super) fn record_all_doubts(&mut self, now: Duration, actions: &mut Actions) {
        while let Some((&rank, _)) = self.doubts.by_rank.first_key_value() {
            self.record_doubts(now, rank, actions);
        }
    }

    /// The rank gets tasks as before. `success`: a task has succeeded there.
    fn trust_again(&mut self, now: Duration, rank: Rank, success: bool, actions: &mut Actions) {
        let Some(worker) = self.workers.get(rank) else { return };
        let (stage, streak) = (worker.trust.stage, worker.trust.streak);
        if stage == Stage::Trusted && streak == 0 && worker.trust.succeeded {
            return; // Nearly always.
        }
        self.workers.update(rank, |worker| {
            worker.trust.stage = Stage::Trusted;
            worker.trust.succeeded |= success;
            if success {
                (worker.trust.streak, worker.trust.judge_at, worker.trust.times_aside) = (0, 0, 0);
            }
            if stage != Stage::Trusted {
                worker.pause(None);
            }
        });
        if success {
            self.record_doubts(now, rank, actions);
        }
        if stage != Stage::Trusted {
            actions.notes.push(Note::Trusted(rank));
            self.room = Room::All;
        }
    }

    /// A pause of this rank has ended.
    pub(super) fn on_pause_over(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        if self.is_ending() {
            return;
        }
        match self.workers.get(rank).map(|worker| worker.trust.stage) {
            Some(Stage::Watched) => {
                self.settle(now, rank, actions);
                let watched = self.workers.get(rank).filter(|worker| worker.trust.stage == Stage::Watched);
                match watched.map(|worker| worker.trust.watched_until) {
                    Some(until) if now < until => {
                        self.workers.update(rank, |worker| worker.pause(Some(now + WATCH_STEP)));
                    }
                    Some(_) => self.acquit(now, rank, actions), // What is not known by now will not become known.
                    None => {}
                }
            }
            Some(Stage::Aside) => self.workers.update(rank, |worker| worker.trust.stage = Stage::Tried),
            Some(Stage::Tried) => self.trust_again(now, rank, false, actions),
            Some(Stage::Trusted) | None => {}
        }
    }

    /// Whether a rank that is to be tried out is given tasks now: a single one. It gets no other until it is clear that
    /// this one has not failed immediately.
    pub(super) fn begin_trial(&mut self, now: Duration, rank: Rank) -> bool {
        let is_trial = self.workers.get(rank).is_some_and(|worker| worker.trust.stage == Stage::Tried);
        if is_trial {
            self.workers.update(rank, |worker| worker.pause(Some(now + ALIVE_AFTER)));
        }
        is_trial
    }

    /// Trusts all ranks again if every rank that could work is set aside.
    pub(super) fn check_doubts(&mut self, now: Duration, actions: &mut Actions) {
        if self.workers.aside() > 0 && self.workers.aside() == self.workers.able() {
            let is_aside = |(_, worker): &(Rank, &WorkerState)| worker.trust.is_aside();
            let aside: Vec<Rank> = self.workers.iter().filter(is_aside).map(|(rank, _)| rank).collect();
            for rank in aside {
                self.trust_again(now, rank, false, actions);
            }
        }
    }

    /// Records failures that were not judged in time.
    pub(super) fn record_overdue_doubts(&mut self, now: Duration, actions: &mut Actions) {
        while let Some(&(_, rank)) = self.doubts.due.first().filter(|&&(at, _)| at <= now) {
            self.record_doubts(now, rank, actions);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    Good,
    Bad,
    Unknown,
}

/// How tasks do on a rank; `None` if the rank says nothing about that. While a farm is `starting`, ranks are still
/// joining.
fn health(now: Duration, worker: &WorkerState, starting: bool) -> Option<Health> {
    let trust = &worker.trust;
    if worker.status() == Status::Expected && starting {
        return Some(Health::Unknown);
    }
    if trust.is_aside() {
        return None;
    }
    if trust.streak >= STREAK_OF_OTHERS {
        return Some(Health::Bad);
    }
    let handed = trust.first_handed?; // `None` also for ranks that are lost or take no tasks.
    let runs = worker.book.held() > 0 && now.saturating_sub(handed) >= ALIVE_AFTER;
    match trust.succeeded || runs {
        true => Some(Health::Good),
        false => (worker.book.held() > 0).then_some(Health::Unknown),
    }
}
