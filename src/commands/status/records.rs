//! `finished`, `failed` and `toprocess`, read without the list and without changing anything.
//!
//! Owns the count of what is recorded. What cannot be read is reported with file and line, and the rest is counted.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::life::left_out;
use crate::sys::regular;
use crate::workdir::lines::{BadLines, End, LINE_LEN_MAX, Line, Lines};
use crate::workdir::names;
use crate::workdir::split_record;

/// The records of a workdir.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// IDs in `finished`, ascending.
    pub(super) finished: Vec<u32>,
    /// IDs in `failed` that are not in `finished`, ascending.
    pub(super) failed: Vec<u32>,
    /// IDs in `toprocess` that are in neither, ascending.
    pub(super) open: Vec<u32>,
    /// Whether there is a `toprocess`.
    pub(super) has_toprocess: bool,
    /// Files whose last line is incomplete: a crash has torn it, or a farm is just writing it.
    pub(super) torn: Vec<&'static str>,
    /// What cannot be read.
    pub(super) damage: Vec<String>,
    /// What else there is to say.
    pub(super) notes: Vec<String>,
}

impl Records {
    /// Reads them.
    pub(super) fn read(workdir: &Path) -> Self {
        let mut records = Self::default();
        let mut finished = records.ids(workdir, names::FINISHED).unwrap_or_default();
        let mut failed = records.ids(workdir, names::FAILED).unwrap_or_default();
        let open = records.ids(workdir, names::TOPROCESS);
        records.has_toprocess = open.is_some();
        let mut open = open.unwrap_or_default();
        for ids in [&mut finished, &mut failed, &mut open] {
            ids.sort_unstable();
            ids.dedup();
        }
        failed.retain(|id| finished.binary_search(id).is_err());
        open.retain(|id| finished.binary_search(id).is_err() && failed.binary_search(id).is_err());
        Self { finished, failed, open, ..records }
    }

    /// The IDs of a file; none if it does not exist.
    fn ids(&mut self, workdir: &Path, name: &'static str) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        let mut bad = BadLines::default();
        let mut torn = false;
        let read = each_line(&workdir.join(name), |line| match (id_of(line.bytes), line.end) {
            (_, End::Torn) => torn = true,
            (Some((id, _)), End::Whole) => ids.push(id),
            _ => bad.add(line.number),
        });
        if torn {
            self.torn.push(name);
        }
        self.damage.extend(bad.message("\"ID command\"").map(|told| format!("{name}: {told}")));
        match read {
            Ok(()) => Some(ids),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // `finished` and `failed` are the truth; nothing depends on this one.
            Err(error) if name == names::TOPROCESS && regular::is_something_else(&error) => {
                self.notes.push(left_out(name, &error));
                None
            }
            Err(error) => {
                self.damage.push(format!("{name}: {error}"));
                Some(ids)
            }
        }
    }
}

/// The commands of some tasks, as a file has them. Only their positions are kept in memory, however many and however
/// long they are.
#[derive(Debug, Default)]
pub(super) struct Commands {
    file: Option<File>,
    /// ID, first byte and length of a record, by ID.
    places: Vec<(u32, u64, u32)>,
}

impl Commands {
    /// Finds those of `wanted`, which is ascending.
    pub(super) fn find(workdir: &Path, name: &str, wanted: &[u32]) -> Self {
        let mut found = Self::default();
        // What can't be read has been reported before.
        let Ok(file) = regular::reader_no_link(&workdir.join(name)) else { return found };
        let mut lines = Lines::of(&file, LINE_LEN_MAX);
        while let Ok(Some(line)) = lines.next() {
            if let Some((id, _)) = id_of(line.bytes)
                && line.end != End::Torn
                && wanted.binary_search(&id).is_ok()
            {
                found.places.push((id, line.at, line.bytes.len() as u32));
            }
        }
        found.places.sort_unstable();
        found.places.dedup_by_key(|(id, ..)| *id);
        Self { file: Some(file), ..found }
    }

    /// The command of a task; empty if it is not known.
    pub(super) fn get(&self, id: u32) -> Vec<u8> {
        self.read(id).unwrap_or_default()
    }

    fn read(&self, id: u32) -> Option<Vec<u8>> {
        let place = self.places.binary_search_by_key(&id, |(id, ..)| *id).ok()?;
        let (_, at, len) = self.places[place];
        let mut record = vec![0; len as usize];
        self.file.as_ref()?.read_exact_at(&mut record, at).ok()?;
        // A running farm may have rewritten the file.
        let (found, command) = id_of(&record)?;
        (found == id).then(|| command.to_vec())
    }
}

