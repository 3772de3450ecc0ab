//! Obstacles to logs: if one name is affected, its task fails; if the folder or the workdir is, it is the farm's
//! problem; neither makes a farm wait forever.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::{Farm, interrupted};

const COUNT: usize = 40;

/// A folder, a FIFO, or a link, dangling or not, in place of a log fails only its task. The target of a link is not
/// touched.
#[test]
fn something_in_place_of_a_log_fails_only_its_task() {
    // All write something, so that with `--logs failed` each has a file.
    let list: String = (0..10).map(|id| format!("echo {id} >> ran; echo said\n")).collect();
    for (kind, slots) in [("task", "2"), ("task", "8"), ("failed", "2")] {
        let farm = Farm::local(list.as_bytes());
        let logs = farm.workdir().file("logs");
        fs::create_dir_all(logs.join("log_3")).unwrap();
        mkfifo(&logs.join("log_4"), Mode::S_IRWXU).unwrap();
        symlink("nowhere", logs.join("log_5")).unwrap();
        farm.write("precious", b"data\n");
        symlink(farm.path("precious"), logs.join("log_6")).unwrap();
        let outcome = farm.run(&["--proc", slots, "--logs", kind]).exits(1);
        assert_eq!(outcome.summary(), [6, 4, 0], "--logs {kind}");
        assert_eq!(farm.workdir().failed().into_keys().collect::<Vec<u64>>(), [3, 4, 5, 6]);
        assert_eq!(farm.read("precious"), b"data\n");
        assert!(fs::symlink_metadata(logs.join("nowhere")).is_err(), "a file was made through the link");
        let runs = interrupted::runs(&farm);
        // Without a log, a task is not started; one whose output is kept at its end has run.
        let expected: Vec<u64> = (0..10).filter(|id| kind != "task" || !(3..7).contains(id)).collect();
        assert!(runs.keys().eq(&expected) && runs.values().all(|&runs| runs == 1), "--logs {kind}: {runs:?}");
        let timeline = String::from_utf8(farm.workdir().bytes("timeline.json")).unwrap();
        assert!(timeline.contains("a symbolic link has its name"), "the timeline says why");
        let are_named = (3..7).all(|id| timeline.contains(&format!("log_{id}")));
        assert!(are_named || kind != "task", "the timeline names what is in the way");
    }
}

/// A task that has no output to keep does not fail because something has the name of its log, such as a log of an
/// earlier run that cannot be removed. That is reported once.
#[test]
fn an_old_log_that_cannot_be_removed_fails_no_task() {
    for kind in ["none", "failed", "rank"] {
        let farm = Farm::local(&b"true\n".repeat(10));
        let logs = farm.workdir().file("logs");
        for id in 3..7 {
            fs::create_dir_all(logs.join(format!("log_{id}"))).unwrap();
        }
        let outcome = farm.run(&["--proc", "2", "--logs", kind]).exits(0);
        assert_eq!(outcome.summary(), [10, 0, 0], "--logs {kind}");
        let said = outcome.stderr_text();
        assert_eq!(said.matches("cannot remove").count(), 1, "--logs {kind}: {said}");
        let told = if kind == "rank" { 0 } else { 2 };
        farm.run_exactly(&["logs", "tasks.txt", "5"]).exits(told);
    }
}

/// A task that ran, but whose output cannot be kept, is not reported as not started.
#[test]
fn a_task_whose_output_cannot_be_kept_has_run() {
    let farm = Farm::local(b"echo said; exit 3\n");
    fs::create_dir_all(farm.workdir().file("logs/log_0")).unwrap();
    let outcome = farm.run(&["--logs", "failed"]).exits(1);
    let attempt = &farm.workdir().attempts()[0];
    assert_eq!((&attempt.why[..], attempt.exit), ("unkept", Some(3)));
    let status = farm.run_exactly(&["status", "tasks.txt"]);
    let failed = farm.run_exactly(&["status", "--failed", "tasks.txt"]);
    for text in [&outcome.stderr, &status.stdout, &failed.stdout].map(|text| String::from_utf8_lossy(text).into_owned())
    {
        assert!(text.contains("output not kept") && !text.contains("not started"), "{text}");
    }
}

