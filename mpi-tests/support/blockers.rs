//! Lists of tasks that run until they are released, for farms that are stopped in the middle.

use std::collections::{BTreeMap, BTreeSet};

use super::Farm;

/// Appends its ID to a file and ends immediately.
const QUICK: &str = "echo $PROC_NUMBER >> ran";

/// Appends its ID to a file, and ends immediately if there is a file `go`.
const BLOCKER: &str = "echo $PROC_NUMBER >> ran; test -e go || exec sleep 600";

/// First the quick tasks, then those that stay.
pub(crate) fn list(quick: usize, blockers: usize) -> Vec<u8> {
    let lines = [vec![QUICK; quick], vec![BLOCKER; blockers]].concat();
    (lines.join("\n") + "\n").into_bytes()
}

/// From now on blockers end immediately.
pub(crate) fn let_go(farm: &Farm) {
    farm.write("go", b"");
}

/// How often each task was started so far. A line that is being written is not counted.
pub(crate) fn runs(farm: &Farm) -> BTreeMap<u64, u32> {
    let mut runs = BTreeMap::new();
    for line in farm.lines("ran") {
        if let Ok(id) = line.parse() {
            *runs.entry(id).or_insert(0) += 1;
        }
    }
    runs
}

/// How many blockers have started, of a list with that many quick tasks before them.
pub(crate) fn blocked(farm: &Farm, quick: usize) -> usize {
    runs(farm).keys().filter(|id| **id >= quick as u64).count()
}

/// After a stop: makes sure that `toprocess` is exactly what is recorded nowhere. Returns what is recorded.
#[track_caller]
pub(crate) fn is_stopped_in_order(farm: &Farm, count: usize) -> BTreeSet<u64> {
    let recorded = farm.workdir().recorded();
    let remaining: BTreeSet<u64> = (0..count as u64).filter(|id| !recorded.contains(id)).collect();
    let toprocess: BTreeSet<u64> = farm.workdir().toprocess().into_keys().collect();
    assert_eq!(toprocess, remaining, "toprocess after the stop");
    assert!(!remaining.is_empty(), "nothing was left to do: the stop came too late to show anything");
    recorded
}

/// Runs a stopped farm to its end: each task is recorded once, none that was recorded before ran again.
#[track_caller]
pub(crate) fn is_completed_by_the_next_run(farm: &Farm, count: usize, options: &[&str], recorded: &BTreeSet<u64>) {
    let before = runs(farm);
    let_go(farm);
    let outcome = farm.run(options).exits(0);
    assert_eq!(outcome.summary()[1..], [0, 0], "failed and remaining");
    let all: BTreeSet<u64> = (0..count as u64).collect();
    assert_eq!(farm.workdir().recorded(), all, "recorded at the end");
    assert!(farm.workdir().toprocess().is_empty(), "toprocess at the end");
    let after = runs(farm);
    for id in all {
        let (earlier, in_all) = (before.get(&id).copied().unwrap_or(0), after.get(&id).copied().unwrap_or(0));
        let wanted = if recorded.contains(&id) { earlier } else { earlier + 1 };
        assert_eq!(in_all, wanted, "runs of task {id}, after {earlier} in the first run");
    }
}
