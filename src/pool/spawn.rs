//! Tasks as processes: log file, start, and what is measured of each.
//!
//! Owns the table of running processes of a pool. Decides nothing: the worker core does.

use std::collections::HashMap;
use std::ffi::{CStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::turn::{Processes, SpawnError};
use crate::protocol::{Assignment, Outcome, WorkerConfig};
use crate::runner::environment::{Environment, Identity, task_variables};
use crate::runner::{Launch, Runner};
use crate::sys::clock::{Clock, micros};
use crate::sys::process::{Command, Reaped, Spawner, kill_group, memory_file, terminate_group};
use crate::worker::Usage;

#[derive(Debug)]
struct Process {
    slot: u32,
    started: Duration,
}

#[derive(Debug)]
struct Means {
    runner: Runner,
    environment: Environment,
    identity: Identity,
    spawner: Spawner,
    null: File,
    logs: PathBuf,
    clock: Clock,
}

/// The running tasks of a pool.
#[derive(Debug)]
pub(super) struct Tasks {
    /// `None` in a pool that was stopped before it was started.
    means: Option<Means>,
    running: HashMap<Pid, Process>,
    leaders: HashMap<u32, Pid>,
}

impl Tasks {
    /// A pool that never runs anything.
    pub(super) fn none() -> Self {
        Self { means: None, running: HashMap::new(), leaders: HashMap::new() }
    }

    /// Prepares what all tasks share. The error says why this node can't run tasks.
    pub(super) fn new(config: &WorkerConfig, host: &str, cwd: &Path, clock: Clock) -> Result<Self, String> {
        let environment = Environment::inherited(cwd);
        let identity =
            Identity::new(config.rank, host, &config.workdir).ok_or("the path of the workdir contains a NUL")?;
        let null = OpenOptions::new()
            .read(true)
            .open("/dev/null")
            .map_err(|error| format!("cannot open /dev/null: {error}"))?;
        let logs = PathBuf::from(OsString::from_vec(config.workdir.clone())).join("logs");
        if !appears(&logs) {
            return Err(format!(
                "its node does not see {}: the workdir must be on a file system that all nodes share",
                logs.display()
            ));
        }
        let means = Means {
            runner: Runner::new(&config.runner, &environment),
            environment,
            identity,
            spawner: Spawner::new().map_err(|error| format!("cannot prepare to start processes: {error}"))?,
            null,
            logs,
            clock,
        };
        Ok(Self { means: Some(means), running: HashMap::new(), leaders: HashMap::new() })
    }

    /// What the end of a process means; `None` if it is not a task's own.
    pub(super) fn on_reaped(&mut self, reaped: Reaped, now: Duration) -> Option<(u32, Outcome, Usage)> {
        let process = self.running.remove(&reaped.pid)?;
        self.leaders.remove(&process.slot);
        let usage = Usage {
            start_us: self.means.as_ref()?.clock.epoch_us(process.started),
            duration_us: micros(now.saturating_sub(process.started)),
            user_us: micros(reaped.user),
            system_us: micros(reaped.system),
            max_rss_kib: reaped.max_rss_kib,
        };
        Some((process.slot, reaped.outcome, usage))
    }
}

impl Processes for Tasks {
    fn spawn(&mut self, now: Duration, slot: u32, task: &Assignment) -> Result<(), SpawnError> {
        let Some(means) = &self.means else {
            return Err(SpawnError::Refused("this pool was never started".to_owned()));
        };
        let pid = means.start(slot, task).map_err(|error| means.judge(&error, now))?;
        self.running.insert(pid, Process { slot, started: now });
        self.leaders.insert(slot, pid);
        Ok(())
    }

    fn terminate(&mut self, slot: u32) {
        if let Some(&leader) = self.leaders.get(&slot) {
            terminate_group(leader);
        }
    }

    fn kill(&mut self, slot: u32) {
        if let Some(&leader) = self.leaders.get(&slot) {
            kill_group(leader);
        }
    }
}

/// Whether a folder that rank 0 has just made is there. A network file system may remember for a moment that it was
/// not, and there is no event to wait for.
fn appears(folder: &Path) -> bool {
    (0..30).any(|_| {
        folder.is_dir() || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    })
}

/// A start that failed.
#[derive(Debug)]
enum StartError {
    Log(PathBuf, std::io::Error),
    Program(Launch, Errno),
    Input(std::io::Error),
}

impl StartError {
    fn place(&self) -> String {
        match self {
            Self::Log(path, _) => format!("{}: ", path.display()),
            Self::Program(..) | Self::Input(_) => String::new(),
        }
    }

    fn errno(&self) -> Option<Errno> {
        match self {
            Self::Program(_, errno) => Some(*errno),
            Self::Log(_, error) | Self::Input(error) => error.raw_os_error().map(Errno::from_raw),
        }
    }
}

/// Errors of a node that has run out of something for now.
fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE)
}

