//! How a task becomes a process: log file, temporary folder, command, start.
//!
//! Owns what all tasks of a pool share. Does not know which tasks run. Several threads may start tasks at the same
//! time, except with a runner that changes the working directory, because a process has only one: see
//! [`SpawnContext::one_at_a_time`].

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Pid, fchdir};

use super::logs::Logs;
use super::redirects::Opened;
use super::shares::{Offer, Share, Shares};
use super::start_error::{StartError, is_shortage};
use super::temp::TempFolders;
use crate::protocol::{Assignment, WorkerConfig};
use crate::runner::config::{Defined, fixed_variables};
use crate::runner::environment::{Environment, Identity, task_variables};
use crate::runner::fields::Values;
use crate::runner::{Launch, Runner};
use crate::sys::clock::Clock;
use crate::sys::cpus;
use crate::sys::process::{Command, Spawner, c_string, memory_file};

/// What all tasks of a pool share.
#[derive(Debug)]
pub(super) struct SpawnContext {
    pub(super) logs: Logs,
    pub(super) clock: Clock,
    runner: Runner,
    environment: Environment,
    identity: Identity,
    spawner: Spawner,
    null: File,
    /// Where the farm was started; tasks of a runner with `cwd` start elsewhere.
    home: File,
    cwd: PathBuf,
    rank: u32,
    host: String,
    workdir: Vec<u8>,
    started: Counts,
    pub(super) shares: Shares,
}

/// How many tasks were started by a shell, and how many were started without one.
#[derive(Default, Debug)]
struct Counts {
    shells: AtomicU64,
    directs: AtomicU64,
}

/// A task that has become a process.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: Pid,
    /// Whether a shell was left out that would have waited for it.
    pub(super) is_waited_for: bool,
}

/// A task on its way to becoming a process.
struct Starting<'a> {
    log: &'a File,
    slot: u32,
    task: &'a Assignment,
    values: Values<'a>,
    share: &'a Share,
    folder: Option<PathBuf>,
}

impl SpawnContext {
    /// Prepares them. The error says why this node cannot run tasks.
    pub(super) fn new(
        config: &WorkerConfig,
        offer: &Offer,
        host: &str,
        cwd: &Path,
        clock: Clock,
    ) -> Result<Self, String> {
        let defined = config.runner.defined();
        let identity =
            Identity::new(config.rank, host, &config.workdir).ok_or("the path of the workdir contains a NUL")?;
        let null = File::open("/dev/null").map_err(|error| format!("cannot open /dev/null: {error}"))?;
        let logs = PathBuf::from(OsString::from_vec(config.workdir.clone())).join("logs");
        if !appears(&logs) {
            return Err(format!(
                "its node does not see {}: the workdir must be on a file system that all nodes share",
                logs.display()
            ));
        }
        let place = Values {
            rank: config.rank.0,
            host: host.as_bytes(),
            workdir: &config.workdir,
            cwd: &config.cwd,
            ..Values::default()
        };
        let own = config.runner.variables();
        let is_runners = |name: &str| own.iter().any(|(other, _)| other == name.as_bytes());
        let shares = Shares::new(config, offer, is_runners);
        let fixed = fixed_variables(own, &place);
        let environment = Environment::inherited(cwd, &fixed, shares.variables());
        if let Some(folder) = defined.and_then(|defined| defined.cwd.as_ref()).filter(|folder| folder.is_fixed()) {
            let folder = PathBuf::from(OsString::from_vec(folder.filled(&place)));
            if !cwd.join(&folder).is_dir() {
                return Err(format!("its node has no folder {}, which is the cwd of the runner", folder.display()));
            }
        }
        Ok(Self {
            logs: Logs::new(config.logs, logs, config.rank.0, offer.slots)?,
            clock,
            runner: Runner::new(&config.runner, &environment),
            environment,
            identity,
            spawner: Spawner::new().map_err(|error| format!("cannot prepare to start processes: {error}"))?,
            null,
            home: open_folder(cwd).map_err(|error| format!("cannot open {}: {error}", cwd.display()))?,
            cwd: cwd.to_owned(),
            rank: config.rank.0,
            host: host.to_owned(),
            workdir: config.workdir.clone(),
            started: Counts::default(),
            shares,
        })
    }