/// With folders of logs, something else in place of one of them fails only its tasks.
#[test]
fn something_in_place_of_a_folder_of_logs_fails_only_its_tasks() {
    for kind in ["file", "fifo", "link"] {
        let list: String = (0..30).map(|id| format!("echo {id} >> ran\n")).collect();
        let farm = Farm::local(list.as_bytes()).time_limit(60);
        let logs = farm.workdir().file("logs");
        fs::create_dir_all(&logs).unwrap();
        match kind {
            "file" => fs::write(logs.join("10"), "").unwrap(),
            "fifo" => mkfifo(&logs.join("10"), Mode::S_IRWXU).unwrap(),
            _ => symlink("nowhere", logs.join("10")).unwrap(),
        }
        let outcome = farm.run(&["--proc", "2", "--logs", "task/10"]).exits(1);
        assert_eq!(outcome.summary(), [20, 10, 0], "{kind}");
        assert_eq!(farm.workdir().failed().into_keys().collect::<Vec<u64>>(), (10..20).collect::<Vec<u64>>(), "{kind}");
    }
}

/// `--logs rank`: a link in place of a rank's file is not followed.
#[test]
fn links_in_place_of_the_files_of_a_rank_are_not_followed() {
    for name in ["rank_0.log", "rank_0.idx"] {
        let farm = Farm::local(b"echo said\n");
        farm.write("precious", b"data\n");
        let logs = farm.workdir().file("logs");
        fs::create_dir_all(&logs).unwrap();
        symlink(farm.path("precious"), logs.join(name)).unwrap();
        let outcome = farm.run(&["--logs", "rank"]).exits(4);
        assert!(outcome.stderr_text().contains("a symbolic link has its name"), "{}", outcome.stderr_text());
        assert_eq!(farm.read("precious"), b"data\n");
        assert!(farm.workdir().recorded().is_empty());
    }
}

/// Starts a farm in which one task does `harm`; it must give up, naming the obstacle, and without a failed task. Then
/// the same command completes the list.
#[track_caller]
fn farm_gives_up(farm: Farm, options: &[&str], named: &str, mend: impl Fn(&Farm)) {
    let farm = farm.time_limit(60);
    let outcome = farm.run(options).exits(4);
    assert!(outcome.errors().concat().contains(named), "{:?}", outcome.errors());
    mend(&farm);
    assert!(farm.workdir().failed().is_empty(), "the farm's trouble is no task's");
    assert!(farm.workdir().recorded().len() < COUNT, "the harm came too late");
    farm.run(options).exits(0);
    assert_eq!(farm.workdir().finished().len(), COUNT);
}

/// The other tasks take longer than the second within which the problem must be noticed.
fn harmed(harm: &str) -> Vec<u8> {
    let harm = format!("[ -e harmed ] || {{ touch harmed; {harm}; }}\n");
    let rest: String = (1..COUNT).map(|id| format!("echo {id} >> ran; sleep 0.2\n")).collect();
    [harm.into_bytes(), rest.into_bytes()].concat()
}

/// The folder of logs is removed, replaced, or closed during the run.
#[test]
fn a_folder_of_logs_that_is_gone_fails_no_task() {
    let harms = [
        "rm -r tasks.txt_workdir/logs",
        "mv tasks.txt_workdir/logs gone; touch tasks.txt_workdir/logs",
        "mv tasks.txt_workdir/logs gone; ln -s /no/such/folder tasks.txt_workdir/logs",
    ];
    for harm in harms {
        for slots in ["2", "8"] {
            farm_gives_up(Farm::local(&harmed(harm)), &["--proc", slots], "tasks.txt_workdir/logs", |farm| {
                let logs = farm.workdir().file("logs");
                let _ = fs::remove_file(&logs);
            });
        }
    }
    let farm = Farm::local(&harmed("chmod 000 tasks.txt_workdir/logs")).run_as_nobody();
    fs::set_permissions(farm.cwd(), fs::Permissions::from_mode(0o777)).unwrap();
    farm_gives_up(farm, &["--proc", "2"], "tasks.txt_workdir/logs", |farm| {
        fs::set_permissions(farm.workdir().file("logs"), fs::Permissions::from_mode(0o755)).unwrap();
    });
}

/// A workdir that is moved or removed during the run receives no records that the next start would find: not a success.
#[test]
fn a_workdir_that_is_gone_is_noticed() {
    for kind in ["none", "rank", "failed", "task"] {
        let farm = Farm::local(&harmed("sleep 0.2; mv tasks.txt_workdir moved"));
        farm_gives_up(farm, &["--proc", "2", "--logs", kind], "tasks.txt_workdir", |farm| {
            let _ = fs::remove_dir_all(farm.workdir().path());
            fs::rename(farm.path("moved"), farm.workdir().path()).unwrap();
        });
    }
}

