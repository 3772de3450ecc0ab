//! A run in progress: waits for what it does, sends signals to its ranks, ends it in time.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::processes::{self, MARK, Process};
use super::{Farm, Outcome};

/// The interval at which a condition is checked.
const POLL: Duration = Duration::from_millis(5);

/// How long after the end of a run its last processes may take to end.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Running<'farm> {
    farm: &'farm Farm,
    child: Child,
    mark: String,
    command: String,
    started: SystemTime,
    clock: Instant,
    stdout: PathBuf,
    stderr: PathBuf,
    status: Option<ExitStatus>,
    taken_over: bool,
    is_launched: bool,
}

impl<'farm> Running<'farm> {
    #[track_caller]
    pub(crate) fn start(farm: &'farm Farm, mut command: Command, stdout: PathBuf, stderr: PathBuf) -> Self {
        let mark = processes::new_mark();
        command
            .env(MARK, &mark)
            .process_group(0)
            // For a launcher open until the end, like a terminal: MPICH's mpiexec tells its helpers about the end of
            // its input, and dies of SIGPIPE if all of them have ended by then (5 of 600 runs of /bin/true with
            // /dev/null as input). Without a launcher it is empty: PyTaskFarmer's tasks inherit it.
            .stdin(if farm.is_launched() { Stdio::piped() } else { Stdio::null() })
            // Files, not pipes: a process that outlives the run cannot keep the test waiting.
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap());
        let mut shown = format!("cd {} &&", command.get_current_dir().unwrap().display());
        for word in std::iter::once(command.get_program()).chain(command.get_args()) {
            write!(shown, " {}", word.to_string_lossy()).unwrap();
        }
        let is_launched = farm.is_launcher(command.get_program());
        let started = SystemTime::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        Self {
            farm,
            child,
            mark,
            command: shown,
            started,
            clock: Instant::now(),
            stdout,
            stderr,
            status: None,
            taken_over: false,
            is_launched,
        }
    }

    /// The launcher's process, or the farm's own without a launcher.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What finds its processes: see [`processes::marked`].
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::marked(&self.mark)
    }

    /// The process id of a rank's MPI process.
    #[track_caller]
    pub(crate) fn rank(&self, rank: u32) -> i32 {
        let ranks = processes::mpi_processes(&self.mark);
        let found: Vec<i32> = ranks.iter().filter(|(number, _)| *number == rank).map(|(_, pid)| *pid).collect();
        let [pid] = found[..] else {
            panic!("rank {rank} should be one process: {ranks:?} of\n{}", processes::listed(&self.processes()))
        };
        pid
    }

    /// Waits until something holds while the farm runs.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, condition: impl Fn() -> bool) {
        while !condition() {
            let ended = self.poll();
            assert!(!ended || condition(), "the run ended before this came true: {what}");
            assert!(self.in_time(), "waited in vain: {what}\n{}", processes::listed(&self.processes()));
            std::thread::sleep(POLL);
        }
    }

    /// Waits until something holds; `false` if the run ended before.
    #[track_caller]
    pub(crate) fn comes_true(&mut self, what: &str, condition: impl Fn() -> bool) -> bool {
        loop {
            if condition() {
                return true;
            }
            if self.poll() {
                return false;
            }
            assert!(self.in_time(), "waited in vain: {what}\n{}", processes::listed(&self.processes()));
            std::thread::sleep(POLL);
        }
    }

    /// Waits for the end, and for the end of everything that it started.
    #[track_caller]
    pub(crate) fn wait(self) -> Outcome {
        self.wait_within(GRACE)
    }

    /// [`Self::wait`] with a different limit for what is left after the end: a launcher that was killed cannot wait for
    /// its ranks.
    #[track_caller]
    pub(crate) fn wait_within(self, grace: Duration) -> Outcome {
        let mark = self.mark.clone();
        let outcome = self.wait_for_exit();
        let deadline = Instant::now() + grace;
        let mut looks = 0;
        loop {
            let left = processes::marked(&mark);
            looks = if left.is_empty() { looks + 1 } else { 0 };
            // A process has no environment for a moment while it becomes another program.
            if looks == 2 {
                return outcome;
            }
            if Instant::now() > deadline {
                processes::kill_marked(&mark);
                panic!("{grace:?} after the end these processes were still there:\n{}", processes::listed(&left));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends a launcher that has lost all its ranks and does not notice: Open MPI's hangs if ranks are killed while they
    /// connect to it. Returns `true` if that was the case. Returns when the run ended or the launcher was ended.
    #[track_caller]
    pub(crate) fn end_a_launcher_without_ranks(&mut self, patience: Duration) -> bool {
        // Checking all processes of the machine costs more than checking one child.
        const LOOK: Duration = Duration::from_millis(250);
        let mut looked = Instant::now();
        let mut alone_since = None;
        while !self.poll() {
            std::thread::sleep(POLL);
            if looked.elapsed() < LOOK {
                continue;
            }
            looked = Instant::now();
            assert!(self.in_time(), "did not end; its processes:\n{}", processes::listed(&self.processes()));
            let is_launchers = |process: &Process| !process.is_ours() && process.variable("TASKFARMER_RANK").is_none();
            if !self.processes().iter().all(is_launchers) {
                alone_since = None;
            } else if alone_since.get_or_insert(looked).elapsed() >= patience {
                processes::kill_marked(&self.mark);
                return true;
            }
        }
        false
    }

    /// Waits for the end of a program that may leave processes behind, and kills those.
    #[track_caller]
    pub(crate) fn wait_and_clean_up(self) -> Outcome {
        let mark = self.mark.clone();
        let outcome = self.wait_for_exit();
        processes::kill_marked(&mark);
        outcome
    }

    #[track_caller]
    fn wait_for_exit(mut self) -> Outcome {
        while !self.poll() {
            if !self.in_time() {
                let left = processes::listed(&self.processes());
                panic!("did not end within {:?}; its processes:\n{left}", self.farm.limit());
            }
            std::thread::sleep(POLL);
        }
        self.taken_over = true;
        self.outcome()
    }

    fn poll(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status.is_some()
    }

    /// Whether it is over; its processes may still be ending.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.poll()
    }

    /// Whether it may continue.
    pub(crate) fn in_time(&self) -> bool {
        self.clock.elapsed() < self.farm.limit()
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            command: self.command.clone(),
            folder: self.farm.cwd(),
            status: self.status,
            stdout: std::fs::read(&self.stdout).unwrap_or_default(),
            stderr: std::fs::read(&self.stderr).unwrap_or_default(),
            started: self.started,
            elapsed: self.clock.elapsed(),
            ended: SystemTime::now(),
            is_launched: self.is_launched,
        }
    }
}

impl Drop for Running<'_> {
    /// A test failed while the farm ran: shows the farm, and ends it.
    fn drop(&mut self) {
        if self.taken_over {
            return;
        }
        if !self.poll() {
            killpg(Pid::from_raw(self.pid()), Signal::SIGKILL).ok();
        }
        processes::kill_marked(&self.mark);
        self.child.wait().ok();
        self.poll();
        drop(self.outcome());
    }
}
