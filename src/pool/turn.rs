//! One step of a pool: an event goes in, and everything that follows from it is done, in order.
//!
//! Generic over what a process is, and without a clock: production and simulation run the same code.

use std::time::Duration;

use crate::protocol::{Assignment, StopLevel, ToFarmer};
use crate::task::Outcome;
use crate::worker::{Action, Event, Usage, Worker};

/// Why a task did not start.
#[derive(Debug)]
pub enum SpawnError {
    /// The node is short of something; it may work later or elsewhere.
    Refused(String),
    /// It will not work on any node; the task has failed.
    Impossible(Outcome, Usage),
    /// The same, but the text for its log cannot be written yet.
    OutputWaits,
}

impl SpawnError {
    /// The event for the worker core.
    pub fn into_event(self, slot: u32, task: Assignment) -> Event {
        match self {
            Self::Refused(error) => {
                log::warn!("cannot start a task now ({error}); trying again");
                Event::SpawnRefused { slot, task }
            }
            Self::Impossible(outcome, usage) => Event::Ended { slot, outcome, usage },
            Self::OutputWaits => Event::OutputWaits { slot },
        }
    }
}

/// Where tasks run.
pub trait Processes {
    /// Starts a task in a slot, with these of the rank's GPUs if tasks differ in what they ask for, or arranges for it to
    /// be started soon: if that fails later, the event of [`SpawnError::into_event`] comes then.
    ///
    /// # Errors
    /// If it cannot be started now.
    fn spawn(&mut self, now: Duration, slot: u32, task: &Assignment, gpus: &[u32]) -> Result<(), SpawnError>;

    /// The task in this slot is over, or was not started.
    fn is_over(&mut self, _slot: u32) {}

    /// SIGTERM to all processes of the task in this slot, if there is one.
    fn terminate(&mut self, slot: u32);

    /// SIGKILL to all processes of the task in this slot, if there is one; later ones too.
    fn kill(&mut self, slot: u32);

    /// The farm stops: output that has no place is not waited for as long.
    fn stop(&mut self, _level: StopLevel) {}
}

/// The worker core and the processes that it decides on.
#[derive(Debug)]
pub struct Turns<P> {
    /// The core.
    pub core: Worker,
    /// The processes.
    pub processes: P,
    actions: Vec<Action>,
}

impl<P: Processes> Turns<P> {
    /// Combines the parts.
    pub fn new(core: Worker, processes: P) -> Self {
        Self { core, processes, actions: Vec::new() }
    }

    /// Handles one event and does what follows; messages for the farmer are appended to `out`.
    pub fn turn(&mut self, now: Duration, event: Event, out: &mut Vec<ToFarmer>) {
        self.handle(now, event);
        self.perform(now, out);
    }

    fn handle(&mut self, now: Duration, event: Event) {
        if let Event::Ended { slot, .. } | Event::SpawnRefused { slot, .. } | Event::OutputWaits { slot } = &event {
            self.processes.is_over(*slot);
        }
        self.core.handle(now, event, &mut self.actions);
    }

    /// Ends a round of events: see [`Worker::flush`].
    pub fn flush(&mut self, now: Duration, out: &mut Vec<ToFarmer>) {
        self.core.flush(now, &mut self.actions);
        self.perform(now, out);
    }

    fn perform(&mut self, now: Duration, out: &mut Vec<ToFarmer>) {
        // A spawn that fails makes an event, which may make further actions, after those that wait.
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Spawn { slot, task, gpus } => self.spawn(now, slot, task, &gpus),
                    Action::Terminate(slot) => self.processes.terminate(slot),
                    Action::Kill(slot) => self.processes.kill(slot),
                    Action::Send(message) => out.push(message),
                }
            }
        }
    }

    fn spawn(&mut self, now: Duration, slot: u32, task: Assignment, gpus: &[u32]) {
        if let Err(error) = self.processes.spawn(now, slot, &task, gpus) {
            self.handle(now, error.into_event(slot, task));
        }
    }
}
