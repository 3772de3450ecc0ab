//! The MPI process's end of its pool: a socket, and a child whose death must not leave tasks behind.
//!
//! Owns the socket and the pid. Passes frames without looking inside.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::exit_status;
use crate::protocol::framing::{FrameReader, push_frame, write_some};
use crate::sys::family::end_descendants;

/// How long processes of a lost pool may take to vanish after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// How long a pool may take to clear up and exit once its socket is closed.
const EXIT_LIMIT: Duration = Duration::from_secs(8);

/// Bytes taken from the socket in one go, so that a busy pool does not starve the rest of the loop.
const READ_LEN_MAX: usize = 1 << 20;

/// How a pool ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PoolEnd {
    /// After it had said `Stopped`.
    Clean,
    /// Otherwise. Its tasks are dead.
    Lost(String),
}

/// The pool of this rank, as its MPI process sees it.
#[derive(Debug)]
pub struct PoolHandle {
    pid: Pid,
    socket: UnixStream,
    reader: FrameReader,
    out: Vec<u8>,
    end: Option<PoolEnd>,
}

impl PoolHandle {
    /// Takes over the two things that the fork gave.
    ///
    /// # Errors
    /// If the socket can't be made non-blocking.
    pub fn new(pid: Pid, socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { pid, socket, reader: FrameReader::default(), out: Vec::new(), end: None })
    }

    /// Queues a frame for the pool. After its end, frames vanish.
    pub fn send(&mut self, frame: &[u8]) {
        if self.end.is_none() {
            push_frame(&mut self.out, frame);
        }
    }

    /// The descriptor to wait on, while there is a pool.
    #[must_use]
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.end.is_none().then(|| (self.socket.as_fd(), !self.out.is_empty()))
    }

    /// How the pool ended, once it has.
    #[must_use]
    pub fn end(&self) -> Option<&PoolEnd> {
        self.end.as_ref()
    }

    /// Writes what waits and hands over every whole frame that has come.
    pub fn pump(&mut self, mut on_frame: impl FnMut(&[u8])) {
        if self.end.is_some() {
            return;
        }
        let written = write_some(&mut self.out, |bytes| (&self.socket).write(bytes));
        // What the pool said before it ended counts, even if nothing can be written to it any more.
        let read = self.read(&mut on_frame);
        match (written, read) {
            (_, Ok(false)) => self.end = Some(self.bury("its socket closed")),
            (_, Err(error)) | (Err(error), _) => self.end = Some(self.bury(&error.to_string())),
            (Ok(()), Ok(true)) => {}
        }
    }

    fn read(&mut self, on_frame: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        let mut buffer = [0; 64 << 10];
        let mut total = 0;
        while total < READ_LEN_MAX {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(len) => {
                    total += len;
                    self.reader.extend(&buffer[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some(frame) = self.reader.next_frame().map_err(io::Error::other)? {
                on_frame(frame);
            }
        }
        Ok(true)
    }

    /// Ends the pool and everything in it. The farm is over, or the farmer is gone.
    pub fn shut(&mut self) {
        if self.end.is_none() {
            self.end = Some(self.bury("it was shut"));
        }
    }

    /// The pool process has closed its socket, or has to: waits for its end and clears up behind it.
    fn bury(&mut self, cause: &str) -> PoolEnd {
        // A pool that lives sees end-of-file, kills its tasks and exits.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let status = self.await_exit();
        let lost = match status {
            Ok(WaitStatus::Exited(_, exit_status::CLEAN)) => return PoolEnd::Clean,
            Ok(WaitStatus::Exited(_, code)) => format!("the pool process ended with code {code}: {cause}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("the pool process died of {signal}"),
            Ok(other) => format!("the pool process is in an odd state: {other:?}"),
            Err(error) => format!("the pool process is gone: {error}"),
        };
        // Its tasks have become our children.
        if !end_descendants(Duration::ZERO, KILL_LIMIT) {
            log::warn!("a process that a task left behind could not be ended");
        }
        PoolEnd::Lost(lost)
    }
}

impl PoolHandle {
    /// Waits for the pool process to exit, and ends it if it does not: one under SIGSTOP never will.
    fn await_exit(&self) -> nix::Result<WaitStatus> {
        let deadline = Instant::now() + EXIT_LIMIT;
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::StillAlive) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                Ok(WaitStatus::StillAlive) => {
                    kill(self.pid, Signal::SIGKILL)?;
                    return waitpid(self.pid, None);
                }
                other => return other,
            }
        }
    }
}

impl Drop for PoolHandle {
    fn drop(&mut self) {
        self.shut();
    }
}
