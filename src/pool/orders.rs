//! What a pool does with the messages of the farmer.
//!
//! Owns the pool's half of the protocol: Start and its answer, and Stop at any time. Without a clock, a socket or
//! processes of its own: production and simulation run the same code.

use std::time::Duration;

use super::turn::{Processes, Turns};
use crate::demand::Capacity;
use crate::protocol::{PROTOCOL_VERSION, ToFarmer, ToWorker, WorkerConfig};
use crate::worker::{Event, Worker};

/// What a pool has after it was started.
pub(crate) struct Prepared<P> {
    /// Where its tasks run.
    pub(crate) processes: P,
    /// How many run at the same time.
    pub(crate) slots: u32,
    /// What the rank offers.
    pub(crate) capacity: Capacity,
    /// Why it has no slots, if not even one task has room.
    pub(crate) shortage: Option<String>,
    /// The node, as the farmer calls it.
    pub(crate) host: String,
}

/// The node of a pool.
pub(crate) trait Node {
    /// Its processes.
    type Processes: Processes;

    /// Prepares everything that tasks need.
    ///
    /// # Errors
    /// Why this rank cannot run the farm's tasks.
    fn prepare(&mut self, now: Duration, config: &WorkerConfig) -> Result<Prepared<Self::Processes>, String>;

    /// Processes of a pool that is stopped before it was started.
    fn none(&self) -> Self::Processes;
}

/// Handles a message; answers are appended to `out`. `work` is `None` before Start, and after a Start that failed.
pub(crate) fn receive<N: Node>(
    work: &mut Option<Box<Turns<N::Processes>>>,
    now: Duration,
    message: ToWorker,
    node: &mut N,
    out: &mut Vec<ToFarmer>,
) {
    let stop = if let ToWorker::Stop { level } = message { Some(level) } else { None };
    match (&mut *work, message) {
        (None, ToWorker::Start(config)) => match start(now, &config, node) {
            Ok((turns, hello)) => {
                *work = Some(Box::new(turns));
                out.push(hello);
            }
            Err(reason) => out.push(ToFarmer::Unfit { reason }),
        },
        (None, message) => {
            // Stopped before Start, or unfit: there is nothing to stop, but the farmer waits for the answer.
            if stop.is_some() {
                let turns = work.insert(Box::new(Turns::new(Worker::new(0, Duration::ZERO), node.none())));
                turns.turn(now, Event::Message(message), out);
            }
        }
        (Some(turns), message) => turns.turn(now, Event::Message(message), out),
    }
    if let (Some(turns), Some(level)) = (work, stop) {
        turns.processes.stop(level);
    }
}

fn start<N: Node>(
    now: Duration,
    config: &WorkerConfig,
    node: &mut N,
) -> Result<(Turns<N::Processes>, ToFarmer), String> {
    if config.protocol != PROTOCOL_VERSION {
        return Err(format!("it speaks protocol version {PROTOCOL_VERSION}, rank 0 speaks {}", config.protocol));
    }
    let Prepared { processes, slots, capacity, shortage, host } = node.prepare(now, config)?;
    let core = Worker::new(slots, Duration::from_millis(config.grace_ms)).with_kinds(&config.kinds, &capacity);
    let hello = ToFarmer::Hello { protocol: PROTOCOL_VERSION, host, slots, capacity, shortage };
    Ok((Turns::new(core, processes), hello))
}
