//! `taskfarmer-mpi`: a task farmer for many nodes.
//!
//! Rank 0, the *farmer*, owns the tasklist and the workdir and hands out tasks over MPI to the workers; every rank runs
//! a *pool* of processes. The path of a task through the crate:
//!
//! [`tasklist`] → [`farmer`] → [`protocol`] → MPI ([`sys`]) → [`driver`]'s relay → [`worker`] → [`pool`], and back:
//! pool → worker → relay → MPI → farmer → [`workdir`].
//!
//! [`farmer`] and [`worker`] are pure: events in, actions out. Everything that has effects is outside them. [`sim`]
//! runs them, with the drivers' own steps, in a simulated world. docs/architecture.md has a diagram.

pub mod cli;
pub mod commands;
pub mod config;
pub mod driver;
pub mod exit_code;
pub mod failures;
pub mod farmer;
pub mod figures;
#[cfg(test)]
mod fuzz;
pub mod ini;
pub mod lengths;
pub mod outlet;
pub mod pool;
pub mod progress;
pub mod protocol;
pub mod relay;
pub mod runner;
mod shell;
mod shown;
pub mod sim;
pub mod stderr;
pub mod stdout;
pub mod sys;
pub mod task;
pub mod tasklist;
pub mod workdir;
pub mod worker;
