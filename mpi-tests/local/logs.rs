//! `--logs`: where the output of tasks goes, and `taskfarmer-mpi logs`, which finds it in each form.

use crate::support::disk::Tmpfs;
use crate::support::{Farm, Workdir, interrupted};

/// Silent, loud, failing in silence, failing and loud: by ID modulo 4.
const LIST: &[u8] = b"true\necho out $PROC_NUMBER; echo err >&2\nexit 3\necho bad $PROC_NUMBER; exit 4\n";

fn list(times: usize) -> Vec<u8> {
    LIST.repeat(times)
}

fn expected(id: usize) -> Vec<u8> {
    match id % 4 {
        1 => format!("out {id}\nerr\n").into_bytes(),
        3 => format!("bad {id}\n").into_bytes(),
        _ => Vec::new(),
    }
}

/// Names in the log folder, sorted.
pub(crate) fn names(farm: &Farm) -> Vec<String> {
    let entries = std::fs::read_dir(farm.workdir().path().join("logs")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `taskfarmer-mpi logs WORKDIR ID`, or the tasklist's name for it, prints what the task wrote.
#[track_caller]
fn prints(farm: &Farm, id: usize) {
    for workdir in ["tasks.txt_workdir", "tasks.txt"] {
        let outcome = farm.run_exactly(&["logs", workdir, &id.to_string()]).exits(0);
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), String::from_utf8_lossy(&expected(id)), "task {id}");
    }
}

/// A file per task, as PyTaskFarmer has it, also in folders of so many.
#[test]
fn a_file_per_task() {
    for (kind, place) in [("task", ""), ("task/6", "6/")] {
        let farm = Farm::local(&list(3));
        farm.run(&["--logs", kind]).exits(1);
        (0..12).for_each(|id| prints(&farm, id));
        assert_eq!(farm.read(&format!("tasks.txt_workdir/logs/{place}log_9")), expected(9));
        assert_eq!(names(&farm).len(), if kind == "task" { 12 } else { 2 });
    }
}

/// `--logs failed`: a file only for tasks that failed or said anything.
#[test]
fn a_file_where_something_is_to_be_said() {
    let farm = Farm::local(&list(2));
    farm.run(&["--logs", "failed"]).exits(1);
    assert_eq!(names(&farm), ["log_1", "log_2", "log_3", "log_5", "log_6", "log_7"]);
    [1, 2, 3, 5, 6, 7].into_iter().for_each(|id| prints(&farm, id));
    let outcome = farm.run_exactly(&["logs", "tasks.txt_workdir", "1", "4"]).exits(1);
    assert_eq!(outcome.stdout, [b"==> task 1 <==\n", &expected(1)[..]].concat());
    assert!(outcome.errors()[0].contains("no output of task 4"), "{}", outcome.errors()[0]);
}

/// A task that ran out of time has failed, though it ended with exit code 0 and said nothing.
#[test]
fn a_file_for_what_ran_out_of_time() {
    for proc in ["2", "8"] {
        let farm = Farm::local(b"true\ntrap 'exit 0' TERM; sleep 600 & wait\n");
        let outcome = farm.run(&["--proc", proc, "--logs", "failed", "--task-timeout", "1"]).exits(1);
        assert_eq!(outcome.summary(), [1, 1, 0]);
        assert_eq!(names(&farm), ["log_1"]);
    }
}

/// `--logs rank`: two files, however many tasks and runs.
#[test]
fn two_files_for_a_rank() {
    let farm = Farm::local(&list(50));
    farm.run(&["--logs", "rank"]).exits(1);
    farm.run(&["--logs", "rank", "--retry-failed"]).exits(1);
    assert_eq!(names(&farm), ["rank_0.idx", "rank_0.log"]);
    [0, 1, 2, 3, 196, 197, 198, 199].into_iter().for_each(|id| prints(&farm, id));
}

/// `--logs none`: nothing is kept, and everything runs.
#[test]
fn nothing_is_kept() {
    let farm = Farm::local(&list(2));
    farm.run(&["--logs", "none"]).exits(1);
    assert_eq!(names(&farm), [""; 0]);
    let outcome = farm.run_exactly(&["logs", "tasks.txt_workdir", "1"]).exits(1);
    assert!(outcome.errors()[0].contains("--logs"), "{}", outcome.errors()[0]);
}

/// A command line or a workdir that is wrong.
#[test]
fn mistakes_are_told() {
    let farm = Farm::local(&list(1));
    farm.run(&["--logs", "everything"]).refused(&["everything", "task/1000"]);
    farm.run_exactly(&["logs", "no-such-folder", "1"]).refused(&["no-such-folder"]);
    farm.run_exactly(&["logs", "tasks.txt_workdir"]).exits(2);
    farm.run_exactly(&["logs", "tasks.txt_workdir", "x"]).exits(2);
}

/// A node without room for the output of running tasks takes none, and fails none.
#[test]
fn output_needs_a_temporary_folder() {
    let mut farm = Farm::local(&list(1));
    farm.set("TMPDIR", "/no/such/folder");
    let outcome = farm.run(&["--logs", "rank"]).exits(4);
    assert!(outcome.stderr_text().contains("$TMPDIR"), "{}", outcome.stderr_text());
    assert!(farm.workdir().recorded().is_empty());
    farm.unset("TMPDIR");
    farm.run(&["--logs", "rank"]).exits(1);
}

/// Promise 3: output that the workdir does not take is no task's failure. The task runs again where there is room.
#[test]
fn output_on_a_full_disk_is_not_lost() {
    const COUNT: usize = 40;
    let line = "; head -c 20000 /dev/zero | tr '\\0' x";
    for kind in ["rank", "failed"] {
        let farm = Farm::local(&interrupted::list(COUNT, line));
        let Some(tmpfs) = Tmpfs::mount(&farm, "small", "size=400k") else { return };
        let options = ["--proc", "2", "--logs", kind, "--workdir", "small/work"];
        let outcome = farm.run(&options).exits(4);
        assert!(outcome.errors().concat().contains("small/work/"), "{:?}", outcome.errors());
        let workdir = Workdir::at(tmpfs.file("work"));
        assert!(workdir.failed().is_empty() && workdir.recorded().len() < COUNT, "the disk was full");
        tmpfs.remount("size=8m");
        interrupted::completes(&farm, &workdir, &options, COUNT, 0);
        for id in 0..COUNT {
            let outcome = farm.run_exactly(&["logs", "small/work", &id.to_string()]).exits(0);
            assert_eq!(outcome.stdout.len(), 20000, "{kind}: task {id}");
        }
    }
}
