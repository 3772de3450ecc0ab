//! Job steps in tasks, on nodes where Slurm binds processes to CPUs as on real clusters; and farms that were started
//! without srun.

use std::collections::BTreeSet;

use crate::job::Job;
use crate::lab::{self, slots};
use crate::runs::is_complete;
use crate::support::farm::LIST;
use crate::support::{Farm, Mpi, hello};

/// As in docs/tasklist.md.
const STEP: &str = "srun --nodes=1 --ntasks=1 --nodelist=$TASKFARMER_HOST --overlap --cpu-bind=none";

/// A farm on three nodes, bound to as many CPUs of each as this machine has.
fn bound_farm(list: &str) -> Farm {
    let cpus = format!("--cpus-per-task={}", slots());
    let mut farm = lab::farm(&["--nodes=3", "--exclusive", &cpus], list.as_bytes());
    farm.unset(lab::CPU_BIND);
    farm
}

/// The lines of a task's log.
fn log(farm: &Farm, id: u64) -> Vec<String> {
    String::from_utf8_lossy(&farm.workdir().log(id)).lines().map(str::to_owned).collect()
}

/// The job step of the documentation runs on the node of its task, even on a worker, and on all CPUs: without
/// --nodelist all steps would be on the first node, without --cpu-bind=none on the first CPU.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_job_step_runs_on_the_node_of_its_task() {
    const COUNT: u64 = 24;
    let text = include_str!("../../docs/tasklist.md");
    assert!(text.contains(&format!("\n{STEP} ./step\n")), "the documentation has another step");
    let inner = "bash -c 'hostname; grep Cpus_allowed_list /proc/self/status'";
    let line = format!("echo $TASKFARMER_HOST; hostname; {STEP} {inner}; sleep 0.5\n");
    let farm = bound_farm(&line.repeat(COUNT as usize));
    farm.run(&["--proc", "2"]).exits(0);
    is_complete(&farm, COUNT);
    let mut nodes = BTreeSet::new();
    for id in 0..COUNT {
        let lines = log(&farm, id);
        let [host, own, step, cpus] = &lines[..] else { panic!("task {id}: {lines:#?}") };
        assert_eq!((host, own), (step, step), "task {id}: {lines:#?}");
        let list = cpus.rsplit('\t').next().unwrap();
        let count = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap()
        };
        assert!(list.split(',').map(count).sum::<usize>() >= slots(), "task {id}: {lines:#?}");
        nodes.insert(host.clone());
    }
    assert_eq!(nodes.len(), 3, "workers on other nodes than the first one ran tasks as well");
}

/// The runner `step` of the documentation: each task is a job step on the node where the farm has placed it, and none
/// waits for the end of the farm.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn the_documented_runner_makes_job_steps() {
    const COUNT: u64 = 12;
    let text = include_str!("../../docs/runners.md");
    let start = text.find("[step]\n").expect("a runner named step");
    let section = text[start..].split("\n\n").next().unwrap();
    let farm = bound_farm(&"hostname; echo $TASKFARMER_HOST; echo $SLURM_STEP_ID; sleep 0.5\n".repeat(COUNT as usize));
    farm.write("step.ini", section.as_bytes());
    farm.run(&["--proc", "2", "--runner", "step"]).exits(0);
    is_complete(&farm, COUNT);
    let logs: Vec<_> = (0..COUNT).map(|id| log(&farm, id)).collect();
    assert!(logs.iter().all(|lines| lines.len() == 3 && lines[0] == lines[1]), "{logs:#?}");
    let nodes: BTreeSet<_> = logs.iter().map(|lines| &lines[0]).collect();
    let steps: BTreeSet<_> = logs.iter().map(|lines| &lines[2]).collect();
    assert_eq!((nodes.len(), steps.len()), (3, COUNT as usize), "{logs:#?}");
}

