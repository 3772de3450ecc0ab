//! The environment of tasks.
//!
//! Owns which variables a task gets: those of the rank, without those that its launcher meant only for the rank, plus
//! the farm's own. Prepared once per pool; only a few are added per task.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::shell_rules::TAKEN_OUT_BY_BASH;
use crate::sys::launcher::variables::Leftovers;
use crate::sys::process::c_string;
use crate::task::{Attempt, Rank, TaskId};

/// Variables for every task of a pool.
#[derive(Debug)]
pub struct Environment {
    variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// All variables, in the form that exec takes.
    block: Vec<CString>,
    /// The same for a program that is started without a shell.
    shell_block: Vec<CString>,
    /// PWD and SHLVL in it.
    place: (Vec<u8>, Vec<u8>),
}

impl Environment {
    /// The variables of this process, with `changed` taking precedence and without `dropped`, for tasks that run in
    /// `cwd`.
    pub fn inherited(cwd: &Path, changed: &[(Vec<u8>, Vec<u8>)], dropped: &[&str]) -> Self {
        let inherited = std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec()));
        let kept = inherited.filter(|(name, _)| dropped.iter().all(|dropped| dropped.as_bytes() != name));
        Self::with_changes(kept, changed, cwd)
    }

    /// These variables, without those that a launcher meant for one rank.
    pub fn from_variables(variables: impl Iterator<Item = (Vec<u8>, Vec<u8>)>, cwd: &Path) -> Self {
        Self::with_changes(variables, &[], cwd)
    }

    /// What a runner changes is the user's choice, even if a launcher sets a variable of that name.
    fn with_changes(
        variables: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
        changed: &[(Vec<u8>, Vec<u8>)],
        cwd: &Path,
    ) -> Self {
        let variables: Vec<_> = variables.collect();
        let leftovers = Leftovers::of(|name| {
            let value = &variables.iter().find(|(other, _)| other == name.as_bytes())?.1;
            Some(String::from_utf8_lossy(value).into_owned())
        });
        let is_taken_out = |name: &[u8]| TAKEN_OUT_BY_BASH.iter().any(|known| name == known.as_bytes());
        let is_kept = |name: &[u8]| !leftovers.contains(name) && changed.iter().all(|(other, _)| other != name);
        let kept = variables.into_iter().filter(|(name, _)| is_kept(name)).chain(changed.iter().cloned());
        let variables: Vec<_> = kept.filter(|(name, _)| !is_ours(name) && !is_taken_out(name)).collect();
        let line = |(name, value): &(Vec<u8>, Vec<u8>)| c_string(&[&name[..], b"=", &value[..]].concat());
        let (block, shell_block, place) = (variables.iter().filter_map(line).collect(), Vec::new(), Default::default());
        let mut environment = Self { block, shell_block, place, variables };
        environment.place = environment.place_in_a_shell(cwd);
        environment.shell_block = environment.as_after_a_shell().iter().filter_map(line).collect();
        environment
    }

    /// What `bash -c program` would pass to the program: a correct PWD, a numeric SHLVL (bash 5 counts itself, and
    /// subtracts that when it execs the program).
    fn as_after_a_shell(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (pwd, level) = self.place.clone();
        let kept = self.variables.iter().filter(|(name, _)| !matches!(&name[..], b"PWD" | b"SHLVL" | b"_"));
        kept.cloned().chain([(b"PWD".to_vec(), pwd), (b"SHLVL".to_vec(), level)]).collect()
    }

    fn place_in_a_shell(&self, cwd: &Path) -> (Vec<u8>, Vec<u8>) {
        let is_cwd = |path: &[u8]| {
            let path = Path::new(std::ffi::OsStr::from_bytes(path));
            path.is_absolute() && same_file(path, cwd)
        };
        let pwd = match self.get(b"PWD") {
            Some(path) if is_cwd(path) => path.to_vec(),
            _ => cwd.canonicalize().unwrap_or_else(|_| cwd.to_owned()).into_os_string().into_vec(),
        };
        (pwd, self.get(b"SHLVL").filter(|level| is_number(level)).unwrap_or(b"0").to_vec())
    }

    /// PWD of a program that is started without a shell.
    pub(super) fn pwd(&self) -> &[u8] {
        &self.place.0
    }

    /// SHLVL of such a program.
    pub(super) fn level(&self) -> &[u8] {
        &self.place.1
    }

    /// Names and values.
    pub fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.variables.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    /// The value of a variable.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The environment for a program (`direct`) or for a shell, without the task's own variables.
    pub fn block(&self, direct: bool) -> impl Iterator<Item = &CStr> {
        if direct { &self.shell_block } else { &self.block }.iter().map(CString::as_c_str)
    }
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.len() <= 3 && text.iter().all(u8::is_ascii_digit)
}

fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Variables that identify a task. A farm inside a farm sets its own.
pub(super) fn is_ours(name: &[u8]) -> bool {
    OURS.iter().any(|known| name == known.as_bytes())
}

/// Variables that every task gets.
pub(super) const OURS: [&str; 9] = [
    "PROC_NUMBER",
    "TASKFARMER_TASK_ID",
    "TASKFARMER_ATTEMPT",
    "TASKFARMER_RANK",
    "TASKFARMER_SLOT",
    "TASKFARMER_HOST",
    "TASKFARMER_WORKDIR",
    TASKFARMER_CPUS,
    TASKFARMER_GPUS,
];

/// How many CPUs a task has for itself: with `--bind slot` and with `--cpus-per-task`.
pub(crate) const TASKFARMER_CPUS: &str = "TASKFARMER_CPUS";

/// The names of the GPUs of a task, with `--gpus-per-task`.
pub(crate) const TASKFARMER_GPUS: &str = "TASKFARMER_GPUS";

/// The variable from which OpenMP programs take their number of threads; with `--bind slot` and
/// `--cpus-per-task` the farm sets it.
pub(crate) const OMP_NUM_THREADS: &str = "OMP_NUM_THREADS";

/// The identity of a pool, for its tasks.
#[derive(Debug)]
pub(crate) struct Identity {
    rank: CString,
    host: CString,
    workdir: CString,
}

impl Identity {
    /// `None` if host or workdir contain a NUL.
    pub(crate) fn new(rank: Rank, host: &str, workdir: &[u8]) -> Option<Self> {
        Some(Self {
            rank: c_string(format!("TASKFARMER_RANK={rank}").as_bytes())?,
            host: c_string(format!("TASKFARMER_HOST={host}").as_bytes())?,
            workdir: c_string(&[b"TASKFARMER_WORKDIR=", workdir].concat())?,
        })
    }

    /// The variables that are the same for all tasks.
    pub(crate) fn variables(&self) -> [&CStr; 3] {
        [&self.rank, &self.host, &self.workdir]
    }
}

/// The variables of one task, the first one PyTaskFarmer's.
pub(crate) fn task_variables(id: TaskId, attempt: Attempt, slot: u32) -> [CString; 4] {
    let text = |text: String| CString::new(text).expect("numbers contain no NUL");
    [
        text(format!("PROC_NUMBER={id}")),
        text(format!("TASKFARMER_TASK_ID={id}")),
        text(format!("TASKFARMER_ATTEMPT={}", attempt.0)),
        text(format!("TASKFARMER_SLOT={slot}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        Environment::from_variables(variables, Path::new("/usr"))
    }

    fn lines(environment: &Environment, direct: bool) -> Vec<String> {
        let mut lines: Vec<_> = environment.block(direct).map(|line| line.to_str().unwrap().to_owned()).collect();
        lines.sort();
        lines
    }

    /// A task may be an MPI program, and a farm may run inside a farm.
    #[test]
    fn launcher_variables_and_an_outer_farms_are_gone() {
        let environment = environment(&[
            ("PMI_RANK", "3"),
            ("PMI_SIZE", "4"),
            ("TASKFARMER_TASK_ID", "7"),
            ("PROC_NUMBER", "7"),
            ("A", "b=c"),
        ]);
        assert_eq!(lines(&environment, false), ["A=b=c"]);
    }

    /// A variable that a runner sets goes to its tasks, even one that would be removed if a launcher had set it.
    #[test]
    fn variables_of_a_runner_stay() {
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let rank =
            [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2"), ("SLURM_CPUS_PER_TASK", "64")];
        let changed = [pair("SLURM_CPUS_PER_TASK", "4"), pair("TASKFARMER_SLOT", "9")];
        let inherited = rank.into_iter().map(|(name, value)| pair(name, value));
        let environment = Environment::with_changes(inherited, &changed, Path::new("/usr"));
        assert_eq!(lines(&environment, false), ["SLURM_CPUS_PER_TASK=4"]);
    }

    /// A program cannot tell whether a shell started it.
    #[test]
    fn a_direct_start_gets_what_a_shell_would_have_set() {
        let direct = |variables| lines(&environment(variables), true);
        assert_eq!(direct(&[]), ["PWD=/usr", "SHLVL=0"]);
        assert_eq!(direct(&[("SHLVL", "x"), ("PWD", "/"), ("OLDPWD", "/usr")]), ["PWD=/usr", "SHLVL=0"]);
        let kept = [("SHLVL", "4"), ("PWD", "/usr/../usr"), ("_", "/bin/x")];
        assert_eq!(direct(&kept), ["PWD=/usr/../usr", "SHLVL=4"]);
    }
}