    /// Whether these are the rank and the workdir of this pool's tasks, as their environment has them.
    pub(super) fn is_place(&self, rank: u32, workdir: &[u8]) -> bool {
        (rank, workdir) == (self.rank, &self.workdir)
    }

    /// Whether only one thread may start tasks.
    pub(super) fn one_at_a_time(&self) -> bool {
        self.runner.defined().is_some_and(|defined| defined.cwd.is_some())
    }

    /// Starts a task in a slot. A folder that was made for it is left in `temp`, even if the start then fails.
    pub(super) fn start(
        &self,
        slot: u32,
        task: &Assignment,
        temp: &mut Option<PathBuf>,
    ) -> Result<Started, StartError> {
        let log = &*self.logs.open(slot, task)?;
        let defined = self.runner.defined();
        if defined.is_some_and(Defined::uses_tempdir) {
            let tmpdir = self.environment.get(b"TMPDIR").filter(|tmpdir| !tmpdir.is_empty());
            let tmpdir = tmpdir.map(|tmpdir| self.cwd.join(OsStr::from_bytes(tmpdir)));
            let made = TempFolders::make(tmpdir.as_deref()).map_err(|(path, errno)| StartError::Temp(path, errno))?;
            *temp = Some(made);
        }
        let share = &*self.shares.of(slot);
        let values = Values {
            task: &task.command,
            id: task.id.0,
            attempt: task.attempt.0,
            rank: self.rank,
            slot,
            host: self.host.as_bytes(),
            workdir: &self.workdir,
            cwd: self.cwd.as_os_str().as_bytes(),
            tempdir: temp.as_deref().map_or(b"", |temp| temp.as_os_str().as_bytes()),
            cpus: share.count,
            gpus: &share.gpus,
            shell: self.runner.shell_path().as_os_str().as_bytes(),
        };
        let folder = defined.and_then(|defined| defined.cwd.as_ref());
        let folder = folder.map(|folder| self.cwd.join(OsString::from_vec(folder.filled(&values))));
        let starting = Starting { log, slot, task, values, share, folder };
        let started = self.launch(&starting);
        if let Err(error) = &started {
            error.write_to(log);
        }
        started
    }

    fn launch(&self, starting: &Starting<'_>) -> Result<Started, StartError> {
        if let Some(launch) = self.runner.direct(&starting.task.command) {
            let is_waited_for = launch.direct.as_ref().is_some_and(|direct| direct.is_waited_for);
            match self.exec(launch, starting) {
                Err(StartError::Program(_, errno)) if !is_shortage(errno) => {} // The shell reports the error.
                started => {
                    self.started.directs.fetch_add(started.is_ok().into(), Ordering::Relaxed);
                    return started.map(|pid| Started { pid, is_waited_for });
                }
            }
        }
        let started = self.launch_as_defined(starting);
        self.started.shells.fetch_add((started.is_ok() && self.runner.has_shell()).into(), Ordering::Relaxed);
        started.map(|pid| Started { pid, is_waited_for: false })
    }

    fn launch_as_defined(&self, starting: &Starting<'_>) -> Result<Pid, StartError> {
        let by = |by_stdin| match self.runner.launch(&starting.values, by_stdin) {
            Some(launch) => self.exec(launch, starting),
            None => Err(StartError::Input(Errno::EINVAL.into())),
        };
        match by(false) {
            Err(StartError::Program(launch, Errno::E2BIG)) => match by(true) {
                Err(StartError::Input(_)) => Err(StartError::Program(launch, Errno::E2BIG)),
                done => done,
            },
            done => done,
        }
    }

    /// How many tasks a shell has started, and how many there were.
    pub(super) fn shells(&self) -> (u64, u64) {
        let (shells, directs) =
            (self.started.shells.load(Ordering::Relaxed), self.started.directs.load(Ordering::Relaxed));
        (shells, shells + directs)
    }

