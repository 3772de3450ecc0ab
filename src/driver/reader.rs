//! The tasklist on its way in.
//!
//! A handler may start programs and may take minutes, and a process that speaks MPI does neither: it should not fork,
//! and other ranks wait for it in MPI_Init. So all but plain lists are read by a process of its own, forked before MPI
//! starts. It ends when it has told its result, and dies with rank 0. So does a second one, which asks a shell about lines
//! of any list: see `driver::asker`.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use thiserror::Error;

use super::asker::Asker;
use crate::config::Config;
use crate::progress;
use crate::sys::clock::Clock;
use crate::sys::fork::{Reader, fork_reader};
use crate::sys::signals::SignalSource;
use crate::sys::wait::{Interest, wait_ready};
use crate::tasklist::{Handler, ListError, Made, Source, Tasks};

/// Signals are looked at this often at least.
const LOOK: Duration = Duration::from_millis(500);

/// How long the reader and its programs may take to vanish after SIGKILL, and how often that is looked at.
const KILL_LIMIT: Duration = Duration::from_secs(5);
const KILL_PAUSE: Duration = Duration::from_millis(1);

/// The first look comes sooner: a process that waits for a question is gone at once.
const KILL_PAUSE_FIRST: Duration = Duration::from_micros(50);

/// Bytes in one go.
const CHUNK_LEN: u64 = 1 << 20;

/// Why there are no tasks.
#[derive(Debug, Error)]
pub(super) enum NoTasks {
    #[error(transparent)]
    List(#[from] ListError),
    #[error("stopped by {0} while the tasklist was read; nothing was started")]
    Stopped(&'static str),
}

/// A tasklist that is, or will be, read.
#[derive(Debug)]
pub struct Input {
    state: State,
    asker: Asker,
}

#[derive(Debug)]
enum State {
    Here(Result<Handler, ListError>),
    There(Process),
}

/// The process that reads. Ends with this, and what it has started, too.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) socket: UnixStream,
    /// Dropped after it was ended.
    pub(super) made: Made,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It leads a group of its own, and nobody has waited for it so far, so the number is not another's. What it
        // leaves behind becomes a child of this process; some member may just have started the next one.
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

fn source(config: &Config) -> Source<'_> {
    Source { list: &config.list, workdir: &config.workdir }
}

impl Input {
    /// Finds the handler, and starts the process if it needs one. To be called while there is one thread, and MPI has
    /// not been started.
    ///
    /// # Errors
    /// If the system has no process or descriptor left.
    pub fn start(config: &Config) -> io::Result<Self> {
        // Without it nothing is refused for its syntax: no reason not to run.
        let asker = Asker::start().unwrap_or_else(|_| Asker::nobody());
        let state = match Handler::find(&config.handler) {
            Ok(handler) if !handler.is_plain() => {
                let made = handler.may_make(source(config));
                match fork_reader()? {
                    Reader::Parent(pid, socket) => {
                        socket.set_nonblocking(true)?;
                        State::There(Process { pid, socket, made })
                    }
                    Reader::Child(mut socket) => {
                        made.keep();
                        progress::install_logger(config.log_level());
                        // Never back to the caller: a panic would take down what is the parent's.
                        let read = || Tasks::encode(handler.read(source(config)));
                        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
                        let written = result.is_ok_and(|result| socket.write_all(&result).is_ok());
                        std::process::exit(i32::from(!written));
                    }
                }
            }
            handler => State::Here(handler),
        };
        Ok(Self { state, asker })
    }

    /// Here and now: for a dry run.
    pub(super) fn read_here(config: &Config) -> Result<Tasks, ListError> {
        Handler::find(&config.handler)?.read(source(config))
    }

    /// Waits for the tasks. Whoever judges them may ask a shell by what comes with them.
    pub(super) fn finish(
        self,
        config: &Config,
        signals: &SignalSource,
        clock: Clock,
    ) -> Result<(Tasks, Asker), NoTasks> {
        let tasks = match self.state {
            State::Here(handler) => handler?.read(source(config))?,
            State::There(process) => process.finish(config, signals, clock)?,
        };
        Ok((tasks, self.asker))
    }
}

impl Process {
    fn finish(mut self, config: &Config, signals: &SignalSource, clock: Clock) -> Result<Tasks, NoTasks> {
        let mut bytes = Vec::new();
        loop {
            if let Some(caught) = signals.next_signal() {
                let name = Signal::try_from(i32::from(caught.signal)).map_or("a signal", Signal::as_str);
                return Err(NoTasks::Stopped(name));
            }
            if config.timeout.is_some_and(|timeout| clock.now() >= timeout) {
                return Err(NoTasks::Stopped("the timeout"));
            }
            match (&mut self.socket).take(CHUNK_LEN).read_to_end(&mut bytes) {
                // As many as it was asked for: there may be more.
                Ok(len) if len as u64 == CHUNK_LEN => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let interests = [self.socket.as_fd(), signals.as_fd()].map(|fd| Interest { fd, write: false });
                    wait_ready(&interests, Some(LOOK));
                }
                Err(error) => return Err(ListError::Told(format!("cannot get the tasklist: {error}")).into()),
            }
        }
        let gone = || ListError::Told("the process that read the tasklist died; nothing was started".to_owned());
        let tasks = Tasks::decode(bytes).ok_or_else(gone)??;
        // From now on the tasks know what was made.
        std::mem::take(&mut self.made).keep();
        Ok(tasks)
    }
}
