//! The system layer: everything that is specific to Linux or MPI, each part behind a small safe interface.
//!
//! Owns all `unsafe` code of the program; [`mpi`] is the only file that names the mpi crate. Never knows what a farmer
//! or a worker is.

pub mod accounts;
pub mod clock;
pub mod cpus;
pub mod executing;
pub mod family;
pub mod fork;
mod forked;
#[cfg(test)]
pub(crate) mod heap_meter;
pub mod host;
pub mod last_output;
pub mod launcher;
pub mod library;
pub mod memory;
#[cfg(feature = "mpi")]
pub mod mpi;
#[cfg(not(feature = "mpi"))]
#[path = "no_mpi.rs"]
pub mod mpi;
pub mod nursery;
#[cfg(any(feature = "mpi", test))]
#[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "only a part of it is tested without MPI"))]
mod outlive;
pub mod owner;
#[cfg(feature = "mpi")]
mod parting;
pub mod process;
pub mod query;
pub mod regular;
#[cfg(any(feature = "mpi", test))]
#[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "only a part of it is tested without MPI"))]
mod shared_memory;
pub mod signals;
pub mod stdio;
pub mod terminal;
pub mod title;
pub mod transport;
pub mod wait;
pub mod walltime;
#[cfg(any(feature = "mpi", test))]
mod watch;
