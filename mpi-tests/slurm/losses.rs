//! Ranks, pools and nodes that are lost while a farm runs under Slurm.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::{self, NODES, Victim};
use crate::runs::is_complete;
use crate::support::{Farm, Lag, Mpi, Outcome, Running, processes};

/// This many tasks of half a second last for about 35 s on four slots per node: a rank that is lost meanwhile is
/// noticed before the end.
const COUNT: u64 = 1000;

/// The maximum silence of a rank; see docs/protocol.md.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const SLOTS: [&str; 2] = ["--proc", "4"];

fn list() -> Vec<u8> {
    "sleep 0.5; echo $PROC_NUMBER >> ran\n".repeat(COUNT as usize).into_bytes()
}

fn farm() -> Farm {
    lab::farm(&["--no-kill"], &list())
}

/// Waits until every node has run tasks.
#[track_caller]
fn wait_for_work(running: &mut Running<'_>, farm: &Farm) {
    running.wait_until("all ranks work", || farm.lines("ran").len() > 8 * NODES as usize);
}

/// Whether the user was told this about a rank.
fn tells(stderr: &str, rank: u32, what: &str) -> bool {
    let start = format!("rank {rank} (node");
    stderr.lines().any(|line| line.contains(&start) && line.contains(what))
}

/// The run has completed the list without the lost rank, and reported that.
#[track_caller]
fn is_complete_without(farm: &Farm, outcome: &Outcome, rank: u32) {
    is_complete(farm, COUNT);
    assert_eq!(outcome.summary(), [COUNT, 0, 0]);
    assert!(tells(&outcome.stderr_text(), rank, "is lost"), "the user is told");
    farm.ends_after_its_tasks(outcome);
}

/// A node is switched off: its tasks run elsewhere, and the exit code is 0, if srun passes it on.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn node_killed() {
    let farm = farm();
    let mut running = farm.start(&SLOTS);
    wait_for_work(&mut running, &farm);
    let mut victim = Victim::of(lab::node_of(&running, 2));
    victim.kill();
    is_complete_without(&farm, &lab::ends_without_a_node(running.wait(), 0), 2);
}

/// A node loses its network and continues to run: the same, and its further results are not recorded a second time.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn node_cut_from_the_network() {
    let farm = farm();
    let mut running = farm.start(&SLOTS);
    wait_for_work(&mut running, &farm);
    let victim = Victim::of(lab::node_of(&running, 3));
    victim.cut();
    is_complete_without(&farm, &lab::ends_without_a_node(running.wait(), 0), 3);
}

/// A rank that is suspended for longer than ranks may be silent is lost, and rejoins when it wakes up.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn rank_stopped_and_woken_again() {
    let farm = lab::farm(&["--no-kill"], &[list(), list()].concat());
    let mut running = farm.start(&SLOTS);
    wait_for_work(&mut running, &farm);
    let rank = running.rank(1);
    processes::signal(rank, Signal::SIGSTOP);
    let stopped = Instant::now();
    running
        .wait_until("the rank is called lost", || tells(&String::from_utf8_lossy(&farm.last_stderr()), 1, "is lost"));
    // It may have been silent for a moment before.
    assert!(stopped.elapsed() >= SILENCE_MAX / 2, "lost after {:?}", stopped.elapsed());
    processes::signal(rank, Signal::SIGCONT);
    let outcome = running.wait().exits(0);
    is_complete(&farm, 2 * COUNT);
    assert!(tells(&outcome.stderr_text(), 1, "responds again"), "it takes part again");
}

/// A pool process is killed: its tasks run again, that is noticed immediately, and the rank gets a new pool.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn pool_killed() {
    let farm = lab::farm(&[], &list());
    let mut running = farm.start(&SLOTS);
    wait_for_work(&mut running, &farm);
    let pools = processes::pools(running.mark());
    let pool = pools.iter().find(|(rank, _)| *rank == 2).expect("each rank has a pool").1;
    processes::signal(pool, Signal::SIGKILL);
    let outcome = running.wait().exits(0);
    is_complete(&farm, COUNT);
    assert_eq!(outcome.summary(), [COUNT, 0, 0]);
    assert!(tells(&outcome.stderr_text(), 2, "restarting it"), "the user is told");
    farm.ends_after_its_tasks(&outcome);
}

/// A rank is killed, not its node: the run completes, but srun's exit code is that of the dead rank.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn rank_killed() {
    let farm = farm();
    let mut running = farm.start(&SLOTS);
    wait_for_work(&mut running, &farm);
    processes::signal(running.rank(1), Signal::SIGKILL);
    let outcome = running.wait().exits(137);
    outcome.was_own_code(0);
    is_complete_without(&farm, &outcome, 1);
}

/// With several ranks per node, Open MPI 4 under srun is killed with the rank; everything else continues. Either way
/// nothing is lost, nothing hangs, and the same command completes the list.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn rank_killed_beside_another() {
    let words = ["--no-kill", "--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=2"];
    let farm = lab::farm(&words, "sleep 0.5; echo $PROC_NUMBER >> ran\n".repeat(300).as_bytes());
    let mut running = farm.start(&["--proc", "2"]);
    wait_for_work(&mut running, &farm);
    processes::signal(running.rank(3), Signal::SIGKILL);
    let outcome = running.wait().exits(137);
    if Mpi::of_program() == Mpi::Mpich || Mpi::is_prrte() {
        outcome.was_own_code(0);
        is_complete(&farm, 300);
        farm.ends_after_its_tasks(&outcome);
    }
    farm.run(&["--proc", "2"]).exits(0);
    is_complete(&farm, 300);
}

/// The farmer's node is switched off: within half a minute no rank and no task is left on any node, and the same
/// command completes the list.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn node_of_the_farmer_killed() {
    let farm = farm();
    let mut running = farm.start(&SLOTS);
    wait_for_work(&mut running, &farm);
    let mut victim = Victim::of(lab::node_of(&running, 0));
    victim.kill();
    let lag = Lag::watch();
    let mark = running.mark().to_owned();
    let is_task_or_rank = |process: &processes::Process| process.is_ours() || process.task().is_some();
    running.comes_true("all ranks have ended", || !processes::marked(&mark).iter().any(is_task_or_rank));
    lag.is_within(Duration::from_secs(30), "the end of all ranks");
    // srun itself waits until Slurm considers the node dead.
    let outcome = running.wait();
    assert_ne!(outcome.status.unwrap().code(), Some(0));
    drop(victim);
    farm.run(&SLOTS).exits(0);
    is_complete(&farm, COUNT);
}

/// With `--farmer-only` and all other ranks lost, the farm reports that and ends with 4; the same command resumes.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn all_workers_lost() {
    let farm = lab::farm(&["--no-kill", "--nodes=2"], &list());
    let options = ["--proc", "4", "--farmer-only"];
    let mut running = farm.start(&options);
    running.wait_until("the worker works", || farm.lines("ran").len() > 8);
    let mut victim = Victim::of(lab::node_of(&running, 1));
    victim.kill();
    let outcome = lab::ends_without_a_node(running.wait(), 4);
    assert!(tells(&outcome.stderr_text(), 1, "is lost"), "the user is told");
    assert_eq!(outcome.summary()[1], 0, "failed");
    assert!(outcome.stderr_text().contains("error: no worker is left"), "the user is told why");
}
