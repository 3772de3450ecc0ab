//! Nodes on which every task fails at once: a file system that is missing, a container that is broken, a /tmp that is
//! full. Such a node is always free, so it would take and fail the whole list.
//!
//! Owns the judgement on such nodes; [`super::doubts`] keeps what it rests on. A node that fails many tasks in a row,
//! at once, while others do well is *set aside* for a time, and its tasks get another attempt elsewhere. Then it is
//! tried with one task. Never the last rank, and never where tasks fail everywhere: then it is the tasks.

use std::time::Duration;

use super::doubts::{Stage, end_us};
use super::workers::{Status, WorkerState};
use super::{Actions, Farmer, Note, Record, Send, Why, handout};
use crate::protocol::{Rank, TaskResult};

/// A task that fails within this time has failed at once.
pub(super) const QUICK: Duration = Duration::from_secs(2);

/// So many failures in a row are suspicious, and at least two for each slot.
pub(super) const STREAK_MIN: u32 = 20;

/// A rank with so many failures in a row says nothing good of the others' tasks.
const STREAK_OF_OTHERS: u32 = 3;

/// A rank that was set aside is trusted again when so many of its tasks fail elsewhere too.
const REFUTED_MAX: u32 = 3;

/// So many other ranks are looked at for a judgement.
const OTHERS_MAX: usize = 100;

/// A task that still runs after this time has not failed at once, wherever its report is.
const ALIVE_AFTER: Duration = Duration::from_secs(4);

/// A rank is watched for so long at most, and judged so often meanwhile.
const WATCH_MAX: Duration = Duration::from_secs(6);
const WATCH_STEP: Duration = Duration::from_secs(1);

/// How long a node is set aside the first time; each further time takes twice as long.
const ASIDE_FIRST: Duration = Duration::from_secs(60);

/// It is not set aside for longer than this.
const ASIDE_MAX: Duration = Duration::from_secs(1_800);

/// Whose fault a row of failures is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Node,
    Tasks,
    Open,
}

impl Farmer {
    /// Takes in a result that is not recorded yet; gives it back if it is to be recorded now.
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
        // Verdicts that were held come late: tasks have succeeded since.
        let early = self.workers.get(rank).is_some_and(|worker| worker.trust.last_success_us > end_us(&result));
        let quick = !early && !result.timed_out && Duration::from_micros(result.duration_us) <= QUICK;
        let alone = self.workers.able() + self.workers.expected() <= 1;
        if known || !quick || alone || self.is_ending() || self.tasks.owner(result.id) != Some(rank) {
            return Some(result);
        }
        let (due, acquitted) = self.workers.update(rank, |worker| {
            let (row, trust) = (STREAK_MIN.max(worker.slots.saturating_mul(2)), &mut worker.trust);
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

    /// A task that failed on a rank that was set aside has run on another. Tells whether it is known to be its own
    /// fault: it fails on a rank that does well. If that happens again and again, the first rank was not at fault.
    fn second_opinion(&mut self, now: Duration, rank: Rank, result: &TaskResult, actions: &mut Actions) -> bool {
        let Some(&first) = self.doubts.given_back.get(&result.id).filter(|&&first| first != rank) else { return false };
        let does_well = |worker: &WorkerState| worker.trust.succeeded && worker.trust.streak == 0;
        let success = result.is_success();
        if !success && !self.workers.get(rank).is_some_and(does_well) {
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

    /// Judges the failures of a rank, if that can be done.
    fn settle(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        let stage = self.workers.get(rank).map(|worker| worker.trust.stage).unwrap_or_default();
        match self.verdict(now, rank) {
            Verdict::Node if stage == Stage::Aside => {
                self.give_back(rank, actions);
                self.doubts.settled = true;
            }
            Verdict::Node => self.set_aside(now, rank, actions),
            Verdict::Open if stage == Stage::Trusted => {
                self.workers.update(rank, |worker| {
                    worker.trust.stage = Stage::Watched;
                    worker.trust.watched_until = now + WATCH_MAX;
                    worker.paused_until = worker.paused_until.max(Some(now + WATCH_STEP));
                });
                actions.notes.push(Note::Watched(rank));
            }
            Verdict::Open => {}
            Verdict::Tasks => self.acquit(now, rank, actions),
        }
    }

    /// The failures are the tasks' own, and the next ones too. Where all fails, a look at the other ranks at each
    /// failure would cost too much: the next is due when there are twice as many in a row.
    fn acquit(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        self.workers.update(rank, |worker| worker.trust.judge_at = worker.trust.streak.saturating_mul(2));
        self.record_doubts(now, rank, actions);
        self.trust_again(now, rank, false, actions);
    }

    /// How the others are doing.
    fn verdict(&self, now: Duration, rank: Rank) -> Verdict {
        let others = self.workers.iter().filter(|&(other, _)| other != rank);
        let starting = now < self.started + handout::SPREAD_MAX;
        let doing: Vec<_> =
            others.filter_map(|(_, worker)| how_it_does(now, worker, starting)).take(OTHERS_MAX).collect();
        let count = |what| doing.iter().filter(|&&doing| doing == what).count();
        match (count(Doing::Well), count(Doing::Badly), count(Doing::Unknown)) {
            (well @ 1.., badly, _) if well >= badly => Verdict::Node,
            (_, _, 1..) => Verdict::Open,
            _ => Verdict::Tasks,
        }
    }

    fn set_aside(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        let tasks = self.give_back(rank, actions);
        let (time, recall) = self.workers.update(rank, |worker| {
            let time = ASIDE_FIRST.saturating_mul(1 << worker.trust.times_aside.min(10)).min(ASIDE_MAX);
            (worker.trust.stage, worker.trust.refuted) = (Stage::Aside, 0);
            worker.trust.times_aside += 1;
            worker.paused_until = Some(now + time);
            let recall = (worker.queued() > 0 && worker.recalled.is_none()).then(|| worker.queued());
            recall.into_iter().for_each(|count| worker.ask_back(count));
            (time, recall)
        });
        actions.notes.push(Note::SetAside { rank, tasks, time });
        actions.sends.extend(recall.map(|count| (rank, Send::Recall { count })));
        self.doubts.settled = true;
    }

    /// The failures of a rank count as attempts only; tells how many there are.
    pub(super) fn give_back(&mut self, rank: Rank, actions: &mut Actions) -> u32 {
        let results = self.doubts.take(rank);
        let mut count = 0;
        for result in results {
            if self.tasks.owner(result.id) == Some(rank) {
                // It came to an end of its own, whoever's fault that was.
                self.tasks.set_crashes(result.id, 0);
                self.tasks.put_back(result.id, true);
                self.doubts.given_back.insert(result.id, rank);
                actions.records.push(Record { rank, result, why: Why::Failed, is_last: false });
                count += 1;
            }
        }
        count
    }

    /// The failures of a rank are the tasks' own.
    fn record_doubts(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        for result in self.doubts.take(rank) {
            self.record(now, rank, result, actions);
        }
    }

    /// All failures that wait for a judgement are recorded: it would come too late.
    pub(super) fn record_all_doubts(&mut self, now: Duration, actions: &mut Actions) {
        while let Some((&rank, _)) = self.doubts.by_rank.first_key_value() {
            self.record_doubts(now, rank, actions);
        }
    }

    /// The rank gets tasks as before. With `success` a task did well there.
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
                worker.paused_until = None;
            }
        });
        if success {
            self.record_doubts(now, rank, actions);
        }
        if stage != Stage::Trusted {
            actions.notes.push(Note::Trusted(rank));
            self.doubts.settled = true;
        }
    }

