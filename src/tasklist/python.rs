//! Handlers that are Python classes: PyTaskFarmer's interface, with one start of `python3`.
//!
//! The class is imported from the user's PYTHONPATH and constructed as PyTaskFarmer does it, with the path of the list,
//! the workdir and the section's keys; then its tasks are listed.

use std::process::Command;

use super::program::run;
use super::{ListError, Made, Source, TaskList, Tasks, built_in_kinds};
use crate::ini::{self, Section};

const SCRIPT: &str = include_str!("python_tasks.py");

/// Exit codes of the script.
const NO_CLASS: i32 = 70;

/// Makes the list. A class may expect that the workdir exists.
pub(super) fn read(section: &Section, source: &Source<'_>) -> Result<Tasks, ListError> {
    super::check_is_file(source.list)?;
    let made = Made::missing(source.workdir);
    std::fs::create_dir_all(source.workdir).map_err(|error| {
        ListError::Message(format!(
            "cannot create the workdir {}: {error}\n  name a different one with --workdir",
            source.workdir.display()
        ))
    })?;
    let list = list_tasks(section, source)?;
    Ok(Tasks { list, made, ..Tasks::default() })
}

fn list_tasks(section: &Section, source: &Source<'_>) -> Result<TaskList, ListError> {
    let class = &section.class;
    let failed = |what: &str| ListError::from(section.error(Some(class), what));
    let keys: Vec<(&str, &str)> = section.keys.iter().map(|key| (&key.name[..], &key.value[..])).collect();
    let arguments = serde_json::to_vec(&keys).map_err(|error| failed(&error.to_string()))?;
    let mut python = Command::new("python3");
    let distrust = ini::distrust_of_current_folder();
    python.args(["-c", SCRIPT, &class.value]).arg(source.list).arg(source.workdir);
    python.arg(if distrust.is_none() { "here" } else { "" });
    let output = run(&mut python, Some(&arguments)).map_err(|error| {
        failed(&format!(
            "{} is not built in, and python3 cannot be started: {error}\n  built in: {}",
            class.value,
            built_in_kinds()
        ))
    })?;
    match (output.failure(), output.status.code()) {
        (None, _) => {}
        (Some(_), Some(NO_CLASS)) => {
            return Err(failed(&format!(
                "{} is not built in, and python3 cannot import it{}{}\n  built in: {}",
                class.value,
                output.stderr_lines(),
                distrust.map_or_else(String::new, |why| format!("\n  the current folder is not searched: {why}")),
                built_in_kinds()
            )));
        }
        (Some(how), _) => {
            return Err(failed(&format!("python3 {how}{}\n  nothing was started", output.stderr_lines())));
        }
    }
    log::info!("[{}]: {} was asked for its tasks by python3{}", section.name, class.value, output.stderr_lines());
    let mut list = TaskList::default();
    for task in output.stdout.split_inclusive(|&byte| byte == 0) {
        let number = list.len();
        let task = task.strip_suffix(b"\0").ok_or_else(|| failed("the output of python3 is cut short"))?;
        list.push(task).map_err(|bad| failed(&format!("its task {number} has {bad}")))?;
    }
    Ok(list)
}
