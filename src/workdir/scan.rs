//! Reads what earlier runs recorded.
//!
//! Owns the rules of a resume: a last line without its newline is torn and cut off; anything else that is not `ID
//! command` with the command of this list is damage, or an edited list, and nothing is started.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::lines::{End, Line, Lines};
use super::{crashes, cure, names, records};
use crate::farmer::{TaskState, TaskTable};
use crate::sys::regular;
use crate::task::{TaskId, Verdict};
use crate::tasklist::TaskList;

/// Why `finished` or `failed` cannot be trusted.
#[derive(Debug, Error)]
pub(crate) enum ScanError {
    /// The file cannot be read, or cannot be repaired.
    #[error("cannot read {}: {source}\n  {}", path.display(), cure(source, "nothing was started"))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line with a different format.
    #[error(
        "{}: line {line} is not \"ID command\"\n  nothing was started; remove or correct the line, or name a different workdir with --workdir; \
         see \"Damage\" in taskfarmer-mpi help workdir",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: u64,
    },
    /// A task that is different in this list, or missing.
    #[error(
        "the tasklist has changed: task {id} {found} ({}, line {line})\n  nothing was started; restore \
         the old list (you may append lines to it), or name a different workdir with --workdir{}; see taskfarmer-mpi help workdir",
        path.display(), if *may_retry { ", or, if you corrected the lines of failed tasks, run them with --retry-failed" } else { "" }
    )]
    OtherList {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: u64,
        /// The task.
        id: u64,
        /// How the list differs.
        found: &'static str,
        /// Whether `--retry-failed` would accept it.
        may_retry: bool,
    },
}

/// The longest number that counts as an ID, in digits: leading zeros are not damage.
const ID_LEN_MAX: usize = 40;

/// How a resume treats tasks that have failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    /// They have ended.
    Keep,
    /// They run again, as they are in the list now: `--retry-failed`.
    Retry,
}

/// Whether a recorded task must be the same in the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Commands {
    /// Byte by byte.
    AsRecorded,
    /// There must be a task with its ID. The record is discarded.
    MayBeCorrected,
}

/// What earlier runs have recorded. Nothing was changed.
#[derive(Debug)]
pub(super) struct ReadBack {
    /// The tasks of a resume.
    pub(super) table: TaskTable,
    /// Files whose last line is torn.
    torn: Vec<(PathBuf, Torn)>,
}

/// Makes the task table of a resume.
pub(super) fn read_back(workdir: &Path, list: &TaskList, failed: Failed) -> Result<ReadBack, ScanError> {
    let mut torn = Vec::new();
    let mut read = |name, verdict, commands, table: &mut TaskTable| {
        let path = workdir.join(name);
        let file = match regular::reader_no_link(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|source| ScanError::Io { path: path.clone(), source })?,
        };
        let reader = BufReader::with_capacity(1 << 20, file);
        let tail = read_records(reader, &path, list, verdict, commands, table)?;
        torn.extend(tail.map(|tail| (path, tail)));
        Ok(())
    };
    let mut table = TaskTable::new(list.len());
    // A finished task has finished, even if an earlier attempt is in `failed`.
    read(names::FINISHED, Verdict::Finished, Commands::AsRecorded, &mut table)?;
    let mut failed_before = TaskTable::new(if failed == Failed::Retry { list.len() } else { 0 });
    match failed {
        Failed::Keep => read(names::FAILED, Verdict::Failed, Commands::AsRecorded, &mut table)?,
        // Only checked: before it is discarded, it must at least be valid. Every task that has not finished runs, so
        // that nothing is lost if the record belonged to a different list.
        Failed::Retry => read(names::FAILED, Verdict::Failed, Commands::MayBeCorrected, &mut failed_before)?,
    }
    crashes::read(workdir, list, &failed_before, &mut table);
    Ok(ReadBack { table, torn })
}

impl ReadBack {
    /// Cuts off torn lines: their tasks run again.
    pub(super) fn mend(&self) -> Result<(), ScanError> {
        self.torn.iter().try_for_each(|(path, torn)| {
            cut_off(path, torn).map_err(|source| ScanError::Io { path: path.clone(), source })
        })
    }
}

/// A last line that was cut short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Torn {
    /// How long the file is without it.
    pub(crate) valid_len: u64,
    /// Its number, 1-based.
    pub(crate) line: u64,
}

