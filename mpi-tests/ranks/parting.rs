//! How ranks leave. Launchers consider a rank that leaves MPI long before the others a failure, and end the others: so
//! no rank leaves before rank 0 has closed its files, and then the launcher's exit code is that of rank 0.

use std::ffi::OsString;

use nix::sys::signal::Signal;

use crate::support::{Farm, Mpi, disk, processes, skipped};

/// Longer than ranks wait for each other in MPI_Finalize.
const LONG: &str = "12";

/// All ways to launch this many ranks here: on one node and, if the launcher supports it, on several.
fn launchers(ranks: u32) -> Vec<Vec<OsString>> {
    let mpi = Mpi::of_program();
    let one = mpi.command(ranks).unwrap_or_else(|| panic!("{}", mpi.cure()));
    let Some(several) = mpi.command_on_nodes(ranks) else { return vec![one] };
    let mut indulgent = several.clone();
    indulgent.insert(1, "-disable-auto-cleanup".into());
    vec![one, several, indulgent]
}

/// A stop while one rank still has a task that needs its grace period, to save its state, and the others have none: the
/// task gets its time, and the farm reports its result.
#[test]
fn a_rank_with_nothing_left_waits_for_those_in_their_grace_period() {
    const SAVES: &str =
        "trap 'sleep LONG; echo saved > saved; exit 1' TERM; echo 0 >> ran; while :; do sleep 0.1; done\n";
    for launcher in launchers(3) {
        let list = SAVES.replace("LONG", LONG) + &"echo 1 >> ran; exec sleep 600\n".repeat(2);
        let farm = Farm::launched_by(launcher, list.as_bytes());
        let mut running = farm.start(&["--proc", "1", "--grace", "60"]);
        running.wait_until("all tasks run", || farm.lines("ran").len() == 3);
        processes::signal(running.rank(0), Signal::SIGTERM);
        let outcome = running.wait().exits(3);
        assert_eq!(outcome.summary(), [0, 0, 3]);
        assert_eq!(farm.lines("saved"), ["saved"], "the task had the time to save");
    }
}

/// Rank 0 is delayed by a disk that is slow to write the last records: the others stay, and the user sees the result.
#[test]
fn a_slow_disk_at_the_end_is_waited_for() {
    for launcher in launchers(3) {
        let mut farm = Farm::launched_by(launcher, "true\n".repeat(20).as_bytes());
        let ms = format!("{LONG}000");
        disk::preload(&mut farm, &[("SHIM_CALL", "sync"), ("SHIM_FILE", "_workdir/finished"), ("SHIM_SLEEP", &ms)]);
        let outcome = farm.run(&["--proc", "2"]).exits(0);
        assert_eq!(outcome.summary(), [20, 0, 0]);
        assert_eq!(farm.workdir().timeline().by_task().len(), 20, "it is closed");
    }
}

/// The launcher ends with the exit code of the farm, and reports no abort, even on many nodes. MPICH's mpiexec with
/// -disable-auto-cleanup died of SIGPIPE at the end of such runs when ranks ended without MPI_Finalize: one run in
/// sixteen on three nodes.
#[test]
fn the_launcher_ends_with_the_code_of_the_farm() {
    for launcher in launchers(8) {
        for (task, code) in [("true\n", 0), ("false\n", 1), ("true\n", 0)] {
            let farm = Farm::launched_by(launcher.clone(), task.repeat(30).as_bytes());
            let outcome = farm.run(&["--proc", "1"]).exits(code);
            assert_eq!(outcome.summary()[2], 0);
            assert!(!outcome.stderr_text().contains("MPI_Abort"), "{}", outcome.stderr_text());
        }
    }
}

/// Nothing of MPI remains in the shared memory of a node, however the ranks end.
#[test]
fn shared_memory_is_given_back() {
    const OWN: &str = "mount -t tmpfs none /dev/shm && \"$@\"; code=$?; ls -A /dev/shm > left; exit $code";
    let may_mount =
        std::process::Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        return skipped("mounting needs root and mount namespaces");
    }
    for launcher in launchers(3) {
        let words = ["unshare", "--mount", "bash", "-c", OWN, "own"].map(OsString::from);
        let farm = Farm::launched_by(words.into_iter().chain(launcher).collect(), "true\n".repeat(30).as_bytes());
        farm.run(&["--proc", "1"]).exits(0);
        assert_eq!(farm.lines("left"), [""; 0]);
    }
}
