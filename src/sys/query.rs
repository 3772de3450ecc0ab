//! Programs that are asked something before the farm starts.
//!
//! Owns the start of one program, its output, and a time limit. Such a program is not a task: nothing about it is
//! recorded. It is started by the process that reads for the farm, in that one's process group, and dies with it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use thiserror::Error;

use super::process::die_with_parent;
use super::wait::{Interest, wait_ready};

/// Output beyond this many bytes is not kept.
const OUTPUT_MAX: usize = 1 << 20;

/// How often to check whether the program has ended while there is no output.
const LOOK: Duration = Duration::from_millis(100);

/// The answer of a program.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output and standard error, up to a MiB.
    pub output: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum QueryError {
    /// It ran too long and was killed.
    #[error("it took too long")]
    TimedOut,
    /// It does not exist or could not be executed, nothing could be prepared, or nothing could be read.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Runs a program to its end, or kills it at the time limit. Its standard input is empty.
///
/// # Errors
/// If it does not start or does not end.
pub(crate) fn run(mut command: Command, limit: Duration) -> Result<Answer, QueryError> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(std::io::Error::from)?;
    // Only this end must be non-blocking: each end has a flag of its own.
    nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).map_err(std::io::Error::from)?;
    let errors = OwnedFd::from(File::from(write.try_clone()?));
    command.stdin(Stdio::null()).stdout(write).stderr(errors);
    let mut child = die_with_parent(&mut command).spawn()?;
    // It holds this process's copies of the other end.
    drop(command);
    let deadline = Instant::now() + limit;
    let ended = read_to_end(File::from(read), &mut child, deadline)
        .and_then(|output| Ok(Answer { status: wait(&mut child, deadline)?, output }));
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

/// Reads until the other end is closed. Processes that the program leaves behind may keep it open, so the end of the
/// program is the end of the answer, too.
fn read_to_end(mut pipe: File, child: &mut Child, deadline: Instant) -> Result<Vec<u8>, QueryError> {
    let mut output = Vec::new();
    let mut buffer = [0; 16 << 10];
    let mut has_ended = false;
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(output),
            Ok(len) => output.extend_from_slice(&buffer[..len.min(OUTPUT_MAX - output.len())]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if has_ended {
                    return Ok(output);
                }
                if left.is_zero() {
                    return Err(QueryError::TimedOut);
                }
                wait_ready(&[Interest { fd: pipe.as_fd(), write: false }], Some(left.min(LOOK)));
                // Once more after that: its last output may have arrived in between.
                has_ended = child.try_wait()?.is_some();
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Its output is closed: it will end at any moment, unless it has detached itself from its output on purpose.
fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, QueryError> {
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(status),
            None if Instant::now() >= deadline => return Err(QueryError::TimedOut),
            // Old kernels have no descriptor of a process to wait for.
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Answer, QueryError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear().env("A", "b");
        run(command, limit)
    }

    /// Output and exit status of a program are returned, and one that hangs is killed.
    #[test]
    fn a_program_answers_or_is_killed() {
        let minute = Duration::from_secs(60);
        let answer = sh("echo $A; echo err >&2; cat; exit 3", minute).unwrap();
        assert_eq!((answer.status.code(), &answer.output[..]), (Some(3), &b"b\nerr\n"[..]));
        assert_eq!(sh("kill -9 $$", minute).unwrap().status.signal(), Some(9));
        // It leaves its output open.
        let left = sh("sleep 1000 & echo $!", minute).unwrap();
        let pid = String::from_utf8(left.output).unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        assert_eq!(left.status.code(), Some(0));
        let long = sh("head -c 3000000 /dev/zero; exit 4", minute).unwrap();
        assert_eq!((long.status.code(), long.output.len()), (Some(4), OUTPUT_MAX));
        for hanging in ["exec sleep 1000", "exec >/dev/null 2>&1; exec sleep 1000"] {
            assert!(matches!(sh(hanging, Duration::from_millis(50)), Err(QueryError::TimedOut)));
        }
        let missing = run(Command::new("/no/such/program"), minute);
        assert!(matches!(missing, Err(QueryError::System(error)) if error.kind() == ErrorKind::NotFound));
    }
}
