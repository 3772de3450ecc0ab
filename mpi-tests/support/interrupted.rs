//! Lists of tasks that record when they ran, for farms that end early and are resumed later.

use std::collections::{BTreeMap, BTreeSet};

use super::{Farm, Outcome, Workdir};

/// A list of that many tasks: each appends its ID to `ran` in one write and does `more`, which may be a comment.
pub(crate) fn list(count: usize, more: &str) -> Vec<u8> {
    (0..count).map(|id| format!("echo {id} >> ran{more}\n")).collect::<String>().into_bytes()
}

/// How often each task ran so far.
pub(crate) fn runs(farm: &Farm) -> BTreeMap<u64, usize> {
    let mut runs = BTreeMap::new();
    for line in farm.lines("ran") {
        *runs.entry(line.parse().unwrap()).or_insert(0) += 1;
    }
    runs
}

/// IDs in `finished` and `failed`. A last line without an end does not count.
#[track_caller]
pub(crate) fn recorded(workdir: &Workdir) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    for name in ["finished", "failed"] {
        let bytes = workdir.bytes(name);
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in String::from_utf8(bytes[..whole].to_vec()).unwrap().lines() {
            let id = line.split(' ').next().and_then(|id| id.parse().ok());
            let id = id.unwrap_or_else(|| panic!("{name}: {line:?}"));
            assert!(ids.insert(id), "task {id} is recorded twice");
        }
    }
    ids
}

/// The same command resumes to the end: with this code, each task recorded once, none of those that were recorded run
/// again, each of the others run once more, the timeline whole.
#[track_caller]
pub(crate) fn completes(farm: &Farm, workdir: &Workdir, options: &[&str], count: usize, code: i32) -> Outcome {
    let outcome = completes_records(farm, workdir, options, count, code);
    let events: BTreeSet<u64> = workdir.timeline().events().iter().map(|event| event.id).collect();
    assert_eq!(events, (0..count as u64).collect(), "tasks in the timeline");
    outcome
}

/// [`completes`] after a crash of the file system itself, which may have kept a record and lost its event: the two are
/// in different files. Tasks of this run are still in the timeline.
#[track_caller]
pub(crate) fn completes_records(farm: &Farm, workdir: &Workdir, options: &[&str], count: usize, code: i32) -> Outcome {
    let recorded = recorded(workdir);
    let before = runs(farm);
    let outcome = farm.run(options).exits(code);
    let all: BTreeSet<u64> = (0..count as u64).collect();
    assert_eq!(workdir.recorded(), all, "recorded at the end");
    assert_eq!(outcome.summary()[2], 0, "remaining");
    assert!(workdir.toprocess().is_empty(), "toprocess at the end");
    let after = runs(farm);
    for id in &all {
        let (earlier, in_all) = (before.get(id).copied().unwrap_or(0), after.get(id).copied().unwrap_or(0));
        let wanted = if recorded.contains(id) { earlier } else { earlier + 1 };
        assert_eq!(in_all, wanted, "runs of task {id}, after {earlier} in earlier runs");
        assert!(in_all > 0, "task {id} is recorded and never ran");
    }
    let events: BTreeSet<u64> = workdir.timeline().events().iter().map(|event| event.id).collect();
    let of_this_run: BTreeSet<u64> = all.difference(&recorded).copied().collect();
    assert!(events.is_superset(&of_this_run), "tasks of this run in the timeline");
    outcome
}
