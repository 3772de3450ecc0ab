//! The batch scripts of `slurm/`, unchanged except for node counts and times.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::job::Job;
use crate::lab::{self, Victim};
use crate::runs::is_complete;
use crate::support::{Farm, Lag, Mpi, processes};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/slurm");

/// For all scripts: the nodes are small.
const SMALL: [&str; 2] = ["--nodes=4", "--cpus-per-task=4"];

fn farm(list: &str) -> Farm {
    let mut farm = lab::at_home(Farm::local(list.as_bytes()));
    farm.set("FARM_MPI", lab::mpi_type(Mpi::of_program()));
    farm
}

/// `sbatch OPTIONS SCRIPT tasks.txt MORE`
#[track_caller]
fn submit<'farm>(farm: &'farm Farm, script: &str, options: &[&str], more: &[&str]) -> Job<'farm> {
    let script = format!("{FOLDER}/{script}");
    Job::submit(farm, &[options, &[&script, "tasks.txt"], more].concat())
}

/// Long enough that a node that dies in the meantime is noticed before the end.
const LONG: &str = "sleep 0.5; echo $PROC_NUMBER >> ran\n";

/// Each script completes a list, on nodes that have the resources that the script requests.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn every_script_completes_a_list() {
    let entries = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let scripts: Vec<String> = entries.filter(|name| name.ends_with(".sbatch")).collect();
    assert!(scripts.len() >= 7, "{scripts:?}");
    let farms: Vec<Farm> = scripts.iter().map(|_| farm(&"echo $PROC_NUMBER\n".repeat(50))).collect();
    let options = |script: &str| {
        let cpus = if script.starts_with("ranks-per-node") { "--cpus-per-task=2" } else { "--cpus-per-task=4" };
        ["--nodes=2", cpus]
    };
    let submitted = scripts.iter().zip(&farms);
    // The lab's nodes have as many GPUs as Perlmutter's, but fewer CPUs.
    let more = |script: &str| if script.contains("gpu") { &["--cpus-per-task", "1"][..] } else { &[] };
    let jobs: Vec<Job> = submitted.map(|(script, farm)| submit(farm, script, &options(script), more(script))).collect();
    for (job, farm) in jobs.iter().zip(&farms) {
        job.ends("COMPLETED", 0);
        is_complete(farm, 50);
        assert!(job.output().contains("all tasks are finished"), "{}", job.report());
    }
}

/// A script's exit code is the farm's, and it prints what the code means.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_script_ends_with_the_code_of_its_farm() {
    let farm = farm("exit 1\ntrue\n");
    let job = submit(&farm, "run.sbatch", &SMALL, &[]);
    job.ends("FAILED", 1);
    assert!(job.output().contains("failed: see tasks.txt_workdir/failed"), "{}", job.report());
}

/// The same if the workdir is elsewhere.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_script_knows_a_workdir_that_was_chosen() {
    let farm = farm("exit 1\ntrue\n");
    let job = submit(&farm, "run.sbatch", &SMALL, &["--workdir", "else where"]);
    job.ends("FAILED", 1);
    assert!(job.output().contains("failed: see else where/failed"), "{}", job.report());
}

/// A rank dies, and with it srun's exit code: the job's is the farm's own.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_script_does_not_believe_srun() {
    let farm = farm(&LONG.repeat(600));
    let job = submit(&farm, "run.sbatch", &SMALL, &[]);
    job.wait_until("all ranks work", || farm.lines("ran").len() > 32);
    processes::signal(job.rank(2), Signal::SIGKILL);
    job.ends("COMPLETED", 0);
    is_complete(&farm, 600);
}

/// A job whose rank 0 dies never ends with the exit code of an earlier run in its workdir.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_script_does_not_believe_an_earlier_run() {
    // While MPI starts, the other ranks wait ten minutes for a dead one: it is killed when all of them run tasks.
    let count = lab::slots() * 4;
    let farm = farm(&"echo $PROC_NUMBER >> ran; sleep 600\n".repeat(count));
    let before = submit(&farm, "run.sbatch", &SMALL, &["--timeout", "30", "--grace", "1"]);
    before.wait_until("all ranks work", || farm.lines("ran").len() == count);
    before.ends("FAILED", 3);
    // If they may, the other ranks requeue the job; here the script must return its exit code.
    let job = submit(&farm, "run.sbatch", &[&SMALL[..], &["--no-requeue"]].concat(), &[]);
    job.wait_until("all ranks work again", || farm.lines("ran").len() == 2 * count);
    processes::signal(job.rank(0), Signal::SIGKILL);
    job.ends("FAILED", 4);
    assert_eq!(farm.workdir().toprocess().len(), count);
}

