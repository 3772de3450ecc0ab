//! The program on a real Slurm of several nodes, which `mpi-tests/slurm-lab/lab` simulates on one machine.
//! `mpi-tests/run` runs this inside a lab, with Open MPI and again with MPICH; if there cannot be a lab, these tests
//! are ignored, and counted as ignored.

#[path = "../support/mod.rs"]
mod support;

mod docs;
mod job;
mod lab;
mod losses;
mod resources;
mod runs;
mod scripts;
mod steps;
mod stops;
