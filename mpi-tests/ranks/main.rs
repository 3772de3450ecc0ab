//! The program under the real launcher of the MPI with which it was built. `mpi-tests/run` runs this with Open MPI and
//! again with MPICH.

#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod bad_input;
mod chaos;
mod cpus;
mod docs;
mod environment;
mod failures;
mod handlers;
mod launchers;
mod leftovers;
mod logs;
mod losses;
mod mixed;
mod moments;
mod nodes;
mod parting;
mod placement;
mod poison;
mod progress;
mod resources;
mod runners;
mod status;
mod stops;
mod stubborn;
mod workdir;
