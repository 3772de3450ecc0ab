//! Tasks that take down their pool or their node: poison.
//!
//! Owns the count of crashes and its consequences. A *crash* of a task is the loss of its pool or rank while it was
//! executing. A task that has crashed is a *suspect*: it runs again after all others, on a rank that holds nothing else
//! ([`super::handout`]). Innocent tasks are cleared when they end, and the guilty one is identified. Only a suspect
//! that ran alone is ever recorded as failed. Tasks that waited in a queue are never blamed, and nothing is blamed for
//! a stop.

use std::time::Duration;

use super::handout::Room;
use super::state::Status;
use super::{Actions, Farmer, Note, Record, Send};
use crate::task::{Executing, Rank, TaskId, Verdict};

/// A pool that dies this many times in a row, while no task executes and without a task having ended, is not restarted.
const IDLE_DEATHS_MAX: u32 = 3;

/// Which tasks may be the cause of a loss.
#[derive(Debug)]
pub(super) enum Blame {
    /// None of them.
    None,
    /// Those that were executing.
    Executing(Vec<Executing>),
    /// Unknown: the first tasks that the rank was given, at most as many as it has slots.
    Unknown,
}

impl Farmer {
    /// The pool of a rank died. Restarts it, if that makes sense.
    pub(super) fn on_pool_lost(
        &mut self,
        now: Duration,
        rank: Rank,
        reason: String,
        executing: Vec<Executing>,
        can_restart: bool,
        actions: &mut Actions,
    ) {
        let Some(worker) = self.workers.get(rank) else { return };
        if matches!(worker.status(), Status::Stopped | Status::Gone) {
            return;
        }
        // Each crash brings a task closer to its verdict, so only deaths without a task could repeat forever.
        let deaths = if executing.is_empty() { worker.idle_deaths + 1 } else { 0 };
        let assigned = worker.book.tasks().to_vec();
        let blame = Blame::Executing(executing);
        if !can_restart || self.is_ending() || deaths > IDLE_DEATHS_MAX {
            self.lose(rank, Status::Gone, reason, &blame, actions);
        } else {
            let at = actions.notes.len();
            let tasks = self.release_lost(rank, &assigned, &blame, actions);
            self.workers.update(rank, |worker| {
                worker.restart(now);
                worker.idle_deaths = deaths;
            });
            actions.sends.push((rank, Send::Start));
            // The cause goes before its consequences.
            actions.notes.insert(at, Note::PoolDied { rank, reason, tasks });
        }
        self.room = Room::All;
    }

    /// Counts a crash for each task of this rank that may be the cause of its loss; returns how many run again.
    pub(super) fn charge(&mut self, rank: Rank, assigned: &[TaskId], blame: &Blame, actions: &mut Actions) -> u32 {
        let suspects: Vec<Executing> = match blame {
            _ if self.ends_tasks() => Vec::new(),
            Blame::None => Vec::new(),
            Blame::Executing(executing) => executing.clone(),
            Blame::Unknown => {
                let slots = self.workers.get(rank).map_or(0, |worker| worker.book.slots()) as usize;
                assigned.iter().take(slots).map(|&id| Executing { id, slot: 0, start_us: 0, duration_us: 0 }).collect()
            }
        };
        let is_alone = match blame {
            Blame::Unknown => assigned.len() == 1,
            Blame::Executing(_) | Blame::None => suspects.len() == 1,
        };
        let mut ids = Vec::new();
        let mut count = 0;
        for executing in suspects {
            let id = executing.id;
            if self.tasks.owner(id) != Some(rank) || self.doubts.holds(rank, id) {
                continue;
            }
            let crashes = self.tasks.crashes(id).saturating_add(1);
            let mut record = Record::crashed(rank, executing, self.tasks.attempt(id));
            if is_alone && crashes >= self.settings.rules.crash_limit {
                record.is_last = self.tasks.record(id, Verdict::Failed);
                actions.notes.push(Note::Crashed { id, rank, crashes });
            } else {
                self.tasks.set_crashes(id, crashes);
                self.tasks.put_back(id, true);
                count += 1;
                ids.push(id);
            }
            actions.records.push(record);
        }
        if !ids.is_empty() {
            self.workers.update(rank, |worker| worker.charged = ids.clone());
            actions.notes.push(Note::Suspected { rank, ids });
        }
        count
    }
}
