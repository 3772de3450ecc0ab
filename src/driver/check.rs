//! The check that a list must pass before anything is created or started, in a run and in a dry run alike.
//!
//! Owns the order for the list: examine it, ask a shell about doubtful lines, refuse or warn.
//! [`crate::tasklist::judge`] defines what is looked for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::asker::Asker;
use crate::config::Config;
use crate::runner::RunnerConfig;
use crate::runner::fields::Values;
use crate::tasklist::judge::look;
use crate::tasklist::{ListError, Tasks, line_numbers};

/// Whether tasks will have this variable, as far as is known here.
fn is_set(runner: &RunnerConfig, name: &[u8]) -> bool {
    let by_runner = runner.defined().is_some_and(|defined| {
        let in_setup = memchr::memmem::find(&defined.setup, name).is_some();
        in_setup || defined.variables.iter().any(|(known, _)| known == name)
    });
    by_runner || std::env::var_os(OsStr::from_bytes(name)).is_some()
}

/// Where tasks start, if they have to start in the same folder as those of earlier runs.
pub(super) fn folder<'a>(config: &Config, runner: &RunnerConfig, cwd: &'a Path) -> Option<&'a Path> {
    let by_runner = runner.defined().and_then(|defined| defined.cwd.as_ref());
    let is_absolute = by_runner.is_some_and(|cwd| cwd.filled(&Values::default()).starts_with(b"/"));
    (!config.options.here && !is_absolute).then_some(cwd)
}

/// Reports what is suspicious about a list.
///
/// # Errors
/// If something in it is certainly a mistake.
pub(super) fn list(config: &Config, tasks: &Tasks, runner: &RunnerConfig, asker: &mut Asker) -> Result<(), ListError> {
    // It is not known what a user's program does with a command.
    let Some(shell) = runner.reads_commands() else { return Ok(()) };
    let is_set = |name: &[u8]| is_set(runner, name);
    let mut findings = look(&tasks.list, is_set);
    if findings.has_doubts() {
        findings.confirm(&tasks.list, |question, line| asker.ask(&shell, question, line));
    }
    let told = findings.mentioned();
    let (noun, numbers): (_, BTreeMap<_, _>) = match tasks.are_lines {
        true => ("line", told.iter().copied().zip(line_numbers(&config.list, &told)).collect()),
        false => ("task", told.iter().map(|id| (*id, u64::from(id.0))).collect()),
    };
    let number = |id| numbers.get(&id).copied();
    for warning in findings.warnings(noun, number) {
        log::warn!("{}: {warning}", config.list.display());
    }
    let refusals = findings.refusals(noun, number);
    if refusals.is_empty() {
        return Ok(());
    }
    Err(ListError::Message(format!("{}: {}\n  nothing was started", config.list.display(), refusals.join("\n  "))))
}
