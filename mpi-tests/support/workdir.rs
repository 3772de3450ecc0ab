//! Reads a workdir as a user would: plain text, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::Timeline;

/// `ID command` lines, by ID.
pub(crate) type Tasks = BTreeMap<u64, Vec<u8>>;

pub(crate) struct Workdir {
    path: PathBuf,
}

impl Workdir {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The bytes of one of its files; `None` if it does not exist.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap_or_default()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
    }

    /// `finished`: each task once.
    #[track_caller]
    pub(crate) fn finished(&self) -> Tasks {
        self.tasks("finished")
    }

    /// `failed`: each task once.
    #[track_caller]
    pub(crate) fn failed(&self) -> Tasks {
        self.tasks("failed")
    }

    /// `toprocess`: each task once, in ascending order.
    #[track_caller]
    pub(crate) fn toprocess(&self) -> Tasks {
        let ids: Vec<u64> = self.lines("toprocess").iter().map(|(id, _)| *id).collect();
        assert!(ids.is_sorted(), "toprocess is not in ascending order: {ids:?}");
        self.tasks("toprocess")
    }

    /// IDs of `finished` and `failed`; panics if a task is recorded twice.
    #[track_caller]
    pub(crate) fn recorded(&self) -> BTreeSet<u64> {
        let (finished, failed) = (self.finished(), self.failed());
        let both: Vec<&u64> = finished.keys().filter(|id| failed.contains_key(id)).collect();
        assert!(both.is_empty(), "both in finished and in failed: {both:?}");
        finished.into_keys().chain(failed.into_keys()).collect()
    }

    #[track_caller]
    fn tasks(&self, name: &str) -> Tasks {
        let lines = self.lines(name);
        let count = lines.len();
        let tasks: Tasks = lines.into_iter().collect();
        assert_eq!(tasks.len(), count, "a task is in {name} twice:\n{}", super::shown(&self.bytes(name)));
        tasks
    }

    /// The lines of a file in their order; none if it does not exist.
    #[track_caller]
    pub(crate) fn lines(&self, name: &str) -> Vec<(u64, Vec<u8>)> {
        let bytes = self.bytes(name);
        let Some(text) = bytes.strip_suffix(b"\n") else {
            assert!(bytes.is_empty(), "the last line of {name} has no end:\n{}", super::shown(&bytes));
            return Vec::new();
        };
        text.split(|byte| *byte == b'\n').map(|line| parsed(name, line)).collect()
    }

    /// A task's log; panics if there is none.
    #[track_caller]
    pub(crate) fn log(&self, id: u64) -> Vec<u8> {
        let path = self.file(&format!("logs/log_{id}"));
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// IDs of all tasks that have a log.
    pub(crate) fn logged(&self) -> BTreeSet<u64> {
        let Ok(listing) = fs::read_dir(self.file("logs")) else { return BTreeSet::new() };
        listing
            .map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let id = name.strip_prefix("log_").and_then(|id| id.parse().ok());
                id.unwrap_or_else(|| panic!("{name} in logs"))
            })
            .collect()
    }

    /// The timeline of a run that came to its end: valid JSON.
    #[track_caller]
    pub(crate) fn timeline(&self) -> Timeline {
        Timeline::read(&self.bytes("timeline.json"))
    }

    /// The timeline of a run that was killed: an array whose end may be missing.
    #[track_caller]
    pub(crate) fn open_timeline(&self) -> Timeline {
        Timeline::read_open(&self.bytes("timeline.json"))
    }
}

#[track_caller]
fn parsed(name: &str, line: &[u8]) -> (u64, Vec<u8>) {
    let split = line.iter().position(|byte| *byte == b' ').and_then(|space| {
        let id = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
        Some((id, line[space + 1..].to_vec()))
    });
    split.unwrap_or_else(|| panic!("not \"ID command\" in {name}: {}", super::shown(line)))
}
