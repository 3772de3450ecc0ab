//! `finished`, `failed` and `toprocess`, read by somebody who has no list and changes nothing.
//!
//! Owns the count of what is recorded. What cannot be read is told with file and line, and the rest is counted.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::life::left_out;
use crate::sys::regular;

/// The records of a workdir.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// IDs in `finished`, ascending.
    pub(super) finished: Vec<u32>,
    /// IDs in `failed` that are not in `finished`, ascending.
    pub(super) failed: Vec<u32>,
    /// IDs in `toprocess` that are in neither, ascending.
    pub(super) open: Vec<u32>,
    /// There is a `toprocess`.
    pub(super) has_toprocess: bool,
    /// A last line without its end: a crash tears it, and a farm may be writing it just now.
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
        let mut finished = records.ids(workdir, "finished").unwrap_or_default();
        let mut failed = records.ids(workdir, "failed").unwrap_or_default();
        let open = records.ids(workdir, "toprocess");
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

    /// The IDs of a file; none if it is not there.
    fn ids(&mut self, workdir: &Path, name: &'static str) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        let mut bad: Vec<u64> = Vec::new();
        let mut torn = false;
        let read = each_line(&workdir.join(name), |number, line, whole| match id_of(line) {
            Some((id, _)) if whole => ids.push(id),
            _ if !whole => torn = true,
            _ => bad.push(number),
        });
        if torn {
            self.torn.push(name);
        }
        if let [first, further @ ..] = &bad[..] {
            let more = if further.is_empty() { String::new() } else { format!(", and {} more lines", further.len()) };
            self.damage.push(format!("{name}: line {first} is not \"ID command\"{more}"));
        }
        match read {
            Ok(()) => Some(ids),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // `finished` and `failed` are the truth; nothing depends on this one.
            Err(error) if name == "toprocess" && regular::is_something_else(&error) => {
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

/// The commands of some tasks, as a file has them: `wanted` is ascending.
pub(super) fn commands(workdir: &Path, name: &str, wanted: &[u32]) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    // What can't be read was told before.
    let _ = each_line(&workdir.join(name), |_, line, whole| {
        if let Some((id, command)) = id_of(line)
            && whole
            && wanted.binary_search(&id).is_ok()
        {
            found.push((id, one_line(&String::from_utf8_lossy(command))));
        }
    });
    found.sort();
    found.dedup_by_key(|(id, _)| *id);
    found
}

/// Text without what would move a terminal's cursor.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Goes through a file: number of a line from 1, the line, and whether it has its end.
pub(super) fn each_line(path: &Path, mut take: impl FnMut(u64, &[u8], bool)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, regular::reader_no_link(path)?);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        number += 1;
        let whole = line.pop_if(|byte| *byte == b'\n').is_some();
        take(number, &line, whole);
    }
}

/// `ID command`.
fn id_of(line: &[u8]) -> Option<(u32, &[u8])> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let id = &line[..space];
    if id.is_empty() || !id.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(id).ok()?.parse().ok()?, &line[space + 1..]))
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

    /// Damage is told with file and line, and does not hide the rest; a torn end is none.
    #[test]
    fn damage_is_told_and_the_rest_counted() {
        let records = read(b"0 a\nx\n\n1 b\n2 c", b"99999999999 x\n", b"");
        assert_eq!((records.finished, records.torn), (vec![0, 1], vec!["finished"]));
        let told = ["finished: line 2 is not \"ID command\", and 1 more lines", "failed: line 1 is not \"ID command\""];
        assert_eq!(records.damage, told);
    }

    proptest! {
        /// Promise 5: whatever is in the files.
        #[test]
        fn any_bytes_are_counted_or_told(finished: Vec<u8>, failed: Vec<u8>, toprocess: Vec<u8>) {
            read(&finished, &failed, &toprocess);
        }
    }
}
