//! One run of one program, measured as a whole process with all its children.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// Seconds per task.
    pub(super) wall_per_task: f64,
    /// CPU seconds per task, of the program, its children and theirs.
    pub(super) cpu_per_task: f64,
    /// CPU seconds per task of the program's own processes, if they have reported it: see [`OWN`].
    pub(super) own_per_task: Option<f64>,
}

/// The file in which a run leaves the CPU time of its own processes, in nanoseconds.
pub(super) const OWN: &str = "OWN";

/// A task that creates [`OWN`]: its parent is the pool, whose parent is the farmer.
pub(super) const TELL_OWN: &str = "farmer=$(awk '/^PPid/ { print $2 }' /proc/$PPID/status); \
    cat /proc/$PPID/task/*/schedstat /proc/$farmer/task/*/schedstat | awk '{ s += $1 } END { printf \"%d\", s }' > OWN";

fn cpu_of_children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("Linux has it");
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(us.unsigned_abs())
}

/// Runs a command on this many tasks. `idle`: seconds that do not count, such as those of a launcher's start.
pub(super) fn measure(mut command: Command, folder: &Path, tasks: usize, idle: f64) -> Figures {
    let cpu = cpu_of_children();
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let wall = start.elapsed().as_secs_f64() - idle;
    assert!(status.success(), "{command:?}: {status}");
    let cpu = (cpu_of_children() - cpu).as_secs_f64();
    let own = std::fs::read_to_string(folder.join(OWN)).ok().and_then(|text| text.trim().parse::<f64>().ok());
    let per_task = |seconds: f64| seconds / tasks as f64;
    Figures {
        wall_per_task: per_task(wall),
        cpu_per_task: per_task(cpu),
        own_per_task: own.map(|ns| per_task(ns / 1e9)),
    }
}

/// The median.
pub(super) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
