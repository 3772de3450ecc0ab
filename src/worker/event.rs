//! Input and output of the worker core.
//!
//! Owns only the types; [`super`] decides what they lead to.

use crate::protocol::{Assignment, ToFarmer, ToWorker};
use crate::task::Outcome;

/// Measurements of an attempt.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// When it got its slot, in microseconds since 1970.
    pub start_us: u64,
    /// Time from then on, in microseconds.
    pub duration_us: u64,
    /// User CPU time, in microseconds.
    pub user_us: u64,
    /// System CPU time, in microseconds.
    pub system_us: u64,
    /// Largest resident set, in KiB.
    pub max_rss_kib: u64,
}

/// Input of the worker core.
#[derive(Debug)]
pub enum Event {
    /// A message from the farmer. Start is handled by the pool, not by the core.
    Message(ToWorker),
    /// An [`Action::Spawn`] was refused because of a shortage that may pass: processes, memory, descriptors.
    SpawnRefused {
        /// As in the action.
        slot: u32,
        /// As in the action.
        task: Assignment,
    },
    /// The first process of the task in this slot has ended, but others that it has started remain.
    Lingers(u32),
    /// The task in this slot has ended, but its output cannot be written to its place yet. [`Event::Ended`] comes when
    /// it has been, or when the slot is to be terminated or killed.
    OutputWaits {
        /// Its slot.
        slot: u32,
    },
    /// The task in this slot is gone, with all its processes, or never ran ([`Outcome::NotStarted`]).
    Ended {
        /// Its slot.
        slot: u32,
        /// How its first process ended.
        outcome: Outcome,
        /// Times and memory.
        usage: Usage,
    },
    /// [`super::Worker::next_deadline`] has come.
    Tick,
}

/// What the pool must do, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start a task. If it fails, report it immediately by an event.
    Spawn {
        /// The slot that it takes.
        slot: u32,
        /// The task.
        task: Assignment,
        /// Which of the rank's GPUs it has, if tasks differ in what they ask for.
        gpus: Vec<u32>,
    },
    /// SIGTERM (and SIGCONT, so that a stopped task wakes up to die) to all processes of the task in this slot.
    Terminate(u32),
    /// SIGKILL to all processes of the task in this slot.
    Kill(u32),
    /// Send this message to the farmer.
    Send(ToFarmer),
}