/// Goes through the lines of a file.
pub(super) fn each_line(path: &Path, mut take: impl FnMut(Line<'_>)) -> io::Result<()> {
    let mut lines = Lines::of(regular::reader_no_link(path)?, LINE_LEN_MAX);
    while let Some(line) = lines.next()? {
        take(line);
    }
    Ok(())
}

/// The IDs in a file of records, in its order. Nothing if it does not exist.
pub(super) fn ids(path: &Path) -> io::Result<Vec<u32>> {
    let mut ids = Vec::new();
    let read =
        each_line(path, |line| ids.extend(id_of(line.bytes).filter(|_| line.end == End::Whole).map(|(id, _)| id)));
    match read {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(ids),
    }
}

/// Which tasks have been recorded so far, asked again and again: only what is new is read.
#[derive(Debug)]
pub(in crate::commands) struct Ended {
    /// Files of records, each with the end of what was read.
    files: [(PathBuf, u64); 2],
    ids: BTreeSet<u32>,
}

impl Ended {
    /// The tasks recorded in a workdir up to now.
    pub(in crate::commands) fn new(workdir: &Path) -> Self {
        let files = [names::FINISHED, names::FAILED].map(|name| (workdir.join(name), 0));
        let mut ended = Self { files, ids: BTreeSet::new() };
        ended.look();
        ended
    }

    /// Adds what is new. What can't be read now may be readable the next time.
    pub(in crate::commands) fn look(&mut self) {
        for (path, read) in &mut self.files {
            *read = read_new(path, *read, &mut self.ids).unwrap_or(*read);
        }
    }

    /// Whether a task has been recorded.
    pub(in crate::commands) fn contains(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }
}

/// Reads the records after `from`, or all if the file has become shorter. Returns the end of what was read.
fn read_new(path: &Path, from: u64, ids: &mut BTreeSet<u32>) -> io::Result<u64> {
    let mut file = regular::reader_no_link(path)?;
    let len = file.metadata()?.len();
    let from = if len < from { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let (mut torn, mut lines) = (None, Lines::of(&file, LINE_LEN_MAX));
    while let Some(line) = lines.next()? {
        match line.end {
            End::Torn => torn = Some(from + line.at),
            _ => ids.extend(id_of(line.bytes).map(|(id, _)| id)),
        }
    }
    drop(lines);
    torn.map_or_else(|| file.stream_position(), Ok)
}

/// `ID command`.
fn id_of(line: &[u8]) -> Option<(u32, &[u8])> {
    let (id, command) = split_record(line)?;
    Some((u32::try_from(id).ok()?, command))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(finished: &[u8], failed: &[u8], toprocess: &[u8]) -> Records {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("finished", finished), ("failed", failed), ("toprocess", toprocess)] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        Records::read(folder.path())
    }

    /// A task counts once, as a resume would count it.
    #[test]
    fn records_are_counted_once() {
        let records = read(b"2 c\n0 a\n2 c\n", b"0 a\n1 b\n", b"0 a\n3 d\n4 e\n");
        assert_eq!((records.finished, records.failed, records.open), (vec![0, 2], vec![1], vec![3, 4]));
        assert!(records.damage.is_empty() && records.torn.is_empty());
    }

    /// Damage is reported with file and line, and does not hide the rest; a torn end is not damage.
    #[test]
    fn damage_is_told_and_the_rest_counted() {
        let records = read(b"0 a\nx\n\n1 b\n2 c", b"99999999999 x\n", b"");
        assert_eq!((records.finished, records.torn), (vec![0, 1], vec!["finished"]));
        let told = ["finished: line 2 is not \"ID command\", and 1 more line", "failed: line 1 is not \"ID command\""];
        assert_eq!(records.damage, told);
    }

    /// A command is found again by its position, and a line that is too long costs no more memory than others.
    #[test]
    fn commands_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let long = [b"7 ", &vec![b'x'; 2 * LINE_LEN_MAX][..]].concat();
        let file = [b"5 five\n2 t\two\n2 again\nx\n", &long[..], b"\n9 \xff\n3 torn"].concat();
        std::fs::write(folder.path().join("failed"), file).unwrap();
        let commands = Commands::find(folder.path(), "failed", &[2, 3, 4, 5, 7, 9]);
        let found = [2, 3, 4, 5, 9].map(|id| commands.get(id));
        assert_eq!(found, [&b"t\two"[..], b"", b"", b"five", b"\xff"]);
        assert_eq!(commands.get(7).len(), LINE_LEN_MAX - 2);
        assert_eq!(Commands::find(folder.path(), "nothing", &[2]).get(2), b"");
    }

    /// Appended records are read once, a torn line when it is complete, and a rewritten file from its start.
    #[test]
    fn new_records_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let mut ended = Ended::new(folder.path());
        write("finished", "0 a\n17 b");
        ended.look();
        assert_eq!([0, 17, 1].map(|id| ended.contains(id)), [true, false, false]);
        write("finished", "0 a\n17 b\n");
        write("failed", "3 c\n4 c\n5 c\n");
        ended.look();
        assert_eq!([0, 17, 3, 1].map(|id| ended.contains(id)), [true, true, true, false]);
        write("failed", "9 c\n");
        ended.look();
        assert!(ended.contains(9));
        assert_eq!(ended.files.map(|(_, read)| read), [9, 4]);
    }

    proptest! {
        /// Promise 5: whatever is in the files.
        #[test]
        fn any_bytes_are_counted_or_told(finished: Vec<u8>, failed: Vec<u8>, toprocess: Vec<u8>) {
            read(&finished, &failed, &toprocess);
        }
    }
}
