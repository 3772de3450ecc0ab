//! The files that a run of a harmed farm left, checked as the next run will check them.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{End, Farm, Timeline, Workdir};

use super::Task;

/// `finished` and `failed` at one moment, without a torn last line.
#[derive(Clone, Default)]
pub(super) struct Record {
    finished: Vec<u8>,
    failed: Vec<u8>,
    pub(super) ids: BTreeSet<u64>,
}

impl Record {
    /// Reads both files. Each line must be one of the list's tasks, each task must be there at most once, and in the
    /// right file; `struck` are the tasks that received SIGKILL.
    #[track_caller]
    pub(super) fn read(workdir: &Workdir, tasks: &[Task], struck: &BTreeSet<u64>, may_be_torn: bool) -> Self {
        let mut ids = BTreeSet::new();
        let mut read = |name: &str, may_be: &dyn Fn(u64, &Task) -> bool| {
            let mut bytes = workdir.bytes(name);
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            assert!(may_be_torn || whole == bytes.len(), "the last line of {name} is torn");
            bytes.truncate(whole);
            for line in String::from_utf8(bytes.clone()).unwrap().lines() {
                let (id, command) = line.split_once(' ').unwrap_or_else(|| panic!("{name}: {line:?}"));
                let id: u64 = id.parse().unwrap_or_else(|_| panic!("{name}: {line:?}"));
                let task = usize::try_from(id).ok().and_then(|id| tasks.get(id));
                let task = task.unwrap_or_else(|| panic!("{name}: no such task: {line:?}"));
                assert_eq!(command, task.command, "{name}: the command of task {id}");
                assert!(ids.insert(id), "{name}: task {id} is recorded twice");
                assert!(may_be(id, task), "{name}: task {id} is in the wrong file");
            }
            bytes
        };
        let finished = read("finished", &|_, task| task.exit == 0);
        let failed = read("failed", &|id, task| task.exit != 0 || struck.contains(&id));
        Self { finished, failed, ids }
    }

    /// Makes sure that both files only grew.
    #[track_caller]
    pub(super) fn continues(&self, before: &Self) {
        assert!(self.finished.starts_with(&before.finished), "finished has lost something, or changed");
        assert!(self.failed.starts_with(&before.failed), "failed has lost something, or changed");
    }
}

/// Makes sure that the timeline can be loaded and contains each recorded task, with the expected end.
#[track_caller]
pub(super) fn timeline_has_all(
    farm: &Farm,
    record: &Record,
    tasks: &[Task],
    struck: &BTreeSet<u64>,
    may_be_torn: bool,
) {
    let bytes = farm.workdir().bytes("timeline.json");
    if bytes.is_empty() {
        assert!(record.ids.is_empty(), "there is no timeline");
        return;
    }
    assert!(!farm.workdir().file("timeline.json.damaged").exists(), "the timeline was taken for damaged");
    let timeline = if may_be_torn { read_torn(&bytes) } else { Timeline::read(&bytes) };
    let mut ends: BTreeMap<u64, Vec<End>> = BTreeMap::new();
    for event in timeline.events() {
        ends.entry(event.id).or_default().push(event.end);
    }
    for id in &record.ids {
        let task = &tasks[usize::try_from(*id).unwrap()];
        let wanted = if task.is_poison { End::Crashed } else { End::Exit(task.exit) };
        let ends = ends.get(id).map_or(&[][..], Vec::as_slice);
        let is_last = |end: &End| *end == wanted || struck.contains(id) && *end == End::Signal(9);
        // A task whose pool was killed has run again.
        let is_right = ends.iter().all(|end| is_last(end) || *end == End::Crashed) && ends.iter().any(is_last);
        assert!(is_right, "task {id} is recorded; its events: {ends:?}");
    }
}

/// How a viewer reads a file whose writer was killed: the complete events, and the missing bracket.
#[track_caller]
fn read_torn(bytes: &[u8]) -> Timeline {
    let text = bytes.trim_ascii_end();
    let end = if text.ends_with(b"}") || text.ends_with(b"]") || text.ends_with(b",") || text == b"[" {
        text.len()
    } else {
        text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0)
    };
    if text[..end].trim_ascii_end() == b"[" {
        return Timeline::read(b"[]");
    }
    Timeline::read_open(&text[..end])
}
