//! Farms under srun without any faults.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::lab::{self, NODES};
use crate::support::farm::LIST;
use crate::support::{Farm, Lag, Mpi, hello};

/// Makes sure that the farm's list of that many tasks is done: each is recorded once, as finished.
#[track_caller]
pub(crate) fn is_complete(farm: &Farm, count: u64) {
    let all: BTreeSet<u64> = (0..count).collect();
    assert_eq!(farm.workdir().recorded(), all);
    assert!(farm.workdir().failed().is_empty(), "no task has failed");
}

/// 1,000 tasks on four nodes: each runs once, every node works, only the beginning and the summary are printed, and the
/// farm ends by itself, although MPICH would hang in MPI_Finalize.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn a_thousand_tasks_on_four_nodes() {
    let farm = lab::farm(&[], "echo $PROC_NUMBER >> ran; sleep 0.02; hostname\n".repeat(1000).as_bytes());
    let outcome = farm.run(&["--proc", "auto"]).exits(0);
    is_complete(&farm, 1000);
    assert_eq!(farm.lines("ran").len(), 1000, "each task ran once");
    let text = outcome.stderr_text();
    assert_eq!(text.lines().count(), 2, "nothing but the beginning and the summary is printed");
    let slots = NODES as usize * lab::slots();
    assert!(text.contains(&format!("on {NODES} ranks, {slots} slots")), "a slot per CPU: {text}");
    let hosts: BTreeSet<Vec<u8>> = (0..1000).map(|id| farm.workdir().log(id)).collect();
    assert_eq!(hosts.len(), NODES as usize, "every node worked");
    // MPICH's MPI_Finalize would hang, at least for as long as the farm waits for it.
    farm.ends_after_its_tasks(&outcome);
}

/// A larger farm: 20,000 tasks on sixteen nodes, each recorded once, and every node works.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn twenty_thousand_tasks_on_sixteen_nodes() {
    let list = "echo $TASKFARMER_RANK\n".repeat(20_000);
    let farm = lab::farm(&["--nodes=16", "--no-kill"], list.as_bytes()).time_limit(600);
    let outcome = farm.run(&["--proc", "auto"]).exits(0);
    assert_eq!(outcome.summary(), [20_000, 0, 0]);
    is_complete(&farm, 20_000);
    let ranks: BTreeSet<Vec<u8>> = (0..20_000).map(|id| farm.workdir().log(id)).collect();
    assert_eq!(ranks.len(), 16, "every node worked");
}

/// Several ranks on a node: they share its CPUs, and all work.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn two_ranks_on_each_node() {
    let words = ["--ntasks-per-node=2", "--cpus-per-task=2"];
    let farm = lab::farm(&words, "sleep 0.05; echo $TASKFARMER_RANK\n".repeat(200).as_bytes());
    farm.run(&["--proc", "auto"]).exits(0);
    is_complete(&farm, 200);
    let ranks: BTreeSet<Vec<u8>> = (0..200).map(|id| farm.workdir().log(id)).collect();
    assert_eq!(ranks.len(), 2 * NODES as usize);
}

/// Bad input and an empty list end immediately on all nodes, with one message.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn nothing_to_do_ends_immediately() {
    let farm = lab::farm(&[], b"");
    let lag = Lag::watch();
    farm.run(&[]).exits(0);
    farm.run_exactly(&["no-such-list"]).refused(&["no-such-list"]);
    // Sooner than any rank is considered lost.
    lag.is_within(Duration::from_secs(20), "two farms without a task");
}

/// srun without the `--mpi` of the program's MPI starts farms of one rank each: refused, with the remedy.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn wrong_or_no_mpi_type_is_refused() {
    for wrong in ["none", lab::mpi_type(Mpi::of_program().other())] {
        let farm = lab::farm(&[&format!("--mpi={wrong}")], b"echo one\n").time_limit(240);
        let before = farm.contents();
        let outcome = farm.run(&[]);
        // Open MPI itself ends a process that it finds under a different PMI.
        assert_ne!(outcome.status.unwrap().code(), Some(0), "--mpi={wrong}");
        let text = outcome.stderr_text();
        if outcome.status.unwrap().code() == Some(2) {
            // Messages of srun may be in between.
            assert_eq!(outcome.errors().len(), 1, "one error message, once");
            assert!(text.contains("--mpi=pmix") && text.contains("--mpi=pmi2"), "the cure is named");
        } else {
            assert!(text.contains("PMI"), "the user can see what is wrong");
        }
        assert_eq!(farm.contents(), before, "nothing was started");
    }
}

/// Tasks may be job steps, singleton MPI programs and MPI programs with a launcher of either MPI.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn tasks_may_be_job_steps_and_mpi_programs() {
    let program = crate::support::program();
    let mut list = String::new();
    for inner in 0..4 {
        list.push_str("srun --nodes=1 --ntasks=1 --overlap hostname\n");
        list.push_str(&format!("'{program}' --proc 1 alone-{inner}\n"));
    }
    let farm = lab::farm(&[], b"");
    let mpi_tasks = hello::mpi_tasks(&farm);
    list.extend(mpi_tasks.iter().map(|task| format!("{}\n", task.line)));
    let count = list.lines().count() as u64;
    farm.write(LIST, list.as_bytes());
    for inner in 0..4 {
        farm.write(&format!("alone-{inner}"), b"echo inner\n");
    }
    let outcome = farm.run(&["--proc", "2"]);
    let logs: Vec<String> = (0..count).map(|id| String::from_utf8_lossy(&farm.workdir().log(id)).into()).collect();
    assert!(farm.workdir().failed().is_empty(), "{logs:#?}");
    outcome.exits(0);
    is_complete(&farm, count);
    for inner in 0..4 {
        assert!(logs[2 * inner].starts_with("node"), "{logs:#?}");
        assert_eq!(farm.read(&format!("alone-{inner}_workdir/logs/log_0")), b"inner\n");
    }
    for (id, task) in (8..).zip(&mpi_tasks) {
        task.said_hello(&farm.workdir().log(id));
    }
}
