//! Finds the processes of one run in /proc by a mark in their environment, even if their parents have ended.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that marks every process of a run, down to what its tasks leave behind.
pub(crate) const MARK: &str = "TASKFARMER_TEST_RUN";

/// A value for [`MARK`] that no other run has.
pub(crate) fn new_mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{}-{now}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// As `ps` shows it: `T` is stopped.
    pub(crate) state: char,
    pub(crate) command_line: String,
    program: Option<PathBuf>,
    environment: Vec<Vec<u8>>,
}

impl Process {
    /// `None` if it has ended in the meantime, is a zombie, or belongs to another user.
    fn read(pid: i32) -> Option<Self> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // pid (name) state parent …; the name may hold anything.
        let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let rest = String::from_utf8_lossy(&stat[after_name..]).into_owned();
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(Self {
            pid,
            state: rest.trim_start().chars().next()?,
            parent: rest.split_whitespace().nth(1)?.parse().ok()?,
            command_line: super::shown(&command_line).replace('\0', " "),
            program: fs::read_link(format!("/proc/{pid}/exe")).ok(),
            environment: environment.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect(),
        })
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let start = format!("{name}=").into_bytes();
        let value = self.environment.iter().find_map(|variable| variable.strip_prefix(start.as_slice()))?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// The task that it belongs to.
    pub(crate) fn task(&self) -> Option<u64> {
        if self.is_ours() { None } else { self.variable("TASKFARMER_TASK_ID")?.parse().ok() }
    }

    /// Whether it is a process of the farm itself: the MPI process of a rank, its nursery or its pool.
    pub(crate) fn is_ours(&self) -> bool {
        // A copy of the program has the same name.
        self.program.as_ref().is_some_and(|path| {
            let name = path.clone().into_os_string().into_vec();
            name.ends_with(b"/taskfarmer-mpi") || name.ends_with(b"/taskfarmer-mpi (deleted)")
        })
    }

    /// The rank that the launcher gave it; 0 without a launcher.
    pub(crate) fn rank(&self) -> u32 {
        ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"]
            .iter()
            .find_map(|name| self.variable(name)?.parse().ok())
            .unwrap_or(0)
    }
}

/// The living processes with this mark.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?))
        .filter(|process| process.variable(MARK).as_deref() == Some(mark))
        .collect()
}

/// The MPI process of each rank, that is, each process of the program whose parent is not one. The nursery is its
/// child, and the pool is the nursery's, each in a session of its own.
pub(crate) fn mpi_processes(mark: &str) -> Vec<(u32, i32)> {
    let ours: Vec<Process> = marked(mark).into_iter().filter(Process::is_ours).collect();
    let mut ranks: Vec<(u32, i32)> = ours
        .iter()
        .filter(|process| ours.iter().all(|other| other.pid != process.parent))
        .map(|process| (process.rank(), process.pid))
        .collect();
    ranks.sort_unstable();
    ranks
}

/// The pool process of each rank.
pub(crate) fn pools(mark: &str) -> Vec<(u32, i32)> {
    named(mark, "tfarmer-pool")
}

/// The process of each rank that starts its pools.
pub(crate) fn nurseries(mark: &str) -> Vec<(u32, i32)> {
    named(mark, "tfarmer-nursery")
}

/// The processes of the program with this name.
fn named(mark: &str, name: &str) -> Vec<(u32, i32)> {
    let is_named = |process: &Process| {
        fs::read_to_string(format!("/proc/{}/comm", process.pid)).is_ok_and(|found| found.trim_end() == name)
    };
    let ours = marked(mark).into_iter().filter(Process::is_ours);
    ours.filter(is_named).map(|process| (process.rank(), process.pid)).collect()
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    // It may just have ended.
    kill(Pid::from_raw(pid), signal).ok();
}

/// Kills every process with this mark, by its id, until there is none.
pub(crate) fn kill_marked(mark: &str) {
    for _ in 0..100 {
        let left = marked(mark);
        if left.is_empty() {
            return;
        }
        for process in left {
            signal(process.pid, Signal::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// One line per process, for a message.
pub(crate) fn listed(processes: &[Process]) -> String {
    let lines = processes.iter().map(|process| {
        format!("  pid {} of parent {}: {}\n", process.pid, process.parent, process.command_line.trim_end())
    });
    lines.collect()
}

/// Makes sure that the `grep ^Sig /proc/self/status` of a task shows no blocked and no ignored signal.
#[track_caller]
pub(crate) fn has_default_signals(log: &[u8]) {
    // 32 and 33 belong to the C library, whose posix_spawn ignores them in each child.
    const C_LIBRARY: u64 = 0b11 << 31;
    let text = String::from_utf8_lossy(log);
    for name in ["SigBlk", "SigIgn"] {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {text}"));
        let set = u64::from_str_radix(line[name.len() + 1..].trim(), 16).unwrap();
        assert_eq!(set & !C_LIBRARY, 0, "{line}");
    }
}
