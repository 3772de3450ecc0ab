//! Logs of several ranks in few files.

use std::collections::BTreeSet;

use crate::support::Farm;

/// `--logs rank`: at most three files per rank, and every task's output is found.
#[test]
fn each_rank_has_its_files() {
    const COUNT: usize = 90;
    let farm = Farm::mpi(3, "sleep 0.01; echo $PROC_NUMBER on $TASKFARMER_RANK\n".repeat(COUNT).as_bytes());
    farm.run(&["--proc", "2", "--logs", "rank"]).exits(0);
    let entries = std::fs::read_dir(farm.workdir().path().join("logs")).unwrap();
    assert!(entries.count() <= 9);
    let mut ranks = BTreeSet::new();
    for id in 0..COUNT {
        let outcome = farm.run_alone(&["logs", "tasks.txt_workdir", &id.to_string()]).exits(0);
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let (task, rank) = text.trim_end().split_once(" on ").unwrap_or_else(|| panic!("task {id}: {text}"));
        assert_eq!(task, id.to_string());
        ranks.insert(rank.to_owned());
    }
    assert_eq!(ranks.len(), 3, "all ranks worked");
}
