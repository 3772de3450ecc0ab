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
    pub mod cli {
        pub use crate::cli::Cli;
    }
    pub mod config {
        pub use crate::config::Config;
    }
    pub mod driver {
        pub mod farmer {
            pub use crate::driver::farmer::run;
        }
        pub mod relay {
            pub use crate::driver::relay::run;
        }
        pub mod turn {
            pub use crate::driver::turn::{Network, Storage, Turns};
        }
    }
    pub mod farmer {
        pub use crate::farmer::{Actions, Cause, Event, Farmer, Record, Rules, Send, Settings, TaskTable};
    }
    pub mod figures {
        pub mod tally {
            pub use crate::figures::tally::Tally;
        }
        pub mod watch {
            pub use crate::figures::watch::Watch;
        }
    }
    pub mod ini {
        pub use crate::ini::{Kind, load_files};
    }
    pub mod lengths {
        pub use crate::lengths::micros;
    }
    pub mod pool {
        pub mod handle {
            pub use crate::pool::handle::PoolHandle;
        }
        pub mod turn {
            pub use crate::pool::turn::{Processes, SpawnError, Turns};
        }
    }
    pub mod protocol {
        pub use crate::protocol::{Assignment, PROTOCOL_VERSION, SlotCount, ToFarmer, ToWorker};
        pub mod codec {
            pub use crate::protocol::codec::{decode, encode};
        }
        pub mod framing {
            pub use crate::protocol::framing::{FrameReader, push_message};
        }
    }
    pub mod runner {
        pub use crate::runner::{Runner, RunnerConfig};
        pub mod environment {
            pub use crate::runner::environment::Environment;
        }
        pub mod shell_rules {
            pub use crate::runner::shell_rules::{ShellRules, TAKEN_OUT_BY_BASH};
        }
    }
    pub mod sim {
        pub use crate::sim::{SEED_VARIABLE, try_seed};
        pub mod options {
            pub use crate::sim::options::Lengths;
        }
        pub mod plan {
            pub use crate::sim::plan::draw_length;
        }
        pub mod prng {
            pub use crate::sim::prng::Prng;
        }
    }
    pub mod sys {
        pub mod clock {
            pub use crate::sys::clock::Clock;
        }
        pub mod fork {
            pub use crate::sys::fork::{Forked, fork_pool};
        }
        pub mod launcher {
            pub use crate::sys::launcher::Launch;
        }
        pub mod mpi {
            pub use crate::sys::mpi::{Mpi, library_version};
        }
        pub mod process {
            pub use crate::sys::process::{Command, Spawner};
        }
        pub mod signals {
            pub use crate::sys::signals::{SignalSource, block_all};
        }
        pub mod transport {
            pub use crate::sys::transport::Leave;
        }
    }
    pub mod task {
        pub use crate::task::{Attempt, Outcome, Rank, TaskId, TaskResult};
    }
    pub mod tasklist {
        pub use crate::tasklist::{Handler, Source, TaskList};
        pub mod judge {
            pub use crate::tasklist::judge::look;
        }
    }
    pub mod worker {
        pub use crate::worker::{Event, Usage, Worker};
    }
}
