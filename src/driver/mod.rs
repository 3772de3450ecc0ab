//! The loops of the MPI processes: gather events, call the core, perform its actions in order.
//!
//! [`farmer`] is rank 0's, [`relay`] that of all others. [`turn`] is the farmer's step, free of any system call,
//! so that a simulation can run the very same one. [`reader`] is where the tasklist comes from, and `check` what it
//! has to pass.

mod asker;
mod check;
pub mod farmer;
mod job_end;
mod keep_alive;
pub mod link;
pub mod pace;
pub mod reader;
pub mod relay;
pub mod turn;

use std::time::Duration;

/// A relay with nothing to say says so this often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A peer that is silent for longer is lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
