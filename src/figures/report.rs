//! All figures of a farm in one place, and their wording.
//!
//! Owns the form of `status.json` and of `taskfarmer-mpi status --json`, and the lines that the summary and `status`
//! have in common. Unknown keys are ignored and missing ones have a default, so that other versions can read it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tally::LeftBehind;
use super::usage::UsageFigures;
use super::words;
use crate::lengths::Lengths;
use crate::shell::pasted_path;
use crate::shown;

/// The version of the format; raised when a key changes its meaning.
pub(crate) const FORMAT: u32 = 1;

/// The variable by which a script names a run, so that it can tell the run's exit code from that of an earlier one.
pub(crate) const RUN: &str = "TASKFARMER_RUN";

/// What [`RUN`] says; bytes that are not UTF-8 are replaced.
pub(crate) fn run_name() -> Option<String> {
    std::env::var_os(RUN).map(|name| name.to_string_lossy().into_owned())
}

/// How many kinds of failures are listed; further ones are counted.
const KINDS_TOLD: usize = 10;

/// Whether a farm is at work.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It was never seen at work.
    #[default]
    Unknown,
    /// It runs tasks.
    Running,
    /// It is being stopped.
    Stopping,
    /// It has ended cleanly.
    Ended,
    /// It was at work and did not end cleanly: killed, or its node died.
    Died,
}

impl State {
    /// Whether a farm is running tasks or being stopped.
    pub(crate) fn is_at_work(self) -> bool {
        matches!(self, Self::Running | Self::Stopping)
    }
}

/// What is known of a farm.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    /// [`FORMAT`].
    pub format: u32,
    /// The program's version.
    pub version: String,
    /// Whether it is at work.
    pub state: State,
    /// The exit code, once it is known.
    pub exit_code: Option<i32>,
    /// The name that [`RUN`] gave the run when it was started.
    pub run: Option<String>,
    /// The workdir, absolute.
    pub workdir: String,
    /// The folder in which it was started.
    pub cwd: String,
    /// The command that resumes the list.
    pub command: String,
    /// Host of rank 0.
    pub host: String,
    /// Process of rank 0.
    pub pid: u32,
    /// Slurm's job, if it runs in one.
    pub job: Option<String>,
    /// When the run started, in seconds since 1970.
    pub started_s: f64,
    /// When this was written, likewise.
    pub written_s: f64,
    /// This many seconds later it is written again, if the run continues.
    pub next_in_s: f64,
    /// How long the run has taken so far.
    pub elapsed_s: f64,
    /// Tasks of the list.
    pub total: u64,
    /// In `finished`.
    pub finished: u64,
    /// In `failed`.
    pub failed: u64,
    /// Running now.
    pub running: u64,
    /// Neither recorded nor running.
    pub waiting: u64,
    /// Recorded by earlier runs.
    pub earlier: u64,
    /// Those of them that are in `failed`.
    pub earlier_failed: u64,
    /// Ranks of the farm.
    pub ranks: u64,
    /// Ranks that were lost in this run.
    pub lost_ranks: Vec<u32>,
    /// Slots of the ranks that take part.
    pub slots: u64,
    /// Ends of tasks per second, recently.
    pub tasks_per_s: f64,
    /// How long the rest takes, in seconds.
    pub left_s: Option<f64>,
    /// The share of slot time in which tasks ran, 0 to 1.
    pub utilization: Option<f64>,
    /// What attempts have used; none if it is not known.
    pub usage: Option<UsageFigures>,
    /// How long tasks took.
    pub lengths: Option<LengthFigures>,
    /// The slowest tasks, longest first.
    pub slowest: Vec<SlowTask>,
    /// What failed, grouped by how it failed; the most frequent first.
    pub failures: Vec<FailureGroup>,
    /// Tasks that left processes behind, in this run.
    pub left_behind: LeftBehind,
    /// What is running where. Not in a summary.
    pub workers: Vec<WorkerFigures>,
    /// What cannot be read in the workdir, with file and line.
    pub damage: Vec<String>,
    /// What else the reader should know.
    pub notes: Vec<String>,
}

/// Lengths of the tasks that have ended, in seconds.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LengthFigures {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min_s: f64,
    /// Half of them are not longer.
    pub median_s: f64,
    /// On average.
    pub mean_s: f64,
    /// 95 of 100 are not longer.
    pub p95_s: f64,
    /// The longest.
    pub max_s: f64,
}