/// `requeue.sbatch` stops before its time is over, queues itself, and continues until everything is done. What has failed
/// since it was submitted is not retried by the jobs that follow, even if `--retry-failed` was given.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_long_list_goes_through_several_jobs() {
    // A minute of work. Slurm checks every half minute, and half a minute ahead: the signal comes after 20 to 50 s.
    let slots = lab::slots() * 4;
    let count = 60 * slots;
    let fails = "echo $PROC_NUMBER >> ran; false\n";
    let farm = farm(&format!("{fails}{}", "sleep 1; echo $PROC_NUMBER >> ran\n".repeat(count - 1)));
    let options = ["--time=2", "--signal=USR1@70"];
    let arguments = ["--retry-failed", "--grace", "3"];
    let job = submit(&farm, "requeue.sbatch", &[&SMALL[..], &options].concat(), &arguments);
    // Slurm makes a requeued job wait for two minutes.
    job.wait_until("the job has queued itself again", || job.state() == "PENDING" && job.field("Restarts") == "1");
    assert!(job.output().contains("queued again"), "{}", job.report());
    let before = farm.workdir().recorded();
    assert!(!before.is_empty() && before.len() < count, "{} recorded", before.len());
    assert_eq!(farm.workdir().failed().len(), 1, "tasks that were stopped have not failed");
    lab::ask(&["scontrol", "update", &format!("jobid={}", job.id()), "StartTime=now+5", "TimeLimit=5"]);
    job.ends("FAILED", 1);
    assert_eq!((farm.workdir().finished().len(), farm.workdir().failed().len()), (count - 1, 1));
    assert_eq!(farm.lines("ran").iter().filter(|id| **id == "0").count(), 1, "it is not retried by the second job");
}

/// A job in which no task ends would queue itself forever: it does not.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_job_without_progress_is_not_queued_again() {
    let farm = farm("sleep 600\n");
    let job = submit(&farm, "requeue.sbatch", &SMALL, &["--timeout", "2", "--grace", "1"]);
    job.ends("FAILED", 3);
    assert!(job.output().contains("does it need more time?"), "{}", job.report());
}

/// Before the walltime ends, the farm stops by itself, normally.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_script_stops_before_the_walltime() {
    let farm = farm("sleep 600\n");
    let job = submit(&farm, "run.sbatch", &[&SMALL[..], &["--time=1"]].concat(), &[]);
    job.ends("FAILED", 3);
    assert!(job.output().contains("time limit"), "{}", job.report());
    assert_eq!(farm.workdir().toprocess().len(), 1);
}

/// A node dies: the job continues without it, to exit code 0.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_job_survives_the_death_of_a_node() {
    let farm = farm(&LONG.repeat(600));
    let job = submit(&farm, "run.sbatch", &SMALL, &[]);
    job.wait_until("all ranks work", || farm.lines("ran").len() > 32);
    let mut victim = Victim::of(lab::node_of_pid(job.rank(2), &job.processes()));
    victim.kill();
    job.ends("COMPLETED", 0);
    is_complete(&farm, 600);
    assert_eq!(job.field("Restarts"), "0");
}

/// The node of script and farmer dies: within half a minute the job has ended and is queued again; then it completes.
#[track_caller]
fn first_node_dies(script: &str, options: &[&str]) {
    let farm = farm(&LONG.repeat(600));
    let job = submit(&farm, script, options, &[]);
    job.wait_until("all ranks work", || farm.lines("ran").len() > 32);
    let mut victim = Victim::of(job.field("BatchHost"));
    victim.kill();
    let lag = Lag::watch();
    job.wait_until("no process is left", || job.processes().is_empty());
    lag.is_within(Duration::from_secs(30), "the end of all ranks");
    // Until Slurm has noticed the dead node, the old job is "completing". If that took long, the new one may be running
    // by now.
    job.wait_until("the job is queued again", || job.field("Restarts") == "1" && job.state() != "COMPLETING");
    if job.state() == "PENDING" {
        Command::new("scontrol").args(["update", &format!("jobid={}", job.id()), "StartTime=now+5"]).output().unwrap();
    }
    job.ends("COMPLETED", 0);
    is_complete(&farm, 600);
}

/// See above, with one rank per node.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_job_survives_the_death_of_its_first_node() {
    first_node_dies("run.sbatch", &SMALL);
}

/// The same if several ranks die with the node.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_job_of_several_ranks_per_node_survives_the_death_of_its_first_node() {
    first_node_dies("ranks-per-node.sbatch", &["--nodes=4", "--ntasks-per-node=4", "--cpus-per-task=1"]);
}
