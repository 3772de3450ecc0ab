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

/// A rank whose output file is removed or moved ends the farm normally, with a message that names it; the same command
/// completes the list.
#[test]
fn a_rank_whose_output_is_gone_ends_the_farm() {
    for harm in ["rm $log", "mv $log away"] {
        let first = format!(
            "[ -e harmed ] || {{ log=tasks.txt_workdir/logs/rank_2.log; until [ -s $log ]; do sleep 0.05; done; {harm}; touch harmed; }}\n"
        );
        let list = first + &"echo said; sleep 0.2\n".repeat(100);
        let farm = Farm::mpi(3, list.as_bytes()).time_limit(120);
        let options = ["--proc", "2", "--logs", "rank"];
        let outcome = farm.run(&options).exits(4);
        let errors = outcome.errors().concat();
        assert!(errors.contains("rank 2 (") && errors.contains("logs/rank_2.log: it was moved, removed"), "{errors}");
        let recorded = farm.workdir().recorded().len() as u64;
        assert!(recorded < 101 && farm.workdir().failed().is_empty(), "the farm's trouble is no task's");
        assert_eq!(outcome.summary(), [recorded, 0, 101 - recorded]);
        farm.run(&options).exits(0);
        assert_eq!(farm.workdir().finished().len(), 101);
    }
}