/// A task that took long.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SlowTask {
    /// The task.
    pub id: u32,
    /// How long it took.
    pub seconds: f64,
    /// Where.
    pub rank: u32,
    /// The rank's host.
    pub host: String,
    /// What it was.
    pub command: String,
}

/// Tasks that failed in the same way.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FailureGroup {
    /// How many.
    pub count: u64,
    /// `exit 1`, `SIGKILL` …
    pub how: String,
    /// Whether they were ended by a SIGKILL that the farm did not send: out of memory, perhaps.
    pub killed: bool,
    /// The largest resident set of any of their processes, in KiB; 0 if that is not known.
    pub peak_kib: u64,
    /// The last line that one of them wrote; empty if none wrote anything, or it was not read.
    pub last_line: String,
    /// The log of that task, within the workdir.
    pub log: String,
    /// The hosts, if they are fewer than those of the farm.
    pub only_on: Vec<String>,
}

/// A rank.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WorkerFigures {
    /// Which.
    pub rank: u32,
    /// Where.
    pub host: String,
    /// Its slots.
    pub slots: u32,
    /// `expected`, `active`, `stopped`, `lost` or `gone`.
    pub state: String,
    /// Tasks that are running there, and since when, in seconds since 1970, accurate to a few seconds.
    pub running: Vec<(u32, f64)>,
}

impl FailureGroup {
    /// How they ended, with what there is to say about a SIGKILL.
    fn how(&self) -> String {
        if !self.killed {
            return self.how.clone();
        }
        // A shell saw its program die, and reported it in its own way.
        let signal = if self.how.starts_with("SIG") { "" } else { " after SIGKILL" };
        let peak =
            if self.peak_kib > 0 { format!(" peak memory {}", words::memory(self.peak_kib)) } else { String::new() };
        format!("{}{signal}, which the farm did not send (out of memory?{peak})", self.how)
    }
}

impl From<&Lengths> for LengthFigures {
    fn from(lengths: &Lengths) -> Self {
        let seconds = |us: u64| us as f64 / 1e6;
        Self {
            count: lengths.count(),
            min_s: seconds(lengths.min_us()),
            median_s: seconds(lengths.percentile_us(50)),
            mean_s: seconds(lengths.sum_us()) / lengths.count().max(1) as f64,
            p95_s: seconds(lengths.percentile_us(95)),
            max_s: seconds(lengths.max_us()),
        }
    }
}

impl Figures {
    /// The same figures with every text as one harmless line, for display. Damage and notes may have several lines.
    pub(crate) fn for_eyes(&self) -> Self {
        let mut shown = self.clone();
        let texts = [&mut shown.version, &mut shown.workdir, &mut shown.cwd, &mut shown.command, &mut shown.host];
        let slowest = shown.slowest.iter_mut().flat_map(|task| [&mut task.host, &mut task.command]);
        let failures = shown.failures.iter_mut().flat_map(|group| {
            let FailureGroup { how, last_line, log, only_on, .. } = group;
            [how, last_line, log].into_iter().chain(only_on)
        });
        let workers = shown.workers.iter_mut().flat_map(|worker| [&mut worker.host, &mut worker.state]);
        let others = shown.job.iter_mut().chain(&mut shown.run);
        let all = texts.into_iter().chain(slowest).chain(failures).chain(workers).chain(others);
        all.for_each(|text| *text = shown::line(text));
        shown
    }

    /// Tasks that have ended, in this run or an earlier one.
    pub(crate) fn done(&self) -> u64 {
        self.finished.saturating_add(self.failed)
    }

    /// How much of the totals earlier runs recorded, if there were any: `of these, 120 finished and 1 failed in earlier
    /// runs`.
    pub(crate) fn earlier_text(&self) -> Option<String> {
        let finished = self.earlier.saturating_sub(self.earlier_failed);
        let [finished, failed] = [finished, self.earlier_failed].map(words::count);
        (self.earlier > 0).then(|| format!("of these, {finished} finished and {failed} failed in earlier runs"))
    }

