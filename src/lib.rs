//! `taskfarmer-mpi`: a task farmer for many nodes.
//!
//! Rank 0, the *farmer*, owns the tasklist and the workdir and hands out tasks over MPI to the workers; every rank runs
//! a *pool* of processes. The path of a task through the crate:
//!
//! [`tasklist`] → [`farmer`] → [`protocol`] → MPI ([`sys`]) → [`driver`]'s relay → [`worker`] → [`pool`], and back:
//! pool → worker → relay → MPI → farmer → [`workdir`].
//!
//! [`farmer`], [`worker`] and [`relay`] are pure: events in, actions out. Everything that has effects is outside them.
//! [`sim`] runs them, with the drivers' own steps, in a simulated world. docs/architecture.md has a diagram.

mod cli;
mod commands;
mod config;
mod demand;
mod driver;
mod exit_code;
mod failures;
mod farmer;
mod figures;
#[cfg(test)]
mod fuzz;
mod ini;
mod lengths;
mod outlet;
mod pool;
mod progress;
mod protocol;
mod relay;
mod runner;
mod shell;
mod shown;
mod sim;
mod start;
mod stderr;
mod stdout;
mod sys;
mod task;
mod tasklist;
mod template;
mod workdir;
mod worker;

pub use start::main;

/// What the benches, the soak and the tests of the whole program use. Not an interface: it changes without notice.
#[doc(hidden)]
pub mod internals {
    pub use crate::cli::Cli;
    pub use crate::config::Config;
    pub use crate::demand::classes::{Class, Kind as TaskKind};
    pub use crate::demand::{Capacity, Demand};
    pub use crate::driver::turn::{Network, Storage, Turns};
    pub use crate::driver::{farmer::run as run_farmer, relay::run as run_relay};
    pub use crate::figures::{tally::Tally, watch::Watch};
    pub use crate::ini::{Kind, load_files};
    pub use crate::lengths::micros;
    pub use crate::pool::handle::PoolHandle;
    pub use crate::pool::turn::{Processes, SpawnError, Turns as PoolTurns};
    pub use crate::protocol::codec::{decode, encode};
    pub use crate::protocol::framing::{FrameReader, push_message};
    pub use crate::protocol::{Assignment, PROTOCOL_VERSION, SlotCount, ToFarmer, ToWorker};
    pub use crate::runner::environment::Environment;
    pub use crate::runner::shell_rules::{ShellRules, TAKEN_OUT_BY_BASH};
    pub use crate::runner::{Runner, RunnerConfig};
    pub use crate::sim::{SEED_VARIABLE, options::Lengths, plan::draw_length, prng::Prng, try_seed};
    pub use crate::sys::clock::Clock;
    pub use crate::sys::fork::{Forked, fork_pool};
    pub use crate::sys::launcher::Launch;
    pub use crate::sys::mpi::{Mpi, library_version};
    pub use crate::sys::process::{Command, Spawner};
    pub use crate::sys::signals::{SignalSource, block_all};
    pub use crate::sys::transport::Leave;
    pub use crate::task::{Attempt, Outcome, Rank, TaskId, TaskResult};
    pub use crate::tasklist::{Handler, Source, TaskList, judge::look};

    pub mod farmer {
        pub use crate::farmer::{Actions, Cause, Event, Farmer, Record, Rules, Send, Settings, TaskTable};
    }
    pub mod worker {
        pub use crate::worker::{Event, Usage, Worker};
    }
}