/// `--logs rank`: output that cannot be found is not a success. The files of a rank, or the folder, are removed or
/// moved during the run, even if something else replaces them.
#[test]
fn files_of_a_rank_that_are_gone_are_noticed() {
    let harms = [
        ("rm rank_0.log", "rank_0.log"),
        ("mv rank_0.idx away.idx; touch rank_0.idx", "rank_0.idx"),
        ("mkdir ../new; mv rank_0.log ../new/; cp ../new/rank_0.log .", "rank_0.log"),
        ("mv ../logs ../../gone; mkdir ../logs", "logs"),
    ];
    for (harm, named) in harms {
        let farm = Farm::local(&harmed(&format!("cd tasks.txt_workdir/logs; {harm}")));
        farm_gives_up(farm, &["--proc", "2", "--logs", "rank"], named, |_| {});
    }
}

/// The same by the last tasks of a list: there is a final check at the end. A missing folder is noticed even without a
/// file of a rank.
#[test]
fn output_that_is_gone_at_the_end_is_noticed() {
    let harms = [("rank", "rm tasks.txt_workdir/logs/rank_0.log"), ("task", "rm -r tasks.txt_workdir/logs")];
    for (kind, harm) in harms {
        let farm = Farm::local(format!("echo said\n{harm}\n").as_bytes());
        let outcome = farm.run(&["--proc", "1", "--logs", kind]).exits(4);
        assert!(outcome.errors().concat().contains("moved, removed or replaced"), "{:?}", outcome.errors());
        assert_eq!(outcome.summary(), [2, 0, 0], "what has ended is recorded");
    }
    let farm = Farm::local(b"echo said\nrm -r tasks.txt_workdir/logs\n");
    farm.run(&["--proc", "1", "--logs", "none"]).exits(0);
}

/// The last tasks ended before it could be noticed: the end is not a success either.
#[test]
fn a_workdir_that_is_gone_at_the_end_is_noticed() {
    let farm = Farm::local(b"true\nrm -r tasks.txt_workdir\n");
    let outcome = farm.run(&["--proc", "1", "--logs", "none"]).exits(4);
    assert!(outcome.errors().concat().contains("moved, removed or replaced"), "{:?}", outcome.errors());
}

/// FIFOs in place of the farm's own files: the farm does not wait for the other end.
#[test]
fn no_file_of_the_workdir_is_waited_for() {
    let refused = ["finished", "failed", "timeline.json", "tasks.tsv", "lock"];
    for name in refused.into_iter().chain(["status.json"]) {
        let farm = Farm::local(b"true\nfalse\n").time_limit(30);
        farm.run(&[]).exits(1);
        let path = farm.workdir().file(name);
        let _ = fs::remove_file(&path);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        farm.run_exactly(&["status", "tasks.txt"]);
        farm.run_exactly(&["status", "--failed", "tasks.txt"]);
        if refused.contains(&name) {
            farm.run(&["--retry-failed"]).refused(&[name, "regular file"]);
        } else {
            farm.run(&["--retry-failed"]).exits(1);
        }
    }
    let farm = Farm::local(b"true\n").time_limit(30);
    farm.run(&[]).exits(0);
    fs::remove_file(farm.workdir().file("logs/log_0")).unwrap();
    mkfifo(&farm.workdir().file("logs/log_0"), Mode::S_IRWXU).unwrap();
    let outcome = farm.run_exactly(&["logs", "tasks.txt", "0"]);
    assert!(outcome.errors().concat().contains("regular file"), "{:?}", outcome.errors());
}

/// A task's output is a regular file, opened as a shell would have opened it.
#[test]
fn a_log_has_no_flags_that_a_shell_would_not_set() {
    let farm = Farm::local(b"grep flags /proc/self/fdinfo/1\n");
    farm.run(&[]).exits(0);
    let text = String::from_utf8(farm.read("tasks.txt_workdir/logs/log_0")).unwrap();
    let flags = u32::from_str_radix(text.trim().trim_start_matches("flags:").trim(), 8).unwrap();
    assert_eq!(flags & 0o6001, 0o1, "write only, not O_APPEND, not O_NONBLOCK: {text}");
}
