//! Pools of many slots, whose tasks are started by several threads: the same promises as with few.

use nix::sys::signal::Signal;

use crate::support::{Farm, expected, interrupted, mixed, processes};

/// Enough slots for several threads, far more than there are CPUs.
const SLOTS: &str = "32";

/// Mixed tasks are exactly right, in each form of log.
#[test]
fn mixed_tasks_on_many_slots() {
    let farm = Farm::local(b"");
    let tasks = mixed::write_list(&farm, 600, 2);
    let outcome = farm.run(&["--proc", SLOTS]).exits(1);
    expected::matches_the_run(&tasks, &farm, &outcome, 1, 32);
}

/// The shortest tasks end before their start is known, repeatedly: none is forgotten.
#[test]
fn short_tasks_on_many_slots() {
    const COUNT: usize = 6_000;
    for logs in ["none", "rank"] {
        let farm = Farm::local(&b"/bin/true\n".repeat(COUNT)).time_limit(120);
        let outcome = farm.run(&["--proc", SLOTS, "--logs", logs]).exits(0);
        assert_eq!(outcome.summary(), [COUNT as u64, 0, 0]);
        assert_eq!(interrupted::recorded(&farm.workdir()).len(), COUNT);
    }
}

/// A task has its own three descriptors and no more, whatever is opened for others while it is started; `ls` opens one.
#[test]
fn nothing_is_inherited_of_other_starts() {
    const COUNT: usize = 400;
    let farm = Farm::local(&b"/bin/ls /proc/self/fd\n: ; ls /proc/self/fd\n".repeat(COUNT / 2));
    farm.run(&["--proc", SLOTS]).exits(0);
    for id in 0..COUNT {
        assert_eq!(String::from_utf8_lossy(&farm.workdir().log(id as u64)), "0\n1\n2\n3\n", "task {id}");
    }
}

/// Processes that tasks leave behind when they end do not count as tasks, however often they die while others are
/// started.
#[test]
fn orphans_among_short_tasks() {
    const COUNT: usize = 600;
    let farm = Farm::local(&b"(sleep 0.01 &) ; (true &)\n".repeat(COUNT)).time_limit(120);
    let outcome = farm.run(&["--proc", SLOTS]).exits(0);
    assert_eq!(outcome.summary(), [COUNT as u64, 0, 0]);
}

/// Missing programs fail only their tasks, with the exit code of a shell and the reason in the log.
#[test]
fn starts_that_fail_for_good() {
    let farm = Farm::local(b"/bin/true\n/no/such/program\n".repeat(200).as_slice());
    farm.write("direct.ini", b"[direct]\nRunner = basic\nshell = split\n");
    let outcome = farm.run(&["--proc", SLOTS, "--runner", "direct"]);
    assert_eq!(outcome.exits(1).summary(), [200, 200, 0]);
    assert!(String::from_utf8_lossy(&farm.read("tasks.txt_workdir/logs/log_1")).contains("/no/such/program"));
}

/// The C library reaps the child of a start that fails, and the pool, which looks for ended children at the same time,
/// still finds all others: it once mistook that for the end of them, and a farm whose last tasks ended then waited
/// forever.
#[test]
fn failed_starts_hide_no_end() {
    let farm = Farm::local(b"/bin/true\n/no/such/program\n".repeat(20).as_slice());
    farm.write("direct.ini", b"[direct]\nRunner = basic\nshell = split\n");
    for round in 0..50 {
        let workdir = format!("w{round}");
        let outcome = farm.run(&["--proc", SLOTS, "--runner", "direct", "--workdir", &workdir]);
        assert_eq!(outcome.exits(1).summary(), [20, 20, 0]);
    }
}

/// While the log folder is gone, nothing can be started, and nothing has failed.
#[test]
fn starts_that_are_refused_for_a_while() {
    const COUNT: usize = 200;
    let mut list =
        b"mv tasks.txt_workdir/logs gone; sleep 0.4; mv gone tasks.txt_workdir/logs; echo 0 >> ran\n".to_vec();
    list.extend((1..COUNT).flat_map(|id| format!("echo {id} >> ran; sleep 0.05\n").into_bytes()));
    let farm = Farm::local(&list).time_limit(120);
    let outcome = farm.run(&["--proc", SLOTS]).exits(0);
    assert_eq!(outcome.summary(), [COUNT as u64, 0, 0]);
    assert!(interrupted::runs(&farm).values().all(|&runs| runs == 1), "{:?}", interrupted::runs(&farm));
}

/// A stop in the middle of starts: tasks that were not started yet never are, and the same command resumes.
#[test]
fn stopped_while_many_start() {
    const COUNT: usize = 3_000;
    for signals in [1, 2] {
        let farm = Farm::local(&interrupted::list(COUNT, "; sleep 0.01")).time_limit(120);
        let options = ["--proc", SLOTS];
        let mut running = farm.start(&options);
        running.wait_until("tasks run", || interrupted::runs(&farm).len() > 100);
        for _ in 0..signals {
            processes::signal(running.pid(), Signal::SIGTERM);
        }
        running.wait().exits(3);
        interrupted::completes(&farm, &farm.workdir(), &options, COUNT, 0);
    }
}

/// The farm is killed in the middle of starts: no task outlives it, and the same command resumes.
#[test]
fn killed_while_many_start() {
    const COUNT: usize = 2_000;
    let farm = Farm::local(&interrupted::list(COUNT, "; sleep 0.01")).time_limit(120);
    let options = ["--proc", SLOTS];
    let mut running = farm.start(&options);
    running.wait_until("tasks run", || interrupted::runs(&farm).len() > 100);
    processes::signal(running.pid(), Signal::SIGKILL);
    running.wait();
    interrupted::completes(&farm, &farm.workdir(), &options, COUNT, 0);
}
