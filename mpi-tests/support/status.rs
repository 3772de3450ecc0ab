//! `taskfarmer-mpi status`, started as on a login node: without a launcher, beside a running farm or without one.

use std::process::{Command, Output};

use serde_json::Value;

use super::{Farm, program};

/// Runs `taskfarmer-mpi status WORDS` in the farm's folder.
pub(crate) fn status(farm: &Farm, words: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("status").args(words).current_dir(farm.cwd()).env_clear().envs(farm.environment());
    command.output().unwrap()
}

/// Its output; panics unless it exits with this code and changes nothing except what the farm itself changes.
#[track_caller]
pub(crate) fn text(farm: &Farm, code: i32, words: &[&str]) -> String {
    let output = status(farm, words);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "status {words:?}:\n{out}\n{err}");
    assert!(!err.contains("panicked"), "{err}");
    format!("{out}{err}")
}

/// `status --json` of the farm's workdir.
#[track_caller]
pub(crate) fn json(farm: &Farm, code: i32) -> Value {
    let text = text(farm, code, &["tasks.txt_workdir", "--json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
