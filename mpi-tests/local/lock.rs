//! One farm per workdir: a second one is told which farm has it, and a dead one's lock is no obstacle.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::support::{Farm, Running, blockers, disk, interrupted, processes};

const QUICK: usize = 4;
const BLOCKERS: usize = 4;
const COUNT: usize = QUICK + BLOCKERS;

fn farm() -> Farm {
    Farm::local(&blockers::list(QUICK, BLOCKERS))
}

#[track_caller]
fn started<'farm>(farm: &'farm Farm, options: &[&str]) -> Running<'farm> {
    let mut running = farm.start(options);
    running.wait_until("all blockers run", || blockers::blocked(farm, QUICK) == BLOCKERS);
    running
}

/// A second farm is told workdir, host, process and job of the first, which continues undisturbed.
#[test]
fn second_farm_is_told_which_is_first() {
    let mut farm = farm();
    farm.set("SLURM_JOB_ID", "4711");
    let first = started(&farm, &["--proc", "4"]);
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let pid = format!("pid {}", first.pid());
    let names = ["tasks.txt_workdir", &format!("host {host}"), &pid, "job 4711"];
    farm.write("other.txt", b"echo other >> ran\n");
    farm.run(&["--proc", "1"]).refused(&names);
    // A different list, a different path to the same folder.
    let absolute = farm.workdir().path().to_str().unwrap().to_owned();
    std::os::unix::fs::symlink(&absolute, farm.path("link")).unwrap();
    for workdir in ["tasks.txt_workdir", "./link/", &absolute] {
        let outcome = farm.run_exactly(&["--workdir", workdir, "other.txt"]);
        outcome.refused(&[&format!("host {host}"), &pid, "job 4711"]);
    }
    assert_eq!(farm.lines("ran").len(), COUNT, "the other farms started nothing");
    // The blockers' sleeps are ended by a signal that is not a stop request.
    for process in first.processes().iter().filter(|process| process.command_line.starts_with("sleep")) {
        processes::signal(process.pid, Signal::SIGALRM);
    }
    let outcome = first.wait().exits(1);
    assert_eq!(outcome.summary(), [QUICK as u64, BLOCKERS as u64, 0]);
    assert!(!farm.workdir().file("lock").exists(), "the lock is left behind");
}

/// Of farms that start at the same moment, one runs.
#[test]
fn one_of_many_farms_at_the_same_moment() {
    let farm = farm();
    let mut all: Vec<Running<'_>> = (0..5).map(|_| farm.start(&["--proc", "4", "--grace", "5"])).collect();
    while all.len() > 1 {
        assert!(all.iter().all(Running::in_time), "two farms work in one workdir");
        match all.iter_mut().position(Running::has_ended) {
            Some(place) => drop(all.swap_remove(place).wait().refused(&["tasks.txt_workdir"])),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    let mut working = all.pop().expect("one is left");
    working.wait_until("all blockers run", || blockers::blocked(&farm, QUICK) == BLOCKERS);
    processes::signal(working.pid(), Signal::SIGINT);
    working.wait().exits(3);
    assert_eq!(farm.lines("ran").len(), COUNT, "no other farm started anything");
}

/// A killed farm leaves the file of its lock, but not the lock.
#[test]
fn lock_of_a_killed_farm_is_taken() {
    let farm = farm();
    let first = started(&farm, &["--proc", "4"]);
    processes::signal(first.pid(), Signal::SIGKILL);
    first.wait();
    assert!(farm.workdir().file("lock").exists(), "this test is about a file that is left");
    let recorded = farm.workdir().recorded();
    blockers::is_completed_by_the_next_run(&farm, COUNT, &["--proc", "4"], &recorded);
    assert!(!farm.workdir().file("lock").exists(), "the lock is left behind");
}

/// A lock file is not a lock, whatever its content: a different host, nothing, no text.
#[test]
fn stale_lock_file_is_taken() {
    let long = vec![b'x'; 100_000];
    for content in [&b"host elsewhere, pid 1, job 7\n"[..], b"", b"\xff\x00\xfe", &long] {
        let farm = Farm::local(&interrupted::list(3, ""));
        std::fs::create_dir(farm.workdir().path()).unwrap();
        farm.workdir().write("lock", content);
        interrupted::completes(&farm, &farm.workdir(), &[], 3, 0);
        assert!(!farm.workdir().file("lock").exists(), "the lock is left behind");
    }
}

/// On a file system without locks, the farm reports it and runs.
#[test]
fn file_system_without_locks() {
    let errors = [Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::ENOLCK];
    for errno in errors.map(|errno| (errno as i32).to_string()) {
        let mut farm = Farm::local(&interrupted::list(3, ""));
        let shim = [("SHIM_CALL", "flock"), ("SHIM_FILE", "_workdir/lock"), ("SHIM_ERRNO", &errno)];
        disk::preload(&mut farm, &shim);
        let outcome = interrupted::completes(&farm, &farm.workdir(), &[], 3, 0);
        let text = outcome.stderr_text();
        assert!(text.contains("lock"), "errno {errno}: the user should know that nothing is locked");
        assert!(!farm.workdir().file("lock").exists(), "the lock is left behind");
    }
}

/// Without locks, a farm on the same host is recognized by its name in the file, and only that farm removes it.
#[test]
fn second_farm_without_locks_on_one_host() {
    let mut farm = farm();
    let shim = [("SHIM_CALL", "flock"), ("SHIM_FILE", "_workdir/lock"), ("SHIM_ERRNO", "38")];
    disk::preload(&mut farm, &shim);
    let first = started(&farm, &["--proc", "4"]);
    let pid = format!("pid {}", first.pid());
    farm.run(&["--proc", "1"]).refused(&["tasks.txt_workdir", &pid]);
    assert!(String::from_utf8_lossy(&farm.workdir().bytes("lock")).contains(&pid), "the first one's name is gone");
    processes::signal(first.pid(), Signal::SIGKILL);
    first.wait();
    let recorded = farm.workdir().recorded();
    blockers::is_completed_by_the_next_run(&farm, COUNT, &["--proc", "4"], &recorded);
    assert!(!farm.workdir().file("lock").exists(), "the lock is left behind");
}

/// A signal that arrives while the lock is being taken does not count as an answer.
#[test]
fn lock_is_tried_again_after_a_signal() {
    let mut farm = Farm::local(&interrupted::list(3, ""));
    let shim = [("SHIM_CALL", "flock"), ("SHIM_FILE", "_workdir/lock"), ("SHIM_ERRNO", "4"), ("SHIM_TIMES", "3")];
    disk::preload(&mut farm, &shim);
    let outcome = interrupted::completes(&farm, &farm.workdir(), &[], 3, 0);
    assert!(!outcome.stderr_text().contains("no lock"), "{}", outcome.stderr_text());
}

/// A refused farm leaves the workdir as it was: no lock, no timeline, no logs.
#[test]
fn refused_farm_leaves_no_lock() {
    let farm = Farm::local(&interrupted::list(3, ""));
    std::fs::create_dir(farm.workdir().path()).unwrap();
    farm.workdir().write("finished", b"0 something else\n");
    let before = farm.contents();
    farm.run(&[]).refused(&["finished", "line 1"]);
    assert_eq!(farm.contents(), before);
}
