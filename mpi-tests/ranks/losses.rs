//! Ranks that are lost, or only seem to be, under mpirun and mpiexec: docs/signals.md describes what each launcher
//! does.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Farm, Lag, Mpi, Running, blockers, disk, processes};

const QUICK: usize = 10;
const BLOCKERS: usize = 20;
const COUNT: usize = QUICK + BLOCKERS;
const OPTIONS: [&str; 2] = ["--proc", "2"];

#[track_caller]
fn wait_until_blocked(running: &mut Running<'_>, farm: &Farm) {
    running.wait_until("every slot is blocked", || blockers::blocked(farm, QUICK) == 6);
}

/// A worker rank dies by SIGKILL: the launcher ends the whole farm with the exit code of the dead rank, within seconds
/// and leaving nothing behind; the same command completes the list.
#[test]
fn launcher_ends_the_farm_with_a_killed_rank() {
    let farm = Farm::mpi(3, &blockers::list(QUICK, BLOCKERS));
    let mut running = farm.start(&OPTIONS);
    wait_until_blocked(&mut running, &farm);
    let (victim, lag) = (running.rank(1), Lag::watch());
    processes::signal(victim, Signal::SIGKILL);
    // Also looks for processes that are still alive.
    let outcome = running.wait().exits(match Mpi::of_program() {
        Mpi::OpenMpi | Mpi::Intel => 137,
        Mpi::Mpich => 9,
    });
    lag.is_within(Duration::from_secs(15), "the end");
    outcome.was_own_code(4);
    drop(outcome);
    let recorded = farm.workdir().recorded();
    blockers::is_completed_by_the_next_run(&farm, COUNT, &OPTIONS, &recorded);
}

/// Launchers that are asked to keep the other ranks when one dies. Open MPI's does, and the run completes with exit
/// code 0. MPICH's may notify the others by SIGUSR1, which stops a farm normally; or its helper ends before it has
/// notified any of them, and the run completes. Intel's library hangs when it sends to the dead rank, and the farm ends
/// with 4. In each case the same command completes the list.
#[test]
fn launcher_lets_the_others_live() {
    const COUNT: usize = 300;
    let list = "sleep 0.2; echo $PROC_NUMBER >> ran\n".repeat(COUNT);
    let mpi = Mpi::of_program();
    let farm = match mpi {
        Mpi::OpenMpi if Mpi::is_prrte() => {
            let mut launcher = mpi.command(3).expect("the MPI that it was built with");
            launcher.insert(1, "--enable-recovery".into());
            Farm::launched_by(launcher, list.as_bytes())
        }
        Mpi::OpenMpi => {
            let mut farm = Farm::mpi(3, list.as_bytes());
            farm.set("OMPI_MCA_orte_enable_recovery", "1");
            farm
        }
        // With all ranks on one node it kills them all the same: three nodes, all of which are this one.
        Mpi::Mpich | Mpi::Intel => {
            let mut launcher = mpi.command_on_nodes(3).expect("the MPI that it was built with");
            launcher.insert(1, "-disable-auto-cleanup".into());
            Farm::launched_by(launcher, list.as_bytes())
        }
    };
    let mut running = farm.start(&OPTIONS);
    running.wait_until("all ranks work", || farm.lines("ran").len() > 20);
    processes::signal(running.rank(1), Signal::SIGKILL);
    let outcome = running.wait();
    let text = outcome.stderr_text();
    if mpi == Mpi::Intel && text.contains("MPI does not return from a call") {
        outcome.exits(4);
    } else if mpi != Mpi::OpenMpi && text.contains("SIGUSR1") {
        assert!(text.contains(" is lost"), "the user is told");
        assert_eq!(outcome.exits(3).summary()[1], 0, "failed");
    } else {
        assert!(text.contains(" is lost"), "the user is told");
        assert_eq!(outcome.exits(0).summary(), [COUNT as u64, 0, 0]);
        assert_eq!(farm.workdir().recorded().len(), COUNT);
        return;
    }
    assert!(farm.workdir().recorded().len() < COUNT, "it stopped before the end");
    assert_eq!(farm.run(&OPTIONS).exits(0).summary(), [COUNT as u64, 0, 0]);
    assert_eq!(farm.workdir().recorded().len(), COUNT);
}

/// A rank that reports constantly, but gets no more tasks, continues: it hears enough from rank 0.
#[test]
fn a_rank_without_new_tasks_is_not_forsaken() {
    // One ends every three seconds, for longer than rank 0 may be silent.
    let list: String = (1..=12).map(|number| format!("sleep {}\n", 3 * number)).collect();
    let farm = Farm::mpi(2, list.as_bytes());
    let outcome = farm.run(&["--proc", "12", "--farmer-only"]).exits(0);
    assert_eq!(outcome.summary(), [12, 0, 0]);
    assert!(!outcome.stderr_text().contains("lost"), "no rank was lost");
}

/// Rank 0 is delayed by a disk that stalls, for longer than it may be silent: the others wait for it.
#[test]
fn a_farmer_that_is_held_up_is_waited_for() {
    let mut farm = Farm::mpi(3, "sleep 0.1; echo $PROC_NUMBER >> ran\n".repeat(200).as_bytes());
    let hold = farm.path("hold");
    let shim = [("SHIM_CALL", "write"), ("SHIM_FILE", "_workdir/finished"), ("SHIM_HOLD", hold.to_str().unwrap())];
    disk::preload(&mut farm, &shim);
    let mut running = farm.start(&OPTIONS);
    running.wait_until("all ranks work", || farm.lines("ran").len() > 20);
    farm.write("hold", b"");
    let ends = Instant::now() + Duration::from_secs(35);
    assert!(running.comes_true("the time is over", || Instant::now() >= ends), "it waits for its farmer");
    assert!(farm.workdir().recorded().len() < 200, "the disk did stall");
    std::fs::remove_file(hold).unwrap();
    let outcome = running.wait().exits(0);
    assert_eq!(outcome.summary(), [200, 0, 0]);
    assert!(!outcome.stderr_text().contains("lost"), "no rank was lost:\n{}", outcome.stderr_text());
}

/// A send that does not return, as was seen with Intel MPI after a rank was killed: rank 0 ends by itself and reports
/// it, all others end, and the same command completes the list.
#[test]
fn an_mpi_that_hangs_is_left() {
    let mut farm = Farm::mpi(3, "sleep 0.1; echo $PROC_NUMBER >> ran\n".repeat(200).as_bytes());
    let hold = farm.path("hold");
    disk::preload(&mut farm, &[("SHIM_CALL", "isend"), ("SHIM_HOLD", hold.to_str().unwrap())]);
    let mut running = farm.start(&OPTIONS);
    running.wait_until("all ranks work", || farm.lines("ran").len() > 20);
    farm.write("hold", b"");
    let outcome = running.wait();
    // The launcher's code; MPICH's can be 0 if ranks end without MPI.
    if Mpi::of_program() != Mpi::Mpich {
        assert_ne!(outcome.status.unwrap().code(), Some(0));
    }
    outcome.was_own_code(4);
    assert!(outcome.stderr_text().contains("MPI does not return from a call"), "the user is told");
    std::fs::remove_file(hold).unwrap();
    let recorded = farm.workdir().recorded();
    assert!(!recorded.is_empty() && recorded.len() < 200);
    assert_eq!(farm.run(&OPTIONS).exits(0).summary(), [200, 0, 0]);
}
