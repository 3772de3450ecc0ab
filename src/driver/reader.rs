//! How tasklist and runner are read.
//!
//! A handler or the check of a runner's class may start programs and may take minutes, and a process that uses MPI must
//! do neither: it should not fork, and other ranks wait for it in MPI_Init. So anything that is more than reading a
//! file is done by a separate process, forked before MPI starts. It ends when it has sent its result, and dies with
//! rank 0. The same holds for two others: one asks a shell about lines of any list (see `driver::asker`), one asks the
//! batch system when the job ends (`driver::job_end`).

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use thiserror::Error;

use super::asker::{Asker, Who};
use super::job_end::JobEnd;
use super::process::Process;
use crate::config::Config;
use crate::ini::Remarks;
use crate::progress;
use crate::protocol::codec;
use crate::runner::{self, Found, RunnerConfig, RunnerError};
use crate::stderr::say;
use crate::sys::clock::Clock;
use crate::sys::signals::SignalSource;
use crate::sys::wait::{Interest, wait_ready};
use crate::tasklist::{Handler, ListError, Source, Tasks};
use crate::workdir;

/// Signals are checked at least at this interval.
const LOOK: Duration = Duration::from_millis(500);

/// Bytes per read.
const CHUNK_LEN: u64 = 1 << 20;

/// Why there are no tasks, or no way to start them.
#[derive(Debug, Error)]
pub(super) enum NoTasks {
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// The error that the process reports.
    #[error("{0}")]
    Message(String),
    #[error("stopped by {0} while reading the tasklist and the runner; nothing was started")]
    Stopped(&'static str),
}

/// What a farm must run, and how.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) runner: RunnerConfig,
    pub(super) tasks: Tasks,
}

/// Tasklist and runner that have been read, or will be.
#[derive(Debug)]
pub struct Input {
    state: State,
    asker: Asker,
    /// When the batch job ends, for callers that need it before [`Input::finish`].
    pub(super) job_end: JobEnd,
    /// To be reported once messages can be seen.
    remarks: Vec<Remarks>,
}

#[derive(Debug)]
enum State {
    Here(Box<Names>),
    There(Process),
}

/// The runner and the handler that were found by their names.
type Names = (Result<Found, RunnerError>, Result<Handler, ListError>);

fn find(config: &Config) -> (Names, Vec<Remarks>) {
    let (runner, handler) = (runner::find(&config.options.runner), Handler::find(&config.options.tasklist));
    let of_runner = runner.iter().map(|runner| runner.remarks.clone());
    let remarks = of_runner.chain(handler.iter().map(|handler| handler.remarks.clone())).collect();
    ((runner, handler), remarks)
}

fn report(config: &Config, remarks: &[Remarks]) {
    for Remarks { ignored, redefined } in remarks {
        ignored.iter().for_each(|text| log::warn!("{text}"));
        redefined.iter().filter(|_| !config.options.quiet).for_each(|text| say(text));
    }
}

/// Reads the list by a handler that may write into the workdir.
fn read_list(config: &Config, handler: &Handler) -> Result<Tasks, ListError> {
    if !config.options.shared_workdir {
        workdir::check_owner(&config.workdir).map_err(|error| ListError::Message(error.to_string()))?;
    }
    read(config, handler)
}

fn read(config: &Config, handler: &Handler) -> Result<Tasks, ListError> {
    handler.read(source(config, &config.options.resource_names()))
}

fn source<'a>(config: &'a Config, shared: &'a [&'a str]) -> Source<'a> {
    Source { list: &config.list, workdir: &config.workdir, shared }
}

impl Input {
    /// Finds runner and handler, and starts the process if one of them needs it. To be called while there is one
    /// thread, and MPI has not been started.
    ///
    /// # Errors
    /// If the system has no process or descriptor left.
    pub fn start(config: &Config) -> io::Result<Self> {
        // Without it, nothing is refused for its syntax: no reason not to run.
        let asker = Asker::start().unwrap_or_else(|_| Asker::new(Who::Nobody));
        let job_end = JobEnd::start()?;
        let (found, remarks) = find(config);
        let state = match found {
            (Ok(runner), Ok(handler)) if runner.starts_python() || !handler.is_plain() => {
                let made = handler.may_make(source(config, &[]));
                let process = Process::start(made, |mut socket| {
                    progress::install_logger(config.log_level());
                    socket.write_all(&encode(runner.prepare(), || read_list(config, &handler)))
                })?;
                process.socket.set_nonblocking(true)?;
                State::There(process)
            }
            found => State::Here(Box::new(found)),
        };
        Ok(Self { state, asker, job_end, remarks })
    }

    /// For a process that learned only after MPI started that it is rank 0.
    pub(super) fn found_late(config: &Config) -> Self {
        let (found, remarks) = find(config);
        let state = State::Here(Box::new(found));
        Self { state, asker: Asker::new(Who::Nobody), job_end: JobEnd::default(), remarks }
    }

