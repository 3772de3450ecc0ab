//! One step of the farmer: an event goes in, and everything that follows from it is done, in order.
//!
//! Owns that order: timeline, then `finished` and `failed`, and only then messages. Generic over where messages and
//! records go, and without a clock: production and simulation run the same code.

use std::sync::Arc;
use std::time::Duration;

use crate::farmer::{Actions, Event, Farmer, Note, Record, Send};
use crate::protocol::codec::BATCH_BYTES;
use crate::protocol::{Assignment, ToWorker};
use crate::task::{Attempt, Rank, TaskId};
use crate::tasklist::TaskList;

/// Where messages go.
pub trait Network {
    /// Sends in the background; never blocks, and keeps the order per rank.
    fn send(&mut self, to: Rank, message: &ToWorker);

    /// Sends Start: the first message to a rank, and to a new pool after the previous one died.
    fn start(&mut self, rank: Rank);

    /// The rank is lost: messages that wait for it are dropped.
    fn give_up(&mut self, rank: Rank);
}

/// Where ends of tasks are recorded.
pub trait Storage {
    /// Records them all.
    ///
    /// # Errors
    /// With the tasks that are not recorded, and a message for the user.
    fn record(&mut self, records: &[Record], list: &TaskList) -> Result<(), (Vec<TaskId>, String)>;
}

/// The farmer core and what it works with.
#[derive(Debug)]
pub struct Turns<S> {
    /// The core.
    pub core: Farmer,
    /// The list that its IDs refer to.
    pub list: Arc<TaskList>,
    /// The records.
    pub storage: S,
    actions: Actions,
}

impl<S: Storage> Turns<S> {
    /// Combines the parts.
    pub fn new(core: Farmer, list: Arc<TaskList>, storage: S) -> Self {
        Self { core, list, storage, actions: Actions::default() }
    }

    /// Handles one event and does what follows. Notes for the user go to `notes`.
    pub fn turn(&mut self, now: Duration, event: Event, network: &mut impl Network, notes: &mut Vec<Note>) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.actions.clear();
            self.core.handle(now, event, &mut self.actions);
            if let Err((unwritten, reason)) = self.storage.record(&self.actions.records, &self.list) {
                next = Some(Event::StorageFailed { unwritten, reason });
            }
            for (rank, send) in self.actions.sends.drain(..) {
                match send {
                    Send::Assign { seq, tasks } => {
                        let assignments = &self.actions.assigned[tasks];
                        send_tasks(network, rank, seq, assignments, &self.core, &self.list);
                    }
                    Send::Start => network.start(rank),
                    Send::Message(message) => network.send(rank, &message),
                }
            }
            for note in self.actions.notes.drain(..) {
                if let Note::Lost { rank, .. } = note {
                    network.give_up(rank);
                }
                notes.push(note);
            }
        }
    }
}

/// Sends tasks in messages of bounded size.
fn send_tasks(
    network: &mut impl Network,
    to: Rank,
    seq: u32,
    tasks: &[(TaskId, Attempt)],
    core: &Farmer,
    list: &TaskList,
) {
    let mut batch = Vec::with_capacity(tasks.len());
    let mut bytes = 0;
    for &(id, attempt) in tasks {
        let command = list.command(id);
        if bytes + command.len() > BATCH_BYTES && !batch.is_empty() {
            network.send(to, &ToWorker::Assign { seq, tasks: std::mem::take(&mut batch) });
            bytes = 0;
        }
        bytes += command.len();
        batch.push(Assignment { id, attempt, class: core.tasks().class(id), command: command.to_vec() });
    }
    network.send(to, &ToWorker::Assign { seq, tasks: batch });
}
