//! How Slurm stops jobs: `scancel` with and without a signal, the walltime's end, `scontrol requeue`.

use std::collections::BTreeSet;

use crate::job::Job;
use crate::lab::{self, CPUS, NODES, ask};
use crate::runs::is_complete;
use crate::support::{Farm, Mpi, blockers};

const QUICK: usize = 20;
const BLOCKERS: usize = 40;
const COUNT: usize = QUICK + BLOCKERS;

/// A minimal batch script, and a list of tasks of which some stay until they are released. Slurm 23.11 and newer tell
/// ranks when the job ends; these must not know.
fn farm() -> Farm {
    let farm = lab::at_home(Farm::local(&blockers::list(QUICK, BLOCKERS))).time_limit(120);
    let mpi = lab::mpi_type(Mpi::of_program());
    let forget = "env --unset=SLURM_JOB_END_TIME";
    let script = format!("#!/bin/bash\nexec srun --mpi={mpi} {forget} taskfarmer-mpi --proc 2 --grace 3 tasks.txt\n");
    farm.write("job.sbatch", script.as_bytes());
    farm
}

/// The job, once all its slots are taken by tasks that stay.
#[track_caller]
fn blocked_job<'farm>(farm: &'farm Farm, options: &[&str]) -> Job<'farm> {
    let (nodes, cpus) = (format!("--nodes={NODES}"), format!("--cpus-per-task={CPUS}"));
    let job = Job::submit(farm, &[&[&*nodes, &cpus, "--ntasks-per-node=1"], options, &["job.sbatch"]].concat());
    job.wait_until("all slots are taken", || blockers::blocked(farm, QUICK) == 2 * NODES as usize);
    job
}

/// Running tasks are open and have not failed, and the same command completes the list.
#[track_caller]
fn was_stopped_in_order(farm: &Farm) {
    let recorded = blockers::is_stopped_in_order(farm, COUNT);
    assert_eq!(recorded, (0..QUICK as u64).collect::<BTreeSet<u64>>(), "the quick tasks, and no other");
    completes(farm);
}

#[track_caller]
fn completes(farm: &Farm) {
    blockers::let_go(farm);
    let before = farm.workdir().recorded();
    let ran = blockers::runs(farm);
    let job = Job::submit(farm, &[&format!("--nodes={NODES}"), "job.sbatch"]);
    job.ends("COMPLETED", 0);
    is_complete(farm, COUNT as u64);
    let again: Vec<u64> =
        blockers::runs(farm).into_iter().filter(|(id, n)| ran.get(id) != Some(n)).map(|(id, _)| id).collect();
    assert!(again.iter().all(|id| !before.contains(id)), "recorded, but ran again: {again:?}");
}

/// `scancel --signal=USR1` stops the farm normally: exit code 3.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn scancel_with_usr1() {
    let farm = farm();
    let job = blocked_job(&farm, &[]);
    ask(&["scancel", "--signal=USR1", job.id()]);
    job.ends("FAILED", 3);
    was_stopped_in_order(&farm);
}

/// `scancel` sends SIGTERM to ranks and tasks alike, and SIGKILL after KillWait, which is longer than this farm's grace
/// period: it stops normally.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn scancel() {
    let farm = farm();
    let job = blocked_job(&farm, &[]);
    ask(&["scancel", job.id()]);
    job.wait_until("the job is gone", || job.state() == "CANCELLED" && job.processes().is_empty());
    was_stopped_in_order(&farm);
}

/// A farm that does not know when its job ends: Slurm sends SIGTERM at that time to ranks and tasks alike, and the farm
/// stops normally. With the end in its environment it stops by itself before: see the batch scripts.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn end_of_the_walltime() {
    let farm = farm();
    let job = blocked_job(&farm, &["--time=1"]);
    // Slurm checks time limits twice a minute.
    job.wait_until("the job is gone", || job.state() == "TIMEOUT" && job.processes().is_empty());
    was_stopped_in_order(&farm);
}

/// `scontrol requeue`: the job is killed, starts again by itself, resumes and completes.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn requeued_job_resumes() {
    let farm = farm();
    let job = blocked_job(&farm, &["--requeue"]);
    ask(&["scontrol", "requeue", job.id()]);
    blockers::let_go(&farm);
    // Slurm makes a requeued job wait, because its nodes may need time for cleanup.
    job.wait_until("the job waits", || job.state() == "PENDING" && job.field("Restarts") == "1");
    ask(&["scontrol", "update", &format!("jobid={}", job.id()), "StartTime=now+5"]);
    job.ends("COMPLETED", 0);
    is_complete(&farm, COUNT as u64);
    let runs = blockers::runs(&farm);
    assert!((0..QUICK as u64).all(|id| runs[&id] == 1), "what was recorded did not run again: {runs:?}");
}