    /// A pause of this rank is over.
    pub(super) fn on_pause_over(&mut self, now: Duration, rank: Rank, actions: &mut Actions) {
        if !self.hands_out(now) {
            return;
        }
        match self.workers.get(rank).map(|worker| worker.trust.stage) {
            Some(Stage::Watched) => {
                self.settle(now, rank, actions);
                let watched = self.workers.get(rank).filter(|worker| worker.trust.stage == Stage::Watched);
                match watched.map(|worker| worker.trust.watched_until) {
                    Some(until) if now < until => {
                        self.workers.update(rank, |worker| worker.paused_until = Some(now + WATCH_STEP));
                    }
                    Some(_) => self.acquit(now, rank, actions), // What is not known by now will not be known.
                    None => {}
                }
            }
            Some(Stage::Aside) => {
                self.workers.update(rank, |worker| worker.trust.stage = Stage::Tried);
                self.assign(now, rank, 1, actions);
                self.workers.update(rank, |worker| worker.paused_until = Some(now + ALIVE_AFTER));
            }
            Some(Stage::Tried) => self.trust_again(now, rank, false, actions),
            Some(Stage::Trusted) | None => {}
        }
    }

    /// What time brings: judgements that are due, and the end of all judging when nobody else is left.
    pub(super) fn check_doubts(&mut self, now: Duration, actions: &mut Actions) {
        if self.workers.aside() > 0 && self.workers.aside() == self.workers.able() {
            let is_aside = |(_, worker): &(Rank, &WorkerState)| worker.trust.is_aside();
            let aside: Vec<Rank> = self.workers.iter().filter(is_aside).map(|(rank, _)| rank).collect();
            for rank in aside {
                self.trust_again(now, rank, false, actions);
            }
        }
    }

    /// Records failures that nobody has judged in time.
    pub(super) fn record_overdue_doubts(&mut self, now: Duration, actions: &mut Actions) {
        while let Some(&(_, rank)) = self.doubts.due.first().filter(|&&(at, _)| at <= now) {
            self.record_doubts(now, rank, actions);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Well,
    Badly,
    Unknown,
}

/// Whether tasks do well on a rank; `None` if it says nothing about that. While a farm is `starting`, ranks come up.
fn how_it_does(now: Duration, worker: &WorkerState, starting: bool) -> Option<Doing> {
    let trust = &worker.trust;
    if worker.status == Status::Expected && starting {
        return Some(Doing::Unknown);
    }
    if trust.is_aside() {
        return None;
    }
    if trust.streak >= STREAK_OF_OTHERS {
        return Some(Doing::Badly);
    }
    let handed = trust.first_handed?; // None too for ranks that are lost, or take no tasks.
    let runs = worker.held() > 0 && now.saturating_sub(handed) >= ALIVE_AFTER;
    match trust.succeeded || runs {
        true => Some(Doing::Well),
        false => (worker.held() > 0).then_some(Doing::Unknown),
    }
}