    /// In this process: for a dry run.
    pub(super) fn read_here(config: &Config) -> Result<Work, NoTasks> {
        let ((runner, handler), remarks) = find(config);
        report(config, &remarks);
        let runner = runner?.prepare()?;
        Ok(Work { runner, tasks: read(config, &handler?)? })
    }

    /// Waits for runner and tasks. Also returns the asker, for the check of the list.
    pub(super) fn finish(
        self,
        config: &Config,
        signals: &SignalSource,
        clock: Clock,
    ) -> Result<(Work, Asker), NoTasks> {
        report(config, &self.remarks);
        let work = match self.state {
            State::Here(found) => {
                let (runner, handler) = *found;
                let (runner, handler) = (runner?, handler?);
                if runner.starts_python() || !handler.is_plain() {
                    let what = "this tasklist or runner needs to start a program, and the launcher did not say in time which \
                                process is rank 0: programs must start before MPI, and MPI has already started";
                    return Err(NoTasks::Message(what.to_owned()));
                }
                let runner = runner.prepare()?;
                Work { runner, tasks: read(config, &handler)? }
            }
            State::There(process) => process.finish(config, signals, clock)?,
        };
        Ok((work, self.asker))
    }
}

/// The bytes for a result. The list is read only if the runner can be used.
fn encode(runner: Result<RunnerConfig, RunnerError>, read: impl FnOnce() -> Result<Tasks, ListError>) -> Vec<u8> {
    let runner = runner.map_err(|error| error.to_string());
    let tasks = if runner.is_ok() { Tasks::encode(read()) } else { Vec::new() };
    // Too long a runner cannot be sent, but that it is too long can.
    let runner = codec::encode(&runner).or_else(|error| codec::encode(&Err::<RunnerConfig, _>(error.to_string())));
    let runner = runner.unwrap_or_default();
    [&(runner.len() as u64).to_le_bytes()[..], &runner, &tasks].concat()
}

/// The result in the bytes; `None` if they are invalid. They come from a process of this program on this node, but are
/// bytes all the same: checked, never trusted.
fn decode(mut bytes: Vec<u8>) -> Option<Result<Work, NoTasks>> {
    let end = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?.checked_add(8)?;
    let runner = match codec::decode::<Result<_, _>>(bytes.get(8..end)?).ok()? {
        Ok(runner) => runner,
        Err(text) => return Some(Err(NoTasks::Message(text))),
    };
    bytes.drain(..end);
    let tasks = Tasks::decode(bytes)?;
    Some(tasks.map(|tasks| Work { runner, tasks }).map_err(NoTasks::from))
}

impl Process {
    fn finish(mut self, config: &Config, signals: &SignalSource, clock: Clock) -> Result<Work, NoTasks> {
        let mut bytes = Vec::new();
        loop {
            if let Some(caught) = signals.next_signal() {
                let name = Signal::try_from(i32::from(caught.signal)).map_or("a signal", Signal::as_str);
                return Err(NoTasks::Stopped(name));
            }
            if config.options.timeout.as_ref().is_some_and(|timeout| clock.now() >= timeout.length) {
                return Err(NoTasks::Stopped("the timeout"));
            }
            match (&mut self.socket).take(CHUNK_LEN).read_to_end(&mut bytes) {
                // As many as requested: there may be more.
                Ok(len) if len as u64 == CHUNK_LEN => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let interests = [self.socket.as_fd(), signals.as_fd()].map(|fd| Interest { fd, write: false });
                    wait_ready(&interests, Some(LOOK));
                }
                Err(error) => return Err(NoTasks::Message(format!("cannot get the tasklist and the runner: {error}"))),
            }
        }
        let gone = || {
            NoTasks::Message("the process that reads the tasklist and the runner died; nothing was started".to_owned())
        };
        let work = decode(bytes).ok_or_else(gone)??;
        // From now on the tasks own what was made.
        self.keep_made();
        Ok(work)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::nearly;
    use crate::tasklist::TaskList;

    fn bytes() -> Vec<u8> {
        let list = TaskList::from_commands([&b"a"[..], b"b  c"]);
        encode(Ok(RunnerConfig::Basic), || Ok(Tasks { list, wants_output: true, ..Tasks::default() }))
    }

    /// What the process has read arrives; if the runner cannot be used, the list is not read.
    #[test]
    fn what_is_read_arrives() {
        let work = decode(bytes()).unwrap().unwrap();
        assert_eq!((work.runner, work.tasks.list.len(), work.tasks.wants_output), (RunnerConfig::Basic, 2, true));
        let told = |bytes| decode(bytes).unwrap().unwrap_err().to_string();
        assert_eq!(told(encode(Err(RunnerError::NotFound("no".to_owned())), || unreachable!())), "no");
        assert_eq!(told(encode(Ok(RunnerConfig::Basic), || Err(ListError::Message("x".to_owned())))), "x");
    }

    proptest! {
        /// Promise 5: whatever the process sends.
        #[test]
        fn any_bytes_are_work_or_none(bytes in nearly(Just(bytes())), others: Vec<u8>) {
            for bytes in [bytes, others] {
                let _ = decode(bytes).is_some();
            }
        }
    }
}
