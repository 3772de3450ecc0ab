//! Ranks that are lost, and ranks that come back.
//!
//! Owns the rules about silence, what happens to a lost rank's tasks, and how a rank rejoins. A rank that was given up
//! may have missed messages since; before it gets tasks again, it reports what it still holds. [`super::crashes`]
//! decides which of its tasks may be the cause.

use std::time::Duration;

use super::crashes::Blame;
use super::handout::Room;
use super::state::{State, Status};
use super::workers::WorkerState;
use super::{Actions, Farmer, Note, Record, Send};
use crate::protocol::{ToFarmer, ToWorker};
use crate::task::{FARMER, Rank, TaskId};

impl Farmer {
    /// Gives up a worker. Its tasks go to others with the next attempt number.
    pub(super) fn lose(&mut self, rank: Rank, status: Status, reason: String, blame: &Blame, actions: &mut Actions) {
        let worker = self.workers.get(rank).expect("checked by the caller");
        if matches!(worker.status(), Status::Stopped | Status::Gone) || worker.status() == status {
            return;
        }
        let assigned = worker.book.tasks().to_vec();
        self.workers.update(rank, |worker| {
            worker.state.lose(status == Status::Gone);
            if status == Status::Gone {
                worker.book.clear();
            }
        });
        let tasks = self.release_lost(rank, &assigned, blame, actions);
        self.lost.insert(rank);
        self.mixture.iter_mut().for_each(|mixture| mixture.is_stale = true);
        // The pool of rank 0 is not a member of MPI.
        self.unreachable |= status == Status::Lost && rank != FARMER;
        self.room = Room::All;
        actions.notes.push(Note::Lost { rank, reason, tasks });
    }

    /// Puts back what a worker was responsible for and did not report.
    pub(super) fn release(&mut self, rank: Rank, assigned: &[TaskId]) {
        for &id in assigned {
            if self.tasks.owner(id) == Some(rank) {
                self.tasks.put_back(id, false);
            }
        }
    }

    /// The same for a rank that is lost: it costs each task an attempt. Returns how many there are.
    pub(super) fn release_lost(
        &mut self,
        rank: Rank,
        assigned: &[TaskId],
        blame: &Blame,
        actions: &mut Actions,
    ) -> u32 {
        let mut count = self.charge(rank, assigned, blame, actions);
        for &id in assigned {
            if self.tasks.owner(id) == Some(rank) {
                actions.records.push(Record::lost(rank, id, self.tasks.attempt(id)));
                self.tasks.put_back(id, true);
                count += 1;
            }
        }
        // Its failures may have been the first sign of its loss.
        count + self.give_back(rank, actions)
    }

    /// Gives up all workers in play for which `dead` holds.
    pub(super) fn lose_where(
        &mut self,
        actions: &mut Actions,
        reason: &str,
        dead: impl Fn(Rank, &WorkerState) -> bool,
    ) {
        let dead = |&(rank, worker): &(Rank, &WorkerState)| worker.status().is_open() && dead(rank, worker);
        let ranks: Vec<Rank> = self.workers.iter().filter(dead).map(|(rank, _)| rank).collect();
        for rank in ranks {
            self.lose(rank, Status::Lost, reason.to_owned(), &Blame::Unknown, actions);
        }
    }

    /// Gives up ranks that were silent for too long, but only when all waiting messages were read: after the farmer was
    /// delayed, one message may be followed by a further delay while messages from the seemingly silent ranks are still
    /// queued. Rank 0 is exempt: its pool has no relay that sends heartbeats, and a socket reports a death by itself.
    pub(super) fn check_silence(&mut self, now: Duration, actions: &mut Actions) {
        if now < self.next_silence_check {
            return;
        }
        let limit = self.settings.silence_max;
        let interval = limit / 4;
        if now - self.next_silence_check > interval {
            // The farmer itself was delayed: suspended, or behind a slow disk. The messages of the others wait to be
            // read.
            self.listening_since = now;
        }
        self.next_silence_check = now + interval;
        let reason = format!("it has not responded for {} s", limit.as_secs());
        let since = self.listening_since;
        let silent = |rank, worker: &WorkerState| rank != FARMER && now - worker.heard.max(since) > limit;
        self.lose_where(actions, &reason, silent);
    }

    /// A rank that had been given up responds again: it takes part from now on.
    pub(super) fn welcome_back(&mut self, now: Duration, rank: Rank, message: &ToFarmer, actions: &mut Actions) {
        let worker = self.workers.get(rank).expect("checked by the caller");
        let State::Lost { awaits_start } = worker.state else { return };
        if matches!(message, ToFarmer::PoolLost { .. } | ToFarmer::Unfit { .. }) {
            return;
        }
        if awaits_start && !matches!(message, ToFarmer::Hello { .. }) {
            // Its pool had died, and the Start of the next one may have been dropped. A second Start does no harm.
            if !self.is_ending() {
                self.workers.update(rank, |worker| worker.state = State::Expected { again: true });
                actions.notes.push(Note::CameBack(rank));
                actions.sends.push((rank, Send::Start));
            }
            return;
        }
        let was_up = worker.book.slots() > 0 || !worker.host.is_empty();
        if !was_up && !matches!(message, ToFarmer::Hello { .. }) {
            return; // A heartbeat of a rank whose pool never started: it remains lost.
        }
        self.workers.update(rank, |worker| worker.state.join());
        self.mixture.iter_mut().for_each(|mixture| mixture.is_stale = true);
        actions.notes.push(Note::CameBack(rank));
        if let Some(level) = self.stop_level() {
            actions.send(rank, ToWorker::Stop { level });
        } else if was_up {
            let seq = self.workers.update(rank, |worker| worker.ask_to_rejoin(now));
            actions.send(rank, ToWorker::Rejoin { seq });
            // It may have missed the current limit.
            self.send_limit(rank, actions);
        }
    }

    /// A rank that came back reports what it still holds. A task that it runs and no other rank has yet is its own again.
    pub(super) fn on_holds(&mut self, rank: Rank, seq: u32, tasks: &[TaskId], actions: &mut Actions) {
        let held: std::collections::BTreeSet<TaskId> = tasks.iter().copied().collect();
        let answered = self.workers.update(rank, |worker| worker.on_rejoined(seq, &held));
        if !answered {
            return actions.notes.push(Note::Odd(rank, "it answers a question that is out of date"));
        }
        let (assigned, charged) =
            self.workers.update(rank, |worker| (worker.book.tasks().to_vec(), std::mem::take(&mut worker.charged)));
        // It was not down at all, so none of these tasks has taken it down.
        for id in charged {
            self.tasks.set_crashes(id, self.tasks.crashes(id).saturating_sub(1));
        }
        for id in assigned {
            self.tasks.adopt(id, rank);
        }
        self.room.add(rank);
    }
}
