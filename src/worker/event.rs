//! What goes into the worker core and what comes out of it.
//!
//! Owns the types only; what they lead to is decided in [`super`].

use crate::protocol::{Assignment, Outcome, ToFarmer, ToWorker};

/// What is measured of an attempt.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// When it got its slot, in microseconds since 1970.
    pub start_us: u64,
    /// Length from then on, in microseconds.
    pub duration_us: u64,
    /// User CPU time, in microseconds.
    pub user_us: u64,
    /// System CPU time, in microseconds.
    pub system_us: u64,
    /// Largest resident set, in KiB.
    pub max_rss_kib: u64,
}

/// What can happen to a worker.
#[derive(Debug)]
pub enum Event {
    /// The farmer said something. Start is the pool's business, not the core's.
    Message(ToWorker),
    /// A [`Action::Spawn`] was refused for lack of something that may come back: processes, memory, descriptors.
    SpawnRefused {
        /// As in the action.
        slot: u32,
        /// As in the action.
        task: Assignment,
    },
    /// The first process of the task in this slot has ended, and others that it has started are left.
    Lingers(u32),
    /// The task of this slot is over, but its output has no place yet. [`Event::Ended`] comes when it has, or when the
    /// slot is to be terminated or killed.
    OutputWaits {
        /// Its slot.
        slot: u32,
    },
    /// The task of this slot is gone, with all its processes, or never ran ([`Outcome::NotStarted`]).
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

/// What the pool is to do, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start a task. If it fails, say so by an event at once.
    Spawn {
        /// The slot that it takes.
        slot: u32,
        /// The task.
        task: Assignment,
    },
    /// SIGTERM (and SIGCONT, so that a stopped task wakes up to die) to all processes of the task in this slot.
    Terminate(u32),
    /// SIGKILL to all processes of the task in this slot.
    Kill(u32),
    /// Say this to the farmer.
    Send(ToFarmer),
}