    /// The progress and how long the rest will take, in one line.
    pub(crate) fn progress_line(&self) -> String {
        let (done, total) = (words::count(self.done()), words::counted(self.total, "task"));
        let mut line = format!("{done} of {total} done ({}%)", words::percent(self.done(), self.total));
        if self.failed > 0 {
            line += &format!(", {} of them failed", words::count(self.failed));
        }
        line += &format!("; {} running on {}", words::count(self.running), words::counted(self.slots, "slot"));
        if self.tasks_per_s > 0.0 {
            line += &format!("; {}", words::rate(self.tasks_per_s));
        }
        if self.state == State::Stopping {
            line += "; stopping";
        } else if let Some(left) = self.left_s {
            let left = words::about(left);
            let about = if left.starts_with(|c: char| c.is_ascii_digit()) { "about " } else { "" };
            line += &format!("; {about}{left} left");
        }
        line
    }

    /// What failed, utilization, usage, lengths, and the slowest tasks, each on as many lines as it takes. `workdir` is
    /// put before the names of logs.
    pub(crate) fn detail_lines(&self, workdir: &Path) -> Vec<String> {
        let mut lines = self.trouble_lines(workdir);
        if let Some(share) = self.utilization {
            lines.push(format!("utilization: tasks ran in {:.1}% of the slot time", share * 100.0));
        }
        lines.extend(self.usage.map(|usage| usage.line()));
        if let Some(of) = self.lengths.filter(|of| of.count > 0) {
            let [min, median, p95, max] = [of.min_s, of.median_s, of.p95_s, of.max_s].map(words::length);
            lines.push(format!("task length: shortest {min}, median {median}, 95% up to {p95}, longest {max}"));
        }
        if self.slowest.len() > 1 {
            lines.push("slowest tasks:".to_owned());
            lines.extend(self.slowest.iter().map(|task| {
                format!("  {}{}: {} {}", words::length(task.seconds), self.place(task), task.id, task.command)
            }));
        }
        lines
    }

    /// The task that has run for the longest time, and for how long. `now_s` is in seconds since 1970.
    pub(crate) fn longest_running_line(&self, now_s: f64) -> Option<String> {
        let running = self.workers.iter().flat_map(|worker| worker.running.iter().map(move |task| (worker, task)));
        let (worker, (id, since_s)) = running.min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b))?;
        let place = if self.ranks > 1 { format!(" on {} (rank {})", worker.host, worker.rank) } else { String::new() };
        Some(format!("longest running: task {id} for {}{place}", words::length((now_s - since_s).max(0.0))))
    }

    /// What failed, and what was left behind.
    pub(crate) fn trouble_lines(&self, workdir: &Path) -> Vec<String> {
        let LeftBehind { count, ref tasks } = self.left_behind;
        let mut lines = self.failure_lines(workdir);
        if count > 0 {
            let named = tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (left, others) = match count > tasks.len() as u64 {
                true => (format!("{} of tasks", words::counted(count, "attempt")), " …"),
                false => (words::counted(count, "task"), ""),
            };
            lines.push(format!(
                "{left} left processes behind, which the farm terminated: {named}{others}; a task should wait for the processes that it starts",
            ));
        }
        lines
    }

    fn place(&self, task: &SlowTask) -> String {
        match (task.host.is_empty(), self.ranks > 1) {
            (false, true) => format!(" on {} (rank {})", task.host, task.rank),
            _ => String::new(),
        }
    }

    /// What failed, by kinds.
    fn failure_lines(&self, workdir: &Path) -> Vec<String> {
        if self.failures.is_empty() {
            return Vec::new();
        }
        let mut lines = vec!["failures:".to_owned()];
        for group in self.failures.iter().take(KINDS_TOLD) {
            let said = match (group.last_line.is_empty(), group.log.is_empty()) {
                (false, _) => format!(": {}", group.last_line),
                (true, false) => ": no output".to_owned(),
                (true, true) => String::new(),
            };
            let example = match group.log.split_once(" in ") {
                _ if group.log.is_empty() => String::new(),
                Some((task, file)) => format!(" (see {task} in {})", pasted_path(&workdir.join(file))),
                None => format!(" (see {})", pasted_path(&workdir.join(&group.log))),
            };
            let only_on = match &group.only_on[..] {
                [] => String::new(),
                hosts => format!(", only on {}", hosts.join(", ")),
            };
            lines.push(format!("  {} × {}{said}{example}{only_on}", words::count(group.count), group.how()));
        }
        let further: u64 = self.failures.iter().skip(KINDS_TOLD).map(|group| group.count).sum();
        if further > 0 {
            lines.push(format!("  {} more of other kinds (status --failed lists all tasks)", words::count(further)));
        }
        lines
    }
}

#[cfg(test)]
mod tests;
