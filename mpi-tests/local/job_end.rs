//! The end of a batch job, and the end of a terminal.

use std::ffi::OsStr;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::support::{Farm, processes};

const BINARY: &str = env!("CARGO_BIN_EXE_taskfarmer-mpi");

/// The farm stops by itself before its Slurm job ends, in time for grace period and last records, and the next job
/// resumes.
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

/// Puts a program of this name first in `PATH`: it records its arguments, line by line, and prints an answer.
fn stand_in(farm: &mut Farm, name: &str, answer: &str) {
    std::fs::create_dir_all(farm.path("bin")).unwrap();
    let script = format!("#!/bin/sh\necho \"$*\" >> '{}/{name}.asked'\n{answer}\n", farm.cwd().display());
    farm.write_with_mode(&format!("bin/{name}"), 0o755, script.as_bytes());
    let path = std::env::var("PATH").unwrap();
    farm.set("PATH", &format!("{}:{path}", farm.path("bin").display()));
}

/// PBS, LSF and Flux are asked once per farm when the job ends, and the farm stops in time before that.
#[test]
fn batch_systems_are_asked_when_the_job_ends() {
    // 15 s are reserved for the last records, 1 s is the grace period.
    let qstat = r#"date -d "now - 100 seconds" "+%a %b %e %H:%M:%S %Y" |
sed 's/.*/{"Jobs":{"7.pbs":{"Resource_List":{"ncpus":1,"walltime":"00:02:00"},"stime":"&"}}}/'"#;
    for (variables, name, answer, asked) in [
        (&[("PBS_JOBID", "7.pbs"), ("TZ", "NST3:30")][..], "qstat", qstat, "-f -F json 7.pbs"),
        (&[("LSB_JOBID", "7"), ("LSB_JOBINDEX", "3")], "bjobs", "echo '0:00 L'", "-noheader -o time_left 7[3]"),
        (&[("FLUX_JOB_ID", "f7")], "flux", "echo 20", "job timeleft"),
    ] {
        let mut farm = Farm::local(b"sleep 60; echo 0 >> ran\n");
        stand_in(&mut farm, name, &format!("export LC_ALL=C; {answer}"));
        variables.iter().for_each(|(variable, value)| farm.set(variable, value));
        let outcome = farm.run(&["--grace", "1"]).exits(3);
        assert!(outcome.elapsed < std::time::Duration::from_secs(20), "{name}: {:?}", outcome.elapsed);
        assert_eq!(outcome.summary(), [0, 0, 1], "{name}");
        assert_eq!(farm.lines(&format!("{name}.asked")), [asked]);
        // Commands that only read ask no batch system.
        farm.run(&["--dry-run"]).exits(0);
        assert_eq!(farm.lines(&format!("{name}.asked")), [asked]);
    }
}

/// A batch system that fails, prints nothing useful, leaves something behind, or does not exist: the farm runs, and
/// reports that the end is unknown. With `--timeout`, there is no such message.
#[test]
fn a_batch_system_that_does_not_answer_holds_up_no_farm() {
    for (answer, reason) in [
        ("echo qstat: Unknown Job Id >&2; exit 153", "exit status: 153: qstat: Unknown Job Id"),
        ("echo '{}'", "its answer has no time in it"),
        ("exec sleep 600", "no answer within 10 s"),
    ] {
        let mut farm = Farm::local(b"echo 0 >> ran\n");
        stand_in(&mut farm, "qstat", answer);
        farm.set("PBS_JOBID", "7.pbs");
        let told = farm.run(&[]).exits(0).stderr_text();
        let known = "it is not known when the batch job ends: qstat -f -F json 7.pbs: ";
        assert!(told.contains(&format!("{known}{reason}")) && told.contains("--timeout"), "{told}");
        assert_eq!(farm.lines("ran"), ["0"]);
    }
    // Processes that a query leaves behind delay nothing, and a job that has ended leaves no time: both are reported.
    let mut farm = Farm::local(b"echo 0 >> ran\n");
    stand_in(&mut farm, "bjobs", "echo '0:00 L'; sleep 60 &");
    farm.set("LSB_JOBID", "7");
    let outcome = farm.run(&[]).exits(3);
    assert!(outcome.stderr_text().contains("the batch job ends in 0 s"), "{}", outcome.stderr_text());
    assert!(outcome.elapsed < std::time::Duration::from_secs(8), "{:?}", outcome.elapsed);
    let mut farm = Farm::local(b"echo 0 >> ran\n");
    farm.set("LSB_JOBID", "7");
    assert!(farm.run(&[]).exits(0).stderr_text().contains("bjobs -noheader -o time_left 7: "));
    farm.write("more.txt", b"true\n");
    let outcome = farm.run_exactly(&["--timeout", "60", "more.txt"]).exits(0);
    assert!(!outcome.stderr_text().contains("bjobs"));
}

/// A signal ends the wait for the batch system: nothing is started after it.
#[test]
fn a_signal_does_not_wait_for_the_batch_system() {
    let mut farm = Farm::local(b"echo 0 >> ran\n");
    stand_in(&mut farm, "flux", "exec sleep 600");
    farm.set("FLUX_JOB_ID", "f7");
    let mut running = farm.start(&[]);
    running.wait_until("it asks", || farm.path("flux.asked").exists());
    processes::signal(running.rank(0), Signal::SIGTERM);
    let outcome = running.wait().exits(3);
    assert!(outcome.elapsed < std::time::Duration::from_secs(8), "{:?}", outcome.elapsed);
    assert!(!farm.path("ran").exists());
}

/// A terminal that closes stops the farm normally.
#[test]
fn hangup_stops() {
    let farm = Farm::local(b"touch started; sleep 60\n");
    // The tests may run under nohup.
    let words = ["env", "--default-signal=HUP", BINARY, "--grace", "1", "tasks.txt"].map(OsStr::new);
    let mut running = farm.start_other(&words);
    running.wait_until("the task runs", || farm.path("started").exists());
    processes::signal(running.rank(0), Signal::SIGHUP);
    assert_eq!(running.wait().exits(3).summary(), [0, 0, 1]);
}

/// With `nohup` the farm outlives its terminal.
#[test]
fn nohup_is_respected() {
    let farm = Farm::local(b"touch started; until [ -e go ]; do sleep 0.05; done\n");
    let words = ["nohup", BINARY, "tasks.txt"].map(OsStr::new);
    let mut running = farm.start_other(&words);
    running.wait_until("the task runs", || farm.path("started").exists());
    processes::signal(running.rank(0), Signal::SIGHUP);
    farm.write("go", b"");
    assert_eq!(running.wait().exits(0).summary(), [1, 0, 0]);
}
