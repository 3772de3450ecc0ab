//! `ID command`, a line for each task: `finished`, `failed` and `toprocess`.
//!
//! Owns that format, written and read. The journal and `toprocess` write it; a resume ([`super::scan`]), `status` and
//! `logs` read it. Never decides what a record means for a run, and changes nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::lines::{BadLines, End, LINE_LEN_MAX, Line, Lines};
use super::names;
use crate::sys::regular;
use crate::task::TaskId;

/// Writes a record.
pub(super) fn push(out: &mut (impl Write + ?Sized), id: TaskId, command: &[u8]) -> io::Result<()> {
    write!(out, "{id} ")?;
    out.write_all(command)?;
    out.write_all(b"\n")
}

/// A line without its end as ID and command, if it is a record.
pub(super) fn split(line: &[u8]) -> Option<(u64, &[u8])> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let (id, command) = (&line[..space], &line[space + 1..]);
    if id.is_empty() || !id.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(id).ok()?.parse().ok()?, command))
}

/// Goes through the lines of a file: each one, and its task if it is a record. Of a line that is longer than any that a
/// farm writes, only the beginning is known.
fn each(file: impl Read, mut take: impl FnMut(&Line<'_>, Option<u32>)) -> io::Result<()> {
    let mut lines = Lines::of(file, LINE_LEN_MAX);
    while let Some(line) = lines.next()? {
        take(&line, split(line.bytes).and_then(|(id, _)| u32::try_from(id).ok()));
    }
    Ok(())
}

/// The tasks of a file, without their commands.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// In the order of the file.
    pub(crate) ids: Vec<u32>,
    /// Whether the last line is incomplete: a crash has torn it, or a farm is just writing it.
    pub(crate) is_torn: bool,
    bad: BadLines,
}

impl Ids {
    /// Adds those of a file.
    ///
    /// # Errors
    /// If it cannot be read. What was read before that counts.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<()> {
        each(regular::reader_no_link(path)?, |line, id| match (line.end, id) {
            (End::Torn, _) => self.is_torn = true,
            (End::Whole, Some(id)) => self.ids.push(id),
            _ => self.bad.add(line.number),
        })
    }

    /// What is damaged, if anything.
    pub(crate) fn damage(&self) -> Option<String> {
        self.bad.message("\"ID command\"")
    }
}

/// The commands of some tasks, as a file has them. Only their positions are kept in memory, however many and however
/// long they are.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    file: Option<File>,
    /// ID, first byte and length of a record, by ID.
    places: Vec<(u32, u64, u32)>,
}

impl Commands {
    /// Finds those of `wanted`, which is ascending.
    pub(crate) fn find(workdir: &Path, name: &str, wanted: &[u32]) -> Self {
        let mut found = Self::default();
        // What can't be read has been reported before.
        let Ok(file) = regular::reader_no_link(&workdir.join(name)) else { return found };
        let _ = each(&file, |line, id| {
            if let Some(id) = id.filter(|id| line.end != End::Torn && wanted.binary_search(id).is_ok()) {
                found.places.push((id, line.at, line.bytes.len() as u32));
            }
        });
        found.places.sort_unstable();
        found.places.dedup_by_key(|(id, ..)| *id);
        Self { file: Some(file), ..found }
    }

    /// The command of a task; empty if it is not known.
    pub(crate) fn get(&self, id: u32) -> Vec<u8> {
        self.read(id).unwrap_or_default()
    }

    fn read(&self, id: u32) -> Option<Vec<u8>> {
        let place = self.places.binary_search_by_key(&id, |(id, ..)| *id).ok()?;
        let (_, at, len) = self.places[place];
        let mut record = vec![0; len as usize];
        self.file.as_ref()?.read_exact_at(&mut record, at).ok()?;
        // A running farm may have rewritten the file.
        let (found, command) = split(&record)?;
        (found == u64::from(id)).then(|| command.to_vec())
    }
}

/// Which tasks have been recorded so far, asked again and again: only what is new is read.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Files of records, each with the end of what was read.
    files: [(PathBuf, u64); 2],
    ids: BTreeSet<u32>,
}

impl Ended {
    /// The tasks recorded in a workdir up to now.
    pub(crate) fn new(workdir: &Path) -> Self {
        let files = [names::FINISHED, names::FAILED].map(|name| (workdir.join(name), 0));
        let mut ended = Self { files, ids: BTreeSet::new() };
        ended.look();
        ended
    }

    /// Adds what is new. What can't be read now may be readable the next time.
    pub(crate) fn look(&mut self) {
        for (path, read) in &mut self.files {
            *read = read_new(path, *read, &mut self.ids).unwrap_or(*read);
        }
    }

    /// Whether a task has been recorded.
    pub(crate) fn contains(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }
}

/// Reads the records after `from`, or all if the file has become shorter. Returns the end of what was read.
fn read_new(path: &Path, from: u64, ids: &mut BTreeSet<u32>) -> io::Result<u64> {
    let mut file = regular::reader_no_link(path)?;
    let len = file.metadata()?.len();
    let from = if len < from { 0 } else { from };
    file.seek(SeekFrom::Start(from))?;
    let mut torn = None;
    each(&file, |line, id| match line.end {
        End::Torn => torn = Some(from + line.at),
        _ => ids.extend(id),
    })?;
    torn.map_or_else(|| file.stream_position(), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
