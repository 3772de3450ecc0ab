//! The launcher of another MPI starts farms of one rank each, in silence: that is refused.

use crate::support::{Farm, Mpi, skipped};

/// Three ranks by the launcher of the wrong MPI: exit code 2, one message that names the cure, nothing started.
#[test]
fn launcher_of_the_other_mpi_is_refused() {
    let (ours, theirs) = (Mpi::of_program(), Mpi::of_program().other());
    let Some(launcher) = theirs.command(3) else {
        skipped(&theirs.cure());
        return;
    };
    let farm = Farm::launched_by(launcher, b"echo one\n").time_limit(60);
    let before = farm.everything();
    let outcome = farm.run(&[]).refused(&[ours.library()]);
    let message = outcome.errors().concat();
    let cures = ["mpirun", "mpiexec", "--mpi="];
    assert!(cures.iter().any(|cure| message.contains(cure)), "the cure should be named:\n{message}");
    assert_eq!(farm.everything(), before, "nothing is started");
}

/// `mpirun -n 1` and no launcher at all are the same farm.
#[test]
fn one_rank_needs_no_launcher() {
    let list = b"echo $TASKFARMER_RANK $PROC_NUMBER\n";
    for farm in [Farm::mpi(1, list), Farm::local(list)] {
        assert_eq!(farm.run(&[]).exits(0).summary(), [1, 0, 0]);
        assert_eq!(farm.workdir().log(0), b"0 0\n");
    }
}
