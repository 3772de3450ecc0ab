//! How many times tasks crashed in earlier runs, according to `tasks.tsv`.
//!
//! Owns that count. The file is a log: if it is missing, damaged or something else, no task is suspected at first,
//! and the run does not fail. Whatever the file says, a task that is not recorded in `failed` runs at least once more.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};
use std::path::Path;

use memchr::memmem::Finder;

use super::attempts::Table;
use super::names;
use crate::farmer::{CRASHED, Cause, TaskState, TaskTable};
use crate::sys::regular;
use crate::task::TaskId;
use crate::tasklist::TaskList;

/// Bytes that are searched at a time.
const CHUNK_LEN: usize = 1 << 20;

/// Enters the crashes of open tasks into the table. Those in `skipped` start from zero: they were recorded as failed,
/// and the user runs them once more.
pub(super) fn read(workdir: &Path, list: &TaskList, skipped: &TaskTable, table: &mut TaskTable) {
    let path = workdir.join(names::ATTEMPTS);
    let crashes = match regular::reader_no_link(&path).and_then(|file| count(file, list)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return log::info!("cannot read {}, so no task is suspected: {error}", path.display()),
        Ok(crashes) => crashes,
    };
    for (id, crashes) in crashes {
        let is_open = !matches!(table.state(id), Some(TaskState::Finished | TaskState::Failed) | None);
        if is_open && skipped.state(id) != Some(TaskState::Failed) {
            table.set_crashes(id, crashes);
        }
    }
}

/// How many times each task crashed since it last ended by itself; contains only tasks that did.
pub(crate) fn count(mut file: impl Read + Seek, list: &TaskList) -> io::Result<BTreeMap<TaskId, u16>> {
    let mut crashes = BTreeMap::new();
    if !holds(&mut file, format!("\t{CRASHED}\t").as_bytes())? {
        return Ok(crashes); // Nearly always, and many times faster than examining each line.
    }
    file.rewind()?;
    // A line that is longer than any that a farm writes is not a farm's.
    let mut attempts = Table::of(file, list.len_max() + 4_096)?;
    if !attempts.is_ours {
        return Err(io::Error::other("its first line is not the header"));
    }
    while let Some(row) = attempts.next()? {
        let Some(id) = row.number("id").map(TaskId) else { continue };
        if list.get(id).is_none_or(|command| row.field("command") != Some(command)) {
            continue;
        }
        match row.cause() {
            Some(Cause::Crashed) => {
                let count: &mut u16 = crashes.entry(id).or_default();
                *count = count.saturating_add(1);
            }
            // It ended by itself after all.
            Some(cause) if cause.is_own_end() => _ = crashes.remove(&id),
            _ => {}
        }
    }
    Ok(crashes)
}

/// Whether the file contains these bytes.
fn holds(file: &mut impl Read, bytes: &[u8]) -> io::Result<bool> {
    let finder = Finder::new(bytes);
    let mut chunk = Vec::with_capacity(CHUNK_LEN + bytes.len());
    loop {
        // A possible first part of them is kept for the next search.
        let kept = chunk.len().min(bytes.len() - 1);
        chunk.drain(..chunk.len() - kept);
        if file.by_ref().take(CHUNK_LEN as u64).read_to_end(&mut chunk)? == 0 {
            return Ok(false);
        }
        if finder.find(&chunk).is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempts::HEADER;
    use super::*;
    use crate::task::Verdict;

    fn list() -> TaskList {
        TaskList::from_commands([&b"a"[..], b"b\tc", b"d"])
    }

    fn line(id: u32, why: &str, command: &str) -> String {
        format!("{id}\t1\t0\tnode\t\t\t\t\t\t\t\t\t{why}\t{command}\n")
    }

    fn crashes(text: &[u8], failed: &[u32], skipped: &[u32]) -> Vec<u16> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tasks.tsv"), text).unwrap();
        let (mut table, mut scratch) = (TaskTable::new(3), TaskTable::new(3));
        failed.iter().for_each(|&id| _ = table.record(TaskId(id), Verdict::Failed));
        skipped.iter().for_each(|&id| _ = scratch.record(TaskId(id), Verdict::Failed));
        read(folder.path(), &list(), &scratch, &mut table);
        table.check_invariants();
        (0..3).map(|id| table.crashes(TaskId(id))).collect()
    }

    fn table(lines: &[String]) -> Vec<u8> {
        [HEADER, lines.concat().as_bytes()].concat()
    }

    /// Crashes are counted across restarts until the task ends by itself; a stop or a loss in a queue is neither a
    /// crash nor such an end.
    #[test]
    fn crashes_are_counted_until_an_end() {
        let lines = [
            line(0, "crashed", "a"),
            line(1, "crashed", "b\tc"),
            line(1, "interrupted", "b\tc"),
            line(1, "lost", "b\tc"),
            line(1, "crashed", "b\tc"),
            line(0, "failed", "a"),
        ];
        assert_eq!(crashes(&table(&lines), &[], &[]), [0, 2, 0]);
    }

    /// A task of a different list, one that is recorded, and one that starts from zero are not suspected.
    #[test]
    fn only_open_tasks_of_this_list_are_suspected() {
        let lines = [line(0, "crashed", "x"), line(1, "crashed", "b\tc"), line(2, "crashed", "d")];
        assert_eq!(crashes(&table(&lines), &[1], &[]), [0, 0, 1]);
        assert_eq!(crashes(&table(&lines), &[], &[2]), [0, 1, 0]);
    }

    /// Whatever the file contains, it does no harm; nor does a torn last line.
    #[test]
    fn an_odd_file_does_no_harm() {
        let good = line(2, "crashed", "d");
        for odd in ["", "\tcrashed\t", "id\n7\tcrashed\tx\n", &good, "\n\n\tcrashed\t\n"] {
            assert_eq!(crashes(odd.as_bytes(), &[], &[]), [0, 0, 0], "{odd:?}");
        }
        let long = "x".repeat(3 * CHUNK_LEN) + "\tcrashed\t\n";
        let lines = [long, "1\t\tcrashed\t\n".to_owned(), good.clone(), good.trim_end().to_owned()];
        assert_eq!(crashes(&table(&lines), &[], &[]), [0, 0, 1]);
    }
}