/// What a batch job requests in CPUs, memory and GPUs per rank does not keep tasks from starting steps and MPI programs
/// with different requirements.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn the_shape_of_the_farms_step_is_not_that_of_its_tasks() {
    let mut farm = lab::at_home(Farm::local(b"")).time_limit(240);
    farm.unset(lab::CPU_BIND);
    let on_node = "--nodes=1 --nodelist=$TASKFARMER_HOST --overlap";
    let mut list = format!(
        "srun {on_node} --ntasks=2 hostname\nsrun {on_node} --ntasks=1 --mem=50 hostname\n\
         srun {on_node} --ntasks=1 --cpus-per-task=1 hostname\nsrun {on_node} --ntasks=1 --cpu-bind=none hostname\n"
    );
    let steps = list.lines().count() as u64;
    let mpi_tasks = hello::mpi_tasks(&farm);
    list.extend(mpi_tasks.iter().map(|task| format!("{}\n", task.line)));
    let count = list.lines().count() as u64;
    farm.write(LIST, list.as_bytes());
    let mpi = lab::mpi_type(Mpi::of_program());
    let script = format!(
        "#!/bin/bash\nexport SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK\nexec srun --mpi={mpi} taskfarmer-mpi --proc 1 {LIST}\n"
    );
    farm.write("job.sbatch", script.as_bytes());
    let cpus = format!("--cpus-per-task={}", slots());
    let options = ["--nodes=2", "--ntasks-per-node=1", &cpus, "--mem-per-cpu=100", "--gres=gpu:4", "job.sbatch"];
    let job = Job::submit(&farm, &[&["--exclusive", "--distribution=cyclic"], &options[..]].concat());
    job.ends("COMPLETED", 0);
    is_complete(&farm, count);
    let logs: Vec<_> = (0..steps).map(|id| log(&farm, id)).collect();
    for (lines, expected) in logs.iter().zip([2, 1, 1, 1]) {
        assert_eq!(lines.len(), expected, "nothing but host names: {logs:#?}");
        assert!(lines.iter().all(|line| line.starts_with("node")), "{logs:#?}");
    }
    for (id, task) in (steps..).zip(&mpi_tasks) {
        task.said_hello(&farm.workdir().log(id));
    }
}

/// Without srun, the farm of a batch script has all CPUs of the job on its node, and nothing is missing, so there is no
/// message.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_script_without_srun_uses_its_node() {
    let farm = lab::at_home(Farm::local(&b"sleep 0.1\n".repeat(20)));
    let wrap = format!("--wrap=taskfarmer-mpi --proc auto {LIST}");
    // A whole node: this machine may not have the CPUs of a part.
    let job = Job::submit(&farm, &["--nodes=1", "--exclusive", "--ntasks=2", "--cpus-per-task=1", &wrap]);
    job.ends("COMPLETED", 0);
    is_complete(&farm, 20);
    let slots = if slots() == 1 { "1 slot".to_owned() } else { format!("{} slots", slots()) };
    assert!(job.output().contains(&format!("on 1 rank, {slots}")), "{}", job.report());
    assert!(!job.output().contains("warning"), "{}", job.report());
}

/// In a job of several nodes, a start without srun causes a message with a command that works: on all nodes.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_script_without_srun_on_several_nodes_is_warned() {
    let farm = lab::at_home(Farm::local(&b"hostname; sleep 0.2\n".repeat(30)));
    let script = format!(
        "#!/bin/bash\ntaskfarmer-mpi --proc auto --workdir first {LIST} 2> said || exit 9\ncat said\n\
         cure=$(sed -n 's/^  to use all of its nodes: //p' said)\n$cure --workdir second\n"
    );
    farm.write("job.sbatch", script.as_bytes());
    let job = Job::submit(&farm, &["--nodes=2", "--ntasks=4", "--cpus-per-task=1", "--exclusive", "job.sbatch"]);
    job.ends("COMPLETED", 0);
    assert_eq!(job.output().matches("warning:").count(), 1, "{}", job.report());
    for words in ["tasks run only on node", "has 2 nodes", "on 1 rank", "on 2 ranks"] {
        assert!(job.output().contains(words), "{words}: {}", job.report());
    }
}

/// On a login node, in a job of salloc, tasks run on the login node: that is reported as well.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_login_node_is_not_a_node_of_the_job() {
    let words = ["salloc", "--quiet", "--nodes=1"].map(Into::into).to_vec();
    let farm = lab::at_home(Farm::launched_by(words, b"hostname\n")).time_limit(120);
    let outcome = farm.run(&["--proc", "1"]).exits(0);
    let text = outcome.stderr_text();
    assert!(text.contains("tasks run on login, which is not a node of Slurm's job"), "{text}");
    assert_eq!(log(&farm, 0), ["login"]);
}
