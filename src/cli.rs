//! What was typed.
//!
//! Owns the command line: PyTaskFarmer's, and our additions. The type of an option's value reads it: `values`. Rules for
//! two options are in [`crate::config`]. The subcommands and their own options are in `subcommands`; only the first word
//! can be one, so a list may have any name after an option, and as `./NAME`.

pub(crate) mod pages;
mod slips;
mod subcommands;
pub(crate) mod typed;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser};

use crate::demand::amounts::{CpuCount, GpuCount, Memory, Shared};
use crate::demand::classes::Demands;
use crate::demand::list::{Asks, Counts};
use crate::farmer::{CRASH_LIMIT_DEFAULT, ExitCodes, TaskLimit};
use crate::protocol::{Bind, Logs, SlotCount};
use values::{HaltRule, OrOperand, Time, number};

pub(crate) use slips::explain;
pub(crate) use subcommands::{LogsArgs, StatusArgs, Subcommand};

/// Options are shown in these groups.
const STARTING: &str = "Starting";
const LIMITS: &str = "Limits";
const FAILURES: &str = "Failures";
const OUTPUT: &str = "Output";
const ADVANCED: &str = "Advanced";

const EXAMPLES: &str = "\
Examples:
  taskfarmer-mpi --proc auto tasks.txt                        this machine
  mpirun -n 1 taskfarmer-mpi --proc auto tasks.txt            one node
  srun -N 64 --mpi=pmix taskfarmer-mpi --proc auto tasks.txt  64 nodes
  taskfarmer-mpi --timeout 1h55m tasks.txt                    1 h 55 min at most
  taskfarmer-mpi --retry-failed tasks.txt                     retry failed tasks
  taskfarmer-mpi status tasks.txt                             show the progress

A tasklist has one shell command per line; blank lines and lines that start
with # are skipped. Results are in LIST_workdir: finished, failed,
logs/log_<ID>, timeline.json (for Perfetto).

Exit codes: 0 all tasks finished, 1 some failed, 2 invalid usage or input,
3 stopped before the end (resume with the same command), 4 the farm failed.

More help: `taskfarmer-mpi help guide`; all topics: `taskfarmer-mpi help help`.";

/// How a run shows its progress.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub enum Progress {
    /// A bar if standard error is a terminal, else lines
    #[default]
    Auto,
    /// One line that is rewritten several times a second
    Bar,
    /// A line after half a minute, then less and less often
    Log,
    /// Nothing
    None,
}

/// Run the commands in a tasklist across all nodes of a job, and record the results
#[derive(Parser, Debug)]
#[command(
    name = "taskfarmer-mpi",
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    after_help = EXAMPLES,
    max_term_width = 80,
    disable_help_flag = true
)]
pub struct Cli {
    /// What to do instead of a run.
    #[command(subcommand)]
    pub command: Option<Subcommand>,

    /// Tasklist: one command per line
    #[arg(value_name = "LIST")]
    pub list: Option<PathBuf>,

    /// Tasks to run at a time on each rank; `auto`: one per CPU [default: one per CPU, but at most 8]
    #[arg(help_heading = STARTING, short = 'n', long, value_name = "N", num_args = 0..=1, default_missing_value = "auto")]
    pub proc: Option<OrOperand<SlotCount>>,

    /// Folder for records and logs [default: LIST_workdir]
    #[arg(help_heading = STARTING, short, long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,

    /// Everything else about a run.
    #[command(flatten)]
    pub options: Options,

    /// Print the name, kind, file and line of each runner
    #[arg(help_heading = ADVANCED, long)]
    pub list_runners: bool,

    /// Print the name, kind, file and line of each handler
    #[arg(help_heading = ADVANCED, long)]
    pub list_handlers: bool,

    /// Print the version and the MPI library
    #[arg(help_heading = ADVANCED, short = 'V', long)]
    pub version: bool,

    /// Print this help
    #[arg(help_heading = ADVANCED, short, long, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

/// Options of a run whose meaning does not depend on others.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Handler that reads the list
    #[arg(help_heading = STARTING, short, long, value_name = "NAME", default_value = crate::tasklist::DEFAULT_HANDLER)]
    pub tasklist: String,

    /// Runner that starts the tasks
    #[arg(help_heading = STARTING, short, long, value_name = "NAME", default_value = crate::runner::DEFAULT_RUNNER)]
    pub runner: String,

    /// CPUs for each task alone
    #[arg(help_heading = STARTING, long, value_name = "N", allow_hyphen_values = true)]
    pub cpus_per_task: Option<CpuCount>,

    /// GPUs for each task, such as 2 or 0.25
    #[arg(help_heading = STARTING, long, value_name = "N", allow_hyphen_values = true)]
    pub gpus_per_task: Option<GpuCount>,

    /// Memory set aside for each task, such as 4G
    #[arg(help_heading = STARTING, long, value_name = "SIZE", allow_hyphen_values = true)]
    pub mem_per_task: Option<Memory>,

