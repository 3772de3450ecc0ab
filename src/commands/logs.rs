//! `logs`: what tasks wrote.

use std::io::{self, IsTerminal};
use std::path::Path;

use super::status::find_workdir;
use crate::exit_code::ExitCode;
use crate::progress::say_error;
use crate::stdout;
use crate::workdir::logs;

/// Prints the output of these tasks.
pub(super) fn run(workdir: &Path, ids: &[u32]) -> ExitCode {
    let workdir = &match find_workdir(workdir) {
        Ok(workdir) => workdir,
        Err(text) => {
            say_error(&text);
            return ExitCode::BadInput;
        }
    };
    let is_terminal = io::stdout().is_terminal();
    let unprinted = match stdout::print(|out| logs::print(workdir, ids, is_terminal, out)) {
        Ok(Ok(unprinted)) => unprinted,
        Ok(Err(odd)) => {
            say_error(&format!("{odd}\n  is this the workdir of a farm?"));
            return ExitCode::BadInput;
        }
        Err(code) => return code,
    };
    for (id, odd) in &unprinted.odd {
        match id {
            Some(id) => say_error(&format!("task {id}: {odd}")),
            None => say_error(&format!("{odd}\n  output that is only there cannot be found")),
        }
    }
    if !unprinted.without.is_empty() {
        let ids: Vec<String> = unprinted.without.iter().map(u32::to_string).collect();
        say_error(&format!(
            "no output of task {} in {}\n  it has not run yet, or its output was not kept: see --logs",
            ids.join(", "),
            workdir.join(logs::FOLDER).display()
        ));
    }
    match (unprinted.odd.is_empty(), unprinted.without.is_empty()) {
        (false, _) => ExitCode::BadInput,
        (true, false) => ExitCode::TasksFailed,
        (true, true) => ExitCode::Success,
    }
}
