//! `logs`: what tasks wrote.

mod follow;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::ops::RangeInclusive;
use std::path::Path;

use super::status::{find_workdir, is_at_work, only_workdir, running_tasks};
use crate::cli::LogsArgs;
use crate::exit_code::ExitCode;
use crate::farmer::Cause;
use crate::figures::words;
use crate::stderr::say_error;
use crate::stdout;
use crate::workdir::logs::{self, PrintOptions, Unprinted};
use crate::workdir::records::{Ended, Ids};
use crate::workdir::{attempts, names};

/// More IDs than a list may have are a typing error.
const IDS_MAX: usize = 10_000_000;

/// How many times to look for a report. A farm reports about every second what is running.
const REPORTS_MAX: u32 = 12;

/// Prints the output of tasks.
pub(super) fn run(args: LogsArgs) -> ExitCode {
    let LogsArgs { workdir, mut ids, failed, tail, follow, .. } = args;
    // The first word is an ID if it looks like one and there is no workdir with that name.
    let workdir = match workdir {
        Some(word) if word.to_str().is_some_and(|word| range(word).is_some()) && find_workdir(&word).is_err() => {
            ids.insert(0, word.to_string_lossy().into_owned());
            only_workdir()
        }
        Some(workdir) => find_workdir(&workdir),
        None => only_workdir(),
    };
    let all_running = follow && ids.is_empty();
    let found = workdir.and_then(|workdir| match all_running {
        true => Ok((running_now(&workdir)?, workdir)),
        false => Ok((wanted(&workdir, &ids, failed)?, workdir)),
    });
    let (ids, workdir) = match found {
        Ok(found) => found,
        Err(text) => {
            say_error(&text);
            return ExitCode::BadInput;
        }
    };
    if follow { follow::follow(&workdir, &ids, tail, all_running) } else { print(&workdir, &ids, tail) }
}

/// The tasks that are running. Waits for the next report of a farm that has just started, or whose tasks are short.
fn running_now(workdir: &Path) -> Result<Vec<u32>, String> {
    for _ in 0..REPORTS_MAX {
        let Some(mut ids) = running_tasks(workdir) else { break };
        if !ids.is_empty() {
            // Read anew, and after the report: the farm may just have reopened tasks, and others may have ended.
            let ended = Ended::new(workdir);
            ids.retain(|&id| !ended.contains(id));
        }
        if !ids.is_empty() {
            return Ok(ids);
        }
        std::thread::sleep(follow::PAUSE);
    }
    Err("no task is running\n  give task IDs or ranges, such as 17 or 5-9".to_owned())
}

/// The tasks that the user asked for.
fn wanted(workdir: &Path, words: &[String], failed: bool) -> Result<Vec<u32>, String> {
    if failed {
        let (path, mut failed) = (workdir.join(names::FAILED), Ids::default());
        return match failed.read(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("cannot read {}: {error}", path.display()))
            }
            _ => Ok(failed.ids),
        };
    }
    if words.is_empty() {
        return Err("no task IDs\n  give task IDs or ranges, such as 17 or 5-9, or use --failed".to_owned());
    }
    let mut ids = Vec::new();
    for word in words.iter().flat_map(|word| word.split(',')) {
        let range = range(word)
            .ok_or_else(|| format!("'{word}' is not a task ID\n  give task IDs or ranges, such as 17 or 5-9"))?;
        if (range.end() - range.start()) as usize >= IDS_MAX - ids.len().min(IDS_MAX) {
            return Err(format!("{word}: these are more than {IDS_MAX} tasks"));
        }
        ids.extend(range);
    }
    Ok(ids)
}

/// `17` or `5-9`.
fn range(word: &str) -> Option<RangeInclusive<u32>> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let range = number(first)?..=number(last)?;
    (!range.is_empty()).then_some(range)
}

/// How the last attempts of these tasks (ascending) ended: `exit 3`, `SIGKILL`, `interrupted`. Empty for a workdir without
/// a table of attempts.
fn last_ends(workdir: &Path, ids: &[u32]) -> BTreeMap<u32, String> {
    let mut ends = BTreeMap::new();
    // What cannot be read says nothing about an end.
    let _ = attempts::each(workdir, |attempt| {
        if ids.binary_search(&attempt.id).is_ok() {
            _ = match (attempt.end, attempt.cause) {
                (Some(end), _) => ends.insert(attempt.id, end.to_string()),
                (None, Some(Cause::Interrupted)) => ends.insert(attempt.id, "interrupted".to_owned()),
                _ => ends.remove(&attempt.id),
            };
        }
    });
    ends
}