/// Errors of making a log that would hit every task alike: the file system is full, read-only, or gone, or the folder
/// is not there any more. They are no task's failure.
fn is_disk_trouble(errno: Errno) -> bool {
    use Errno::{EDQUOT, EIO, ENOENT, ENOSPC, ENOTCONN, EROFS, ESTALE};
    matches!(errno, ENOSPC | EDQUOT | EROFS | EIO | ESTALE | ENOENT | ENOTCONN)
}

impl Means {
    fn start(&self, slot: u32, task: &Assignment) -> Result<Pid, StartError> {
        let path = self.logs.join(format!("log_{}", task.id));
        let log = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let log = log.map_err(|error| StartError::Log(path, error))?;
        if let Some(launch) = self.runner.direct(&task.command) {
            match self.exec(launch, &log, slot, task) {
                Err(StartError::Program(_, errno)) if !is_shortage(errno) => {} // The shell knows what to say.
                done => return done,
            }
        }
        let by_shell = |by_stdin| match self.runner.shell(&task.command, by_stdin) {
            Some(launch) => self.exec(launch, &log, slot, task),
            None => Err(StartError::Input(Errno::EINVAL.into())),
        };
        match by_shell(false) {
            Err(StartError::Program(_, Errno::E2BIG)) => by_shell(true),
            done => done,
        }
    }

    fn exec(&self, launch: Launch, log: &File, slot: u32, task: &Assignment) -> Result<Pid, StartError> {
        let own = task_variables(task.id, task.attempt, slot);
        let direct = launch.underscore.is_some();
        let environment: Vec<&CStr> = self
            .environment
            .block(direct)
            .chain(self.identity.variables())
            .chain(own.iter().map(AsRef::as_ref))
            .chain(launch.underscore.as_deref())
            .collect();
        let argv: Vec<&CStr> = launch.argv.iter().map(AsRef::as_ref).collect();
        let script = launch.stdin.as_deref().map(memory_file).transpose().map_err(StartError::Input)?;
        let command = Command {
            program: &launch.program,
            argv: &argv,
            environment: &environment,
            stdin: script.as_ref().unwrap_or(&self.null).as_fd(),
            output: log.as_fd(),
        };
        self.spawner.spawn(&command).map_err(|errno| StartError::Program(launch, errno))
    }

    fn judge(&self, error: &StartError, now: Duration) -> SpawnError {
        let refused = |errno: &Errno| match error {
            StartError::Log(..) => is_shortage(*errno) || is_disk_trouble(*errno),
            StartError::Program(..) | StartError::Input(_) => is_shortage(*errno),
        };
        if let Some(errno) = error.errno().filter(refused) {
            return SpawnError::Refused(format!("{}{}", error.place(), errno.desc()));
        }
        let text = match error {
            StartError::Log(path, error) => format!("cannot write {}: {error}", path.display()),
            StartError::Program(launch, errno) => {
                format!("cannot run {}: {}", launch.program.to_string_lossy(), errno.desc())
            }
            StartError::Input(error) => format!("cannot prepare its input: {error}"),
        };
        let usage = Usage { start_us: self.clock.epoch_us(now), ..Usage::default() };
        SpawnError::Impossible(Outcome::NotStarted(text), usage)
    }
}
