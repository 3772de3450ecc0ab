//! What a worker's messages mean.
//!
//! Owns the farmer's response to each variant of [`ToFarmer`]. Ranks have been checked; everything else in a message
//! may hold anything.

use std::time::Duration;

use super::crashes::Blame;
use super::handout::Room;
use super::state::{State, Status};
use super::workers::WorkerState;
use super::{Actions, Cause, Farmer, Note, Record, StopCause};
use crate::demand::Capacity;
use crate::protocol::{PROTOCOL_VERSION, StopLevel, ToFarmer, ToWorker};
use crate::task::{Rank, TaskId, TaskResult};

/// What has happened to tasks, in a Report.
struct News {
    results: Vec<TaskResult>,
    interrupted: Vec<TaskResult>,
    returned: Vec<TaskId>,
}

/// What a worker reports about its node.
struct Node {
    host: String,
    slots: u32,
    capacity: Capacity,
    shortage: Option<String>,
}

impl Farmer {
    pub(super) fn on_message(&mut self, now: Duration, rank: Rank, message: ToFarmer, actions: &mut Actions) {
        self.workers.update(rank, |worker| worker.heard = now);
        self.welcome_back(now, rank, &message, actions);
        match message {
            ToFarmer::Hello { protocol, host, slots, capacity, shortage } => {
                self.on_hello(rank, protocol, Node { host, slots, capacity, shortage }, actions);
            }
            ToFarmer::Report {
                results,
                interrupted,
                returned,
                ack,
                ack_age_us,
                undecided,
                recall_answered,
                pause_ms,
            } => {
                let age = Duration::from_micros(ack_age_us);
                let pause = (pause_ms > 0).then(|| now + Duration::from_millis(u64::from(pause_ms)));
                if pause.is_some() {
                    actions.notes.push(Note::Paused(rank));
                }
                let gives_back = !returned.is_empty() || !interrupted.is_empty();
                let status = |worker: &mut WorkerState| {
                    worker.acknowledge(now, ack, age);
                    worker.book.set_undecided(undecided);
                    worker.pause_at_least(pause);
                    if recall_answered {
                        worker.answered_recall(gives_back);
                    }
                };
                let news = News { results, interrupted, returned };
                self.on_report(now, rank, news, status, actions);
            }
            ToFarmer::Heartbeat => actions.send(rank, ToWorker::Heartbeat),
            ToFarmer::Signaled { signal } => self.on_signal(now, rank, signal, actions),
            ToFarmer::Stopped => self.on_stopped(rank, actions),
            ToFarmer::PoolLost { reason, executing, can_restart } => {
                self.on_pool_lost(now, rank, reason, executing, can_restart, actions);
            }
            ToFarmer::Unfit { reason } => {
                self.lose(rank, Status::Gone, reason, &Blame::None, actions);
            }
            ToFarmer::LogsFailed { reason } => {
                let host = self.workers.get(rank).map_or("", |worker| &worker.host);
                let reason = format!("rank {rank} ({host}) {reason}");
                self.request_stop(now, StopLevel::Terminate, StopCause::FarmFailed(reason), actions);
            }
            ToFarmer::Log { level, text } => actions.notes.push(Note::Log { rank, level, text }),
            ToFarmer::Holds { seq, tasks } => self.on_holds(rank, seq, &tasks, actions),
        }
    }

    fn on_hello(&mut self, rank: Rank, protocol: u32, node: Node, actions: &mut Actions) {
        if protocol != PROTOCOL_VERSION {
            let reason =
                format!("it speaks protocol version {protocol}, rank 0 speaks {PROTOCOL_VERSION}: another program");
            return self.lose(rank, Status::Gone, reason, &Blame::None, actions);
        }
        if !self.workers.get(rank).is_some_and(|worker| worker.status().is_open()) {
            return actions.notes.push(Note::Odd(rank, "Hello from a rank that had ended"));
        }
        self.workers.update(rank, |worker| {
            worker.state.join();
            worker.host = node.host;
            worker.book.set_slots(node.slots);
            worker.capacity = node.capacity;
            worker.shortage = node.shortage;
            if let Some(mixture) = &mut self.mixture {
                mixture.is_stale = true;
                worker.book.set_capacity(node.capacity, &mixture.loads);
            }
        });
        actions.notes.push(Note::Joined(rank));
        self.send_limit(rank, actions);
        self.room.add(rank);
    }

    fn on_report(
        &mut self,
        now: Duration,
        rank: Rank,
        News { mut results, mut interrupted, mut returned }: News,
        status: impl FnOnce(&mut WorkerState),
        actions: &mut Actions,
    ) {
        let (all, differ) = (results.len(), self.mixture.is_some());
        // One update for all, because the indexes are updated after each.
        self.workers.update(rank, |worker| {
            results.retain(|result| {
                let class = worker.book.remove(result.id);
                worker.recent.extend(class.filter(|_| differ));
                class.is_some()
            });
            interrupted.retain(|result| worker.book.remove(result.id).is_some());
            returned.retain(|&id| worker.book.remove(id).is_some());
            let total_us = results.iter().fold(0_u64, |sum, result| sum.saturating_add(result.duration_us));
            worker.learn_length(total_us, results.len() as u64);
            worker.trust.learn(&results);
            if !results.is_empty() {
                worker.idle_deaths = 0;
            }
            status(worker);
        });
        self.stale_results += (all - results.len()) as u64;
        if let Some(mixture) = &mut self.mixture {
            mixture.learn(results.iter().map(|result| (self.tasks.class(result.id), result.duration_us)));
        }
        for result in results {
            if let Some(result) = self.judge(now, rank, result, actions) {
                self.record(now, rank, result, actions);
            }
        }
        self.follow_median(actions);
        self.learn_task_time();
        match interrupted.is_empty() && returned.is_empty() {
            true => self.room.add(rank),
            false => self.room = Room::All,
        }
        for result in interrupted {
            if self.tasks.owner(result.id) == Some(rank) {
                self.tasks.put_back(result.id, false);
                actions.records.push(Record { rank, result, cause: Cause::Interrupted, is_last: false });
            }
        }
        for id in returned {
            if self.tasks.owner(id) == Some(rank) {
                self.tasks.put_back(id, false);
            }
        }
    }

    pub(super) fn on_signal(&mut self, now: Duration, rank: Rank, signal: u8, actions: &mut Actions) {
        let level = self.signals.count(now, rank);
        self.request_stop(now, level, StopCause::Signal { rank, signal }, actions);
    }

    fn on_stopped(&mut self, rank: Rank, actions: &mut Actions) {
        if !self.is_ending() {
            actions.notes.push(Note::Odd(rank, "it stopped without being told to"));
            return self.lose(rank, Status::Gone, "its pool exited unexpectedly".to_owned(), &Blame::None, actions);
        }
        // As far as the farmer knows, anything that it held and did not report did not happen.
        let assigned = self.workers.update(rank, |worker| {
            worker.state = State::Stopped;
            worker.book.clear()
        });
        self.release(rank, &assigned);
    }
}
