//! What the user reads on the terminal.
//!
//! Owns the words: only rank 0 writes them, to standard error, each line with the program's name in front.

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use log::{Level, LevelFilter};

use crate::config::{Config, SLOTS_DEFAULT};
use crate::farmer::{End, Farmer, Note, Status, StopCause, TaskTable};
use crate::protocol::{Rank, StopLevel};
use crate::sys::launcher::Launch;

/// The name in front of every line.
pub const PROGRAM: &str = "taskfarmer-mpi";

/// Says something; a closed terminal is no reason to fail.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{PROGRAM}: {text}");
}

/// Says why nothing, or nothing more, is done.
pub fn say_error(text: &str) {
    say(&format!("error: {text}"));
}

/// Makes log records of this process appear on the terminal.
pub fn install_logger(level: LevelFilter) {
    let format = |out: &mut env_logger::fmt::Formatter, record: &log::Record<'_>| {
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        writeln!(out, "{PROGRAM}: {level}: {}", record.args())
    };
    // A second logger in one process is a bug of tests only; the first one stays.
    let _ = env_logger::Builder::new().filter_level(level).format(format).try_init();
}

/// Tells a run's story.
#[derive(Debug)]
pub struct Reporter {
    advise_slots: bool,
    warned_of_slots: bool,
    /// What the user may type to go on.
    command: String,
}

impl Reporter {
    /// A run begins.
    #[must_use]
    pub fn start(config: &Config, tasks: &TaskTable, ranks: u32) -> Self {
        let done = tasks.finished() + tasks.failed();
        let before = if done > 0 { format!(", {done} recorded by earlier runs") } else { String::new() };
        log::info!("{} tasks{before}; {ranks} ranks; workdir {}", tasks.total(), config.workdir.display());
        let launched = if Launch::of_this_process().is_some() { "… " } else { "" };
        let command = format!("{launched}{}", command_line(std::env::args_os()));
        Self { advise_slots: !config.slots_chosen, warned_of_slots: false, command }
    }

    /// Something happened that the user may want to know.
    pub fn note(&mut self, note: &Note, core: &Farmer) {
        let name = |rank: &Rank| match core.workers().get(*rank) {
            Some(worker) if !worker.host.is_empty() => format!("rank {rank} ({})", worker.host),
            _ => format!("rank {rank}"),
        };
        match note {
            Note::Joined(rank) => {
                let Some(worker) = core.workers().get(*rank) else { return };
                log::info!("rank {rank} is up: {} slots, {} CPUs, host {}", worker.slots, worker.cpus, worker.host);
                if self.advise_slots && worker.cpus > SLOTS_DEFAULT && worker.slots == SLOTS_DEFAULT {
                    self.advise_slots = false;
                    say(&format!(
                        "rank {rank} has {} CPUs and runs {SLOTS_DEFAULT} tasks at a time; --proc auto uses all",
                        worker.cpus
                    ));
                }
                if !self.warned_of_slots && worker.slots > worker.cpus && worker.cpus > 0 {
                    self.warned_of_slots = true;
                    say(&format!(
                        "rank {rank} runs {} tasks at a time on {} CPUs; --proc auto runs one per CPU",
                        worker.slots, worker.cpus
                    ));
                }
            }
            Note::Lost { rank, reason, tasks } => {
                let others = if *tasks > 0 { format!("; its {tasks} tasks go to others") } else { String::new() };
                log::warn!("{} is lost: {reason}{others}", name(rank));
            }
            Note::CameBack(rank) => log::warn!("{} is heard again", name(rank)),
            Note::Paused(rank) => {
                log::warn!("{} can't start processes and gets no task for a while", name(rank))
            }
            Note::Watched(rank) => {
                log::info!(
                    "tasks fail at once on {}; it waits until it is known whether they do elsewhere",
                    name(rank)
                );
            }
            Note::SetAside { rank, tasks, time } => log::warn!(
                "{} is set aside for {} s: {tasks} tasks in a row failed there at once, and others do well elsewhere\n  \
                 those tasks are tried again on other ranks; look at the node: file systems, /tmp, containers",
                name(rank),
                time.as_secs()
            ),
            Note::Trusted(rank) => log::info!("{} gets tasks again", name(rank)),
            Note::Odd(rank, what) => log::debug!("rank {rank}: {what}"),
            Note::Draining(cause) => {
                say(&format!("stopping: {cause}; no task is started any more, running ones may end"));
            }
            Note::Stopping(_, StopCause::AllDone) => log::debug!("all tasks are recorded"),
            Note::Stopping(StopLevel::Drain, _) => log::debug!("no task runs any more"),
            Note::Stopping(level, cause) => {
                let how = match level {
                    StopLevel::Drain => "no task is started any more",
                    StopLevel::Terminate => "running tasks are asked to end (SIGTERM)",
                    StopLevel::Kill => "running tasks are killed",
                };
                // What to do about it stands in the summary.
                let cause = cause.to_string();
                say(&format!("stopping: {}; {how}", cause.lines().next().unwrap_or_default()));
            }
            Note::Log { rank, level, text } => {
                let level = Level::iter().nth(usize::from(level.saturating_sub(1))).unwrap_or(Level::Trace);
                log::log!(level, "{}: {text}", name(rank));
            }
        }
    }

    /// A run has ended.
    pub fn finish(&self, config: &Config, core: &Farmer, end: &End, took: Duration) {
        let seen = |status| core.workers().count(status);
        let ranks = core.workers().len();
        let slots: u64 = core.workers().iter().map(|(_, worker)| u64::from(worker.slots)).sum();
        say(&format!(
            "{} finished, {} failed, {} remaining; {:.1} s on {ranks} {}, {slots} {}",
            end.finished,
            end.failed,
            end.remaining,
            took.as_secs_f64(),
            plural(u64::from(ranks), "rank"),
            plural(slots, "slot"),
        ));
        if end.stale_results > 0 {
            say(&format!(
                "{} results came a second time, after a rank was lost; the first ones count",
                end.stale_results
            ));
        }
        if !end.lost.is_empty() {
            let ranks: Vec<_> = end.lost.iter().map(ToString::to_string).collect();
            say(&format!(
                "lost in this run: rank {} ({} not back)",
                ranks.join(", "),
                seen(Status::Lost) + seen(Status::Gone)
            ));
        }
        if end.failed > 0 {
            let workdir = config.workdir.display();
            say(&format!("failed tasks are in {workdir}/failed, what they said in {workdir}/logs/log_<ID>"));
        }
        if let StopCause::FarmFailed(reason) = &end.cause {
            say_error(reason);
        } else if end.remaining > 0 {
            say(&format!("to go on, run the same command again: {}", self.command));
        }
    }
}

/// A command line as a shell takes it. `--retry-failed` is left out: what has failed since would run again.
fn command_line(arguments: impl Iterator<Item = OsString>) -> String {
    let quoted = |argument: OsString| {
        let text = argument.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=.,:/@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
    };
    arguments.filter(|argument| argument != "--retry-failed").map(quoted).collect::<Vec<_>>().join(" ")
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed can be pasted.
    #[test]
    fn a_command_line_is_quoted() {
        let line = ["taskfarmer-mpi", "--retry-failed", "-w", "my dir", "it's", ""].map(OsString::from);
        assert_eq!(command_line(line.into_iter()), r"taskfarmer-mpi -w 'my dir' 'it'\''s' ''");
    }
}
