//! `--joblog FILE`: a line for each task that has ended, in the format of GNU parallel.
//!
//! Owns the format of that file, and how one is recognized. The user named it, so a file of a different kind is never
//! appended to.

use std::fs::File;
use std::io;
use std::path::Path;

use super::attempts::{Fields, begins_with, continue_lines};
use super::begin::{Begin, Kind};
use crate::farmer::{Cause, Record};
use crate::sys::regular;
use crate::task::Outcome;

/// The first line.
const HEADER: &[u8] = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/// The exit code that GNU parallel gives a job that exceeded its time limit, so that its --retry-failed finds it; here
/// also for one whose output could not be kept, whatever its exit code.
const NO_CODE: &[u8] = b"-1";

/// The exit code that a shell gives a program that cannot be started, for tasks that never ran.
const NOT_STARTED: u8 = 126;

/// Appends the line of a task's last attempt.
pub(super) fn push_line(out: &mut Vec<u8>, record: &Record, host: &[u8], command: &[u8]) {
    let result = &record.result;
    let exit =
        if let Outcome::NotStarted(_) = result.outcome { NOT_STARTED } else { result.outcome.exit_code().unwrap_or(0) };
    let signal = result.outcome.signal().unwrap_or(0);
    let mut fields = Fields(out);
    fields.number(u64::from(result.id.0) + 1);
    fields.text(host);
    fields.seconds(result.start_us, 3);
    let at = fields.0.len();
    fields.seconds(result.duration_us, 3);
    // Right-aligned in ten columns, before the tab.
    let blanks = (at + 11).saturating_sub(fields.0.len());
    fields.0.splice(at..at, std::iter::repeat_n(b' ', blanks));
    fields.text(b"0\t0");
    if matches!(record.cause, Cause::Timeout | Cause::Unkept) {
        fields.text(NO_CODE);
    } else {
        fields.number(exit);
    }
    fields.number(signal);
    fields.end(command);
}

/// Whether the file may be appended to: it is a job log, empty, or does not exist.
pub(super) fn is_one(path: &Path) -> io::Result<bool> {
    match regular::reader(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        other => begins_with(&mut other?, HEADER),
    }
}

/// How a job log is continued. A torn last line is cut off; a file of a different kind is an error.
pub(super) const KIND: Kind = Kind { look, start: || HEADER.to_vec(), aside: "", open: regular::open };

fn look(file: &mut File) -> io::Result<Option<Begin>> {
    continue_lines(file, HEADER)?.map(Some).ok_or_else(|| io::Error::other("it is not a job log"))
}

#[cfg(test)]
mod tests {
    use super::super::begin::Found;
    use super::*;
    use crate::task::{Attempt, Rank, TaskId, TaskResult};

    fn line(outcome: Outcome, duration_us: u64, timed_out: bool) -> String {
        let result = TaskResult {
            slot: 3,
            start_us: 1_376_577_364_974_999,
            duration_us,
            timed_out,
            ..TaskResult::of(TaskId(0), Attempt(1), outcome)
        };
        let mut out = Vec::new();
        push_line(
            &mut out,
            &Record { rank: Rank(5), cause: Cause::of(&result), result, is_last: true },
            b"node5",
            b"a\tb",
        );
        String::from_utf8(out).unwrap()
    }

    /// Scripts that read GNU parallel's job log can read this one.
    #[test]
    fn a_line_is_one_of_gnu_parallel() {
        let start = "1\tnode5\t1376577364.974\t";
        assert_eq!(line(Outcome::Exited(2), 3_000, false), format!("{start}     0.003\t0\t0\t2\t0\ta\tb\n"));
        assert_eq!(
            line(Outcome::Signaled(9), 123_456_789_000, false),
            format!("{start}123456.789\t0\t0\t0\t9\ta\tb\n")
        );
        assert_eq!(line(Outcome::NotStarted("x".into()), 0, false), format!("{start}     0.000\t0\t0\t126\t0\ta\tb\n"));
        let unkept = Outcome::Exited(0).unkept("x".into());
        assert_eq!(line(unkept, 3_000, false), format!("{start}     0.003\t0\t0\t-1\t0\ta\tb\n"));
        assert_eq!(line(Outcome::Exited(0), 3_000, true), format!("{start}     0.003\t0\t0\t-1\t0\ta\tb\n"));
        assert_eq!(line(Outcome::Signaled(9), 3_000, true), format!("{start}     0.003\t0\t0\t-1\t9\ta\tb\n"));
    }

    /// A file that is not a job log is left alone; a torn tail of one is cut off.
    #[test]
    fn only_a_job_log_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let begin = || Found::look(&path, &KIND)?.begin().map(|(_, undo)| undo.keep());
        assert!(is_one(&path).unwrap());
        begin().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), HEADER);
        std::fs::write(&path, "Seq\tHost\n").unwrap();
        assert!(!is_one(&path).unwrap());
        begin().unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"Seq\tHost\n");
        std::fs::write(&path, [HEADER, b"1\t:\tto"].concat()).unwrap();
        assert!(is_one(&path).unwrap());
        begin().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), HEADER);
    }
}