/// Enters every record of a file into the table; `path` is only for messages.
pub(crate) fn read_records(
    reader: impl BufRead,
    path: &Path,
    list: &TaskList,
    verdict: Verdict,
    commands: Commands,
    table: &mut TaskTable,
) -> Result<Option<Torn>, ScanError> {
    let io_error = |source| ScanError::Io { path: path.to_owned(), source };
    // If a line is longer than any record of this list, a part of it is enough.
    let mut lines = Lines::new(reader, ID_LEN_MAX + 1 + list.len_max());
    while let Some(Line { number, at, bytes: record, end }) = lines.next().map_err(io_error)? {
        if end == End::Torn {
            return Ok(Some(Torn { valid_len: at, line: number }));
        }
        let (id, command) =
            records::split(record).ok_or_else(|| ScanError::Damaged { path: path.to_owned(), line: number })?;
        let other_list =
            |found, may_retry| ScanError::OtherList { path: path.to_owned(), line: number, id, found, may_retry };
        let known = u32::try_from(id).ok().map(TaskId).and_then(|id| Some((id, list.get(id)?)));
        let (id, expected) = known.ok_or_else(|| other_list("is recorded, but is no longer in the list", false))?;
        if commands == Commands::AsRecorded && (expected != command || end == End::TooLong) {
            return Err(other_list("had a different command when it was recorded", verdict == Verdict::Failed));
        }
        if !table.record(id, verdict) {
            let before = if table.state(id) == Some(TaskState::Finished) { names::FINISHED } else { names::FAILED };
            log::info!("{}: line {number}: task {id} is in {before} already; that counts", path.display());
        }
    }
    Ok(None)
}