    /// N of something to share out, such as licenses
    #[arg(help_heading = STARTING, long = "resource", value_name = "NAME=N", allow_hyphen_values = true)]
    pub resources: Vec<Shared>,

    /// Run no tasks on rank 0
    #[arg(help_heading = STARTING, long)]
    pub farmer_only: bool,

    /// Print each task that would run; change nothing
    #[arg(help_heading = STARTING, long)]
    pub dry_run: bool,

    /// Stop the farm after this time: seconds, or a time such as 1h30m. It also stops before the batch job ends
    #[arg(help_heading = LIMITS, long, value_name = "TIME", allow_hyphen_values = true, value_parser = Time::above_zero)]
    pub timeout: Option<Time>,

    /// End a task that runs for longer than this, or than this percentage of the median length
    #[arg(help_heading = LIMITS, long, value_name = "TIME|N%", allow_hyphen_values = true)]
    pub task_timeout: Option<TaskLimit>,

    /// Start no more tasks when less than this much time is left before the farm must stop
    /// [default: the time within which 90% of tasks finish]
    #[arg(help_heading = LIMITS, long, value_name = "TIME", allow_hyphen_values = true)]
    pub task_time: Option<Time>,

    /// Time between SIGTERM and SIGKILL when tasks are stopped
    #[arg(help_heading = LIMITS, long, value_name = "TIME", default_value = "10s", allow_hyphen_values = true)]
    pub grace: Time,

    /// Retry a task that fails, up to N times
    #[arg(help_heading = FAILURES, long, value_name = "N", default_value_t = 0, allow_hyphen_values = true,
        value_parser = number(0..=1_000_u16, "not a valid number of retries\n  give a number from 0 to 1000"))]
    pub retries: u16,

    /// Retry a task only if it ends with one of these exit codes, such as 75,100-110 or, for signal 9, 137
    #[arg(help_heading = FAILURES, long, value_name = "CODES", allow_hyphen_values = true)]
    pub retry_exit: Option<ExitCodes>,

    /// Also run tasks that failed in earlier runs
    #[arg(help_heading = FAILURES, long)]
    pub retry_failed: bool,

    /// End the farm when N tasks have failed, or when N% of the ended tasks have: `soon,fail=N` lets running tasks end
    /// first; `now,fail=N` stops them
    #[arg(help_heading = FAILURES, long, value_name = "RULE", allow_hyphen_values = true)]
    pub halt: Option<HaltRule>,

    /// Record a task as failed after it has taken its rank or node down N times
    #[arg(help_heading = FAILURES, long, value_name = "N", default_value_t = CRASH_LIMIT_DEFAULT,
        allow_hyphen_values = true,
        value_parser = number(1..=1_000_u16, "not a valid number of crashes\n  give a number from 1 to 1000"))]
    pub crash_limit: u16,

    /// Where the output of tasks goes: `task` (one file per task), `task/1000` (the same, in folders of 1,000), `failed`
    /// (like `task`, but the empty logs of finished tasks are removed), `rank` (two files per rank), `none`
    #[arg(help_heading = OUTPUT, long, value_name = "KIND", default_value = "task")]
    pub logs: Logs,

    /// Append one line for each task to this file, in the format of GNU parallel's job log
    #[arg(help_heading = OUTPUT, long, value_name = "FILE")]
    pub joblog: Option<PathBuf>,

    /// How to show progress: `bar`, `log` (an occasional line), `none`, or `auto` (`bar` on a terminal, otherwise `log`)
    #[arg(help_heading = OUTPUT, long, value_enum, value_name = "HOW", default_value_t, hide_possible_values = true)]
    pub progress: Progress,

    /// Print more; repeat for even more
    #[arg(help_heading = OUTPUT, short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Print nothing unless something goes wrong
    #[arg(help_heading = OUTPUT, short, long)]
    pub quiet: bool,

    /// CPUs that a task may use: all of its rank's (`none`), or those of its slot (`slot`, as with --cpus-per-task)
    #[arg(help_heading = ADVANCED, long, value_enum, hide_possible_values = true)]
    pub bind: Option<Bind>,

    /// Resume in this folder, even if the last run was started in a different one
    #[arg(help_heading = ADVANCED, long)]
    pub here: bool,

    /// Use a workdir that belongs to another user
    #[arg(help_heading = ADVANCED, long)]
    pub shared_workdir: bool,
}

impl Options {
    /// What a task asks for, unless the list says otherwise.
    pub(crate) fn asks(&self) -> Asks {
        Asks {
            cpus: self.cpus_per_task.map(|count| count.0),
            gpus: self.gpus_per_task.map(|count| count.0),
            memory_mib: self.mem_per_task.map(|memory| memory.0),
            ..Asks::default()
        }
    }

