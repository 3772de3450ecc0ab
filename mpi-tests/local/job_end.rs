//! The end of a batch job, and the end of a terminal.

use std::ffi::OsStr;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::support::{Farm, processes};

const BINARY: &str = env!("CARGO_BIN_EXE_taskfarmer-mpi");

/// The farm stops by itself before its Slurm job ends, in time for grace period and last records, and the next job
/// goes on.
#[test]
fn stops_before_the_job_ends() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut farm = Farm::local(b"echo 0 >> ran\nsleep 60; echo 1 >> ran\n");
    // 15 s are reserved for the last records, 1 s is the grace period.
    let job_end = now + 20;
    farm.set("SLURM_JOB_END_TIME", &job_end.to_string());
    let outcome = farm.run(&["--grace", "1"]).exits(3);
    let ended = outcome.ended.duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(ended < job_end, "it ended after {:?}", outcome.elapsed);
    assert_eq!(outcome.summary(), [1, 0, 1]);
    farm.set("SLURM_JOB_END_TIME", "0");
    let outcome = farm.run(&["--timeout", "1", "--grace", "1"]).exits(3);
    assert_eq!(outcome.summary(), [1, 0, 1]);
}

/// A terminal that closes stops the farm in order.
#[test]
fn hangup_stops() {
    let farm = Farm::local(b"touch started; sleep 60\n");
    // Whoever runs the tests may have nohup in front.
    let words = ["env", "--default-signal=HUP", BINARY, "--grace", "1", "tasks.txt"].map(OsStr::new);
    let mut running = farm.start_other(&words);
    running.wait_until("the task runs", || farm.path("started").exists());
    processes::signal(running.rank(0), Signal::SIGHUP);
    assert_eq!(running.wait().exits(3).summary(), [0, 0, 1]);
}

/// With `nohup` the farm outlives its terminal.
#[test]
fn nohup_is_heeded() {
    let farm = Farm::local(b"touch started; until [ -e go ]; do sleep 0.05; done\n");
    let words = ["nohup", BINARY, "tasks.txt"].map(OsStr::new);
    let mut running = farm.start_other(&words);
    running.wait_until("the task runs", || farm.path("started").exists());
    processes::signal(running.rank(0), Signal::SIGHUP);
    farm.write("go", b"");
    assert_eq!(running.wait().exits(0).summary(), [1, 0, 0]);
}
