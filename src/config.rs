//! What a run needs, checked.
//!
//! Owns the step from typed words to values that make sense. Reads no file: what depends on files is checked by rank 0
//! alone. It only checks whether a list in /dev or /proc is a regular file.

mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::cli::{Cli, Progress};
use crate::farmer::{CRASH_LIMIT_DEFAULT, Rules};
use crate::protocol::{Bind, Logs, SlotCount};
use crate::task::SLOTS_MAX;
use crate::workdir::Failed;

/// How many tasks run at the same time on a rank without `--proc`: PyTaskFarmer's number, but no more than the rank has
/// CPUs. Users of GNU parallel and HyperQueue expect one per CPU. This is not for speed: CPU-bound tasks on two CPUs took
/// no longer with eight slots than with two.
pub(crate) const SLOTS_DEFAULT: u32 = 8;

/// More retries than this are a typing error.
const RETRIES_MAX: u16 = 1_000;

/// More crashes than this are a typing error, too.
const CRASH_LIMIT_MAX: u16 = 1_000;

/// A checked command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The tasklist.
    pub list: PathBuf,
    /// The handler that reads it.
    pub handler: String,
    /// The runner, by name.
    pub runner: String,
    /// Slots per rank.
    pub slots: SlotCount,
    /// Whether the user chose them.
    pub slots_chosen: bool,
    /// When to stop, from the start of the program.
    pub timeout: Option<Duration>,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// The folder for all results.
    pub workdir: PathBuf,
    /// A job log in the format of GNU parallel.
    pub joblog: Option<PathBuf>,
    /// 0: warnings, 1: info, 2: debug, 3: trace.
    pub verbose: u8,
    /// Print nothing unless something goes wrong.
    pub quiet: bool,
    /// How to show progress.
    pub progress: Progress,
    /// Which CPUs a task may use.
    pub bind: Bind,
    /// Where the output of tasks goes.
    pub logs: Logs,
    /// Rank 0 runs no tasks.
    pub farmer_only: bool,
    /// What to do with tasks that have failed in earlier runs.
    pub failed: Failed,
    /// What to do with tasks that fail.
    pub rules: Rules,
    /// The folder in which an earlier run was started does not matter.
    pub here: bool,
    /// The workdir may belong to another user.
    pub shared_workdir: bool,
    /// Only print what would run.
    pub dry_run: bool,
}

/// Words on the command line that make no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Standard input, or another list that the next run cannot read again.
    #[error(
        "{}: the tasklist must be a file, because the next run reads it again and the workdir is named after it\n  write the list \
         to a file first, and give that file: taskfarmer-mpi tasks.txt",
        .0.display()
    )]
    Stream(PathBuf),
    /// `--proc`.
    #[error(
        "--proc {0}: not a valid number of tasks\n  give a number from 1 to {SLOTS_MAX}, or 'auto' for one task per CPU"
    )]
    Slots(String),
    /// `--timeout` or `--grace`.
    #[error(
        "{option} {value}: not a valid time\n  give a number of seconds, or a time such as 90s, 1h30m, 2d, 1:30:00 or 1-12:00:00; it must be more than 0 and at most 366d"
    )]
    Time {
        /// Which option.
        option: &'static str,
        /// What was typed.
        value: String,
    },
    /// `--logs` has a value that does not exist.
    #[error(
        "--logs {0}: not a valid kind of log\n  give 'task', 'task/1000' (or a different number of tasks per folder), 'failed', 'rank' or 'none'"
    )]
    Logs(String),
    /// `--retries`.
    #[error("--retries {0}: not a valid number of retries\n  give a number from 0 to {RETRIES_MAX}")]
    Retries(String),
    /// `--crash-limit`.
    #[error("--crash-limit {0}: not a valid number of crashes\n  give a number from 1 to {CRASH_LIMIT_MAX}")]
    CrashLimit(String),
    /// `--retry-exit`.
    #[error(
        "--retry-exit {0}: not a valid list of exit codes\n  give exit codes from 1 to 255, ranges, or both, such as 75 or 75,100-110"
    )]
    RetryExit(String),
    /// `--task-timeout`.
    #[error(
        "--task-timeout {0}: not a valid time limit\n  give a number of seconds, a time such as 90s, 1h30m or 1:30:00 (at most 366d), or a percentage (above 100%) of the median task length, such as 300%"
    )]
    TaskTimeout(String),
    /// `--halt`.
    #[error(
        "--halt {0}: not a valid rule\n  give soon,fail=N or now,fail=N, where N is a number or a percentage of failed tasks, such as soon,fail=10 or now,fail=5%"
    )]
    Halt(String),
    /// `--task-time` and `--timeout`.
    #[error(
        "--task-time {0} is not less than --timeout: no task would be started\n  give a shorter --task-time or a longer --timeout"
    )]
    NoTime(String),
    /// No list.
    #[error("no tasklist\n  usage: taskfarmer-mpi [OPTIONS] LIST\n  for the options, run taskfarmer-mpi --help")]
    NoList,
}

