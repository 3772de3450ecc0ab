//! The number of events in ROOT files: entries of the tree in which ATLAS stores them.
//!
//! The files are read directly. For those that cannot be (very old trees, places other than the file system), PyROOT or
//! uproot may be used, if python3 has one of them: one start for all files.
//!
//! Owns everything that knows about ROOT. Without the feature `root`, `no_root.rs` replaces it.

mod file;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::program::run;
use super::{Input, ListError};
use file::RootError;

/// Where ATLAS stores events.
const TREE: &str = "CollectionTree";

const SCRIPT: &str = include_str!("events.py");

/// Exit code of the script if there is neither PyROOT nor uproot.
const NOBODY: i32 = 70;

/// The number of events in each file.
pub(super) fn count(inputs: &[Input<'_>], list: &Path) -> Result<Vec<u64>, ListError> {
    let error = |input: &Input<'_>, what: &str| {
        let name = crate::shown::text(input.name);
        ListError::content(list, input.line, &format!("cannot count the events of {name}: {what}"))
    };
    let mut counts = vec![0; inputs.len()];
    let mut others: Vec<(usize, String)> = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        if memchr::memmem::find(input.name, b"://").is_some() {
            others.push((index, "it is not in the file system".to_owned()));
            continue;
        }
        match file::entries(Path::new(std::ffi::OsStr::from_bytes(input.name)), TREE) {
            Ok(events) => counts[index] = events,
            Err(cause @ (RootError::Damaged(_) | RootError::Unsupported(_))) => others.push((index, cause.to_string())),
            Err(cause) => return Err(error(input, &cause.to_string())),
        }
    }
    let own = inputs.len() - others.len();
    if others.is_empty() {
        log::info!("events of {own} ROOT files counted without ROOT");
        return Ok(counts);
    }
    let first = |why: &str| {
        let (index, cause) = &others[0];
        error(&inputs[*index], &format!("{cause}; {why}"))
    };
    let names: Vec<u8> = others.iter().flat_map(|(index, _)| [inputs[*index].name, b"\0"].concat()).collect();
    let output = run(Command::new("python3").args(["-c", SCRIPT, TREE]), Some(&names))
        .map_err(|error| first(&format!("and python3, with PyROOT or uproot, cannot be started: {error}")))?;
    match (output.failure(), output.status.code()) {
        (None, _) => {}
        (Some(_), Some(NOBODY)) => {
            return Err(first(&format!("and python3 has neither PyROOT nor uproot to ask{}", output.stderr_lines())));
        }
        (Some(how), _) => return Err(first(&format!("and python3 {how}{}", output.stderr_lines()))),
    }
    let mut answers = output.stdout.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let who = answers.next().unwrap_or_default().into_owned();
    for (index, cause) in &others {
        let answer = answers.next().unwrap_or_default();
        counts[*index] = match answer.strip_prefix("ok ").and_then(|number| number.parse().ok()) {
            Some(events) => events,
            None => {
                let answer = answer.strip_prefix("error ").unwrap_or("no answer").to_owned();
                return Err(error(&inputs[*index], &format!("{cause}; {who}: {answer}")));
            }
        };
    }
    log::info!("events of {own} ROOT files counted without ROOT, of {} by {who}", others.len());
    Ok(counts)
}
