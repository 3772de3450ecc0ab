//! The system layer: everything that is specific to Linux or MPI, each part behind a small safe interface.
//!
//! Owns all `unsafe` code of the program; [`mpi`] is the only file that names the mpi crate. Never knows what a farmer
//! or a worker is.

pub(crate) mod accounts;
pub(crate) mod clock;
pub(crate) mod cpus;
pub(crate) mod executing;
pub(crate) mod family;
pub(crate) mod fork;
mod forked;
pub(crate) mod gpus;
#[cfg(test)]
pub(crate) mod heap_meter;
pub(crate) mod host;
#[cfg(any(feature = "mpi", test))]
#[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "only a part of it is tested without MPI"))]
mod last_output;
pub(crate) mod launcher;
pub(crate) mod library;
pub(crate) mod memory;
pub(crate) mod memory_limit;
#[cfg(feature = "mpi")]
pub(crate) mod mpi;
#[cfg(not(feature = "mpi"))]
#[path = "no_mpi.rs"]
pub(crate) mod mpi;
pub(crate) mod nursery;
#[cfg(any(feature = "mpi", test))]
#[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "only a part of it is tested without MPI"))]
mod outlive;
pub(crate) mod owner;
#[cfg(feature = "mpi")]
mod parting;
pub(crate) mod process;
pub(crate) mod query;
pub(crate) mod regular;
#[cfg(any(feature = "mpi", test))]
#[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "only a part of it is tested without MPI"))]
mod shared_memory;
pub(crate) mod signals;
pub(crate) mod stdio;
pub(crate) mod terminal;
pub(crate) mod title;
pub(crate) mod transport;
pub(crate) mod wait;
pub(crate) mod walltime;
#[cfg(any(feature = "mpi", test))]
mod watch;