impl Config {
    /// Checks what was typed.
    ///
    /// # Errors
    /// With the option, its value, and what to type instead.
    pub fn check(cli: Cli) -> Result<Self, ConfigError> {
        let mut rules = check_rules(&cli)?;
        // `--proc tasks.txt`: no value was meant.
        let (proc, list) = match (cli.proc, cli.list) {
            (Some(word), None) if parse_slots(&word).is_none() => (Some("auto".to_owned()), Some(word.into())),
            other => other,
        };
        let list = list.filter(|list| !list.as_os_str().is_empty()).ok_or(ConfigError::NoList)?;
        let is_special = ["/dev", "/proc"].iter().any(|folder| list.starts_with(folder)) && !list.is_file();
        if (is_special && cli.workdir.is_none()) || list == Path::new("-") {
            return Err(ConfigError::Stream(list));
        }
        let slots_chosen = proc.is_some();
        let slots = match proc {
            None => SlotCount::CpusUpTo(SLOTS_DEFAULT),
            Some(word) => parse_slots(&word).ok_or(ConfigError::Slots(word))?,
        };
        let time = |option, value: &str| {
            values::time(value).ok_or_else(|| ConfigError::Time { option, value: value.to_owned() })
        };
        let task_time = cli.task_time.as_deref().map(|value| time("--task-time", value)).transpose()?;
        rules.task_time = task_time;
        let timeout = cli.timeout.as_deref().map(|value| time("--timeout", value)).transpose()?;
        if let Some(value) = cli.timeout.filter(|_| timeout == Some(Duration::ZERO)) {
            return Err(ConfigError::Time { option: "--timeout", value });
        }
        if let Some(value) = cli.task_time.filter(|_| task_time.zip(timeout).is_some_and(|(task, all)| task >= all)) {
            return Err(ConfigError::NoTime(value));
        }
        Ok(Self {
            rules,
            workdir: cli.workdir.unwrap_or_else(|| default_workdir(&list)),
            list,
            handler: cli.tasklist,
            runner: cli.runner,
            slots,
            slots_chosen,
            timeout,
            grace: time("--grace", &cli.grace)?,
            joblog: cli.joblog,
            verbose: cli.verbose,
            quiet: cli.quiet,
            progress: if cli.quiet { Progress::None } else { cli.progress },
            bind: cli.bind,
            logs: parse_logs(&cli.logs).ok_or(ConfigError::Logs(cli.logs))?,
            farmer_only: cli.farmer_only,
            failed: if cli.retry_failed { Failed::Retry } else { Failed::Keep },
            here: cli.here,
            shared_workdir: cli.shared_workdir,
            dry_run: cli.dry_run,
        })
    }

    /// The log level that `--verbose` asks for.
    #[must_use]
    pub fn log_level(&self) -> log::LevelFilter {
        match self.verbose {
            0 => log::LevelFilter::Warn,
            1 => log::LevelFilter::Info,
            2 => log::LevelFilter::Debug,
            _ => log::LevelFilter::Trace,
        }
    }
}

fn check_rules(cli: &Cli) -> Result<Rules, ConfigError> {
    let retries = match &cli.retries {
        None => 0,
        Some(word) => {
            word.parse().ok().filter(|&retries| retries <= RETRIES_MAX).ok_or(ConfigError::Retries(word.clone()))?
        }
    };
    let codes = |word: &String| values::exit_codes(word).ok_or(ConfigError::RetryExit(word.clone()));
    let halt = |word: &String| values::halt(word).ok_or(ConfigError::Halt(word.clone()));
    let limit = |word: &String| values::task_limit(word).ok_or(ConfigError::TaskTimeout(word.clone()));
    Ok(Rules {
        retries,
        retry_exit: cli.retry_exit.as_ref().map(codes).transpose()?,
        task_limit: cli.task_timeout.as_ref().map(limit).transpose()?,
        halt: cli.halt.as_ref().map(halt).transpose()?.flatten(),
        task_time: None,
        crash_limit: match &cli.crash_limit {
            None => CRASH_LIMIT_DEFAULT,
            Some(word) => {
                let limit = word.parse().ok().filter(|limit| (1..=CRASH_LIMIT_MAX).contains(limit));
                limit.ok_or(ConfigError::CrashLimit(word.clone()))?
            }
        },
    })
}

fn parse_slots(word: &str) -> Option<SlotCount> {
    match word.parse() {
        _ if word == "auto" => Some(SlotCount::Cpus),
        Ok(slots @ 1..=SLOTS_MAX) => Some(SlotCount::Fixed(slots)),
        _ => None,
    }
}