fn print(workdir: &Path, ids: &[u32], tail: Option<u64>) -> ExitCode {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let mut ends = if ids.len() > 1 { last_ends(workdir, &sorted) } else { BTreeMap::new() };
    if !ends.is_empty() && is_at_work(workdir) {
        // While a task is open, its last ended attempt is not the one whose output is in the log.
        let ended = Ended::new(workdir);
        ends.retain(|id, _| ended.contains(*id));
    }
    let options = PrintOptions { ends, tail, is_terminal: io::stdout().is_terminal() };
    let unprinted = match stdout::print(|out| logs::print(workdir, ids, &options, out)) {
        Ok(Ok(unprinted)) => unprinted,
        Ok(Err(odd)) => {
            say_error(&format!("{odd}\n  is this the workdir of a farm?"));
            return ExitCode::BadInput;
        }
        Err(code) => return code,
    };
    report(workdir, &unprinted)
}

/// Reports what could not be printed. Returns the exit code.
fn report(workdir: &Path, unprinted: &Unprinted) -> ExitCode {
    for (id, odd) in &unprinted.odd {
        match id {
            Some(id) => say_error(&format!("task {id}: {odd}")),
            None => say_error(&format!("{odd}\n  output that is only there cannot be found")),
        }
    }
    if !unprinted.without.is_empty() {
        let mut without = unprinted.without.clone();
        without.sort_unstable();
        say_error(&format!(
            "no output from {} {} in {}\n  check that the list has such a task, that it has run, and that its output was kept; see taskfarmer-mpi help workdir",
            words::plural(without.len() as u64, "task"),
            words::ids(without.iter().copied()),
            workdir.join(logs::FOLDER).display()
        ));
    }
    match (unprinted.odd.is_empty(), unprinted.without.is_empty()) {
        (false, _) => ExitCode::BadInput,
        (true, false) => ExitCode::TasksFailed,
        (true, true) => ExitCode::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last end of a task counts, also one from outside, unless it was lost with its rank.
    #[test]
    fn last_ends_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let table = "id\tattempt\trank\thost\tslot\tstart\tend\texit\tsignal\tuser\tsystem\tmax_rss_kib\twhy\tcommand\n\
            0\t1\t2\tn2\t0\t10.000000\t12.500000\t0\t\t0.1\t0.1\t900\tfinished\techo a\tb\n\
            1\t1\t2\tn2\t1\t10.000000\t11.000000\t3\t\t0.1\t0.1\t950\tfailed\tx\n\
            2\t1\t2\tn2\t1\t10.000000\t11.000000\t\t15\t0.1\t0.1\t900\ttimeout\ty\n\
            3\t1\t2\tn2\t1\t10.000000\t11.000000\t\t15\t0.1\t0.1\t990\tinterrupted\tz\n\
            4\t1\t2\tn2\t1\t10.000000\t11.000000\t3\t\t0.1\t0.1\t990\tfailed\tz\n\
            4\t2\t1\tn1\t\t\t\t\t\t\t\t\tlost\tz\n\
            5\t1\t2\tn2\t1\t10.0";
        std::fs::write(folder.path().join("tasks.tsv"), table).unwrap();
        let ends = last_ends(folder.path(), &[0, 1, 2, 3, 4, 5]);
        let ends: Vec<_> = ends.iter().map(|(id, end)| (*id, &end[..])).collect();
        assert_eq!(ends, [(0, "exit 0"), (1, "exit 3"), (2, "over its time limit"), (3, "interrupted")]);
    }

    /// IDs and ranges are accepted; anything else is refused, including a range that no list can have.
    #[test]
    fn ids_are_read() {
        let read = |words: &[&str]| {
            wanted(Path::new("w"), &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), false)
        };
        assert_eq!(read(&["17", "5-7,1", "0-0"]), Ok(vec![17, 5, 6, 7, 1, 0]));
        for bad in ["", "-", "5-", "-5", "7-5", "x", "1-2-3", "+1", "4294967296", "1.5"] {
            assert!(read(&[bad]).unwrap_err().contains("is not a task ID"), "{bad}");
        }
        assert!(read(&["0-4294967295"]).unwrap_err().contains("more than"));
        assert!(read(&["0-9999999", "1"]).unwrap_err().contains("more than"));
        assert!(read(&[]).unwrap_err().contains("--failed"));
    }
}
