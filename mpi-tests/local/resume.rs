//! The same command resumes where the last run ended.

use std::collections::BTreeSet;

use crate::support::{Farm, blockers};

/// A list of tasks that write to `ran` when they run; the last one fails.
fn list(count: usize) -> Vec<u8> {
    let lines = (0..count).map(|id| format!("echo {id} >> ran; test {id} -ne {}\n", count - 1));
    lines.collect::<String>().into_bytes()
}

/// After the end of a list the next run starts nothing and ends with the same code.
#[test]
fn nothing_runs_twice() {
    let farm = Farm::local(&list(8));
    let first = farm.run(&["--proc", "2"]).exits(1);
    assert_eq!(first.summary(), [7, 1, 0]);
    let records = (farm.workdir().bytes("finished"), farm.workdir().bytes("failed"));
    let second = farm.run(&["--proc", "2"]).exits(1);
    assert_eq!(second.summary(), [7, 1, 0]);
    assert_eq!(farm.lines("ran").len(), 8, "tasks that ran in both runs");
    assert_eq!((farm.workdir().bytes("finished"), farm.workdir().bytes("failed")), records);
    assert_eq!(farm.workdir().timeline().by_task().len(), 8);
}

/// A finished list ends with 0 again.
#[test]
fn finished_list_ends_with_zero_again() {
    let farm = Farm::local(b"echo 0\necho 1\n");
    farm.run(&[]).exits(0);
    assert_eq!(farm.run(&[]).exits(0).summary(), [2, 0, 0]);
}

/// Tasks that are appended to a list run next time, and only they do.
#[test]
fn appended_tasks_run_next_time() {
    let farm = Farm::local(b"echo 0 >> ran\necho 1 >> ran\n");
    farm.run(&[]).exits(0);
    farm.append("tasks.txt", b"# more\necho 2 >> ran\n");
    assert_eq!(farm.run(&[]).exits(0).summary(), [3, 0, 0]);
    let mut ran = farm.lines("ran");
    ran.sort();
    assert_eq!(ran, ["0", "1", "2"]);
    assert_eq!(farm.workdir().timeline().by_task().len(), 3, "one timeline of both runs");
}

/// A workdir belongs to its list: after a change of a recorded task nothing starts, and the message says where.
#[test]
fn edited_list_is_refused() {
    let edits: [&[u8]; 3] = [
        // A different command, a line that shifts all others, a list that is too short.
        b"echo 0\necho other\necho 2\n",
        b"echo new\necho 0\necho 1\necho 2\n",
        b"echo 0\necho 1\n",
    ];
    for edit in edits {
        let farm = Farm::local(b"echo 0\necho 1\necho 2\n");
        farm.run(&["--proc", "1"]).exits(0);
        farm.write("tasks.txt", edit);
        let before = farm.contents();
        farm.run(&["--proc", "1"]).refused(&["finished", "line "]);
        assert_eq!(farm.contents(), before, "nothing is changed");
    }
}

/// Which changes to a list of four, of which the first three are recorded, are allowed, and which are not.
#[test]
fn decision_table_of_edited_lists() {
    let line = |id: &str| format!("echo {id} >> ran\n");
    let list = |ids: &[&str]| ids.iter().map(|id| line(id)).collect::<String>();
    let all = ["0", "1", "2", "3"];
    let refused: [(&str, &[&str]); 6] = [
        ("reordered", &["0", "2", "1", "3"]),
        ("rotated", &["3", "0", "1", "2"]),
        ("shortened at its start", &["1", "2", "3"]),
        ("shortened below what is recorded", &["0", "1"]),
        ("grown in its middle", &["0", "1", "new", "2", "3"]),
        ("one recorded task edited", &["0", "1", "two", "3"]),
    ];
    let accepted: [(&str, &[&str], &[&str]); 5] = [
        ("as it was", &all, &["3"]),
        ("shortened to what is recorded", &["0", "1", "2"], &[]),
        ("grown at its end", &["0", "1", "2", "3", "4", "5"], &["3", "4", "5"]),
        ("an open task edited", &["0", "1", "2", "three"], &["three"]),
        ("an open task inserted and the rest shifted", &["0", "1", "2", "new", "3"], &["3", "new"]),
    ];
    let half_done = || {
        let farm = Farm::local(list(&all[..3]).as_bytes());
        farm.run(&["--proc", "1"]).exits(0);
        std::fs::remove_file(farm.path("ran")).unwrap();
        farm
    };
    for (what, ids) in refused {
        let farm = half_done();
        farm.write("tasks.txt", list(ids).as_bytes());
        let before = farm.contents();
        farm.run(&[]).refused(&["finished", "line "]);
        assert_eq!(farm.contents(), before, "{what}");
    }
    for (what, ids, wanted) in accepted {
        let farm = half_done();
        farm.write("tasks.txt", [list(ids).as_bytes(), b"# the end\n\n"].concat().as_slice());
        assert_eq!(farm.run(&[]).exits(0).summary(), [ids.len() as u64, 0, 0], "{what}");
        let mut ran = farm.lines("ran");
        ran.sort();
        assert_eq!(ran, wanted, "{what}");
    }
}

/// A task that is not recorded may be changed; IDs and commands of the recorded ones still fit.
#[test]
fn unrecorded_tasks_may_be_edited() {
    let farm = Farm::local(b"echo 0\nfalse\n");
    farm.run(&[]).exits(1);
    std::fs::remove_file(farm.workdir().file("failed")).unwrap();
    farm.write("tasks.txt", b"echo 0\necho better\n");
    assert_eq!(farm.run(&[]).exits(0).summary(), [2, 0, 0]);
    assert_eq!(farm.workdir().log(1), b"better\n");
}

/// Tasks that a user removes from `failed` run again: the records are authoritative.
#[test]
fn records_are_the_truth() {
    let farm = Farm::local(b"echo 0 >> ran\ntest -e fixed\n");
    farm.run(&[]).exits(1);
    farm.write("fixed", b"");
    assert_eq!(farm.run(&[]).exits(1).summary(), [1, 1, 0], "failed tasks are not retried unasked");
    farm.workdir().write("failed", b"");
    farm.workdir().write("toprocess", b"0 nonsense\n");
    assert_eq!(farm.run(&[]).exits(0).summary(), [2, 0, 0], "toprocess is not read");
    assert_eq!(farm.lines("ran").len(), 1);
}

/// `--timeout` stops the farm normally: exit code 3, running tasks go back to `toprocess`, the next run completes them.
#[test]
fn timeout_stops_and_the_next_run_completes() {
    let farm = Farm::local(&blockers::list(10, 10));
    let options = ["--proc", "4", "--timeout", "2", "--grace", "5"];
    let outcome = farm.run(&options).exits(3);
    let recorded = blockers::is_stopped_in_order(&farm, 20);
    assert_eq!(recorded, (0..10).collect::<BTreeSet<u64>>(), "the quick tasks are recorded");
    assert_eq!(outcome.summary(), [10, 0, 10]);
    assert_eq!(farm.workdir().timeline().by_task().len(), 10, "valid, with the completed tasks");
    blockers::is_completed_by_the_next_run(&farm, 20, &options, &recorded);
    assert_eq!(farm.workdir().timeline().by_task().len(), 20);
}
