//! The loops of the MPI processes: gather events, call the core, perform its actions in order.
//!
//! [`farmer`] is rank 0's, [`relay`] that of all others. [`turn`] is the farmer's step, free of any system call, so
//! that a simulation can run exactly the same code. [`reader`] provides the tasklist, and `check` defines what it must
//! pass.

mod asker;
mod check;
pub(crate) mod farmer;
mod job_end;
mod keep_alive;
pub(crate) mod link;
pub(crate) mod pace;
mod process;
pub(crate) mod reader;
pub(crate) mod relay;
mod running;
pub(crate) mod turn;

use std::time::Duration;

/// A peer that is silent for longer than this is lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
