//! A node with a fault.

use crate::support::{Farm, Mpi, skipped};

/// Rank 1 sees an empty folder in place of the workdir, as on a node that lacks a mount.
const BLIND_RANK_1: &str = r#"
if [ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 1 ]; then
    exec unshare --mount bash -c 'mount -t tmpfs none "$PWD" && exec "$@"' blind "$@"
fi
exec "$@""#;

fn can_mount() -> bool {
    let mut probe = std::process::Command::new("unshare");
    probe.args(["--mount", "bash", "-c", "mount -t tmpfs none /mnt"]);
    probe.status().is_ok_and(|status| status.success())
}

fn with_a_blind_rank(ranks: u32, list: &[u8]) -> Option<Farm> {
    if !can_mount() {
        skipped("mounting needs root and mount namespaces");
        return None;
    }
    let mut launcher = Mpi::of_program().command(ranks).expect("the MPI that it was built with");
    launcher.extend(["bash", "-c", BLIND_RANK_1, "wrapper"].map(Into::into));
    Some(Farm::launched_by(launcher, list))
}

/// Promise 3: a rank that does not see the workdir fails no task. It is set aside, and the others run them all.
#[test]
fn a_node_without_the_workdir_takes_no_task() {
    let Some(farm) = with_a_blind_rank(3, "echo $TASKFARMER_RANK; sleep 0.1\n".repeat(30).as_bytes()) else { return };
    let outcome = farm.run(&["--proc", "2"]).exits(0);
    assert_eq!(outcome.summary(), [30, 0, 0]);
    assert!(outcome.stderr_text().contains("rank 1 is lost"), "the user is told");
    assert!((0..30).all(|id| farm.workdir().log(id) != b"1\n"));
}

/// If no rank is left, the farm reports the reason and fails no task either.
#[test]
fn without_any_node_the_farm_fails_and_no_task_does() {
    let Some(farm) = with_a_blind_rank(2, b"echo one\necho two\n") else { return };
    let outcome = farm.run(&["--farmer-only"]).exits(4);
    assert_eq!(outcome.summary(), [0, 0, 2]);
    assert!(outcome.stderr_text().contains("all nodes share"), "the user is told");
    assert!(farm.workdir().failed().is_empty());
}

/// Promise 3: a node on which every task fails immediately does not consume the list. Its tasks run elsewhere.
#[test]
fn a_black_hole_fails_no_task() {
    let farm = Farm::mpi(3, "test $TASKFARMER_RANK != 2 && sleep 0.05\n".repeat(400).as_bytes());
    let outcome = farm.run(&["--proc", "2"]).exits(0);
    assert_eq!(outcome.summary(), [400, 0, 0]);
    assert!(outcome.stderr_text().contains("is set aside for 60 s"), "the user is told");
    assert!(farm.workdir().failed().is_empty());
}

/// A list whose tasks fail everywhere fails as a whole, without blaming a node or delaying the end.
#[test]
fn tasks_that_fail_everywhere_are_their_own_fault() {
    let farm = Farm::mpi(3, "exit 7\n".repeat(400).as_bytes());
    let outcome = farm.run(&["--proc", "2"]).exits(1);
    assert_eq!(outcome.summary(), [0, 400, 0]);
    assert!(!outcome.stderr_text().contains("set aside"), "no node is blamed");
}