fn cut_off(path: &Path, torn: &Torn) -> io::Result<()> {
    let line = torn.line;
    log::warn!("{}: line {line} was cut short; it is removed, and its task runs again", path.display());
    let file = regular::open_no_link(OpenOptions::new().write(true), path)?;
    file.set_len(torn.valid_len)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{nearly, within};

    fn list() -> TaskList {
        TaskList::from_commands([&b"a"[..], b"b  c", b"\xff"])
    }

    fn scan(finished: &[u8], failed: &[u8]) -> (Result<TaskTable, ScanError>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("finished"), finished).unwrap();
        std::fs::write(folder.path().join("failed"), failed).unwrap();
        (resume(&folder, Failed::Keep), folder)
    }

    fn resume(folder: &tempfile::TempDir, failed: Failed) -> Result<TaskTable, ScanError> {
        let found = read_back(folder.path(), &list(), failed)?;
        found.mend()?;
        Ok(found.table)
    }

    /// Promise 1: recorded tasks do not run again, all others do.
    #[test]
    fn whole_records_count() {
        let table = scan(b"2 \xff\n", b"0 a\n").0.unwrap();
        assert_eq!((table.finished(), table.failed()), (1, 1));
        assert_eq!(table.unrecorded().collect::<Vec<_>>(), [TaskId(1)]);
    }

    /// Promise 1: a crash in the middle of a write affects only the record that was being written.
    #[test]
    fn a_torn_tail_is_cut_off() {
        let (table, folder) = scan(b"0 a\n1 b", b"");
        assert_eq!(table.unwrap().finished(), 1);
        assert_eq!(std::fs::read(folder.path().join("finished")).unwrap(), b"0 a\n");
    }

    /// A dry run changes nothing, not even a torn line.
    #[test]
    fn a_peek_repairs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("failed"), "0 a\n1 b").unwrap();
        assert_eq!(read_back(folder.path(), &list(), Failed::Keep).unwrap().table.failed(), 1);
        assert_eq!(std::fs::read(folder.path().join("failed")).unwrap(), b"0 a\n1 b");
    }

    /// Damage is reported with file and line.
    #[test]
    fn damage_is_refused() {
        for damaged in [&b"0 a\nx y\n1 b  c\n"[..], b"0 a\n\n", b"0 a\n1\n", b"0 a\n-1 b\n", b"0 a\n+1 b  c\n"] {
            let error = scan(damaged, b"").0.unwrap_err();
            assert!(matches!(error, ScanError::Damaged { line: 2, .. }), "{error}");
        }
    }

    /// An edited list would shift IDs: it is refused. PyTaskFarmer continued silently.
    #[test]
    fn another_list_is_refused() {
        for other in [&b"0 b\n"[..], b"3 d\n", b"1 b c\n", b"99999999999 a\n"] {
            let error = scan(b"", other).0.unwrap_err();
            assert!(matches!(error, ScanError::OtherList { line: 1, .. }), "{error}");
        }
    }

    /// `--retry-failed` runs failed tasks again and keeps finished ones, but does not trust damaged records either.
    #[test]
    fn failed_tasks_can_be_taken_again() {
        let retry = |failed: &[u8]| {
            let (_, folder) = scan(b"0 a\n", failed);
            resume(&folder, Failed::Retry)
        };
        let table = retry(b"0 a\n1 b  c\n").unwrap();
        assert_eq!((table.finished(), table.failed(), table.remaining()), (1, 0, 2));
        // Corrected since: it runs as it is now. But an ID that is not in the list belongs to a different list.
        let long = [&b"1 "[..], &vec![b'x'; 4 << 20], b"\n2 \xff"].concat();
        for corrected in [&b"1 x\n"[..], &long] {
            assert_eq!(retry(corrected).unwrap().remaining(), 2);
        }
        for other in [&b"3 x\n"[..], b"x\n"] {
            assert!(retry(other).is_err());
        }
        // The torn line after a long one is cut off where it begins.
        let (_, folder) = scan(b"0 a\n", &long);
        resume(&folder, Failed::Retry).unwrap();
        assert_eq!(std::fs::read(folder.path().join("failed")).unwrap(), long[..long.len() - 3]);
    }

    /// A task in both files has finished.
    #[test]
    fn finished_wins() {
        let table = scan(b"0 a\n0 a\n", b"0 a\n").0.unwrap();
        assert_eq!((table.finished(), table.failed()), (1, 0));
    }

    /// A line that is longer than any record is judged by its beginning, or torn; it does not fill the memory.
    #[test]
    fn long_lines_are_not_kept() {
        let long = |begin: &str, end: &str| [begin.as_bytes(), &vec![b'x'; 4 << 20], end.as_bytes()].concat();
        let scan = |bytes: &[u8]| {
            within(64 << 10, || {
                read_records(
                    bytes,
                    Path::new("x"),
                    &list(),
                    Verdict::Finished,
                    Commands::AsRecorded,
                    &mut TaskTable::new(3),
                )
            })
        };
        // The part that is kept looks like a record.
        let zeros = "0".repeat(ID_LEN_MAX + 4);
        for begin in ["0 a\n1 b  c", "0 a\n9 ", &format!("0 a\n{zeros} a")] {
            assert!(matches!(scan(&long(begin, "\n")), Err(ScanError::OtherList { line: 2, .. })), "{begin}");
        }
        assert!(matches!(scan(&long("0 a\n", "\n0 a\n")), Err(ScanError::Damaged { line: 2, .. })));
        for begin in ["0 a\n", "0 a\n1 b  c"] {
            assert_eq!(scan(&long(begin, "")).unwrap(), Some(Torn { valid_len: 4, line: 2 }));
        }
    }

    fn records() -> impl Strategy<Value = Vec<u8>> {
        let record = prop::sample::select(vec![&b"0 a\n"[..], b"1 b  c\n", b"2 \xff\n", b"00 a\n"]);
        prop::collection::vec(record, 0..6).prop_map(|records| records.concat())
    }

    proptest! {
        /// Promise 5: whatever is in the files, the result is a table or an error.
        #[test]
        fn any_bytes_are_read_or_refused(finished in nearly(records()), failed in nearly(records()), bytes: Vec<u8>) {
            for (finished, failed) in [(&finished, &failed), (&bytes, &failed), (&finished, &bytes)] {
                let mut table = TaskTable::new(3);
                let mut read = |bytes: &[u8], verdict| {
                    within(64 << 10, || read_records(bytes, Path::new("x"), &list(), verdict, Commands::AsRecorded, &mut table))
                };
                let _ = (read(finished, Verdict::Finished).is_ok(), read(failed, Verdict::Failed).is_ok());
                table.check_invariants();
            }
        }

        /// Promise 1: wherever a crash cuts a journal, the complete lines count, and the next run finds it repaired.
        #[test]
        fn any_cut_is_mended(bytes in records(), cut: prop::sample::Index) {
            let cut = &bytes[..cut.index(bytes.len() + 1)];
            let whole = cut.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let (table, folder) = scan(cut, b"");
            prop_assert_eq!(std::fs::read(folder.path().join("finished")).unwrap(), &cut[..whole]);
            let again = resume(&folder, Failed::Keep).unwrap();
            prop_assert_eq!(table.unwrap().snapshot(), again.snapshot());
        }
    }
}
