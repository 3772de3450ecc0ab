//! Programs that answer something before the farm starts.
//!
//! Owns the start of one program, its output, and a time limit. Such a program is no task: nothing of it is recorded.

use std::ffi::CStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use thiserror::Error;

use super::family::KILL;
use super::process::{Command, Spawner, tell_group};
use super::signals::SignalSource;
use super::wait::{Interest, wait_ready};
use crate::protocol::Outcome;

/// Output beyond this many bytes is not kept.
const OUTPUT_MAX: usize = 1 << 20;

/// What a program said.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// Standard output and standard error, up to a MiB.
    pub output: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum BriefError {
    /// It was not there, or could not be executed.
    #[error("{}", .0.desc())]
    Start(Errno),
    /// It ran too long and was killed.
    #[error("it took too long")]
    TimedOut,
    /// A signal that asks the farm to stop has come; it was killed. The signal is still there to be read.
    #[error("a signal asked to stop")]
    Stopped,
    /// Nothing could be prepared, or nothing could be read.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Runs a program to its end, with its process group killed at the time limit. Its standard input is empty.
///
/// # Errors
/// If it does not start or does not end.
pub fn run(program: &CStr, argv: &[&CStr], environment: &[&CStr], limit: Duration) -> Result<Answer, BriefError> {
    let system = |errno: Errno| BriefError::System(errno.into());
    let null = File::open("/dev/null")?;
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(system)?;
    // Only our end is to be non-blocking: the flag belongs to each end of its own.
    nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).map_err(system)?;
    let command = Command { program, argv, environment, stdin: null.as_fd(), output: write.as_fd() };
    let pid = Spawner::new().and_then(|spawner| spawner.spawn(&command)).map_err(BriefError::Start)?;
    drop(write);
    let deadline = Instant::now() + limit;
    let ended = SignalSource::stops().map_err(system).and_then(|stops| {
        let output = read_to_end(File::from(read), &stops, deadline)?;
        Ok(Answer { outcome: wait(pid, &stops, deadline)?, output })
    });
    if ended.is_err() {
        tell_group(pid, &KILL);
        let _ = waitpid(pid, None);
    }
    ended
}

fn read_to_end(mut pipe: File, stops: &SignalSource, deadline: Instant) -> Result<Vec<u8>, BriefError> {
    let mut output = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(output),
            Ok(len) => output.extend_from_slice(&buffer[..len.min(OUTPUT_MAX - output.len())]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(BriefError::TimedOut);
                }
                let interests = [stops.as_fd(), pipe.as_fd()].map(|fd| Interest { fd, write: false });
                wait_ready(&interests, Some(left));
                // Looked at, not read: it is for whoever ends the farm.
                if stops.is_waiting() {
                    return Err(BriefError::Stopped);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Its output is closed: it ends any moment, if it has not detached itself from its output on purpose.
fn wait(pid: Pid, stops: &SignalSource, deadline: Instant) -> Result<Outcome, BriefError> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(Outcome::Exited(u8::try_from(code).unwrap_or(u8::MAX))),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Ok(Outcome::Signaled(u8::try_from(signal as i32).unwrap_or(u8::MAX)));
            }
            Ok(_) if Instant::now() >= deadline => return Err(BriefError::TimedOut),
            Ok(_) if stops.is_waiting() => return Err(BriefError::Stopped),
            // Old kernels have no descriptor of a process to wait for.
            Ok(_) => std::thread::sleep(Duration::from_millis(1)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(BriefError::System(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &CStr, limit: Duration) -> Result<Answer, BriefError> {
        run(c"/bin/sh", &[c"sh", c"-c", script], &[c"A=b"], limit)
    }

    /// Output and end of a program come back, and one that hangs is killed with all that it has started.
    #[test]
    fn a_program_answers_or_is_killed() {
        let minute = Duration::from_secs(60);
        let answer = sh(c"echo $A; echo err >&2; cat; exit 3", minute).unwrap();
        assert_eq!((answer.outcome, &answer.output[..]), (Outcome::Exited(3), &b"b\nerr\n"[..]));
        assert_eq!(sh(c"kill -9 $$", minute).unwrap().outcome, Outcome::Signaled(9));
        let long = sh(c"head -c 3000000 /dev/zero; exit 4", minute).unwrap();
        assert_eq!((long.outcome, long.output.len()), (Outcome::Exited(4), OUTPUT_MAX));
        for hanging in [c"sleep 1000 & sleep 1000", c"exec >/dev/null 2>&1; sleep 1000"] {
            assert!(matches!(sh(hanging, Duration::from_millis(50)), Err(BriefError::TimedOut)));
        }
        let missing = run(c"/no/such/program", &[c"x"], &[], minute);
        assert!(matches!(missing, Err(BriefError::Start(Errno::ENOENT))));
    }
}