    /// How much there is of what the farm shares out.
    pub(crate) fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        totals.iter_mut().zip(&self.resources).for_each(|(total, shared)| *total = shared.total);
        totals
    }

    /// Its names.
    pub(crate) fn resource_names(&self) -> Vec<&str> {
        self.resources.iter().map(|shared| &shared.name[..]).collect()
    }

    /// Which CPUs a task may use.
    pub(crate) fn bind(&self, demands: &Demands) -> Bind {
        let has_own = demands.kinds.iter().any(|kind| kind.demand.cpus > 0);
        self.bind.unwrap_or(if has_own { Bind::Slot } else { Bind::None })
    }
}

impl Cli {
    /// Reads a command line.
    ///
    /// # Errors
    /// What clap says, help included.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(without_verbose_values(arguments))
    }
}

/// PyTaskFarmer's `--verbose` takes a value, and any value means the same; ours is a flag. A word that can only be such
/// a value is removed, so that old scripts work, and `--verbose tasks.txt` still names a list.
fn without_verbose_values(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut kept: Vec<OsString> = Vec::new();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            kept.push(argument);
            kept.extend(arguments);
            break;
        }
        let text = argument.to_string_lossy();
        let (is_flag, value) = match text.split_once('=') {
            Some(("--verbose" | "-v", value)) => (true, Some(value.to_owned())),
            _ => (text == "--verbose" || text == "-v", None),
        };
        if !is_flag {
            kept.push(argument);
            continue;
        }
        let value = value.or_else(|| {
            let next = arguments.peek()?.to_str()?.to_owned();
            // The last word is the list, whatever its name.
            is_truth_value(&next).then(|| arguments.next()).flatten()?;
            Some(next)
        });
        if !value.is_some_and(|value| is_false(&value)) {
            kept.push("--verbose".into());
        }
    }
    kept
}

fn is_false(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "no" | "off" | "")
}

fn is_truth_value(word: &str) -> bool {
    is_false(word) || matches!(word.to_ascii_lowercase().as_str(), "true" | "1" | "2" | "3" | "yes" | "on")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' ').map(OsString::from))
    }

    fn slots(slots: SlotCount) -> Option<OrOperand<SlotCount>> {
        Some(OrOperand::Value(slots))
    }

    /// Scripts that were written for PyTaskFarmer keep working.
    #[test]
    fn pytaskfarmers_command_line_is_read() {
        let proc = |line| read(line).unwrap().proc;
        let cli = read("x --proc 4 --timeout 60 -w dir --verbose True -r default -t default list").unwrap();
        assert_eq!((cli.proc, cli.options.verbose), (slots(SlotCount::Fixed(4)), 1));
        assert_eq!(cli.options.timeout, "60".parse().ok());
        assert_eq!(proc("x list -n"), slots(SlotCount::Cpus));
        assert_eq!(proc("x list --proc"), slots(SlotCount::Cpus));
        assert_eq!(proc("x list"), None);
    }

    /// `--verbose` with and without PyTaskFarmer's value.
    #[test]
    fn verbose_is_a_flag_that_may_have_a_value() {
        for (line, level) in [
            ("x -v list", 1),
            ("x -vv list", 2),
            ("x -v -v list", 2),
            ("x --verbose 1 list", 1),
            ("x --verbose False list", 0),
            ("x --verbose=False list", 0),
            ("x --verbose=yes list", 1),
            ("x list --verbose True", 1),
        ] {
            let cli = read(line).unwrap();
            assert_eq!((cli.options.verbose, cli.list), (level, Some("list".into())), "{line}");
        }
    }

    /// Scripts have defaults, and users add their own options after them: the last one counts.
    #[test]
    fn the_last_of_two_options_counts() {
        let cli = read("x --proc 4 --grace 1 list --proc 8 --grace 2").unwrap();
        assert_eq!((cli.proc, &cli.options.grace.typed[..]), (slots(SlotCount::Fixed(8)), "2"));
    }

    /// PyTaskFarmer's users may have a list of any name: only the first word is a subcommand, and `./` in front, or any
    /// option, makes it a list.
    #[test]
    fn only_the_first_word_is_a_subcommand() {
        assert!(read("x completions bash").unwrap().command.is_some());
        for line in ["x ./completions", "x --proc 4 completions", "x -v completions", "x --verbose True completions"] {
            let cli = read(line).unwrap();
            assert!(cli.command.is_none(), "{line}");
            assert!(cli.list.is_some_and(|list| list.ends_with("completions")), "{line}");
        }
        let proc = read("x -n completions").unwrap().proc;
        assert!(matches!(proc, Some(OrOperand::Word(word, _)) if word == "completions"), "a list, as config finds");
        assert!(read("x help").unwrap().command.is_some());
        assert_eq!(read("x ./help").unwrap().list, Some("./help".into()));
    }

    /// clap's own check of the definitions.
    #[test]
    fn the_definitions_are_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
