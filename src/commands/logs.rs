//! `logs`: what tasks wrote.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::status::find_workdir;
use crate::exit_code::ExitCode;
use crate::progress::say_error;
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
    let mut out = BufWriter::new(io::stdout().lock());
    match logs::print(workdir, ids, &mut out) {
        Ok(without) if without.is_empty() => ExitCode::Success,
        Ok(without) => {
            let ids: Vec<String> = without.iter().map(u32::to_string).collect();
            say_error(&format!(
                "no output of task {} in {}\n  it has not run yet, or its output was not kept: see --logs",
                ids.join(", "),
                workdir.join(logs::FOLDER).display()
            ));
            ExitCode::TasksFailed
        }
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Success,
        Err(error) => {
            let _ = out.flush();
            let folder = workdir.join(logs::FOLDER);
            say_error(&format!("cannot read {}: {error}\n  is this the workdir of a farm?", folder.display()));
            ExitCode::BadInput
        }
    }
}