fn parse_logs(word: &str) -> Option<Logs> {
    Some(match word {
        "task" => Logs::Task,
        "failed" => Logs::Failed,
        "rank" => Logs::Rank,
        "none" => Logs::None,
        _ => Logs::Folders(word.strip_prefix("task/")?.parse().ok().filter(|count| *count > 0)?),
    })
}

fn default_workdir(list: &Path) -> PathBuf {
    let mut path = list.as_os_str().to_owned();
    path.push("_workdir");
    path.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(line: &str) -> Result<Config, ConfigError> {
        Config::check(Cli::read(line.split(' ').map(Into::into)).unwrap())
    }

    /// The defaults are PyTaskFarmer's.
    #[test]
    fn defaults() {
        let config = check("x dir/tasks.txt").unwrap();
        assert_eq!(config.slots, SlotCount::CpusUpTo(8));
        assert_eq!(config.workdir, Path::new("dir/tasks.txt_workdir"));
        assert_eq!((config.timeout, config.grace), (None, Duration::from_secs(10)));
    }

    /// Slots are at least one.
    #[test]
    fn slots_are_checked() {
        assert_eq!(check("x l -n 3").unwrap().slots, SlotCount::Fixed(3));
        assert_eq!(check("x l -n").unwrap().slots, SlotCount::Cpus);
        assert_eq!(check("x --proc l").unwrap().list, Path::new("l"));
        assert_eq!(check("x --proc 4"), Err(ConfigError::NoList));
        for bad in ["0", "x", "100001", "1.5", ""] {
            assert_eq!(check(&format!("x l --proc={bad}")), Err(ConfigError::Slots(bad.to_owned())));
        }
    }

    /// Each valid word has its meaning; anything else is refused.
    #[test]
    fn logs_are_checked() {
        let logs = |word: &str| check(&format!("x l --logs={word}")).map(|config| config.logs);
        assert_eq!(check("x l").unwrap().logs, Logs::Task);
        assert_eq!((logs("failed"), logs("rank"), logs("none")), (Ok(Logs::Failed), Ok(Logs::Rank), Ok(Logs::None)));
        assert_eq!(logs("task/1000"), Ok(Logs::Folders(1000)));
        for bad in ["", "task/0", "task/", "task/x", "Rank", "all"] {
            assert_eq!(logs(bad), Err(ConfigError::Logs(bad.to_owned())));
        }
    }

    fn any_word() -> impl Strategy<Value = std::ffi::OsString> {
        let known = "(-[nwvrthV]{1,3}|--(proc|timeout|workdir|verbose|runner|tasklist|grace|bind|farmer-only|dry-run|logs|help|)\
            (=(slot|auto|true|0|task/?[0-9]{0,3}|rank|[0-9.:smhd]{0,6}))?|tasks|[0-9]{1,3}|yes|false)";
        prop_oneof![
            3 => known.prop_map(Into::into),
            1 => any::<String>().prop_map(Into::into),
            1 => any::<Vec<u8>>().prop_map(std::os::unix::ffi::OsStringExt::from_vec),
        ]
    }

    proptest! {
        /// Promise 5: no command line causes a panic.
        #[test]
        fn any_command_line_is_checked(words in prop::collection::vec(any_word(), 0..7)) {
            if let Ok(cli) = Cli::read(words) {
                let _ = Config::check(cli);
            }
        }

        /// … nor does any word in the place of a number or a time.
        #[test]
        fn any_words_are_checked(slots: String, times in ["[0-9.:smhd]{0,12}", "\\PC*"]) {
            for time in times {
                let words = ["x", "list", &format!("--proc={slots}"), &format!("--timeout={time}")].map(Into::into);
                if let Ok(cli) = Cli::read(words) {
                    let _ = Config::check(cli);
                }
                prop_assert!(values::time(&time).is_none_or(|time| time <= Duration::from_secs(366 * 86_400)));
            }
        }
    }

    /// A time of zero or less is refused; a grace period of zero is not.
    #[test]
    fn times_are_checked() {
        assert!(check("x l --timeout 0").is_err());
        assert!(check("x l --timeout -1").is_err());
        assert!(check("x l --grace 0").is_ok());
    }

    /// A `--task-time` that leaves no time for a task is a mistake; 0 is not.
    #[test]
    fn a_task_must_fit() {
        assert_eq!(check("x l --timeout 60 --task-time 59").unwrap().rules.task_time, Some(Duration::from_secs(59)));
        assert_eq!(check("x l --timeout 60 --task-time 1m"), Err(ConfigError::NoTime("1m".to_owned())));
        assert_eq!(check("x l --task-time 0 --timeout 5").unwrap().rules.task_time, Some(Duration::ZERO));
        assert!(matches!(check("x l --task-time soon"), Err(ConfigError::Time { option: "--task-time", .. })));
    }
}
