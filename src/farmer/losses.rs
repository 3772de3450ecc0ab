//! Ranks that are lost, and ranks that come back.
//!
//! Owns the judgement on silence, what becomes of a lost rank's tasks, and how a rank is taken in again. A rank that
//! was given up may have missed any message since; before it gets tasks again it tells what it still holds. Which of its
//! tasks may be to blame is judged in [`super::crashes`].

use std::time::Duration;

use super::crashes::Blame;
use super::workers::{Status, WorkerState};
use super::{Actions, Farmer, Note, Record, Send};
use crate::protocol::{FARMER, Rank, TaskId, ToFarmer};

impl Farmer {
    /// Gives a worker up. Its tasks go to others with the next attempt number.
    pub(super) fn lose(&mut self, rank: Rank, status: Status, reason: String, blame: &Blame, actions: &mut Actions) {
        let worker = self.workers.get(rank).expect("checked by the caller");
        if matches!(worker.status, Status::Stopped | Status::Gone) || worker.status == status {
            return;
        }
        let book = worker.book.clone();
        self.workers.update(rank, |worker| {
            worker.status = status;
            if status == Status::Gone {
                worker.book.clear();
            }
        });
        let tasks = self.release_lost(rank, &book, blame, actions);
        self.lost.insert(rank);
        self.unreachable |= status == Status::Lost;
        actions.notes.push(Note::Lost { rank, reason, tasks });
    }

    /// Puts back what a worker was responsible for and did not report.
    pub(super) fn release(&mut self, rank: Rank, book: &[TaskId]) {
        for &id in book {
            if self.tasks.owner(id) == Some(rank) {
                self.tasks.put_back(id, false);
            }
        }
    }

    /// The same for a rank that is lost: it costs each task an attempt. Tells how many there are.
    pub(super) fn release_lost(&mut self, rank: Rank, book: &[TaskId], blame: &Blame, actions: &mut Actions) -> u32 {
        let mut count = self.charge(rank, book, blame, actions);
        for &id in book {
            if self.tasks.owner(id) == Some(rank) {
                actions.records.push(Record::lost(rank, id, self.tasks.attempt(id)));
                self.tasks.put_back(id, true);
                count += 1;
            }
        }
        // Its failures may have been the first sign of its end.
        count + self.give_back(rank, actions)
    }

    /// Gives up all workers in play for which `dead` holds; tells whether there was one.
    pub(super) fn lose_where(
        &mut self,
        actions: &mut Actions,
        reason: &str,
        dead: impl Fn(Rank, &WorkerState) -> bool,
    ) -> bool {
        let dead = |&(rank, worker): &(Rank, &WorkerState)| worker.status.is_open() && dead(rank, worker);
        let ranks: Vec<Rank> = self.workers.iter().filter(dead).map(|(rank, _)| rank).collect();
        for &rank in &ranks {
            self.lose(rank, Status::Lost, reason.to_owned(), &Blame::Unknown, actions);
        }
        !ranks.is_empty()
    }

    /// Gives up ranks that were silent for too long. Only when all that waited was read: after an absence, one message
    /// may be followed by another absence, and those that are silent so far are next in the queue. Not rank 0: its pool
    /// has no relay that would say it lives, and a socket tells of a death by itself.
    pub(super) fn check_silence(&mut self, now: Duration, actions: &mut Actions) {
        if now < self.next_silence_check {
            return;
        }
        let limit = self.settings.silence_max;
        let interval = limit / 4;
        if now - self.next_silence_check > interval {
            // It is we who were away, suspended or behind a slow disk. What the others said waits to be read.
            self.listening_since = now;
        }
        self.next_silence_check = now + interval;
        let reason = format!("it has not responded for {} s", limit.as_secs());
        let since = self.listening_since;
        let silent = |rank, worker: &WorkerState| rank != FARMER && now - worker.heard.max(since) > limit;
        if self.lose_where(actions, &reason, silent) {
            self.fill_idle(now, actions);
        }
    }

    /// A rank that had been given up is heard again: it takes part from here on.
    pub(super) fn welcome_back(&mut self, now: Duration, rank: Rank, message: &ToFarmer, actions: &mut Actions) {
        let worker = self.workers.get(rank).expect("checked by the caller");
        if worker.status != Status::Lost || matches!(message, ToFarmer::PoolLost { .. } | ToFarmer::Unfit { .. }) {
            return;
        }
        if worker.awaits_start && !matches!(message, ToFarmer::Hello { .. }) {
            // Its pool had died, and what was to start the next one may have been dropped. A second Start does no harm.
            if self.stop.is_none() {
                self.workers.update(rank, |worker| worker.status = Status::Expected);
                actions.notes.push(Note::CameBack(rank));
                actions.sends.push((rank, Send::Start));
            }
            return;
        }
        let was_up = worker.slots > 0 || !worker.host.is_empty();
        if !was_up && !matches!(message, ToFarmer::Hello { .. }) {
            return; // A heartbeat of a rank whose pool never came up: it is as lost as before.
        }
        self.workers.update(rank, |worker| worker.status = Status::Active);
        actions.notes.push(Note::CameBack(rank));
        if let Some(stop) = &self.stop {
            actions.sends.push((rank, Send::Stop { level: stop.level }));
        } else if was_up {
            let seq = self.workers.update(rank, |worker| worker.ask_to_rejoin(now));
            actions.sends.push((rank, Send::Rejoin { seq }));
            // It may have missed the last word on it.
            self.tell_limit(rank, actions);
        }
    }

    /// A rank that came back tells what it still holds. What it runs and nobody else has yet is its own again.
    pub(super) fn on_holds(&mut self, now: Duration, rank: Rank, seq: u32, tasks: &[TaskId], actions: &mut Actions) {
        let held: std::collections::BTreeSet<TaskId> = tasks.iter().copied().collect();
        let answered = self.workers.update(rank, |worker| worker.on_rejoined(seq, &held));
        if !answered {
            return actions.notes.push(Note::Odd(rank, "it answers a question that is out of date"));
        }
        let (book, charged) =
            self.workers.update(rank, |worker| (worker.book.clone(), std::mem::take(&mut worker.charged)));
        // It was not down at all, so none of them has taken it down.
        for id in charged {
            self.tasks.set_crashes(id, self.tasks.crashes(id).saturating_sub(1));
        }
        for id in book {
            self.tasks.adopt(id, rank);
        }
        self.fill(now, rank, actions);
        self.recall(now, actions);
    }
}
