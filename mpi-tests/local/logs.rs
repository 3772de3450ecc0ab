//! `--logs`: where the output of tasks goes, and `taskfarmer-mpi logs`, which finds it in each form.

use nix::sys::signal::Signal;

use crate::support::disk::Tmpfs;
use crate::support::{Farm, Workdir, interrupted, processes};

/// Silent, loud, failing silently, failing loudly: by ID modulo 4.
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

/// A file per task, as in PyTaskFarmer, also in folders of this many.
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

/// Ranges, all failed tasks, the last lines; the workdir can be omitted if there is only one.
#[test]
fn tasks_are_chosen() {
    let farm = Farm::local(&list(2));
    farm.run(&["--logs", "rank"]).exits(1);
    let printed = |words: &[&str], code| {
        let outcome = farm.run_exactly(&[&["logs"], words].concat()).exits(code);
        String::from_utf8(outcome.stdout.clone()).unwrap()
    };
    let two = "==> task 5: exit 0 <==\nout 5\nerr\n==> task 7: exit 4 <==\nbad 7\n";
    assert_eq!(printed(&["tasks.txt", "5", "7"], 0), two);
    assert_eq!(printed(&["5", "7-7"], 0), two);
    assert_eq!(printed(&["--tail", "1", "5", "7"], 0), two.replace("out 5\n", ""));
    assert_eq!(printed(&["--failed"], 0).matches("==> task ").count(), 4);
    assert!(printed(&["--failed", "tasks.txt_workdir"], 0).contains("==> task 3: exit 4 <==\nbad 3\n"));
    farm.run_exactly(&["logs"]).refused(&["--failed"]);
    farm.run_exactly(&["logs", "7-5"]).refused(&["7-5"]);
    let status = String::from_utf8(farm.run_exactly(&["status"]).exits(0).stdout.clone()).unwrap();
    assert!(status.contains("4 finished, 4 failed"), "{status}");
    let watched = farm.run_exactly(&["status", "--watch", "tasks.txt_workdir"]).exits(0);
    assert!(String::from_utf8_lossy(&watched.stdout).contains("4 finished, 4 failed"));
    farm.run(&["--workdir", "second_workdir"]).exits(1);
    farm.run_exactly(&["logs", "7"]).refused(&["2 workdirs", "second_workdir"]);
    farm.run_exactly(&["status"]).refused(&["2 workdirs", "tasks.txt_workdir"]);
}

/// Promise: `--follow` prints what a task writes while it runs, and ends with it; of a task that never ends, with the farm.
/// It follows into the next attempt, and prints what is kept in another form when the task has ended.
#[test]
fn a_running_task_is_followed() {
    const LIST: &[u8] = b"echo one; until [ -e go ]; do sleep 0.05; done; echo two\n\
        echo attempt $TASKFARMER_ATTEMPT; until [ -e go ]; do sleep 0.05; done; [ $TASKFARMER_ATTEMPT = 2 ]\n\
        until [ -e never ]; do sleep 0.05; done\n";
    for kind in ["task", "task/10", "rank"] {
        let farm = Farm::local(LIST);
        let mut running = farm.start(&["--proc", "3", "--retries", "1", "--logs", kind]);
        running.wait_until("it runs", || farm.workdir().file("status.json").exists());
        let line = format!("exec {} logs --follow tasks.txt 0-1 > followed", crate::support::program());
        let mut following = farm.start_other(&["sh".as_ref(), "-c".as_ref(), line.as_ref()]);
        let followed = || std::fs::read_to_string(farm.path("followed")).unwrap_or_default();
        if kind != "rank" {
            following.wait_until("both tasks are shown", || {
                followed().contains("one\n") && followed().contains("attempt 1\n")
            });
            assert!(!followed().contains("two"), "{}", followed());
        }
        farm.write("go", b"");
        following.wait().exits(0);
        let all = followed();
        for text in ["==> task 0 <==\none\n", "two\n", "==> task 1 <==\nattempt 1\n", "attempt 2\n"] {
            let first_attempt_is_lost = kind == "rank" && text.contains("attempt 1");
            assert!(all.contains(text) || first_attempt_is_lost, "{kind}: {text:?} in {all}");
        }
        let mut following = farm.start_exactly(&["logs", "-f", "tasks.txt", "2"]);
        assert!(!following.has_ended(), "the task runs");
        processes::signal(running.pid(), Signal::SIGTERM);
        running.wait().exits(3);
        let outcome = following.wait().exits(1);
        assert!(outcome.errors()[0].contains("task 2 is not recorded"), "{:?}", outcome.errors());
    }
}

