//! What a run needs, checked.
//!
//! Owns the rules for several options; each option alone was checked when it was read. Reads no file: what depends on
//! files is checked by rank 0 alone. It only checks whether a list in /dev or /proc is a regular file.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cli::{Cli, Options};
use crate::demand::classes::Demands;
use crate::demand::list::RESOURCES_MAX;
use crate::farmer::Rules;
use crate::protocol::SlotCount;
use crate::workdir::Failed;

/// How many tasks run at the same time on a rank without `--proc`: PyTaskFarmer's number, but no more than the rank has
/// CPUs. Users of GNU parallel and HyperQueue expect one per CPU. This is not for speed: CPU-bound tasks on two CPUs took
/// no longer with eight slots than with two.
pub(crate) const SLOTS_DEFAULT: u32 = 8;

/// A checked command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The tasklist.
    pub list: PathBuf,
    /// The folder for all results.
    pub workdir: PathBuf,
    /// Slots per rank, if the user has chosen them: see [`Self::slots`].
    pub proc: Option<SlotCount>,
    /// What to do with tasks that have failed in earlier runs.
    pub failed: Failed,
    /// All options whose meaning does not depend on others.
    pub options: Options,
}

/// Options that make no sense together.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Standard input, or another list that the next run cannot read again.
    #[error(
        "{}: the tasklist must be a file, because the next run reads it again and the workdir is named after it\n  write the list \
         to a file first, and give that file: taskfarmer-mpi tasks.txt",
        .0.display()
    )]
    Stream(PathBuf),
    /// `--proc` and the list.
    #[error("{0}")]
    Proc(String),
    /// `--task-time` and `--timeout`.
    #[error(
        "--task-time {0} is not less than --timeout: no task would be started\n  give a shorter --task-time or a longer --timeout"
    )]
    NoTime(String),
    /// The same name twice, or too many.
    #[error("--resource: {0}")]
    Resources(String),
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
        let mut list = cli.list;
        // `--proc tasks.txt`: no value was meant.
        let slots = cli.proc.map(|proc| proc.settle("--proc", SlotCount::Cpus, &mut list)).transpose();
        let slots = slots.map_err(ConfigError::Proc)?;
        let list = list.filter(|list| !list.as_os_str().is_empty()).ok_or(ConfigError::NoList)?;
        let is_special = ["/dev", "/proc"].iter().any(|folder| list.starts_with(folder)) && !list.is_file();
        if (is_special && cli.workdir.is_none()) || list == Path::new("-") {
            return Err(ConfigError::Stream(list));
        }
        if let (Some(task), Some(all)) = (&cli.options.task_time, &cli.options.timeout)
            && task.length >= all.length
        {
            return Err(ConfigError::NoTime(task.typed.clone()));
        }
        let names = cli.options.resource_names();
        if let Some(twice) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            let name = names[twice];
            return Err(ConfigError::Resources(format!(
                "'{name}' is given twice\n  give its number once, for the whole farm"
            )));
        }
        if names.len() > RESOURCES_MAX {
            let what = format!(
                "{} of them are given, and at most {RESOURCES_MAX} are possible\n  leave some out",
                names.len()
            );
            return Err(ConfigError::Resources(what));
        }
        Ok(Self {
            workdir: cli.workdir.unwrap_or_else(|| default_workdir(&list)),
            list,
            proc: slots,
            failed: if cli.options.retry_failed { Failed::Retry } else { Failed::Keep },
            options: cli.options,
        })
    }

    /// Slots per rank, for tasks that ask for this.
    pub(crate) fn slots(&self, demands: &Demands) -> SlotCount {
        let asks = demands.kinds.iter().any(|kind| !kind.demand.is_none());
        self.proc.unwrap_or(if asks { SlotCount::Cpus } else { SlotCount::CpusUpTo(SLOTS_DEFAULT) })
    }

    /// What to do with tasks that fail.
    pub fn rules(&self) -> Rules {
        Rules {
            retries: self.options.retries,
            retry_exit: self.options.retry_exit,
            task_limit: self.options.task_timeout,
            halt: self.options.halt.and_then(|rule| rule.0),
            task_time: self.options.task_time.as_ref().map(|time| time.length),
            crash_limit: self.options.crash_limit,
        }
    }

    /// The log level that `--verbose` asks for.
    pub fn log_level(&self) -> log::LevelFilter {
        match self.options.verbose {
            0 => log::LevelFilter::Warn,
            1 => log::LevelFilter::Info,
            2 => log::LevelFilter::Debug,
            _ => log::LevelFilter::Trace,
        }
    }
}

/// The workdir of a list, if the user names none.
pub(crate) fn default_workdir(list: &Path) -> PathBuf {
    let mut path = list.as_os_str().to_owned();
    path.push("_workdir");
    path.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn check(line: &str) -> Result<Config, ConfigError> {
        Config::check(Cli::read(line.split(' ').map(Into::into)).unwrap())
    }

    /// The defaults are PyTaskFarmer's.
    #[test]
    fn defaults() {
        let config = check("x dir/tasks.txt").unwrap();
        assert_eq!(config.slots(&Demands::default()), SlotCount::CpusUpTo(8));
        assert_eq!(config.workdir, Path::new("dir/tasks.txt_workdir"));
        assert_eq!((config.options.timeout, config.options.grace.length), (None, Duration::from_secs(10)));
    }

    /// Slots are at least one.
    #[test]
    fn slots_are_checked() {
        assert_eq!(check("x l -n 3").unwrap().proc, Some(SlotCount::Fixed(3)));
        assert_eq!(check("x l -n").unwrap().proc, Some(SlotCount::Cpus));
        assert_eq!(check("x --proc l").unwrap().list, Path::new("l"));
        assert_eq!(check("x --proc 4"), Err(ConfigError::NoList));
        for bad in ["0", "x", "100001", "1.5", ""] {
            assert!(matches!(check(&format!("x l --proc={bad}")), Err(ConfigError::Proc(_))), "{bad}");
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
            }
        }
    }

    /// Each thing that the farm shares out has one number.
    #[test]
    fn resources_are_distinct() {
        assert_eq!(check("x l --resource a=1 --resource b=2").unwrap().options.totals()[..3], [1, 2, 0]);
        let twice = check("x l --resource a=1 --resource a=2").unwrap_err().to_string();
        assert!(twice.contains("'a' is given twice"), "{twice}");
        let many: String = (0..=RESOURCES_MAX).map(|number| format!(" --resource r{number}=1")).collect();
        assert!(matches!(check(&format!("x l{many}")), Err(ConfigError::Resources(_))));
    }

    /// A `--task-time` that leaves no time for a task is a mistake; 0 is not.
    #[test]
    fn a_task_must_fit() {
        assert_eq!(check("x l --timeout 60 --task-time 59").unwrap().rules().task_time, Some(Duration::from_secs(59)));
        assert_eq!(check("x l --timeout 60 --task-time 1m"), Err(ConfigError::NoTime("1m".to_owned())));
        assert_eq!(check("x l --task-time 0 --timeout 5").unwrap().rules().task_time, Some(Duration::ZERO));
    }
}
