//! `finished`, `failed` and `toprocess`, read without the list and without changing anything.
//!
//! Owns the count of what is recorded. What cannot be read is reported with file and line, and the rest is counted.

use std::io;
use std::path::Path;

use super::life::left_out;
use crate::sys::regular;
use crate::workdir::names;
use crate::workdir::records::Ids;

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
        let mut found = Ids::default();
        let read = found.read(&workdir.join(name));
        if found.is_torn {
            self.torn.push(name);
        }
        self.damage.extend(found.damage().map(|damage| format!("{name}: {damage}")));
        match read {
            Ok(()) => Some(found.ids),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // `finished` and `failed` are the truth; nothing depends on this one.
            Err(error) if name == names::TOPROCESS && regular::is_something_else(&error) => {
                self.notes.push(left_out(name, &error));
                None
            }
            Err(error) => {
                self.damage.push(format!("{name}: {error}"));
                Some(found.ids)
            }
        }
    }
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

    proptest! {
        /// Promise 5: whatever is in the files.
        #[test]
        fn any_bytes_are_counted_or_told(finished: Vec<u8>, failed: Vec<u8>, toprocess: Vec<u8>) {
            read(&finished, &failed, &toprocess);
        }
    }
}
