//! The last moments of a rank: its last call of MPI, and who leaves first.
//!
//! Owns the waiting. [`super::mpi`] decides which way a rank leaves, and makes the calls.

use std::time::{Duration, Instant};

use nix::unistd::getppid;

/// How long the last call may take: on a node whose CPUs are busy, or with thousands of ranks, MPI_Finalize takes
/// seconds, and cutting it short costs the exit code. Longer than a pool that has stopped may need to clean up: its
/// rank is later by that much.
const LAST_CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long the others wait for rank 0 to leave first if ranks end without MPI_Finalize.
pub(super) const LEAVE_PAUSE: Duration = Duration::from_secs(2);

/// The interval at which a rank that only waits for the end checks for it.
const LOOK: Duration = Duration::from_millis(10);

/// Calls MPI for the last time: if it does not return, the process still ends with this code.
pub(super) fn watched(code: i32, last_call: impl FnOnce()) {
    let watchdog = std::thread::Builder::new().spawn(move || {
        std::thread::sleep(LAST_CALL_LIMIT);
        exit_now(code);
    });
    if watchdog.is_ok() {
        last_call();
    }
}

/// Waits for a while after the last message, or until the launcher on this node is gone: then rank 0 is gone, too.
pub(super) fn wait_for_rank_0() {
    let (launcher, ends) = (getppid(), Instant::now() + LEAVE_PAUSE);
    while getppid() == launcher && Instant::now() < ends {
        std::thread::sleep(LOOK);
    }
}

/// Ends the process without running exit handlers; those of an MPI that lost a rank can hang.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: it only ends the process, whatever state that is in.
    unsafe { libc::_exit(code) }
}