/// Promise: nothing of what `--follow` should have printed is missing without an error: the output of a retry is printed
/// from its beginning, also if it is longer than that of the attempt before; a log that is removed or replaced is named,
/// and the other tasks are still followed; of a task without output, that is said.
#[test]
fn what_cannot_be_followed_is_named() {
    const LIST: &[u8] = b"for i in $(seq $((TASKFARMER_ATTEMPT * 3))); do echo a$TASKFARMER_ATTEMPT line $i; done; \
        until [ -e go ]; do sleep 0.05; done; [ $TASKFARMER_ATTEMPT = 2 ]\n\
        echo one; until [ -e removed ]; do sleep 0.05; done\n\
        echo two; until [ -e removed ]; do sleep 0.05; done\n";
    let farm = Farm::local(LIST);
    let mut running = farm.start(&["--proc", "3", "--retries", "1"]);
    let line = format!("exec {} logs --follow tasks.txt 0-2 > followed", crate::support::program());
    running.wait_until("all tasks run", || farm.workdir().file("logs/log_2").exists());
    let mut following = farm.start_other(&["sh".as_ref(), "-c".as_ref(), line.as_ref()]);
    let followed = || std::fs::read_to_string(farm.path("followed")).unwrap_or_default();
    following.wait_until("all tasks are shown", || {
        ["a1 line 3\n", "one\n", "two\n"].iter().all(|text| followed().contains(text))
    });
    std::fs::remove_file(farm.workdir().file("logs/log_1")).unwrap();
    std::fs::remove_file(farm.workdir().file("logs/log_2")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", farm.workdir().file("logs/log_2")).unwrap();
    farm.write("go", b"");
    following.wait_until("the retry is shown", || followed().contains("a2 line 6\n"));
    farm.write("removed", b"");
    let outcome = following.wait().exits(2);
    running.wait().exits(0);
    assert!(followed().contains("a2 line 1\na2 line 2\na2 line 3\na2 line 4\n"), "{}", followed());
    let errors = outcome.errors().concat();
    assert!(errors.contains("task 1: cannot read ") && errors.contains("logs/log_1"), "{errors}");
    assert!(errors.contains("task 2: cannot read ") && errors.contains("logs/log_2: a symbolic link"), "{errors}");

    let farm = Farm::local(b"echo kept nowhere; until [ -e go ]; do sleep 0.05; done\n");
    let mut running = farm.start(&["--logs", "none"]);
    running.wait_until("it runs", || farm.workdir().file("status.json").exists());
    let following = farm.start_exactly(&["logs", "--follow", "tasks.txt", "0"]);
    farm.write("go", b"");
    running.wait().exits(0);
    assert!(following.wait().exits(1).errors()[0].contains("no output from task 0"));
}

/// `--logs failed`: a file only for tasks that failed or said anything.
#[test]
fn a_file_if_there_is_output_or_a_failure() {
    let farm = Farm::local(&list(2));
    farm.run(&["--logs", "failed"]).exits(1);
    assert_eq!(names(&farm), ["log_1", "log_2", "log_3", "log_5", "log_6", "log_7"]);
    [1, 2, 3, 5, 6, 7].into_iter().for_each(|id| prints(&farm, id));
    let outcome = farm.run_exactly(&["logs", "tasks.txt_workdir", "1", "4"]).exits(1);
    assert_eq!(outcome.stdout, [b"==> task 1: exit 0 <==\n", &expected(1)[..]].concat());
    assert!(outcome.errors()[0].contains("no output from task 4"), "{}", outcome.errors()[0]);
}

/// A task that exceeded its limit has failed, although it ended with exit code 0 and wrote nothing.
#[test]
fn a_file_for_a_task_that_timed_out() {
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
    assert!(outcome.errors()[0].contains("its output was kept"), "{}", outcome.errors()[0]);
}

/// Each odd log is reported by name, and the others are printed: files that are cut off, links, which are not followed,
/// and anything that is not a regular file.
#[test]
fn odd_logs_do_not_hide_others() {
    let farm = Farm::local(&list(2));
    farm.run(&["--logs", "rank", "--proc", "1"]).exits(1);
    let logs = farm.workdir().file("logs");
    let text = std::fs::read(logs.join("rank_0.log")).unwrap();
    let cut = text.windows(5).position(|bytes| bytes == b"bad 7").unwrap() + 3;
    std::fs::write(logs.join("rank_0.log"), &text[..cut]).unwrap();
    farm.write("precious", b"secret\n");
    std::os::unix::fs::symlink(farm.path("precious"), logs.join("log_90")).unwrap();
    std::os::unix::fs::symlink(farm.cwd(), logs.join("80")).unwrap();
    farm.write("log_81", b"secret\n");
    std::fs::create_dir(logs.join("log_70")).unwrap();
    // A log that an earlier run left, and that could not be removed.
    std::fs::create_dir(logs.join("log_1")).unwrap();
    std::os::unix::fs::symlink(farm.path("precious"), logs.join("rank_9.idx")).unwrap();
    let ids = ["1", "7", "90", "70", "5", "81", "99"];
    let outcome = farm.run_exactly(&[&["logs", "tasks.txt_workdir"], &ids[..]].concat()).exits(2);
    let printed = String::from_utf8(outcome.stdout.clone()).unwrap();
    assert_eq!(
        printed,
        "==> task 1: exit 0 <==\nout 1\nerr\n==> task 7: exit 4 <==\nbad\n==> task 5: exit 0 <==\nout 5\nerr\n"
    );
    let errors = outcome.errors().concat();
    for named in ["task 7: cannot read", "logs/rank_0.log: it ends", "logs/log_90: a symbolic link", "logs/rank_9.idx"]
    {
        assert!(errors.contains(named), "{named}: {errors}");
    }
    assert!(errors.contains("logs/log_70") && errors.contains("no output from tasks 81, 99"), "{errors}");
    std::fs::remove_file(logs.join("rank_9.idx")).unwrap();
    std::fs::remove_file(logs.join("rank_0.log")).unwrap();
    let outcome = farm.run_exactly(&["logs", "tasks.txt_workdir", "5"]).exits(2);
    assert!(outcome.errors().concat().contains("logs/rank_0.log: No such file"), "{:?}", outcome.errors());
    // Output that cannot be printed is not the fault of the logs.
    let program = crate::support::program();
    farm.workdir().write("logs/log_60", b"said\n");
    let full = format!("exec {program} logs tasks.txt_workdir 60 > /dev/full");
    let outcome = farm.start_other(&["sh".as_ref(), "-c".as_ref(), full.as_ref()]).wait().exits(4);
    assert!(outcome.errors().concat().contains("cannot write to standard output"), "{:?}", outcome.errors());
}

/// An invalid command line or workdir.
#[test]
fn mistakes_are_reported() {
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

/// Promise 3: output that the workdir does not accept is not a task's failure. The task runs again when there is space.
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

/// A disk with space for small files, but not for the output of a task. Tasks that were started run once, and wait: if
/// there is space in time, the farm continues, otherwise it ends with exit code 4, and each attempt is in `tasks.tsv`.
#[test]
fn no_task_runs_repeatedly_on_a_full_disk() {
    const COUNT: usize = 8;
    const SAID: &str = "cannot be written yet";
    let options = |kind: &'static str| ["--proc", "2", "--logs", kind];
    let mut farms = Vec::new();
    for (kind, in_time) in [("rank", false), ("failed", false), ("rank", true), ("failed", true)] {
        let farm = Farm::local(&interrupted::list(COUNT, "; head -c 200000 /dev/zero")).time_limit(120);
        let Some(tmpfs) = Tmpfs::mount(&farm, "logs_disk", "size=100k") else { return };
        std::fs::create_dir(farm.workdir().path()).unwrap();
        std::os::unix::fs::symlink(farm.path("logs_disk"), farm.workdir().file("logs")).unwrap();
        // In this order they are dropped: the folder of a farm can be removed once nothing is mounted in it.
        farms.push((kind, in_time, tmpfs, farm));
    }
    let mut running: Vec<_> = farms.iter().map(|(kind, _, _, farm)| farm.start(&options(kind))).collect();
    for (running, (_, in_time, tmpfs, farm)) in running.iter_mut().zip(&farms) {
        running.wait_until("the farm says it", || String::from_utf8_lossy(&farm.last_stderr()).contains(SAID));
        if *in_time {
            tmpfs.remount("size=4m");
        }
    }
    for (running, (kind, in_time, tmpfs, farm)) in running.into_iter().zip(&farms) {
        let outcome = running.wait().exits(if *in_time { 0 } else { 4 });
        let (runs, attempts) = (interrupted::runs(farm), farm.workdir().attempts());
        assert!(runs.values().all(|&runs| runs == 1) && attempts.len() == runs.len(), "{kind}: {runs:?}, {attempts:?}");
        if *in_time {
            assert_eq!(outcome.summary(), [COUNT as u64, 0, 0]);
            continue;
        }
        let named = if *kind == "rank" { "logs/rank_0.log" } else { "logs/log_" };
        assert!(outcome.errors().concat().contains(named), "{:?}", outcome.errors());
        assert!(farm.workdir().recorded().is_empty() && runs.len() == 2, "{runs:?}");
        tmpfs.remount("size=4m");
        interrupted::completes(farm, &farm.workdir(), &options(kind), COUNT, 0);
        for id in 0..COUNT {
            let outcome = farm.run_exactly(&["logs", "tasks.txt", &id.to_string()]).exits(0);
            assert_eq!(outcome.stdout.len(), 200_000, "{kind}: task {id}");
        }
    }
}
