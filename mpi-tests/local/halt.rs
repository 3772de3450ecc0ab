//! `--halt` and `--task-time`: farms that start nothing more.

use std::time::Duration;

use crate::support::Farm;

/// `soon`: running tasks may end, nothing more is started, and the exit code says that tasks have failed. The same
/// command resumes with the others.
#[test]
fn failures_let_the_farm_end_soon() {
    let list = format!("exit 1\nsleep 1; echo >> ended\n{}", "echo >> later\n".repeat(50));
    let farm = Farm::local(list.as_bytes());
    let options = ["--proc", "2", "--halt", "soon,fail=1"];
    let outcome = farm.run(&options).exits(1);
    assert_eq!((outcome.summary(), farm.lines("ended").len()), ([1, 1, 50], 1));
    assert!(outcome.stderr_text().contains("a task has failed (--halt)"), "the user is told");
    assert!(outcome.stderr_text().contains("to resume, run the same command again"), "and what to do");
    let outcome = farm.run(&options).exits(1);
    assert_eq!((outcome.summary(), farm.lines("later").len()), ([51, 1, 0], 50), "earlier failures do not count");
}

/// `now`: running tasks are ended, and remain open.
#[test]
fn failures_end_the_farm_now() {
    let farm = Farm::local(b"sleep 600\nexit 1\nexit 1\nexit 1\nexit 1\n");
    let outcome = farm.run(&["--proc", "2", "--halt", "now,fail=3"]).exits(1);
    let [finished, failed, remaining] = outcome.summary();
    assert!(finished == 0 && failed >= 3 && remaining == 5 - failed, "{:?}", outcome.summary());
    assert!(outcome.elapsed < Duration::from_secs(60), "{:?}", outcome.elapsed);
    let why: Vec<_> = farm.workdir().attempts().into_iter().map(|attempt| attempt.why).collect();
    assert!(why.contains(&"interrupted".to_owned()), "{why:?}");
}

/// A percentage counts only after three failures.
#[test]
fn a_percentage_of_failures_ends_the_farm() {
    let farm = Farm::local(format!("exit 1\nexit 1\n{}", "true\n".repeat(10)).as_bytes());
    let options = ["--proc", "1", "--halt", "soon,fail=20%"];
    assert_eq!(farm.run(&options).exits(1).summary(), [10, 2, 0]);
    let farm =
        Farm::local(format!("{}{}{}", "true\n".repeat(8), "exit 1\n".repeat(30), "true\n".repeat(1_000)).as_bytes());
    let [finished, failed, remaining] = farm.run(&options).exits(1).summary();
    assert!(failed >= 3 && remaining > 0 && finished + failed + remaining == 1_038, "{finished} {failed} {remaining}");
}

/// Nothing is started that would not end in time: by the given task time, or by the lengths so far.
#[test]
fn tasks_that_would_not_end_in_time_are_not_started() {
    for (tasks, options) in [("echo >> ran; sleep 1\n", &["--task-time", "3"][..]), ("echo >> ran; sleep 0.2\n", &[])] {
        let farm = Farm::local(tasks.repeat(300).as_bytes());
        let outcome = farm.run(&[&["--proc", "4", "--timeout", "6"], options].concat()).exits(3);
        let [finished, failed, remaining] = outcome.summary();
        assert!(finished >= 4 && failed == 0 && finished + remaining == 300, "{:?}", outcome.summary());
        // What is learned holds for nine of ten tasks: on a busy machine, the last one of a slot may take longer.
        let in_vain = farm.lines("ran").len() as u64 - finished;
        let most = if options.is_empty() { 4 } else { 0 };
        assert!(in_vain <= most, "{in_vain} were started in vain");
        assert!(outcome.stderr_text().contains("no time is left for a further task"), "the user is told");
    }
}

/// `--task-time 0` starts tasks until the very end.
#[test]
fn tasks_may_be_started_to_the_end() {
    let farm = Farm::local("echo >> ran; sleep 0.3\n".repeat(300).as_bytes());
    let outcome = farm.run(&["--proc", "2", "--timeout", "4", "--task-time", "0"]).exits(3);
    assert!(outcome.stderr_text().contains("the time limit is reached"), "it came to its end");
    // Not what they wrote: one that has just been started may be asked to end before it writes.
    let table = farm.workdir().bytes("tasks.tsv");
    let cut_off = String::from_utf8(table).unwrap().lines().filter(|line| line.contains("\tinterrupted\t")).count();
    assert_eq!(cut_off, 2, "both slots were in use");
}

/// Invalid values, and times in which no task would be started, are refused before anything is created.
#[test]
fn nonsense_is_refused() {
    let mut farm = Farm::local(b"true\n");
    farm.run(&["--halt", "1"]).refused(&["--halt 1", "soon,fail=10"]);
    farm.run(&["--task-time", "60", "--timeout", "60"]).refused(&["--task-time 60", "no task would be started"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    farm.set("SLURM_JOB_END_TIME", &(now + 600).to_string());
    farm.run(&["--task-time", "600"]).refused(&["--task-time", "longer job"]);
    assert!(!farm.workdir().path().exists());
}
