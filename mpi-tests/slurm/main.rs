//! The program on a real Slurm of several nodes, which `mpi-tests/slurm-lab/lab` makes of one machine.
//! `mpi-tests/run` runs this inside of a lab, with Open MPI and again with MPICH; where there can be no lab these tests
//! are ignored, and counted as that.

#[path = "../support/mod.rs"]
mod support;

mod docs;
mod job;
mod lab;
mod losses;
mod runs;
mod scripts;
mod steps;
mod stops;