    /// The shell's name, as it calls itself in messages.
    pub(super) fn shell_name(&self) -> String {
        self.runner.shell_path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn exec(&self, launch: Launch, starting: &Starting<'_>) -> Result<Pid, StartError> {
        let mut own = task_variables(starting.task.id, starting.task.attempt, starting.slot).to_vec();
        let defined = self.runner.defined();
        if defined.is_some_and(|defined| !defined.proc_number) {
            own.remove(0);
        }
        let direct = launch.direct.as_ref();
        let mut environment: Vec<&CStr> = self.environment.block(direct.is_some()).collect();
        if let Some(defined) = defined {
            let changed = defined.variables.iter().filter(|(_, value)| !value.is_fixed());
            let changed = changed.map(|(name, value)| (&name[..], value.filled(&starting.values)));
            let pwd = starting.folder.as_ref().map(|folder| (&b"PWD"[..], folder.as_os_str().as_bytes().to_vec()));
            for (name, value) in changed.chain(pwd) {
                let variable = c_string(&[name, b"=", &value].concat());
                own.push(variable.ok_or_else(|| StartError::Input(Errno::EINVAL.into()))?);
                environment
                    .retain(|line| line.to_bytes().strip_prefix(name).is_none_or(|rest| !rest.starts_with(b"=")));
            }
        }
        environment.extend(self.identity.variables());
        environment.extend(own.iter().map(CString::as_c_str));
        environment.extend(starting.share.variables.iter().map(CString::as_c_str));
        for variable in direct.iter().flat_map(|direct| &direct.variables) {
            let name = variable.to_bytes().split_inclusive(|&byte| byte == b'=').next().unwrap_or_default();
            environment.retain(|line| !line.to_bytes().starts_with(name));
            environment.push(variable);
        }
        let argv: Vec<&CStr> = launch.argv.iter().map(AsRef::as_ref).collect();
        let script = launch.stdin.as_deref().map(memory_file).transpose().map_err(StartError::Input)?;
        let opened = match direct.map(Opened::new).transpose() {
            Ok(opened) => opened,
            Err(errno) => return Err(StartError::Program(Box::new(launch), errno)),
        };
        let log = starting.log.as_fd();
        let given = [script.as_ref().unwrap_or(&self.null).as_fd(), log, log];
        let command = Command {
            program: &launch.program,
            argv: &argv,
            environment: &environment,
            ends: opened.as_ref().map_or(given, |opened| opened.ends(given)),
            folder: opened.as_ref().and_then(|opened| opened.folder.as_ref()).map(AsFd::as_fd),
        };
        let spawn = || self.spawn_on(&starting.share.cpus, &command);
        let spawned = match &starting.folder {
            None => spawn(),
            Some(folder) => self.inside(folder, spawn)?,
        };
        spawned.map_err(|errno| StartError::Program(Box::new(launch), errno))
    }

    /// A process gets the CPUs of the thread that starts it.
    fn spawn_on(&self, cpus: &[usize], command: &Command<'_>) -> Result<Pid, Errno> {
        let bound = !cpus.is_empty() && cpus::bind(cpus.iter().copied());
        let spawned = self.spawner.spawn(command);
        if bound {
            cpus::bind(self.shares.all_cpus().iter().copied());
        }
        spawned
    }

    /// Calls `act` in a different folder: older systems cannot start a process there in one step.
    fn inside<T>(&self, folder: &Path, act: impl FnOnce() -> T) -> Result<T, StartError> {
        let enter = || -> std::io::Result<()> { Ok(fchdir(open_folder(folder)?)?) };
        enter().map_err(|error| StartError::Folder(folder.to_owned(), error))?;
        let done = act();
        // If this fails, no harm is done: every task of this runner enters a folder of its own.
        if let Err(errno) = fchdir(&self.home) {
            log::warn!("cannot go back to {}: {}", self.cwd.display(), errno.desc());
        }
        Ok(done)
    }
}

/// Whether a folder that rank 0 has just made is visible. A network file system may cache its absence for a moment, and
/// there is no event to wait for.
fn appears(folder: &Path) -> bool {
    (0..30).any(|_| {
        folder.is_dir() || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    })
}

fn open_folder(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits() | OFlag::O_PATH.bits()).open(path)
}
