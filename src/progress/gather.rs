//! Figures of this run, put together.
//!
//! Owns what [`Figures`] contain while a farm runs and when it has ended; their wording is not decided here.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::farmer::{Farmer, Status, TaskTable};
use crate::figures::report::{FORMAT, Figures, SlowTask, State, WorkerFigures, run_name};
use crate::figures::tally::Tally;
use crate::figures::watch::Watch;
use crate::shown;
use crate::sys::clock::Clock;
use crate::sys::host;
use crate::task::{Rank, TaskId};
use crate::tasklist::TaskList;

/// How much of a command is shown.
const COMMAND_MAX: usize = 60;

/// What is known before a run starts.
pub(super) fn about(command: String, workdir: &Path, tasks: &TaskTable) -> Figures {
    Figures {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: run_name(),
        workdir: workdir.display().to_string(),
        cwd: std::env::current_dir().map(|cwd| cwd.display().to_string()).unwrap_or_default(),
        command,
        host: host::name(),
        pid: std::process::id(),
        job: std::env::var("SLURM_JOB_ID").ok(),
        total: u64::from(tasks.total()),
        earlier: u64::from(tasks.finished() + tasks.failed()),
        earlier_failed: u64::from(tasks.failed()),
        ..Figures::default()
    }
}

/// The figures at the last look.
pub(super) fn figures(about: &Figures, core: &Farmer, tally: &Tally, watch: &Watch, clock: Clock) -> Figures {
    let tasks = core.tasks();
    let now = clock.now();
    let running = watch.running.len() as u64;
    let lost = core.workers().iter().filter(|(_, worker)| worker.status().is_lost());
    Figures {
        state: if core.stop_level().is_some() { State::Stopping } else { State::Running },
        started_s: epoch_s(clock, watch.started),
        written_s: epoch_s(clock, now),
        elapsed_s: (now - watch.started).as_secs_f64(),
        finished: u64::from(tasks.finished()),
        failed: u64::from(tasks.failed()),
        running,
        waiting: u64::from(tasks.remaining()).saturating_sub(running),
        ranks: u64::from(core.workers().len()),
        lost_ranks: lost.map(|(rank, _)| rank.0).collect(),
        slots: watch.slots,
        tasks_per_s: watch.rate(),
        left_s: watch.time_left.map(|left| left.as_secs_f64()),
        left_behind: tally.left_behind.clone(),
        utilization: watch.utilization(tally),
        usage: tally.usage.into(),
        lengths: (tally.lengths.count() > 0).then(|| (&tally.lengths).into()),
        ..about.clone()
    }
}

/// How many hosts the farm has.
pub(super) fn hosts(core: &Farmer) -> usize {
    core.workers().iter().map(|(_, worker)| &worker.host).collect::<BTreeSet<_>>().len()
}

/// Adds every rank and what runs there.
pub(super) fn add_workers(figures: &mut Figures, core: &Farmer, watch: &Watch, clock: Clock) {
    figures.workers = core
        .workers()
        .iter()
        .map(|(rank, worker)| WorkerFigures {
            rank: rank.0,
            host: worker.host.clone(),
            slots: worker.book.slots(),
            state: match worker.status() {
                Status::Expected => "expected",
                Status::Active => "active",
                Status::Stopped => "stopped",
                Status::Lost => "lost",
                Status::Gone => "gone",
            }
            .to_owned(),
            running: Vec::new(),
        })
        .collect();
    for task in &watch.running {
        if let Some(worker) = figures.workers.get_mut(task.rank.0 as usize) {
            worker.running.push((task.id.0, epoch_s(clock, task.since)));
        }
    }
}

/// Adds the slowest tasks.
pub(super) fn add_slowest(figures: &mut Figures, core: &Farmer, tally: &Tally, list: &TaskList) {
    let host = |rank| core.workers().get(Rank(rank)).map(|worker| worker.host.clone()).unwrap_or_default();
    figures.slowest = tally
        .slowest()
        .into_iter()
        .map(|slow| SlowTask {
            id: slow.id,
            seconds: slow.length_us as f64 / 1e6,
            rank: slow.rank,
            host: host(slow.rank),
            command: shown::short(list.get(TaskId(slow.id)).unwrap_or_default(), COMMAND_MAX),
        })
        .collect();
}

/// The bytes of `status.json`.
pub(super) fn json(figures: &Figures) -> Vec<u8> {
    let mut bytes = Vec::new();
    shown::to_json(figures, &mut bytes).expect("numbers and strings are JSON");
    bytes.push(b'\n');
    bytes
}

fn epoch_s(clock: Clock, at: Duration) -> f64 {
    clock.epoch_us(at) as f64 / 1e6
}
