//! A process of rank 0 that works before MPI starts: the reader, the asker, the one that asks when the job ends.
//!
//! Owns how such a process is started and ended, with everything that it has started. It does not know what for.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::sys::fork::{Reader, fork_reader};
use crate::tasklist::Made;

/// How long the process and its programs may take to disappear after SIGKILL, and the interval at which that is checked.
const KILL_LIMIT: Duration = Duration::from_secs(5);
const KILL_PAUSE: Duration = Duration::from_millis(1);

/// The first check comes sooner: a process that waits for a question is gone immediately.
const KILL_PAUSE_FIRST: Duration = Duration::from_micros(50);

/// One of these processes. It ends with this value, together with everything that it has started.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    pub(super) socket: UnixStream,
    /// Dropped after the process has ended.
    made: Made,
}

impl Process {
    /// Forks it to do this work, with the socket to its parent, and nothing else. The parent must remove what was made.
    /// To be called while there is one thread, and MPI has not been started.
    pub(super) fn start(made: Made, work: impl FnOnce(&UnixStream) -> io::Result<()>) -> io::Result<Self> {
        match fork_reader()? {
            Reader::Parent(pid, socket) => Ok(Self { pid, socket, made }),
            Reader::Child(socket) => {
                made.keep();
                // Never back to the caller: a panic would destroy what belongs to the parent.
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&socket)));
                std::process::exit(i32::from(!done.is_ok_and(|done| done.is_ok())));
            }
        }
    }

    /// From now on somebody else owns what was made.
    pub(super) fn keep_made(&mut self) {
        std::mem::take(&mut self.made).keep();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It leads a process group of its own, and has not been waited for so far, so the number has not been reused.
        // What it leaves behind becomes a child of this process; a member may just have started a new one.
        let group = Pid::from_raw(-self.pid.as_raw());
        let deadline = Instant::now() + KILL_LIMIT;
        let mut pause = KILL_PAUSE_FIRST;
        while Instant::now() < deadline {
            let _ = killpg(self.pid, Signal::SIGKILL);
            match waitpid(group, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(KILL_PAUSE);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}
